//! /proc/svc: a directory for each service, with a few files of text in it.

use alloc::string::String;
use core::fmt;

use services::{Actor, ServiceId};
use supervisor::{FILES, Supervisor};
use vfs::Caller as VfsCaller;
use vfs::proc::{ProcItems, Text};

use super::KernelWorld;
use crate::System;

/// The services as /proc shows them; it looks, and never makes a supervisor.
pub(crate) struct ServiceItems(pub(crate) &'static System);

/// Names of the files, by their place in [`FILES`].
const NAMES: [&str; FILES.len()] = {
    let mut names = [""; FILES.len()];
    let mut at = 0;
    while at < names.len() {
        #[expect(clippy::indexing_slicing, reason = "within the length of both, when compiled")]
        {
            names[at] = FILES[at].0;
        }
        at += 1;
    }
    names
};

impl ServiceItems {
    fn look<T>(&self, look: impl FnOnce(&Supervisor) -> Option<T>) -> Option<T> {
        self.0.services.get()?.look(look)
    }
}

impl ProcItems for ServiceItems {
    fn files(&self) -> &'static [&'static str] {
        &NAMES
    }

    fn next(&self, from: u32) -> Option<(u32, String)> {
        let from = u16::try_from(from).ok()?;
        self.look(|supervisor| supervisor.next_service(Actor::Supervisor, from)).map(|(id, name)| (id.0.into(), name))
    }

    fn find(&self, name: &[u8]) -> Option<u32> {
        let name = core::str::from_utf8(name).ok()?;
        self.look(|supervisor| supervisor.visible(Actor::Supervisor, name)).map(|id| id.0.into())
    }

    fn name(&self, item: u32) -> Option<String> {
        let id = ServiceId(u16::try_from(item).ok()?);
        self.look(|supervisor| supervisor.name_of(id).map(String::from))
    }

    fn may_read(&self, item: u32, caller: &VfsCaller<'_>) -> bool {
        let service = self.0.service_of(caller.pid);
        let actor = Actor::Caller { user: caller.credentials.euid, service };
        let Ok(number) = u16::try_from(item) else { return false };
        let seen = |supervisor: &Supervisor| supervisor.next_service(actor, number).map(|(id, _)| id.0 == number);
        self.look(seen).unwrap_or(false)
    }

    fn write(&self, item: u32, file: u8, out: &mut Text) -> fmt::Result {
        let (Ok(number), Some((_, file))) = (u16::try_from(item), FILES.get(usize::from(file))) else { return Ok(()) };
        let Some(services) = self.0.services.get() else { return Ok(()) };
        let now = self.0.platform.now();
        services.look(|supervisor| supervisor.write(&KernelWorld(self.0), now, ServiceId(number), *file, out))
    }
}
