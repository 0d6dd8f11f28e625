//! Services: what they are, what they need, and the supervisor that keeps them as wished.
//!
//! Pure: events and the time come in, actions go out, and nothing here knows a process, a clock or a file. The kernel does
//! what [`Actions`] say, under the identity (instance, generation) that it stamps on everything.
//!
//! Start with [`Definition`], [`Reconciler::load`], [`Reconciler::step`] and [`Reconciler::command`]; [`Reconciler::why`] and
//! [`Reconciler::plan`] explain.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

mod action;
mod audit;
mod balance;
mod catalog;
mod definition;
mod error;
pub mod graph;
mod history;
mod id;
mod manager;
mod plan;
mod reconciler;
mod replay;
mod roles;
mod slots;
mod state;
mod table;
mod timers;
mod victim;
mod why;
pub mod wire;

pub use action::{Action, Actions};
pub use audit::{Actor, Audit, Deed, Hash, Record};
pub use balance::{Balancer, Caller, Work};
pub use catalog::{Bounds, Catalog, Edge, Mistake};
pub use definition::{
    Allow, Balance, Class, Definition, Dependency, DependencyKind, Endpoint, Export, Health as HealthPolicy, Isolation,
    Kind, Limits, Listen, MAX_COUNT, MAX_DEPENDENCIES, MAX_LISTEN, Name, OnFailure, OnLoss, OnMemory, Probe,
    ProbeTarget, Readiness, Restart, RestartPolicy, Run, Scaling, Security, SocketKind, Stop, Subject, Version,
    VersionReq,
};
pub use error::{
    Capacity, Field, Health, Resource, Result, Retry, Role, ServiceError, SpawnError, SpawnStep, Unsatisfied,
};
pub use history::Transition;
pub use id::{Generation, Identity, InstanceId, ServiceId};
pub use manager::{ServiceHealth, ServiceManager, ServiceStatus};
pub use plan::{Change, Step};
pub use reconciler::{
    Closed, Command, Config, Ending, Hold, InstanceView, Level, RebootGuard, Reconciler, ServiceView, Stage, StopMode,
    delay,
};
pub use replay::{Entry, EventLog, Input, ReplayError, replay};
pub use state::{Cause, Event, Exit, Phase, ProbeResult, State};
pub use table::{Effect, Guard, Next, Row, TABLE, Trigger};
pub use victim::{Usage, Victim};
pub use why::{Reason, Root};

#[cfg(test)]
mod tests;
