//! `halley history`, `halley compact` and `halley erase`: what history costs on disk, packing it now,
//! and the only way to change it. For a wiki that is not running; one that runs packs by itself.

pub mod erase;

use crate::config::Config;
use crate::live::Pages;
use crate::page::PageId;
use crate::store::{Costs, PageCost, Shrunk, Store, StoreError};
use crate::time;
use crate::views::size;

/// Prints what the history of each page costs, the most expensive `limit` pages, and of all together.
/// Blocks.
///
/// # Errors
/// A sentence for whoever started it.
pub fn history(config: &Config, limit: usize) -> Result<(), String> {
    check(config)?;
    let said = |e: StoreError| said(config, &e);
    let store = Store::open(&config.data, config.store()).map_err(said)?;
    let costs = store.costs().map_err(said)?;
    let pages = Pages::load(store.clone()).map_err(said)?;
    let name = |id: PageId| match pages.get(id) {
        Some(page) if page.deleted_ms.is_some() => format!("{} (deleted)", page.path),
        Some(page) => page.path.to_string(),
        None => format!("page {id}"),
    };
    print!("{}", table(&costs, limit, name));
    store.close().map_err(said)
}

/// Packs everything that is old enough, makes a checkpoint without it, and prints what that saved.
/// Blocks.
///
/// # Errors
/// A sentence for whoever started it.
pub fn compact(config: &Config) -> Result<(), String> {
    check(config)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|e| e.to_string())?;
    let work = Store::shrink(&config.data, config.store(), time::now_ms());
    let Shrunk { done, before, after } = runtime.block_on(work).map_err(|e| said(config, &e))?;
    if done.entries == 0 {
        println!("Nothing had to be packed: only edits older than an hour are.");
    } else {
        println!(
            "{} edits of {} took {}, and take {} now.",
            done.entries,
            count(done.pages, "page"),
            size(done.before_bytes),
            size(done.after_bytes)
        );
    }
    println!("All files: {} before, {} now.", size(before.disk_bytes()), size(after.disk_bytes()));
    Ok(())
}

/// A place without a wiki must not get one. What a crash interrupted comes first.
fn check(config: &Config) -> Result<(), String> {
    if !config.data.join("format").exists() {
        return Err(format!("{} holds no wiki", config.data.display()));
    }
    erase::settle(config)
}

fn said(config: &Config, error: &StoreError) -> String {
    let place = config.data.display();
    match error {
        StoreError::Locked => format!("{place}: the wiki is running; stop it first"),
        other => format!("{place}: {other}"),
    }
}

/// No page has this number.
const ALL: PageId = PageId(0);

/// One line for each page, and the sums.
fn table(costs: &Costs, limit: usize, name: impl Fn(PageId) -> String) -> String {
    let mut text = String::from("     edits       bytes  per edit  packed       saved  page\n");
    let mut all = PageCost::none(ALL);
    for (at, cost) in costs.pages.iter().enumerate() {
        if at < limit {
            text.push_str(&format!("{}  {}\n", line(cost), name(cost.page)));
        }
        all.add(cost);
    }
    if costs.pages.len() > limit {
        text.push_str(&format!("and {}\n", count((costs.pages.len() - limit) as u64, "more page")));
    }
    text.push_str(&format!("{}  {}\n", line(&all), count(costs.pages.len() as u64, "page")));
    let files = &costs.files;
    text.push_str(&format!(
        "On disk: database {}, packs {}, checkpoint {}, journal {}.\n",
        size(files.record_bytes),
        size(files.pack_bytes),
        size(files.checkpoint_bytes),
        size(files.journal_bytes)
    ));
    text
}

fn line(cost: &PageCost) -> String {
    let edits = cost.edits.max(1) as f64;
    format!(
        "{:>10} {:>11} {:>9.1} {:>5.0} % {:>11}",
        cost.edits,
        cost.bytes(),
        cost.bytes() as f64 / edits,
        cost.packed_edits as f64 * 100.0 / edits,
        cost.saved_bytes()
    )
}

fn count(number: u64, what: &str) -> String {
    format!("{number} {what}{}", if number == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Stats;

    #[test]
    fn the_table_has_a_line_for_each_page_and_the_sums() {
        let cost = |page: u64, edits: u64| PageCost {
            page: PageId(page),
            edits,
            packed_edits: edits / 2,
            packed_bytes: edits * 4,
            unpacked_bytes: edits * 44,
            stored_bytes: edits * 6,
            recent_bytes: 0,
            snapshot_bytes: 500,
        };
        let files = Stats { pack_bytes: 3 << 20, ..Stats::default() };
        let pages = vec![cost(3, 1_000), cost(4, 100), cost(5, 0)];
        let costs = Costs { pages, files, last: None };
        let text = table(&costs, 2, |id| format!("Page/{id}"));
        let lines: Vec<_> = text.lines().collect();
        assert_eq!(lines.len(), 6, "{text}");
        assert!(lines[1].ends_with("Page/3") && lines[1].contains("10500"), "{text}");
        assert!(lines[1].contains("10.5") && lines[1].contains("50 %"), "{text}");
        assert!(lines[1].contains(" 40000 "), "{text}");
        assert_eq!(lines[3], "and 1 more page");
        assert!(lines[4].ends_with("3 pages") && lines[4].contains("12500"), "{text}");
        assert!(lines[5].contains("packs 3.0 MiB"), "{text}");
    }
}
