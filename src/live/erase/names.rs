//! Names of revisions and of people.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::live::history::{NO_PAGE, handle};
use crate::page::PageId;
use crate::store::{Store, StoreError, Table};

/// In place of a character; see `store::mask_update`.
const MASK: &str = "\u{2588}";
/// What somebody is called whose name was erased.
const NOBODY: &str = "Erased";

/// Records read at a time.
const STEP: usize = 1_000;

/// Where a record is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum Of {
    Pages,
    Clients,
    Revisions,
    Visits,
}

impl Of {
    pub fn table(self) -> Table {
        match self {
            Self::Pages => Table::Pages,
            Self::Clients => Table::Clients,
            Self::Revisions => Table::Revisions,
            Self::Visits => Table::Visits,
        }
    }
}

/// A record as it is to be.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Name {
    pub of: Of,
    pub key: Vec<u8>,
    /// A hash of what it was when it was found.
    was: String,
    /// `None`: it goes.
    pub value: Option<String>,
}

impl Name {
    /// Whether the record still is what it was.
    pub fn is_of(&self, value: &[u8]) -> bool {
        self.was == blake3::hash(value).to_hex().as_str()
    }
}

/// Which names.
pub(super) enum Wanted<'a> {
    /// Those with this text.
    Text(&'a str),
    /// What somebody was called, by [`handle`].
    Author(&'a str),
}

impl Wanted<'_> {
    /// What a string with the text becomes; `None` when it has none.
    fn masked(&self, said: &str) -> Option<String> {
        let Self::Text(text) = self else { return None };
        let mask = || MASK.repeat(text.encode_utf16().count());
        said.contains(text).then(|| said.replace(text, &mask()))
    }

    fn is_author(&self, login: Option<&Value>) -> bool {
        let Self::Author(author) = self else { return false };
        login.and_then(Value::as_str).is_some_and(|login| handle(login) == *author)
    }
}

/// Records with such names, by the page they belong to, that stand under no page: that one was
/// deleted or restored.
pub(super) fn of_events(
    store: &Store,
    wanted: &Wanted<'_>,
) -> Result<BTreeMap<PageId, Vec<Name>>, StoreError> {
    let mut found: BTreeMap<PageId, Vec<Name>> = BTreeMap::new();
    each(store, Of::Revisions, &NO_PAGE.to_be_bytes(), |key, value| {
        let page = key.get(16..24).and_then(|page| page.try_into().ok());
        if let (false, Some(page)) = (value.is_empty(), page) {
            let page = PageId(u64::from_be_bytes(page));
            if let Some(name) = look(page, Of::Revisions, key, value, wanted)? {
                found.entry(page).or_default().push(name);
            }
        }
        Ok(())
    })?;
    Ok(found)
}

/// Finds records of a page with such names.
pub(super) fn find(
    store: &Store,
    page: PageId,
    wanted: &Wanted<'_>,
    names: &mut Vec<Name>,
) -> Result<(), StoreError> {
    let prefix = page.0.to_be_bytes();
    for of in [Of::Pages, Of::Clients, Of::Revisions] {
        each(store, of, &prefix, |key, value| {
            names.extend(look(page, of, key, value, wanted)?);
            Ok(())
        })?;
    }
    Ok(())
}

/// What is noted of the visits of somebody, which goes as a whole.
pub(super) fn visits(store: &Store, author: &str, names: &mut Vec<Name>) -> Result<(), StoreError> {
    each(store, Of::Visits, &[], |key, value| {
        let login = key.split(|byte| *byte == 0).next().unwrap_or_default();
        if std::str::from_utf8(login).is_ok_and(|login| handle(login) == author) {
            let was = blake3::hash(value).to_hex().to_string();
            names.push(Name { of: Of::Visits, key: key.to_vec(), was, value: None });
        }
        Ok(())
    })
}

fn each(
    store: &Store,
    of: Of,
    prefix: &[u8],
    mut look: impl FnMut(&[u8], &[u8]) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut after: Option<Vec<u8>> = None;
    loop {
        let records = store.list(of.table(), prefix, after.as_deref(), STEP)?;
        for (key, value) in &records {
            look(key, value)?;
        }
        match records.last() {
            Some((key, _)) if records.len() == STEP => after = Some(key.clone()),
            _ => return Ok(()),
        }
    }
}

fn look(
    page: PageId,
    of: Of,
    key: &[u8],
    value: &[u8],
    wanted: &Wanted<'_>,
) -> Result<Option<Name>, StoreError> {
    let mut record: Value = serde_json::from_slice(value)
        .map_err(|_| StoreError::Damaged(format!("a record of page {page} cannot be read")))?;
    let is_masked = match of {
        Of::Pages => mask_page(&mut record, wanted),
        _ => mask(&mut record, wanted),
    };
    let was = || blake3::hash(value).to_hex().to_string();
    Ok(is_masked.then(|| Name {
        of,
        key: key.to_vec(),
        was: was(),
        value: Some(record.to_string()),
    }))
}

/// Masks what whoever deleted a page was called, and what was said when something was erased before;
/// whether there was something. Not the name of the page.
fn mask_page(record: &mut Value, wanted: &Wanted<'_>) -> bool {
    let is_theirs = wanted.is_author(record.get("deleted_by"));
    let mut said = Vec::new();
    if let Some(name) = record.pointer_mut("/deleted_as/0") {
        if is_theirs && name.as_str() != Some(NOBODY) {
            *name = Value::from(NOBODY);
            return true;
        }
        said.push(name);
    }
    let mut is_masked = mask_said(said, wanted);
    if let Some(marks) = record.get_mut("erased").and_then(Value::as_array_mut) {
        for mark in marks.iter_mut().filter_map(Value::as_object_mut) {
            let said = mark.iter_mut().filter(|(field, _)| ["why", "by"].contains(&field.as_str()));
            is_masked |= mask_said(said.map(|(_, said)| said).collect(), wanted);
        }
    }
    is_masked
}

fn mask_said(said: Vec<&mut Value>, wanted: &Wanted<'_>) -> bool {
    let mut is_masked = false;
    for said in said {
        if let Some(masked) = said.as_str().and_then(|said| wanted.masked(said)) {
            *said = Value::String(masked);
            is_masked = true;
        }
    }
    is_masked
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
            // A client's record says `login`, an author of a revision `id`, and what a revision is
            // called is by whoever named it.
            let is_theirs = || {
                ["login", "id", "named_by"].iter().any(|field| wanted.is_author(fields.get(*field)))
            };
            let name = fields.get("name").and_then(Value::as_str).and_then(|name| {
                wanted.masked(name).or_else(|| is_theirs().then(|| NOBODY.to_owned()))
            });
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
        let mut named = serde_json::json!({"name": "by Ben", "named_by": "g2", "authors": []});
        assert!(!mask(&mut named, &Wanted::Author(&handle("g1"))));
        assert!(mask(&mut named, &Wanted::Author(&handle("g2"))));
        assert_eq!(named["name"], "Erased");
    }

    #[test]
    fn what_a_page_says_of_people_is_masked_and_its_own_name_is_not() {
        let record = serde_json::json!({
            "path": "Ben", "deleted_by": "g2", "deleted_as": ["Ben", 3],
            "erased": [{"by": "Cid", "why": "Ben said so"}, {"by": "Ben", "why": "x"}],
        });
        let mut text = record.clone();
        assert!(mask_page(&mut text, &Wanted::Text("Ben")));
        let masked = MASK.repeat(3);
        assert_eq!((&text["path"], &text["deleted_by"]), (&record["path"], &record["deleted_by"]));
        assert_eq!(text["deleted_as"], serde_json::json!([masked, 3]));
        assert_eq!(text["erased"][0]["why"], format!("{masked} said so"));
        assert_eq!(text["erased"][1], serde_json::json!({"by": masked, "why": "x"}));
        assert!(!mask_page(&mut text, &Wanted::Text("Ben")));
        let mut author = record.clone();
        assert!(!mask_page(&mut author, &Wanted::Author(&handle("g1"))));
        assert!(mask_page(&mut author, &Wanted::Author(&handle("g2"))));
        assert_eq!(author["deleted_as"], serde_json::json!(["Erased", 3]));
        assert!(!mask_page(&mut author, &Wanted::Author(&handle("g2"))));
    }
}
