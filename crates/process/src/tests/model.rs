//! The tree against a naive model of plain maps, by random sequences.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use abi::{Signal, linux::general as linux};
use types::{Pgid, Pid};

use crate::signal::Action;
use crate::testing::{PlainThread, Random, World};
use crate::{CloneFlags, ProcessError, ProcessFlag, ProcessState, TableConfig};

#[derive(Default)]
struct Model {
    processes: BTreeMap<u32, Entry>,
    fired: BTreeMap<&'static str, u32>,
}

#[derive(Default)]
struct Entry {
    parent: u32,
    group: u32,
    session: u32,
    // Oldest first.
    children: Vec<u32>,
    ended: Option<i32>,
    stopped: bool,
    stop_unread: bool,
    continue_unread: bool,
    executed: bool,
    subreaper: bool,
    ignores_children: bool,
}

impl Model {
    fn new() -> Self {
        let mut model = Self::default();
        model.processes.insert(1, Entry { group: 1, session: 1, ..Entry::default() });
        model
    }

    fn get(&self, pid: u32) -> &Entry {
        &self.processes[&pid]
    }

    fn edit(&mut self, pid: u32) -> &mut Entry {
        self.processes.get_mut(&pid).unwrap()
    }

    fn fire(&mut self, what: &'static str) {
        *self.fired.entry(what).or_default() += 1;
    }

    fn living(&self) -> Vec<u32> {
        self.processes.iter().filter(|(_, p)| p.ended.is_none()).map(|(pid, _)| *pid).collect()
    }

    fn members(&self, group: u32) -> Vec<u32> {
        self.processes.iter().filter(|(_, p)| p.group == group).map(|(pid, _)| *pid).collect()
    }

    fn number_is_used(&self, number: u32) -> bool {
        self.processes.iter().any(|(pid, p)| *pid == number || p.group == number || p.session == number)
    }

    fn fork(&mut self, parent: u32, child: u32) {
        assert!(!self.number_is_used(child), "number {child} is still referred to");
        let Entry { group, session, ignores_children, .. } = *self.get(parent);
        self.processes.insert(child, Entry { parent, group, session, ignores_children, ..Entry::default() });
        self.edit(parent).children.push(child);
    }

    fn remove(&mut self, pid: u32) {
        let parent = self.get(pid).parent;
        self.edit(parent).children.retain(|child| *child != pid);
        self.processes.remove(&pid);
    }

    fn is_orphaned(&self, group: u32, except: u32) -> bool {
        !self.members(group).into_iter().any(|member| {
            let p = self.get(member);
            member != except && p.ended.is_none() && p.parent > 1 && {
                let parent = self.get(p.parent);
                parent.group != group && parent.session == p.session
            }
        })
    }

    fn hang_up_if_orphaned(&mut self, group: u32, except: u32) {
        let members = self.members(group);
        let stopped = members.iter().any(|m| self.get(*m).stopped && self.get(*m).ended.is_none());
        if stopped && self.is_orphaned(group, except) {
            self.fire("orphaned group continued");
            members.into_iter().for_each(|member| self.cont(member));
        }
    }

    fn stop(&mut self, pid: u32) {
        let p = self.edit(pid);
        if pid != 1 && p.ended.is_none() && !p.stopped {
            (p.stopped, p.stop_unread, p.continue_unread) = (true, true, false);
        }
    }

    fn cont(&mut self, pid: u32) {
        let p = self.edit(pid);
        if p.ended.is_none() && p.stopped {
            (p.stopped, p.stop_unread, p.continue_unread) = (false, false, true);
        }
    }

    fn exit(&mut self, pid: u32, status: i32) {
        let mut reaper = self.get(pid).parent;
        while reaper != 1 && !(self.get(reaper).subreaper && self.get(reaper).ended.is_none()) {
            reaper = self.get(reaper).parent;
        }
        let (group, session) = (self.get(pid).group, self.get(pid).session);
        for child in core::mem::take(&mut self.edit(pid).children) {
            self.edit(child).parent = reaper;
            self.edit(reaper).children.push(child);
            if self.get(child).ended.is_some() {
                if self.get(reaper).ignores_children {
                    self.fire("zombie reaped on adoption");
                    self.remove(child);
                    continue;
                }
            } else {
                self.fire("orphan adopted");
            }
            let (child_group, child_session) = (self.get(child).group, self.get(child).session);
            if child_group != group && child_session == session {
                self.hang_up_if_orphaned(child_group, 0);
            }
        }
        let parent = self.get(pid).parent;
        if self.get(parent).group != group && self.get(parent).session == session {
            self.hang_up_if_orphaned(group, pid);
        }
        let p = self.edit(pid);
        (p.ended, p.stopped, p.stop_unread, p.continue_unread) = (Some(status), false, false, false);
        if self.get(parent).ignores_children {
            self.fire("child reaped at once");
            self.remove(pid);
        }
    }

    fn setpgid(&mut self, caller: u32, target: u32, group: u32) -> Result<(), ProcessError> {
        let group = if group == 0 { target } else { group };
        let Some(p) = self.processes.get(&target) else { return Err(ProcessError::ProcessNotFound) };
        let session = self.get(caller).session;
        if p.parent == caller {
            if p.session != session {
                return Err(ProcessError::PermissionDenied);
            }
            if p.executed {
                return Err(ProcessError::AccessDenied);
            }
        } else if target != caller {
            return Err(ProcessError::ProcessNotFound);
        }
        if p.session == target {
            return Err(ProcessError::PermissionDenied);
        }
        if group != target && !self.members(group).iter().any(|member| self.get(*member).session == session) {
            return Err(ProcessError::PermissionDenied);
        }
        self.edit(target).group = group;
        self.fire("moved to a group");
        Ok(())
    }

    fn setsid(&mut self, pid: u32) -> Result<(), ProcessError> {
        if !self.members(pid).is_empty() {
            return Err(ProcessError::PermissionDenied);
        }
        (self.edit(pid).group, self.edit(pid).session) = (pid, pid);
        self.fire("session started");
        Ok(())
    }

    fn wait(&mut self, parent: u32, pid: i32, options: u32) -> Result<Option<(u32, i32)>, ProcessError> {
        let own = self.get(parent).group;
        let children: Vec<u32> = self.get(parent).children.clone();
        let wanted: Vec<u32> = children
            .into_iter()
            .filter(|child| match pid {
                -1 => true,
                0 => self.get(*child).group == own,
                pid if pid < 0 => self.get(*child).group == pid.unsigned_abs(),
                pid => *child == pid.unsigned_abs(),
            })
            .collect();
        if wanted.is_empty() {
            return Err(ProcessError::NoChild);
        }
        for child in wanted {
            let p = self.edit(child);
            if let Some(status) = p.ended {
                self.remove(child);
                self.fire("zombie waited for");
                return Ok(Some((child, status << 8)));
            }
            if p.stop_unread && options & linux::WUNTRACED != 0 {
                p.stop_unread = false;
                self.fire("stop waited for");
                return Ok(Some((child, 0x137f)));
            }
            if p.continue_unread && options & linux::WCONTINUED != 0 {
                p.continue_unread = false;
                self.fire("continue waited for");
                return Ok(Some((child, 0xffff)));
            }
        }
        Ok(None)
    }
}

struct Run {
    world: World,
    model: Model,
    threads: BTreeMap<u32, PlainThread>,
}

impl Run {
    fn new() -> Self {
        // Few numbers, so that they run out and are used again.
        let world = World::with(TableConfig { pid_max: 48, ..TableConfig::default() });
        let hang_up = world.init.process().signals();
        hang_up.set_action(Signal::HUP, Action::IGNORE);
        let threads = BTreeMap::from([(1, world.init.clone())]);
        Self { world, model: Model::new(), threads }
    }

    fn step(&mut self, random: &mut Random) {
        let Self { world, model, threads } = self;
        let living = model.living();
        let pid = random.choose(&living);
        let thread = threads[&pid].clone();
        match random.below(13) {
            0..=3 if model.get(pid).stopped => model.fire("stopped ones do not fork"),
            0..=3 => match world.clone(&thread, CloneFlags::FORK, Some(Signal::CHLD)) {
                Ok(child) => {
                    let child_pid = child.pid().0;
                    model.fork(pid, child_pid);
                    threads.insert(child_pid, child);
                }
                Err(error) => {
                    assert_eq!(error, ProcessError::ResourceExhausted);
                    assert!((1..48).all(|number| model.number_is_used(number)), "refused with numbers to spare");
                    model.fire("table full");
                }
            },
            4 | 5 if pid != 1 => {
                let status = random.below(200) as i32;
                world.exit(&thread, status);
                model.exit(pid, status);
                threads.remove(&pid);
            }
            4..=7 => {
                let target = match random.below(4) {
                    0 | 1 => -1,
                    2 => 0,
                    _ => random.below(48) as i32 * if random.below(2) == 0 { 1 } else { -1 },
                };
                let options = random.choose(&[0, linux::WUNTRACED, linux::WUNTRACED | linux::WCONTINUED]);
                // -1 means any child to both; a group 1 cannot be named.
                assert_eq!(world.wait4(&thread, target, options), model.wait(pid, target, options));
            }
            8 => {
                let all: Vec<u32> = model.processes.keys().copied().collect();
                let target = if random.below(2) == 0 { pid } else { random.choose(&all) };
                let group = if random.below(3) == 0 { 0 } else { model.get(random.choose(&all)).group };
                let done = world.table.setpgid(&thread, Pid(target), Pgid(group));
                assert_eq!(done, model.setpgid(pid, target, group), "setpgid({target}, {group}) by {pid}");
            }
            9 => assert_eq!(world.table.setsid(&thread).map(|_| ()), model.setsid(pid)),
            10 => {
                world.stop(&thread);
                model.stop(pid);
            }
            11 => {
                world.send(&thread, Signal::CONT);
                model.cont(pid);
            }
            _ => match random.below(4) {
                0 if pid != 1 => {
                    let on = random.below(2) == 0;
                    let process = thread.process();
                    if on {
                        process.set_flag(ProcessFlag::Subreaper)
                    } else {
                        process.clear_flag(ProcessFlag::Subreaper)
                    };
                    model.edit(pid).subreaper = on;
                }
                1 => {
                    let on = random.below(4) == 0;
                    let action = if on { Action::IGNORE } else { Action::DEFAULT };
                    thread.process().signals().set_action(Signal::CHLD, action);
                    model.edit(pid).ignores_children = on;
                }
                _ => {
                    thread.process().set_flag(ProcessFlag::Executed);
                    model.edit(pid).executed = true;
                }
            },
        }
    }

    fn compare(&self) {
        let Self { world, model, .. } = self;
        assert_eq!(world.table.tree().check(), model.processes.len());
        assert_eq!(world.table.process_count() as usize, model.processes.len());
        assert_eq!(world.table.thread_count() as usize, model.living().len());
        for number in 1..48 {
            let process = world.process(number);
            assert_eq!(process.is_some(), model.processes.contains_key(&number), "process {number}");
            let Some(process) = process else { continue };
            let p = model.get(number);
            assert_eq!(
                (process.parent_pid().0, process.pgid().0, process.sid().0),
                (p.parent, p.group, p.session),
                "relations of {number}"
            );
            assert_eq!(process.state() == ProcessState::Zombie, p.ended.is_some());
            if let Some(thread) = self.threads.get(&number) {
                assert_eq!(thread.signals().is_stopped(), p.stopped, "stop of {number}");
            }
            assert_eq!(
                world.table.group_is_orphaned(process.pgid()),
                model.is_orphaned(p.group, 0),
                "orphanage of group {}",
                p.group
            );
        }
    }
}

#[test]
fn random_sequences_agree_with_the_model() {
    let mut fired: BTreeMap<&'static str, u32> = BTreeMap::new();
    for seed in 1..=40 {
        std::println!("seed {seed}");
        let mut random = Random::new(seed);
        let mut run = Run::new();
        for _ in 0..700 {
            run.step(&mut random);
            run.compare();
        }
        for (what, times) in run.model.fired {
            *fired.entry(what).or_default() += times;
        }
    }
    std::println!("{fired:#?}");
    for what in [
        "orphan adopted",
        "orphaned group continued",
        "zombie reaped on adoption",
        "child reaped at once",
        "moved to a group",
        "session started",
        "zombie waited for",
        "stop waited for",
        "continue waited for",
        "table full",
    ] {
        assert!(fired.get(what).is_some_and(|times| *times >= 10), "{what} hardly ever happened");
    }
}
