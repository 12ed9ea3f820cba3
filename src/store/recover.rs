//! Opening a data directory: what is there, what a crash left, and what can be rebuilt from what.
//!
//! The rules: nothing that was acknowledged may be missing afterwards, and a store never starts
//! empty by itself. sled may be lost entirely, as long as a checkpoint and the journal from there
//! on (or the whole journal) can be read. When that is not so, the store refuses to open. A part of
//! history that was in a pack which is gone is the one thing that it opens without; see `packs`.

mod logs;
pub(super) mod slim;

use std::collections::HashMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::applier::{Applier, Marker};
use super::checkpoint;
use super::codec;
use super::disk::{self, Disk};
use super::journal::record::Kind;
use super::journal::scan::{self, End, Passed, Segment};
use super::journal::{self, HEADER, Journal};
use super::kv::{self, space};
use super::migrate::{self, FORMAT, Format};
use super::packs::{self, Faults, Named, Packs};
use super::pages::Pages;
use super::rewrite;
use super::{Options, StoreError};
use logs::Logs;

/// Databases that were set aside; older ones are removed, since each may be as large as the wiki.
const KEPT_ASIDE: usize = 3;
const RESERVE: &str = "reserve";
/// Of several packs that cannot be used so many are named in a notice.
const NAMED_FAULTS: usize = 3;

/// Made by the server after the store: where it is alone, a store has been there before.
const KEY: &str = "secret.key";

/// What opening gives.
pub(super) struct Recovered {
    pub format: Format,
    pub journal: Journal,
    pub applier: Applier,
    pub packs: Arc<Packs>,
    /// What had to be repaired.
    pub repaired: Option<String>,
    /// The old part of the journal is damaged: a checkpoint must replace it soon.
    pub heal: bool,
    /// Position and size of the newest checkpoint.
    pub checkpointed: (u64, u64),
}

/// Why a start from sled did not work.
enum Trouble {
    /// sled's files are to blame: they can be rebuilt.
    Records(String),
    /// Nothing that this program should repair by itself.
    Refuse(StoreError),
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        match error {
            StoreError::Damaged(text) => Self::Records(text),
            other => Self::Refuse(other),
        }
    }
}

impl From<io::Error> for Trouble {
    fn from(error: io::Error) -> Self {
        Self::Refuse(error.into())
    }
}

/// Opens everything. The directory's lock is held.
pub(super) fn recover(
    dir: &Path,
    options: &Options,
    disk: &Arc<dyn Disk>,
) -> Result<Recovered, StoreError> {
    let result = attempt(dir, options, disk);
    let reserve = dir.join(RESERVE);
    match result {
        // sled cannot even be opened without some space. The reserve is there for this moment.
        Err(StoreError::Io(error)) if disk::is_full(&error) && reserve.exists() => {
            log::warn!("store: the disk is full; giving up the reserve to be able to open");
            fs::remove_file(&reserve)?;
            attempt(dir, options, disk)
        }
        Ok(recovered) => {
            keep_reserve(&reserve, options, &**disk);
            Ok(recovered)
        }
        other => other,
    }
}

/// Takes the reserve when there is plenty of space; going without is no error.
fn keep_reserve(path: &Path, options: &Options, disk: &dyn Disk) {
    let Some(dir) = path.parent() else { return };
    let sizes = disk::total_bytes(dir).and_then(|total| Ok((total, disk.free_bytes(dir)?)));
    let Ok((total, free)) = sizes else { return };
    let length = options.reserve_bytes.min(total / 64);
    if length == 0 || path.exists() || free < options.free_floor_bytes + 4 * length {
        return;
    }
    let taken = fs::File::create(path).and_then(|file| {
        rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, length)?;
        Ok(())
    });
    if let Err(error) = taken {
        log::warn!("store: no reserve could be taken: {error}");
        let _ = fs::remove_file(path);
    }
}

fn attempt(dir: &Path, options: &Options, disk: &Arc<dyn Disk>) -> Result<Recovered, StoreError> {
    let format = format(dir)?;
    let journal_dir = dir.join("journal");
    let segments =
        if journal_dir.is_dir() { scan::segments(&journal_dir, format.store)? } else { Vec::new() };
    if segments.is_empty() {
        return Err(StoreError::Damaged(format!(
            "{} has no journal files, so nobody can tell what was saved; put the data directory \
             back from a backup",
            journal_dir.display()
        )));
    }
    journal::settle(&journal_dir, &segments, &**disk)?;
    let packs = Arc::new(Packs::of(dir, format.store));
    let opening = Opening { dir, options, disk, store: format.store, segments, packs: &packs };
    let (started, repaired) = opening.start()?;
    // What it holds is proved now, so what it does not name has no use.
    packs.settle(&started.applier.kv, &started.named, started.lost)?;
    let newest = checkpoint::candidates(dir)?.into_iter().next();
    let checkpointed = newest.map_or((0, 0), |newest| (newest.position, newest.bytes));
    let (heal, damage) = match opening.check_old_part(started.marker.safe) {
        Ok(()) => (false, None),
        // The set that a rewrite has just made has no checkpoint yet.
        Err(StoreError::Damaged(_)) if dir.ends_with(rewrite::PART) => (true, None),
        Err(StoreError::Damaged(text)) => (true, Some(text)),
        Err(error) => return Err(error),
    };
    let repaired = match (repaired, damage) {
        (repaired, None) => repaired,
        (before, Some(damage)) => {
            // The advice for one who has lost something would send people to their backups.
            let what = damage.split_once("; put ").map_or(&*damage, |(what, _)| what);
            log::warn!("store: {what}; all of it is in the records, so a checkpoint is made");
            let text = "An old part of the journal was damaged. Nothing is lost: everything in it \
                        had already been kept elsewhere, and it is being replaced.";
            Some(before.map_or_else(|| text.into(), |before| format!("{before} {text}")))
        }
    };
    let journal = Journal::resume(
        &journal_dir,
        format.store,
        options.segment_bytes,
        opening.segments,
        started.end,
    )?;
    let applier = started.applier;
    Ok(Recovered { format, journal, applier, packs, repaired, heal, checkpointed })
}

/// The format of the directory; makes a new store of an empty one.
fn format(dir: &Path) -> Result<Format, StoreError> {
    if let Some(format) = migrate::read(dir)? {
        return migrate::run(dir, format);
    }
    // No format file: new, or a crash while it was being made. The format file is written last.
    let journal = dir.join("journal");
    let mut files = Vec::new();
    if journal.is_dir() {
        files = disk::files_ending(&journal, super::journal::SUFFIX)?;
    }
    let unused = files.len() <= 1 && files.iter().all(|path| is_unused(path));
    let mut left = ["sled", slim::OLD, "checkpoints", packs::DIR, RESERVE]
        .iter()
        .any(|name| dir.join(name).exists());
    for entry in fs::read_dir(dir)? {
        left |= entry?.file_name().to_string_lossy().starts_with("sled.damaged-");
    }
    if !unused || left {
        return Err(StoreError::Damaged(format!(
            "{} holds data of a wiki but no format file; put it back from a backup",
            dir.display()
        )));
    }
    if dir.join(KEY).exists() {
        return Err(StoreError::Damaged(format!(
            "{} holds the key of a wiki but none of its data; put it back from a backup, or remove \
             {KEY} to begin an empty wiki",
            dir.display()
        )));
    }
    for path in files {
        fs::remove_file(path)?;
    }
    let mut random = [0; 8];
    getrandom::fill(&mut random).map_err(|error| io::Error::other(error.to_string()))?;
    let format = Format { version: FORMAT, store: u64::from_le_bytes(random) };
    Journal::create(&journal, format.store)?;
    migrate::write(dir, format)?;
    Ok(format)
}

fn is_unused(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|meta| meta.len() <= HEADER)
}

/// What a database said before it turned out to be of no use.
#[derive(Default)]
struct Known {
    /// How far the journal reached at least.
    position: u64,
    /// The last revision of each page. Chunks of logs have checksums, so these were saved.
    heads: HashMap<u64, u64>,
}

struct Opening<'a> {
    dir: &'a Path,
    options: &'a Options,
    disk: &'a Arc<dyn Disk>,
    store: u64,
    segments: Vec<Segment>,
    packs: &'a Packs,
}

/// A state that is complete up to the end of the journal.
struct Started {
    applier: Applier,
    end: End,
    /// What sled said before the replay.
    marker: Marker,
    /// The packs that hold the rest.
    named: Named,
    /// Those of them that cannot be used.
    lost: Faults,
}

impl Opening<'_> {
    fn start(&self) -> Result<(Started, Option<String>), StoreError> {
        let records = self.dir.join("sled");
        slim::settle(self.dir, &records)?;
        let mut why = None;
        let mut unreadable = "The database could not be read and";
        let mut known = Known::default();
        if records.is_file() {
            why = Some("the database is a file and no directory".into());
        } else if records.exists() {
            match self.start_from_newest(&records, &mut known) {
                Ok(started) if started.lost.is_empty() => {
                    return Ok((self.slimmed(started, &records)?, None));
                }
                Ok(started) => {
                    if !self.can_rebuild(&known)? {
                        let notice = say_lost(&started.lost);
                        return Ok((started, Some(notice)));
                    }
                    // Its files are moved: it must have let go of them. What it named is in the
                    // checkpoint, or in the journal.
                    why = started.lost.into_values().next();
                    unreadable = "A file of old history could not be used, so the database";
                    drop(started.applier);
                }
                Err(Trouble::Refuse(error)) => return Err(error),
                Err(Trouble::Records(text)) => why = Some(text),
            }
        } else if !self.is_new()? {
            why = Some("the database is missing".into());
        }
        // Look for something to rebuild from before anything is moved.
        let source = self.source(why.as_deref().unwrap_or(""))?;
        let mut notice = None;
        if let Some(why) = why {
            self.check_source(&source, &known, &why)?;
            log::warn!("store: {why}; rebuilding the database from {}", source.describe());
            let mut text = format!("{unreadable} was rebuilt from ");
            text.push_str(if source.checkpoint.is_some() {
                "the last checkpoint and the journal."
            } else {
                "the journal."
            });
            if let Some(aside) = self.set_aside(&records)? {
                log::warn!("store: the old database is kept as {}", aside.display());
                text.push_str(&format!(
                    " The old one is kept as {}.",
                    aside.file_name().unwrap_or_default().to_string_lossy()
                ));
            }
            notice = Some(text);
        }
        self.build(&source, &records)?;
        match self.start_from_sled(&records, &mut Known::default()) {
            Ok(started) if started.lost.is_empty() => Ok((started, notice)),
            Ok(started) => {
                let lost = say_lost(&started.lost);
                let notice = notice.map_or_else(|| lost.clone(), |text| format!("{text} {lost}"));
                Ok((started, Some(notice)))
            }
            Err(Trouble::Refuse(error)) => Err(error),
            Err(Trouble::Records(text)) => Err(StoreError::Damaged(format!(
                "the database in {} was rebuilt from {} but does not hold what the journal says \
                 ({text}); put the data directory back from a backup",
                self.dir.display(),
                source.describe()
            ))),
        }
    }

    /// Starts from the database; from the one before, when it was rewritten at the last start and
    /// turns out to be of no use.
    fn start_from_newest(&self, records: &Path, known: &mut Known) -> Result<Started, Trouble> {
        match self.start_from_sled(records, known) {
            Err(Trouble::Records(text)) if self.dir.join(slim::OLD).exists() => {
                log::warn!("store: {text}; trying the database from before it was rewritten");
                slim::swap_back(self.dir, records)?;
                self.start_from_sled(records, known)
            }
            started => {
                if started.is_ok() {
                    slim::forget(self.dir);
                }
                started
            }
        }
    }

    /// The same with a database without so many holes, if it has too many.
    fn slimmed(&self, started: Started, records: &Path) -> Result<Started, StoreError> {
        let kv = &started.applier.kv;
        if !slim::is_wasteful(kv, records)? {
            return Ok(started);
        }
        match slim::rewrite(kv, self.dir, self.options, self.disk) {
            Ok(true) => {}
            Ok(false) => return Ok(started),
            Err(error) => {
                log::warn!("store: space in the database could not be given back: {error}");
                return Ok(started);
            }
        }
        let before = disk::dir_bytes(records);
        // It must let go of its files.
        drop(started);
        slim::swap(self.dir, records)?;
        match self.start_from_newest(records, &mut Known::default()) {
            Ok(started) => {
                let after = disk::dir_bytes(records);
                log::info!("store: the database was rewritten, {before} bytes became {after}");
                Ok(started)
            }
            Err(Trouble::Refuse(error)) => Err(error),
            Err(Trouble::Records(text)) => Err(StoreError::Damaged(text)),
        }
    }

    /// Whether nothing was ever written.
    fn is_new(&self) -> Result<bool, StoreError> {
        if self.segments.len() != 1 || self.segments[0].start != 0 {
            return Ok(false);
        }
        let end = scan::read(&self.segments, self.store, 0, None, |_| Ok(()))?;
        Ok(end.position == 0 && checkpoint::candidates(self.dir)?.is_empty())
    }

    fn start_from_sled(&self, path: &Path, known: &mut Known) -> Result<Started, Trouble> {
        let kv = Arc::new(kv::open(path, self.options.cache_bytes, Arc::clone(self.disk))?);
        let marker = Marker::read(&kv)?
            .ok_or_else(|| Trouble::Records("the database does not say how far it is".into()))?;
        if self.segments[0].start > marker.safe {
            return Err(Trouble::Records(format!(
                "the database is older ({}) than the journal ({})",
                marker.safe, self.segments[0].start
            )));
        }
        let Logs { pages: heads, named } = logs::load(&kv)?;
        let lost = self.packs.look(&named)?;
        let pages = Arc::new(Pages::default());
        *pages.write() = heads;
        known.position = marker.position;
        known.heads = pages.read().iter().map(|(page, state)| (*page, state.revision)).collect();
        let mut applier = Applier::new(Arc::clone(&kv), pages, marker);
        let mut trouble = None;
        let read = scan::read(&self.segments, self.store, marker.safe, None, |record| {
            apply(&mut applier, &record).inspect_err(|error| trouble = Some(error.to_string()))
        });
        let mut end = match (read, trouble) {
            (Ok(end), _) => end,
            (Err(StoreError::Damaged(_)), Some(text)) => return Err(Trouble::Records(text)),
            // The journal itself: no other database would help.
            (Err(error), _) => return Err(Trouble::Refuse(error)),
        };
        if end.position < marker.position {
            return Err(Trouble::Refuse(StoreError::Damaged(format!(
                "the journal in {} ends at position {}, but {} was reached before; put the data \
                 directory back from a backup",
                self.dir.join("journal").display(),
                end.position,
                marker.position
            ))));
        }
        // Correct also when there was nothing to read.
        end.prev = applier.prev;
        kv.sweep()?;
        if state_sum(&applier)? != applier.sum {
            return Err(Trouble::Records(
                "the database does not hold what the journal says".into(),
            ));
        }
        Ok(Started { applier, end, marker, named, lost })
    }

    /// Reads the part of the journal that a start does not need.
    fn check_old_part(&self, upto: u64) -> Result<(), StoreError> {
        let start = self.segments[0].start;
        let reaches = |candidate: &checkpoint::Candidate| candidate.position >= start;
        if start > 0 && !checkpoint::candidates(self.dir)?.iter().any(reaches) {
            return Err(StoreError::Damaged(format!(
                "the journal in {} begins at position {start}, and no checkpoint reaches to there",
                self.dir.join("journal").display()
            )));
        }
        if start >= upto {
            return Ok(());
        }
        let end = scan::read(&self.segments, self.store, start, Some(upto), |_| Ok(()))?;
        if end.position == upto {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the journal in {} cannot be read at position {}",
            self.dir.join("journal").display(),
            end.position
        )))
    }

    /// Whether there is something to rebuild from that has what this database has and needs no pack
    /// that cannot be used.
    fn can_rebuild(&self, known: &Known) -> Result<bool, StoreError> {
        let source = match self.source("") {
            Ok(source) if source.whole => source,
            Ok(_) | Err(StoreError::Damaged(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        match self.check_source(&source, known, "") {
            Ok(()) => Ok(true),
            Err(StoreError::Damaged(_)) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// What a new database can be made of. If possible, one for which all packs are there.
    fn source(&self, why: &str) -> Result<Source, StoreError> {
        let mut bad = Vec::new();
        let mut broken = None;
        for candidate in checkpoint::candidates(self.dir)? {
            let mut named = Named::new();
            let read = checkpoint::read(&candidate.path, self.store, |space, key, value| {
                packs::collect(&mut named, space, &key, &value)
            });
            match read {
                Ok(about) if about.position >= self.segments[0].start => {
                    let whole = self.packs.look(&named)?.is_empty();
                    let source = Source { checkpoint: Some((candidate.path, about)), whole };
                    if whole {
                        return Ok(source);
                    }
                    broken.get_or_insert(source);
                }
                Ok(_) => bad.push(candidate.path),
                Err(StoreError::Damaged(text)) => {
                    log::warn!("store: {text}");
                    bad.push(candidate.path);
                }
                Err(error) => return Err(error),
            }
        }
        if self.segments[0].start == 0 {
            return Ok(Source { checkpoint: None, whole: true });
        }
        if let Some(source) = broken {
            return Ok(source);
        }
        Err(StoreError::Damaged(format!(
            "the database in {} cannot be used ({why}), no checkpoint in {} can be read{}, and \
             the journal begins at position {}; put the data directory back from a backup",
            self.dir.join("sled").display(),
            self.dir.join("checkpoints").display(),
            bad.first().map_or_else(String::new, |path| format!(" (not {})", path.display())),
            self.segments[0].start
        )))
    }

    /// Refuses to rebuild from less than the old database is known to have held: then it is the
    /// journal that lost something.
    fn check_source(&self, source: &Source, known: &Known, why: &str) -> Result<(), StoreError> {
        let (heads, end) =
            checkpoint::foresee(source.checkpoint.as_ref(), self.store, &self.segments)?;
        let lost = |(page, head): &(&u64, &u64)| heads.get(page).is_none_or(|found| found < *head);
        let lost = known.heads.iter().filter(lost).count();
        if end >= known.position && lost == 0 {
            return Ok(());
        }
        Err(StoreError::Damaged(format!(
            "the journal in {} ends at position {end}, but more was saved ({lost} pages are \
             further in the database, which cannot be used alone: {why}); put the data directory \
             back from a backup, or ask for help before you remove anything",
            self.dir.join("journal").display(),
        )))
    }

    /// Makes a new database under another name and gives it the name when it is whole.
    fn build(&self, source: &Source, path: &Path) -> Result<(), StoreError> {
        let temporary = self.dir.join(slim::NEW);
        if temporary.exists() {
            fs::remove_dir_all(&temporary)?;
        }
        let kv = kv::open(&temporary, self.options.cache_bytes, Arc::clone(self.disk))?;
        let mut marker = Marker { safe: 0, position: 0, sum: 0, prev: 0 };
        if let Some((file, _)) = &source.checkpoint {
            let about = checkpoint::read(file, self.store, |space, key, value| {
                kv.put(space, &key, &value)
            })?;
            let checkpoint::About { position, sum, prev } = about;
            marker = Marker { safe: position, position, sum, prev };
        }
        marker.write(&kv)?;
        kv.barrier()?;
        drop(kv);
        Ok(disk::rename(&temporary, path)?)
    }

    fn set_aside(&self, path: &Path) -> Result<Option<PathBuf>, StoreError> {
        if !path.exists() {
            return Ok(None);
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let aside = self.dir.join(format!("sled.damaged-{now}"));
        disk::rename(path, &aside)?;
        let mut kept: Vec<PathBuf> = Vec::new();
        for entry in fs::read_dir(self.dir)? {
            let path = entry?.path();
            if path
                .file_name()
                .is_some_and(|name| name.to_string_lossy().starts_with("sled.damaged-"))
            {
                kept.push(path);
            }
        }
        kept.sort();
        for old in kept.iter().rev().skip(KEPT_ASIDE) {
            log::warn!("store: removing {}, which was set aside long ago", old.display());
            if old.is_dir() { fs::remove_dir_all(old)? } else { fs::remove_file(old)? }
        }
        Ok(Some(aside))
    }
}

struct Source {
    checkpoint: Option<(PathBuf, checkpoint::About)>,
    /// Whether all packs that it names can be used.
    whole: bool,
}

impl Source {
    fn describe(&self) -> String {
        match &self.checkpoint {
            Some((path, _)) => format!("{} and the journal", path.display()),
            None => "the whole journal".into(),
        }
    }
}

fn apply(applier: &mut Applier, record: &Passed<'_>) -> Result<(), StoreError> {
    let broken = || StoreError::Damaged("a journal record has an unknown form".into());
    match record.frame.kind {
        Kind::Append => {
            let (page, first, entries) = codec::read_append(record.body).ok_or_else(broken)?;
            applier.append(record.from, page, first, entries)?;
        }
        Kind::Change => applier.change(&codec::read_changes(record.body).ok_or_else(broken)?)?,
    }
    applier.advance(record.to, record.frame.sum, record.crc);
    applier.housekeep()
}

/// What a person must know of packs that cannot be used.
fn say_lost(lost: &Faults) -> String {
    let mut texts: Vec<_> = lost.values().take(NAMED_FAULTS).cloned().collect();
    if lost.len() > NAMED_FAULTS {
        texts.push(format!("{} more files in the same place", lost.len() - NAMED_FAULTS));
    }
    let text = format!(
        "A part of the history cannot be read until it is put back from a backup: {}. Everything \
         else is there.",
        texts.join("; ")
    );
    log::error!("store: {text}");
    text
}

/// The sum of what is really there; see [`codec::record_sum`].
fn state_sum(applier: &Applier) -> Result<u64, StoreError> {
    let mut sum = 0_u64;
    for space in space::tables() {
        applier.kv.each(space, &[], None, |key, value| {
            sum = sum.wrapping_add(codec::record_sum(space, &key, &value));
            Ok(true)
        })?;
    }
    for (page, state) in applier.pages.read().iter() {
        sum = sum.wrapping_add(codec::head_sum(*page, state.revision));
    }
    Ok(sum)
}
