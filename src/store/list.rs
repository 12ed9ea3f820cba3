//! Reading runs of records.

use super::{Pair, Store, StoreError, Table};

impl Store {
    /// Records whose key starts with `prefix` and is after `after`, at most `limit`, in key order.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn list(
        &self,
        table: Table,
        prefix: &[u8],
        after: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let shared = &self.inner.shared;
        let read = shared.kv()?.each(table.space(), prefix, after, |key, value| {
            found.push((key, value));
            Ok(found.len() < limit)
        });
        shared.seen(read).map(|()| found)
    }

    /// Records whose key starts with `prefix` and is before `before`, at most `limit`, the greatest
    /// key first.
    ///
    /// # Errors
    /// As [`Store::get`].
    pub fn list_back(
        &self,
        table: Table,
        prefix: &[u8],
        before: Option<&[u8]>,
        limit: usize,
    ) -> Result<Vec<Pair>, StoreError> {
        let mut found = Vec::new();
        if limit == 0 {
            return Ok(found);
        }
        let shared = &self.inner.shared;
        let read = shared.kv()?.each_back(table.space(), prefix, before, |key, value| {
            found.push((key, value));
            Ok(found.len() < limit)
        });
        shared.seen(read).map(|()| found)
    }
}
