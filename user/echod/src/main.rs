//! The echo service: says back each line that it hears, with the name of the instance in front.
//!
//! It is what a service of one's own may look like: the socket comes from the supervisor (LISTEN_FDS), readiness and signs
//! of life go back to it (NOTIFY_SOCKET, WATCHDOG_USEC), output goes to standard error. Any of them may be missing.
//!
//! `echod PATH` makes its own socket; `echod --ask PATH TEXT…` is the client.
#![forbid(unsafe_code)]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::Shutdown;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::process::ExitCode;
use std::time::Duration;
use std::{env, io, thread};

fn main() -> ExitCode {
    let args: Vec<String> = env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match words.as_slice() {
        ["--ask", path, text @ ..] => ask(path, &text.join(" ")),
        [path] => UnixListener::bind(path).and_then(|listener| serve(&listener)),
        [] => given().and_then(|listener| serve(&listener)),
        _ => Err(io::Error::other("usage: echod [PATH] | echod --ask PATH TEXT...")),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("echod: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The socket that the supervisor holds for the service.
fn given() -> io::Result<UnixListener> {
    let listener = listenfd::ListenFd::from_env().take_unix_listener(0)?;
    listener.ok_or_else(|| io::Error::other("no socket was given (LISTEN_FDS)"))
}

fn serve(listener: &UnixListener) -> io::Result<()> {
    let number = env::var("SVC_INSTANCE").unwrap_or_else(|_| "0".into());
    let name = format!("{}#{number}", env::var("SVC_NAME").unwrap_or_else(|_| "echo".into()));
    keep_alive();
    say(&format!("{name} is ready"));
    notify(&format!("READY=1\nSTATUS={name} listens"));
    loop {
        let (stream, _) = listener.accept()?;
        let name = name.clone();
        thread::Builder::new().spawn(move || {
            if let Err(error) = echo(&stream, &name) {
                say(&format!("{name}: {error}"));
            }
        })?;
    }
}

fn echo(stream: &UnixStream, name: &str) -> io::Result<()> {
    let mut line = Vec::new();
    let mut reader = BufReader::new(stream);
    // A line may be as long as one likes; what is kept of it at a time is not.
    while (&mut reader).take(4096).read_until(b'\n', &mut line)? > 0 {
        let mut out = stream;
        out.write_all(&[name.as_bytes(), b": ", &line].concat())?;
        line.clear();
    }
    Ok(())
}

/// One line in one piece: all instances write into the same log.
fn say(line: &str) {
    let _ = io::stderr().write_all(format!("{line}\n").as_bytes());
}

/// Tells the supervisor twice within its span that this program lives.
fn keep_alive() {
    let Some(span) = env::var("WATCHDOG_USEC").ok().and_then(|text| text.parse::<u64>().ok()) else { return };
    thread::spawn(move || {
        loop {
            thread::sleep(Duration::from_micros(span / 2));
            notify("WATCHDOG=1");
        }
    });
}

fn notify(text: &str) {
    let Ok(path) = env::var("NOTIFY_SOCKET") else { return };
    let address = match path.strip_prefix('@') {
        Some(name) => SocketAddr::from_abstract_name(name),
        None => SocketAddr::from_pathname(&path),
    };
    let sent = address.and_then(|address| UnixDatagram::unbound()?.send_to_addr(text.as_bytes(), &address));
    if let Err(error) = sent {
        say(&format!("echod: cannot notify {path}: {error}"));
    }
}

fn ask(path: &str, text: &str) -> io::Result<()> {
    let mut stream = UnixStream::connect(path)?;
    stream.write_all(format!("{text}\n").as_bytes())?;
    stream.shutdown(Shutdown::Write)?;
    io::copy(&mut stream, &mut io::stdout())?;
    Ok(())
}
