//! The last output of a service: a ring of bytes that its instances write to and anybody may look at.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};

use sync::{Rank, SpinLock, WaitQueue};

/// Bytes kept per instance.
const PER_INSTANCE: usize = 4 << 10;
/// Instances that count for the size.
const MOST: usize = 8;

/// The last bytes that the instances of a service wrote.
pub struct Output {
    // Rank::OUTPUT
    ring: SpinLock<Ring>,
    /// As the ring's, without its lock.
    written: AtomicU64,
    /// Those who wait for more.
    readers: Arc<WaitQueue>,
    name: String,
}

struct Ring {
    bytes: VecDeque<u8>,
    capacity: usize,
    /// Bytes written since boot.
    written: u64,
}

impl Output {
    /// For the service of that name with so many instances; `readers` are woken when more comes. Takes memory only as
    /// something is written.
    pub fn new(name: String, instances: u16, readers: Arc<WaitQueue>) -> Self {
        let capacity = PER_INSTANCE * usize::from(instances).clamp(1, MOST);
        let ring = Ring { bytes: VecDeque::new(), capacity, written: 0 };
        Self { ring: SpinLock::new(Rank::OUTPUT, ring), written: AtomicU64::new(0), readers, name }
    }

    /// Bytes written since boot.
    pub fn written(&self) -> u64 {
        self.written.load(Ordering::Acquire)
    }

    /// Adds bytes; the oldest go.
    pub fn write(&self, data: &[u8]) {
        {
            let mut ring = self.ring.lock();
            let ring = &mut *ring;
            ring.written += data.len() as u64;
            let kept = data.get(data.len().saturating_sub(ring.capacity)..).unwrap_or_default();
            let over = (ring.bytes.len() + kept.len()).saturating_sub(ring.capacity);
            ring.bytes.drain(..over);
            if ring.bytes.try_reserve(kept.len()).is_ok() {
                ring.bytes.extend(kept);
            } else {
                // What cannot be kept is as if it had been overwritten.
                ring.bytes.clear();
            }
            self.written.store(ring.written, Ordering::Release);
        }
        self.readers.wake_all();
        if log::log_enabled!(log::Level::Debug) {
            for line in data.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
                log::debug!("svc: {}: {}", self.name, String::from_utf8_lossy(line));
            }
        }
    }

    /// What is kept from byte `from` since boot on, and the number of its first byte.
    pub fn read(&self, from: u64) -> (u64, Vec<u8>) {
        let ring = self.ring.lock();
        let first = ring.written - ring.bytes.len() as u64;
        let at = from.clamp(first, ring.written);
        let mut bytes = Vec::new();
        let skip = (at - first) as usize;
        if bytes.try_reserve_exact(ring.bytes.len() - skip).is_ok() {
            bytes.extend(ring.bytes.iter().skip(skip));
        }
        (at, bytes)
    }

    /// The last line that is not empty.
    pub fn last_line(&self) -> String {
        let (_, bytes) = self.read(0);
        let line = bytes.split(|byte| *byte == b'\n').rfind(|line| !line.is_empty()).unwrap_or_default();
        String::from_utf8_lossy(line.get(..line.len().min(200)).unwrap_or(line)).into_owned()
    }
}

impl fmt::Debug for Output {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "output of {}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_bytes_stay_and_are_numbered_since_boot() {
        let output = Output::new("a".into(), 1, Arc::default());
        assert_eq!(output.read(0), (0, Vec::new()));
        output.write(b"one\ntwo\n");
        assert_eq!(output.written(), 8);
        assert_eq!(output.read(4), (4, b"two\n".to_vec()));
        assert_eq!(output.read(99), (8, Vec::new()));
        assert_eq!(output.last_line(), "two");
        output.write(&[b'x'; 5000]);
        let (first, bytes) = output.read(0);
        assert_eq!((first, bytes.len()), (5008 - 4096, 4096));
        assert!(bytes.iter().all(|byte| *byte == b'x'));
        output.write(b"\nend\n\n");
        assert_eq!(output.last_line(), "end");
    }
}
