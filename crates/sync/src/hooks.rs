//! What this crate asks of the machine beside the number of the executing CPU, installed once at boot.

use spin::Once;

/// What the kernel plugs in before the second CPU starts.
#[derive(Clone, Copy)]
pub struct Hooks {
    /// Called again and again while a CPU spins: serves TLB shoot-downs sent to it.
    pub relax: fn(),
}

static HOOKS: Once<Hooks> = Once::new();

/// Installs the hooks; later calls change nothing.
pub fn install(hooks: Hooks) {
    HOOKS.call_once(|| hooks);
}

/// One turn of a spin loop.
pub fn relax() {
    core::hint::spin_loop();
    if let Some(hooks) = HOOKS.get() {
        (hooks.relax)();
    }
}

/// [`relax`] as the crate `spin` wants it.
pub(crate) struct Relax;

impl spin::RelaxStrategy for Relax {
    fn relax() {
        relax();
    }
}
