//! The supervisor under its lock, and the work of the kernel's task.

use alloc::string::String;
use alloc::sync::Arc;

use process::CellBoard;
use sync::{Rank, SpinLock};
use types::Nanos;

use crate::{CellId, Order, Settings, Supervisor, Watch, World};

/// All services, for many callers.
pub struct Services {
    // Rank::SERVICES
    supervisor: SpinLock<Supervisor>,
    board: Arc<CellBoard>,
    watch: Arc<Watch>,
}

impl Services {
    /// Without services.
    pub fn new(settings: Settings) -> Self {
        let board = Arc::new(CellBoard::new());
        let supervisor = Supervisor::new(settings, board.clone());
        let watch = supervisor.watch().clone();
        Self { supervisor: SpinLock::new(Rank::SERVICES, supervisor), board, watch }
    }

    /// What tells those who only look that there is more to see.
    pub const fn watch(&self) -> &Arc<Watch> {
        &self.watch
    }

    /// Where ended cells are told of, and what the task sleeps on.
    pub const fn board(&self) -> &Arc<CellBoard> {
        &self.board
    }

    /// Does something with the supervisor; the task is woken if that left orders, or an earlier deadline.
    pub fn with<T>(&self, world: &dyn World, act: impl FnOnce(&mut Supervisor) -> T) -> T {
        let (result, woken) = {
            let mut supervisor = self.supervisor.lock();
            let before = supervisor.next_deadline();
            let result = act(&mut supervisor);
            let after = supervisor.next_deadline();
            let earlier = after.is_some_and(|after| before.is_none_or(|before| after < before));
            (result, supervisor.has_orders() || earlier)
        };
        if woken {
            world.wake_task();
        }
        result
    }

    /// Whether the task, which is about to sleep until `deadline`, or for ever, has something to do before.
    pub fn has_work(&self, deadline: Option<Nanos>) -> bool {
        let earlier = |due: Nanos| deadline.is_none_or(|deadline| due < deadline);
        !self.board.is_empty() || self.supervisor.lock().next_deadline().is_some_and(earlier)
    }

    /// Looks without changing anything.
    pub fn look<T>(&self, look: impl FnOnce(&Supervisor) -> T) -> T {
        look(&self.supervisor.lock())
    }

    /// One round of the task: takes in what happened, carries out the next order. When to look again if nothing happens;
    /// `None` for never, zero for at once.
    pub fn work(&self, world: &dyn World) -> Option<Nanos> {
        let order = {
            let mut supervisor = self.supervisor.lock();
            supervisor.catch_up(world.now());
            if !supervisor.has_orders() {
                supervisor.hasten(world);
            }
            match supervisor.next_order() {
                Some(order) => order,
                None => return supervisor.next_deadline(),
            }
        };
        self.carry_out(world, order);
        Some(Nanos::ZERO)
    }

    fn carry_out(&self, world: &dyn World, order: Order) {
        match order {
            Order::Spawn(launch) => {
                let result = world.spawn(&launch);
                if let Err(error) = &result {
                    log::warn!("svc: {} cannot be started: {error:?}", launch.name());
                }
                self.supervisor.lock().spawned(world.now(), &launch, result);
            }
            Order::SignalMain(cell, signal) => world.signal_main(&cell, signal),
            Order::SignalAll(cell, signal) => world.signal_all(&cell, signal),
            Order::Kill(cell) => world.kill(&cell),
            Order::Alarm(cell) => {
                let CellId { identity, .. } = CellId::of(&cell);
                let text: String = world.stuck(&cell);
                log::error!("svc: cell {identity} does not end after its kill: {text}");
            }
            Order::CheckRunnable(cell, identity, since) => {
                let span = world.runnable(&cell, since);
                self.supervisor.lock().runnable(world.now(), identity, span);
            }
            Order::Probe(launch) => {
                if let Some(result) = world.probe(&launch) {
                    self.supervisor.lock().probed(world.now(), launch.identity, result);
                }
            }
            Order::Pause(cell, pause) => world.pause(&cell, pause),
            Order::Hasten(cell) => world.hasten(&cell),
            Order::Arrange(service) => world.arrange(&service),
            Order::End(ending) => world.end(ending),
        }
    }
}
