//! One start of one instance: everything the kernel needs for it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

use process::Cell;
use services::wire::Unit;
use services::{Identity, Readiness};

use crate::{Balancing, Output};

/// Where notifications go: an abstract Unix socket of the kernel's own.
pub const NOTIFY_NAME: &str = "multios/notify";

/// One start.
#[derive(Clone, Debug)]
pub struct Launch {
    /// Which life of which instance.
    pub identity: Identity,
    /// Which of the service.
    pub index: u16,
    /// Where its processes will be.
    pub cell: Arc<Cell>,
    /// Its definition.
    pub unit: Arc<Unit>,
    /// Where its standard output and error go.
    pub output: Arc<Output>,
    /// Who of the service gets the next connection.
    pub balancing: Arc<Balancing>,
}

impl Launch {
    /// As people call it: the service, and which of it if there are several.
    pub fn name(&self) -> String {
        let definition = &self.unit.definition;
        if definition.scaling.count > 1 {
            format!("{}#{}", definition.name, self.index)
        } else {
            format!("{}", definition.name)
        }
    }

    /// Its environment, `NAME=value` each: what the definition says, the usual variables, and what it is.
    pub fn environment(&self) -> Vec<String> {
        let definition = &self.unit.definition;
        let mut all: Vec<String> = Vec::new();
        let mut set = |name: &str, value: &str| {
            let taken = all.iter().any(|known| known.split('=').next() == Some(name));
            if !taken {
                all.push(format!("{name}={value}"));
            }
        };
        // What the kernel stamps comes first: a definition cannot forge it. What people start from a session is not the service.
        if !definition.session {
            set("SVC_NAME", definition.name.as_str());
            set("SVC_INSTANCE", &format!("{}", self.index));
            set("SVC_GENERATION", &format!("{}", self.identity.generation.0));
        }
        if definition.ready == Readiness::Notify || definition.health.watchdog.is_some() {
            set("NOTIFY_SOCKET", &format!("@{NOTIFY_NAME}"));
        }
        if let Some(watchdog) = definition.health.watchdog {
            set("WATCHDOG_USEC", &format!("{}", watchdog.0 / 1000));
        }
        for (name, value) in &definition.env {
            set(name, value);
        }
        set("PATH", "/sbin:/usr/sbin:/bin:/usr/bin");
        all
    }

    /// Names of the sockets that are passed on, as LISTEN_FDNAMES has them.
    pub fn socket_names(&self) -> String {
        let names: Vec<&str> = self.unit.definition.listen.iter().map(|listen| listen.name.as_str()).collect();
        names.join(":")
    }
}
