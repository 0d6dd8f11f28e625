//! The sets that were loaded, the present one with its output rings among them.

use alloc::collections::VecDeque;
use alloc::string::ToString;
use alloc::sync::Arc;
use alloc::vec::Vec;

use services::wire::Unit;
use services::{Bounds, Catalog, Definition, ServiceId};

use crate::{Output, Watch};

/// Earlier sets that can be gone back to.
const KEPT: usize = 8;

/// All sets.
#[derive(Debug)]
pub(crate) struct Sets {
    pub(crate) bounds: Bounds,
    /// By service; those that are gone from the set stay while they run.
    loaded: Vec<Option<(Arc<Unit>, Arc<Output>)>>,
    /// With their numbers, the present one last.
    history: VecDeque<(u32, Vec<Arc<Unit>>)>,
    count: u32,
    watch: Arc<Watch>,
}

impl Sets {
    pub(crate) fn new(bounds: Bounds, watch: Arc<Watch>) -> Self {
        Self { bounds, loaded: Vec::new(), history: VecDeque::new(), count: 0, watch }
    }

    /// Definition and output of a service.
    pub(crate) fn loaded(&self, id: ServiceId) -> Option<(Arc<Unit>, Arc<Output>)> {
        self.loaded.get(usize::from(id.0))?.clone()
    }

    pub(crate) fn unit(&self, id: ServiceId) -> Option<&Arc<Unit>> {
        self.loaded.get(usize::from(id.0))?.as_ref().map(|(unit, _)| unit)
    }

    pub(crate) fn output(&self, id: ServiceId) -> Option<&Arc<Output>> {
        self.loaded.get(usize::from(id.0))?.as_ref().map(|(_, output)| output)
    }

    /// The present set.
    pub(crate) fn present(&self) -> &[Arc<Unit>] {
        self.history.back().map_or(&[], |(_, units)| units)
    }

    /// All sets that are kept, with their numbers.
    pub(crate) fn all(&self) -> impl Iterator<Item = (u32, Vec<Definition>)> {
        let sets = self.history.iter();
        sets.map(|(number, units)| (*number, units.iter().map(|unit| unit.definition.clone()).collect()))
    }

    /// An earlier set: of that number, or the one before the present.
    pub(crate) fn earlier(&self, number: Option<u32>) -> Option<Vec<Arc<Unit>>> {
        let mut sets = self.history.iter().rev().skip(1);
        let found = match number {
            Some(number) => self.history.iter().find(|(known, _)| *known == number),
            None => sets.next(),
        };
        found.map(|(_, units)| units.clone())
    }

    /// The set was taken: `catalog` knows it. Its number.
    pub(crate) fn take(&mut self, catalog: &Catalog, units: Vec<Arc<Unit>>) -> u32 {
        self.loaded.resize(self.loaded.len().max(catalog.slots()), None);
        let mut kept = Vec::new();
        for unit in units {
            let Definition { name, scaling, .. } = &unit.definition;
            // Not what was set aside.
            let Some(id) = catalog.find(name.as_str()) else { continue };
            if let Some(slot) = self.loaded.get_mut(usize::from(id.0)) {
                let output = match slot {
                    Some((old, output)) if old.definition.name == *name => output.clone(),
                    _ => Arc::new(Output::new(name.to_string(), scaling.count, self.watch.queue().clone())),
                };
                *slot = Some((unit.clone(), output));
            }
            kept.push(unit);
        }
        self.count += 1;
        if self.history.len() >= KEPT {
            self.history.pop_front();
        }
        self.history.push_back((self.count, kept));
        self.count
    }
}
