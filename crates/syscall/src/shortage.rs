//! What is refused while memory is short.
//!
//! Objects of the kernel are small and their allocation is taken to succeed, since users stop at a reserve. But a program
//! can have so many made that the reserve goes as well. So calls that make objects which outlive them are refused, with
//! ENOMEM, once half of the reserve is gone; those that give something back, or wait, or only tell something, never are.

use abi::linux::general as linux;

/// Whether call `number` makes something that stays.
#[inline]
pub(crate) const fn makes_objects(number: u32) -> bool {
    number < 512 && is_in(number)
}

#[expect(clippy::indexing_slicing, reason = "bounded by the caller's comparison")]
#[inline]
const fn is_in(number: u32) -> bool {
    SET[(number / 64) as usize] >> (number % 64) & 1 != 0
}

const SET: [u64; 8] = set();

#[expect(clippy::indexing_slicing, reason = "evaluated by the compiler")]
const fn set() -> [u64; 8] {
    let mut set = [0; 8];
    let mut at = 0;
    while at < MAKERS.len() {
        set[(MAKERS[at] / 64) as usize] |= 1 << (MAKERS[at] % 64);
        at += 1;
    }
    set
}

const MAKERS: [u32; 65] = [
    linux::__NR_unshare,
    linux::__NR_setns,
    linux::__NR_seccomp,
    linux::__NR_open,
    linux::__NR_openat,
    linux::__NR_openat2,
    linux::__NR_creat,
    linux::__NR_mkdir,
    linux::__NR_mkdirat,
    linux::__NR_mknod,
    linux::__NR_mknodat,
    linux::__NR_link,
    linux::__NR_linkat,
    linux::__NR_symlink,
    linux::__NR_symlinkat,
    linux::__NR_rename,
    linux::__NR_renameat,
    linux::__NR_renameat2,
    linux::__NR_setxattr,
    linux::__NR_mount,
    linux::__NR_fcntl,
    linux::__NR_flock,
    linux::__NR_memfd_create,
    linux::__NR_pipe,
    linux::__NR_pipe2,
    linux::__NR_socket,
    linux::__NR_socketpair,
    linux::__NR_bind,
    linux::__NR_listen,
    linux::__NR_connect,
    linux::__NR_accept,
    linux::__NR_accept4,
    linux::__NR_sendto,
    linux::__NR_sendmsg,
    linux::__NR_sendmmsg,
    linux::__NR_epoll_create,
    linux::__NR_epoll_create1,
    linux::__NR_epoll_ctl,
    linux::__NR_eventfd,
    linux::__NR_eventfd2,
    linux::__NR_mq_open,
    linux::__NR_mq_timedsend,
    linux::__NR_inotify_init,
    linux::__NR_inotify_init1,
    linux::__NR_inotify_add_watch,
    linux::__NR_timerfd_create,
    linux::__NR_signalfd,
    linux::__NR_signalfd4,
    linux::__NR_pidfd_open,
    linux::__NR_inotify_init1,
    linux::__NR_timer_create,
    linux::__NR_fork,
    linux::__NR_vfork,
    linux::__NR_clone,
    linux::__NR_clone3,
    linux::__NR_execve,
    linux::__NR_execveat,
    linux::__NR_mmap,
    linux::__NR_semget,
    linux::__NR_semop,
    linux::__NR_msgget,
    linux::__NR_msgsnd,
    linux::__NR_shmget,
    linux::__NR_mremap,
    linux::__NR_mprotect,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_that_give_back_are_never_refused() {
        for number in MAKERS {
            assert!(makes_objects(number));
        }
        for number in [
            linux::__NR_close,
            linux::__NR_munmap,
            linux::__NR_exit,
            linux::__NR_exit_group,
            linux::__NR_wait4,
            linux::__NR_kill,
            linux::__NR_unlink,
            linux::__NR_rt_sigreturn,
            u32::MAX,
            512,
        ] {
            assert!(!makes_objects(number));
        }
    }
}
