//! The front page of a new wiki.

use crate::live::{Author, Live, LiveError};
use crate::page::{PagePath, Revision};
use crate::routes::FRONT_PAGE;

const TEXT: &str = include_str!("welcome.md");

/// Writes the welcome into a store that has no pages and never had. Returns whether it did.
///
/// # Errors
/// As writing any page; also when the path of the front page is not one, which is a bug.
pub async fn seed(live: &Live) -> Result<bool, LiveError> {
    // A deleted page is still there, so an emptied wiki stays empty.
    if !live.pages().list().is_empty() || !live.pages().deleted().is_empty() {
        return Ok(false);
    }
    let Ok(path) = FRONT_PAGE.parse::<PagePath>() else { return Ok(false) };
    let halley = Author { id: "halley".to_owned(), name: "Halley".to_owned(), colour: 0 };
    let (page, made) = live.create(&path, &halley).await?;
    if made {
        live.merge_text(page.id, Revision(0), TEXT.to_owned(), &halley).await?;
    }
    Ok(made)
}
