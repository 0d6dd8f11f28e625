//! The supervisor's own task.

use sync::WaitQueue;
use types::Nanos;

use super::KernelWorld;
use crate::System;
use crate::wait::{give_way, until};

/// Carries out what the supervisor orders, and wakes it when something is due; for ever.
pub(super) async fn supervise(system: &'static System) {
    let services = system.supervisor();
    let sockets = &system.services.sockets;
    let world = KernelWorld(system);
    let news: &WaitQueue = services.board().news();
    loop {
        sockets.look(system.platform.now());
        match services.work(&world) {
            // A start takes a while: others come first after each.
            Some(Nanos::ZERO) => give_way(system).await,
            deadline => {
                let first = |one: Option<Nanos>, other| [one, other].into_iter().flatten().min();
                let deadline = first(deadline, sockets.deadline());
                let earlier = || first(deadline, sockets.deadline()) != deadline;
                let has_work = || (earlier() || services.has_work(deadline)).then_some(());
                until(system, deadline, news.wait_until(has_work)).await;
            }
        }
    }
}
