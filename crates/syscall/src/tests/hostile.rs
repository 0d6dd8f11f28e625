//! Bad arguments in every place of every call on files: an error, never a panic.

use abi::linux::general as linux;

use crate::testing::World;

/// Addresses and numbers that programs should not pass.
const BAD: [u64; 10] = [
    0,
    1,
    0x1000,
    0x7fff_ffff_efff,
    0x7fff_ffff_f000,
    0x8000_0000_0000_0000,
    0xffff_8000_0000_0000,
    0xffff_ffff_ffff_f000,
    u64::MAX - 1,
    u64::MAX,
];

/// The calls on files, apart from those that would leave nothing to be tested (close, chroot, …).
const CALLS: [u32; 128] = [
    linux::__NR_accept,
    linux::__NR_accept4,
    linux::__NR_access,
    linux::__NR_bind,
    linux::__NR_chdir,
    linux::__NR_chmod,
    linux::__NR_chown,
    linux::__NR_connect,
    linux::__NR_copy_file_range,
    linux::__NR_creat,
    linux::__NR_dup,
    linux::__NR_dup2,
    linux::__NR_dup3,
    linux::__NR_epoll_create,
    linux::__NR_epoll_create1,
    linux::__NR_epoll_ctl,
    linux::__NR_epoll_pwait,
    linux::__NR_epoll_pwait2,
    linux::__NR_epoll_wait,
    linux::__NR_eventfd,
    linux::__NR_eventfd2,
    linux::__NR_faccessat,
    linux::__NR_faccessat2,
    linux::__NR_fadvise64,
    linux::__NR_fallocate,
    linux::__NR_fchdir,
    linux::__NR_fchmod,
    linux::__NR_fchmodat,
    linux::__NR_fchmodat2,
    linux::__NR_fchown,
    linux::__NR_fchownat,
    linux::__NR_fcntl,
    linux::__NR_fdatasync,
    linux::__NR_fgetxattr,
    linux::__NR_flistxattr,
    linux::__NR_flock,
    linux::__NR_fremovexattr,
    linux::__NR_fsetxattr,
    linux::__NR_fstat,
    linux::__NR_fstatfs,
    linux::__NR_fsync,
    linux::__NR_ftruncate,
    linux::__NR_futimesat,
    linux::__NR_getcwd,
    linux::__NR_getdents,
    linux::__NR_getdents64,
    linux::__NR_getpeername,
    linux::__NR_getsockname,
    linux::__NR_getsockopt,
    linux::__NR_getxattr,
    linux::__NR_ioctl,
    linux::__NR_lchown,
    linux::__NR_lgetxattr,
    linux::__NR_link,
    linux::__NR_linkat,
    linux::__NR_listen,
    linux::__NR_listxattr,
    linux::__NR_llistxattr,
    linux::__NR_lremovexattr,
    linux::__NR_lseek,
    linux::__NR_lsetxattr,
    linux::__NR_lstat,
    linux::__NR_memfd_create,
    linux::__NR_mkdir,
    linux::__NR_mkdirat,
    linux::__NR_mknod,
    linux::__NR_mknodat,
    linux::__NR_mount,
    linux::__NR_newfstatat,
    linux::__NR_open,
    linux::__NR_openat,
    linux::__NR_openat2,
    linux::__NR_pipe,
    linux::__NR_pipe2,
    linux::__NR_poll,
    linux::__NR_ppoll,
    linux::__NR_pread64,
    linux::__NR_preadv,
    linux::__NR_preadv2,
    linux::__NR_pselect6,
    linux::__NR_pwrite64,
    linux::__NR_pwritev,
    linux::__NR_pwritev2,
    linux::__NR_read,
    linux::__NR_readahead,
    linux::__NR_readlink,
    linux::__NR_readlinkat,
    linux::__NR_readv,
    linux::__NR_recvfrom,
    linux::__NR_recvmmsg,
    linux::__NR_recvmsg,
    linux::__NR_removexattr,
    linux::__NR_rename,
    linux::__NR_renameat,
    linux::__NR_renameat2,
    linux::__NR_rmdir,
    linux::__NR_select,
    linux::__NR_sendfile,
    linux::__NR_sendmmsg,
    linux::__NR_sendmsg,
    linux::__NR_sendto,
    linux::__NR_setsockopt,
    linux::__NR_setxattr,
    linux::__NR_shutdown,
    linux::__NR_signalfd,
    linux::__NR_signalfd4,
    linux::__NR_socket,
    linux::__NR_socketpair,
    linux::__NR_stat,
    linux::__NR_statfs,
    linux::__NR_statx,
    linux::__NR_symlink,
    linux::__NR_symlinkat,
    linux::__NR_sync,
    linux::__NR_sync_file_range,
    linux::__NR_syncfs,
    linux::__NR_timerfd_create,
    linux::__NR_timerfd_gettime,
    linux::__NR_timerfd_settime,
    linux::__NR_truncate,
    linux::__NR_umask,
    linux::__NR_unlink,
    linux::__NR_unlinkat,
    linux::__NR_utime,
    linux::__NR_utimensat,
    linux::__NR_utimes,
    linux::__NR_write,
    linux::__NR_writev,
];

#[test]
fn bad_values_in_any_argument_are_survived() {
    let (_, init) = World::new();
    init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    init.pipe();
    let good = [init.path("/tmp/a"), 3, 4, 0, 8, init.scratch];
    for number in CALLS {
        for place in 0..6 {
            for bad in BAD {
                for shift in 0..good.len() {
                    init.rewind();
                    let mut args: [u64; 6] = core::array::from_fn(|i| good[(i + shift) % good.len()]);
                    args[place] = bad;
                    let _ = init.call(number, args);
                }
            }
        }
    }
}

#[test]
fn null_pointers_are_efault_where_a_structure_is_wanted() {
    let (_, init) = World::new();
    init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    init.pipe();
    let fault = -i64::from(abi::Errno::EFAULT.number());
    let cwd = linux::AT_FDCWD as i64 as u64;
    let path = init.path("/tmp/a");
    let expected: [(u32, [u64; 5]); 16] = [
        (linux::__NR_open, [0, 0, 0, 0, 0]),
        (linux::__NR_openat, [cwd, 1, 0, 0, 0]),
        (linux::__NR_stat, [path, 1, 0, 0, 0]),
        (linux::__NR_stat, [1, path, 0, 0, 0]),
        (linux::__NR_fstat, [3, 1, 0, 0, 0]),
        (linux::__NR_statx, [cwd, path, 0, 0, 1]),
        (linux::__NR_pipe, [1, 0, 0, 0, 0]),
        (linux::__NR_getcwd, [1, 100, 0, 0, 0]),
        (linux::__NR_readlink, [1, path, 10, 0, 0]),
        (linux::__NR_rename, [path, 1, 0, 0, 0]),
        (linux::__NR_fcntl, [3, linux::F_SETLK as u64, 1, 0, 0]),
        (linux::__NR_poll, [1, 1, 0, 0, 0]),
        (linux::__NR_select, [4, 1, 0, 0, 0]),
        (linux::__NR_write, [5, 1, 10, 0, 0]),
        (linux::__NR_readv, [3, 1, 1, 0, 0]),
        (linux::__NR_getdents64, [init.open("/tmp", 0) as u64, 1, 4096, 0, 0]),
    ];
    for (number, args) in expected {
        assert_eq!(init.call(number, args), fault, "{}", abi::syscall_name(number.into()));
    }
}
