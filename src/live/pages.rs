//! The directory of pages: names, numbers, and what has been deleted.

use std::collections::{BTreeMap, HashMap};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

use serde::{Deserialize, Serialize};

use super::history::{PageEvent, event_change};
use super::{Author, LiveError, now_ms};
use crate::page::{PageId, PagePath, Revision};
use crate::store::{Change, Expect, Store, StoreError, Table};

/// Records read at a time while loading.
const LOAD_STEP: usize = 1_000;

/// What is known of a page without opening it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PageInfo {
    /// Its lasting number.
    pub id: PageId,
    /// Its name.
    pub path: PagePath,
    /// When it was made, milliseconds since 1970.
    pub created_ms: u64,
    /// When it was deleted, if it is.
    pub deleted_ms: Option<u64>,
    /// Who deleted it, as they were called then; only while it is deleted.
    pub deleted_by: Option<Author>,
    /// First heading, once the page has been rendered by this process.
    pub title: Option<String>,
    /// Newest revision.
    pub head: Revision,
    /// When it was last changed (or made), milliseconds since 1970.
    pub updated_ms: u64,
    /// What was erased from it, the oldest first. At most [`MAX_MARKS`](super::erase::MAX_MARKS).
    pub erased: Arc<[Erased]>,
}

/// The mark that stays when something was erased; see [`super::erase`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Erased {
    /// When, milliseconds since 1970.
    pub at_ms: u64,
    /// Who says to have done it.
    pub by: String,
    /// Why.
    pub why: String,
    /// How many UTF-16 units became black squares.
    pub units: u64,
    /// The first revision that had some of it.
    pub first: Revision,
    /// The revision with which it was erased.
    pub rev: Revision,
}

/// A page's record in the store.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct PageRecord {
    path: PagePath,
    created_ms: u64,
    created_by: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_ms: Option<u64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_by: Option<String>,
    /// What that login was called then, and its colour. Older records lack both.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    deleted_as: Option<(String, u8)>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    erased: Vec<Erased>,
}

impl PageRecord {
    fn deleted_by(&self) -> Option<Author> {
        let id = self.deleted_by.clone()?;
        let (name, colour) = self.deleted_as.clone().unwrap_or_else(|| ("Somebody".to_owned(), 0));
        Some(Author { id, name, colour })
    }
}

/// The pages of a wiki, in memory beside the store's records.
pub struct Pages {
    store: Store,
    inner: RwLock<Inner>,
    /// Held over a change of a record, so that two changes come one after the other.
    changing: tokio::sync::Mutex<()>,
    /// Counts pages that came or went, see [`Pages::turnover`].
    turnover: AtomicU64,
}

#[derive(Default)]
struct Inner {
    by_key: BTreeMap<String, PageId>,
    by_id: HashMap<PageId, PageInfo>,
    last_id: u64,
    /// Pages that have no record and are in no list: the few of [`super::labs`].
    unlisted: HashMap<PageId, PageInfo>,
}

impl Pages {
    /// Reads the directory. Blocks.
    ///
    /// # Errors
    /// When the store cannot be read, or a record is not what was written.
    pub fn load(store: Store) -> Result<Self, StoreError> {
        let mut inner = Inner::default();
        let mut after: Option<Vec<u8>> = None;
        loop {
            let records = store.list(Table::Pages, &[], after.as_deref(), LOAD_STEP)?;
            for (key, value) in &records {
                let damaged = || StoreError::Damaged("a page's record cannot be read".into());
                let id =
                    PageId(u64::from_be_bytes(key.as_slice().try_into().map_err(|_| damaged())?));
                let record: PageRecord = serde_json::from_slice(value).map_err(|_| damaged())?;
                let head = store.head(id)?;
                inner.insert(PageInfo {
                    id,
                    created_ms: record.created_ms,
                    deleted_ms: record.deleted_ms,
                    deleted_by: record.deleted_by(),
                    title: None,
                    head: head.map(|head| head.revision).unwrap_or_default(),
                    updated_ms: head.map_or(record.created_ms, |head| head.at_ms),
                    path: record.path,
                    erased: record.erased.into(),
                });
            }
            match records.last() {
                Some((key, _)) if records.len() == LOAD_STEP => after = Some(key.clone()),
                _ => break,
            }
        }
        Ok(Self {
            store,
            inner: RwLock::new(inner),
            changing: tokio::sync::Mutex::default(),
            turnover: AtomicU64::new(0),
        })
    }

    /// The page of that name in any case, deleted ones too.
    #[must_use]
    pub fn find(&self, path: &PagePath) -> Option<PageInfo> {
        let inner = self.read();
        let key = path.key();
        let listed = inner.by_key.get(&key).and_then(|id| inner.by_id.get(id));
        listed.or_else(|| inner.unlisted.values().find(|page| page.path.key() == key)).cloned()
    }

    /// Whether a page of that name is there and not deleted.
    #[must_use]
    pub fn exists(&self, path: &PagePath) -> bool {
        let inner = self.read();
        let page = inner.by_key.get(&path.key()).and_then(|id| inner.by_id.get(id));
        page.is_some_and(|page| page.deleted_ms.is_none())
    }

    /// A page by its number, deleted ones too.
    #[must_use]
    pub fn get(&self, id: PageId) -> Option<PageInfo> {
        self.read().get(id).cloned()
    }

    /// Looks at a page by its number, without a copy: each reader does so for each delivery.
    pub fn look<T>(&self, id: PageId, look: impl FnOnce(&PageInfo) -> T) -> Option<T> {
        self.read().get(id).map(look)
    }

    /// All pages that are not deleted, by name.
    #[must_use]
    pub fn list(&self) -> Vec<PageInfo> {
        let inner = self.read();
        let pages = inner.by_key.values().filter_map(|id| inner.by_id.get(id));
        pages.filter(|page| page.deleted_ms.is_none()).cloned().collect()
    }

    /// The page of a name and, with `tree`, all below it, as far as they are `wanted`, by name.
    pub(super) fn below(
        &self,
        path: &PagePath,
        tree: bool,
        wanted: impl Fn(&PageInfo) -> bool,
    ) -> Vec<PageInfo> {
        let inner = self.read();
        let key = path.key();
        let prefix = format!("{key}/");
        let own = inner.by_key.get(&key);
        let below = inner.by_key.range(prefix.clone()..).map_while(|(key, id)| {
            // The tree is in order, so those below stand side by side.
            (tree && key.starts_with(&prefix)).then_some(id)
        });
        let pages = own.into_iter().chain(below).filter_map(|id| inner.by_id.get(id));
        pages.filter(|page| wanted(page)).cloned().collect()
    }

    /// Deleted pages, the newest deletion first.
    #[must_use]
    pub fn deleted(&self) -> Vec<PageInfo> {
        let inner = self.read();
        let mut pages: Vec<_> =
            inner.by_id.values().filter(|page| page.deleted_ms.is_some()).cloned().collect();
        pages.sort_by_key(|page| std::cmp::Reverse(page.deleted_ms));
        pages
    }

    /// How often a page has come or gone since the start. Whoever asks [`Pages::exists`] and finds
    /// this unchanged afterwards knows that the answers still hold.
    pub(super) fn turnover(&self) -> u64 {
        self.turnover.load(Ordering::SeqCst)
    }

    /// How many pages there are, deleted ones included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.read().by_id.len()
    }

    /// Whether there has never been a page.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Makes a page, or finds the one of that name (false).
    ///
    /// # Errors
    /// [`LiveError::Deleted`] when a deleted page has the name; store errors.
    pub(super) async fn create(
        &self,
        path: &PagePath,
        who: &Author,
    ) -> Result<(PageInfo, bool), LiveError> {
        let _changing = self.changing.lock().await;
        if let Some(page) = self.find(path) {
            return if page.deleted_ms.is_some() {
                Err(LiveError::Deleted)
            } else {
                Ok((page, false))
            };
        }
        let now = now_ms();
        let id = PageId(self.read().last_id + 1);
        let record = PageRecord {
            path: path.clone(),
            created_ms: now,
            created_by: who.id.clone(),
            deleted_ms: None,
            deleted_by: None,
            deleted_as: None,
            erased: Vec::new(),
        };
        let made = self
            .store
            .change(vec![
                Change {
                    table: Table::Names,
                    key: path.key().into_bytes(),
                    expect: Expect::Absent,
                    value: Some(id.0.to_be_bytes().to_vec()),
                },
                change(id, Expect::Absent, &record),
            ])
            .await?;
        if !made {
            // The directory mirrors the store, so this means that they differ.
            return Err(StoreError::Damaged(
                "the directory of pages differs from the store".into(),
            )
            .into());
        }
        let page = PageInfo {
            id,
            path: path.clone(),
            created_ms: now,
            deleted_ms: None,
            deleted_by: None,
            title: None,
            head: Revision(0),
            updated_ms: now,
            erased: Arc::default(),
        };
        self.write().insert(page.clone());
        self.turnover.fetch_add(1, Ordering::SeqCst);
        Ok((page, true))
    }

    /// Marks a page as deleted or not, and notes it for the list of what changed lately. Returns the
    /// page, and whether that changed anything.
    pub(super) async fn set_deleted(
        &self,
        id: PageId,
        deleted: bool,
        who: &Author,
    ) -> Result<(PageInfo, bool), LiveError> {
        let _changing = self.changing.lock().await;
        // An unlisted page has no record: it ends with its laboratory and by nothing else.
        let mut page = self.read().by_id.get(&id).cloned().ok_or(LiveError::NoPage)?;
        if page.deleted_ms.is_some() == deleted {
            return Ok((page, false));
        }
        let old = self
            .store
            .get(Table::Pages, &id.0.to_be_bytes())?
            .ok_or_else(|| StoreError::Damaged(format!("the record of page {id} is gone")))?;
        let mut record: PageRecord = serde_json::from_slice(&old)
            .map_err(|_| StoreError::Damaged(format!("the record of page {id} cannot be read")))?;
        let now = now_ms();
        record.deleted_ms = deleted.then_some(now);
        record.deleted_by = deleted.then(|| who.id.clone());
        record.deleted_as = deleted.then(|| (who.name.clone(), who.colour));
        page.deleted_ms = record.deleted_ms;
        page.deleted_by = record.deleted_by();
        let event = if deleted { PageEvent::Deleted } else { PageEvent::Restored };
        let changes = vec![
            change(id, Expect::Exactly(old), &record),
            event_change((id, page.head), now, event, who),
        ];
        if !self.store.change(changes).await? {
            return Err(LiveError::Busy);
        }
        if let Some(known) = self.write().by_id.get_mut(&id) {
            known.deleted_ms = page.deleted_ms;
            known.deleted_by.clone_from(&page.deleted_by);
        }
        self.turnover.fetch_add(1, Ordering::SeqCst);
        Ok((page, true))
    }

    /// Adds a page that has no record and is in no list; nothing of it outlives the process.
    pub(super) fn add_unlisted(&self, page: PageInfo) {
        self.write().unlisted.insert(page.id, page);
    }

    /// Forgets such a page.
    pub(super) fn remove_unlisted(&self, id: PageId) {
        self.write().unlisted.remove(&id);
    }

    /// Notes that a page was edited.
    pub(super) fn edited(&self, id: PageId, head: Revision, at_ms: u64) {
        if let Some(page) = self.write().get_mut(id) {
            page.head = head;
            page.updated_ms = at_ms;
        }
    }

    /// Notes a page's title.
    pub(super) fn titled(&self, id: PageId, title: Option<&str>) {
        if let Some(page) = self.write().get_mut(id)
            && page.title.as_deref() != title
        {
            page.title = title.map(str::to_owned);
        }
    }

    fn read(&self) -> RwLockReadGuard<'_, Inner> {
        self.inner.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self) -> RwLockWriteGuard<'_, Inner> {
        self.inner.write().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    fn get(&self, id: PageId) -> Option<&PageInfo> {
        self.by_id.get(&id).or_else(|| self.unlisted.get(&id))
    }

    fn get_mut(&mut self, id: PageId) -> Option<&mut PageInfo> {
        self.by_id.get_mut(&id).or_else(|| self.unlisted.get_mut(&id))
    }

    fn insert(&mut self, page: PageInfo) {
        self.last_id = self.last_id.max(page.id.0);
        self.by_key.insert(page.path.key(), page.id);
        self.by_id.insert(page.id, page);
    }
}

/// The change that adds a mark to a page's record. Blocks.
pub(super) fn mark_erased(store: &Store, id: PageId, mark: Erased) -> Result<Change, StoreError> {
    let old = store
        .get(Table::Pages, &id.0.to_be_bytes())?
        .ok_or_else(|| StoreError::Damaged(format!("the record of page {id} is gone")))?;
    let mut record: PageRecord = serde_json::from_slice(&old)
        .map_err(|_| StoreError::Damaged(format!("the record of page {id} cannot be read")))?;
    record.erased.push(mark);
    Ok(change(id, Expect::Exactly(old), &record))
}

fn change(id: PageId, expect: Expect, record: &PageRecord) -> Change {
    Change {
        table: Table::Pages,
        key: id.0.to_be_bytes().to_vec(),
        expect,
        // A plain struct of strings and numbers: serialising it cannot fail.
        value: Some(serde_json::to_vec(record).unwrap_or_default()),
    }
}
