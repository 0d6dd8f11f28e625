//! All areas of a space, sorted, in blocks that spaces share until they differ.
//!
//! Two levels of sorted arrays: finding is O(log n), changing moves at most a block and the list of blocks. Fork copies one
//! pointer; the first change afterwards copies the list and one block.

use alloc::sync::Arc;
use alloc::vec::Vec;

use super::area::Area;

/// Areas of a block at most: an ordinary process has one block.
const BLOCK: usize = 64;

type Block = Arc<Vec<Area>>;

/// Place of an area; one past the last of a block is never kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(super) struct Place {
    block: usize,
    at: usize,
}

#[derive(Clone, Default)]
pub(super) struct Areas {
    blocks: Arc<Vec<Block>>,
    count: u32,
    hit: Hit,
}

/// The place of the area that was found last, in little room.
#[derive(Clone, Copy, Default)]
struct Hit {
    block: u32,
    at: u32,
}

impl Hit {
    #[inline]
    const fn place(self) -> Place {
        Place { block: self.block as usize, at: self.at as usize }
    }
}

impl Areas {
    pub(super) const fn count(&self) -> usize {
        self.count as usize
    }

    #[inline]
    pub(super) fn get(&self, place: Place) -> Option<&Area> {
        self.blocks.get(place.block)?.get(place.at)
    }

    pub(super) fn get_mut(&mut self, place: Place) -> Option<&mut Area> {
        Arc::make_mut(Arc::make_mut(&mut self.blocks).get_mut(place.block)?).get_mut(place.at)
    }

    /// The area that contains `address`; remembers it. O(log n), O(1) for the one found last.
    #[inline]
    pub(super) fn find(&mut self, address: u64) -> Option<&Area> {
        let place = self.locate(address)?;
        self.get(place)
    }

    /// Place of the area that contains `address`, as [`Areas::find`].
    #[inline]
    pub(super) fn locate(&mut self, address: u64) -> Option<Place> {
        let hit = self.hit.place();
        if !self.get(hit).is_some_and(|area| area.contains(address)) {
            let place = self.seek(address);
            if !self.get(place)?.contains(address) {
                return None;
            }
            // A space has far fewer areas than these can tell apart.
            self.hit = Hit { block: place.block as u32, at: place.at as u32 };
            return Some(place);
        }
        Some(hit)
    }

    /// Place of the first area that ends after `address`.
    pub(super) fn seek(&self, address: u64) -> Place {
        let ends_before = |area: &Area| area.end <= address;
        let block = self.blocks.partition_point(|block| block.last().is_some_and(ends_before));
        Place { block, at: self.blocks.get(block).map_or(0, |block| block.partition_point(ends_before)) }
    }

    pub(super) fn next(&self, place: Place) -> Place {
        match self.blocks.get(place.block) {
            Some(block) if place.at + 1 < block.len() => Place { at: place.at + 1, ..place },
            _ => Place { block: place.block + 1, at: 0 },
        }
    }

    pub(super) fn prev(&self, place: Place) -> Option<Place> {
        if let Some(at) = place.at.checked_sub(1) {
            return Some(Place { at, ..place });
        }
        let block = place.block.checked_sub(1)?;
        Some(Place { block, at: self.blocks.get(block)?.len().checked_sub(1)? })
    }

    /// Areas that end after `address`, lowest first.
    pub(super) fn iter_from(&self, address: u64) -> impl Iterator<Item = &Area> {
        let place = self.seek(address);
        let rest = self.blocks.get(place.block).and_then(|block| block.get(place.at..)).unwrap_or(&[]);
        rest.iter().chain(self.blocks.iter().skip(place.block + 1).flat_map(|block| block.iter()))
    }

    /// Areas that begin before `address`, highest first.
    pub(super) fn iter_below(&self, address: u64) -> impl Iterator<Item = &Area> {
        let mut place = self.seek(address);
        if self.get(place).is_some_and(|area| area.start < address) {
            place = self.next(place);
        }
        let mut place = self.prev(place);
        core::iter::from_fn(move || {
            let here = place?;
            place = self.prev(here);
            self.get(here)
        })
    }

    /// Puts an area in; the caller has made room. Joins it to its neighbours if it continues them.
    pub(super) fn insert(&mut self, area: Area) {
        let place = self.seek(area.start);
        let before = self.prev(place);
        if let Some(before) = before
            && self.get(before).is_some_and(|before| before.joins(&area))
            && let Some(joined) = self.get_mut(before)
        {
            joined.end = area.end;
            return self.join_next(before);
        }
        if self.get(place).is_some_and(|next| area.joins(next))
            && let Some(next) = self.get_mut(place)
        {
            next.set_start(area.start);
            return;
        }
        self.insert_at(place, area);
    }

    /// Joins the area at `place` and the one after it if they are alike.
    fn join_next(&mut self, place: Place) {
        let next = self.next(place);
        let (Some(area), Some(after)) = (self.get(place), self.get(next)) else { return };
        if area.joins(after) {
            let end = after.end;
            self.remove_at(next);
            if let Some(area) = self.get_mut(place) {
                area.end = end;
            }
        }
    }

    /// Joins what can be joined at the boundaries in `start ..= end`.
    pub(super) fn join_range(&mut self, start: u64, end: u64) {
        let mut place = self.seek(start.saturating_sub(1));
        while self.get(place).is_some_and(|area| area.start <= end) {
            let count = self.count;
            self.join_next(place);
            if self.count == count {
                place = self.next(place);
            }
        }
    }

    /// Splits the area that has `address` strictly inside.
    pub(super) fn split(&mut self, address: u64) {
        let place = self.seek(address);
        if self.get(place).is_some_and(|area| area.start < address)
            && let Some(area) = self.get_mut(place)
        {
            let rest = area.split_off(address);
            self.insert_at(self.next_slot(place), rest);
        }
    }

    /// Whether [`Areas::split`] would make one more area.
    pub(super) fn splits_at(&self, address: u64) -> bool {
        self.get(self.seek(address)).is_some_and(|area| area.start < address)
    }

    /// Takes out the first area within `start .. end`; the borders are split already.
    pub(super) fn take_first(&mut self, start: u64, end: u64) -> Option<Area> {
        let place = self.seek(start);
        if self.get(place)?.start >= end { None } else { self.remove_at(place) }
    }

    /// The slot after `place` in the same block, where something may be inserted.
    const fn next_slot(&self, place: Place) -> Place {
        Place { at: place.at + 1, ..place }
    }

    /// The same areas and those of `block` behind them, in a block of their own: the others stay shared. `None` if they are not
    /// behind them.
    pub(super) fn followed_by(&self, block: Vec<Area>) -> Option<Self> {
        let last = self.blocks.last().and_then(|block| block.last());
        let fits = last.zip(block.first()).is_none_or(|(last, first)| last.end <= first.start);
        fits.then(|| {
            let count = self.count + block.len() as u32;
            let mut blocks = Vec::with_capacity(self.blocks.len() + 1);
            blocks.extend(self.blocks.iter().cloned());
            blocks.push(Arc::new(block));
            Self { blocks: Arc::new(blocks), count, hit: Hit::default() }
        })
    }

    fn insert_at(&mut self, place: Place, area: Area) {
        self.count += 1;
        let blocks = Arc::make_mut(&mut self.blocks);
        let mut place = place;
        if place.block == blocks.len() {
            match blocks.last() {
                Some(last) => place = Place { block: place.block - 1, at: last.len() },
                None => blocks.push(Arc::default()),
            }
        }
        let Some(block) = blocks.get_mut(place.block) else { return };
        let block = Arc::make_mut(block);
        block.insert(place.at.min(block.len()), area);
        if block.len() > BLOCK {
            let upper = block.split_off(BLOCK / 2);
            blocks.insert(place.block + 1, Arc::new(upper));
        }
    }

    fn remove_at(&mut self, place: Place) -> Option<Area> {
        let blocks = Arc::make_mut(&mut self.blocks);
        let block = blocks.get_mut(place.block)?;
        if place.at >= block.len() {
            return None;
        }
        self.count -= 1;
        if block.len() == 1 {
            let block = blocks.remove(place.block);
            return block.first().cloned();
        }
        Some(Arc::make_mut(block).remove(place.at))
    }
}

#[cfg(test)]
mod tests {
    use std::vec::Vec;

    use super::*;
    use crate::testing::Random;
    use crate::{MapFlags, Prot, Sharing};

    fn area(start: u64, end: u64, prot: Prot) -> Area {
        let (max_prot, flags) = (Prot::all(), MapFlags::empty());
        Area { start, end, prot, max_prot, sharing: Sharing::Private, flags, source: None }
    }

    #[test]
    fn areas_agree_with_an_array_of_pages() {
        const PAGES: usize = 3000;
        let mut random = Random::new(11);
        let mut model = [Prot::empty(); PAGES];
        let mut areas = Areas::default();
        let mut most = 0;
        for step in 0..20_000 {
            let start = random.below(PAGES as u64 - 8);
            let end = start + 1 + random.below(7);
            let prot = Prot::from_bits_truncate(random.below(8) as u8);
            let snapshot = areas.clone();
            areas.split(start);
            areas.split(end);
            while areas.take_first(start, end).is_some() {}
            if !prot.is_empty() {
                areas.insert(area(start, end, prot));
            }
            model[start as usize..end as usize].fill(prot);
            most = most.max(areas.count());
            if step % 50 == 0 {
                drop(snapshot);
                let listed: Vec<_> = areas.iter_from(0).map(|a| (a.start, a.end, a.prot)).collect();
                assert_eq!(listed.len(), areas.count());
                let below: Vec<_> = areas.iter_below(u64::MAX).map(|a| (a.start, a.end, a.prot)).collect();
                assert!(below.iter().rev().eq(listed.iter()));
                assert!(listed.windows(2).all(|w| w[0].1 <= w[1].0));
                for (page, prot) in model.iter().enumerate() {
                    let found = areas.find(page as u64).map_or(Prot::empty(), |area| area.prot);
                    assert_eq!(found, *prot, "page {page}");
                }
            }
        }
        assert!(most > 3 * BLOCK, "several blocks were in use: {most}");
        for place in 0..PAGES as u64 {
            areas.split(place);
        }
        areas.join_range(0, PAGES as u64);
        let joined: Vec<_> = areas.iter_from(0).map(|a| (a.end, a.start, a.prot)).collect();
        assert!(joined.windows(2).all(|w| w[0].0 != w[1].1 || w[0].2 != w[1].2), "all that can be joined is");
    }
}
