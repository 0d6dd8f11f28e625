//! Unix sockets.

use std::vec;
use std::vec::Vec;

use abi::linux::general as linux;
use abi::linux::net;
use abi::{Errno, Timeval};
use types::Nanos;

use crate::testing::{Task, WAITS, World};

const fn failed(errno: Errno) -> i64 {
    -(errno.number() as i64)
}

fn pair(task: &Task, kind: u32) -> (u64, u64) {
    let out = task.room(8);
    assert_eq!(task.call(linux::__NR_socketpair, [net::AF_UNIX.into(), kind.into(), 0, out]), 0);
    (task.get::<u32>(out).into(), task.get::<u32>(out + 4).into())
}

fn address(task: &Task, path: &[u8]) -> (u64, u64) {
    let bytes = [&(net::AF_UNIX as u16).to_le_bytes(), path].concat();
    (task.bytes(&bytes), bytes.len() as u64)
}

fn message(task: &Task, parts: &[(u64, u64)], control: (u64, u64)) -> u64 {
    let vector: Vec<u8> =
        parts.iter().flat_map(|(base, len)| [base.to_le_bytes(), len.to_le_bytes()]).flatten().collect();
    let vector = task.bytes(&vector);
    task.bytes(&[0, 0, vector, parts.len() as u64, control.0, control.1, 0].map(u64::to_le_bytes).concat())
}

#[test]
fn pairs_carry_bytes_both_ways() {
    let (_, init) = World::new();
    let (a, b) = pair(&init, net::SOCK_STREAM);
    assert_eq!(init.write(a as i64, b"there"), 5);
    assert_eq!(init.read(b as i64, 100).unwrap(), b"there");
    let mut reading = init.start(linux::__NR_read, [a, init.scratch, 100]);
    reading.waits();
    assert_eq!(init.write(b as i64, b"back"), 4);
    assert_eq!(reading.finish(), 4);
    drop(reading);
    assert_eq!(init.call(linux::__NR_shutdown, [b, net::SHUT_WR.into()]), 0);
    assert_eq!(init.read(a as i64, 10).unwrap(), b"");
    assert_eq!(init.call(linux::__NR_shutdown, [b, 9]), failed(Errno::EINVAL));
    assert_eq!(init.call(linux::__NR_close, [a]), 0);
    let text = init.bytes(b"x");
    let quiet = u64::from(net::MSG_NOSIGNAL);
    assert_eq!(init.call(linux::__NR_sendto, [b, text, 1, quiet, 0, 0]), failed(Errno::EPIPE));
    assert!(!init.thread.signals().needs_attention());
    assert_eq!(init.call(linux::__NR_shutdown, [1, 0]), failed(Errno::ENOTSOCK));
    let inet = init.call(linux::__NR_socket, [net::AF_INET.into(), net::SOCK_STREAM.into(), 0]);
    assert_eq!(inet, failed(Errno::EAFNOSUPPORT));
}

#[test]
fn messages_keep_their_boundaries() {
    let (_, init) = World::new();
    let (a, b) = pair(&init, net::SOCK_SEQPACKET | linux::O_CLOEXEC);
    init.write(a as i64, b"first");
    init.write(a as i64, &vec![9; 20_000]);
    assert_eq!(init.read(b as i64, 3).unwrap(), b"fir", "the rest is gone");
    let buffer = init.room(20_000);
    let flags = u64::from(net::MSG_TRUNC | net::MSG_PEEK);
    assert_eq!(init.call(linux::__NR_recvfrom, [b, buffer, 10, flags, 0, 0]), 20_000);
    assert_eq!(init.call(linux::__NR_recvfrom, [b, buffer, 20_000, 0, 0, 0]), 20_000);
    let none = u64::from(net::MSG_DONTWAIT);
    assert_eq!(init.call(linux::__NR_recvfrom, [b, buffer, 10, none, 0, 0]), failed(Errno::EAGAIN));
    assert_eq!(init.call(linux::__NR_recvfrom, [b, buffer, 10, 0, 0, 0]), WAITS);
}

#[test]
fn servers_listen_by_path_and_by_abstract_name() {
    let (_, init) = World::new();
    for path in [b"/tmp/server".as_slice(), b"\0hidden"] {
        let new = || init.call(linux::__NR_socket, [net::AF_UNIX.into(), net::SOCK_STREAM.into(), 0]) as u64;
        let (server, client) = (new(), new());
        let (at, len) = address(&init, path);
        assert_eq!(
            init.call(linux::__NR_connect, [client, at, len]),
            failed(if path[0] == 0 { Errno::ECONNREFUSED } else { Errno::ENOENT })
        );
        assert_eq!(init.call(linux::__NR_listen, [server, 5]), failed(Errno::EINVAL));
        assert_eq!(init.call(linux::__NR_bind, [server, at, len]), 0);
        assert_eq!(init.call(linux::__NR_bind, [new(), at, len]), failed(Errno::EADDRINUSE));
        assert_eq!(init.call(linux::__NR_listen, [server, 5]), 0);
        let mut accepting = init.start(linux::__NR_accept4, [server, 0, 0, linux::O_CLOEXEC.into()]);
        accepting.waits();
        assert_eq!(init.call(linux::__NR_connect, [client, at, len]), 0);
        let served = accepting.finish();
        assert!(served > 0);
        drop(accepting);
        init.write(client as i64, b"hello");
        assert_eq!(init.read(served, 10).unwrap(), b"hello");
        let (name, size) = (init.room(110), init.value(&110_u32));
        assert_eq!(init.call(linux::__NR_getpeername, [client, name, size]), 0);
        assert_eq!(init.look(name + 2, path.len()), path);
        let (credentials, size) = (init.room(12), init.value(&12_u32));
        let option = [client, net::SOL_SOCKET.into(), net::SO_PEERCRED.into(), credentials, size];
        assert_eq!(init.call(linux::__NR_getsockopt, option), 0);
        assert_eq!(init.get::<u32>(credentials), 1);
    }
}

#[test]
fn descriptors_travel_in_messages() {
    let (_, init) = World::new();
    let (a, b) = pair(&init, net::SOCK_STREAM);
    let file = init.open("/tmp/a", linux::O_CREAT | linux::O_RDWR);
    init.write(file, b"shared");
    let control: Vec<u8> = [
        20_u64.to_le_bytes().as_slice(),
        &net::SOL_SOCKET.to_le_bytes(),
        &net::SCM_RIGHTS.to_le_bytes(),
        &(file as u32).to_le_bytes(),
    ]
    .concat();
    let text = init.bytes(b"take");
    let control = (init.bytes(&control), 20);
    assert_eq!(init.call(linux::__NR_sendmsg, [a, message(&init, &[(text, 4)], control), 0]), 4);
    let buffer = init.room(16);
    let room = (init.room(64), 64);
    let header = message(&init, &[(buffer, 16)], room);
    assert_eq!(init.call(linux::__NR_recvmsg, [b, header, net::MSG_CMSG_CLOEXEC.into()]), 4);
    assert_eq!((init.get::<u64>(header + 40), init.get::<u64>(room.0), init.get::<u32>(room.0 + 12)), (24, 20, 1));
    let received = init.get::<u32>(room.0 + 16);
    assert!(i64::from(received) > file);
    assert_eq!(init.call(linux::__NR_fcntl, [received.into(), linux::F_GETFD.into()]), 1);
    init.call(linux::__NR_lseek, [received.into(), 0, 0]);
    assert_eq!(init.read(received.into(), 10).unwrap(), b"shared");
    // Without room for them they are closed and the cut is told.
    assert_eq!(init.call(linux::__NR_sendmsg, [a, message(&init, &[(text, 4)], control), 0]), 4);
    let header = message(&init, &[(buffer, 16)], (0, 0));
    assert_eq!(init.call(linux::__NR_recvmsg, [b, header, 0]), 4);
    assert_eq!(init.get::<u32>(header + 48), net::MSG_CTRUNC);
    let bad = (
        init.bytes(
            &[20_u64.to_le_bytes().as_slice(), &1_u32.to_le_bytes(), &1_u32.to_le_bytes(), &99_u32.to_le_bytes()]
                .concat(),
        ),
        20,
    );
    assert_eq!(init.call(linux::__NR_sendmsg, [a, message(&init, &[(text, 4)], bad), 0]), failed(Errno::EBADF));
}

#[test]
fn datagrams_find_their_way() {
    let (_, init) = World::new();
    let new = || init.call(linux::__NR_socket, [net::AF_UNIX.into(), net::SOCK_DGRAM.into(), 0]) as u64;
    let (server, client) = (new(), new());
    let (at, len) = address(&init, b"/tmp/box");
    let (from, from_len) = address(&init, b"\0me");
    assert_eq!(init.call(linux::__NR_bind, [server, at, len]), 0);
    assert_eq!(init.call(linux::__NR_bind, [client, from, from_len]), 0);
    let text = init.bytes(b"letter");
    assert_eq!(init.call(linux::__NR_sendto, [client, text, 6, 0, 0, 0]), failed(Errno::ENOTCONN));
    assert_eq!(init.call(linux::__NR_sendto, [client, text, 6, 0, at, len]), 6);
    let (sender, size, buffer) = (init.room(110), init.value(&110_u32), init.room(16));
    assert_eq!(init.call(linux::__NR_recvfrom, [server, buffer, 16, 0, sender, size]), 6);
    assert_eq!((init.get::<u32>(size), init.look(sender + 2, 3)), (5, b"\0me".to_vec()));
    assert_eq!(init.call(linux::__NR_listen, [server, 1]), failed(Errno::EOPNOTSUPP));
    assert_eq!(init.call(linux::__NR_accept, [server, 0, 0]), failed(Errno::EOPNOTSUPP));
}

#[test]
fn receive_timeouts_end_in_eagain() {
    let (world, init) = World::new();
    let (a, _) = pair(&init, net::SOCK_STREAM);
    let time = init.value(&Timeval { tv_sec: 1, tv_usec: 0 });
    let option = [a, net::SOL_SOCKET.into(), net::SO_RCVTIMEO.into(), time, 16];
    assert_eq!(init.call(linux::__NR_setsockopt, option), 0);
    for (number, args) in
        [(linux::__NR_read, [a, init.scratch, 8, 0, 0]), (linux::__NR_recvfrom, [a, init.scratch, 8, 0, 0])]
    {
        let mut reading = init.start(number, args);
        reading.waits();
        world.advance(Nanos::from_secs(1));
        assert_eq!(reading.finish(), failed(Errno::EAGAIN));
    }
    let unknown = [a, net::SOL_SOCKET.into(), 999, time, 16];
    assert_eq!(init.call(linux::__NR_setsockopt, unknown), failed(Errno::ENOPROTOOPT));
}

#[test]
fn several_messages_go_in_one_call() {
    let (_, init) = World::new();
    let (a, b) = pair(&init, net::SOCK_DGRAM);
    let multi = |texts: [&[u8]; 2], room: bool| {
        let headers: Vec<u8> = texts
            .iter()
            .flat_map(|text| {
                let buffer = init.bytes(text);
                let header = message(&init, &[(buffer, text.len() as u64)], (0, 0));
                let _ = room;
                [init.look(header, 56), vec![0; 8]].concat()
            })
            .collect();
        init.bytes(&headers)
    };
    assert_eq!(init.call(linux::__NR_sendmmsg, [a, multi([b"one", b"three"], false), 2, 0]), 2);
    let into = multi([&[0; 8], &[0; 8]], true);
    assert_eq!(init.call(linux::__NR_recvmmsg, [b, into, 2, net::MSG_DONTWAIT.into(), 0]), 2);
    assert_eq!((init.get::<u32>(into + 56), init.get::<u32>(into + 64 + 56)), (3, 5));
}

#[test]
fn who_waits_for_room_keeps_nobody_open() {
    let (_, init) = World::new();
    let new = |kind: u32| init.call(linux::__NR_socket, [net::AF_UNIX.into(), kind.into(), 0]) as u64;
    let (at, len) = address(&init, b"\0full");
    let server = new(net::SOCK_STREAM);
    assert_eq!(init.call(linux::__NR_bind, [server, at, len]), 0);
    assert_eq!(init.call(linux::__NR_listen, [server, 0]), 0);
    assert_eq!(init.call(linux::__NR_connect, [new(net::SOCK_STREAM), at, len]), 0);
    let mut connecting = init.start(linux::__NR_connect, [new(net::SOCK_STREAM), at, len]);
    connecting.waits();
    assert_eq!(init.call(linux::__NR_close, [server]), 0);
    assert_eq!(connecting.finish(), failed(Errno::ECONNREFUSED));
    drop(connecting);

    let (mailbox, client) = (new(net::SOCK_DGRAM), new(net::SOCK_DGRAM));
    assert_eq!(init.call(linux::__NR_bind, [mailbox, at, len]), 0, "the name is free again");
    let text = init.bytes(b"letter");
    let mut sending = (0..100).map(|_| init.start(linux::__NR_sendto, [client, text, 6, 0, at, len]));
    let mut last = sending.find_map(|mut sending| sending.poll().is_pending().then_some(sending)).unwrap();
    assert_eq!(init.call(linux::__NR_close, [mailbox]), 0);
    assert_eq!(last.finish(), failed(Errno::ECONNREFUSED));
}

#[test]
fn who_waits_with_a_message_waits_for_each_that_goes() {
    let (_, init) = World::new();
    let new = || init.call(linux::__NR_socket, [net::AF_UNIX.into(), net::SOCK_DGRAM.into(), 0]) as u64;
    let (at, len) = address(&init, b"\0box");
    let (mailbox, client) = (new(), new());
    assert_eq!(init.call(linux::__NR_bind, [mailbox, at, len]), 0);
    let (text, buffer) = (init.bytes(&[7; 60_000]), init.room(16));
    // Strangers get to have few there, however small they are.
    let mut sending = (0..100).map(|_| init.start(linux::__NR_sendto, [client, text, 6, 0, at, len]));
    let mut last = sending.find_map(|mut sending| sending.poll().is_pending().then_some(sending)).unwrap();
    assert_eq!(init.call(linux::__NR_recvfrom, [mailbox, buffer, 16, 0, 0, 0]), 6);
    assert_eq!(last.finish(), 6);
    drop(last);
    // Who has a peer is told by poll(2) whether that takes anything.
    assert_eq!(init.call(linux::__NR_connect, [client, at, len]), 0);
    let fds = init.bytes(&[client as u8, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(init.call(linux::__NR_poll, [fds, 1, 0]), 0);
    assert_eq!(init.call(linux::__NR_recvfrom, [mailbox, buffer, 16, 0, 0, 0]), 6);
    assert_eq!(init.call(linux::__NR_poll, [fds, 1, 0]), 1);
    // A large one does not fit behind what leaves room for small ones.
    let (one, other) = pair(&init, net::SOCK_DGRAM);
    for _ in 0..3 {
        assert_eq!(init.call(linux::__NR_sendto, [one, text, 60_000, 0, 0, 0]), 60_000);
    }
    let mut large = init.start(linux::__NR_sendto, [one, text, 60_000, 0, 0, 0]);
    large.waits();
    assert_eq!(init.call(linux::__NR_recvfrom, [other, buffer, 16, 0, 0, 0]), 16);
    assert_eq!(large.finish(), 60_000);
}
