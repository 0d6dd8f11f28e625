//! One headless run of QEMU: its first serial port to a sink, its second (the kernel log) to another, with a deadline.
//!
//! The kernel ends its log with the line `MULTIOS-EXIT status=N`; without it the kernel did not come to its end.

use std::collections::VecDeque;
use std::io::{Read, Write};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};

/// The last line of the kernel log, before the status.
const EXIT_LINE: &str = "MULTIOS-EXIT status=";
/// How many lines of the log are kept for a report of a failure.
const TAIL_LINES: usize = 60;
/// How long QEMU may take to end after the kernel's last line.
const GRACE: Duration = Duration::from_secs(5);

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The kernel powered off and told this status.
    Exited(u8),
    /// QEMU ended without the kernel's last line.
    Failed,
    /// The deadline passed.
    TimedOut,
}

/// What a run left behind.
pub struct Finished {
    /// How it ended.
    pub outcome: Outcome,
    /// The last lines of the kernel log (and of QEMU's own messages).
    pub log_tail: Vec<String>,
}

/// When a run is given up; nothing means never.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limit {
    /// After this time.
    pub total: Option<Duration>,
    /// When the console has been silent for this time.
    pub silence: Option<Duration>,
}

/// What to do with the output of a serial port.
pub type Sink = Box<dyn Write + Send>;

/// Who types on the first serial port.
pub enum Keys {
    /// Nobody.
    None,
    /// Whoever sits here.
    Terminal,
    /// A made-up person: on hearing the first text, types the second.
    Dialogue(Vec<(&'static str, &'static str)>),
}

/// Runs `qemu` to its end; `console` and `log` receive the two serial ports.
pub fn headless(qemu: &mut Command, keys: Keys, console: Sink, log: Sink, limit: Limit) -> Result<Finished> {
    // /dev/stderr: QEMU's own messages and the kernel log arrive by the same pipe, in order.
    qemu.args(["-monitor", "none"]);
    qemu.args(["-chardev", "stdio,id=console,signal=off", "-device", "isa-serial,chardev=console,index=0"]);
    qemu.args(["-chardev", "file,id=log,path=/dev/stderr", "-device", "isa-serial,chardev=log,index=1"]);
    qemu.stdin(match keys {
        Keys::None => Stdio::null(),
        Keys::Terminal => Stdio::inherit(),
        Keys::Dialogue(_) => Stdio::piped(),
    });
    let mut child = qemu.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().context("cannot run QEMU")?;
    let record = Arc::new(Record::default());
    let console: Sink = match (keys, child.stdin.take()) {
        (Keys::Dialogue(steps), Some(keys)) => {
            Box::new(Typist { keys, steps: steps.into(), heard: Vec::new(), console })
        }
        _ => console,
    };
    let console = drain(child.stdout.take(), Box::new(Watched { record: record.clone(), sink: console }));
    let log = drain(child.stderr.take(), Box::new(LogReader { record: record.clone(), sink: log, line: Vec::new() }));
    let in_time = wait(&mut child, limit, &record)?;
    let _ = console.join();
    let _ = log.join();
    let tail = record.tail.lock().map(|tail| tail.iter().cloned().collect::<Vec<_>>()).unwrap_or_default();
    let status = record.status.lock().ok().and_then(|status| *status);
    let outcome = match (status, in_time) {
        (Some(status), _) => Outcome::Exited(status),
        (None, None) => Outcome::TimedOut,
        (None, Some(_)) => Outcome::Failed,
    };
    Ok(Finished { outcome, log_tail: tail })
}

/// Waits for the end of `child`, at most until the limit; then ends it and gives `None`.
fn wait(child: &mut Child, limit: Limit, record: &Record) -> Result<Option<ExitStatus>> {
    let mut deadline = limit.total.map(|total| Instant::now() + total);
    let mut said_end = false;
    let (mut heard, mut heard_at) = (0, Instant::now());
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(status));
        }
        if !said_end && record.ended.load(Ordering::Acquire) {
            said_end = true;
            deadline = Some(Instant::now() + GRACE);
        }
        let now_heard = record.heard.load(Ordering::Relaxed);
        if now_heard != heard {
            (heard, heard_at) = (now_heard, Instant::now());
        }
        let too_silent = limit.silence.is_some_and(|silence| heard_at.elapsed() >= silence);
        if too_silent || deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            let _ = child.kill();
            let _ = child.wait();
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(5));
    }
}

fn drain(from: Option<impl Read + Send + 'static>, mut sink: Sink) -> JoinHandle<()> {
    thread::spawn(move || {
        let Some(mut from) = from else { return };
        let mut buffer = [0; 16384];
        while let Ok(count @ 1..) = from.read(&mut buffer) {
            // A closed sink is no reason to stop: QEMU would block on a full pipe.
            let _ = sink.write_all(&buffer[..count]);
            let _ = sink.flush();
        }
    })
}

#[derive(Default)]
struct Record {
    tail: Mutex<VecDeque<String>>,
    status: Mutex<Option<u8>>,
    ended: AtomicBool,
    /// How many pieces of output the console has given.
    heard: AtomicUsize,
}

/// A sink that counts what comes.
struct Watched {
    record: Arc<Record>,
    sink: Sink,
}

impl Write for Watched {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.record.heard.fetch_add(1, Ordering::Relaxed);
        self.sink.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

/// A sink that answers.
struct Typist<K> {
    keys: K,
    steps: VecDeque<(&'static str, &'static str)>,
    /// Since the last answer.
    heard: Vec<u8>,
    console: Sink,
}

impl<K: Write> Write for Typist<K> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.heard.extend_from_slice(bytes);
        while let Some((text, answer)) = self.steps.front()
            && let Some(at) = self.heard.windows(text.len()).position(|window| window == text.as_bytes())
        {
            self.heard.drain(..at + text.len());
            self.keys.write_all(answer.as_bytes()).and_then(|()| self.keys.flush())?;
            self.steps.pop_front();
        }
        self.console.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.console.flush()
    }
}

struct LogReader {
    record: Arc<Record>,
    sink: Sink,
    line: Vec<u8>,
}

impl Write for LogReader {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        for &byte in bytes {
            if byte == b'\n' {
                let line = String::from_utf8_lossy(&std::mem::take(&mut self.line)).trim_end().to_owned();
                self.record.line(line);
            } else {
                self.line.push(byte);
            }
        }
        self.sink.write_all(bytes)?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

impl Record {
    fn line(&self, line: String) {
        if let (Some(status), Ok(mut slot)) = (exit_status(&line), self.status.lock()) {
            *slot = Some(status);
            self.ended.store(true, Ordering::Release);
        }
        if let Ok(mut tail) = self.tail.lock() {
            tail.push_back(line);
            if tail.len() > TAIL_LINES {
                tail.pop_front();
            }
        }
    }
}

/// The status in the kernel's last line, if `line` is that.
pub fn exit_status(line: &str) -> Option<u8> {
    let (_, status) = line.split_once(EXIT_LINE)?;
    status.split_whitespace().next()?.parse().ok()
}

/// A sink that drops everything up to and including a line: what firmware printed before the kernel came.
pub struct AfterMarker {
    marker: Vec<u8>,
    seen: Option<Vec<u8>>,
    sink: Sink,
}

impl AfterMarker {
    /// Passes on to `sink` what follows the line `marker`.
    pub fn new(marker: &str, sink: Sink) -> Self {
        Self { marker: marker.as_bytes().to_vec(), seen: Some(Vec::new()), sink }
    }
}

impl Write for AfterMarker {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let Some(seen) = &mut self.seen else {
            self.sink.write_all(bytes)?;
            return Ok(bytes.len());
        };
        seen.extend_from_slice(bytes);
        if let Some(at) = seen.windows(self.marker.len()).position(|window| window == self.marker) {
            let after = &seen[at + self.marker.len()..];
            if let Some(newline) = after.iter().position(|&byte| byte == b'\n') {
                self.sink.write_all(&after[newline + 1..])?;
                self.seen = None;
            }
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.sink.flush()
    }
}

/// A sink that keeps everything, readable afterwards through a clone.
#[derive(Clone, Default)]
pub struct Capture(Arc<Mutex<Vec<u8>>>);

impl Capture {
    /// What was written so far.
    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().map(|bytes| bytes.clone()).unwrap_or_default()
    }
}

impl Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Ok(mut kept) = self.0.lock() {
            kept.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_status_is_read_from_the_kernels_last_line_only() {
        assert_eq!(exit_status("MULTIOS-EXIT status=7"), Some(7));
        assert_eq!(exit_status("[  0.1] kernel: MULTIOS-EXIT status=137\r"), Some(137));
        assert_eq!(exit_status("MULTIOS-EXIT status=256"), None);
        assert_eq!(exit_status("status=7"), None);
    }

    #[test]
    fn everything_before_the_marker_is_dropped_even_if_it_comes_in_pieces() {
        let capture = Capture::default();
        let mut sink = AfterMarker::new("@@start", Box::new(capture.clone()));
        for piece in ["firm", "ware\n@@st", "art", "\r\n", "one\n", "two\n"] {
            sink.write_all(piece.as_bytes()).unwrap();
        }
        assert_eq!(capture.bytes(), b"one\ntwo\n");
    }

    #[test]
    fn a_dialogue_goes_step_by_step_however_the_text_is_cut() {
        let (typed, shown) = (Capture::default(), Capture::default());
        let steps = [("# ", "one\n"), ("one", ""), ("# ", "two\n")].into();
        let mut typist = Typist { keys: typed.clone(), steps, heard: Vec::new(), console: Box::new(shown.clone()) };
        for (text, keys) in
            [("hello\n#", ""), (" ", "one\n"), ("o", "one\n"), ("ne\n# #", "one\ntwo\n"), (" ", "one\ntwo\n")]
        {
            typist.write_all(text.as_bytes()).unwrap();
            assert_eq!(typed.bytes(), keys.as_bytes());
        }
        assert_eq!(shown.bytes(), b"hello\n# one\n# # ");
    }

    #[test]
    fn a_run_that_passes_its_deadline_is_ended() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let limit = Limit { total: Some(Duration::from_millis(20)), silence: None };
        assert!(wait(&mut child, limit, &Record::default()).unwrap().is_none());
    }
}
