//! Call filters (seccomp): what a thread may ask of the kernel.
//!
//! A thread has no filter, the strict one, or a chain of programs that only grows. A child starts with its parent's
//! chain and shares it; nothing ever takes a filter away. The system-call gate asks [`CallFilter::judge`] before each
//! call and does what the [`Verdict`] says.

mod bpf;
mod container;
mod install;
#[cfg(test)]
mod tests;

use alloc::sync::Arc;

pub use bpf::{Instruction, MAX_INSTRUCTIONS, Program};
pub use container::container_program;
pub use install::{FilterScope, Installed};

use crate::{ProcessError, Result};

/// Most instructions of a chain, each program counted with [`PROGRAM_PENALTY`] (MAX_INSNS_PER_PATH).
const MAX_CHAIN: usize = (1 << 18) / Instruction::SIZE;
/// What a program counts beyond its instructions in the sum over a chain.
const PROGRAM_PENALTY: usize = 4;

/// Architecture of calls by `syscall` (AUDIT_ARCH_X86_64).
pub const ARCH_X86_64: u32 = 0xc000_003e;
/// Architecture of calls by `int 0x80` (AUDIT_ARCH_I386): what a filter for Linux expects behind that gate.
pub const ARCH_I386: u32 = 0x4000_0003;

/// A call as filters see it (`struct seccomp_data`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Its number.
    pub number: u32,
    /// The gate: [`ARCH_X86_64`] or [`ARCH_I386`].
    pub arch: u32,
    /// Address behind the instruction.
    pub instruction: u64,
    /// Its arguments.
    pub arguments: [u64; 6],
}

/// What becomes of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is made.
    Allow,
    /// It is made and noted in the log.
    Log,
    /// It is not made; it returns that errno (0: the value 0).
    Errno(u16),
    /// It is not made; the thread gets SIGSYS with that value.
    Trap(u16),
    /// It is not made: it asks a debugger or a supervisor, and there is none.
    NoOneToAsk,
    /// The thread ends as by SIGSYS.
    KillThread,
    /// The process ends by SIGSYS.
    KillProcess,
    /// The thread ends as by SIGKILL: a call outside of the strict set.
    KillStrict,
}

/// Actions by number (`SECCOMP_RET_*`); the upper half of what a program returns.
pub mod action {
    /// The process ends.
    pub const KILL_PROCESS: u32 = 0x8000_0000;
    /// The thread ends.
    pub const KILL_THREAD: u32 = 0;
    /// SIGSYS.
    pub const TRAP: u32 = 0x0003_0000;
    /// An errno.
    pub const ERRNO: u32 = 0x0005_0000;
    /// A supervisor's decision.
    pub const USER_NOTIF: u32 = 0x7fc0_0000;
    /// A debugger's decision.
    pub const TRACE: u32 = 0x7ff0_0000;
    /// Allowed and noted.
    pub const LOG: u32 = 0x7ffc_0000;
    /// Allowed.
    pub const ALLOW: u32 = 0x7fff_0000;

    /// Whether the action is offered (SECCOMP_GET_ACTION_AVAIL). There is no supervisor's interface.
    pub const fn is_offered(action: u32) -> bool {
        matches!(action, KILL_PROCESS | KILL_THREAD | TRAP | ERRNO | TRACE | LOG | ALLOW)
    }
}

/// Which kind of filter a thread is under; by PR_GET_SECCOMP's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FilterMode {
    /// Only read, write, exit and return from a handler.
    Strict = 1,
    /// Programs decide.
    Programs = 2,
}

/// The filters of a thread: the newest, and behind it the older ones.
#[derive(Debug)]
pub struct CallFilter {
    // None: the strict set.
    program: Option<Program>,
    older: Option<Arc<CallFilter>>,
    // Programs in the chain.
    count: u32,
    // What the chain counts.
    weight: usize,
}

impl CallFilter {
    /// The strict set.
    pub fn strict() -> Arc<Self> {
        Arc::new(Self { program: None, older: None, count: 0, weight: 0 })
    }

    /// `program` before the filters of `older`.
    ///
    /// # Errors
    /// `InvalidArgument` after the strict set; `NoMemory` if the chain gets too long.
    pub fn stack(program: Program, older: Option<Arc<Self>>) -> Result<Arc<Self>> {
        let (count, weight) = match &older {
            Some(older) if older.mode() == FilterMode::Strict => return Err(ProcessError::InvalidArgument),
            Some(older) => (older.count, older.weight),
            None => (0, 0),
        };
        let len = program.len();
        if weight + len > MAX_CHAIN {
            return Err(ProcessError::NoMemory);
        }
        let weight = weight + len + PROGRAM_PENALTY;
        Ok(Arc::new(Self { program: Some(program), older, count: count + 1, weight }))
    }

    /// The program back, of a filter that nobody is under.
    fn take_program(self: Arc<Self>) -> Option<Program> {
        Arc::into_inner(self).and_then(|mut filter| filter.program.take())
    }

    /// Which kind it is.
    pub fn mode(&self) -> FilterMode {
        if self.program.is_some() { FilterMode::Programs } else { FilterMode::Strict }
    }

    /// Programs in the chain (`Seccomp_filters` in /proc/PID/status).
    pub fn count(&self) -> u32 {
        self.count
    }

    /// Whether a thread under `other` may go over to the chain `self`: `other` is none or part of it.
    pub fn extends(&self, other: Option<&Arc<Self>>) -> bool {
        let Some(other) = other else { return true };
        let mut at = Some(self);
        while let Some(filter) = at {
            if core::ptr::eq(filter, Arc::as_ptr(other)) {
                return true;
            }
            at = filter.older.as_deref();
        }
        false
    }

    /// What becomes of `call`: of all programs' answers the most restrictive, of equals the newest.
    pub fn judge(&self, call: &Call) -> Verdict {
        if self.program.is_none() {
            return strict_verdict(call);
        }
        let data = call.words();
        let mut answer = action::ALLOW;
        let mut at = Some(self);
        while let Some(filter) = at {
            if let Some(program) = &filter.program {
                let said = program.run(&data);
                // The order of actions is that of their numbers with sign.
                if ((said & ACTION) as i32) < (answer & ACTION) as i32 {
                    answer = said;
                }
            }
            at = filter.older.as_deref();
        }
        verdict(answer)
    }
}

impl Drop for CallFilter {
    /// One link after the other: a chain may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut older = self.older.take();
        while let Some(filter) = older {
            older = Arc::into_inner(filter).and_then(|mut filter| filter.older.take());
        }
    }
}

/// The part of an answer that is the action; the rest is its data.
const ACTION: u32 = 0xffff_0000;
/// Highest errno (MAX_ERRNO).
const MAX_ERRNO: u16 = 4095;

fn verdict(answer: u32) -> Verdict {
    let data = answer as u16;
    match answer & ACTION {
        action::ALLOW => Verdict::Allow,
        action::LOG => Verdict::Log,
        action::ERRNO => Verdict::Errno(data.min(MAX_ERRNO)),
        action::TRAP => Verdict::Trap(data),
        action::TRACE | action::USER_NOTIF => Verdict::NoOneToAsk,
        action::KILL_THREAD => Verdict::KillThread,
        // What is not known is not allowed.
        _ => Verdict::KillProcess,
    }
}

fn strict_verdict(call: &Call) -> Verdict {
    use abi::linux::general as linux;
    /// `exit` of the other gate: the only one of these that it offers.
    const NATIVE_EXIT: u32 = 1;
    let allowed = match call.arch {
        ARCH_X86_64 => {
            matches!(call.number, linux::__NR_read | linux::__NR_write | linux::__NR_exit | linux::__NR_rt_sigreturn)
        }
        _ => call.number == NATIVE_EXIT,
    };
    if allowed { Verdict::Allow } else { Verdict::KillStrict }
}

impl Call {
    /// As 32-bit words, in memory's order.
    fn words(&self) -> [u32; 16] {
        let mut words = [0; 16];
        let head = [self.number, self.arch, self.instruction as u32, (self.instruction >> 32) as u32];
        let arguments = self.arguments.iter().flat_map(|value| [*value as u32, (*value >> 32) as u32]);
        words.iter_mut().zip(head.into_iter().chain(arguments)).for_each(|(slot, word)| *slot = word);
        words
    }
}
