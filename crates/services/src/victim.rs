//! Who must go when memory is short: the cell that frees enough and takes the least with it.

use alloc::vec::Vec;

use crate::id::{Identity, InstanceId, ServiceId};
use crate::reconciler::Reconciler;

/// Memory in use by one cell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Usage {
    /// Whose.
    pub instance: InstanceId,
    /// Bytes.
    pub bytes: u64,
}

/// Who must go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which life of which instance.
    pub identity: Identity,
    /// A critical service goes, or is lost with it.
    pub critical: bool,
    /// What that frees.
    pub bytes: u64,
}

impl Reconciler {
    /// The best victim among cells: first those that free at least `need` bytes, then those without a critical service among
    /// the lost, then those above their promise, then those that take the fewest services along, then the largest.
    ///
    /// An instance with ready siblings takes nobody along. O(cells x edges); for emergencies, not for hot paths.
    pub fn victim(&self, usage: &[Usage], need: u64) -> Option<Victim> {
        usage
            .iter()
            .filter_map(|used| {
                let (service, view) = self.instance(used.instance)?;
                if !view.state.has_cell() {
                    return None;
                }
                let lost = self.blast(service, view.state.is_ready());
                let critical = lost
                    .iter()
                    .chain(core::iter::once(&service))
                    .filter(|id| self.catalog().definition(**id).is_some_and(|definition| definition.critical))
                    .count();
                let key = (
                    critical > 0,
                    used.bytes < need,
                    critical,
                    used.bytes <= view.reserved,
                    lost.len(),
                    u64::MAX - used.bytes,
                    used.instance,
                );
                Some((key, Victim { identity: view.identity, critical: critical > 0, bytes: used.bytes }))
            })
            .min_by_key(|(key, _)| *key)
            .map(|(_, victim)| victim)
    }

    /// Services that would be lost with one instance of `id`.
    fn blast(&self, id: ServiceId, ready: bool) -> Vec<ServiceId> {
        let mut lost = Vec::new();
        if self.service(id).is_some_and(|service| service.ready > u16::from(ready)) {
            return lost;
        }
        let mut seen = alloc::vec![false; self.catalog().slots()];
        let mut queue = alloc::vec![id];
        while let Some(at) = queue.pop() {
            for (_, edge) in self.catalog().dependents(at).filter(|(_, edge)| edge.kind.is_hard()) {
                let running = self.service(edge.from).is_some_and(|service| service.live > 0);
                if let Some(seen) = seen.get_mut(usize::from(edge.from.0)).filter(|seen| !**seen && running) {
                    *seen = true;
                    lost.push(edge.from);
                    queue.push(edge.from);
                }
            }
        }
        lost
    }
}
