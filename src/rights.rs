//! Who may do what: one function, asked by every handler and for every replayed event.

use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::PageInfo;

/// Something that somebody wants to do. A closed list: what is not in it cannot be allowed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Action {
    /// See a page, its source, and who is there.
    Read,
    /// See what a page was: its history, its revisions and how they differ. Of a deleted page as
    /// well.
    ReadHistory,
    /// See which pages there are.
    List,
    /// Make a page that is not there.
    Create,
    /// Change a page's text.
    Write,
    /// Take a page away, so that it can be brought back.
    Delete,
    /// Bring a deleted page back.
    Restore,
}

/// Decides. `page` is what it would be done to; `None` for the wiki as a whole, or a page that
/// is not there yet.
///
/// Until accounts come everybody is a guest and may do everything to a page that is there. Of a
/// deleted page whoever could read it can see what it was, and it can be restored; for everybody
/// else it can only, by its path, be said to be deleted.
#[must_use]
pub fn may(who: &Guest, action: Action, page: Option<&PageInfo>) -> bool {
    let _ = who;
    let deleted = page.is_some_and(|page| page.deleted_ms.is_some());
    match action {
        Action::List | Action::Create => true,
        Action::Read | Action::Write | Action::Delete => !deleted,
        // Of a page that is not there nothing can be seen.
        Action::ReadHistory | Action::Restore => page.is_some(),
    }
}

/// [`may`], as an error.
///
/// # Errors
/// `forbidden`, or `page_deleted` where that is the reason.
pub fn require(who: &Guest, action: Action, page: Option<&PageInfo>) -> Result<(), Error> {
    if may(who, action, page) {
        Ok(())
    } else if page.is_some_and(|page| page.deleted_ms.is_some()) {
        Err(Kind::PageDeleted.into())
    } else {
        Err(Kind::Forbidden.into())
    }
}
