//! The class of a process by what it is and where it stands: given when that changes, to those of its threads for which nobody has chosen
//! one. The table is in `docs/scheduling.md`.

use process::PriorityClass;
use types::{Pgid, Pid, Sid};

use crate::{Process, System};

impl System {
    /// Gives the threads of a process the class that befits it.
    pub(crate) fn classify(&self, process: &Process) {
        let class = self.class_of(process);
        let mut lends = false;
        process.for_each_thread(|thread| {
            if thread.give_class(class) {
                self.platform.scheduling_changed(thread);
                lends |= self.futexes.lending().holder(thread.tid()).is_some();
            }
        });
        if lends {
            process.threads().unwrap_or_default().iter().for_each(|thread| self.lend_anew(thread));
        }
    }

    /// The same for the members of a group. As many looks as there are processes: foreground groups change at the speed of people.
    pub(crate) fn classify_group(&self, group: Pgid) {
        self.processes
            .processes()
            .filter(|process| process.pgid() == group)
            .for_each(|process| self.classify(&process));
    }

    /// The same for all of a session.
    pub(crate) fn classify_session(&self, session: Sid) {
        self.processes
            .processes()
            .filter(|process| process.sid() == session)
            .for_each(|process| self.classify(&process));
    }

    fn class_of(&self, process: &Process) -> PriorityClass {
        let in_foreground = || {
            let terminal = self.processes.terminal_of(process.terminal_session())?;
            (terminal.foreground()? == process.pgid()).then_some(())
        };
        if process.pid() == Pid::INIT {
            PriorityClass::System
        } else if process.cell().is_some_and(|cell| !cell.is_session()) {
            PriorityClass::Service
        } else if in_foreground().is_some() {
            PriorityClass::Interactive
        } else {
            PriorityClass::User
        }
    }
}
