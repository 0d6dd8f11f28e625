//! Classic BPF as call filters use it (Linux, Documentation/networking/filter.rst and seccomp(2)): checked once, then
//! interpreted.
//!
//! A checked program has only known instructions, only forward jumps, reads only scratch words that every path to the
//! read has written, and ends in a return. So each run ends within as many steps as the program has instructions.

use alloc::boxed::Box;
use alloc::vec::Vec;

use crate::{ProcessError, Result};

/// Most instructions of one program (BPF_MAXINSNS).
pub const MAX_INSTRUCTIONS: usize = 4096;
/// Bytes of `struct seccomp_data`.
pub(super) const DATA_SIZE: u32 = 64;

/// Scratch words (BPF_MEMWORDS).
const SCRATCH: usize = 16;
/// 32-bit words of the data.
const DATA_WORDS: usize = DATA_SIZE as usize / 4;

/// One instruction as programs pass it (`struct sock_filter`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Instruction {
    /// Class, size, mode or operation, source.
    pub code: u16,
    /// Instructions to skip if the condition holds.
    pub jump_true: u8,
    /// And if it does not.
    pub jump_false: u8,
    /// Constant, offset, scratch word.
    pub k: u32,
}

impl Instruction {
    /// Bytes of one instruction.
    pub const SIZE: usize = 8;

    /// From the bytes a program passes.
    pub fn from_bytes(bytes: [u8; Self::SIZE]) -> Self {
        let [c0, c1, jump_true, jump_false, k0, k1, k2, k3] = bytes;
        Self { code: u16::from_le_bytes([c0, c1]), jump_true, jump_false, k: u32::from_le_bytes([k0, k1, k2, k3]) }
    }
}

/// A checked program.
#[derive(Debug)]
pub struct Program {
    steps: Box<[Step]>,
}

/// An instruction, decoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    /// A := word of the data.
    LoadData(u8),
    /// A := constant.
    LoadConstant(u32),
    /// A := scratch word.
    LoadScratch(u8),
    /// X := constant.
    IndexConstant(u32),
    /// X := scratch word.
    IndexScratch(u8),
    /// Scratch word := A.
    Store(u8),
    /// Scratch word := X.
    StoreIndex(u8),
    /// A := A op operand.
    Compute(Operation, Operand),
    /// A := -A.
    Negate,
    /// Skips ahead.
    Jump(u32),
    /// Skips ahead by whether A compares to the operand.
    Branch(Condition, Operand, u8, u8),
    /// Ends with that value.
    Return(Operand),
    /// X := A.
    ToIndex,
    /// A := X.
    FromIndex,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operand {
    Constant(u32),
    Index,
    Accumulator,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operation {
    Add,
    Subtract,
    Multiply,
    Divide,
    And,
    Or,
    Xor,
    ShiftLeft,
    ShiftRight,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Condition {
    Equal,
    Greater,
    NotLess,
    AnyBit,
}

impl Program {
    /// Checks a program.
    ///
    /// # Errors
    /// `InvalidArgument` if it is no valid call filter; `NoMemory`.
    pub fn new(instructions: &[Instruction]) -> Result<Self> {
        if instructions.is_empty() || instructions.len() > MAX_INSTRUCTIONS {
            return Err(ProcessError::InvalidArgument);
        }
        let mut steps = Vec::new();
        steps.try_reserve_exact(instructions.len()).map_err(|_| ProcessError::NoMemory)?;
        for (at, instruction) in instructions.iter().enumerate() {
            let after = instructions.len() - at - 1;
            let step = decode(*instruction, after).ok_or(ProcessError::InvalidArgument)?;
            steps.push(step);
        }
        if !matches!(steps.last(), Some(Step::Return(_))) {
            return Err(ProcessError::InvalidArgument);
        }
        check_scratch(&steps)?;
        Ok(Self { steps: steps.into_boxed_slice() })
    }

    /// Number of instructions.
    pub fn len(&self) -> usize {
        self.steps.len()
    }

    /// Whether there are none: never for a checked program.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// What the program says about `data`.
    pub fn run(&self, data: &[u32; DATA_WORDS]) -> u32 {
        let (mut a, mut x) = (0_u32, 0_u32);
        let mut scratch = [0_u32; SCRATCH];
        let mut rest = self.steps.iter();
        while let Some(step) = rest.next() {
            let value = |operand| match operand {
                Operand::Constant(value) => value,
                Operand::Index => x,
                Operand::Accumulator => a,
            };
            let skip = match *step {
                Step::LoadData(at) => {
                    a = data.get(usize::from(at)).copied().unwrap_or(0);
                    0
                }
                Step::LoadConstant(value) => {
                    a = value;
                    0
                }
                Step::LoadScratch(at) => {
                    a = scratch.get(usize::from(at)).copied().unwrap_or(0);
                    0
                }
                Step::IndexConstant(value) => {
                    x = value;
                    0
                }
                Step::IndexScratch(at) => {
                    x = scratch.get(usize::from(at)).copied().unwrap_or(0);
                    0
                }
                Step::Store(at) => {
                    scratch.get_mut(usize::from(at)).into_iter().for_each(|word| *word = a);
                    0
                }
                Step::StoreIndex(at) => {
                    scratch.get_mut(usize::from(at)).into_iter().for_each(|word| *word = x);
                    0
                }
                Step::Compute(operation, operand) => {
                    // A division by zero ends the program with 0: the call is killed.
                    let Some(result) = operation.apply(a, value(operand)) else { return 0 };
                    a = result;
                    0
                }
                Step::Negate => {
                    a = a.wrapping_neg();
                    0
                }
                Step::Jump(skip) => skip,
                Step::Branch(condition, operand, yes, no) => {
                    u32::from(if condition.holds(a, value(operand)) { yes } else { no })
                }
                Step::Return(operand) => return value(operand),
                Step::ToIndex => {
                    x = a;
                    0
                }
                Step::FromIndex => {
                    a = x;
                    0
                }
            };
            if skip != 0 {
                rest.nth(skip as usize - 1);
            }
        }
        // Not reached: a checked program ends in a return.
        0
    }
}

impl Operation {
    fn apply(self, a: u32, b: u32) -> Option<u32> {
        Some(match self {
            Self::Add => a.wrapping_add(b),
            Self::Subtract => a.wrapping_sub(b),
            Self::Multiply => a.wrapping_mul(b),
            Self::Divide => return a.checked_div(b),
            Self::And => a & b,
            Self::Or => a | b,
            Self::Xor => a ^ b,
            // By the low five bits, as the machine shifts.
            Self::ShiftLeft => a.wrapping_shl(b),
            Self::ShiftRight => a.wrapping_shr(b),
        })
    }
}

impl Condition {
    fn holds(self, a: u32, b: u32) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Greater => a > b,
            Self::NotLess => a >= b,
            Self::AnyBit => a & b != 0,
        }
    }
}

/// The parts of `code`.
mod parts {
    pub(super) const LD_W_ABS: u16 = 0x20;
    pub(super) const LD_W_LEN: u16 = 0x80;
    pub(super) const LD_IMM: u16 = 0x00;
    pub(super) const LD_MEM: u16 = 0x60;
    pub(super) const LDX_IMM: u16 = 0x01;
    pub(super) const LDX_MEM: u16 = 0x61;
    pub(super) const LDX_W_LEN: u16 = 0x81;
    pub(super) const ST: u16 = 0x02;
    pub(super) const STX: u16 = 0x03;
    pub(super) const CLASS: u16 = 0x07;
    pub(super) const ALU: u16 = 0x04;
    pub(super) const JMP: u16 = 0x05;
    pub(super) const RET_K: u16 = 0x06;
    pub(super) const RET_A: u16 = 0x16;
    pub(super) const MISC_TAX: u16 = 0x07;
    pub(super) const MISC_TXA: u16 = 0x87;
    pub(super) const SOURCE_X: u16 = 0x08;
    pub(super) const NEG: u16 = 0x84;
    pub(super) const JA: u16 = 0x05;
}

/// The instruction's meaning, if it has one with `after` instructions behind it.
fn decode(instruction: Instruction, after: usize) -> Option<Step> {
    let Instruction { code, jump_true, jump_false, k } = instruction;
    let word = || u8::try_from(k).ok().filter(|k| usize::from(*k) < SCRATCH);
    let fits = |skip: usize| skip < after;
    Some(match code {
        parts::LD_W_ABS => Step::LoadData((k.is_multiple_of(4) && k < DATA_SIZE).then_some((k / 4) as u8)?),
        parts::LD_W_LEN => Step::LoadConstant(DATA_SIZE),
        parts::LD_IMM => Step::LoadConstant(k),
        parts::LD_MEM => Step::LoadScratch(word()?),
        parts::LDX_IMM => Step::IndexConstant(k),
        parts::LDX_MEM => Step::IndexScratch(word()?),
        parts::LDX_W_LEN => Step::IndexConstant(DATA_SIZE),
        parts::ST => Step::Store(word()?),
        parts::STX => Step::StoreIndex(word()?),
        parts::RET_K => Step::Return(Operand::Constant(k)),
        parts::RET_A => Step::Return(Operand::Accumulator),
        parts::MISC_TAX => Step::ToIndex,
        parts::MISC_TXA => Step::FromIndex,
        parts::NEG => Step::Negate,
        parts::JA => Step::Jump(fits(k as usize).then_some(k)?),
        _ if code > 0xff => return None,
        _ => {
            let operand = if code & parts::SOURCE_X != 0 { Operand::Index } else { Operand::Constant(k) };
            let what = code >> 4;
            match code & parts::CLASS {
                parts::ALU => Step::Compute(operation(what, operand)?, operand),
                parts::JMP => {
                    let inside = fits(usize::from(jump_true)) && fits(usize::from(jump_false));
                    Step::Branch(condition(what).filter(|_| inside)?, operand, jump_true, jump_false)
                }
                _ => return None,
            }
        }
    })
}

fn operation(what: u16, operand: Operand) -> Option<Operation> {
    let constant = if let Operand::Constant(value) = operand { Some(value) } else { None };
    let operation = match what {
        0 => Operation::Add,
        1 => Operation::Subtract,
        2 => Operation::Multiply,
        3 => Operation::Divide,
        4 => Operation::Or,
        5 => Operation::And,
        6 => Operation::ShiftLeft,
        7 => Operation::ShiftRight,
        10 => Operation::Xor,
        _ => return None,
    };
    match operation {
        Operation::Divide if constant == Some(0) => None,
        Operation::ShiftLeft | Operation::ShiftRight if constant.is_some_and(|by| by >= 32) => None,
        _ => Some(operation),
    }
}

fn condition(what: u16) -> Option<Condition> {
    Some(match what {
        1 => Condition::Equal,
        2 => Condition::Greater,
        3 => Condition::NotLess,
        4 => Condition::AnyBit,
        _ => return None,
    })
}

/// Refuses a program that may read a scratch word before it wrote it, so that a filter cannot depend on leftovers.
fn check_scratch(steps: &[Step]) -> Result<()> {
    // For each instruction the words that are written on every path to it.
    let mut valid = Vec::new();
    valid.try_reserve_exact(steps.len()).map_err(|_| ProcessError::NoMemory)?;
    valid.resize(steps.len(), u16::MAX);
    let mut written = 0_u16;
    for (at, step) in steps.iter().enumerate() {
        written &= valid.get(at).copied().unwrap_or(0);
        let mut meet = |skip: usize, words: u16| {
            valid.get_mut(at + 1 + skip).into_iter().for_each(|set| *set &= words);
        };
        match *step {
            Step::Store(word) | Step::StoreIndex(word) => written |= 1 << word,
            Step::LoadScratch(word) | Step::IndexScratch(word) if written & 1 << word == 0 => {
                return Err(ProcessError::InvalidArgument);
            }
            // What follows is reached by jumps only, if at all.
            Step::Jump(skip) => {
                meet(skip as usize, written);
                written = u16::MAX;
            }
            Step::Branch(_, _, yes, no) => {
                meet(usize::from(yes), written);
                meet(usize::from(no), written);
                written = u16::MAX;
            }
            _ => {}
        }
    }
    Ok(())
}
