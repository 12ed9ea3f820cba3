//! What sled says of page logs when it is opened.

use std::collections::HashMap;

use super::super::StoreError;
use super::super::kv::{Kv, space};
use super::super::packs::{self, Block, Named, Place};
use super::super::pages::{self, Page};

/// The heads of all logs, and the packs that are named.
pub(super) struct Logs {
    pub pages: HashMap<u64, Page>,
    pub named: Named,
}

/// Reads the records of packs and the chunks. What stands behind a gap is removed: chunks that a
/// fuzzy checkpoint had (the replay brings their entries again, or finds that they are missing), and
/// records of packs before one that was lost in a crash (chunks are removed only when all records
/// of a pack are durable, so the chunks are still there).
pub(super) fn load(kv: &Kv) -> Result<Logs, StoreError> {
    let mut logs = Logs { pages: HashMap::new(), named: Named::new() };
    let mut beyond = Vec::new();
    kv.each(space::PACKED, &[], None, |key, value| {
        let place = packs::read_record(space::PACKED, &key, &value)?;
        if logs.pack(place) {
            logs.named.entry(place.pack).or_default().push(place.block);
        } else {
            beyond.push((space::PACKED, key));
        }
        Ok(true)
    })?;
    kv.each(space::STATES, &[], None, |key, value| {
        let Place { pack, block } = packs::read_record(space::STATES, &key, &value)?;
        logs.named.entry(pack).or_default().push(block);
        Ok(true)
    })?;
    kv.each(space::LOG, &[], None, |key, value| {
        let (Some((page, first)), Some((count, at_ms))) =
            (pages::read_page_key(&key), pages::chunk_head(&value))
        else {
            return Err(StoreError::Damaged("a chunk of a log is broken".into()));
        };
        let page = logs.pages.entry(page).or_default();
        if first > page.revision + 1 {
            beyond.push((space::LOG, key));
            return Ok(true);
        }
        // Not so when it was moved into a pack and a crash kept it from being removed.
        if first + count > page.revision + 1 {
            page.revision = first + count - 1;
            page.at_ms = at_ms;
            page.small_chunk = if pages::is_small(&value) { first } else { 0 };
        }
        Ok(true)
    })?;
    for (space, key) in beyond {
        kv.remove(space, &key)?;
    }
    logs.pages.retain(|_, page| page.revision > 0);
    Ok(logs)
}

impl Logs {
    /// Takes a run in a pack up; false when there is a gap before it.
    fn pack(&mut self, Place { block, .. }: Place) -> bool {
        let Block { page, first, at_ms, .. } = block;
        let page = self.pages.entry(page).or_default();
        if first > page.packed + 1 {
            return false;
        }
        if block.last() > page.packed {
            page.packed = block.last();
            page.revision = page.packed;
            page.at_ms = at_ms;
        }
        true
    }
}
