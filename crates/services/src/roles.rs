//! Who may do what, and who may see what. The identity was stamped by the kernel; here it is only judged.

use crate::audit::Actor;
use crate::catalog::Catalog;
use crate::definition::Subject;
use crate::error::{Result, Role, ServiceError};
use crate::id::ServiceId;
use types::Uid;

impl Catalog {
    /// Whether `actor` has `role` for `target`: the superuser has all, a service may observe itself, everything else is
    /// what the target's definition allows. A role includes the lesser ones.
    pub fn grants(&self, actor: Actor, role: Role, target: ServiceId) -> bool {
        let Actor::Caller { user, service } = actor else { return true };
        // A superuser's process inside a service is that service first: its definition says what it may do.
        if user == Uid::ROOT && service.is_none() || service == Some(target) && role == Role::Observe {
            return true;
        }
        let Some(definition) = self.definition(target) else { return false };
        definition.security.allow.iter().any(|rule| {
            rule.role >= role
                && match &rule.who {
                    Subject::Any => true,
                    Subject::User(allowed) => *allowed == user,
                    Subject::Service(name) => {
                        service.and_then(|id| self.definition(id)).is_some_and(|caller| caller.name == *name)
                    }
                }
        })
    }

    /// Whether `actor` may give commands about the whole system.
    pub fn grants_system(&self, actor: Actor) -> bool {
        matches!(actor, Actor::Supervisor | Actor::Caller { user: Uid::ROOT, service: None })
    }

    /// Looks up an endpoint or a service. A service finds only what it declared, and what is exported to it.
    ///
    /// # Errors
    /// `NotFound`, also for what exists but may not be seen, so that names cannot be probed.
    pub fn discover(&self, actor: Actor, name: &str) -> Result<ServiceId> {
        let caller = match actor {
            Actor::Supervisor | Actor::Caller { user: Uid::ROOT, service: None } => None,
            Actor::Caller { service: Some(service), .. } => {
                Some(self.definition(service).ok_or(ServiceError::NotFound)?)
            }
            Actor::Caller { service: None, .. } => return self.open_endpoint(name),
        };
        let Some(caller) = caller else {
            return self.find(name).or_else(|| self.exporter(name, None)).ok_or(ServiceError::NotFound);
        };
        let required = caller.dependencies.iter().any(|dependency| dependency.on.as_str() == name);
        let declared = required || caller.security.uses.iter().any(|used| used.as_str() == name);
        if !declared {
            return Err(ServiceError::NotFound);
        }
        let direct = if required { self.find(name).or_else(|| self.provider(name)) } else { None };
        direct.or_else(|| self.exporter(name, Some(caller.name.as_str()))).ok_or(ServiceError::NotFound)
    }

    fn open_endpoint(&self, name: &str) -> Result<ServiceId> {
        self.exporter(name, Some("")).ok_or(ServiceError::NotFound)
    }

    fn provider(&self, name: &str) -> Option<ServiceId> {
        let provides = |definition: &crate::Definition| definition.provides.iter().any(|offer| offer.as_str() == name);
        self.services().find(|(_, definition)| provides(definition)).map(|(id, _)| id)
    }

    fn exporter(&self, name: &str, to: Option<&str>) -> Option<ServiceId> {
        self.services()
            .find(|(_, definition)| {
                definition.security.exports.iter().any(|export| {
                    export.name.as_str() == name
                        && to
                            .is_none_or(|to| export.to.is_empty() || export.to.iter().any(|other| other.as_str() == to))
                })
            })
            .map(|(id, _)| id)
    }
}
