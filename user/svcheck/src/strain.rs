//! Services that use much, stand still, or seem to: what limits and the watchdog are checked with.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use crate::behave::notify;

pub(crate) fn be(words: &[String]) -> Option<ExitCode> {
    let word = |at: usize| words.get(at).map_or("", String::as_str);
    let number = |at: usize| word(at).parse::<u64>().unwrap_or(0);
    match word(0) {
        "spin" => spin(number(1), number(2)),
        "burst" => burst(number(1)),
        "pour" => pour(word(1)),
        "beat" => beat(number(1), number(2)),
        "hang" => hang(word(1)),
        "breed" => breed(),
        "probe" => Some(probe(word(1))),
        "eat" => eat(number(1)),
        _ => None,
    }
}

fn burn() -> ! {
    loop {
        std::hint::black_box(0);
    }
}

/// So many processes of so many threads each that never rest.
fn spin(processes: u64, threads: u64) -> ! {
    for _ in 1..processes {
        // SAFETY: there is one thread.
        if unsafe { libc::fork() } == 0 {
            break;
        }
    }
    for _ in 1..threads {
        std::thread::spawn(|| burn());
    }
    burn()
}

/// So many threads that run for less than a tick, and wait for each other: never running when the clock ticks would be enough
/// to escape who looks then only.
fn burst(threads: u64) -> ! {
    let work = |_: u64| loop {
        let end = Instant::now() + Duration::from_micros(700);
        while Instant::now() < end {}
        std::thread::sleep(Duration::from_micros(50));
    };
    for at in 1..threads {
        std::thread::spawn(move || work(at));
    }
    work(0)
}

/// Moves bytes that way, as fast as it may.
fn pour(how: &str) -> ! {
    const PART: usize = 32 << 10;
    let data = vec![7u8; PART];
    let mut ends = [[0; 2]; 2];
    // SAFETY: both arrays have room for two descriptors.
    unsafe {
        libc::pipe(ends[0].as_mut_ptr());
        libc::pipe(ends[1].as_mut_ptr());
    }
    let [[out, into], [mut other_out, mut other_into]] = ends;
    let null = {
        use std::os::fd::IntoRawFd;
        std::fs::OpenOptions::new().write(true).open("/dev/null").expect("/dev/null").into_raw_fd()
    };
    let file = std::os::fd::IntoRawFd::into_raw_fd(std::fs::File::open("/bin/svcheck").expect("a file"));
    let null_offset = std::ptr::null_mut();
    // SAFETY: the buffer has `PART` bytes, and no descriptor is used after it was closed.
    unsafe {
        if how == "tee" {
            libc::write(into, data.as_ptr().cast(), PART);
        }
        loop {
            match how {
                "write" => _ = libc::write(null, data.as_ptr().cast(), PART),
                "splice" => {
                    libc::splice(file, &mut 0, into, null_offset, PART, 0);
                    libc::splice(out, null_offset, null, null_offset, PART, 0);
                }
                "tee" => {
                    libc::tee(out, other_into, PART, 0);
                    // What was doubled goes by closing the pipe: reading it would be counted as well.
                    libc::close(other_out);
                    libc::close(other_into);
                    libc::pipe(ends[1].as_mut_ptr());
                    [other_out, other_into] = ends[1];
                }
                "vmsplice" => {
                    let part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: PART };
                    libc::vmsplice(into, &part, 1, 0);
                    libc::splice(out, null_offset, null, null_offset, PART, 0);
                }
                _ => _ = libc::sendfile(null, file, &mut 0, PART),
            }
        }
    }
}

/// Gives a sign of life every `pause` ms, after `work` ms of running; says when that came late.
fn beat(pause: u64, work: u64) -> ! {
    notify("READY=1");
    let mut before = Instant::now();
    loop {
        std::thread::sleep(Duration::from_millis(pause));
        let end = cpu_time() + Duration::from_millis(work);
        while cpu_time() < end {}
        let gap = before.elapsed();
        before = Instant::now();
        notify("WATCHDOG=1");
        if gap > Duration::from_millis(300) {
            println!("late");
        }
    }
}

fn cpu_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: a place for the answer.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

/// Is ready, and never heard of again.
fn hang(how: &str) -> ! {
    notify("READY=1");
    match how {
        "busy" => burn(),
        "crowd" => spin(1, 4),
        _ => loop {
            std::thread::sleep(Duration::from_secs(1000));
        },
    }
}

/// Children that write a byte each and end, all the time.
fn breed() -> ! {
    let file = std::fs::OpenOptions::new().append(true).create(true).open("/tmp/svcheck-breed").expect("a file");
    let fd = std::os::fd::IntoRawFd::into_raw_fd(file);
    loop {
        // SAFETY: there is one thread; the child only writes and ends.
        unsafe {
            let child = libc::fork();
            if child == 0 {
                libc::write(fd, b"x".as_ptr().cast(), 1);
                libc::_exit(0);
            }
            libc::waitpid(child, std::ptr::null_mut(), 0);
        }
    }
}

/// Says whether the service is well.
fn probe(how: &str) -> ExitCode {
    if how == "forever" {
        burn();
    }
    // SAFETY: takes nothing and cannot fail.
    let user = unsafe { libc::getuid() };
    println!("{} asked as {user}", std::env::var("SVC_NAME").unwrap_or_default());
    ExitCode::from(u8::from(std::path::Path::new("/tmp/svcheck-ill").exists()))
}

/// Uses so many MiB, or all there are, with a second process that uses none.
fn eat(most: u64) -> ! {
    // SAFETY: there is one thread.
    if most == 0 && unsafe { libc::fork() } == 0 {
        loop {
            std::thread::sleep(Duration::from_secs(1000));
        }
    }
    // Mapped before it is eaten: an allocation that is refused would end the program by its own doing.
    let length = if most == 0 { 4 << 30 } else { (most as usize) << 20 };
    let (rights, kind) =
        (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE);
    // SAFETY: fresh private memory, written within its length.
    unsafe {
        let at = libc::mmap(std::ptr::null_mut(), length, rights, kind, -1, 0);
        assert_ne!(at, libc::MAP_FAILED, "addresses for what is eaten");
        std::ptr::write_bytes(at.cast::<u8>(), 1, length);
    }
    println!("full");
    loop {
        std::thread::sleep(Duration::from_secs(1000));
    }
}
