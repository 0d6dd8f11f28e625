//! What the services of the checks do.

use std::os::unix::net::UnixDatagram;
use std::process::ExitCode;
use std::time::Duration;

use crate::strain;

pub(crate) fn be(words: &[String]) -> ExitCode {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    match word(0) {
        "good" => {
            // Heard only where somebody asks for it.
            notify("READY=1");
            idle()
        }
        "print" => {
            println!("hello from {}", std::env::var("SVC_NAME").unwrap_or_default());
            eprintln!("instance {}", std::env::var("SVC_INSTANCE").unwrap_or_default());
            idle()
        }
        "exit" => ExitCode::from(word(1).parse::<u8>().unwrap_or(1)),
        "die" => die(word(1)),
        "ready" => {
            notify("READY=1\nSTATUS=up");
            match word(1) {
                "exit" => ExitCode::SUCCESS,
                _ => idle(),
            }
        }
        "mute" => idle(),
        "ignore" => {
            ignore_term();
            notify("READY=1");
            idle()
        }
        "herd" => crate::figures::herd(word(1).parse().unwrap_or(1)),
        "subject" => crate::faults::be(),
        "escape" => escape(word(1)),
        "variant" => crate::escapes::main(word(1)),
        "variant-on" => crate::escapes::go_on(word(1), word(2)),
        "user" => {
            // SAFETY: these take nothing and cannot fail.
            let (uid, euid, gid) = unsafe { (libc::getuid(), libc::geteuid(), libc::getgid()) };
            println!("uid {uid} {euid} gid {gid} cwd {}", std::env::current_dir().unwrap_or_default().display());
            idle()
        }
        "ask" => {
            println!("{}", crate::groups::ask_as_service());
            idle()
        }
        "serve" => serve(),
        "find" => {
            println!("{}", crate::discovery::look_up(words.get(1..).unwrap_or_default()));
            idle()
        }
        "tell" => crate::messages::tell(word(1)),
        "speak" => {
            crate::messages::speak();
            ExitCode::SUCCESS
        }
        "look" => {
            crate::apart::look_around();
            idle()
        }
        "work" => crate::server::work(word(1)),
        "listen" => {
            std::thread::sleep(Duration::from_millis(100));
            listen()
        }
        "line" => {
            line();
            idle()
        }
        "tasks" => tasks(),
        "memory" if word(1) == "share" => share(),
        "memory" => memory(word(1).parse().unwrap_or(0)),
        other => strain::be(words).unwrap_or_else(|| {
            eprintln!("no behaviour {other}");
            ExitCode::from(125)
        }),
    }
}

fn idle() -> ! {
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}

pub(crate) fn notify(text: &str) {
    use std::os::linux::net::SocketAddrExt;
    let Ok(path) = std::env::var("NOTIFY_SOCKET") else { return };
    let Some(name) = path.strip_prefix('@') else { return };
    let address = std::os::unix::net::SocketAddr::from_abstract_name(name).expect("a name");
    let socket = UnixDatagram::unbound().expect("a socket");
    socket.connect_addr(&address).expect("NOTIFY_SOCKET is there");
    socket.send(text.as_bytes()).expect("sent");
}

fn ignore_term() {
    // SAFETY: SIG_IGN is a valid disposition.
    unsafe { libc::signal(libc::SIGTERM, libc::SIG_IGN) };
}

/// Answers every connection to the passed socket with its number.
fn serve() -> ! {
    use std::io::{Read, Write};
    use std::os::fd::FromRawFd;
    let pid = std::process::id();
    let passed = std::env::var("LISTEN_PID").is_ok_and(|own| own == pid.to_string());
    assert!(passed && std::env::var("LISTEN_FDS").is_ok_and(|count| count == "1"), "no socket was passed");
    // SAFETY: the descriptor was passed to this process for that, and nobody else uses it.
    let listener = unsafe { std::os::unix::net::UnixListener::from_raw_fd(3) };
    loop {
        let Ok((mut connection, _)) = listener.accept() else { continue };
        let mut byte = [0];
        if connection.read_exact(&mut byte).is_ok() {
            // A client that is gone is not this one's matter.
            let _ = connection.write_all(&pid.to_le_bytes());
        }
    }
}

/// Listens without a word.
fn listen() -> ! {
    use std::os::linux::net::SocketAddrExt;
    let address = std::os::unix::net::SocketAddr::from_abstract_name("svcheck-own").expect("a name");
    let _listener = std::os::unix::net::UnixListener::bind_addr(&address).expect("bound");
    idle()
}

/// Writes a line to descriptor 5.
fn line() {
    use std::io::Write;
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptor was passed to this process for that.
    let mut ready = unsafe { std::fs::File::from_raw_fd(5) };
    ready.write_all(b"\n").expect("written");
}

/// Twelve ways to die.
fn die(how: &str) -> ExitCode {
    // Whoever is killed by others just waits.
    let raise = |signal: i32| {
        // SAFETY: SIG_DFL is a valid disposition, in place of what the runtime has; and a signal to this process.
        unsafe {
            libc::signal(signal, libc::SIG_DFL);
            libc::raise(signal);
        }
        idle()
    };
    match how {
        "exit0" => ExitCode::SUCCESS,
        "exit1" => ExitCode::from(1),
        "exit255" => ExitCode::from(255),
        "abort" => std::process::abort(),
        // SAFETY: not at all; that is the point.
        "segv" => unsafe {
            std::ptr::null_mut::<u32>().write_volatile(1);
            idle()
        },
        "illegal" => raise(libc::SIGILL),
        "fpe" => raise(libc::SIGFPE),
        "bus" => raise(libc::SIGBUS),
        "pipe" => raise(libc::SIGPIPE),
        "hup" => raise(libc::SIGHUP),
        "term" => raise(libc::SIGTERM),
        "kill" => raise(libc::SIGKILL),
        _ => ExitCode::from(125),
    }
}

/// Tries to get away; afterwards nobody is where it was.
#[expect(clippy::collapsible_match, reason = "a fork is no guard")]
fn escape(how: &str) -> ! {
    ignore_term();
    // SAFETY: the children only make system calls; each of these takes plain numbers.
    unsafe {
        match how {
            "setsid" => {
                if libc::fork() == 0 {
                    libc::setsid();
                    idle();
                }
            }
            "double-fork" => {
                if libc::fork() == 0 {
                    libc::setsid();
                    if libc::fork() == 0 {
                        idle();
                    }
                    libc::_exit(0);
                }
                libc::wait(std::ptr::null_mut());
            }
            "vfork-exec" => {
                for _ in 0..4 {
                    if libc::fork() == 0 {
                        again("good");
                    }
                }
            }
            "exec-chain" => {
                if libc::fork() == 0 {
                    let left = std::env::args().nth(4).and_then(|left| left.parse::<u32>().ok()).unwrap_or(6);
                    if left == 0 {
                        idle();
                    }
                    libc::setsid();
                    let words = ["/bin/svcheck", "be", "escape", "exec-chain", &(left - 1).to_string()];
                    exec(&words);
                }
            }
            "session-group" => {
                for _ in 0..4 {
                    if libc::fork() == 0 {
                        libc::setpgid(0, 0);
                        if libc::fork() == 0 {
                            libc::setsid();
                        }
                        idle();
                    }
                }
            }
            "stopped" => {
                if libc::fork() == 0 {
                    libc::raise(libc::SIGSTOP);
                    idle();
                }
            }
            "threads" => {
                for _ in 0..8 {
                    std::thread::spawn(|| idle());
                }
                if libc::fork() == 0 {
                    idle();
                }
            }
            "orphans" => {
                for _ in 0..16 {
                    if libc::fork() == 0 {
                        if libc::fork() == 0 {
                            idle();
                        }
                        libc::_exit(0);
                    }
                }
            }
            "subreaper" => {
                libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1);
                if libc::fork() == 0 {
                    if libc::fork() == 0 {
                        libc::setsid();
                        idle();
                    }
                    libc::_exit(0);
                }
            }
            "bomb" => loop {
                // Everybody forks as long as it may.
                if libc::fork() < 0 {
                    libc::usleep(1000);
                }
            },
            _ => {}
        }
    }
    idle()
}

fn again(behaviour: &str) -> ! {
    exec(&["/bin/svcheck", "be", behaviour])
}

fn exec(words: &[&str]) -> ! {
    let words: Vec<std::ffi::CString> =
        words.iter().map(|word| std::ffi::CString::new(*word).expect("no NUL")).collect();
    let mut pointers: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    pointers.push(std::ptr::null());
    // SAFETY: a path and a vector that ends with a null pointer, both alive.
    unsafe {
        libc::execv(pointers.first().copied().unwrap_or(std::ptr::null()), pointers.as_ptr());
        libc::_exit(126)
    }
}

/// Makes children until it is refused, and says how many there were.
fn tasks() -> ! {
    let mut made = 0;
    // SAFETY: the children only wait.
    while made < 1000 {
        match unsafe { libc::fork() } {
            0 => idle(),
            -1 => break,
            _ => made += 1,
        }
    }
    println!("made {made}");
    idle()
}

/// Eight children fill four MiB each; says how many were ended for it.
fn share() -> ! {
    let mut ended = 0;
    // SAFETY: the children touch only memory of their own.
    unsafe {
        for _ in 0..8 {
            if libc::fork() == 0 {
                let room = libc::mmap(
                    std::ptr::null_mut(),
                    4 << 20,
                    libc::PROT_READ | libc::PROT_WRITE,
                    libc::MAP_PRIVATE | libc::MAP_ANONYMOUS,
                    -1,
                    0,
                );
                std::ptr::write_bytes(room.cast::<u8>(), 1, 4 << 20);
                libc::usleep(300_000);
                libc::_exit(0);
            }
        }
        let mut status = 0;
        while libc::wait(&raw mut status) > 0 {
            ended += i32::from(!libc::WIFEXITED(status));
        }
    }
    println!("ended {ended}");
    idle()
}

/// Fills memory until it is refused or there are so many MiB, and says how much it was.
fn memory(most: usize) -> ! {
    const MIB: usize = 1 << 20;
    let mut got = 0;
    // SAFETY: fresh private memory, written within its length.
    unsafe {
        while got < most {
            let at = libc::mmap(
                std::ptr::null_mut(),
                MIB,
                libc::PROT_READ | libc::PROT_WRITE,
                libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_POPULATE,
                -1,
                0,
            );
            if at == libc::MAP_FAILED {
                break;
            }
            std::ptr::write_bytes(at.cast::<u8>(), 1, MIB);
            got += 1;
        }
    }
    println!("got {got}");
    idle()
}
