//! STUB of the live facade, kept in memory; to be replaced by the real module.
#![allow(missing_docs, clippy::unwrap_used, clippy::unused_async, reason = "stub")]

use std::sync::{Arc, Mutex};

use crate::live::document::{Conflict, DocumentError};
use crate::live::gate::Refusal;
use crate::markdown::{Block, Rendered};
use crate::page::{PageId, PagePath, Revision};
use crate::store::{Health, Store, StoreError};

#[derive(Clone, Debug)]
pub struct Author {
    pub id: String,
    pub name: String,
    pub colour: u8,
}

#[derive(Clone, Debug)]
pub struct PageInfo {
    pub id: PageId,
    pub path: PagePath,
    pub created_ms: u64,
    pub deleted_ms: Option<u64>,
    pub title: Option<String>,
    pub head: Revision,
    pub updated_ms: u64,
}

#[derive(Clone, Debug, Default)]
pub struct LiveSettings {
    pub streams_per_browser: usize,
    pub streams_per_address: usize,
    pub streams_total: usize,
}

#[derive(Debug, thiserror::Error)]
pub enum LiveError {
    #[error("no such page")]
    NoPage,
    #[error("deleted")]
    Deleted,
    #[error("exists")]
    Exists,
    #[error("unknown revision")]
    UnknownRevision,
    #[error("page full")]
    PageFull,
    #[error(transparent)]
    Refused(#[from] Refusal),
    #[error("busy")]
    Busy,
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Document(DocumentError),
}

pub struct View {
    pub cursor: String,
    pub revision: Revision,
    pub rendered: Arc<Rendered>,
    pub text: Arc<str>,
}

pub struct Merged {
    pub revision: Revision,
    pub conflicts: Vec<Conflict>,
}

struct Entry {
    info: PageInfo,
    texts: Vec<String>,
}

#[derive(Default)]
pub struct Pages(Mutex<Vec<Entry>>);

impl Pages {
    pub fn find(&self, path: &PagePath) -> Option<PageInfo> {
        let all = self.0.lock().unwrap();
        all.iter().find(|e| e.info.path.key() == path.key()).map(|e| e.info.clone())
    }
    pub fn get(&self, id: PageId) -> Option<PageInfo> {
        self.0.lock().unwrap().iter().find(|e| e.info.id == id).map(|e| e.info.clone())
    }
    pub fn list(&self) -> Vec<PageInfo> {
        let all = self.0.lock().unwrap();
        let mut list: Vec<_> =
            all.iter().filter(|e| e.info.deleted_ms.is_none()).map(|e| e.info.clone()).collect();
        list.sort_by_key(|p| p.path.key());
        list
    }
    pub fn deleted(&self) -> Vec<PageInfo> {
        let all = self.0.lock().unwrap();
        all.iter().filter(|e| e.info.deleted_ms.is_some()).map(|e| e.info.clone()).collect()
    }
}

#[derive(Clone)]
pub struct Live(Arc<(Store, Pages)>);

impl Live {
    pub fn open(store: Store, _settings: LiveSettings) -> Result<Self, LiveError> {
        Ok(Self(Arc::new((store, Pages::default()))))
    }
    pub fn pages(&self) -> &Pages {
        &self.0.1
    }
    pub async fn create(
        &self,
        path: &PagePath,
        _who: &Author,
    ) -> Result<(PageInfo, bool), LiveError> {
        if let Some(page) = self.pages().find(path) {
            return if page.deleted_ms.is_some() {
                Err(LiveError::Deleted)
            } else {
                Ok((page, false))
            };
        }
        let mut all = self.pages().0.lock().unwrap();
        let info = PageInfo {
            id: PageId(all.len() as u64 + 1),
            path: path.clone(),
            created_ms: 0,
            deleted_ms: None,
            title: None,
            head: Revision(0),
            updated_ms: 1_700_000_000_000,
        };
        all.push(Entry { info: info.clone(), texts: vec![String::new()] });
        Ok((info, true))
    }
    fn entry<T>(&self, id: PageId, f: impl FnOnce(&mut Entry) -> T) -> Result<T, LiveError> {
        let mut all = self.pages().0.lock().unwrap();
        all.iter_mut().find(|e| e.info.id == id).map(f).ok_or(LiveError::NoPage)
    }
    pub async fn delete(&self, id: PageId, _who: &Author) -> Result<(), LiveError> {
        self.entry(id, |e| e.info.deleted_ms = Some(1))
    }
    pub async fn restore(&self, id: PageId, _who: &Author) -> Result<(), LiveError> {
        self.entry(id, |e| e.info.deleted_ms = None)
    }
    pub async fn view(&self, id: PageId) -> Result<View, LiveError> {
        let (text, revision) =
            self.entry(id, |e| (e.texts.last().cloned().unwrap_or_default(), e.info.head))?;
        let rendered = Arc::new(self.render_text(&text).await);
        Ok(View { cursor: self.cursor(), revision, rendered, text: text.into() })
    }
    pub async fn text_at(&self, id: PageId, rev: Revision) -> Result<Option<Arc<str>>, LiveError> {
        self.entry(id, |e| {
            usize::try_from(rev.0).ok().and_then(|n| e.texts.get(n)).map(|t| Arc::from(t.as_str()))
        })
    }
    pub async fn render_text(&self, text: &str) -> Rendered {
        let blocks = text
            .split("\n\n")
            .filter(|p| !p.trim().is_empty())
            .map(|p| {
                let safe = p.replace('&', "&amp;").replace('<', "&lt;");
                Block {
                    hash: blake3::hash(p.as_bytes()).to_hex()[..16].to_owned(),
                    lines: p.lines().count(),
                    html: format!("<p>{safe}</p>").into(),
                }
            })
            .collect();
        let title = text.lines().find_map(|l| l.strip_prefix("# ")).map(ToOwned::to_owned);
        Rendered { title, blocks, links: Vec::new() }
    }
    pub async fn merge_text(
        &self,
        id: PageId,
        base: Revision,
        text: String,
        _who: &Author,
    ) -> Result<Merged, LiveError> {
        if text.len() > crate::page::MAX_TEXT_BYTES {
            return Err(LiveError::PageFull);
        }
        self.entry(id, |e| {
            if base > e.info.head {
                return Err(LiveError::UnknownRevision);
            }
            let now = e.texts.last().cloned().unwrap_or_default();
            let old = e.texts[usize::try_from(base.0).unwrap()].clone();
            let conflicts = if base < e.info.head && now != text {
                vec![Conflict { base: old, theirs: now.clone(), yours: text.clone() }]
            } else {
                Vec::new()
            };
            if now != text {
                e.info.head = e.info.head.next();
                e.info.title =
                    text.lines().find_map(|l| l.strip_prefix("# ")).map(ToOwned::to_owned);
                e.texts.push(text);
            }
            Ok(Merged { revision: e.info.head, conflicts })
        })?
    }
    pub fn cursor(&self) -> String {
        "stubstub.0".to_owned()
    }
    pub fn people(&self, _id: PageId) -> usize {
        0
    }
    pub fn streams(&self) -> usize {
        0
    }
    pub fn health(&self) -> Health {
        Health::default()
    }
    pub fn drain(&self) {}
    pub async fn close(&self) {
        let _ = &self.0.0;
    }
}
