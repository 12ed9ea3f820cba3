//! Names of revisions and of people.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::live::history::handle;
use crate::page::PageId;
use crate::store::{Store, StoreError, Table};

/// In place of a character; see `store::mask_update`.
const MASK: &str = "\u{2588}";
/// What somebody is called whose name was erased.
const NOBODY: &str = "Erased";

/// Records read at a time.
const STEP: usize = 1_000;

/// A record as it is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Name {
    /// Of revisions, else of client ids.
    of_revision: bool,
    pub key: Vec<u8>,
    pub value: String,
}

impl Name {
    pub fn table(&self) -> Table {
        if self.of_revision { Table::Revisions } else { Table::Clients }
    }
}

/// Which names.
pub(super) enum Wanted<'a> {
    /// Those with this text.
    Text(&'a str),
    /// What somebody was called, by [`handle`].
    Author(&'a str),
}

/// Finds records of a page with such names.
pub(super) fn find(
    store: &Store,
    page: PageId,
    wanted: &Wanted<'_>,
    names: &mut Vec<Name>,
) -> Result<(), StoreError> {
    for table in [Table::Clients, Table::Revisions] {
        let mut after: Option<Vec<u8>> = None;
        loop {
            let records = store.list(table, &page.0.to_be_bytes(), after.as_deref(), STEP)?;
            for (key, value) in &records {
                let mut value: Value = serde_json::from_slice(value).map_err(|_| {
                    StoreError::Damaged(format!("a record of page {page} cannot be read"))
                })?;
                if mask(&mut value, wanted) {
                    let of_revision = table == Table::Revisions;
                    names.push(Name { of_revision, key: key.clone(), value: value.to_string() });
                }
            }
            match records.last() {
                Some((key, _)) if records.len() == STEP => after = Some(key.clone()),
                _ => break,
            }
        }
    }
    Ok(())
}

/// Masks what is called `name` here and below; whether there was something.
fn mask(value: &mut Value, wanted: &Wanted<'_>) -> bool {
    match value {
        Value::Array(values) => {
            values.iter_mut().map(|value| mask(value, wanted)).fold(false, |a, b| a | b)
        }
        Value::Object(fields) => {
            let mut masked = fields
                .values_mut()
                .filter(|value| !value.is_string())
                .map(|value| mask(value, wanted))
                .fold(false, |a, b| a | b);
            let is_theirs = |author: &str| {
                // A client's record says `login`, an author of a revision `id`.
                ["login", "id"].iter().any(|field| {
                    fields.get(*field).and_then(Value::as_str).map(handle).as_deref()
                        == Some(author)
                })
            };
            let name = match wanted {
                Wanted::Text(text) => {
                    let name = fields.get("name").and_then(Value::as_str);
                    name.filter(|name| name.contains(text))
                        .map(|name| name.replace(text, &MASK.repeat(text.encode_utf16().count())))
                }
                Wanted::Author(author) => is_theirs(author).then(|| NOBODY.to_owned()),
            };
            if let Some(name) = name {
                masked |= fields.get("name").and_then(Value::as_str) != Some(&name);
                fields.insert("name".to_owned(), Value::String(name));
            }
            masked
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_masked_and_nothing_else() {
        let record = serde_json::json!({
            "first": 3, "name": "the s3cret one", "named_by": "s3cret",
            "authors": [{"id": "g1", "name": "Ann s3cret"}, {"id": "g2", "name": "Ben"}],
        });
        let mut text = record.clone();
        assert!(mask(&mut text, &Wanted::Text("s3cret")));
        assert_eq!(text["name"], "the \u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588} one");
        assert_eq!(
            text["authors"][0]["name"],
            "Ann \u{2588}\u{2588}\u{2588}\u{2588}\u{2588}\u{2588}"
        );
        assert_eq!(
            (&text["named_by"], &text["authors"][1]),
            (&record["named_by"], &record["authors"][1])
        );
        assert!(!mask(&mut text, &Wanted::Text("s3cret")), "nothing is left");
        let mut author = record.clone();
        assert!(mask(&mut author, &Wanted::Author(&handle("g2"))));
        assert_eq!(author["authors"][1], serde_json::json!({"id": "g2", "name": "Erased"}));
        assert_eq!(author["authors"][0], record["authors"][0]);
        assert!(!mask(&mut author, &Wanted::Author(&handle("g2"))));
    }
}
