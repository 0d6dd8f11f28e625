//! The invariants of table and tree, looked at in a running system: `/proc/multios/check`.
//!
//! Everything is compared under the tree's lock, in one walk over the numbers in use.

use alloc::sync::Arc;

use crate::tree::{List, NONE, Number};
use crate::{ProcessState, ProcessTable, Resources};

/// What a walk found in order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sound {
    /// Processes, zombies included.
    pub processes: u32,
    /// Of them zombies.
    pub zombies: u32,
    /// Members of lists looked at.
    pub members: u32,
}

/// An invariant that does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// What should be so.
    pub rule: &'static str,
    /// The number it is not so for.
    pub number: u32,
}

impl<R: Resources> ProcessTable<R> {
    /// Walks table and tree.
    ///
    /// # Errors
    /// The first rule that is broken.
    pub fn check(&self) -> core::result::Result<Sound, Broken> {
        let tree = self.tree();
        let mut sound = Sound::default();
        let mut listed = [0_u32; 3];
        let mut at: Number = 1;
        while let Some(number) = tree.next_used(at) {
            at = number + 1;
            let node = tree.node(number);
            let rule = |good: bool, rule| if good { Ok(()) } else { Err(Broken { rule, number }) };
            for (list, count) in [List::Children, List::Group, List::Session].into_iter().zip(&mut listed) {
                let mut members = 0;
                for member in tree.members(number, list) {
                    let other = tree.node(member);
                    let owner = match list {
                        List::Children => other.parent,
                        List::Group => other.group,
                        List::Session => other.session,
                    };
                    rule(owner == number && other.process.is_some(), "a list is what its members say")?;
                    let same_session = list != List::Group || other.session == node.group_session;
                    rule(same_session, "a group's members share its session")?;
                    members += 1;
                }
                rule(members == tree.len(number, list), "a list is as long as it says")?;
                *count += members;
            }
            let of_slot = self.slot(number).and_then(|slot| slot.lock().process.clone());
            let Some(process) = &node.process else {
                rule(of_slot.is_none(), "a number without process means none in the table")?;
                rule(tree.len(number, List::Children) == 0, "who is gone has no children")?;
                continue;
            };
            let same = of_slot.as_ref().is_some_and(|other| Arc::ptr_eq(other, process));
            rule(same, "table and tree mean the same process")?;
            let relations = (process.parent_pid().0, process.pgid().0, process.sid().0);
            rule(relations == (node.parent, node.group, node.session), "a process knows its relations")?;
            let zombie = process.state() == ProcessState::Zombie;
            rule(node.ended.is_some() == zombie, "a zombie is one whose end is noted")?;
            rule(zombie || process.thread_count() > 0, "who lives has a thread")?;
            let parent = tree.node(node.parent);
            let has_parent = node.parent != NONE && parent.process.is_some() && parent.ended.is_none();
            rule(has_parent || process.is_init(), "every process but the first has a living parent")?;
            sound.processes += 1;
            sound.zombies += u32::from(zombie);
        }
        let [children, groups, sessions] = listed;
        sound.members = children + groups + sessions;
        let orphans = sound.processes.saturating_sub(children);
        let complete = orphans <= 1 && groups == sound.processes && sessions == sound.processes;
        if complete { Ok(sound) } else { Err(Broken { rule: "every process is in its lists", number: 0 }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::World;
    use abi::Signal;

    #[test]
    fn a_walk_counts_processes_and_zombies() {
        let world = World::new();
        let (a, b) = (world.fork(&world.init), world.fork(&world.init));
        let _thread = world.spawn_thread(&a);
        world.exit(&b, 0);
        assert_eq!(world.table.check(), Ok(Sound { processes: 3, zombies: 1, members: 8 }));
        world.send(&a, Signal::KILL);
        world.wait(&world.init).unwrap();
        assert_eq!(world.table.check(), Ok(Sound { processes: 2, zombies: 0, members: 5 }));
    }

    #[test]
    fn a_broken_relation_is_found() {
        let world = World::new();
        let child = world.fork(&world.init);
        let number = child.pid().0;
        world.table.tree().node_mut(number).parent = 77;
        let broken = world.table.check().unwrap_err();
        assert_eq!((broken.rule, broken.number), ("a list is what its members say", 1));
        world.table.tree().node_mut(number).parent = 1;
        let process = world.table.set_slot(number, None, None);
        let broken = world.table.check().unwrap_err();
        assert_eq!((broken.rule, broken.number), ("table and tree mean the same process", number));
        world.table.set_slot(number, process.process, process.thread);
        world.table.tree().node_mut(number).ended = Some(crate::ExitStatus::KILLED);
        assert_eq!(world.table.check().unwrap_err().rule, "a zombie is one whose end is noted");
    }
}
