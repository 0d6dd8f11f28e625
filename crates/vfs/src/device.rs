//! What is behind device nodes.

use alloc::sync::Arc;
use alloc::vec::Vec;

use sync::{Rank, SpinLock};

use crate::{DeviceNumber, File, OpenRequest, Result, VfsError};

/// A device: gives behaviour to those who open a node with its number.
pub trait Device: Send + Sync {
    /// Opens it.
    ///
    /// # Errors
    /// The device's.
    fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn File>>;
}

/// Two kinds of devices, numbered apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DeviceKind {
    /// Bytes.
    Char,
    /// Blocks.
    Block,
}

/// A run of minor numbers and the device behind them.
struct Registered {
    kind: DeviceKind,
    number: DeviceNumber,
    device: Arc<dyn Device>,
}

/// All devices, by number.
pub struct DeviceRegistry {
    devices: SpinLock<Vec<Registered>>,
}

impl Default for DeviceRegistry {
    fn default() -> Self {
        Self::new()
    }
}

impl DeviceRegistry {
    /// No devices.
    pub const fn new() -> Self {
        Self { devices: SpinLock::new(Rank::INODE, Vec::new()) }
    }

    /// Adds a device.
    ///
    /// # Errors
    /// [`VfsError::Exists`] if the number is taken, [`VfsError::NoMemory`].
    pub fn add(&self, kind: DeviceKind, number: DeviceNumber, device: Arc<dyn Device>) -> Result<()> {
        let mut devices = self.devices.lock();
        if devices.iter().any(|known| known.kind == kind && known.number == number) {
            drop(devices);
            return Err(VfsError::Exists);
        }
        devices.try_reserve(1).map_err(|_| VfsError::NoMemory)?;
        devices.push(Registered { kind, number, device });
        Ok(())
    }

    /// Takes a device away; open files keep it.
    pub fn remove(&self, kind: DeviceKind, number: DeviceNumber) -> Option<Arc<dyn Device>> {
        let mut devices = self.devices.lock();
        let at = devices.iter().position(|known| known.kind == kind && known.number == number)?;
        Some(devices.swap_remove(at).device)
    }

    /// Opens the device with that number.
    ///
    /// # Errors
    /// [`VfsError::NoDeviceOrAddress`] if there is none; the device's own.
    pub fn open(&self, kind: DeviceKind, number: DeviceNumber, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let device = {
            let devices = self.devices.lock();
            devices.iter().find(|known| known.kind == kind && known.number == number).map(|known| known.device.clone())
        };
        device.ok_or(VfsError::NoDeviceOrAddress)?.open(request)
    }
}
