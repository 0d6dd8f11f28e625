//! Bytes per process (P1): printed, and bounded. What the kernel's heap says of all of it is measured by `pm sizes`.

use alloc::sync::Arc;

use sync::SpinLock;

use crate::signal::{Dispositions, ProcessSignals, ThreadSignals};
use crate::testing::Plain;
use crate::{FileTable, FsContext, Process, ProcessTable, ResourceUsage, Thread};

/// The two counters of an `Arc`.
const SHARED: usize = 2 * size_of::<usize>();

#[test]
fn control_block_stays_within_its_budget() {
    let parts = [
        ("Process", SHARED + size_of::<Process<Plain>>()),
        ("Thread", SHARED + size_of::<Thread<Plain>>()),
        ("ThreadSignals", SHARED + size_of::<ThreadSignals>()),
        ("signal actions, shared", SHARED + size_of::<SpinLock<Dispositions>>()),
        ("FileTable with eight descriptors", SHARED + size_of::<FileTable<Arc<u32>>>()),
        ("FsContext, shared places", SHARED + size_of::<FsContext<u32>>()),
        ("tables, per number", ProcessTable::<Plain>::BYTES_PER_NUMBER),
    ];
    for (name, bytes) in parts {
        std::println!("{name:36} {bytes:5} bytes");
    }
    let within = [("signals", size_of::<ProcessSignals>()), ("usage", size_of::<ResourceUsage>())];
    for (name, bytes) in within {
        std::println!("  of Process: {name:22} {bytes:5} bytes");
    }
    let total: usize = parts.iter().map(|(_, bytes)| bytes).sum();
    std::println!("{:36} {total:5} bytes", "a fresh single-threaded child");
    let [(_, process), ..] = parts;
    // Locks know their rank here, and take eight bytes more each than in a release build.
    assert!(process <= 512 + 5 * 8, "{process}");
    // Memory, future and task of the kernel are the rest of 2 KiB.
    assert!(total <= 1280, "{total}");
}
