//! Laboratories: pages that leave nothing behind.
//!
//! A laboratory compares the ways to follow a page, so each edit of its text must take the way of
//! every other edit: gate, journal with its sync, room, event log. Only the place is another: a
//! store of its own below the wiki's, of the same kind and on the same disk, which is made with
//! the first laboratory and removed with the last one. The wiki's journal, records and list of
//! pages never hear of it, and what a crash left is removed at the next start.

use std::collections::HashMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

use super::cursor::random_base32;
use super::room::Shared;
use super::topic::Topic;
use super::{Author, Live, LiveError, PageInfo, blocking, now_ms};
use crate::address::subscriber;
use crate::page::{PageId, PagePath, Revision};
use crate::store::{Options, Store, StoreError, rewrite};

/// Most laboratories at the same time.
pub const MAX_LABS: usize = 8;

/// Most laboratories of one login.
pub const MAX_LABS_EACH: usize = 2;

/// Most laboratories of one address other than loopback: whoever keeps no cookie is a new login
/// each time, and must not take all of them.
const MAX_LABS_PER_ADDRESS: usize = 4;

/// How long one lasts. The browser ends it a little earlier, and says so.
pub const LIFE: Duration = Duration::from_secs(11 * 60);

/// One that nobody follows and nobody writes is over after so long. Longer than the slowest
/// interval of polling that the laboratory offers.
const UNUSED: Duration = Duration::from_secs(90);

/// Numbers of their pages begin here: the wiki counts its own from 1, and a browser can still
/// count these exactly (they are below 2^53).
const FIRST_ID: u64 = 1 << 48;

/// The name of their store below the wiki's.
const DIRECTORY: &str = rewrite::LAB;

/// sled's cache: some pages of some kilobytes.
const CACHE_BYTES: u64 = 1 << 20;

/// Why there is no laboratory.
#[derive(Debug, thiserror::Error)]
pub enum LabError {
    /// A cap is reached; the text is a sentence.
    #[error("{0}")]
    TooMany(&'static str),
    /// No store can be made for it.
    #[error(transparent)]
    Live(#[from] LiveError),
}

/// The laboratories that run.
#[derive(Default)]
pub(super) struct Labs {
    /// The wiki's directory and how its store is kept; `None`: there are no laboratories.
    place: Option<(PathBuf, Options)>,
    running: Mutex<HashMap<PageId, Running>>,
    /// What their rooms share. Locked over opening and removing, so the two do not meet.
    shared: tokio::sync::Mutex<Option<Arc<Shared>>>,
}

struct Running {
    owner: String,
    /// From where it was begun.
    address: IpAddr,
    began: Instant,
    /// When somebody was last found to follow or write it, and its revision then.
    used: Instant,
    head: Revision,
    /// What its room is opened with; `None` while the store is being opened.
    shared: Option<Arc<Shared>>,
}

impl Labs {
    /// Laboratories with a store below this directory. Removes what an earlier process left there.
    pub fn below(place: Option<(PathBuf, Options)>) -> Self {
        if let Some((dir, _)) = &place {
            remove(&dir.join(DIRECTORY));
        }
        Self { place, ..Self::default() }
    }

    /// Whether a page of this number is a laboratory's, though it may be over.
    pub fn is_lab(page: PageId) -> bool {
        page.0 >= FIRST_ID
    }

    /// What the room of this page shares with others, if the page is a running laboratory's.
    pub fn shared(&self, page: PageId) -> Option<Arc<Shared>> {
        self.running().get(&page)?.shared.clone()
    }

    fn running(&self) -> MutexGuard<'_, HashMap<PageId, Running>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place, or says which cap is reached.
    fn enter(&self, owner: &str, address: IpAddr) -> Result<PageId, LabError> {
        let mut running = self.running();
        let near = running.values().filter(|lab| lab.address == address).count();
        if !address.is_loopback() && near >= MAX_LABS_PER_ADDRESS {
            return Err(LabError::TooMany(
                "Four laboratories are running where you are, and others want one, too. Each \
                 ends after ten minutes at most: please try again then.",
            ));
        }
        if running.values().filter(|lab| lab.owner == owner).count() >= MAX_LABS_EACH {
            return Err(LabError::TooMany(
                "You have two laboratories open already. Stop one of them, or close its tab.",
            ));
        }
        if running.len() >= MAX_LABS {
            return Err(LabError::TooMany(
                "Eight laboratories are running, and more would disturb each other's figures. \
                 Each ends after ten minutes at most: please try again then.",
            ));
        }
        // By the clock, so that a tab of an earlier process does not meet another page under its
        // old number.
        let mut id = PageId(FIRST_ID + now_ms());
        while running.contains_key(&id) {
            id.0 += 1;
        }
        let now = Instant::now();
        let lab = Running {
            owner: owner.to_owned(),
            address,
            began: now,
            used: now,
            head: Revision(0),
            shared: None,
        };
        running.insert(id, lab);
        Ok(id)
    }
}

impl Live {
    /// Begins a laboratory: an empty page that no list shows, for [`LIFE`] at most.
    ///
    /// # Errors
    /// [`LabError::TooMany`] with a sentence, and those of opening a store.
    pub async fn start_lab(&self, who: &Author, address: IpAddr) -> Result<PageInfo, LabError> {
        let labs = &self.inner.labs;
        let id = labs.enter(&who.id, subscriber(address))?;
        let opened = async {
            let shared = self.lab_shared().await?;
            let path = lab_path()?;
            Ok::<_, LiveError>((shared, path))
        };
        let (shared, path) = match opened.await {
            Ok(opened) => opened,
            Err(error) => {
                labs.running().remove(&id);
                return Err(error.into());
            }
        };
        let now = now_ms();
        let page = PageInfo {
            id,
            path,
            created_ms: now,
            deleted_ms: None,
            deleted_by: None,
            title: None,
            head: Revision(0),
            updated_ms: now,
            erased: Arc::default(),
        };
        if let Some(lab) = labs.running().get_mut(&id) {
            lab.shared = Some(shared);
        }
        self.pages().add_unlisted(page.clone());
        Ok(page)
    }

    /// Whether this login began that laboratory. `None`: there is none, or none any more.
    #[must_use]
    pub fn owns_lab(&self, page: PageId, login: &str) -> Option<bool> {
        self.inner.labs.running().get(&page).map(|lab| lab.owner == login)
    }

    /// How many laboratories run.
    #[must_use]
    pub fn labs(&self) -> usize {
        self.inner.labs.running().len()
    }

    /// Ends a laboratory and forgets its page; with the last one its store is removed. Ending one
    /// that has ended is no error.
    pub async fn end_lab(&self, page: PageId) {
        if self.inner.labs.running().remove(&page).is_none() {
            return;
        }
        self.pages().remove_unlisted(page);
        let room = self.rooms().remove(&page);
        if let Some(room) = room.as_deref().and_then(|cell| cell.get()) {
            room.stop();
        }
        drop(room);
        // Whoever still follows it elsewhere asks for the page, and hears that it is gone.
        self.hub().break_off(&[Topic::View(page), Topic::Doc(page), Topic::Here(page)]);
        self.close_lab_store().await;
    }

    /// Ends laboratories that nobody uses, and those whose time is over.
    pub(super) async fn tidy_labs(&self) {
        let now = Instant::now();
        let over: Vec<_> = {
            let mut running = self.inner.labs.running();
            for (id, lab) in running.iter_mut() {
                let head = self.pages().get(*id).map(|page| page.head).unwrap_or_default();
                let topics = [Topic::View(*id), Topic::Doc(*id)];
                let followed = topics.iter().any(|topic| self.hub().listeners(*topic) > 0);
                if followed || head != lab.head || self.people(*id) > 0 {
                    (lab.used, lab.head) = (now, head);
                }
            }
            let is_over = |lab: &Running| {
                now.duration_since(lab.began) > LIFE || now.duration_since(lab.used) > UNUSED
            };
            running.iter().filter(|(_, lab)| is_over(lab)).map(|(id, _)| *id).collect()
        };
        for id in over {
            self.end_lab(id).await;
        }
    }

    /// Ends all of them, at the end of the process.
    pub(super) async fn end_labs(&self) {
        let all: Vec<_> = self.inner.labs.running().keys().copied().collect();
        for id in all {
            self.end_lab(id).await;
        }
    }

    /// What rooms of laboratories share, with a store that is opened when there is none.
    async fn lab_shared(&self) -> Result<Arc<Shared>, LiveError> {
        let labs = &self.inner.labs;
        let Some((dir, options)) = &labs.place else {
            return Err(StoreError::Stopped.into());
        };
        let mut open = labs.shared.lock().await;
        if let Some(shared) = &*open {
            return Ok(Arc::clone(shared));
        }
        let dir = dir.join(DIRECTORY);
        let options = Options { cache_bytes: CACHE_BYTES, reserve_bytes: 0, ..options.clone() };
        let store = blocking(move || {
            remove(&dir);
            Store::open(&dir, options).map_err(LiveError::from)
        })
        .await?;
        let shared = Arc::new(self.inner.shared.with_store(store));
        *open = Some(Arc::clone(&shared));
        Ok(shared)
    }

    /// Removes the store when no laboratory runs.
    async fn close_lab_store(&self) {
        let labs = &self.inner.labs;
        let mut open = labs.shared.lock().await;
        if !labs.running().is_empty() {
            return;
        }
        let (Some(shared), Some((dir, _))) = (open.take(), &labs.place) else { return };
        let (store, dir) = (shared.store.clone(), dir.join(DIRECTORY));
        let closed = blocking(move || {
            if let Err(error) = store.close() {
                log::warn!("the laboratory's store did not close in order: {error}");
            }
            remove(&dir);
            Ok(())
        });
        // `blocking` has said why.
        let _ = closed.await;
    }
}

/// A name that nobody has and that can be read out.
fn lab_path() -> Result<PagePath, LiveError> {
    let name: String = random_base32::<8>().map(char::from).iter().collect();
    format!("Lab/{name}").parse().map_err(|_| LiveError::NoPage)
}

/// Removes a directory that may not be there. Going on with it there is no error: it is tried
/// again with the next laboratory and at the next start.
fn remove(dir: &Path) {
    match std::fs::remove_dir_all(dir) {
        Ok(()) => {}
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(error) => log::warn!("{}: could not be removed: {error}", dir.display()),
    }
}

#[cfg(test)]
mod tests;
