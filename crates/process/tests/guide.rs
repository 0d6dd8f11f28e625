//! The integration guide's examples, on the host: what they print is what they print in the kernel, where
//! `tests/system/guide.sh` runs the same text with real processes.
#[expect(clippy::indexing_slicing, reason = "an example that fails ends")]
#[path = "../examples/guide/examples.rs"]
mod examples;
#[expect(clippy::unwrap_used, reason = "an example that fails ends")]
#[path = "../examples/guide/world.rs"]
mod world;

use std::cell::RefCell;

#[test]
fn eleven_examples_print_what_they_print_in_the_kernel() {
    let printed = RefCell::new(String::new());
    let world = world::HostWorld::new(|line: &str| {
        printed.borrow_mut().push_str(line);
        printed.borrow_mut().push('\n');
    });
    assert_eq!(examples::all::<world::HostWorld>().len(), 11);
    assert!(examples::run(&world, None));
    assert!(!examples::run(&world, Some("no such example")));
    let expected = include_str!("../../../tests/system/guide.out");
    assert_eq!(printed.take(), expected);
}
