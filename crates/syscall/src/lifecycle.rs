//! How processes begin and end, seen from all rooms at once: the first process, the last steps of a thread, and what
//! signals and effects need done.

use alloc::sync::Arc;

use abi::Errno;
use hal::PowerAction;
use process::signal::{Kick, SendEffect, Sent};
use process::stack::Arguments;
use process::{Effects, ExecCommit, ExitStatus, Places, Resource, ResourceLimits, SpawnRequest};
use types::{Credentials, Tid};
use vfs::{Follow, Location, Namespace};

use crate::actor::Standing;
use crate::calls::exec::{Loader, load};
use crate::calls::futex::{ThreadWords, release_thread_words};
use crate::calls::process::shell_status;
use crate::{Caller, NamespaceSet, NewThread, OpenFile, Resources, SysResult, System, Thread, VectorState};

/// What the first process is to be.
pub struct InitProgram<'a> {
    /// Path of the program.
    pub path: &'a [u8],
    /// Its arguments, the first one its name.
    pub arguments: &'a [&'a [u8]],
    /// Its environment.
    pub environment: &'a [&'a [u8]],
    /// What its descriptors 0, 1 and 2 refer to.
    pub console: Option<Arc<OpenFile>>,
}

impl System {
    /// Makes process 1 from a program and lets it run.
    ///
    /// # Errors
    /// Those of execve(2): the path is wrong, the file no program, memory short.
    pub fn start_init(
        &'static self,
        program: &InitProgram<'_>,
        namespace: Arc<Namespace>,
        root: Location,
    ) -> SysResult<()> {
        let namespaces = NamespaceSet::first(namespace, self.names.clone());
        let standing = Standing::of_kernel(namespaces.clone(), root.clone());
        let limits = ResourceLimits::new();
        let loader = Loader {
            system: self,
            credentials: Credentials::ROOT,
            no_new_privs: false,
            limits: memory::SpaceLimits {
                address_space: limits.soft(Resource::AddressSpace),
                data: limits.soft(Resource::Data),
                stack: limits.soft(Resource::Stack),
                ..memory::SpaceLimits::default()
            },
            quota: None,
            randomize: self.randomize,
        };
        let mut arguments = Arguments::new(limits.soft(Resource::Stack));
        for argument in program.arguments {
            arguments.push_argument(argument).map_err(|_| Errno::E2BIG)?;
        }
        for variable in program.environment {
            arguments.push_environment(variable).map_err(|_| Errno::E2BIG)?;
        }
        let location = standing.context().resolve(program.path, Follow::Yes)?;
        let image = load(&loader, &standing, location, program.path, &mut arguments)?;
        let start = image.context();
        let thread = self.processes.create_init(SpawnRequest {
            space: image.space.clone(),
            places: Places { cwd: root.clone(), root },
            namespaces,
            affinity: self.platform.online(),
            limits,
            name: b"init",
            now: self.platform.now(),
        })?;
        if let (Some(console), Some(files)) = (&program.console, thread.files()) {
            for _ in 0..3 {
                files.insert(console.clone(), 0, 3, process::OnExec::Keep)?;
            }
        }
        let name = program.path.rsplit(|byte| *byte == b'/').next().unwrap_or(program.path);
        self.run(self.processes.begin_exec(&thread)?);
        let executed = self.processes.commit_exec(
            &thread,
            ExecCommit {
                space: image.space,
                executable: image.location,
                name,
                credentials: image.rights.credentials,
                secure: false,
                set_ids: [false; 2],
                ranges: image.ranges,
            },
        )?;
        self.run(executed.effects);
        self.classify(thread.process());
        let new = NewThread { process: thread.process().clone(), thread, start, vector: VectorState::Initial };
        self.platform.start_thread(new).map_err(|_| Errno::ENOMEM)?;
        Ok(())
    }

    /// The last steps of a thread, by its own task: gives back what it holds, tells whom it concerns. `chosen`: what it
    /// called exit(2) with.
    pub fn thread_exit(&'static self, thread: &Arc<Thread>, chosen: Option<ExitStatus>) {
        let process = thread.process();
        let status = chosen.or_else(|| process.exit_status()).unwrap_or(ExitStatus::KILLED);
        let space = process.space();
        if let Some(space) = &space {
            process.usage().peak_memory.raise_to(space.peak_resident_pages() * types::PAGE_SIZE as u64);
        }
        let departure = self.processes.begin_exit(thread, status);
        if let Some(space) = &space {
            let words = ThreadWords {
                tid: Tid(process.shown(thread.tid().0)),
                robust_list: departure.robust_list,
                clear_child_tid: departure.clear_child_tid,
            };
            release_thread_words(&self.futexes, words, space);
        }
        drop(space);
        if let Some(files) = &departure.files
            && files.may_hold_record_locks()
            && Arc::strong_count(files) == 1
        {
            crate::calls::fd::release_record_locks(files);
        }
        let process::Departure { files, fs, space, effects, last, .. } = departure;
        self.run(effects);
        drop(files);
        drop(fs);
        drop(space);
        if last {
            self.disarm_timers(process);
            crate::calls::sysv::process_left(self, &thread.namespaces().ipc, process);
        }
        let tid = thread.tid();
        let effects = self.processes.finish_exit(thread);
        self.futexes.owner_exited(tid);
        self.run(effects);
    }

    /// Carries out what a transition of processes left to be done.
    #[inline]
    pub fn run(&'static self, mut effects: Effects<Resources>) {
        let session_ended = effects.session_ended.take();
        let init_ended = effects.init_ended;
        effects.run();
        if session_ended.is_some() || init_ended {
            self.after_end(session_ended, init_ended);
        }
    }

    #[cold]
    fn after_end(&self, session_ended: Option<process::SessionEnd<Resources>>, init_ended: bool) {
        if let Some(ended) = session_ended {
            self.after_terminal(ended.terminal.leader_left(ended.session));
        }
        if init_ended {
            self.end_of_init();
        }
    }

    /// The first process has ended: so does the machine, with its status.
    fn end_of_init(&self) {
        let status = self.processes.process(types::Pid::INIT).and_then(|init| init.exit_status());
        let status = status.map_or(0, shell_status);
        log::info!("process: the first process has ended with status {status}");
        self.platform.power(PowerAction::PowerOff, status);
    }
}

impl Caller<'_> {
    /// Wakes the threads of the caller's process that a change of signal state named.
    pub(crate) fn kick_own(self, kick: Kick) {
        match kick {
            Kick::None => {}
            // The caller looks before it goes back to user mode.
            Kick::One(tid) if tid == self.thread.tid() => {}
            kick => self.system.run(Effects::of_kick(self.process, kick)),
        }
    }

    /// Does what a signal to the caller's own process asks for.
    pub(crate) fn after_send(self, effect: SendEffect) {
        if effect.sent == Sent::Queued {
            self.process.signals().wake_readers();
        }
        if effect.continued {
            self.system.run(self.system.processes.report_continued(self.process));
        }
        self.kick_own(effect.kick);
    }
}
