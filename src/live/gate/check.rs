//! Whether a well-formed update fits what is known.

use super::wire::{Id, Origin, Section, Side, Update};
use super::{Client, GateState, Passed, Refusal};

/// Client ids are issued below this (Yjs 13 makes them so too).
const CLIENT_IDS: u64 = 1 << 32;

pub(super) fn judge(
    state: &GateState,
    update: &Update,
    owns: &dyn Fn(u64) -> bool,
) -> Result<Passed, Refusal> {
    for section in &update.sections {
        if section.client >= CLIENT_IDS || !owns(section.client) {
            return Err(Refusal::Forged(section.client));
        }
    }
    let mut passed = Passed { known: true, ..Passed::default() };
    let mut new = Vec::with_capacity(update.sections.len());
    for section in &update.sections {
        let is_new = is_new(state, section)?;
        new.push(is_new);
        if is_new {
            passed.known = false;
            passed.structs += section.structs;
            passed.inserted += section.units;
            passed.inserted_bytes += section.bytes;
        }
    }
    let view = View { state, update, new };
    view.check_origins()?;
    passed.known &= view.check_deletions()?;
    Ok(passed)
}

/// False when all of the section is known: then yrs and Yjs skip its content by its clocks. Yjs
/// looks up its neighbours all the same, and splits text there, so those are checked as well.
fn is_new(state: &GateState, section: &Section) -> Result<bool, Refusal> {
    let expected = state.next_clock(section.client);
    if section.start == expected {
        Ok(true)
    } else if section.end <= expected {
        Ok(false)
    } else {
        Err(Refusal::Behind { client: section.client, expected, found: section.start })
    }
}

/// What is known, and what the update adds.
struct View<'a> {
    state: &'a GateState,
    update: &'a Update,
    /// Per section of the update.
    new: Vec<bool>,
}

/// A struct (`clock` of `section`) that can only be placed after another section got to `target`.
struct Wait {
    clock: u32,
    section: usize,
    target: u32,
}

impl View<'_> {
    fn known(&self, client: u64) -> Option<&Client> {
        self.state.clients.get(&client)
    }

    fn new_section(&self, client: u64) -> Option<(usize, &Section)> {
        let at = self.update.sections.iter().position(|section| section.client == client)?;
        self.new[at].then_some((at, &self.update.sections[at]))
    }

    /// Every neighbour that a struct names exists, is known in time, and is not half of a surrogate
    /// pair.
    fn check_origins(&self) -> Result<(), Refusal> {
        let mut waits: Vec<Vec<Wait>> = Vec::new();
        for origin in &self.update.origins {
            let Id { client, clock } = origin.target;
            if let Some(known) = self.known(client).filter(|known| clock < known.next) {
                check_neighbour(origin, &known.lows, known.collected.contains(clock))?;
                continue;
            }
            let (at, section) = self
                .new_section(client)
                .filter(|(_, section)| clock < section.end)
                .ok_or(Refusal::Missing)?;
            if at == origin.section {
                if clock >= origin.clock {
                    return Err(Refusal::Missing);
                }
            } else {
                waits.resize_with(self.update.sections.len(), Vec::new);
                let wait = Wait { clock: origin.clock, section: at, target: clock };
                waits[origin.section].push(wait);
            }
            check_neighbour(origin, &section.lows, section.collected.contains(clock))?;
        }
        self.check_order(&waits)
    }

    /// Clients of one update may build on each other in turns, as after an offline merge; but
    /// never in a circle, which would leave them pending for ever.
    fn check_order(&self, waits: &[Vec<Wait>]) -> Result<(), Refusal> {
        let mut done = vec![0; waits.len()];
        let reached = |done: &[usize], section: usize| {
            waits[section].get(done[section]).map_or(u32::MAX, |wait| wait.clock)
        };
        loop {
            let mut moved = false;
            for section in 0..waits.len() {
                while let Some(wait) = waits[section].get(done[section]) {
                    if wait.target >= reached(&done, wait.section) {
                        break;
                    }
                    done[section] += 1;
                    moved = true;
                }
            }
            if !moved {
                let stuck = done.iter().zip(waits).any(|(&done, waits)| done < waits.len());
                return if stuck { Err(Refusal::Missing) } else { Ok(()) };
            }
        }
    }

    /// Every deleted range is known and cuts no surrogate pair. Returns whether all were deleted
    /// before.
    fn check_deletions(&self) -> Result<bool, Refusal> {
        let mut all_known = true;
        for deletion in &self.update.deletions {
            let known = self.known(deletion.client);
            let section = self.new_section(deletion.client).map(|(_, section)| section);
            let next = section.map(|section| section.end).or(known.map(|known| known.next));
            if next.is_none_or(|next| next < deletion.end) {
                return Err(Refusal::Missing);
            }
            let is_low = |clock: u32| {
                let known = known.map_or(&[][..], |known| &known.lows);
                let new = section.map_or(&[][..], |section| &section.lows);
                known.binary_search(&clock).is_ok() || new.binary_search(&clock).is_ok()
            };
            if is_low(deletion.start) || is_low(deletion.end) {
                return Err(Refusal::Broken("a deletion splits a surrogate pair"));
            }
            all_known &=
                known.is_some_and(|known| known.deleted.covers(deletion.start, deletion.end));
        }
        Ok(all_known)
    }
}

/// `lows` and `collected` are those of the target's client and clock.
fn check_neighbour(origin: &Origin, lows: &[u32], collected: bool) -> Result<(), Refusal> {
    let border = match origin.side {
        Side::Left => origin.target.clock + 1,
        Side::Right => origin.target.clock,
    };
    if lows.binary_search(&border).is_ok() {
        return Err(Refusal::Broken("an origin splits a surrogate pair"));
    }
    if collected {
        return Err(Refusal::Broken("an origin without a place in the text"));
    }
    Ok(())
}
