//! The integration guide's eleven examples on the host: `cargo run -p process --example guide [NAME]`.
//!
//! The same text runs in the kernel, with real processes, as `/bin/pm guide`; `tests/system/guide.out` is what both print.

#[expect(clippy::indexing_slicing, reason = "an example that fails ends")]
mod examples;
#[expect(clippy::unwrap_used, reason = "an example that fails ends")]
mod world;

fn main() -> std::process::ExitCode {
    let only = std::env::args().nth(1);
    let world = world::HostWorld::new(|line| println!("{line}"));
    let found = examples::run(&world, only.as_deref());
    if !found {
        eprintln!(
            "no such example; there are {}",
            examples::all::<world::HostWorld>().map(|(name, _)| name).join(", ")
        );
    }
    std::process::ExitCode::from(u8::from(!found))
}
