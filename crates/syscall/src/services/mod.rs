//! Services in the running system: the supervisor of `supervisor`, given real processes, files and time.
//!
//! Nothing of it exists before somebody asks: the first look at /dev/svc or /proc/svc makes the supervisor and its task.

mod device;
mod files;
mod notify;
mod proc;
mod request;
mod sockets;
mod spawn;
mod task;
mod world;

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, Ordering};

use services::{Endpoint, Name, ServiceId};
use supervisor::{CellId, Services, Settings, Supervisor};
use sync::Once;
use types::{PAGE_SIZE, Pid};

pub(crate) use device::ServiceDevice;
pub(crate) use notify::{listens, out_of_memory, over_memory, register_notify_socket};
pub(crate) use proc::ServiceItems;
pub(crate) use request::{end_machine, native};
pub(crate) use world::KernelWorld;

use crate::System;

/// The supervisor, once somebody has asked for it.
pub struct ServiceRoom {
    services: Once<Arc<Services>>,
    running: AtomicBool,
    sockets: sockets::Sockets,
}

impl Default for ServiceRoom {
    fn default() -> Self {
        Self::new()
    }
}

impl ServiceRoom {
    /// No supervisor yet.
    pub const fn new() -> Self {
        Self { services: Once::new(), running: AtomicBool::new(false), sockets: sockets::Sockets::new() }
    }

    /// The supervisor, if there is one.
    pub(crate) fn get(&self) -> Option<&Arc<Services>> {
        self.services.get()
    }
}

/// What SO_PEERSEC says of a member of a cell: `svc:NAME#INSTANCE.GENERATION`, or `svc:NAME` where any instance may answer.
pub(crate) fn label(system: &'static System, cell: u64) -> String {
    let id = CellId::from_number(cell);
    let known = system.services.get().and_then(|services| services.look(|all| all.label(id)));
    known.unwrap_or_else(|| format!("svc:?{}", id.identity))
}

impl System {
    /// The supervisor; made, with its task, when first asked for.
    pub(crate) fn supervisor(&'static self) -> &'static Arc<Services> {
        let services = self.services.services.call_once(|| {
            let mut seed = [0; 8];
            self.platform.random(&mut seed);
            let total = self.frames.stats().total * PAGE_SIZE as u64;
            Arc::new(Services::new(Settings {
                seed: u64::from_le_bytes(seed),
                // The rest is for those who were promised nothing.
                memory: total / 4 * 3,
                shutdown_timeout: self.manager.service_timeout,
                shutdown_grace: self.manager.grace_period,
            }))
        });
        if !self.services.running.swap(true, Ordering::SeqCst) {
            let task = alloc::boxed::Box::pin(task::supervise(self));
            if self.platform.run_task(task).is_err() {
                // The next one tries again.
                self.services.running.store(false, Ordering::SeqCst);
                log::error!("svc: no memory for the supervisor's task");
            }
        }
        services
    }

    /// Closes the sockets that no definition has any more.
    pub(crate) fn close_sockets(&self) {
        if let Some(services) = self.services.get() {
            let wanted = services.look(Supervisor::endpoints);
            let keep = |name: &Name, at: &Endpoint| wanted.iter().any(|(known, wish)| known == name && wish == at);
            self.services.sockets.retain(keep);
        }
    }

    /// The service that a process acts for: one in a session acts for its user.
    pub(crate) fn service_of(&self, pid: Pid) -> Option<ServiceId> {
        let process = self.processes.process(pid)?;
        process.cell().filter(|cell| !cell.is_session()).map(|cell| CellId::of(cell).service)
    }
}
