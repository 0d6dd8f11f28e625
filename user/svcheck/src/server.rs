//! Servers behind the sockets of a service.

use std::io::{self, Read, Write};
use std::os::fd::{AsRawFd, FromRawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

/// Looks at the listening socket that found nothing.
static VAIN: AtomicU32 = AtomicU32::new(0);

/// Does jobs of as many milliseconds as it is asked for, and says who did them.
pub(crate) fn work(how: &str) -> ! {
    let pid = std::process::id();
    let passed = std::env::var("LISTEN_PID").is_ok_and(|own| own == pid.to_string());
    assert!(passed && std::env::var("LISTEN_FDS").is_ok_and(|count| count == "1"), "no socket was passed");
    let instance = std::env::var("SVC_INSTANCE").ok().and_then(|text| text.parse().ok()).unwrap_or(u32::MAX);
    // SAFETY: the descriptor was passed to this process for that, and nobody else uses it.
    let listener = unsafe { UnixListener::from_raw_fd(3) };
    let factor = if how == "slow" && instance == 0 { 10 } else { 1 };
    match how {
        "epoll" => events(&listener, instance),
        "prefork" => {
            for _ in 0..2 {
                // SAFETY: nothing but this thread exists.
                if unsafe { libc::fork() } == 0 {
                    break;
                }
            }
        }
        _ => {}
    }
    loop {
        if let Ok((connection, _)) = listener.accept() {
            // A client that is gone is not this one's matter.
            let _ = serve(connection, instance, factor);
        }
    }
}

fn serve(mut connection: UnixStream, instance: u32, factor: u64) -> io::Result<()> {
    let mut job = [0];
    connection.read_exact(&mut job)?;
    let [millis] = job;
    if millis > 0 {
        std::thread::sleep(Duration::from_millis(u64::from(millis) * factor));
    }
    let vain = VAIN.load(Ordering::Relaxed);
    connection.write_all(&[instance.to_le_bytes(), vain.to_le_bytes()].concat())
}

/// Waits by epoll, and never in accept.
fn events(listener: &UnixListener, instance: u32) -> ! {
    listener.set_nonblocking(true).expect("a socket");
    // SAFETY: plain numbers, and one event that is alive.
    unsafe {
        let epoll = libc::epoll_create1(libc::EPOLL_CLOEXEC);
        let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 0 };
        libc::epoll_ctl(epoll, libc::EPOLL_CTL_ADD, listener.as_raw_fd(), &raw mut event);
        loop {
            if libc::epoll_wait(epoll, &raw mut event, 1, -1) != 1 {
                continue;
            }
            match listener.accept() {
                Ok((connection, _)) => {
                    let _ = connection.set_nonblocking(false);
                    let _ = serve(connection, instance, 1);
                }
                Err(_) => {
                    VAIN.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}
