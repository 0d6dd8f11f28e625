//! What is done to all processes of a cell at once.

use alloc::sync::Arc;

use abi::Signal;
use types::{Nanos, Pid};

use crate::exit::end_group;
use crate::signal::SigInfo;
use crate::tree::{Number, Tree};
use crate::{Cell, Effects, ExitStatus, Process, ProcessError, ProcessTable, Resources, Result, UsageSnapshot, notify};

impl<R: Resources> ProcessTable<R> {
    /// Kills every process of `cell`, and lets no other be born in it: when this returns all that is left of them is on its
    /// way out. O(numbers in use), under one lock.
    pub fn kill_cell(&self, cell: &Arc<Cell>) -> Effects<R> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        cell.set_dying();
        for_each_living(&mut tree, cell, |_, process| end_group(process, ExitStatus::KILLED, None, &mut effects));
        drop(tree);
        effects
    }

    /// Lets no thread of `cell` go back to user mode, those born later among them, or lets all go on. Signals reach them all
    /// the same: one that ends a process does.
    pub fn freeze_cell(&self, cell: &Arc<Cell>, frozen: bool) -> Effects<R> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        cell.set_frozen(frozen);
        for_each_living(&mut tree, cell, |_, process| {
            let kick = process.signals().hold_all();
            effects.kick_threads(process, kick);
        });
        drop(tree);
        effects
    }

    /// Sends to every process of `cell`, as the kernel.
    pub fn signal_cell(&self, cell: &Arc<Cell>, signal: Signal) -> Effects<R> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        for_each_living(&mut tree, cell, |tree, process| {
            notify::post(tree, process, SigInfo::kernel(signal), &mut effects).ok();
        });
        drop(tree);
        effects
    }

    /// Sends to the main process of `cell`, as the kernel; to nobody if that has ended, whoever has its number now.
    pub fn signal_main(&self, cell: &Arc<Cell>, signal: Signal) -> Effects<R> {
        let mut effects = Effects::new();
        let mut tree = self.tree();
        let main = tree.process(cell.main().0).cloned();
        if let Some(main) = main.filter(|main| cell.main_end().is_none() && is_in(main, cell)) {
            notify::post(&mut tree, &main, SigInfo::kernel(signal), &mut effects).ok();
        }
        drop(tree);
        effects
    }

    /// Makes another process of `cell` its main one (`MAINPID=` of sd_notify(3)).
    ///
    /// # Errors
    /// `ProcessNotFound` for one that is not in it or has ended; `InvalidState` if the main one has ended.
    pub fn set_main(&self, cell: &Arc<Cell>, pid: Pid) -> Result<()> {
        let tree = self.tree();
        if cell.main_end().is_some() {
            return Err(ProcessError::InvalidState);
        }
        let living = tree.process(pid.0).filter(|_| tree.node(pid.0).ended.is_none());
        if !living.is_some_and(|process| is_in(process, cell)) {
            return Err(ProcessError::ProcessNotFound);
        }
        cell.set_main(pid.0);
        Ok(())
    }

    /// What all processes of `cell` have used, those that ended included.
    pub fn cell_usage(&self, cell: &Arc<Cell>) -> UsageSnapshot {
        let mut tree = self.tree();
        let mut usage = cell.ended_usage();
        for_each_living(&mut tree, cell, |_, process| usage.add(&process.usage().snapshot()));
        usage
    }

    /// CPU time of all processes of `cell`.
    pub fn cell_time(&self, cell: &Arc<Cell>) -> Nanos {
        self.cell_usage(cell).cpu_time()
    }

    /// Shows `visit` the processes of `cell` that live, by ascending number.
    pub fn visit_cell(&self, cell: &Arc<Cell>, mut visit: impl FnMut(&Arc<Process<R>>)) {
        let mut tree = self.tree();
        for_each_living(&mut tree, cell, |_, process| visit(process));
    }
}

fn is_in<R: Resources>(process: &Process<R>, cell: &Arc<Cell>) -> bool {
    process.cell().is_some_and(|own| Arc::ptr_eq(own, cell))
}

fn for_each_living<R: Resources>(
    tree: &mut Tree<R>,
    cell: &Arc<Cell>,
    mut visit: impl FnMut(&mut Tree<R>, &Arc<Process<R>>),
) {
    // Who is here now stays: nobody ends or is born under this lock.
    let mut left = cell.members();
    let mut at: Number = 1;
    while left != 0
        && let Some(number) = tree.next_used(at)
    {
        at = number + 1;
        if tree.node(number).ended.is_some() {
            continue;
        }
        let Some(process) = tree.process(number).filter(|process| is_in(process, cell)).cloned() else { continue };
        left -= 1;
        visit(tree, &process);
    }
}
