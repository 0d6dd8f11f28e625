//! The start of a service: a process in a new cell, with files, program and rights as its definition says.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;

use abi::linux::general as linux;
use abi::{Errno, Signal};
use process::signal::SigInfo;
use process::stack::Arguments;
use process::{
    Cell, CellRole, ExecCommit, IsolationLevel, Limit, NR_OPEN, OnExec, Places, PriorityClass, ProcessManager,
    Resource, ResourceLimits, Scheduling, SpawnRequest,
};
use services::{Class, Definition, Isolation, ProbeResult, ProbeTarget, Readiness, Retry, SpawnError, SpawnStep};
use supervisor::Launch;
use types::{Credentials, Pid, Uid};
use vfs::dev::NullDevice;
use vfs::{File, Follow};

use super::KernelWorld;
use super::files::{OutputFile, ReadyFile};
use super::sockets::Wish;
use crate::actor::Standing;
use crate::calls::exec::{Image, Loader, load};
use crate::calls::resource::space_limits;
use crate::native::KernelHost;
use crate::wait::Sleep;
use crate::{NewThread, OpenFile, SysError, SysResult, System, Thread, VectorState};

/// First descriptor of passed sockets (sd_listen_fds(3)).
const FIRST_SOCKET: u32 = 3;

/// How far a start came, and why no further.
struct Failed(SpawnStep, SysError);

trait At<T> {
    fn at(self, step: SpawnStep) -> Result<T, Failed>;
}

impl<T, E: Into<SysError>> At<T> for Result<T, E> {
    fn at(self, step: SpawnStep) -> Result<T, Failed> {
        self.map_err(|error| Failed(step, error.into()))
    }
}

/// Starts the program of a service in its cell.
///
/// # Errors
/// How far it came; the cell has no process then.
pub(super) fn spawn(system: &'static System, launch: &Launch) -> Result<(), SpawnError> {
    start(system, launch, CellRole::Main).map_err(|Failed(step, error)| {
        let errno = match error {
            SysError::Errno(errno) => errno,
            SysError::Restart(_) => Errno::EINTR,
        };
        let passing = matches!(errno, Errno::ENOMEM | Errno::EAGAIN | Errno::ENFILE | Errno::EINTR | Errno::ETXTBSY);
        let retry = if passing { Retry::Later } else { Retry::Never };
        SpawnError { step, errno: errno.number() as u16, retry }
    })
}

/// Asks whether a service is well: whether somebody takes a connection where its definition says, of those endpoints that the
/// supervisor admits; or whether a program says so by its exit status.
pub(super) fn probe(system: &'static System, launch: &Launch) -> Option<ProbeResult> {
    let definition = &launch.unit.definition;
    let at = match &definition.probe {
        ProbeTarget::Own => definition.listen.first().map(|listen| &listen.at),
        ProbeTarget::Connect(endpoint) => Some(endpoint),
        ProbeTarget::Execute(_) => return probe_by_program(system, launch),
    };
    let standing = || {
        let init = system.processes.process(Pid::INIT)?.first_thread()?;
        Some(Standing::of_kernel(init.namespaces(), init.fs()?.root()))
    };
    let taken = at.zip(standing()).is_some_and(|(at, standing)| super::sockets::connect(system, &standing, at).is_ok());
    Some(if taken { ProbeResult::Pass } else { ProbeResult::Fail })
}

/// Starts the program that says whether a service is well, in the service's cell, as the service's user; it has the time of
/// the probe, then it is killed.
fn probe_by_program(system: &'static System, launch: &Launch) -> Option<ProbeResult> {
    if let Some(old) = launch.cell.probe() {
        end_probe(system, &launch.cell, old);
    }
    if let Err(Failed(step, error)) = start(system, launch, CellRole::Probe) {
        log::warn!("svc: the probe of {} cannot be started: {step:?} {error:?}", launch.name());
        return Some(ProbeResult::Fail);
    }
    let probe = launch.cell.probe()?;
    let cell = launch.cell.clone();
    let timeout = launch.unit.definition.health.live.unwrap_or_default().timeout;
    let limit = alloc::boxed::Box::pin(async move {
        Sleep::new(system, system.platform.now() + timeout).await;
        if cell.probe() == Some(probe) {
            end_probe(system, &cell, probe);
        }
    });
    if system.platform.run_task(limit).is_err() {
        end_probe(system, &launch.cell, probe);
    }
    None
}

fn end_probe(system: &'static System, cell: &Arc<Cell>, pid: Pid) {
    let process = system.processes.process(pid);
    if let Some(process) = process.filter(|found| found.cell().is_some_and(|own| Arc::ptr_eq(own, cell))) {
        system.run(system.processes.signal_process(&process, SigInfo::kernel(Signal::KILL)));
    }
}

fn start(system: &'static System, launch: &Launch, role: CellRole) -> Result<(), Failed> {
    if !system.frames.has_headroom() {
        return Err(Failed(SpawnStep::Memory, Errno::ENOMEM.into()));
    }
    let definition = &launch.unit.definition;
    let init = system.processes.process(Pid::INIT).and_then(|init| init.first_thread());
    let init = init.ok_or(Errno::ESRCH).at(SpawnStep::Execute)?;
    // A probe sees what the service sees.
    let main = || system.processes.process(launch.cell.main()).and_then(|main| main.first_thread());
    let model = if role == CellRole::Probe { main().unwrap_or(init) } else { init };
    let (namespaces, root) = (model.namespaces(), model.fs().ok_or(Errno::ESRCH).at(SpawnStep::Execute)?.root());
    let standing = Standing::of_kernel(namespaces.clone(), root.clone());
    let cwd = match definition.directory.as_bytes() {
        b"" => root.clone(),
        path => standing.context().resolve(path, Follow::Yes).at(SpawnStep::Open)?,
    };
    let space = system.platform.new_space().map(Arc::new).ok_or(Errno::ENOMEM).at(SpawnStep::Memory)?;
    // Its own rights come with its program only: what is prepared for it until then may need more.
    let request = SpawnRequest {
        space,
        places: Places { cwd, root },
        namespaces,
        limits: limits(definition).at(SpawnStep::Credentials)?,
        affinity: system.platform.online(),
        name: definition.name.as_str().as_bytes(),
        now: system.platform.now(),
    };
    let thread = system.processes.spawn_in_cell(launch.cell.clone(), role, request).at(SpawnStep::Memory)?;
    prepare(system, launch, role, &thread, &standing).inspect_err(|_| system.run(system.processes.abandon(&thread)))
}

/// Gives the process files, walls and its program, and lets it run.
fn prepare(
    system: &'static System,
    launch: &Launch,
    role: CellRole,
    thread: &Arc<Thread>,
    standing: &Standing,
) -> Result<(), Failed> {
    open_files(system, launch, role, thread, standing).at(SpawnStep::Open)?;
    let definition = &launch.unit.definition;
    if definition.security.no_new_privileges {
        thread.set_no_new_privs();
    }
    if let Some(class) = definition.class {
        thread.set_scheduling(Scheduling { class: self::class(class), chosen: true, ..thread.scheduling() });
    }
    let level = match definition.security.isolation {
        Isolation::Process => IsolationLevel::Process,
        Isolation::Namespace => IsolationLevel::Namespace,
        Isolation::Container => IsolationLevel::Container,
    };
    // A probe is in the walls of the service already.
    if level != IsolationLevel::Process && role == CellRole::Main {
        let host = KernelHost::of_kernel(system);
        let manager = ProcessManager::new(&system.processes, host, &system.manager);
        manager.set_isolation(thread.pid(), level).at(SpawnStep::Credentials)?;
    }
    let image = image(system, launch, role, thread, standing)?;
    let context = image.context();
    let path = program(definition, role).as_bytes();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    system.run(system.processes.begin_exec(thread).at(SpawnStep::Execute)?);
    let commit = ExecCommit {
        space: image.space,
        executable: image.location,
        name,
        credentials: image.rights.credentials,
        secure: image.rights.secure,
        set_ids: image.rights.set_ids,
        ranges: image.ranges,
    };
    let executed = system.processes.commit_exec(thread, commit).at(SpawnStep::Execute)?;
    system.run(executed.effects);
    let new = NewThread {
        process: thread.process().clone(),
        thread: thread.clone(),
        start: context,
        vector: VectorState::Initial,
    };
    system.classify(thread.process());
    system.platform.start_thread(new).map_err(|_| Errno::ENOMEM).at(SpawnStep::Memory)
}

/// The scheduler's class.
pub(super) const fn class(of_service: Class) -> PriorityClass {
    match of_service {
        Class::System => PriorityClass::System,
        Class::Interactive => PriorityClass::Interactive,
        Class::User => PriorityClass::User,
        Class::Service => PriorityClass::Service,
        Class::Background => PriorityClass::Background,
    }
}

/// Program and arguments.
fn words(definition: &Definition, role: CellRole) -> &[String] {
    match (&definition.probe, role) {
        (ProbeTarget::Execute(command), CellRole::Probe) => command,
        _ => &definition.exec,
    }
}

fn program(definition: &Definition, role: CellRole) -> &str {
    words(definition, role).first().map_or("", |path| path.as_str())
}

/// Loads the program, with arguments and environment.
fn image(
    system: &'static System,
    launch: &Launch,
    role: CellRole,
    thread: &Arc<Thread>,
    standing: &Standing,
) -> Result<Image, Failed> {
    let definition = &launch.unit.definition;
    let process = thread.process();
    let mut arguments = Arguments::new(process.limit(Resource::Stack));
    for argument in words(definition, role) {
        arguments.push_argument(argument.as_bytes()).map_err(|_| Errno::E2BIG).at(SpawnStep::Execute)?;
    }
    let mut variable = |text: &str| arguments.push_environment(text.as_bytes()).map_err(|_| Errno::E2BIG);
    for text in launch.environment() {
        variable(&text).at(SpawnStep::Execute)?;
    }
    if !definition.listen.is_empty() && role == CellRole::Main {
        let own = process.shown(process.pid().0);
        for text in [
            format!("LISTEN_FDS={}", definition.listen.len()),
            format!("LISTEN_PID={own}"),
            format!("LISTEN_FDNAMES={}", launch.socket_names()),
        ] {
            variable(&text).at(SpawnStep::Execute)?;
        }
    }
    let loader = Loader {
        system,
        credentials: credentials(definition),
        no_new_privs: definition.security.no_new_privileges,
        limits: space_limits(process),
        quota: Some(launch.cell.memory().clone()),
        randomize: system.randomize,
    };
    let path = program(definition, role).as_bytes();
    let location = standing.context().resolve(path, Follow::Yes).at(SpawnStep::Open)?;
    load(&loader, standing, location, path, &mut arguments).at(SpawnStep::Format)
}

fn credentials(definition: &Definition) -> Credentials {
    if definition.user == Uid::ROOT {
        let group = definition.group;
        let mut credentials = Credentials::ROOT;
        (credentials.rgid, credentials.egid, credentials.sgid, credentials.fsgid) = (group, group, group, group);
        return credentials;
    }
    Credentials::user(definition.user, definition.group)
}

fn limits(definition: &Definition) -> SysResult<ResourceLimits> {
    let mut limits = ResourceLimits::new();
    if let Some(files) = definition.limits.files {
        limits.set(Resource::Files, Limit::both(u64::from(files).min(NR_OPEN)), true, NR_OPEN)?;
    }
    Ok(limits)
}

/// Standard streams, passed sockets, and the descriptor for readiness.
fn open_files(
    system: &'static System,
    launch: &Launch,
    role: CellRole,
    thread: &Arc<Thread>,
    standing: &Standing,
) -> SysResult<()> {
    let files = thread.files().ok_or(Errno::EBADF)?;
    let most = u64::from(FIRST_SOCKET) + launch.unit.definition.listen.len() as u64 + NR_OPEN / 2;
    let add = |file: Arc<dyn File>, flags: u32, at: u32| {
        files.insert(OpenFile::anonymous(file, flags), at, most, OnExec::Keep).map(|_| ())
    };
    add(Arc::new(NullDevice), linux::O_RDONLY, 0)?;
    for fd in [1, 2] {
        add(Arc::new(OutputFile(launch.output.clone())), linux::O_WRONLY, fd)?;
    }
    if role == CellRole::Probe {
        return Ok(());
    }
    for (at, listen) in (FIRST_SOCKET..).zip(&launch.unit.definition.listen) {
        let socket = system.services.sockets.of(Wish { system, standing, launch, listen })?;
        add(socket, linux::O_RDWR, at)?;
    }
    if let Readiness::Descriptor(number) = launch.unit.definition.ready {
        let file = ReadyFile { world: KernelWorld(system), cell: launch.cell.clone(), number };
        add(Arc::new(file), linux::O_WRONLY, number.into())?;
    }
    Ok(())
}
