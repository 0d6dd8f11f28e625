//! Datagrams and messages to sockets that a service owns: borders, descriptors, who sent them; and that they outlive crashes.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

use services::wire::Verb;
use services::{Listen, SocketKind, State};
use types::Nanos;

use crate::control::{Control, name, service, survivors, wait};
use crate::{expect, expect_eq};

const DATAGRAM: &str = "svcheck-datagram";
const PACKET: &str = "svcheck-packet";
/// Of the headers, not of the crate `libc`.
const SCM_SECURITY: i32 = 3;

/// What came with a message.
#[derive(Default)]
struct Message {
    data: Vec<u8>,
    pid: Option<i32>,
    label: Option<String>,
    files: Vec<RawFd>,
}

fn socket(kind: i32) -> OwnedFd {
    // SAFETY: plain numbers; what comes back belongs to nobody else.
    unsafe { OwnedFd::from_raw_fd(libc::socket(libc::AF_UNIX, kind | libc::SOCK_CLOEXEC, 0)) }
}

fn connect(socket: &OwnedFd, name: &str) -> bool {
    // SAFETY: an address as long as said.
    unsafe {
        let mut address: libc::sockaddr_un = std::mem::zeroed();
        address.sun_family = libc::AF_UNIX as u16;
        for (slot, byte) in address.sun_path.iter_mut().skip(1).zip(name.bytes()) {
            *slot = byte as i8;
        }
        libc::connect(socket.as_raw_fd(), (&raw const address).cast(), 3 + name.len() as u32) == 0
    }
}

/// Sends a message, with a descriptor.
fn send(socket: RawFd, data: &[u8], file: Option<RawFd>) -> bool {
    let mut part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
    let mut control = [0_u64; 3];
    // SAFETY: all that the header points to is alive and as long as said; the control data has room for one descriptor.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        if let Some(file) = file {
            (header.msg_control, header.msg_controllen) = (control.as_mut_ptr().cast(), 24);
            let first = libc::CMSG_FIRSTHDR(&raw const header);
            ((*first).cmsg_level, (*first).cmsg_type) = (libc::SOL_SOCKET, libc::SCM_RIGHTS);
            (*first).cmsg_len = libc::CMSG_LEN(4) as usize;
            libc::CMSG_DATA(first).cast::<i32>().write_unaligned(file);
        }
        libc::sendmsg(socket, &raw const header, libc::MSG_NOSIGNAL) == data.len() as isize
    }
}

fn receive(socket: RawFd) -> Option<Message> {
    let mut data = [0_u8; 256];
    let mut part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    let mut control = [0_u64; 64];
    let mut message = Message::default();
    // SAFETY: all that the header points to is alive and as long as said; the walk stays within what the kernel wrote.
    unsafe {
        let mut header: libc::msghdr = std::mem::zeroed();
        (header.msg_iov, header.msg_iovlen) = (&raw mut part, 1);
        (header.msg_control, header.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control));
        let count = usize::try_from(libc::recvmsg(socket, &raw mut header, 0)).ok()?;
        message.data = data.get(..count).unwrap_or_default().to_vec();
        let mut at = libc::CMSG_FIRSTHDR(&raw const header);
        while !at.is_null() {
            let body = libc::CMSG_DATA(at);
            let len = (*at).cmsg_len - libc::CMSG_LEN(0) as usize;
            match (*at).cmsg_type {
                libc::SCM_CREDENTIALS => message.pid = Some(body.cast::<libc::ucred>().read_unaligned().pid),
                libc::SCM_RIGHTS => {
                    message.files.extend((0..len / 4).map(|which| body.cast::<i32>().add(which).read_unaligned()));
                }
                SCM_SECURITY => {
                    let text = std::slice::from_raw_parts(body, len);
                    message.label = Some(String::from_utf8_lossy(text).into_owned());
                }
                _ => {}
            }
            at = libc::CMSG_NXTHDR(&raw const header, at);
        }
    }
    Some(message)
}

fn ask_for(socket: RawFd, option: i32) {
    let on = 1_i32;
    // SAFETY: a number that is alive.
    unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, option, (&raw const on).cast(), 4) };
}

/// Says of every message what came with it, to the descriptor that came with it.
pub(crate) fn tell(kind: &str) -> ! {
    for option in [libc::SO_PASSCRED, libc::SO_PASSSEC] {
        ask_for(3, option);
    }
    let instance = std::env::var("SVC_INSTANCE").unwrap_or_default();
    loop {
        let from = if kind == "packet" {
            // SAFETY: a descriptor that was passed for this, and no address.
            unsafe { libc::accept4(3, std::ptr::null_mut(), std::ptr::null_mut(), libc::SOCK_CLOEXEC) }
        } else {
            3
        };
        while let Some(message) = receive(from).filter(|message| !message.data.is_empty()) {
            if message.data == b"die" {
                std::process::abort();
            }
            let text = format!(
                "{} {instance} {} {}\n",
                String::from_utf8_lossy(&message.data),
                message.pid.unwrap_or(0),
                message.label.unwrap_or_default()
            );
            for file in message.files {
                // SAFETY: it came with the message and belongs to nobody else.
                let mut file = unsafe { File::from_raw_fd(file) };
                let _ = file.write_all(text.as_bytes());
            }
        }
        if from != 3 {
            // SAFETY: the one that was accepted above.
            unsafe { libc::close(from) };
        }
    }
}

/// Sends one message as a service does, and is gone.
pub(crate) fn speak() {
    let to = socket(libc::SOCK_DGRAM);
    assert!(connect(&to, DATAGRAM), "the other service is there");
    let file = File::options().append(true).create(true).open("/tmp/svcheck-spoken").expect("a file");
    send(to.as_raw_fd(), b"spoken", Some(file.as_raw_fd()));
}

fn pipe() -> (File, File) {
    let mut ends = [0; 2];
    // SAFETY: room for two descriptors, which belong to nobody else.
    unsafe {
        libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC);
        (File::from_raw_fd(ends[0]), File::from_raw_fd(ends[1]))
    }
}

/// Sends `text` with a pipe's end, and reads what is said there.
fn exchange(to: &OwnedFd, text: &str) -> String {
    let (mut read, write) = pipe();
    if !send(to.as_raw_fd(), text.as_bytes(), Some(write.as_raw_fd())) {
        return "not sent".into();
    }
    drop(write);
    let mut said = String::new();
    let _ = read.read_to_string(&mut said);
    said.trim().to_owned()
}

pub(crate) fn messages() {
    let mut control = Control::open().expect("/dev/svc");
    let own = std::process::id();
    let server = |called: &str, kind, address: &str, count| {
        let mut made = service(called, &["tell", called]);
        made.scaling.count = count;
        made.restart.base = Nanos::from_millis(20);
        made.listen.push(Listen::new(kind, format!("@{address}"), name("main")));
        made
    };
    let mut speaker = service("speaker", &["speak"]);
    speaker.run = services::Run::Oneshot;
    control.load(vec![
        server("datagram", SocketKind::Datagram, DATAGRAM, 2),
        server("packet", SocketKind::Packet, PACKET, 2),
        speaker,
    ]);
    for one in ["datagram", "packet"] {
        control.verb(Verb::Start, one);
        expect(&format!("{one} runs"), control.reaches(one, State::Running));
    }
    let heard = |text: &str, of: &str| {
        let words: Vec<&str> = text.split(' ').collect();
        words.first() == Some(&of) && words.get(2) == Some(&own.to_string().as_str()) && words.get(3).is_none()
    };
    let datagrams = socket(libc::SOCK_DGRAM);
    expect("datagrams have where to go", connect(&datagrams, DATAGRAM));
    expect("one arrives with descriptor and sender", heard(&exchange(&datagrams, "one"), "one"));
    let packets = socket(libc::SOCK_SEQPACKET);
    expect("packets have where to go", connect(&packets, PACKET));
    // Sent before the first is read: borders must hold.
    send(packets.as_raw_fd(), b"first", None);
    expect("a packet keeps its borders", heard(&exchange(&packets, "second"), "second"));
    control.verb(Verb::Start, "speaker");
    expect("a service sends", control.reaches("speaker", State::Done));
    let spoken = || std::fs::read_to_string("/tmp/svcheck-spoken").unwrap_or_default();
    wait(5, || !spoken().is_empty());
    let label = spoken().trim().rsplit(' ').next().unwrap_or_default().to_owned();
    expect("and is told by service, instance and life", label.starts_with("svc:speaker#0."));
    // All who could answer die; what is sent meanwhile is kept.
    for _ in 0..2 {
        send(datagrams.as_raw_fd(), b"die", None);
    }
    let kept: Vec<String> = (0..3).map(|at| exchange(&datagrams, &format!("kept{at}"))).collect();
    let all = kept.iter().enumerate().all(|(at, text)| heard(text, &format!("kept{at}")));
    expect("datagrams outlive who was to take them", all);
    control.verb(Verb::Stop, "datagram");
    let all_down = |control: &mut Control| {
        control.rows().iter().all(|row| row.service.as_str() != "datagram" || row.state == State::Down)
    };
    expect("stopped", wait(10, || all_down(&mut control)));
    let (mut read, write) = pipe();
    expect("a stopped one's are kept, too", send(datagrams.as_raw_fd(), b"late", Some(write.as_raw_fd())));
    drop(write);
    control.verb(Verb::Start, "datagram");
    let mut late = String::new();
    let _ = read.read_to_string(&mut late);
    expect("for when it is back", heard(late.trim(), "late"));
    let crashing = socket(libc::SOCK_SEQPACKET);
    expect("a packet that kills", connect(&crashing, PACKET) && send(crashing.as_raw_fd(), b"die", None));
    let next = socket(libc::SOCK_SEQPACKET);
    expect("refuses nobody", connect(&next, PACKET));
    expect("and the next is served", heard(&exchange(&next, "next"), "next"));
    let wrong = socket(libc::SOCK_STREAM);
    expect("another kind of socket is refused", !connect(&wrong, PACKET));
    let errno = std::io::Error::last_os_error().raw_os_error();
    expect_eq("by EPROTOTYPE", errno, Some(libc::EPROTOTYPE));
    control.clear();
    expect("what is unloaded takes nothing", !send(datagrams.as_raw_fd(), b"gone", None));
    expect_eq("nobody is left", survivors(), 0);
    let _ = std::fs::remove_file("/tmp/svcheck-spoken");
}
