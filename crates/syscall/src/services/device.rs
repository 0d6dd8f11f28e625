//! /dev/svc: one request written, one reply read. Who asks is stamped when it is opened. Once there is more to see than in
//! the reply to the last request, poll(2) reports POLLPRI.

use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;

use services::Actor;
use services::wire::{Reply, Request, Verb, WireError};
use supervisor::Output;
use sync::{Rank, SpinLock, WaitQueue};
use vfs::{Device, File, OpenRequest, PollEvents, Result, VfsError};

use super::KernelWorld;
use crate::System;

/// The device.
pub(crate) struct ServiceDevice(pub(crate) &'static System);

impl Device for ServiceDevice {
    fn open(&self, request: &OpenRequest<'_>) -> Result<Arc<dyn File>> {
        let service = self.0.service_of(request.caller.pid);
        let actor = Actor::Caller { user: request.caller.credentials.euid, service };
        Ok(Arc::new(Conversation { system: self.0, actor, state: SpinLock::new(Rank::OPEN_FILE, Exchange::default()) }))
    }
}

/// One open file: requests of one caller, one at a time.
struct Conversation {
    system: &'static System,
    actor: Actor,
    state: SpinLock<Exchange>,
}

#[derive(Default)]
struct Exchange {
    /// The part of a request that is there.
    asked: Vec<u8>,
    /// The reply, and how much of it has been read.
    reply: Vec<u8>,
    read: usize,
    seen: Seen,
    /// The start that was asked for last: who asked may wait for it, as long as this is open.
    waits: Option<u64>,
}

/// What the last reply told.
#[derive(Default)]
enum Seen {
    /// Nothing yet.
    #[default]
    Nothing,
    /// The state of services after so many changes.
    Changes(u64),
    /// The output of a service up to there.
    Output(Arc<Output>, u64),
}

impl Conversation {
    /// Whether there is more to see than the last reply told.
    fn has_news(&self, seen: &Seen) -> bool {
        match seen {
            Seen::Nothing => false,
            Seen::Changes(count) => self.system.supervisor().watch().changes() != *count,
            Seen::Output(output, next) => output.written() != *next,
        }
    }

    /// Whoever asked for a start does not wait for it any more.
    fn give_up_waiting(&self, waits: Option<u64>) {
        if let Some(number) = waits {
            let services = self.system.supervisor();
            services.with(&KernelWorld(self.system), |supervisor| supervisor.gives_up_waiting(number));
        }
    }

    /// Takes bytes in; the request, if it is whole now.
    fn take(&self, data: &[u8]) -> Result<Option<Vec<u8>>> {
        if !self.system.frames.has_headroom() {
            return Err(VfsError::NoMemory);
        }
        let mut state = self.state.lock();
        let state = &mut *state;
        // Whoever asks anew does not want the old answer.
        (state.reply, state.read) = (Vec::new(), 0);
        state.asked.try_reserve(data.len()).map_err(|_| VfsError::NoMemory)?;
        state.asked.extend_from_slice(data);
        let whole = match Request::length(&state.asked) {
            Ok(None) => return Ok(None),
            Ok(Some(whole)) if whole > state.asked.len() => return Ok(None),
            Ok(Some(whole)) if whole == state.asked.len() => Ok(()),
            // More than one request.
            Ok(Some(_)) => Err(VfsError::InvalidArgument),
            Err(error) => Err(refused(error)),
        };
        let asked = core::mem::take(&mut state.asked);
        whole.map(|()| Some(asked))
    }
}

impl Drop for Conversation {
    fn drop(&mut self) {
        let waits = self.state.lock().waits.take();
        self.give_up_waiting(waits);
    }
}

fn refused(error: WireError) -> VfsError {
    match error {
        WireError::Memory => VfsError::NoMemory,
        WireError::TooLong => VfsError::MessageSize,
        WireError::Version => VfsError::NotSupported,
        WireError::Truncated | WireError::Length | WireError::Kind | WireError::Value | WireError::Text => {
            VfsError::InvalidArgument
        }
    }
}

impl File for Conversation {
    fn read(&self, _offset: u64, out: &mut [u8]) -> Result<usize> {
        let mut state = self.state.lock();
        let left = state.reply.get(state.read..).unwrap_or_default();
        let count = left.len().min(out.len());
        if let (Some(to), Some(from)) = (out.get_mut(..count), left.get(..count)) {
            to.copy_from_slice(from);
        }
        state.read += count;
        Ok(count)
    }

    fn write(&self, _offset: u64, data: &[u8]) -> Result<usize> {
        let Some(asked) = self.take(data)? else { return Ok(data.len()) };
        let request = Request::decode(&asked).map_err(refused)?;
        drop(asked);
        let world = KernelWorld(self.system);
        let now = self.system.platform.now();
        let services = self.system.supervisor();
        let start = match &request {
            Request::Control { verb: Verb::Start | Verb::Restart, name, .. } => Some(name.clone()),
            _ => None,
        };
        let log = if let Request::Log { name, .. } = &request { Some(name.clone()) } else { None };
        let urgency = self.system.platform.current_thread().map(|caller| self.system.platform.urgency(&caller));
        let (reply, seen, waits) = services.with(&world, |supervisor| {
            let reply = supervisor.request(&world, now, self.actor, request);
            let waits = match (start, urgency, &reply) {
                (Some(name), Some(urgency), Reply::Ok) => supervisor.waits_for_start(name, urgency),
                _ => None,
            };
            let output = log.and_then(|name| supervisor.output(name.as_str()).cloned());
            let seen = match (output, &reply) {
                (Some(output), Reply::Log(part)) => Seen::Output(output, part.next),
                _ => Seen::Changes(supervisor.watch().changes()),
            };
            (reply, seen, waits)
        });
        if matches!(reply, Reply::Loaded { .. }) {
            self.system.close_sockets();
        }
        let mut bytes = Vec::new();
        Reply::encode(&reply, &mut bytes).map_err(refused)?;
        let (old, no_longer) = {
            let mut state = self.state.lock();
            state.read = 0;
            let no_longer = if waits.is_some() { core::mem::replace(&mut state.waits, waits) } else { None };
            let old = (core::mem::replace(&mut state.reply, bytes), core::mem::replace(&mut state.seen, seen));
            (old, no_longer)
        };
        drop(old);
        self.give_up_waiting(no_longer);
        Ok(data.len())
    }

    fn poll(&self) -> PollEvents {
        let state = self.state.lock();
        let there = if state.read < state.reply.len() { PollEvents::READABLE } else { PollEvents::empty() };
        let news = if self.has_news(&state.seen) { PollEvents::PRI } else { PollEvents::empty() };
        PollEvents::WRITABLE | there | news
    }

    fn wait_queues(&self, interest: PollEvents, visit: &mut dyn FnMut(&Arc<WaitQueue>)) {
        if interest.contains(PollEvents::PRI) {
            visit(self.system.supervisor().watch().queue());
        }
    }

    fn describe(&self, out: &mut dyn fmt::Write) -> fmt::Result {
        out.write_str("/dev/svc")
    }
}
