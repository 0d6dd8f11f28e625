//! The operation word of `FUTEX_WAKE_OP`: change one word, wake on another, maybe wake on the first as well.

use abi::linux::general as linux;

/// Not an operation that exists (ENOSYS).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadWakeOp;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Change {
    Set,
    Add,
    Or,
    AndNot,
    Xor,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Compare {
    Eq,
    Ne,
    Lt,
    Le,
    Gt,
    Ge,
}

/// A decoded operation word.
///
/// The caller does: `old = load; compare_exchange(old, op.apply(old))` until it succeeds; wakes on the first futex; wakes on
/// the second if `op.test(old)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WakeOp {
    change: Change,
    argument: u32,
    compare: Compare,
    against: i32,
}

impl WakeOp {
    /// Decodes the third value of `FUTEX_WAKE_OP`.
    ///
    /// # Errors
    /// [`BadWakeOp`] for an unknown operation or comparison.
    pub const fn decode(word: u32) -> Result<Self, BadWakeOp> {
        let shift = (word >> 28) & linux::FUTEX_OP_OPARG_SHIFT != 0;
        let change = match (word >> 28) & 7 {
            linux::FUTEX_OP_SET => Change::Set,
            linux::FUTEX_OP_ADD => Change::Add,
            linux::FUTEX_OP_OR => Change::Or,
            linux::FUTEX_OP_ANDN => Change::AndNot,
            linux::FUTEX_OP_XOR => Change::Xor,
            _ => return Err(BadWakeOp),
        };
        let compare = match (word >> 24) & 15 {
            linux::FUTEX_OP_CMP_EQ => Compare::Eq,
            linux::FUTEX_OP_CMP_NE => Compare::Ne,
            linux::FUTEX_OP_CMP_LT => Compare::Lt,
            linux::FUTEX_OP_CMP_LE => Compare::Le,
            linux::FUTEX_OP_CMP_GT => Compare::Gt,
            linux::FUTEX_OP_CMP_GE => Compare::Ge,
            _ => return Err(BadWakeOp),
        };
        let raw = sign_extend_12(word >> 12);
        // As on Linux a shift of more than 31 uses its low five bits.
        let argument = if shift { 1_u32 << (raw as u32 & 31) } else { raw as u32 };
        Ok(Self { change, argument, compare, against: sign_extend_12(word) })
    }

    /// The value to store in place of `old`.
    pub const fn apply(&self, old: u32) -> u32 {
        match self.change {
            Change::Set => self.argument,
            Change::Add => old.wrapping_add(self.argument),
            Change::Or => old | self.argument,
            Change::AndNot => old & !self.argument,
            Change::Xor => old ^ self.argument,
        }
    }

    /// Whether waiters on the changed word are to be woken, given its old value.
    pub const fn test(&self, old: u32) -> bool {
        let old = old as i32;
        match self.compare {
            Compare::Eq => old == self.against,
            Compare::Ne => old != self.against,
            Compare::Lt => old < self.against,
            Compare::Le => old <= self.against,
            Compare::Gt => old > self.against,
            Compare::Ge => old >= self.against,
        }
    }
}

/// The low twelve bits as a signed number.
const fn sign_extend_12(word: u32) -> i32 {
    ((word << 20) as i32) >> 20
}

#[cfg(test)]
mod tests {
    use super::*;

    fn op(change: u32, compare: u32, argument: u32, against: u32) -> WakeOp {
        WakeOp::decode(change << 28 | compare << 24 | (argument & 0xfff) << 12 | against & 0xfff).unwrap()
    }

    #[test]
    fn operations_do_what_futex_2_says() {
        assert_eq!(op(0, 0, 5, 0).apply(9), 5);
        assert_eq!(op(1, 0, 0xfff, 0).apply(9), 8, "arguments are signed");
        assert_eq!(op(2, 0, 6, 0).apply(9), 15);
        assert_eq!(op(3, 0, 1, 0).apply(9), 8);
        assert_eq!(op(4, 0, 3, 0).apply(9), 10);
        assert_eq!(op(8 + 2, 0, 4, 0).apply(0), 16, "shifted argument");
    }

    #[test]
    fn comparisons_are_signed() {
        assert!(op(0, 2, 0, 0).test(u32::MAX));
        assert!(op(0, 0, 0, 0xfff).test(u32::MAX));
        assert!(!op(0, 4, 0, 0).test(u32::MAX));
        assert!(op(0, 1, 0, 1).test(2) && op(0, 3, 0, 2).test(2) && op(0, 5, 0, 2).test(2));
    }

    #[test]
    fn unknown_operations_are_refused() {
        for change in 5..8 {
            assert_eq!(WakeOp::decode(change << 28), Err(BadWakeOp));
        }
        assert_eq!(WakeOp::decode(6 << 24), Err(BadWakeOp));
    }
}
