//! Who may ask for what. The reconciler judges commands about one service; here is the rest.

use services::wire::Request;
use services::{Actor, Deed, Input, Result, Role, ServiceError, ServiceId};
use types::Nanos;

use crate::Supervisor;

/// Numbers of requests that are no commands of the reconciler, for the audit ring; those of commands are below.
const FIRST_CODE: u8 = 32;

impl Supervisor {
    /// Whether `actor` may see that service.
    pub(crate) fn may_see(&self, actor: Actor, id: ServiceId) -> bool {
        self.engine.catalog().grants(actor, Role::Observe, id)
    }

    /// The service of that name, if `actor` may see it.
    ///
    /// # Errors
    /// `NotFound`; `PermissionDenied`, recorded.
    pub(crate) fn seen(&mut self, now: Nanos, actor: Actor, name: &str, request: u8) -> Result<ServiceId> {
        let id = self.find(name)?;
        if self.may_see(actor, id) {
            return Ok(id);
        }
        self.record(now, actor, id, Deed::Denied(request));
        Err(ServiceError::PermissionDenied(Role::Observe))
    }

    fn record(&mut self, now: Nanos, actor: Actor, target: ServiceId, deed: Deed) {
        match deed {
            Deed::Allowed(code) => self.log.note(now, Input::Allowed(actor, target, code)),
            Deed::Denied(code) => self.log.note(now, Input::Denied(actor, target, code)),
            // Only the reconciler makes the others.
            Deed::Transition { .. } | Deed::Flood(_) | Deed::Escalated(_) => return,
        }
        self.engine.record(now, actor, target, deed);
    }

    pub(crate) fn find(&self, name: &str) -> Result<ServiceId> {
        self.engine.catalog().find(name).ok_or(ServiceError::NotFound)
    }

    /// Asks for the right to change the system as a whole, and records the answer.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub(crate) fn may_change_all(&mut self, now: Nanos, actor: Actor, request: &Request) -> Result<()> {
        let allowed = self.engine.catalog().grants_system(actor);
        let code = code(request);
        let deed = if allowed { Deed::Allowed(code) } else { Deed::Denied(code) };
        self.record(now, actor, ServiceId(u16::MAX), deed);
        if allowed { Ok(()) } else { Err(ServiceError::PermissionDenied(request.role())) }
    }

    /// Asks for the right to look at the system as a whole; only a refusal is recorded.
    ///
    /// # Errors
    /// `PermissionDenied`.
    pub(crate) fn may_see_all(&mut self, now: Nanos, actor: Actor, request: &Request) -> Result<()> {
        if self.engine.catalog().grants_system(actor) {
            return Ok(());
        }
        self.record(now, actor, ServiceId(u16::MAX), Deed::Denied(code(request)));
        Err(ServiceError::PermissionDenied(Role::Observe))
    }
}

/// How the audit ring names a request that is no command of the reconciler.
pub(crate) const fn code(request: &Request) -> u8 {
    FIRST_CODE
        + match request {
            Request::Load { .. } => 0,
            Request::Update(_) => 1,
            Request::Rollback(_) => 2,
            Request::Audit(_) => 3,
            Request::Events(_) => 4,
            Request::Boot => 5,
            Request::Show(_) => 6,
            Request::Log { .. } => 7,
            Request::Emergency(_) => 8,
            Request::Replay => 10,
            _ => 9,
        }
}
