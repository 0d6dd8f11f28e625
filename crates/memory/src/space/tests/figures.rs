//! Not a test: runs of one operation, for counting instructions.
//!
//! `FIGURE=name:count perf stat -e instructions:u cargo test --release -p memory figure -- --ignored`, twice with different counts.

use hal::{Mmu, PageFault, PageFaultFlags, TlbRange};
use types::{CpuSet, PhysAddr};

use super::{RW, World};
use crate::space::AddressSpace;
use crate::{MapFlags, MapRequest};

struct NoMmu;

impl Mmu for NoMmu {
    fn flush(&self, _: PhysAddr, _: CpuSet, _: TlbRange) {}
}

#[test]
#[ignore = "for counting instructions"]
fn figure() {
    let wanted = std::env::var("FIGURE").unwrap_or("anonymous:1000".into());
    let (name, count) = wanted.split_once(':').unwrap();
    let count: u64 = count.parse().unwrap();
    let world = World::new(65_536);
    let space = AddressSpace::new(world.frames, &NoMmu, world.kernel).unwrap();
    space.cpu_entered(types::CpuId(0));
    let write = |space: &AddressSpace, address| {
        space.fault(&PageFault { address, flags: PageFaultFlags(6) });
    };
    let pages = if name == "cow" || name == "big_fork" { 20_000 } else { 8 };
    let at = 0x4000_0000;
    space.map(MapRequest::anonymous(32_768 * 4096, RW).at(at)).unwrap();
    space.map(MapRequest::anonymous(16 * 4096, RW).at(0x7fff_0000_0000).with(MapFlags::POPULATE)).unwrap();
    (0..pages).for_each(|page| write(&space, at + page * 4096));
    let child = (name == "cow").then(|| space.fork().unwrap());
    for round in 0..count {
        match name {
            "anonymous" => write(&space, at + (pages + round) * 4096),
            "cow" => write(&space, at + round * 4096),
            "fork" | "big_fork" => drop(space.fork().unwrap()),
            "fork_touch" => {
                let child = space.fork().unwrap();
                write(&child, 0x7fff_0000_0000);
                write(&child, at);
                write(&space, 0x7fff_0000_0000);
                write(&space, at);
            }
            "map" => {
                let at = space.map(MapRequest::anonymous(4096, RW)).unwrap();
                space.unmap(at, 4096).unwrap();
            }
            "read" => {
                space.read(at, &mut [0; 64]);
            }
            "frame" => {
                let frame = world.frames.alloc(crate::Purpose::User).unwrap();
                world.frames.release(frame);
            }
            _ => {}
        }
    }
    drop(child);
}
