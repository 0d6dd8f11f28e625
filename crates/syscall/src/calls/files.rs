//! Dispatch of the calls on files, for both ways in.

use alloc::boxed::Box;

use abi::Errno;
use abi::linux::general as linux;

use crate::calls::attributes::{self, XattrCall, XattrPlace};
use crate::calls::stat::CWD;
use crate::calls::{
    epoll, event, fd, inotify, io, ioctl, message, message_queue, names, open, places, poll, socket, splice, stat,
};
use crate::{Call, Caller, RestartBlock, SysResult, own_limits};

/// Serves a call on files that need not wait; `None`: it must, or is none of these.
pub(crate) fn now(caller: Caller<'_>, number: u32, args: [u64; 6]) -> Option<SysResult> {
    if caller.process.is_limited() && own_limits::moves_bytes(number) && caller.owes_bandwidth() {
        return None;
    }
    if io::is_transfer(number) {
        return io::transfer_now(caller, number, args);
    }
    if open::is_open(number) {
        return open::open_now(caller, number, args);
    }
    let [a, b, c, d, ..] = args;
    let no_follow = linux::AT_SYMLINK_NOFOLLOW;
    Some(match number {
        linux::__NR_close => fd::sys_close(caller, a),
        linux::__NR_lseek => io::sys_lseek(caller, a, b, c),
        linux::__NR_fstat => stat::sys_fstat(caller, a, b),
        linux::__NR_newfstatat => stat::sys_newfstatat(caller, a, b, c, d),
        linux::__NR_statx => stat::sys_statx(caller, args),
        linux::__NR_poll => return poll::poll_now(caller, a, b, c),
        linux::__NR_dup => fd::sys_dup(caller, a),
        linux::__NR_dup2 => fd::sys_dup2(caller, a, b),
        linux::__NR_dup3 => fd::sys_dup3(caller, a, b, c),
        linux::__NR_pipe => fd::sys_pipe2(caller, a, 0),
        linux::__NR_pipe2 => fd::sys_pipe2(caller, a, b),
        linux::__NR_ioctl => ioctl::sys_ioctl(caller, a, b, c),
        linux::__NR_fcntl => return fd::fcntl_now(caller, a, b, c),
        linux::__NR_flock => return fd::flock_now(caller, a, b),
        linux::__NR_close_range => fd::sys_close_range(caller, a, b, c),
        linux::__NR_memfd_create => open::sys_memfd_create(caller, a, b),

        linux::__NR_stat => stat::sys_stat(caller, a, b, 0),
        linux::__NR_lstat => stat::sys_stat(caller, a, b, no_follow),
        linux::__NR_access => stat::sys_faccessat(caller, CWD, a, b, 0),
        linux::__NR_faccessat => stat::sys_faccessat(caller, a, b, c, 0),
        linux::__NR_faccessat2 => stat::sys_faccessat(caller, a, b, c, d),
        linux::__NR_readlink => stat::sys_readlinkat(caller, CWD, a, b, c),
        linux::__NR_readlinkat => stat::sys_readlinkat(caller, a, b, c, d),
        linux::__NR_statfs => stat::sys_statfs(caller, a, b),
        linux::__NR_fstatfs => stat::sys_fstatfs(caller, a, b),

        linux::__NR_getdents64 => names::sys_getdents64(caller, a, b, c),
        linux::__NR_getdents => names::sys_getdents(caller, a, b, c),
        linux::__NR_mkdir => names::sys_mkdirat(caller, CWD, a, b),
        linux::__NR_mkdirat => names::sys_mkdirat(caller, a, b, c),
        linux::__NR_mknod => names::sys_mknodat(caller, CWD, a, b, c),
        linux::__NR_mknodat => names::sys_mknodat(caller, a, b, c, d),
        linux::__NR_symlink => names::sys_symlinkat(caller, a, CWD, b),
        linux::__NR_symlinkat => names::sys_symlinkat(caller, a, b, c),
        linux::__NR_link => names::sys_linkat(caller, [CWD, a, CWD, b, 0, 0]),
        linux::__NR_linkat => names::sys_linkat(caller, args),
        linux::__NR_unlink => names::sys_unlinkat(caller, CWD, a, 0),
        linux::__NR_unlinkat => names::sys_unlinkat(caller, a, b, c),
        linux::__NR_rmdir => names::sys_unlinkat(caller, CWD, a, linux::AT_REMOVEDIR.into()),
        linux::__NR_rename => names::sys_rename(caller, a, b),
        linux::__NR_renameat => names::sys_renameat2(caller, [a, b, c, d, 0, 0]),
        linux::__NR_renameat2 => names::sys_renameat2(caller, args),

        linux::__NR_getcwd => places::sys_getcwd(caller, a, b),
        linux::__NR_chdir => places::sys_chdir(caller, a),
        linux::__NR_fchdir => places::sys_fchdir(caller, a),
        linux::__NR_chroot => places::sys_chroot(caller, a),
        linux::__NR_umask => places::sys_umask(caller, a),
        linux::__NR_mount => places::sys_mount(caller, args),
        linux::__NR_umount2 => places::sys_umount2(caller, a, b),
        linux::__NR_pivot_root => places::sys_pivot_root(caller, a, b),

        linux::__NR_chmod => attributes::sys_fchmodat(caller, CWD, a, b, 0),
        linux::__NR_fchmod => attributes::sys_fchmod(caller, a, b),
        linux::__NR_fchmodat => attributes::sys_fchmodat(caller, a, b, c, 0),
        linux::__NR_fchmodat2 => attributes::sys_fchmodat(caller, a, b, c, d),
        linux::__NR_chown => attributes::sys_chown(caller, a, b, c, 0),
        linux::__NR_lchown => attributes::sys_chown(caller, a, b, c, no_follow),
        linux::__NR_fchown => attributes::sys_fchown(caller, a, b, c),
        linux::__NR_fchownat => attributes::sys_fchownat(caller, args),
        linux::__NR_truncate => attributes::sys_truncate(caller, a, b),
        linux::__NR_utimensat => attributes::sys_utimensat(caller, a, b, c, d),
        linux::__NR_futimesat => attributes::sys_futimesat(caller, a, b, c),
        linux::__NR_utimes => attributes::sys_futimesat(caller, CWD, a, b),
        linux::__NR_utime => attributes::sys_utime(caller, a, b),

        linux::__NR_ftruncate => io::sys_ftruncate(caller, a, b),
        linux::__NR_fallocate => io::sys_fallocate(caller, a, b, c, d),
        linux::__NR_fsync | linux::__NR_fdatasync => io::sys_fsync(caller, a),
        linux::__NR_sync => Ok(0),
        linux::__NR_syncfs => io::sys_syncfs(caller, a),
        linux::__NR_sync_file_range => io::sys_sync_file_range(caller, a, b, c, d),
        linux::__NR_fadvise64 => io::sys_fadvise64(caller, a, c, d),
        linux::__NR_readahead => io::sys_readahead(caller, a),
        linux::__NR_copy_file_range => io::sys_copy_file_range(caller, args),

        _ => return xattr(caller, number, a, b).or_else(|| streams(caller, number, args)),
    })
}

fn xattr(caller: Caller<'_>, number: u32, file: u64, name: u64) -> Option<SysResult> {
    use XattrCall::{Get, List, Remove, Set};
    use XattrPlace::{Descriptor, LinkPath, Path};
    let (place, call) = match number {
        linux::__NR_getxattr => (Path, Get),
        linux::__NR_lgetxattr => (LinkPath, Get),
        linux::__NR_fgetxattr => (Descriptor, Get),
        linux::__NR_setxattr => (Path, Set),
        linux::__NR_lsetxattr => (LinkPath, Set),
        linux::__NR_fsetxattr => (Descriptor, Set),
        linux::__NR_removexattr => (Path, Remove),
        linux::__NR_lremovexattr => (LinkPath, Remove),
        linux::__NR_fremovexattr => (Descriptor, Remove),
        linux::__NR_listxattr => (Path, List),
        linux::__NR_llistxattr => (LinkPath, List),
        linux::__NR_flistxattr => (Descriptor, List),
        _ => return None,
    };
    Some(attributes::sys_xattr(caller, place, call, file, name))
}

fn streams(caller: Caller<'_>, number: u32, args: [u64; 6]) -> Option<SysResult> {
    if message::is_message_call(number) {
        return message::message_now(caller, number, args);
    }
    let [a, b, c, d, ..] = args;
    Some(match number {
        linux::__NR_epoll_create => epoll::sys_epoll_create(caller, a),
        linux::__NR_epoll_create1 => epoll::sys_epoll_create1(caller, a),
        linux::__NR_epoll_ctl => epoll::sys_epoll_ctl(caller, a, b, c, d),
        linux::__NR_epoll_wait => return epoll::epoll_now(caller, a, b, c, d),
        linux::__NR_eventfd => event::sys_eventfd2(caller, a, 0),
        linux::__NR_eventfd2 => event::sys_eventfd2(caller, a, b),
        linux::__NR_timerfd_create => event::sys_timerfd_create(caller, a, b),
        linux::__NR_timerfd_settime => event::sys_timerfd_settime(caller, a, b, c, d),
        linux::__NR_timerfd_gettime => event::sys_timerfd_gettime(caller, a, b),
        linux::__NR_signalfd => event::sys_signalfd4(caller, a, b, c, 0),
        linux::__NR_signalfd4 => event::sys_signalfd4(caller, a, b, c, d),
        linux::__NR_mq_open => message_queue::sys_mq_open(caller, a, b, c, d),
        linux::__NR_mq_unlink => message_queue::sys_mq_unlink(caller, a),
        linux::__NR_mq_notify => message_queue::sys_mq_notify(caller, a, b),
        linux::__NR_mq_getsetattr => message_queue::sys_mq_getsetattr(caller, a, b, c),
        linux::__NR_inotify_init => inotify::sys_inotify_init1(caller, 0),
        linux::__NR_inotify_init1 => inotify::sys_inotify_init1(caller, a),
        linux::__NR_inotify_add_watch => inotify::sys_inotify_add_watch(caller, a, b, c),
        linux::__NR_inotify_rm_watch => inotify::sys_inotify_rm_watch(caller, a, b),
        linux::__NR_socket => socket::sys_socket(caller, a, b, c),
        linux::__NR_socketpair => socket::sys_socketpair(caller, a, b, c, d),
        linux::__NR_bind => socket::sys_bind(caller, a, b, c),
        linux::__NR_listen => socket::sys_listen(caller, a, b),
        linux::__NR_connect => return socket::connect_now(caller, a, b, c),
        linux::__NR_accept => return socket::accept_now(caller, [a, b, c, 0, 0, 0]),
        linux::__NR_accept4 => return socket::accept_now(caller, args),
        linux::__NR_shutdown => socket::sys_shutdown(caller, a, b),
        linux::__NR_getsockname => socket::sys_getsockname(caller, a, b, c),
        linux::__NR_getpeername => socket::sys_getpeername(caller, a, b, c),
        linux::__NR_getsockopt => socket::sys_getsockopt(caller, args),
        linux::__NR_setsockopt => socket::sys_setsockopt(caller, args),
        _ => return None,
    })
}

/// Begins a call on files that may have to wait; `None`: it is none of these.
pub(crate) fn begin<'a>(
    caller: Caller<'a>,
    restart: &'a mut Option<Box<RestartBlock>>,
    number: u32,
    args: [u64; 6],
) -> Option<Call<'a>> {
    if caller.process.is_limited() && own_limits::moves_bytes(number) {
        return Some(Call::waits(async move {
            caller.pay_bandwidth().await?;
            match begin_paid(caller, restart, number, args) {
                Some(call) => call.answer().await,
                None => Err(Errno::ENOSYS.into()),
            }
        }));
    }
    begin_paid(caller, restart, number, args)
}

/// [`begin`] once the bytes that were moved before are paid for.
fn begin_paid<'a>(
    caller: Caller<'a>,
    restart: &'a mut Option<Box<RestartBlock>>,
    number: u32,
    args: [u64; 6],
) -> Option<Call<'a>> {
    if io::is_transfer(number) {
        return Some(Call::waits(io::transfer(caller, number, args)));
    }
    // Not every way leads through the fast entry: what need not wait must not, whoever asks.
    if let Some(result) = now(caller, number, args) {
        return Some(Call::Done(result));
    }
    if open::is_open(number) {
        return Some(Call::waits(open::open_wait(caller, number, args)));
    }
    if message::is_message_call(number) {
        return Some(Call::waits(message::message(caller, number, args)));
    }
    let [a, b, c, d, ..] = args;
    Some(match number {
        linux::__NR_epoll_wait => Call::waits(epoll::sys_epoll_wait(caller, args)),
        linux::__NR_epoll_pwait => Call::waits(epoll::sys_epoll_pwait(caller, args)),
        linux::__NR_epoll_pwait2 => Call::waits(epoll::sys_epoll_pwait2(caller, args)),
        linux::__NR_connect => Call::waits(socket::sys_connect(caller, a, b, c)),
        linux::__NR_accept => Call::waits(socket::sys_accept4(caller, [a, b, c, 0, 0, 0])),
        linux::__NR_accept4 => Call::waits(socket::sys_accept4(caller, args)),
        linux::__NR_poll => Call::waits(poll::sys_poll(caller, restart, a, b, c)),
        linux::__NR_ppoll => Call::waits(poll::sys_ppoll(caller, args)),
        linux::__NR_select => Call::waits(poll::sys_select(caller, args)),
        linux::__NR_pselect6 => Call::waits(poll::sys_pselect6(caller, args)),
        linux::__NR_fcntl => Call::waits(fd::fcntl_wait(caller, a, b, c)),
        linux::__NR_mq_timedsend => Call::waits(message_queue::sys_mq_timedsend(caller, args)),
        linux::__NR_mq_timedreceive => Call::waits(message_queue::sys_mq_timedreceive(caller, args)),
        linux::__NR_flock => Call::waits(fd::flock_wait(caller, a, b)),
        linux::__NR_splice => Call::waits(splice::sys_splice(caller, args)),
        linux::__NR_tee => Call::waits(splice::sys_tee(caller, a, b, c, d)),
        linux::__NR_sendfile => Call::waits(io::sys_sendfile(caller, a, b, c, d)),
        _ => return None,
    })
}
