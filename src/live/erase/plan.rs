//! Finding what is to be erased.

use super::names::{self, Wanted};
use super::{EraseError, MAX_MARKS, MAX_TEXT_BYTES, MAX_WHY_CHARS, MIN_UNITS, Order, PagePlan};
use super::{Plan, What};
use crate::live::history::handle;
use crate::live::timeline::Finder;
use crate::live::{LiveError, PageInfo, Pages, now_ms};
use crate::page::Revision;
use crate::store::{Store, StoreError};

/// Log read at a time.
const STEP_BYTES: usize = 4 << 20;

/// Finds what an order is about. Blocks; goes through the whole log of the pages.
///
/// # Errors
/// [`EraseError::Order`] when it cannot be meant, store errors.
pub fn find(store: &Store, pages: &Pages, order: &Order) -> Result<Plan, EraseError> {
    let no = |sentence: String| Err(EraseError::Order(sentence));
    if let What::Text(text) = &order.what {
        if text.encode_utf16().count() < MIN_UNITS {
            return no(format!("a text of less than {MIN_UNITS} characters is in too many places"));
        }
        if text.len() > MAX_TEXT_BYTES {
            return no(format!("the text is longer than {MAX_TEXT_BYTES} bytes; erase its parts"));
        }
        if [&order.why, &order.by].iter().any(|said| said.contains(text.as_str())) {
            return no("the reason has the text itself in it, and would stay".into());
        }
    }
    for said in [&order.why, &order.by] {
        if said.trim().is_empty() || said.chars().count() > MAX_WHY_CHARS {
            return no(format!("say why and who in 1 to {MAX_WHY_CHARS} characters"));
        }
    }
    let wanted = chosen(pages, order)?;
    let mut plan = Plan {
        at_ms: now_ms(),
        by: order.by.clone(),
        why: order.why.clone(),
        pages: std::collections::BTreeMap::new(),
        names: Vec::new(),
    };
    let mut events = names::of_events(store, &names_of(&order.what))?;
    for page in wanted {
        let named = plan.names.len();
        plan.names.extend(events.remove(&page.id).unwrap_or_default());
        names::find(store, page.id, &names_of(&order.what), &mut plan.names)?;
        let found = look(store, &page, &order.what)?;
        // A page of which only names are masked gets its mark as well.
        if found.is_empty() && plan.names.len() == named {
            continue;
        }
        if page.erased.len() >= MAX_MARKS {
            return no(format!("{} has {MAX_MARKS} marks of erasures already", page.path));
        }
        plan.pages.insert(page.id, found);
    }
    if let (What::Author(author), None) = (&order.what, &order.page) {
        names::visits(store, author, &mut plan.names)?;
    }
    Ok(plan)
}

fn names_of(what: &What) -> Wanted<'_> {
    match what {
        What::Text(text) => Wanted::Text(text),
        What::Author(author) => Wanted::Author(author),
    }
}

/// Pages, deleted ones too, that have the text of an order somewhere in their history or in names of
/// it, the page of the order left out, and those whose own name has it. Blocks.
///
/// # Errors
/// Store errors.
pub fn holders(store: &Store, pages: &Pages, order: &Order) -> Result<Vec<PageInfo>, EraseError> {
    let What::Text(text) = &order.what else { return Ok(Vec::new()) };
    let mut found = Vec::new();
    let events = names::of_events(store, &names_of(&order.what))?;
    for page in all(pages) {
        let is_named = page.path.to_string().contains(text.as_str());
        let is_chosen = order.page.as_ref().is_none_or(|path| path.key() == page.path.key());
        let mut has = is_named;
        if !is_chosen && !has {
            let mut names = Vec::new();
            names::find(store, page.id, &names_of(&order.what), &mut names)?;
            has = !names.is_empty()
                || events.contains_key(&page.id)
                || !look(store, &page, &order.what)?.is_empty();
        }
        if has {
            found.push(page);
        }
    }
    Ok(found)
}

fn all(pages: &Pages) -> Vec<PageInfo> {
    let mut all = pages.list();
    all.extend(pages.deleted());
    all
}

fn chosen(pages: &Pages, order: &Order) -> Result<Vec<PageInfo>, EraseError> {
    let Some(path) = &order.page else { return Ok(all(pages)) };
    match pages.find(path) {
        Some(page) => Ok(vec![page]),
        None => Err(EraseError::Order(format!("there is no page {path}"))),
    }
}

/// Goes through a page's log.
fn look(store: &Store, page: &PageInfo, what: &What) -> Result<PagePlan, LiveError> {
    let (text, author) = match what {
        What::Text(text) => (text.as_str(), None),
        What::Author(author) => ("", Some(author)),
    };
    let has = |bytes: &[u8]| !text.is_empty() && memchr(bytes, text.as_bytes());
    let mut finder = Finder::new(text);
    let mut plan = PagePlan::default();
    let mut position = Revision(0);
    loop {
        let entries = store.read_log(page.id, position, STEP_BYTES)?;
        if entries.is_empty() {
            break;
        }
        for (at, entry) in entries {
            if at != position.next() {
                return Err(StoreError::Damaged(format!(
                    "the log of page {} has {at} where {} should be",
                    page.id,
                    position.next()
                ))
                .into());
            }
            position = at;
            let theirs = author.is_some_and(|author| handle(&entry.author) == *author);
            if !finder.add(&entry.update, theirs) && (theirs || has(&entry.update)) {
                plan.blank.insert(at);
            }
            if has(entry.op.as_bytes()) {
                plan.ops.insert(at);
            }
        }
    }
    (plan.ids, plan.alive, plan.first) = finder.finish();
    Ok(plan)
}

fn memchr(bytes: &[u8], wanted: &[u8]) -> bool {
    bytes.windows(wanted.len()).any(|window| window == wanted)
}
