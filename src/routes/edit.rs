//! Writing a page: the editor's page, which is a form that works without JavaScript.

use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::{State, get, post, routes};
use similar::{Algorithm, DiffOp, capture_diff_slices};

use super::body::FormBody;
use super::read::{absent, parse_revision};
use super::reply::{Redirect, Reply};
use super::target::{Target, find};
use crate::error::{Error, Kind};
use crate::identity::Guest;
use crate::live::{Author, Live, PageInfo};
use crate::origin::WriteGuard;
use crate::page::{MAX_TEXT_BYTES, Revision};
use crate::rights::{Action, require};
use crate::views::{EditSite, EditView, Html, MergedView, PageView, blocks, wiki_url};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Writing", |rocket| async { rocket.mount("/", routes![edit_page, save_page]) })
}

#[get("/edit/<_..>")]
async fn edit_page(
    site: EditSite,
    target: Target,
    guest: Guest,
    live: &State<Live>,
) -> Result<Reply, Error> {
    let page = live.pages().find(&target.path);
    if let Some(location) = target.elsewhere("/edit/", page.as_ref()) {
        return Ok(Reply::Redirect(Redirect::canonical(location)));
    }
    let Some(page) = page.as_ref().filter(|page| page.deleted_ms.is_none()) else {
        return Ok(Reply::Html(absent(&site.0, &guest, &target.path, page.as_ref())));
    };
    require(&guest, Action::Write, Some(page))?;
    form(site, live, page, None).await.map(Reply::Html)
}

/// What a form holds that could not be saved.
struct Unsaved<'a> {
    text: &'a str,
    base: Option<Revision>,
    why: &'a Error,
}

/// The form with the page's text, or with what could not be saved and the reason.
async fn form(
    site: EditSite,
    live: &Live,
    page: &PageInfo,
    unsaved: Option<Unsaved<'_>>,
) -> Result<Html, Error> {
    let EditSite(mut site) = site;
    // Text and its revision belong together, and so do blocks, their revision and the cursor:
    // events after this cursor continue these blocks. Blocks may be a moment older than the text.
    let now = live.view(page.id).await?;
    site.cursor.clone_from(&now.cursor);
    let mut view = EditView {
        page: PageView::new(page, now.rendered_revision),
        text: now.text.to_string(),
        base: now.revision,
        blocks: blocks(&now.rendered),
        conflict_note: None,
    };
    let mut status = Status::Ok;
    if let Some(unsaved) = unsaved {
        unsaved.text.clone_into(&mut view.text);
        view.base = unsaved.base.unwrap_or(now.revision);
        view.conflict_note = Some(format!("Not saved. {}", unsaved.why.message()));
        status = unsaved.why.status();
    }
    Ok(Html::new(&site, &view).with_status(status))
}

#[post("/edit/<_..>", data = "<body>")]
async fn save_page(
    _guard: WriteGuard,
    site: EditSite,
    target: Target,
    guest: Guest,
    live: &State<Live>,
    body: FormBody,
) -> Result<Reply, Error> {
    let page = find(live, &target.path)?;
    require(&guest, Action::Write, Some(&page))?;
    let text = body.need("text")?;
    let base = body.need("base").and_then(parse_revision);
    match save(live, &page, base.as_ref().ok().copied(), text, &guest).await {
        Ok(conflicts) if conflicts.is_empty() => {
            Ok(Reply::Redirect(Redirect::see_other(wiki_url(&page.path))))
        }
        Ok(conflicts) => {
            let view =
                MergedView { page: PageView::new(&page, page.head), conflicts, clean: false };
            Ok(Reply::Html(Html::new(&site.0, &view)))
        }
        // The form again, with everything that was typed: a browser's back button may not have it.
        Err(why) if why.kind() != Kind::NoPage && why.kind() != Kind::PageDeleted => {
            let base = base.ok().filter(|base| *base <= page.head);
            form(site, live, &page, Some(Unsaved { text, base, why: &why })).await.map(Reply::Html)
        }
        Err(why) => Err(why),
    }
}

async fn save(
    live: &Live,
    page: &PageInfo,
    base: Option<Revision>,
    text: &str,
    guest: &Guest,
) -> Result<Vec<crate::live::document::Conflict>, Error> {
    let unknown = || {
        Error::new(Kind::UnknownRevision).saying(
            "The revision that this text started from is unknown here. Below is your text; \
         saving again replaces the page with it.",
        )
    };
    let base = base.ok_or_else(unknown)?;
    let old = live.text_at(page.id, base).await?.ok_or_else(unknown)?;
    let text = with_line_ends_of(&old, text);
    if text.len() > MAX_TEXT_BYTES {
        return Err(Kind::PageFull.into());
    }
    let merged = live.merge_text(page.id, base, text, &Author::from(guest)).await?;
    Ok(merged.conflicts)
}

/// The text of a form with the line ends of the text it was made from.
///
/// A browser shows every line end as LF and sends it as CRLF. So a line that is the same as
/// before keeps the end it had, byte for byte; a new one ends as most do in the old text.
pub(crate) fn with_line_ends_of(old: &str, sent: &str) -> String {
    let plain = sent.replace("\r\n", "\n").replace('\r', "\n");
    if !old.contains('\r') {
        return plain;
    }
    let old_lines = lines(old);
    let crlf = old_lines.iter().filter(|(_, end)| *end == "\r\n").count();
    let usual = if crlf * 2 > old_lines.iter().filter(|(_, end)| !end.is_empty()).count() {
        "\r\n"
    } else {
        "\n"
    };
    let new_lines = lines(&plain);
    // Compared with their ends as a browser shows them: the last line may have none.
    let compared = |lines: &[(&'_ str, &str)]| -> Vec<(String, bool)> {
        lines.iter().map(|(line, end)| ((*line).to_owned(), end.is_empty())).collect()
    };
    let (old_keys, new_keys) = (compared(&old_lines), compared(&new_lines));
    let mut text = String::with_capacity(sent.len());
    for op in capture_diff_slices(Algorithm::Myers, &old_keys, &new_keys) {
        match op {
            DiffOp::Equal { old_index, len, .. } => {
                for (line, end) in &old_lines[old_index..old_index + len] {
                    text.push_str(line);
                    text.push_str(end);
                }
            }
            DiffOp::Insert { new_index, new_len, .. }
            | DiffOp::Replace { new_index, new_len, .. } => {
                for (line, end) in &new_lines[new_index..new_index + new_len] {
                    text.push_str(line);
                    text.push_str(if end.is_empty() { "" } else { usual });
                }
            }
            DiffOp::Delete { .. } => {}
        }
    }
    text
}

/// Lines and their ends (CRLF, LF or CR; none at the end of the text).
fn lines(text: &str) -> Vec<(&str, &str)> {
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\r', '\n']) {
        let length = if rest[at..].starts_with("\r\n") { 2 } else { 1 };
        lines.push((&rest[..at], &rest[at..at + length]));
        rest = &rest[at + length..];
    }
    if !rest.is_empty() {
        lines.push((rest, ""));
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(old: &str, sent: &str, expected: &str) {
        assert_eq!(with_line_ends_of(old, sent), expected, "{old:?} {sent:?}");
    }

    #[test]
    fn a_form_does_not_change_line_ends() {
        check("", "a\r\nb\r\n", "a\nb\n");
        check("a\nb\n", "a\r\nb\r\nc", "a\nb\nc");
        check("a\r\nb\r\n", "a\r\nb\r\nc\r\n", "a\r\nb\r\nc\r\n");
        check("a\r\nb\r\nc\n", "a\r\nB\r\nc\r\n", "a\r\nB\r\nc\n");
        check("one\rtwo\n", "one\r\ntwo\r\n", "one\rtwo\n");
        check("a\r\nb", "a\r\nb\r\nc", "a\r\nb\r\nc");
        check("a\r\n", "", "");
    }

    #[test]
    fn what_a_browser_sends_back_unchanged_is_unchanged() {
        for old in ["", "\n", "a", "a\r", "\r\n\r\n", "a\r\n\nb\r\rc\n\r", "x\r\ny\nz\r\n\n"] {
            let sent = old.replace("\r\n", "\n").replace('\r', "\n").replace('\n', "\r\n");
            check(old, &sent, old);
        }
    }
}
