//! Running pipelines: programs in one process group each, the terminal given to the one in the foreground.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};

use nix::sys::signal::{SigSet, Signal};
use rustix::process::{Pid, WaitOptions, WaitStatus, waitpid};
use rustix::termios::tcsetpgrp;

use crate::builtin;
use crate::line::{self, Pipeline, Redirection, Simple, When};

/// A pipeline that is not waited for.
pub struct Job {
    /// Its process group.
    pub group: Pid,
    /// Its programs that have not ended.
    pub members: Vec<Pid>,
    /// What was typed.
    pub text: String,
}

/// The state of the shell.
pub struct Shell {
    interactive: bool,
    status: u8,
    exit: Option<u8>,
    /// Background and stopped jobs, oldest first.
    pub jobs: Vec<Job>,
}

impl Shell {
    /// A shell; an interactive one controls the terminal.
    pub fn new(interactive: bool) -> Self {
        Self { interactive, status: 0, exit: None, jobs: Vec::new() }
    }

    /// Whether a person types.
    pub fn is_interactive(&self) -> bool {
        self.interactive
    }

    /// The status that `exit` was called with.
    pub fn wanted_exit(&self) -> Option<u8> {
        self.exit
    }

    /// Asks for the end of the shell.
    pub fn leave(&mut self, status: Option<u8>) {
        self.exit = Some(status.unwrap_or(self.status));
    }

    /// Makes the shell deaf to the keys that are meant for its jobs, and the owner of the terminal.
    pub fn take_terminal(&self) {
        // Blocked rather than ignored, which std and nix cannot do without unsafe code; see `become_program`.
        let mut keys = SigSet::empty();
        for signal in [Signal::SIGINT, Signal::SIGQUIT, Signal::SIGTSTP, Signal::SIGTTIN, Signal::SIGTTOU] {
            keys.add(signal);
        }
        let _ = keys.thread_block();
        let me = rustix::process::getpid();
        let _ = rustix::process::setpgid(None, None);
        let _ = tcsetpgrp(rustix::stdio::stdin(), me);
    }

    /// Runs one line; gives its status.
    pub fn run_line(&mut self, text: &str) -> u8 {
        self.collect();
        let status = self.status.to_string();
        let value = move |name: &str| match name {
            "?" => status.clone(),
            "$" => std::process::id().to_string(),
            name => std::env::var(name).unwrap_or_default(),
        };
        match line::parse(text, &value) {
            Err(error) => {
                eprintln!("msh: {error}");
                self.status = 2;
            }
            Ok(pipelines) => {
                for pipeline in pipelines {
                    let run = match pipeline.when {
                        When::Always => true,
                        When::Succeeded => self.status == 0,
                        When::Failed => self.status != 0,
                    };
                    if run && self.exit.is_none() {
                        self.status = self.run_pipeline(&pipeline, text.trim());
                    }
                }
            }
        }
        self.status
    }

    fn run_pipeline(&mut self, pipeline: &Pipeline, text: &str) -> u8 {
        if let ([only], false) = (pipeline.programs.as_slice(), pipeline.background)
            && only.redirections.is_empty()
            && let Some(status) = builtin::run(self, &only.words)
        {
            return status;
        }
        let mut job = match self.start(pipeline, text) {
            Ok(job) => job,
            Err(status) => return status,
        };
        if pipeline.background {
            if self.interactive {
                eprintln!("[{}] {}", self.jobs.len() + 1, job.group.as_raw_nonzero());
            }
            self.jobs.push(job);
            return 0;
        }
        self.foreground(&mut job)
    }

    fn start(&mut self, pipeline: &Pipeline, text: &str) -> Result<Job, u8> {
        let mut group: Option<Pid> = None;
        let mut members = Vec::new();
        let mut input: Option<Stdio> = None;
        let last = pipeline.programs.len().saturating_sub(1);
        for (index, program) in pipeline.programs.iter().enumerate() {
            let (output, next) = if index == last {
                (None, None)
            } else {
                let (reader, writer) = io::pipe().map_err(|error| fail("pipe", &error))?;
                (Some(writer), Some(Stdio::from(reader)))
            };
            match self.spawn(program, input.take(), output, group) {
                Ok(child) => {
                    let pid = Pid::from_child(&child);
                    group.get_or_insert(pid);
                    members.push(pid);
                }
                Err(error) => {
                    let name = program.words.first().map_or("", String::as_str);
                    let status = fail(name, &error);
                    if index == last && group.is_none() {
                        return Err(status);
                    }
                }
            }
            input = next;
        }
        let Some(group) = group else { return Err(127) };
        Ok(Job { group, members, text: text.to_owned() })
    }

    fn spawn(
        &self,
        program: &Simple,
        input: Option<Stdio>,
        output: Option<io::PipeWriter>,
        group: Option<Pid>,
    ) -> io::Result<Child> {
        let (name, args) = program.words.split_first().ok_or(io::ErrorKind::InvalidInput)?;
        // What is built in for want of a program can stand in a pipeline, too.
        let mut command = if builtin::is_tool(name) && !builtin::exists(name) {
            let mut command = Command::new(myself());
            command.arg("-c").arg(program.words.iter().map(|word| quoted(word)).collect::<Vec<_>>().join(" "));
            command
        } else if self.interactive {
            let mut command = Command::new(myself());
            command.arg(BECOME).arg(name).args(args);
            command
        } else {
            let mut command = Command::new(name);
            command.args(args);
            command
        };
        let error_follows = program.redirections.contains(&Redirection::ErrorToOutput);
        if let Some(input) = input {
            command.stdin(input);
        }
        if let Some(output) = output {
            if error_follows {
                command.stderr(output.try_clone()?);
            }
            command.stdout(output);
        }
        for redirection in &program.redirections {
            match redirection {
                Redirection::Input(file) => drop(command.stdin(File::open(file)?)),
                Redirection::Output { file, append } => {
                    let file =
                        OpenOptions::new().create(true).write(true).truncate(!append).append(*append).open(file)?;
                    if error_follows {
                        command.stderr(file.try_clone()?);
                    }
                    command.stdout(file);
                }
                Redirection::Error(file) => drop(command.stderr(File::create(file)?)),
                Redirection::ErrorToOutput => {}
            }
        }
        if self.interactive {
            command.process_group(group.map_or(0, |group| group.as_raw_nonzero().get()));
        }
        command.spawn()
    }

    /// Gives `job` the terminal and waits for it; a stopped one joins the background.
    pub fn foreground(&mut self, job: &mut Job) -> u8 {
        if self.interactive {
            let _ = tcsetpgrp(rustix::stdio::stdin(), job.group);
        }
        let last = job.members.last().copied();
        let mut status = 0;
        let mut stopped = false;
        while let (Some(&member), false) = (job.members.first(), stopped) {
            match waitpid(Some(member), WaitOptions::UNTRACED) {
                Ok(Some((_, ended))) if ended.stopped() => stopped = true,
                Ok(Some((_, ended))) => {
                    if Some(member) == last {
                        status = shell_status(ended);
                    }
                    job.members.remove(0);
                }
                Err(rustix::io::Errno::INTR) | Ok(None) => {}
                Err(_) => drop(job.members.remove(0)),
            }
        }
        if self.interactive {
            let _ = tcsetpgrp(rustix::stdio::stdin(), rustix::process::getpid());
        }
        if stopped {
            eprintln!("\n[{}] stopped: {}", self.jobs.len() + 1, job.text);
            self.jobs.push(Job { group: job.group, members: std::mem::take(&mut job.members), text: job.text.clone() });
            return 128 + 20;
        }
        status
    }

    /// Waits for all background jobs.
    pub fn wait_all(&mut self) {
        for job in std::mem::take(&mut self.jobs) {
            for member in job.members {
                while let Err(rustix::io::Errno::INTR) = waitpid(Some(member), WaitOptions::empty()) {}
            }
        }
    }

    /// Takes note of background programs that have ended.
    fn collect(&mut self) {
        for job in &mut self.jobs {
            job.members.retain(|member| match waitpid(Some(*member), WaitOptions::NOHANG) {
                Ok(None) => true,
                Ok(Some((_, status))) => status.stopped(),
                Err(_) => false,
            });
        }
        let interactive = self.interactive;
        self.jobs.retain(|job| {
            if job.members.is_empty() && interactive {
                eprintln!("done: {}", job.text);
            }
            !job.members.is_empty()
        });
    }
}

/// The first argument of the helper that programs of an interactive shell start as.
pub const BECOME: &str = "--become";

/// Undoes what the shell has blocked for itself.
pub fn listen_to_keys() {
    let _ = SigSet::empty().thread_set_mask();
}

/// Undoes what the shell has blocked for itself, then becomes `argv`.
pub fn become_program(argv: &[String]) -> u8 {
    listen_to_keys();
    let Some((program, args)) = argv.split_first() else { return 2 };
    fail(program, &Command::new(program).args(args).exec())
}

fn myself() -> PathBuf {
    std::env::current_exe().unwrap_or_else(|_| "/bin/msh".into())
}

fn fail(name: &str, error: &io::Error) -> u8 {
    let missing = error.kind() == io::ErrorKind::NotFound;
    eprintln!("msh: {name}: {}", if missing { "not found".to_owned() } else { error.to_string() });
    if missing { 127 } else { 126 }
}

fn shell_status(status: WaitStatus) -> u8 {
    let status = ExitStatus::from_raw(status.as_raw());
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal)).unwrap_or(255);
    u8::try_from(code).unwrap_or(255)
}

fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\"'\"'"))
}
