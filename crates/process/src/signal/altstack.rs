//! The alternate signal stack of a thread (sigaltstack(2)).

use abi::SigaltStack;
use abi::linux::general as linux;

/// Smallest alternate stack that `sigaltstack` takes.
pub const MINSIGSTKSZ: u64 = linux::MINSIGSTKSZ as u64;

const SS_ONSTACK: u32 = linux::SS_ONSTACK;
const SS_DISABLE: u32 = linux::SS_DISABLE;
const SS_AUTODISARM: u32 = linux::SS_AUTODISARM;

/// Why `sigaltstack` refused; nothing changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AltStackError {
    /// The thread is running on it (EPERM).
    InUse,
    /// Unknown flags (EINVAL).
    BadFlags,
    /// Too small (ENOMEM).
    TooSmall,
}

/// Where handlers with `SA_ONSTACK` run; size zero is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct AltStack {
    base: u64,
    size: u64,
    autodisarm: bool,
}

impl AltStack {
    /// No alternate stack.
    pub const NONE: Self = Self { base: 0, size: 0, autodisarm: false };

    /// One past its highest address.
    pub const fn top(&self) -> u64 {
        self.base.wrapping_add(self.size)
    }

    /// Whether there is one.
    pub const fn is_enabled(&self) -> bool {
        self.size != 0
    }

    /// Whether it is given up for the time a handler runs on it.
    pub const fn is_autodisarm(&self) -> bool {
        self.autodisarm
    }

    /// Whether `rsp` lies on it.
    pub const fn contains(&self, rsp: u64) -> bool {
        rsp > self.base && rsp - self.base <= self.size
    }

    /// Whether the thread counts as running on it: one with `SS_AUTODISARM` never does.
    pub const fn is_active(&self, rsp: u64) -> bool {
        !self.autodisarm && self.contains(rsp)
    }

    /// What `sigaltstack` reports with the stack pointer at `rsp`.
    pub fn report(&self, rsp: u64) -> SigaltStack {
        let state = if !self.is_enabled() {
            SS_DISABLE
        } else if self.is_active(rsp) {
            SS_ONSTACK
        } else {
            0
        };
        self.with_flags(state | self.flag_bits())
    }

    /// What a signal frame stores, so that sigreturn can put it back.
    pub(super) fn in_frame(&self) -> SigaltStack {
        self.with_flags(if self.is_enabled() { self.flag_bits() } else { SS_DISABLE })
    }

    /// The stack that `sigaltstack` sets; `minimum` is [`MINSIGSTKSZ`] or more where frames are larger.
    ///
    /// # Errors
    /// See [`AltStackError`].
    pub fn replace(&self, wanted: &SigaltStack, rsp: u64, minimum: u64) -> Result<Self, AltStackError> {
        if self.is_active(rsp) {
            return Err(AltStackError::InUse);
        }
        let flags = wanted.ss_flags as u32;
        let autodisarm = flags & SS_AUTODISARM != 0;
        match flags & !SS_AUTODISARM {
            SS_DISABLE => Ok(Self { autodisarm, ..Self::NONE }),
            0 | SS_ONSTACK if wanted.ss_size < minimum => Err(AltStackError::TooSmall),
            0 | SS_ONSTACK => Ok(Self { base: wanted.ss_sp, size: wanted.ss_size, autodisarm }),
            _ => Err(AltStackError::BadFlags),
        }
    }

    const fn flag_bits(&self) -> u32 {
        if self.autodisarm { SS_AUTODISARM } else { 0 }
    }

    fn with_flags(&self, flags: u32) -> SigaltStack {
        SigaltStack { ss_sp: self.base, ss_flags: flags as i32, pad: 0, ss_size: self.size }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(sp: u64, size: u64, flags: u32) -> SigaltStack {
        SigaltStack { ss_sp: sp, ss_flags: flags as i32, pad: 0, ss_size: size }
    }

    #[test]
    fn a_stack_in_use_cannot_be_replaced() {
        let stack = AltStack::NONE.replace(&wanted(0x10000, 0x4000, 0), 0, MINSIGSTKSZ).unwrap();
        assert_eq!(stack.report(0x12000).ss_flags as u32, SS_ONSTACK);
        assert_eq!(stack.replace(&wanted(0, 0, SS_DISABLE), 0x12000, MINSIGSTKSZ), Err(AltStackError::InUse));
        assert_eq!(stack.replace(&wanted(0, 0, SS_DISABLE), 0x20000, MINSIGSTKSZ), Ok(AltStack::NONE));
    }

    #[test]
    fn size_and_flags_are_checked() {
        let none = AltStack::NONE;
        assert_eq!(none.replace(&wanted(0x1000, 100, 0), 0, MINSIGSTKSZ), Err(AltStackError::TooSmall));
        assert_eq!(none.replace(&wanted(0x1000, 0x4000, 4), 0, MINSIGSTKSZ), Err(AltStackError::BadFlags));
        assert_eq!(none.report(0).ss_flags as u32, SS_DISABLE);
    }

    #[test]
    fn an_autodisarm_stack_is_never_in_use() {
        let stack = AltStack::NONE.replace(&wanted(0x10000, 0x4000, SS_AUTODISARM), 0, MINSIGSTKSZ).unwrap();
        assert_eq!(stack.report(0x12000).ss_flags as u32, SS_AUTODISARM);
        assert!(stack.replace(&wanted(0x1000, 0x4000, 0), 0x12000, MINSIGSTKSZ).is_ok());
    }
}
