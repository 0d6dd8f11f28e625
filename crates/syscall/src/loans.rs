//! What those who wait lend to those they wait for: threads at locks with priority inheritance (`calls/futex.rs`), and readers at pipes and
//! local stream sockets, where the writer is guessed.
//!
//! Only a *critical* reader lends ([`Thread::is_critical`]), so that the others pay for one look. The writer is the thread that woke such a
//! reader of this open file the last time; before the first time, who alone has the other end open. The loan ends with the wake-up, on
//! the writer's own CPU: whatever it goes on to do is no longer urgent. It ends as well when [`LONGEST`] has passed: who waits for
//! an order that may come any day must not make its client urgent until then.
//!
//! ```text
//! reader:  nothing there ─► queue with the loan as its waker ─► lend ─► sleep
//! writer:  writes ─► wakes the loan: take it back, note who wrote, wake the reader
//! ```

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::task::Wake;
use core::future::Future;
use core::pin::Pin;
use core::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use core::task::{Context, Poll, Waker};

use process::lending::Changed;
use sync::TimerToken;
use types::{Nanos, Tid};
use vfs::PollEvents;
use vfs::pipe::Pipe;
use vfs::socket::{Socket, SocketKind};

use crate::{Caller, OpenFile, Process, System, Thread};

/// How long a reader lends in one wait.
const LONGEST: Nanos = Nanos::from_millis(250);
/// Processes that are looked at for the one that writes, and files of them.
const MOST_PROCESSES: usize = 512;
const MOST_FILES: usize = 4096;

impl System {
    /// How a thread is to be scheduled has changed: that counts at once, for whom it waits for as well. Not under a lock.
    pub(crate) fn scheduling_changed(&self, thread: &Thread) {
        self.platform.scheduling_changed(thread);
        self.lend_anew(thread);
    }

    /// What a thread lends follows its own urgency. Not under a lock.
    pub(crate) fn lend_anew(&self, thread: &Thread) {
        if let Some(changed) = self.futexes.lending().revalue(thread.tid(), self.platform.urgency(thread)) {
            self.carry_out(changed);
            // It finds its place among those who wait for the same lock.
            thread.wake();
        }
    }

    /// A thread, by the system's number, is to run as if it were of that urgency at least.
    pub(crate) fn lend(&self, tid: Tid, urgency: Option<u32>) {
        if let Some(thread) = self.processes.thread(tid) {
            self.platform.lend(&thread, urgency);
        }
    }

    fn carry_out(&self, changed: Changed) {
        self.futexes.lending().carry_out(changed, |tid, urgency| self.lend(tid, urgency));
    }
}

/// A reader that lends while it waits.
pub(crate) struct Lender {
    loan: Arc<Loan>,
    /// Until when, and what ends it then; none before there was a loan.
    until: Option<(Nanos, TimerToken)>,
}

impl Lender {
    fn new(caller: Caller<'_>) -> Self {
        let reader = caller.thread.clone();
        let loan = Loan { system: caller.system, reader, woken: AtomicBool::new(false), by: AtomicU32::new(0) };
        Self { loan: Arc::new(loan), until: None }
    }

    /// Polls a reader of `file` that may have to wait, for which `lender` has a place.
    #[cold]
    pub(crate) fn poll<T>(
        lender: &mut Option<Box<Self>>,
        caller: Caller<'_>,
        file: &OpenFile,
        poll: impl FnOnce(&mut Context<'_>) -> Poll<T>,
    ) -> Poll<T> {
        let lender = lender.get_or_insert_with(|| Box::new(Self::new(caller)));
        let loan = &lender.loan;
        loan.woken.store(false, Ordering::Relaxed);
        let polled = poll(&mut Context::from_waker(&Waker::from(loan.clone())));
        let by = loan.by.swap(0, Ordering::Relaxed);
        if by != 0 {
            file.note_feeder(by);
        }
        if polled.is_ready() {
            loan.end();
            return polled;
        }
        let Some(writer) = loan.writer_of(file) else { return polled };
        let now = caller.system.platform.now();
        let (until, _) = *lender.until.get_or_insert_with(|| {
            let end = Waker::from(Arc::new(End(loan.clone())));
            (now + LONGEST, caller.system.wake_at(now + LONGEST, end))
        });
        if now < until {
            let urgency = caller.system.platform.urgency(caller.thread);
            caller.system.carry_out(caller.system.futexes.lending().guess(caller.thread.tid(), urgency, writer));
            // It may have been woken before it lent.
            if loan.woken.load(Ordering::SeqCst) {
                loan.end();
            }
        }
        polled
    }
}

impl Drop for Lender {
    fn drop(&mut self) {
        if let Some((_, timer)) = self.until.take() {
            self.loan.system.timers.remove(timer);
        }
        self.loan.end();
    }
}

/// Ends a loan when its time is over.
struct End(Arc<Loan>);

impl Wake for End {
    fn wake(self: Arc<Self>) {
        self.0.end();
    }
}

/// What a reader lends: the waker that it leaves with what it waits for.
struct Loan {
    system: &'static System,
    reader: Arc<Thread>,
    woken: AtomicBool,
    /// Who woke it; 0 for nobody.
    by: AtomicU32,
}

impl Loan {
    /// Takes it back.
    fn end(&self) {
        self.system.carry_out(self.system.futexes.lending().leave(self.reader.tid()));
    }

    /// Who will probably write what is read from `file`.
    fn writer_of(&self, file: &OpenFile) -> Option<Tid> {
        let known = |tid: Tid| tid != self.reader.tid() && self.system.processes.thread(tid).is_some();
        match file.feeder() {
            OpenFile::NO_FEEDER => return None,
            0 => {}
            feeder => {
                let feeder = Tid(feeder);
                if known(feeder) {
                    return Some(feeder);
                }
            }
        }
        let found = self.search(file).filter(|tid| known(*tid));
        file.note_feeder(found.map_or(OpenFile::NO_FEEDER, |tid| tid.0));
        found
    }

    /// Who alone can write it; done once, and again when that one has ended.
    #[cold]
    fn search(&self, file: &OpenFile) -> Option<Tid> {
        if let Some(pipe) = file.pipe() {
            return self.sole_writer(pipe);
        }
        let peer = file.downcast::<Socket>()?.peer_credentials().pid;
        self.system.processes.process(peer)?.first_thread().map(|thread| thread.tid())
    }

    /// The process that has the end to write open, if it is one beside the reader's.
    fn sole_writer(&self, pipe: &Arc<Pipe>) -> Option<Tid> {
        let mut left = MOST_FILES;
        let mut writes = |process: &Arc<Process>| {
            let thread = process.first_thread()?;
            let files = thread.files()?;
            let mut from = 0;
            while let Some((fd, file, _)) = files.next_open(from) {
                if file.is_writable() && file.pipe().is_some_and(|other| Arc::ptr_eq(other, pipe)) {
                    return Some(thread.tid());
                }
                left = left.checked_sub(1)?;
                from = fd.saturating_add(1);
            }
            None
        };
        let own = self.reader.process();
        let processes = self.system.processes.processes().take(MOST_PROCESSES);
        let mut writers = processes.filter(|process| !Arc::ptr_eq(process, own)).filter_map(|process| writes(&process));
        let first = writers.next()?;
        writers.next().is_none().then_some(first)
    }
}

impl Wake for Loan {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let by = self.system.platform.current_thread().filter(|by| !Arc::ptr_eq(by, &self.reader));
        if let Some(by) = by {
            self.by.store(by.tid().0, Ordering::Relaxed);
        }
        self.woken.store(true, Ordering::SeqCst);
        self.end();
        self.reader.wake();
    }
}

/// A wait for a file, for whose bytes a critical reader lends.
pub(crate) struct Lending<'a, F> {
    caller: Caller<'a>,
    file: &'a OpenFile,
    reads: bool,
    inner: F,
    lender: Option<Box<Lender>>,
}

impl<'a, F> Lending<'a, F> {
    pub(crate) fn new(caller: Caller<'a>, file: &'a OpenFile, events: PollEvents, inner: F) -> Self {
        Self { caller, file, reads: events.contains(PollEvents::READABLE), inner, lender: None }
    }
}

impl<F: Future + Unpin> Future for Lending<'_, F> {
    type Output = F::Output;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<F::Output> {
        let Self { caller, file, reads, inner, lender } = &mut *self;
        if !caller.thread.is_critical() || !*reads || !is_fed(file) {
            return Pin::new(inner).poll(cx);
        }
        Lender::poll(lender, *caller, file, |cx| Pin::new(inner).poll(cx))
    }
}

/// Whether what there is to read comes from one other thread, as a rule.
fn is_fed(file: &OpenFile) -> bool {
    let connected = |socket: &Socket| socket.kind() == SocketKind::Stream && socket.peer_address().is_ok();
    file.pipe().is_some() || file.downcast().is_some_and(connected)
}
