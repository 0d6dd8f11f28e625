//! What services tell the supervisor without asking it: NOTIFY_SOCKET, and that they listen.

use alloc::sync::Arc;

use process::Cell;
use services::Readiness;
use supervisor::NOTIFY_NAME;
use types::Pid;
use vfs::VfsError;
use vfs::socket::{AbstractNames, DatagramSink, PeerCredentials, Socket, SocketKind};

use super::KernelWorld;
use crate::{Caller, System};

/// Takes what is sent to NOTIFY_SOCKET, while its sender is at it: who that is, nobody need look up later.
struct Notices(&'static System);

impl DatagramSink for Notices {
    fn take(&self, data: &[u8]) -> vfs::Result<usize> {
        let thread = self.0.platform.current_thread().ok_or(VfsError::ConnectionRefused)?;
        let cell = thread.process().cell().ok_or(VfsError::ConnectionRefused)?;
        let services = self.0.services.get().ok_or(VfsError::ConnectionRefused)?;
        let now = self.0.platform.now();
        let main = services.with(&KernelWorld(self.0), |supervisor| supervisor.notice(now, cell, data));
        if let Some(pid) = main {
            let meant = thread.process().pids().map_or(Some(pid), |pids| pids.outer(pid));
            // One that is not of the cell changes nothing.
            if meant.is_none_or(|pid| self.0.processes.set_main(cell, Pid(pid)).is_err()) {
                log::debug!("svc: pid {} may not make {pid} its main process", thread.pid());
            }
        }
        Ok(data.len())
    }
}

/// Makes the socket; it lives as long as what is returned.
pub(crate) fn register_notify_socket(system: &'static System, names: &Arc<AbstractNames>) -> vfs::Result<Arc<Socket>> {
    let socket = Socket::new(SocketKind::Datagram, PeerCredentials::NONE);
    socket.set_sink(Arc::new(Notices(system)));
    socket.bind_abstract(names, Some(NOTIFY_NAME.as_bytes().into()))?;
    Ok(socket)
}

/// The caller has called listen(2).
#[inline]
pub(crate) fn listens(caller: Caller<'_>) {
    if let Some(cell) = caller.process.cell() {
        tell_listening(caller.system, cell);
    }
}

#[cold]
fn tell_listening(system: &'static System, cell: &Arc<Cell>) {
    if let Some(services) = system.services.get() {
        let now = system.platform.now();
        services.with(&KernelWorld(system), |supervisor| supervisor.seems_ready(now, cell, Readiness::Listen));
    }
}

/// A process of `cell` met the cell's quota on memory: as the service's definition says, it bears that alone or the cell is
/// killed for it.
#[cold]
pub(crate) fn over_memory(system: &'static System, cell: &Arc<Cell>) {
    if let Some(services) = system.services.get() {
        let now = system.platform.now();
        services.with(&KernelWorld(system), |supervisor| supervisor.over_memory(now, cell));
    }
}

/// A process of `cell` is killed since memory ran out: the service's end is called by that name, and nothing of it stays.
#[cold]
pub(crate) fn out_of_memory(system: &'static System, cell: &Arc<Cell>) {
    if let Some(services) = system.services.get() {
        let now = system.platform.now();
        services.with(&KernelWorld(system), |supervisor| supervisor.out_of_memory(now, cell));
    }
}
