//! What is added to the new set of files: the edit that deletes, the mark, a snapshot, and the sizes
//! of revisions.

use std::io;

use super::{PagePlan, Plan};
use crate::live::LiveError;
use crate::live::history::RevisionInfo;
use crate::live::pages::{self, Erased};
use crate::live::room::{self, replay, sizes};
use crate::page::{PageId, Revision};
use crate::store::{Change, Expect, LogEntry, MAX_SNAPSHOT_BYTES, Store, StoreError, Table};

/// Who is the author of the edit that deletes.
const LOGIN: &str = "erasure";
/// Its operation id.
const OP: &str = "erase";
/// Records read and written at a time.
const STEP: usize = 64;

pub(super) fn finish(store: &Store, plan: &Plan) -> Result<(), StoreError> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    for (id, page) in &plan.pages {
        runtime.block_on(finish_page(store, plan, *id, page)).map_err(|error| match error {
            LiveError::Store(error) => error,
            other => StoreError::Io(io::Error::other(format!("page {id}: {other}"))),
        })?;
    }
    Ok(())
}

async fn finish_page(
    store: &Store,
    plan: &Plan,
    id: PageId,
    page: &PagePlan,
) -> Result<(), LiveError> {
    // From the log alone: there is no snapshot.
    let mut replayed = replay(store, id, None)?;
    // Also when nothing is left to be deleted: a new revision is what tells caches that the ones
    // before are not what they were.
    let update = page.alive.deletion();
    replayed.document.apply(&update)?;
    change(store, room::client_of(id, LOGIN, &plan.by, plan.at_ms)).await?;
    // Time does not go back within a log.
    let at_ms = store.head(id)?.map_or(plan.at_ms, |head| head.at_ms.max(plan.at_ms));
    let entry = LogEntry { at_ms, author: LOGIN.to_owned(), op: OP.to_owned(), update };
    let head = store.append(id, vec![entry]).await?;
    let state = replayed.document.diff(None)?;
    if state.len() <= MAX_SNAPSHOT_BYTES {
        store.save_snapshot(id, head, state).await?;
    }
    resize(store, id).await?;
    let mark = Erased {
        at_ms: plan.at_ms,
        by: plan.by.clone(),
        why: plan.why.clone(),
        units: page.ids.units(),
        first: page.first,
        rev: head,
    };
    change(store, pages::mark_erased(store, id, mark)?).await
}

async fn change(store: &Store, change: Change) -> Result<(), LiveError> {
    match store.change(vec![change]).await? {
        true => Ok(()),
        // Nobody else writes here.
        false => Err(StoreError::Damaged("a record is not as it was read".into()).into()),
    }
}

/// Counts the bytes of the text anew for each closed revision: what is masked takes more of them.
async fn resize(store: &Store, id: PageId) -> Result<(), LiveError> {
    let prefix = id.0.to_be_bytes();
    let mut revisions: Vec<(Vec<u8>, Vec<u8>, RevisionInfo)> = Vec::new();
    loop {
        let after = revisions.last().map(|(key, ..)| key.clone());
        let records = store.list(Table::Revisions, &prefix, after.as_deref(), STEP)?;
        let is_last = records.len() < STEP;
        for (key, value) in records {
            let revision = serde_json::from_slice(&value).map_err(|_| {
                StoreError::Damaged(format!("the record of a revision of page {id} cannot be read"))
            })?;
            revisions.push((key, value, revision));
        }
        if is_last {
            break;
        }
    }
    let at: Vec<Revision> =
        revisions.iter().flat_map(|(.., revision)| [revision.before(), revision.last]).collect();
    // Else they would have to be looked at in another order.
    if !at.is_sorted() {
        return Ok(());
    }
    let found = sizes(store, id, &at)?;
    let mut changes = Vec::new();
    for ((key, old, mut revision), sizes) in revisions.into_iter().zip(found.chunks(2)) {
        (revision.was, revision.bytes) = (sizes[0], sizes[1]);
        let value = serde_json::to_vec(&revision)
            .map_err(|_| StoreError::Damaged("a revision cannot be written".into()))?;
        let expect = Expect::Exactly(old);
        changes.push(Change { table: Table::Revisions, key, expect, value: Some(value) });
    }
    for changes in changes.chunks(STEP) {
        store.change(changes.to_vec()).await?;
    }
    Ok(())
}
