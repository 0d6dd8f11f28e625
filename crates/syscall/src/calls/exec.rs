//! execve, execveat, and the start of the first process.
//!
//! Everything that can fail is done on a new address space beside the old one, so that a refused program leaves the process
//! as it was. Only then the other threads are ended and the process changes over.

mod program;

use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Errno;
use abi::linux::general as linux;
use hal::UserContext;
use memory::{AddressSpace, KernelPages, Launch, Prot, SpaceLimits};
use process::elf::ElfKind;
use process::script::{SCRIPT_DEPTH, SCRIPT_HEAD, Script, ScriptError};
use process::signal::Restart;
use process::stack::{Arguments, AuxInfo, StackError, StackImage};
use process::{
    ExecCommit, ExecCredentials, ExecRights, ExitStatus, ImageRanges, ProcessError, Resource, credentials_for_exec,
};
use sync::Quota;
use types::{Credentials, PAGE_SIZE, USER_END};
use vfs::{FileType, Follow, Location};

use crate::actor::Standing;
use crate::{Call, Caller, OpenFile, Process, Registers, SysError, SysResult, System, Thread};
use program::{Program, Run};

const PAGE: u64 = PAGE_SIZE as u64;
/// Where position-independent programs go, before randomisation (two thirds of user space, as on Linux).
const PIE_BASE: u64 = 0x5555_5555_4000;
/// Randomised pages of the places of program and mappings: 2^28 pages, as on Linux.
const RANDOM_PAGES: u64 = 1 << 28;
/// Randomised pages of the stack: 16 GiB.
const RANDOM_STACK_PAGES: u64 = 1 << 22;
/// Bytes that one page table of the last level reaches.
const TABLE_REACH: u64 = 512 * PAGE;
/// Randomised pages of the heap's start: 32 MiB.
const RANDOM_HEAP_PAGES: u64 = 1 << 13;
/// Room for the stack above the highest mapping, whatever the limit says.
const STACK_GAP_MIN: u64 = 128 << 20;
const STACK_GAP_MAX: u64 = USER_END / 6 * 5;
/// Pages of the stack mapped at once beyond what the arguments take: Linux maps 128 KiB.
const STACK_HEADROOM: u64 = 128 << 10;
/// ADDR_NO_RANDOMIZE of personality(2).
const NO_RANDOMIZE: u32 = 0x0004_0000;

/// A call of exec as far as it goes without waiting: over, or a program that is ready for the time when the caller's other
/// threads have ended.
pub(crate) type Begun = SysResult<Option<Box<Prepared>>>;

/// execve(2); goes on with [`finish`].
pub(crate) fn sys_execve(caller: Caller<'_>, registers: &mut Registers<'_>) -> Begun {
    let [path, argv, envp, ..] = registers.context.syscall_args();
    let path = caller.memory().read_path(path)?;
    let standing = caller.standing(linux::AT_FDCWD as u64, &path)?;
    let location = standing.context().resolve(&path, Follow::Yes)?;
    begin(caller, registers, Request { standing, location, path, argv, envp })
}

/// execveat(2); goes on with [`finish`].
pub(crate) fn sys_execveat(caller: Caller<'_>, registers: &mut Registers<'_>) -> Begun {
    let [dirfd, path, argv, envp, flags, _] = registers.context.syscall_args();
    let flags = flags as u32;
    if flags & !(linux::AT_EMPTY_PATH | linux::AT_SYMLINK_NOFOLLOW) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let path = caller.memory().read_path(path)?;
    if path.is_empty() && flags & linux::AT_EMPTY_PATH != 0 {
        let file = caller.file_or_path(dirfd)?;
        let location = file.location().ok_or(Errno::EACCES)?.clone();
        let standing = caller.standing_at(None)?;
        let path = alloc::format!("/dev/fd/{}", dirfd as i32).into_bytes();
        check_reachable(caller, &standing, &location, dirfd)?;
        return begin(caller, registers, Request { standing, location, path, argv, envp });
    }
    let standing = caller.standing(dirfd, &path)?;
    let follow = if flags & linux::AT_SYMLINK_NOFOLLOW != 0 { Follow::No } else { Follow::Yes };
    let location = standing.context().resolve(&path, follow)?;
    if location.kind() == FileType::Symlink {
        return Err(Errno::ELOOP.into());
    }
    if path.first() == Some(&b'/') || dirfd as i32 == linux::AT_FDCWD {
        return begin(caller, registers, Request { standing, location, path, argv, envp });
    }
    check_reachable(caller, &standing, &location, dirfd)?;
    let mut shown = alloc::format!("/dev/fd/{}/", dirfd as i32).into_bytes();
    shown.extend_from_slice(&path);
    begin(caller, registers, Request { standing, location, path: shown, argv, envp })
}

/// A script that was named by a descriptor which exec closes could not be found by its interpreter.
///
/// # Errors
/// ENOENT.
fn check_reachable(caller: Caller<'_>, standing: &Standing, location: &Location, dirfd: u64) -> SysResult<()> {
    if caller.files()?.on_exec(dirfd as u32)? != process::OnExec::Close
        || location.may_execute(&caller.thread.credentials()).is_err()
    {
        return Ok(());
    }
    let mut head = [0; 2];
    read_fully(&*open_for_kernel(standing, location)?, 0, &mut head)?;
    if head == *b"#!" { Err(Errno::ENOENT.into()) } else { Ok(()) }
}

/// What is to be executed.
struct Request {
    standing: Standing,
    location: Location,
    path: Vec<u8>,
    /// Addresses of the vectors in the caller's memory.
    argv: u64,
    envp: u64,
}

/// A program in memory of its own, ready to run.
pub(crate) struct Image {
    pub(crate) space: Arc<AddressSpace>,
    entry: u64,
    stack: u64,
    /// The file whose rights count: a script's interpreter, not the script.
    pub(crate) location: Location,
    pub(crate) rights: ExecCredentials,
    pub(crate) ranges: ImageRanges,
}

impl Image {
    /// Its first registers.
    pub(crate) fn context(&self) -> UserContext {
        UserContext::new(self.entry, self.stack)
    }
}

/// A program, and the path that it was asked for by.
pub(crate) struct Prepared {
    image: Image,
    path: Vec<u8>,
}

/// Loads a program and tells the caller's other threads to end. If there are none, it becomes the program at once.
fn begin(caller: Caller<'_>, registers: &mut Registers<'_>, request: Request) -> Begun {
    let Request { standing, location, path, argv, envp } = request;
    let mut arguments = Arguments::new(caller.process.limit(Resource::Stack));
    read_strings(caller, argv, |string| arguments.push_argument(string))?;
    read_strings(caller, envp, |string| arguments.push_environment(string))?;
    let image = load(&Loader::of(caller), &standing, location, &path, &mut arguments)?;

    let processes = &caller.system.processes;
    let effects = processes.begin_exec(caller.thread).map_err(|error| match error {
        ProcessError::ResourceExhausted => error.into(),
        // Another thread's exec, or the end: both end this thread.
        _ => SysError::Restart(Restart::NoIntr),
    })?;
    if processes.exec_is_alone(caller.thread) && !caller.thread.signals().must_exit() {
        // No other thread: nobody had to be told.
        drop(effects);
        return change_over(caller, registers, image, &path).map(|()| None);
    }
    caller.system.run(effects);
    Ok(Some(Box::new(Prepared { image, path })))
}

/// Waits for the end of the caller's other threads if there are any, and becomes the program.
pub(crate) fn finish<'a>(caller: Caller<'a>, registers: &'a mut Registers<'_>, begun: Begun) -> Call<'a> {
    match begun {
        Ok(None) => Call::Done(Ok(0)),
        Ok(Some(prepared)) => Call::waits(finish_alone(caller, registers, prepared)),
        Err(error) => Call::Done(Err(error)),
    }
}

async fn finish_alone(caller: Caller<'_>, registers: &mut Registers<'_>, prepared: Box<Prepared>) -> SysResult {
    let processes = &caller.system.processes;
    let killed = caller
        .process
        .events()
        .wait_until(|| {
            let killed = caller.thread.signals().must_exit();
            (killed || processes.exec_is_alone(caller.thread)).then_some(killed)
        })
        .await;
    if killed {
        processes.abort_exec(caller.thread);
        return Err(SysError::Restart(Restart::NoIntr));
    }
    let Prepared { image, path } = *prepared;
    change_over(caller, registers, image, &path).map(|()| 0)
}

/// Makes the caller, whose only thread this is, the program of `image`.
fn change_over(caller: Caller<'_>, registers: &mut Registers<'_>, image: Image, path: &[u8]) -> SysResult<()> {
    let processes = &caller.system.processes;
    if caller.thread.unshare_files().is_err() {
        processes.abort_exec(caller.thread);
        return Err(Errno::ENOMEM.into());
    }

    // It may become the leader and be called as that.
    let tid = caller.thread.tid();
    // From here on the old program is gone: a failure kills.
    let context = image.context();
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or(path);
    let commit = ExecCommit {
        space: image.space.clone(),
        executable: image.location,
        name,
        credentials: image.rights.credentials,
        secure: image.rights.secure,
        set_ids: image.rights.set_ids,
        ranges: image.ranges,
    };
    let executed = match processes.commit_exec(caller.thread, commit) {
        Ok(executed) => executed,
        Err(_) => {
            caller.system.run(processes.begin_group_exit(caller.process, ExitStatus::KILLED));
            return Err(SysError::Restart(Restart::NoIntr));
        }
    };
    if let Some(old) = &executed.old_space {
        let words = super::futex::ThreadWords {
            tid: caller.own_tid(),
            robust_list: executed.robust_list,
            clear_child_tid: executed.clear_child_tid,
        };
        super::futex::release_thread_words(&caller.system.futexes, words, old);
        // PI locks in memory that others have as well are free now.
        caller.system.futexes.owner_exited(tid);
    }
    caller.system.run(executed.effects);
    if let Ok(files) = caller.files() {
        super::fd::close_on_exec(&files);
    }
    registers.fpu.reset();
    *registers.context = context;
    registers.new_space = Some(image.space);
    Ok(())
}

/// What loading needs to know of whom it is for.
pub(crate) struct Loader {
    pub(crate) system: &'static System,
    pub(crate) credentials: Credentials,
    pub(crate) no_new_privs: bool,
    pub(crate) limits: SpaceLimits,
    /// Pages that it has with others of its cell.
    pub(crate) quota: Option<Arc<Quota>>,
    pub(crate) randomize: bool,
}

impl Loader {
    fn of(caller: Caller<'_>) -> Self {
        Self::of_process(caller.system, caller.process, caller.thread)
    }

    /// For a thread that is to execute a program.
    pub(crate) fn of_process(system: &'static System, process: &Process, thread: &Thread) -> Self {
        Self {
            system,
            credentials: thread.credentials(),
            no_new_privs: thread.no_new_privs(),
            limits: super::resource::space_limits(process),
            quota: process.cell().map(|cell| cell.memory().clone()),
            randomize: system.randomize && process.personality() & NO_RANDOMIZE == 0,
        }
    }

    /// A random number of pages below `bound`, in bytes.
    fn random_pages(&self, bound: u64) -> u64 {
        if !self.randomize {
            return 0;
        }
        let mut bytes = [0; 8];
        self.system.platform.random(&mut bytes);
        u64::from_le_bytes(bytes) % bound * PAGE
    }
}

/// Loads the program at `location`, or the interpreter that it names.
pub(crate) fn load(
    loader: &Loader,
    standing: &Standing,
    location: Location,
    path: &[u8],
    arguments: &mut Arguments,
) -> SysResult<Image> {
    let mut location = location;
    let mut script_path = None;
    for _ in 0..=SCRIPT_DEPTH {
        if let Some(program) = Program::running(&location) {
            location.may_execute(&loader.credentials)?;
            return start(loader, &program, Run::Another, location, path, arguments);
        }
        let guard = location.execute(&loader.credentials)?;
        let file = open_for_kernel(standing, &location)?;
        let mut head = [0; SCRIPT_HEAD];
        let len = read_fully(&file, 0, &mut head)?;
        let head = head.get(..len).unwrap_or_default();
        match Script::parse(head) {
            Ok(script) => {
                arguments.prepend_interpreter(&script, script_path.as_deref().unwrap_or(path)).map_err(stack_error)?;
                let interpreter = Vec::from(script.interpreter);
                location = standing.context().resolve(&interpreter, Follow::Yes)?;
                script_path = Some(interpreter);
            }
            Err(ScriptError::NotScript) => {
                let program = Program::open(loader.system, file, guard, head)?;
                return start(loader, &program, Run::First, location, path, arguments);
            }
            Err(ScriptError::NoInterpreter | ScriptError::TooLong) => return Err(Errno::ENOEXEC.into()),
        }
    }
    Err(Errno::ELOOP.into())
}

/// Makes memory for a run of `program` and lays out its stack.
fn start(
    loader: &Loader,
    program: &Arc<Program>,
    run: Run,
    location: Location,
    path: &[u8],
    arguments: &Arguments,
) -> SysResult<Image> {
    let base = match program.kind() {
        ElfKind::Fixed => 0,
        ElfKind::Relocatable => PIE_BASE + loader.random_pages(RANDOM_PAGES),
    };
    let prepared = match run {
        Run::Another if program.kind() == ElfKind::Fixed || !loader.randomize => program.prepared(loader.system, base),
        _ => None,
    };
    let planned;
    let plan = match &prepared {
        Some(prepared) => prepared.plan(),
        None => {
            planned = program.plan(base)?;
            &planned
        }
    };
    if plan.interpreter.is_some() {
        log::warn!(
            "exec: {} is dynamically linked, which is not supported",
            alloc::string::String::from_utf8_lossy(path)
        );
        return Err(Errno::ENOENT.into());
    }
    let access = location.inode().access();
    let set_id = |bits: u32| location.allows_set_id() && access.mode & bits == bits;
    let rights = credentials_for_exec(
        &loader.credentials,
        ExecRights {
            set_uid: set_id(linux::S_ISUID).then_some(access.uid),
            // Without the execute bit, set-group-id means mandatory locking.
            set_gid: set_id(linux::S_ISGID | 0o010).then_some(access.gid),
            no_new_privs: loader.no_new_privs,
            watched: false,
        },
    );
    let brk_start = plan.brk_start + loader.random_pages(RANDOM_HEAP_PAGES);
    let kernel_pages = loader.system.platform.kernel_pages();
    let room = if kernel_pages.is_some() { KernelPages::LEN } else { 0 };
    let top = USER_END - room - loader.random_pages(RANDOM_STACK_PAGES);
    // Where their entries are in the stack's last page table, most likely.
    let slots = ((top + room).next_multiple_of(TABLE_REACH).min(USER_END) - top - room) / PAGE + 1;
    let kernel_pages = kernel_pages.map(|pages| (top + loader.random_pages(slots), pages.clone()));
    let mut random = [0; 16];
    loader.system.platform.random(&mut random);
    let features = loader.system.platform.hardware();
    let info = AuxInfo {
        base: 0,
        kernel_code: kernel_pages.as_ref().map(|(start, _)| start + PAGE),
        uid: rights.credentials.ruid,
        euid: rights.credentials.euid,
        gid: rights.credentials.rgid,
        egid: rights.credentials.egid,
        secure: rights.secure,
        random,
        hwcap: features.hwcap,
        hwcap2: features.hwcap2,
        min_signal_stack: loader.system.platform.fp_layout().min_stack(),
    };
    let stack = StackImage::build(top, path, arguments, plan, &info).map_err(stack_error)?;
    let gap = loader.limits.stack.clamp(STACK_GAP_MIN, STACK_GAP_MAX) & !(PAGE - 1);
    let stack_len = (stack.bytes.len() as u64 + STACK_HEADROOM).next_multiple_of(PAGE);
    let mut stack_prot = Prot::READ | Prot::WRITE;
    stack_prot.set(Prot::EXEC, plan.executable_stack);
    let launch = Launch {
        limits: loader.limits,
        brk_start,
        mmap_base: top - gap - loader.random_pages(RANDOM_PAGES),
        stack_start: top - stack_len,
        stack_len,
        stack_prot,
        kernel_pages,
        origin: program.clone(),
    };
    let space = match &prepared {
        Some(prepared) => prepared.launch(launch)?,
        None => program.load(loader.system, plan, launch)?,
    };
    if let Some(quota) = &loader.quota {
        space.join(quota)?;
    }
    if space.write(stack.rsp, &stack.bytes) != stack.bytes.len() {
        return Err(Errno::ENOMEM.into());
    }
    let ranges = ImageRanges {
        code: plan.code,
        data: plan.data,
        stack_start: stack.rsp,
        arguments: stack.arguments,
        environment: stack.environment,
        auxv: stack.auxv,
        brk_start: plan.brk_start,
    };
    Ok(Image { space, entry: plan.entry, stack: stack.rsp, location, rights, ranges })
}

/// Opens a file that may be executed but perhaps not read by the caller.
fn open_for_kernel(standing: &Standing, location: &Location) -> SysResult<Arc<OpenFile>> {
    let context = standing.context();
    let context = vfs::FsContext { caller: vfs::Caller::kernel(&Credentials::ROOT), ..context };
    Ok(context.open_location(location, linux::O_RDONLY)?.file)
}

fn read_fully(file: &OpenFile, offset: u64, out: &mut [u8]) -> SysResult<usize> {
    let mut done = 0;
    while let Some(rest) = out.get_mut(done..).filter(|rest| !rest.is_empty()) {
        let at = offset.checked_add(done as u64).ok_or(Errno::ENOEXEC)?;
        match file.read_at(at, rest)? {
            0 => break,
            n => done += n,
        }
    }
    Ok(done)
}

/// Reads a NULL-terminated vector of strings; a null vector is an empty one.
pub(crate) fn read_strings(
    caller: Caller<'_>,
    vector: u64,
    mut push: impl FnMut(&[u8]) -> Result<(), StackError>,
) -> SysResult<()> {
    if vector == 0 {
        return Ok(());
    }
    let memory = caller.memory();
    let mut string = Vec::new();
    let mut at = vector;
    loop {
        let pointer: u64 = memory.read(at)?;
        if pointer == 0 {
            return Ok(());
        }
        memory.read_string_into(pointer, process::stack::MAX_STRING, Errno::E2BIG, &mut string)?;
        push(&string).map_err(stack_error)?;
        at = at.checked_add(8).ok_or(Errno::EFAULT)?;
    }
}

fn stack_error(error: StackError) -> SysError {
    match error {
        StackError::TooBig => Errno::E2BIG.into(),
        StackError::NoMemory => Errno::ENOMEM.into(),
    }
}
