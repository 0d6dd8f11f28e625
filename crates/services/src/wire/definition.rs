//! How definitions and what is said about services are written.

use super::codec::{choice, record};
use crate::audit::{Actor, Deed, Record};
use crate::catalog::Mistake;
use crate::definition::{
    Allow, Balance, Class, Definition, Dependency, DependencyKind, Endpoint, Export, Health, Isolation, Kind, Limits,
    Listen, OnFailure, OnLoss, OnMemory, Probe, ProbeTarget, Readiness, Restart, RestartPolicy, Run, Scaling, Security,
    SocketKind, Stop, Subject,
};
use crate::error::{
    Capacity, Field, Health as HealthFailure, Resource, Retry, Role, ServiceError, SpawnError, SpawnStep, Unsatisfied,
};
use crate::id::Identity;
use crate::plan::Change;
use crate::reconciler::{Hold, StopMode};
use crate::state::{Cause, Phase, State};
use crate::why::Root;

choice!(Kind { 0 => System, 1 => User, 2 => Target, 3 => Monitoring, 4 => LoadBalancer, 5 => Discovery });
choice!(Class { 0 => System, 1 => Interactive, 2 => User, 3 => Service, 4 => Background });
choice!(Run { 0 => Daemon, 1 => Oneshot, 2 => Target });
choice!(DependencyKind { 0 => Requires, 1 => RequiresAny(group), 2 => Milestone, 3 => Wants, 4 => After, 5 => Conflicts });
record!(Dependency { kind, on, version });
choice!(Readiness { 0 => Execute, 1 => Notify, 2 => Listen, 3 => Descriptor(number), 4 => Probe });
choice!(OnLoss { 0 => Stop, 1 => Restart, 2 => Keep });
choice!(RestartPolicy { 0 => Never, 1 => OnFailure, 2 => OnAbnormal, 3 => Always });
choice!(OnFailure { 0 => None, 1 => Emergency, 2 => Reboot, 3 => PowerOff, 4 => Isolate });
record!(Restart { policy, base, maximum, max_failures, stable, permanent, on_failure });
record!(Stop { signal, timeout, grace, drain });
record!(Probe { period, timeout, failures });
record!(Health { watchdog, live });
choice!(SocketKind { 0 => Stream, 1 => Datagram, 2 => Packet, 3 => Tcp, 4 => Udp });
record!(Endpoint { kind, address });
record!(Listen { at, name, backlog, mode });
choice!(ProbeTarget { 0 => Own, 1 => Connect(endpoint), 2 => Execute(argv) });
choice!(OnMemory { 0 => Refuse, 1 => Restart });
record!(Limits { memory, memory_reserve, cpu, tasks, files, io, on_memory });
choice!(Balance { 0 => Least, 1 => TwoChoices, 2 => RoundRobin, 3 => Hash, 4 => LocalCpu });
record!(Scaling { count, balance, slow_start });
choice!(Isolation { 0 => Process, 1 => Namespace, 2 => Container });
choice!(Subject { 0 => Any, 1 => User(user), 2 => Service(name) });
choice!(Role { 0 => Observe, 1 => Operate, 2 => Configure, 3 => Emergency });
record!(Allow { role, who });
record!(Export { name, to });
record!(Security { isolation, no_new_privileges, exports, uses, allow });
record!(Definition {
    name,
    version,
    description,
    kind,
    run,
    exec,
    env,
    directory,
    user,
    group,
    class,
    provides,
    critical,
    session,
    keep_in_emergency,
    enabled,
    install,
    ready,
    start_timeout,
    dependencies,
    on_loss,
    loss_grace,
    preempt,
    restart,
    isolate,
    stop,
    health,
    probe,
    limits,
    scaling,
    listen,
    security,
});

choice!(Phase { 0 => Drain, 1 => Terminate, 2 => Grace });
choice!(State {
    0 => Down,
    1 => Waiting,
    2 => Starting,
    3 => Running,
    4 => Stopping(phase),
    5 => Killing,
    6 => Backoff,
    7 => Failed,
    8 => Done,
});
choice!(Resource { 0 => Memory, 1 => Cpu, 2 => Tasks, 3 => Files, 4 => Io });
choice!(Capacity { 0 => Services, 1 => Instances, 2 => Dependencies, 3 => Edges });
choice!(HealthFailure { 0 => Probe, 1 => Watchdog, 2 => OutOfMemory });
choice!(SpawnStep { 0 => Open, 1 => Format, 2 => Memory, 3 => Credentials, 4 => Execute });
choice!(Retry { 0 => Later, 1 => Never });
record!(SpawnError { step, errno, retry });
choice!(Cause {
    0 => None,
    1 => Goal,
    2 => Exited(status),
    3 => Signalled(signal),
    4 => StartTimeout,
    5 => Health(check),
    6 => Quota(resource),
    7 => Spawn(error),
    8 => DependencyLost(service),
    9 => Restart,
    10 => Shutdown,
    11 => NoReserve { need, have },
    12 => Governor,
});
choice!(Unsatisfied {
    0 => Missing,
    1 => Failed(service),
    2 => Version,
    3 => Conflict(service),
    4 => Held(service),
    5 => NeededBy(service),
});
choice!(Field {
    0 => Name,
    1 => Exec,
    2 => Env,
    3 => Kind,
    4 => Dependencies,
    5 => StartTimeout,
    6 => LossGrace,
    7 => RestartBase,
    8 => RestartMaximum,
    9 => RestartStable,
    10 => StopTimeout,
    11 => StopGrace,
    12 => StopDrain,
    13 => StopSignal,
    14 => Watchdog,
    15 => Probe,
    16 => Memory,
    17 => MemoryReserve,
    18 => Cpu,
    19 => Tasks,
    20 => Files,
    21 => Instances,
    22 => Exports,
    23 => Uses,
    24 => Isolation,
    25 => Listen,
    26 => Isolate,
    27 => Install,
});
choice!(ServiceError {
    1 => NotFound,
    2 => AlreadyExists,
    3 => InvalidDefinition(field),
    4 => InvalidState(state),
    5 => PermissionDenied(role),
    6 => CircularDependency,
    7 => DependencyUnsatisfied(why),
    8 => ResourceExhausted(resource),
    9 => CapacityExhausted(table),
    10 => SpawnFailed(error),
    11 => StartTimeout,
    12 => StopTimeout,
    13 => HealthCheckFailed(check),
    14 => RestartLimitExceeded,
    15 => ShuttingDown,
});
record!(Mistake { service, error, dependency, nearest, path });

record!(Identity { instance, generation });
choice!(Hold { 0 => None, 1 => Soft, 2 => Hard });
choice!(StopMode { 0 => Alone, 1 => Cascade });
choice!(Change { 0 => Start, 1 => Stop, 2 => Restart, 3 => Blocked });
choice!(Root {
    0 => NotWanted,
    1 => Held,
    2 => ShuttingDown,
    3 => Starting,
    4 => Stopping,
    5 => Backoff,
    6 => Failed,
    7 => NoReserve,
    8 => Queued,
    9 => Conflict,
});
choice!(Actor { 0 => Supervisor, 1 => Caller { user, service } });
choice!(Deed { 0 => Transition { index, from, to, cause }, 1 => Allowed(verb), 2 => Denied(verb), 3 => Flood(times), 4 => Escalated(wish) });
record!(Record { sequence, time, actor, target, deed, hash });
