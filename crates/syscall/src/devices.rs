//! Devices that need to know processes: the console, the caller's own terminal, pseudo-terminals.

use alloc::sync::Arc;

use vfs::dev::RandomSource;
use vfs::terminal::{Ptys, SLAVE_MAJOR, Terminal};
use vfs::{Device, DeviceKind, DeviceNumber, DeviceRegistry, File, OpenRequest, VfsError};

use crate::System;

/// /dev/console and /dev/ttyS0.
pub(crate) struct ConsoleDevice(pub(crate) Arc<Terminal>);

impl Device for ConsoleDevice {
    fn open(&self, _request: &OpenRequest<'_>) -> vfs::Result<Arc<dyn File>> {
        let file = self.0.open()?;
        Ok(file)
    }
}

/// /dev/tty: the controlling terminal of whoever opens it.
pub(crate) struct OwnTerminal(pub(crate) &'static System);

impl Device for OwnTerminal {
    fn open(&self, request: &OpenRequest<'_>) -> vfs::Result<Arc<dyn File>> {
        let terminal = self.0.processes.terminal_of(request.caller.sid).ok_or(VfsError::NoDeviceOrAddress)?;
        let file = terminal.open()?;
        Ok(file)
    }
}

/// /dev/ptmx: each open makes a pair.
pub(crate) struct PtyMasters {
    pub(crate) ptys: Arc<Ptys>,
    pub(crate) registry: Arc<DeviceRegistry>,
}

impl Device for PtyMasters {
    fn open(&self, request: &OpenRequest<'_>) -> vfs::Result<Arc<dyn File>> {
        let master = self.ptys.open_master(&request.caller)?;
        let number = master.terminal().device();
        let slave = Arc::new(PtySlave { ptys: self.ptys.clone(), number });
        match self.registry.add(DeviceKind::Char, number, slave) {
            // It stays from the first time this number was used.
            Ok(()) | Err(VfsError::Exists) => Ok(master),
            Err(error) => Err(error),
        }
    }
}

/// /dev/pts/N.
struct PtySlave {
    ptys: Arc<Ptys>,
    number: DeviceNumber,
}

impl Device for PtySlave {
    fn open(&self, _request: &OpenRequest<'_>) -> vfs::Result<Arc<dyn File>> {
        debug_assert_eq!(self.number.major, SLAVE_MAJOR);
        let file = self.ptys.open_slave(self.number.minor)?;
        Ok(file)
    }
}

/// Random bytes of the machine.
pub(crate) struct MachineRandom(pub(crate) &'static System);

impl RandomSource for MachineRandom {
    fn fill(&self, out: &mut [u8]) {
        self.0.platform.random(out);
    }

    fn mix(&self, _data: &[u8]) {}
}
