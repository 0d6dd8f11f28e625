//! Sockets in pairs, by name, with descriptors on board, against a model.

use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use std::sync::Mutex;
use std::thread;

use types::{Gid, Pid, Uid};

use super::*;
use crate::pipe::Pipe;
use crate::testing::Random;
use crate::{File, OpenFile, PollEvents, Result, VfsError};

/// Descriptors on their way are counted for all sockets together: tests that look at the count take turns.
static TURN: Mutex<()> = Mutex::new(());

const ME: PeerCredentials = PeerCredentials { pid: Pid(7), uid: Uid(1), gid: Gid(2), cell: None };
const YOU: PeerCredentials = PeerCredentials { pid: Pid(8), uid: Uid(3), gid: Gid(4), cell: Some(9) };

fn read(socket: &Socket, len: usize) -> Result<Vec<u8>> {
    let mut out = vec![0; len];
    let count = socket.read(0, &mut out)?;
    out.truncate(count);
    Ok(out)
}

fn receive(socket: &Socket, len: usize) -> Result<(Vec<u8>, Received)> {
    let mut out = vec![0; len];
    let received = socket.receive(&mut out, ReceiveMode::Take)?;
    out.truncate(received.count);
    Ok((out, received))
}

fn send_files(socket: &Socket, data: &[u8], files: Vec<Arc<OpenFile>>) -> Result<usize> {
    socket.send(data, Outgoing { to: None, files, credentials: ME })
}

fn send_to(socket: &Socket, data: &[u8], to: &Arc<Socket>) -> Result<usize> {
    socket.send(data, Outgoing { to: Some(to), files: Vec::new(), credentials: ME })
}

fn open(file: Arc<dyn File>) -> Arc<OpenFile> {
    OpenFile::anonymous(file, abi::linux::general::O_RDWR)
}

fn bound(kind: SocketKind, names: &Arc<AbstractNames>, name: &[u8], owner: PeerCredentials) -> Arc<Socket> {
    let socket = Socket::new(kind, owner);
    socket.bind_abstract(names, Some(name.into())).unwrap();
    socket
}

#[test]
fn a_pair_of_streams_carries_bytes_both_ways() {
    let (a, b) = Socket::pair(SocketKind::Stream, ME);
    assert_eq!(a.poll(), PollEvents::WRITABLE | PollEvents::WRBAND);
    assert_eq!(read(&b, 9), Err(VfsError::WouldBlock));
    a.write(0, b"one").unwrap();
    a.write(0, b"two").unwrap();
    assert_eq!(read(&b, 4).unwrap(), b"onet", "a stream has no borders");
    assert_eq!(read(&b, 9).unwrap(), b"wo");
    b.write(0, b"back").unwrap();
    assert_eq!(read(&a, 9).unwrap(), b"back");
    assert_eq!(a.peer_credentials(), ME);
}

#[test]
fn messages_keep_their_borders() {
    for kind in [SocketKind::Datagram, SocketKind::SeqPacket] {
        let (a, b) = Socket::pair(kind, ME);
        a.write(0, b"first").unwrap();
        a.write(0, b"").unwrap();
        a.write(0, b"third").unwrap();
        let mut out = [0; 3];
        let peeked = b.receive(&mut out, ReceiveMode::Peek).unwrap();
        assert_eq!((peeked.count, peeked.length), (3, 5));
        let (data, received) = receive(&b, 3).unwrap();
        assert_eq!((&data[..], received.length), (&b"fir"[..], 5), "the rest is gone");
        assert_eq!(read(&b, 9).unwrap(), b"");
        assert_eq!(read(&b, 9).unwrap(), b"third");
        assert_eq!(a.write(0, &vec![0; 300_000]), Err(VfsError::MessageSize));
    }
}

#[test]
fn ends_notice_shutdown_and_close() {
    let (a, b) = Socket::pair(SocketKind::Stream, ME);
    a.write(0, b"rest").unwrap();
    a.shutdown(Shutdown::Write).unwrap();
    assert_eq!(a.write(0, b"x"), Err(VfsError::BrokenPipe));
    assert!(b.poll().contains(PollEvents::IN | PollEvents::RDHUP) && !b.poll().contains(PollEvents::HUP));
    assert_eq!((read(&b, 9).unwrap(), read(&b, 9).unwrap()), (b"rest".to_vec(), vec![]));
    b.write(0, b"still").unwrap();
    assert_eq!(read(&a, 9).unwrap(), b"still");
    drop(b);
    assert!(a.poll().contains(PollEvents::HUP));
    assert_eq!(read(&a, 9).unwrap(), b"");
    // Closing with data unread breaks the connection.
    let (a, b) = Socket::pair(SocketKind::Stream, ME);
    a.write(0, b"unread").unwrap();
    b.write(0, b"read").unwrap();
    drop(b);
    assert!(a.poll().contains(PollEvents::ERR));
    assert_eq!(a.write(0, b"x"), Err(VfsError::BrokenPipe));
    assert_eq!(read(&a, 9).unwrap(), b"read");
    assert_eq!(read(&a, 9), Err(VfsError::ConnectionReset));
    assert_eq!(read(&a, 9).unwrap(), b"");
}

#[test]
fn a_server_accepts_in_order() {
    let names = AbstractNames::new();
    let server = bound(SocketKind::Stream, &names, b"srv", YOU);
    let client = Socket::new(SocketKind::Stream, ME);
    assert!(client.poll().contains(PollEvents::HUP | PollEvents::OUT));
    assert_eq!(client.connect(&server, ME), Err(VfsError::ConnectionRefused), "it does not listen yet");
    assert_eq!(server.accept().err(), Some(VfsError::InvalidArgument));
    server.listen(1, YOU).unwrap();
    assert_eq!(server.accept().err(), Some(VfsError::WouldBlock));
    client.connect(&names.find(b"srv").unwrap(), ME).unwrap();
    assert_eq!(client.connect(&server, ME), Err(VfsError::IsConnected));
    client.write(0, b"early").unwrap();
    let second = Socket::new(SocketKind::Stream, ME);
    second.connect(&server, ME).unwrap();
    let third = Socket::new(SocketKind::Stream, ME);
    assert_eq!(third.connect(&server, ME), Err(VfsError::WouldBlock), "the backlog is full");
    assert!(server.poll().contains(PollEvents::IN));
    let accepted = server.accept().unwrap();
    assert_eq!(read(&accepted, 9).unwrap(), b"early");
    assert_eq!((accepted.peer_credentials(), client.peer_credentials()), (ME, YOU));
    assert_eq!(accepted.address(), server.address());
    assert_eq!(client.peer_address(), Ok(Address::Abstract((*b"srv").into())));
    assert_eq!(accepted.peer_address(), Ok(Address::Unnamed));
    third.connect(&server, ME).unwrap();
    drop(server);
    assert_eq!(read(&second, 9), Err(VfsError::ConnectionReset), "never accepted");
    accepted.write(0, b"lives on").unwrap();
    assert_eq!(read(&client, 9).unwrap(), b"lives on");
    assert!(names.find(b"srv").is_none());
}

#[test]
fn names_are_taken_once_and_freed() {
    let names = AbstractNames::new();
    let first = bound(SocketKind::Datagram, &names, b"x", ME);
    let second = Socket::new(SocketKind::Datagram, ME);
    assert_eq!(second.bind_abstract(&names, Some((*b"x").into())), Err(VfsError::AddressInUse));
    assert_eq!(first.bind_abstract(&names, Some((*b"y").into())), Err(VfsError::InvalidArgument));
    drop(first);
    second.bind_abstract(&names, Some((*b"x").into())).unwrap();
    let any = Socket::new(SocketKind::Datagram, ME);
    any.bind_abstract(&names, None).unwrap();
    let Address::Abstract(name) = any.address() else { panic!() };
    assert_eq!(name.len(), 5);
}

#[test]
fn datagrams_find_their_way() {
    let names = AbstractNames::new();
    let (a, b) = (bound(SocketKind::Datagram, &names, b"a", ME), bound(SocketKind::Datagram, &names, b"b", YOU));
    assert_eq!(a.write(0, b"x"), Err(VfsError::NotConnected));
    send_to(&a, b"hello", &b).unwrap();
    let (data, received) = receive(&b, 9).unwrap();
    assert_eq!((&data[..], received.from), (&b"hello"[..], Some(Address::Abstract((*b"a").into()))));
    a.connect(&b, ME).unwrap();
    a.write(0, b"again").unwrap();
    assert_eq!(read(&b, 9).unwrap(), b"again");
    // One that has a peer takes from nobody else.
    let stranger = Socket::new(SocketKind::Datagram, ME);
    b.connect(&a, YOU).unwrap();
    assert_eq!(send_to(&stranger, b"x", &b), Err(VfsError::NotPermitted));
    b.disconnect();
    let mut sent = 0;
    while send_to(&stranger, b"x", &b).is_ok() {
        sent += 1;
    }
    assert_eq!(sent, 11, "strangers queue up to a bound");
    drop(b);
    assert_eq!(a.write(0, b"x"), Err(VfsError::ConnectionRefused));
    assert_eq!(a.write(0, b"x"), Err(VfsError::NotConnected));
    let stream = Socket::new(SocketKind::Stream, ME);
    assert_eq!(send_to(&stranger, b"x", &stream), Err(VfsError::WrongProtocol));
    assert_eq!(stream.connect(&a, ME), Err(VfsError::WrongProtocol));
}

#[test]
fn descriptors_travel_with_their_bytes() {
    let _turn = TURN.lock().unwrap();
    let (a, b) = Socket::pair(SocketKind::Stream, ME);
    let (reader, writer) = Pipe::pair();
    a.write(0, b"before").unwrap();
    send_files(&a, b"with", vec![open(reader)]).unwrap();
    a.write(0, b"after").unwrap();
    let (data, received) = receive(&b, 99).unwrap();
    assert_eq!((&data[..], received.ancillary.files.len()), (&b"before"[..], 0));
    let mut out = [0; 99];
    let peeked = b.receive(&mut out, ReceiveMode::Peek).unwrap();
    assert_eq!((peeked.count, peeked.ancillary.files.len()), (4, 1));
    drop(peeked);
    let (data, received) = receive(&b, 99).unwrap();
    assert_eq!((&data[..], received.ancillary.files.len()), (&b"with"[..], 1));
    assert_eq!(received.ancillary.credentials, Some(ME));
    writer.write(0, b"through").unwrap();
    let mut out = [0; 9];
    assert_eq!(received.ancillary.files[0].file().read(0, &mut out), Ok(7));
    assert_eq!(read(&b, 99).unwrap(), b"after");
    // Not received: closed with the socket.
    send_files(&a, b"x", received.ancillary.files).unwrap();
    assert_eq!(writer.write(0, b"x"), Ok(1));
    drop(b);
    assert_eq!(writer.write(0, b"x"), Err(VfsError::BrokenPipe));
    let too_many = (0..254).map(|_| open(writer.clone())).collect();
    assert_eq!(send_files(&a, b"x", too_many), Err(VfsError::InvalidArgument));
}

/// A pipe whose reading end is only in the socket's queue: whether it is still there.
fn stowaway(socket: &Socket) -> impl Fn() -> bool + use<> {
    let (reader, writer) = Pipe::pair();
    send_files(socket, b"x", vec![open(reader)]).unwrap();
    move || writer.write(0, b"x").is_ok()
}

#[test]
fn sockets_that_hold_only_each_other_are_collected() {
    let _turn = TURN.lock().unwrap();
    // Through itself.
    let (a, b) = Socket::pair(SocketKind::Stream, ME);
    let alive = stowaway(&b);
    let open_a = open(a.clone());
    drop(a);
    send_files(&b, b"x", vec![open_a]).unwrap();
    assert!(alive());
    drop(b);
    assert!(!alive(), "closing the other end collects");
    // Through each other, with a third one that closes later.
    let (a, b) = Socket::pair(SocketKind::Datagram, ME);
    let alive = stowaway(&a);
    let (open_a, open_b) = (open(a.clone()), open(b.clone()));
    send_files(&a, b"b", vec![open_b]).unwrap();
    send_files(&b, b"a", vec![open_a]).unwrap();
    drop((a, b));
    assert!(alive(), "nothing has looked yet");
    drop(Socket::new(SocketKind::Stream, ME));
    assert!(!alive());
}

#[test]
fn what_can_still_be_received_is_kept() {
    let _turn = TURN.lock().unwrap();
    let (a, b) = Socket::pair(SocketKind::Stream, ME);
    let (c, d) = Socket::pair(SocketKind::Stream, ME);
    let alive = stowaway(&c);
    // d, with the stowaway in its queue, is only in b's queue; b is open.
    let open_d = open(d.clone());
    drop(d);
    send_files(&a, b"d", vec![open_d]).unwrap();
    drop(c);
    drop(Socket::new(SocketKind::Stream, ME));
    assert!(alive());
    let (_, mut received) = receive(&b, 9).unwrap();
    let d = received.ancillary.files.pop().unwrap();
    drop(Socket::new(SocketKind::Stream, ME));
    assert!(alive());
    drop(d);
    assert!(!alive());
}

#[test]
fn a_long_chain_of_sockets_is_dropped_without_recursion() {
    let _turn = TURN.lock().unwrap();
    let (mut outer, mut keep) = Socket::pair(SocketKind::Stream, ME);
    let alive = stowaway(&keep);
    for _ in 0..3000 {
        let (a, b) = Socket::pair(SocketKind::Stream, ME);
        send_files(&a, b"x", vec![open(outer)]).unwrap();
        (outer, keep) = (b, a);
    }
    assert!(alive());
    let small_stack = thread::Builder::new().stack_size(256 * 1024);
    small_stack.spawn(move || drop((outer, keep))).unwrap().join().unwrap();
    assert!(!alive());
}

#[test]
fn random_streams_equal_a_queue() {
    for seed in 0..40 {
        let mut random = Random::new(seed);
        let (a, b) = Socket::pair(SocketKind::Stream, ME);
        let mut model = VecDeque::new();
        for _ in 0..400 {
            let size = random.below(40_000) as usize;
            if random.below(2) == 0 {
                let data: Vec<u8> = (0..size).map(|_| random.next() as u8).collect();
                let sender = if random.below(2) == 0 { ME } else { YOU };
                match a.send(&data, Outgoing { to: None, files: Vec::new(), credentials: sender }) {
                    Ok(count) => model.extend(data[..count].iter().map(|byte| (*byte, sender))),
                    Err(error) => assert_eq!((error, model.len()), (VfsError::WouldBlock, b.buffer_size())),
                }
            } else if let Ok((data, received)) = receive(&b, size) {
                let sender = received.ancillary.credentials;
                for byte in &data {
                    assert_eq!(
                        model.pop_front().map(|(byte, by)| (byte, Some(by))),
                        Some((*byte, sender)),
                        "seed {seed}"
                    );
                }
                assert!(!data.is_empty() || size == 0, "no false end");
            } else {
                assert!(model.is_empty());
            }
            assert_eq!(b.poll().contains(PollEvents::IN), !model.is_empty());
            assert_eq!(a.poll().contains(PollEvents::OUT), model.len() * 4 <= a.buffer_size());
        }
    }
}

#[test]
fn other_families_are_not_supported() {
    use abi::linux::net;
    assert_eq!(SocketKind::from_raw(net::AF_INET, net::SOCK_STREAM, 0), Err(VfsError::AddressFamilyNotSupported));
    assert_eq!(SocketKind::from_raw(net::AF_UNIX, net::SOCK_RDM, 0), Err(VfsError::SocketTypeNotSupported));
    assert_eq!(SocketKind::from_raw(net::AF_UNIX, net::SOCK_STREAM, 6), Err(VfsError::ProtocolNotSupported));
    assert_eq!(SocketKind::from_raw(net::AF_UNIX, net::SOCK_SEQPACKET, 0), Ok(SocketKind::SeqPacket));
}

#[test]
fn a_socket_goes_with_its_open_file_whoever_is_about_to_use_it() {
    let names = AbstractNames::new();
    let server = bound(SocketKind::Stream, &names, b"gone", YOU);
    server.listen(3, YOU).unwrap();
    let waiting = Socket::new(SocketKind::Stream, ME);
    waiting.connect(&server, ME).unwrap();
    let mailbox = bound(SocketKind::Datagram, &names, b"mail", YOU);
    let kept = bound(SocketKind::Datagram, &names, b"kept", YOU);
    kept.keep();
    for socket in [&server, &mailbox, &kept] {
        drop(open(socket.clone()));
    }
    assert_eq!(read(&waiting, 1), Err(VfsError::ConnectionReset), "nobody accepts it");
    assert_eq!(Socket::new(SocketKind::Stream, ME).connect(&server, ME), Err(VfsError::ConnectionRefused));
    let sender = Socket::new(SocketKind::Datagram, ME);
    assert_eq!(send_to(&sender, b"x", &mailbox), Err(VfsError::ConnectionRefused));
    assert_eq!(send_to(&sender, b"x", &kept), Ok(1));
    bound(SocketKind::Stream, &names, b"gone", YOU);
    bound(SocketKind::Datagram, &names, b"mail", YOU);
}
