//! `halley erase`: see `live::erase`.

use std::fs;
use std::io::{self, Read as _};
use std::path::{Path, PathBuf};

use super::{check, count, said};
use crate::config::Config;
use crate::live::erase::{self, EraseError, MAX_TEXT_BYTES, Order, What};
use crate::live::{LiveError, Pages};
use crate::store::{Store, StoreError};

/// Of several files and pages so many are named.
const NAMED: usize = 20;
/// Bytes of a file that are looked at together.
const LOOKED: usize = 4 << 20;

/// The text on standard input, without its last line end.
///
/// # Errors
/// A sentence for whoever started it.
pub fn read_text() -> Result<String, String> {
    let mut bytes = Vec::new();
    // Two more for the line end, and one to see that there is too much.
    let most = MAX_TEXT_BYTES as u64 + 3;
    io::stdin()
        .take(most)
        .read_to_end(&mut bytes)
        .map_err(|e| format!("standard input cannot be read: {e}"))?;
    let text = String::from_utf8(bytes).map_err(|_| "the text is not UTF-8".to_owned())?;
    let text = text.strip_suffix('\n').unwrap_or(&text);
    Ok(text.strip_suffix('\r').unwrap_or(text).to_owned())
}

/// Goes on with what a crash interrupted. Blocks.
///
/// # Errors
/// A sentence for whoever started it.
pub fn settle(config: &Config) -> Result<(), String> {
    match erase::settle(&config.data, &config.store()) {
        Ok(_) => Ok(()),
        Err(error) => Err(format!(
            "something was being erased when the process ended, and it cannot be finished: {}. (To \
             go on without it, remove {}.)",
            sentence(config, &error),
            config.data.join("erasing").display()
        )),
    }
}

/// Erases, and prints what. Blocks.
///
/// # Errors
/// A sentence for whoever started it.
pub fn erase(config: &Config, order: &Order) -> Result<(), String> {
    let wrong = |error: EraseError| sentence(config, &error);
    check(config)?;
    let store = Store::open(&config.data, config.store()).map_err(|e| said(config, &e))?;
    let pages = Pages::load(store.clone()).map_err(|e| said(config, &e))?;
    let plan = erase::find(&store, &pages, order).map_err(wrong)?;
    let others = erase::holders(&store, &pages, order).map_err(wrong)?;
    store.close().map_err(|e| said(config, &e))?;
    drop(store);
    if plan.is_empty() {
        let place = match &order.page {
            Some(path) => format!("the history of {path}"),
            None => "any page's history".to_owned(),
        };
        println!("Nothing is erased: there was nothing like that in {place}.");
    } else {
        let done = erase::carry_out(&config.data, &config.store(), &plan);
        done.map_err(|error| match error {
            EraseError::Live(LiveError::Store(StoreError::Locked)) => format!(
                "{}: the wiki was started meanwhile, so nothing was erased; stop it and do it again",
                config.data.display()
            ),
            other => wrong(other),
        })?;
        for (page, units) in plan.pages().filter(|(_, units)| *units > 0) {
            let name =
                pages.get(page).map_or_else(|| page.to_string(), |page| page.path.to_string());
            println!("Erased {} of {name}.", count(units, "character"));
        }
        if plan.names() > 0 {
            println!("Masked {}.", count(plan.names() as u64, "name"));
        }
    }
    let names: Vec<_> = others.iter().take(NAMED).map(|page| page.path.to_string()).collect();
    if !names.is_empty() {
        println!("These pages have it too, in their history or their name: {}", names.join(", "));
    }
    if let What::Text(text) = &order.what {
        report(&config.data, text)?;
    }
    println!(
        "What is elsewhere stays there: older backups, browsers that had the page open, caches."
    );
    Ok(())
}

/// Looks for the bytes in all files.
fn report(dir: &Path, text: &str) -> Result<(), String> {
    let found = search(dir, text).map_err(|e| format!("the files cannot be read: {e}"))?;
    if found.is_empty() {
        println!("No file in {} has these bytes.", dir.display());
        return Ok(());
    }
    let names: Vec<_> = found.iter().take(NAMED).map(|path| path.display().to_string()).collect();
    println!("These files still have these bytes: {}", names.join(", "));
    Ok(())
}

/// Files in which a text stands as it is, in UTF-8 or UTF-16.
fn search(dir: &Path, text: &str) -> io::Result<Vec<PathBuf>> {
    let units = || text.encode_utf16();
    let wanted = [
        text.as_bytes().to_vec(),
        units().flat_map(u16::to_le_bytes).collect(),
        units().flat_map(u16::to_be_bytes).collect(),
    ];
    let mut found = Vec::new();
    let mut dirs = vec![dir.to_owned()];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(dir)? {
            let entry = entry?;
            match entry.file_type()? {
                kind if kind.is_dir() => dirs.push(entry.path()),
                kind if kind.is_file() && has(&entry.path(), &wanted)? => found.push(entry.path()),
                _ => {}
            }
        }
    }
    found.sort();
    Ok(found)
}

fn has(path: &Path, wanted: &[Vec<u8>]) -> io::Result<bool> {
    let mut file = fs::File::open(path)?;
    let longest = wanted.iter().map(Vec::len).max().unwrap_or(0);
    let (mut bytes, zeros) = (Vec::new(), vec![0; LOOKED + longest]);
    loop {
        let read = file.by_ref().take(LOOKED as u64).read_to_end(&mut bytes)?;
        // Space that was taken in advance: much, and soon compared.
        if read > 0 && zeros.get(..bytes.len()) == Some(&bytes[..]) {
            bytes.clear();
            continue;
        }
        let holds = |wanted: &Vec<u8>| bytes.windows(wanted.len()).any(|window| window == wanted);
        if wanted.iter().any(holds) {
            return Ok(true);
        }
        if read == 0 {
            return Ok(false);
        }
        // It may stand across two parts.
        bytes.drain(..bytes.len().saturating_sub(longest));
    }
}

fn sentence(config: &Config, error: &EraseError) -> String {
    match error {
        EraseError::Order(sentence) => sentence.clone(),
        EraseError::Live(LiveError::Store(StoreError::DiskFull)) => format!(
            "{}: there is too little space to write everything anew beside the old files",
            config.data.display()
        ),
        EraseError::Live(LiveError::Store(error)) => said(config, error),
        other => other.to_string(),
    }
}
