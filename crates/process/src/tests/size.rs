//! Bytes per process (P1): printed, and bounded.

use crate::signal::{ProcessSignals, ThreadSignals};
use crate::testing::Plain;
use crate::{FileTable, FsContext, Process, ResourceUsage, Thread};

#[test]
fn control_block_stays_within_its_budget() {
    let parts = [
        ("Process", size_of::<Process<Plain>>()),
        ("  of it signals", size_of::<ProcessSignals>()),
        ("  of it usage, own and children's", 2 * size_of::<ResourceUsage>()),
        ("Thread", size_of::<Thread<Plain>>()),
        ("ThreadSignals", size_of::<ThreadSignals>()),
        ("FileTable", size_of::<FileTable<alloc::sync::Arc<u32>>>()),
        ("FsContext", size_of::<FsContext<u32>>()),
        ("tree node", size_of::<crate::tree::Node<Plain>>()),
    ];
    for (name, bytes) in parts {
        std::println!("{name:36} {bytes:5} bytes");
    }
    let [process, _, _, thread, signals, files, fs, node] = parts.map(|(_, bytes)| bytes);
    // Eight descriptors in the first allocation of a table: slots and two bit words.
    let total = process + thread + signals + files + (8 * 8 + 16) + fs + node;
    std::println!("{:36} {total:5} bytes", "a fresh single-threaded child");
    assert!(process <= 1024, "the control block is about 1 KiB");
    // The saved registers are 208 bytes.
    assert!(total <= 2048 - 208, "2 KiB with the saved registers");
}
