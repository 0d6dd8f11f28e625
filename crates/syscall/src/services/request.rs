//! Services by the native gate, and the end of the machine by way of them.

use abi::Errno;
use abi::native as number;
use services::wire::{Reply, Request, Verb};
use services::{Actor, Command, Ending, Name, ServiceError, StopMode};

use super::KernelWorld;
use crate::{Caller, SysResult, System};

/// Longest definition that create_service takes.
const MAX_DEFINITION: u64 = 64 << 10;

/// create_service, start_service, stop_service.
pub(crate) fn native(caller: Caller<'_>, call: u64, args: [u64; 6]) -> SysResult {
    let [a, b, ..] = args;
    let request = if call == number::CREATE_SERVICE {
        if b > MAX_DEFINITION {
            return Err(Errno::E2BIG.into());
        }
        let bytes = caller.memory().read_vec(a, b as usize)?;
        match Request::decode(&bytes).map_err(|_| Errno::EINVAL)? {
            update @ Request::Update(_) => update,
            _ => return Err(Errno::EINVAL.into()),
        }
    } else {
        let text = caller.memory().read_string(a, Name::MAX + 1, Errno::ENAMETOOLONG)?;
        let name = core::str::from_utf8(&text).ok().and_then(|text| Name::new(text).ok()).ok_or(Errno::EINVAL)?;
        let verb = if call == number::START_SERVICE { Verb::Start } else { Verb::Stop };
        Request::Control { verb, name, mode: StopMode::Alone }
    };
    match ask(caller, request) {
        Reply::Error(failure) => Err(errno(failure.error).into()),
        Reply::Mistakes(mistakes) => Err(mistakes.first().map_or(Errno::EINVAL, |mistake| errno(mistake.error)).into()),
        _ => Ok(0),
    }
}

fn ask(caller: Caller<'_>, request: Request) -> Reply {
    let system = caller.system;
    let world = KernelWorld(system);
    let service = system.service_of(caller.process.pid());
    let actor = Actor::Caller { user: caller.thread.credentials().euid, service };
    let now = system.platform.now();
    system.supervisor().with(&world, |supervisor| supervisor.request(&world, now, actor, request))
}

/// The one errno of each of the fifteen errors.
fn errno(error: ServiceError) -> Errno {
    match error {
        ServiceError::NotFound => Errno::ENOENT,
        ServiceError::AlreadyExists => Errno::EEXIST,
        ServiceError::InvalidDefinition(_) => Errno::EINVAL,
        ServiceError::InvalidState(_) => Errno::EALREADY,
        ServiceError::PermissionDenied(_) => Errno::EACCES,
        ServiceError::CircularDependency => Errno::ELOOP,
        ServiceError::DependencyUnsatisfied(_) => Errno::ENOLINK,
        ServiceError::ResourceExhausted(_) => Errno::EDQUOT,
        ServiceError::CapacityExhausted(_) => Errno::EAGAIN,
        ServiceError::SpawnFailed(_) => Errno::ENOEXEC,
        ServiceError::StartTimeout => Errno::ETIMEDOUT,
        ServiceError::StopTimeout => Errno::ETIME,
        ServiceError::HealthCheckFailed(_) => Errno::EIO,
        ServiceError::RestartLimitExceeded => Errno::EBUSY,
        ServiceError::ShuttingDown => Errno::ESHUTDOWN,
    }
}

/// Whether services have to stop before the machine may end; then they have been told, and it ends after them.
pub(crate) fn end_machine(system: &'static System, ending: Ending) -> bool {
    let Some(services) = system.services.get() else { return false };
    let now = system.platform.now();
    services.with(&KernelWorld(system), |supervisor| {
        if supervisor.live_cells() == 0 {
            return false;
        }
        supervisor.command(now, Actor::Supervisor, Command::Shutdown(ending)).is_ok()
    })
}
