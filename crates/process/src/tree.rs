//! Relations between processes: who is whose child, in which group, in which session; which numbers are in use.
//!
//! One arena of nodes, one node per number. A node serves every meaning of its number: the process with that pid, the
//! group and the session it names, the thread with that tid. A number is free again when it has none of them left
//! (POSIX: a pid is not reused while a group or session carries it). All links are numbers, so every step is O(1); the
//! arena is guarded as a whole by the one lock of rank `PROCESS_TREE` in [`crate::ProcessTable`].
//!
//! Invariants, checked by [`Tree::check`] in tests: every process but the first has a parent in the tree; every list is
//! what its members say; a group's members share its session; a number is marked used exactly when something uses it.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;

use abi::Signal;

use crate::{ExitStatus, PidNamespace, Process, ProcessError, Resources, Result};

/// A process, thread, group or session number; [`NONE`] is none.
pub(crate) type Number = u32;

/// No number.
pub(crate) const NONE: Number = 0;

/// Nodes per allocation.
pub(crate) const CHUNK: usize = 256;
/// After the last number, allocation starts again here (Linux's RESERVED_PIDS), so that daemons of the boot keep theirs
/// apart from the crowd.
const FIRST_AFTER_WRAP: Number = 300;
/// Numbers in use by default before the table grows.
pub(crate) const FIRST_CAPACITY: u32 = 4096;

const BITS: u32 = u64::BITS;

/// Relations of one number.
pub(crate) struct Node<R: Resources> {
    /// The process of that number, until it is reaped.
    pub(crate) process: Option<Arc<Process<R>>>,
    /// Its parent.
    pub(crate) parent: Number,
    /// The thread of the parent that made or adopted it.
    pub(crate) creator: Number,
    pub(crate) group: Number,
    pub(crate) session: Number,
    /// It has ended, thus.
    pub(crate) ended: Option<ExitStatus>,
    /// It was stopped, and its parent has not been told.
    pub(crate) stopped: Option<Signal>,
    /// It was continued, and its parent has not been told.
    pub(crate) continued: bool,
    /// A thread carries the number.
    pub(crate) thread: bool,
    /// As a group: the session it is in.
    pub(crate) group_session: Number,
    // It has another number besides this one: see `Tree::nested`.
    nested: bool,
    // As a member, and as the head, of each kind of list.
    links: [Link; LISTS],
    heads: [Head; LISTS],
}

/// Lists of processes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum List {
    /// Children of a process, oldest first.
    Children,
    /// Members of a group.
    Group,
    /// Members of a session.
    Session,
}

const LISTS: usize = 3;

#[derive(Clone, Copy)]
struct Link {
    previous: Number,
    next: Number,
}

impl Link {
    const NONE: Self = Self { previous: NONE, next: NONE };
}

#[derive(Clone, Copy)]
struct Head {
    first: Number,
    last: Number,
    len: u32,
}

impl<R: Resources> Node<R> {
    const EMPTY: Self = Self {
        process: None,
        parent: NONE,
        creator: NONE,
        group: NONE,
        session: NONE,
        ended: None,
        stopped: None,
        continued: false,
        thread: false,
        group_session: NONE,
        nested: false,
        links: [Link::NONE; LISTS],
        heads: [Head { first: NONE, last: NONE, len: 0 }; LISTS],
    };

    fn link(&self, list: List) -> Link {
        let [children, group, session] = self.links;
        match list {
            List::Children => children,
            List::Group => group,
            List::Session => session,
        }
    }

    fn link_mut(&mut self, list: List) -> &mut Link {
        let [children, group, session] = &mut self.links;
        match list {
            List::Children => children,
            List::Group => group,
            List::Session => session,
        }
    }

    fn head(&self, list: List) -> Head {
        let [children, group, session] = self.heads;
        match list {
            List::Children => children,
            List::Group => group,
            List::Session => session,
        }
    }

    fn head_mut(&mut self, list: List) -> &mut Head {
        let [children, group, session] = &mut self.heads;
        match list {
            List::Children => children,
            List::Group => group,
            List::Session => session,
        }
    }

    fn is_in_use(&self) -> bool {
        self.process.is_some() || self.thread || self.head(List::Group).len != 0 || self.head(List::Session).len != 0
    }
}

/// A block of nodes, allocated before the lock is taken.
pub(crate) type Chunk<R> = Box<[Node<R>; CHUNK]>;

/// All relations. See the module.
pub(crate) struct Tree<R: Resources> {
    // Numbers `CHUNK * i ..` in the i-th; there when a number of theirs is in use.
    chunks: Vec<Option<Chunk<R>>>,
    // What a number without node reads as; reset before each use as a target of writes.
    void: Node<R>,
    used: Vec<u64>,
    in_use: u32,
    // Numbers are handed out below this one; doubles up to `pid_max` when half are in use.
    capacity: u32,
    pid_max: u32,
    cursor: Number,
    /// Controlling terminals by session.
    pub(crate) terminals: BTreeMap<Number, R::Terminal>,
    // The namespaces of numbers other than the first, of those that live in one.
    nested: BTreeMap<Number, Arc<PidNamespace>>,
}

/// A number was found, but its chunk is missing: allocate one and ask again.
pub(crate) enum Claim {
    Got(Number),
    NeedChunk(usize),
}

impl<R: Resources> Tree<R> {
    /// A tree for numbers below `pid_max`.
    pub(crate) fn new(pid_max: u32) -> Result<Self> {
        let words = pid_max.div_ceil(BITS) as usize;
        let chunk_count = (pid_max as usize).div_ceil(CHUNK);
        let (mut used, mut chunks) = (Vec::new(), Vec::new());
        used.try_reserve_exact(words).map_err(|_| ProcessError::NoMemory)?;
        chunks.try_reserve_exact(chunk_count).map_err(|_| ProcessError::NoMemory)?;
        used.resize(words, 0);
        chunks.resize_with(chunk_count, || None);
        let mut tree = Self {
            chunks,
            void: Node::EMPTY,
            used,
            in_use: 0,
            capacity: pid_max.min(FIRST_CAPACITY),
            pid_max,
            cursor: NONE,
            terminals: BTreeMap::new(),
            nested: BTreeMap::new(),
        };
        // Number 0 is nobody's.
        tree.set_used(NONE, true);
        Ok(tree)
    }

    /// A block of unused nodes.
    pub(crate) fn new_chunk() -> Result<Chunk<R>> {
        let mut nodes = Vec::new();
        nodes.try_reserve_exact(CHUNK).map_err(|_| ProcessError::NoMemory)?;
        nodes.resize_with(CHUNK, || Node::EMPTY);
        nodes.into_boxed_slice().try_into().map_err(|_| ProcessError::NoMemory)
    }

    /// Puts a block in place; gives it back if another CPU was faster.
    pub(crate) fn add_chunk(&mut self, at: usize, chunk: Chunk<R>) -> Option<Chunk<R>> {
        match self.chunks.get_mut(at) {
            Some(slot @ None) => {
                *slot = Some(chunk);
                None
            }
            _ => Some(chunk),
        }
    }

    // ---- numbers

    /// Takes the next free number after the last one taken, starting over at the end (next fit, as Linux).
    pub(crate) fn claim(&mut self) -> Result<Claim> {
        if self.in_use >= self.capacity / 2 {
            self.capacity = self.capacity.saturating_mul(2).min(self.pid_max);
        }
        let floor = if self.capacity > 2 * FIRST_AFTER_WRAP { FIRST_AFTER_WRAP } else { 1 };
        let found = self.free_from(self.cursor.saturating_add(1));
        let number = found.or_else(|| self.free_from(floor)).ok_or(ProcessError::ResourceExhausted)?;
        let chunk = number as usize / CHUNK;
        if !matches!(self.chunks.get(chunk), Some(Some(_))) {
            // Numbers ascend and leave unused chunks behind: those move along, so memory follows the processes that live.
            match self.idle_chunk() {
                Some(idle) => self.chunks.swap(idle, chunk),
                None => return Ok(Claim::NeedChunk(chunk)),
            }
        }
        self.set_used(number, true);
        self.cursor = number;
        Ok(Claim::Got(number))
    }

    /// Chunks of nodes there are.
    #[cfg(test)]
    pub(crate) fn chunk_count(&self) -> usize {
        self.chunks.iter().flatten().count()
    }

    /// A chunk none of whose numbers is in use. Asked for once in [`CHUNK`] numbers.
    fn idle_chunk(&self) -> Option<usize> {
        const WORDS: usize = CHUNK / BITS as usize;
        let words_of = |at: usize| self.used.iter().skip(at * WORDS).take(WORDS);
        let mut chunks = self.chunks.iter().enumerate();
        let idle = chunks.find(|(at, chunk)| chunk.is_some() && words_of(*at).all(|word| *word == 0));
        idle.map(|(at, _)| at)
    }

    /// Gives a number back if nothing uses it any more.
    pub(crate) fn release_if_unused(&mut self, number: Number) {
        if number != NONE && !self.node(number).is_in_use() {
            if self.node(number).nested {
                self.node_mut(number).nested = false;
                if let Some(pids) = self.nested.remove(&number) {
                    pids.release(number);
                }
            }
            self.set_used(number, false);
        }
    }

    /// Notes that `number` has another one in `pids`, which goes with it.
    pub(crate) fn note_nested(&mut self, number: Number, pids: Arc<PidNamespace>) {
        self.node_mut(number).nested = true;
        self.nested.insert(number, pids);
    }

    /// The lowest number in use from `from` on.
    pub(crate) fn next_used(&self, from: Number) -> Option<Number> {
        let from = from.max(1);
        let first_word = from / BITS;
        for (at, word) in self.used.iter().enumerate().skip(first_word as usize) {
            let at = at as u32;
            let below = if at == first_word { (1_u64 << (from % BITS)) - 1 } else { 0 };
            let hits = word & !below;
            if hits != 0 {
                return Some(at * BITS + hits.trailing_zeros());
            }
        }
        None
    }

    /// Numbers in use.
    pub(crate) fn in_use(&self) -> u32 {
        self.in_use
    }

    fn free_from(&self, from: Number) -> Option<Number> {
        let first_word = from / BITS;
        for (at, word) in self.used.iter().enumerate().skip(first_word as usize) {
            let at = at as u32;
            let below = if at == first_word { (1_u64 << (from % BITS)) - 1 } else { 0 };
            let free = !(word | below);
            if free != 0 {
                return Some(at * BITS + free.trailing_zeros()).filter(|number| *number < self.capacity);
            }
            if at * BITS >= self.capacity {
                break;
            }
        }
        None
    }

    fn set_used(&mut self, number: Number, used: bool) {
        let Some(word) = self.used.get_mut((number / BITS) as usize) else { return };
        let bit = 1_u64 << (number % BITS);
        let was = *word & bit != 0;
        if was == used {
            return;
        }
        *word ^= bit;
        if number != NONE {
            self.in_use = if used { self.in_use + 1 } else { self.in_use - 1 };
        }
    }

    // ---- nodes

    /// The node of `number`; an empty one for a number without.
    #[inline]
    pub(crate) fn node(&self, number: Number) -> &Node<R> {
        let number = number as usize;
        match self.chunks.get(number / CHUNK) {
            Some(Some(chunk)) => chunk.get(number % CHUNK).unwrap_or(&self.void),
            _ => &self.void,
        }
    }

    /// The node of `number`, to change; for a number without node a scratch one.
    #[inline]
    pub(crate) fn node_mut(&mut self, number: Number) -> &mut Node<R> {
        let at = number as usize;
        match self.chunks.get_mut(at / CHUNK) {
            Some(Some(chunk)) if number != NONE => chunk.get_mut(at % CHUNK).unwrap_or(&mut self.void),
            _ => scratch(&mut self.void),
        }
    }

    /// The process of that number, if it is in the tree.
    pub(crate) fn process(&self, number: Number) -> Option<&Arc<Process<R>>> {
        self.node(number).process.as_ref()
    }

    // ---- lists

    /// First member of `owner`'s list.
    pub(crate) fn first(&self, owner: Number, list: List) -> Number {
        self.node(owner).head(list).first
    }

    /// Number of members of `owner`'s list.
    pub(crate) fn len(&self, owner: Number, list: List) -> u32 {
        self.node(owner).head(list).len
    }

    /// The member after `member`.
    pub(crate) fn next(&self, member: Number, list: List) -> Number {
        self.node(member).link(list).next
    }

    /// Members of `owner`'s list, in order.
    pub(crate) fn members(&self, owner: Number, list: List) -> impl Iterator<Item = Number> {
        let mut at = self.first(owner, list);
        core::iter::from_fn(move || {
            let member = at;
            at = self.next(member, list);
            (member != NONE).then_some(member)
        })
    }

    fn append(&mut self, owner: Number, member: Number, list: List) {
        *self.node_mut(member).link_mut(list) = self.append_to(owner, member, list);
    }

    /// The owner's and the last member's part of [`Tree::append`]; the link that `member` itself gets.
    #[inline]
    fn append_to(&mut self, owner: Number, member: Number, list: List) -> Link {
        let head = self.node_mut(owner).head_mut(list);
        let last = core::mem::replace(&mut head.last, member);
        head.len += 1;
        if last == NONE {
            head.first = member;
        } else {
            self.node_mut(last).link_mut(list).next = member;
        }
        Link { previous: last, next: NONE }
    }

    fn unlink(&mut self, owner: Number, member: Number, list: List) {
        let link = core::mem::replace(self.node_mut(member).link_mut(list), Link::NONE);
        self.unlink_from(owner, link, list);
    }

    /// The part of [`Tree::unlink`] that owner and neighbours of a member with this link have; how many are left.
    #[inline]
    fn unlink_from(&mut self, owner: Number, link: Link, list: List) -> u32 {
        let Link { previous, next } = link;
        if previous != NONE {
            self.node_mut(previous).link_mut(list).next = next;
        }
        if next != NONE {
            self.node_mut(next).link_mut(list).previous = previous;
        }
        let head = self.node_mut(owner).head_mut(list);
        if previous == NONE {
            head.first = next;
        }
        if next == NONE {
            head.last = previous;
        }
        head.len = head.len.saturating_sub(1);
        head.len
    }

    // ---- relations

    /// Adds a process under `parent`, made by its thread `creator`, in `group` of `session`.
    pub(crate) fn insert(
        &mut self,
        process: Arc<Process<R>>,
        parent: Number,
        creator: Number,
        group: Number,
        session: Number,
    ) {
        let number = process.pid().0;
        process.cache_relations(parent, group, session);
        let as_child = if parent != NONE { self.append_to(parent, number, List::Children) } else { Link::NONE };
        let in_group = self.append_to(group, number, List::Group);
        let in_session = self.append_to(session, number, List::Session);
        self.node_mut(group).group_session = session;
        let node = self.node_mut(number);
        node.process = Some(process);
        node.parent = parent;
        node.creator = creator;
        (node.group, node.session) = (group, session);
        node.ended = None;
        node.stopped = None;
        node.continued = false;
        node.thread = true;
        node.links = [as_child, in_group, in_session];
    }

    /// Takes a process out; its number stays in use while a group or session carries it.
    pub(crate) fn remove(&mut self, number: Number) -> Option<Arc<Process<R>>> {
        let node = self.node_mut(number);
        let process = node.process.take();
        let (parent, group, session) = (node.parent, node.group, node.session);
        let [as_child, in_group, in_session] = core::mem::replace(&mut node.links, [Link::NONE; LISTS]);
        (node.parent, node.creator, node.group, node.session) = (NONE, NONE, NONE, NONE);
        (node.ended, node.stopped, node.continued, node.thread) = (None, None, false, false);
        if parent != NONE {
            self.unlink_from(parent, as_child, List::Children);
        }
        let left_in_group = self.unlink_from(group, in_group, List::Group);
        let left_in_session = self.unlink_from(session, in_session, List::Session);
        // Members that are left keep the number of their group or session in use.
        for (carrier, left) in [(group, left_in_group), (session, left_in_session), (number, 0)] {
            if left == 0 {
                self.release_if_unused(carrier);
            }
        }
        process
    }

    /// Gives `number` another parent.
    pub(crate) fn reparent(&mut self, number: Number, parent: Number, creator: Number) {
        let old = self.node(number).parent;
        self.unlink(old, number, List::Children);
        let node = self.node_mut(number);
        (node.parent, node.creator) = (parent, creator);
        self.append(parent, number, List::Children);
        self.refresh(number);
    }

    /// Moves a process to another group of its session.
    pub(crate) fn change_group(&mut self, number: Number, group: Number) {
        let old = self.node(number).group;
        self.leave_group(number);
        self.join_group(number, group);
        self.release_if_unused(old);
        self.refresh(number);
    }

    /// Makes a process the leader of a session and group of its own.
    pub(crate) fn start_session(&mut self, number: Number) {
        let (group, session) = (self.node(number).group, self.node(number).session);
        self.leave_group(number);
        self.leave_session(number);
        self.join_session(number, number);
        self.join_group(number, number);
        for carrier in [group, session] {
            self.release_if_unused(carrier);
        }
        self.refresh(number);
    }

    /// Whether no member of `group` has a living parent in another group of the same session: nobody is left who could
    /// continue it (POSIX: orphaned). `except` is left out: a process about to end.
    pub(crate) fn is_orphaned(&self, group: Number, except: Number) -> bool {
        !self.members(group, List::Group).any(|member| {
            let node = self.node(member);
            if member == except || node.ended.is_some() {
                return false;
            }
            let parent = self.node(node.parent);
            // The first process adopts; it is no job-control shell.
            node.parent != NONE && node.parent != 1 && parent.group != group && parent.session == node.session
        })
    }

    /// Whether a member of `group` is stopped.
    pub(crate) fn has_stopped(&self, group: Number) -> bool {
        self.members(group, List::Group).any(|member| {
            let node = self.node(member);
            node.ended.is_none()
                && node
                    .process
                    .as_ref()
                    .is_some_and(|process| matches!(process.signals().stop_view(), crate::signal::StopView::Stopped(_)))
        })
    }

    fn refresh(&self, number: Number) {
        let node = self.node(number);
        if let Some(process) = &node.process {
            process.cache_relations(node.parent, node.group, node.session);
        }
    }

    fn join_group(&mut self, number: Number, group: Number) {
        let session = self.node(number).session;
        self.node_mut(number).group = group;
        self.append(group, number, List::Group);
        self.node_mut(group).group_session = session;
    }

    fn leave_group(&mut self, number: Number) {
        let group = self.node(number).group;
        self.unlink(group, number, List::Group);
        self.node_mut(number).group = NONE;
    }

    fn join_session(&mut self, number: Number, session: Number) {
        self.node_mut(number).session = session;
        self.append(session, number, List::Session);
    }

    fn leave_session(&mut self, number: Number) {
        let session = self.node(number).session;
        self.unlink(session, number, List::Session);
        self.node_mut(number).session = NONE;
    }
}

/// An empty node whose changes nobody sees.
#[cold]
fn scratch<R: Resources>(void: &mut Node<R>) -> &mut Node<R> {
    *void = Node::EMPTY;
    void
}

#[cfg(test)]
impl<R: Resources> Tree<R> {
    /// Checks every invariant of the module's head; the number of processes.
    pub(crate) fn check(&self) -> usize {
        let mut processes = 0;
        let mut used = 0;
        let mut listed = [0; LISTS];
        for number in 1..self.pid_max {
            let node = self.node(number);
            let marked = self.used[(number / BITS) as usize] >> (number % BITS) & 1 != 0;
            assert_eq!(marked, node.is_in_use(), "number {number}");
            used += u32::from(marked);
            for list in [List::Children, List::Group, List::Session] {
                let members: Vec<_> = self.members(number, list).collect();
                assert_eq!(members.len(), self.len(number, list) as usize, "list of {number}");
                listed[list as usize] += members.len();
                for member in &members {
                    let m = self.node(*member);
                    assert!(m.process.is_some(), "{member} in a list of {number}");
                    let owner = match list {
                        List::Children => m.parent,
                        List::Group => m.group,
                        List::Session => m.session,
                    };
                    assert_eq!(owner, number);
                    if list == List::Group {
                        assert_eq!(m.session, node.group_session, "session of group {number}");
                    }
                }
            }
            let Some(process) = &node.process else {
                assert_eq!(self.len(number, List::Children), 0);
                continue;
            };
            processes += 1;
            assert_eq!(process.pid().0, number);
            assert_eq!(
                (process.parent_pid().0, process.pgid().0, process.sid().0),
                (node.parent, node.group, node.session)
            );
            assert_eq!(node.ended.is_some(), process.state() == crate::ProcessState::Zombie);
            if number != 1 {
                let parent = self.node(node.parent);
                assert!(parent.process.is_some() && parent.ended.is_none(), "parent {} of {number}", node.parent);
            }
        }
        assert_eq!(used, self.in_use);
        // Every member of a list names its owner, so as many members as processes means that each is in its own lists.
        assert_eq!(listed, [processes - 1, processes, processes]);
        processes
    }
}
