//! The call filter of [`crate::IsolationLevel::Container`].

use abi::Errno;
use abi::linux::general as linux;

use super::{ARCH_X86_64, Instruction, Program, action};
use crate::Result;

/// Calls about the machine as a whole, or about other views than one's own: refused with EPERM. Everything else is bounded by
/// the views, the limits and the rights that a container has.
const REFUSED: [u32; 26] = [
    linux::__NR_reboot,
    linux::__NR_kexec_load,
    linux::__NR_kexec_file_load,
    linux::__NR_init_module,
    linux::__NR_finit_module,
    linux::__NR_delete_module,
    linux::__NR_iopl,
    linux::__NR_ioperm,
    linux::__NR_swapon,
    linux::__NR_swapoff,
    linux::__NR_settimeofday,
    linux::__NR_clock_settime,
    linux::__NR_adjtimex,
    linux::__NR_clock_adjtime,
    linux::__NR_syslog,
    linux::__NR_acct,
    linux::__NR_quotactl,
    linux::__NR_ptrace,
    linux::__NR_process_vm_writev,
    linux::__NR_bpf,
    linux::__NR_perf_event_open,
    linux::__NR_setns,
    linux::__NR_mknod,
    linux::__NR_mknodat,
    linux::__NR_open_by_handle_at,
    linux::__NR_chroot,
];

/// The program that refuses them.
///
/// # Errors
/// `NoMemory`.
pub fn container_program() -> Result<Program> {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    const FIRST: usize = 3;
    let step = |code, jump_true, jump_false, k| Instruction { code, jump_true, jump_false, k };
    let mut program = [Instruction::default(); FIRST + REFUSED.len() + 2];
    let refuse = (FIRST + REFUSED.len() + 1) as u8;
    // The other gate checks rights by itself.
    let head = [step(LOAD, 0, 0, 4), step(EQUAL, 0, refuse - 3, ARCH_X86_64), step(LOAD, 0, 0, 0)];
    let checks =
        REFUSED.iter().enumerate().map(|(at, number)| step(EQUAL, refuse - (FIRST + at) as u8 - 1, 0, *number));
    let ends = [step(RETURN, 0, 0, action::ALLOW), step(RETURN, 0, 0, action::ERRNO | Errno::EPERM.number() as u32)];
    program.iter_mut().zip(head.into_iter().chain(checks).chain(ends)).for_each(|(slot, step)| *slot = step);
    Program::new(&program)
}

#[cfg(test)]
mod tests {
    use super::super::{ARCH_I386, Call, CallFilter, Verdict};
    use super::*;

    #[test]
    fn container_may_do_all_but_what_is_listed() {
        let filter = CallFilter::stack(container_program().unwrap(), None).unwrap();
        let call = |number, arch| Call { number, arch, instruction: 0, arguments: [0; 6] };
        for number in 0..512 {
            let expected = if REFUSED.contains(&number) { Verdict::Errno(1) } else { Verdict::Allow };
            assert_eq!(filter.judge(&call(number, ARCH_X86_64)), expected, "{number}");
            assert_eq!(filter.judge(&call(number, ARCH_I386)), Verdict::Allow, "{number}");
        }
    }
}
