//! What templates are given: one struct per template, and what all of them share.

mod costs;
mod diff;
mod history;
mod pages;
mod playback;
mod visits;

use std::borrow::Cow;

use rocket::http::{ContentType, Status};
use rocket::request::{FromRequest, Outcome, Request};
use rocket::response::{self, Responder, Response};
use rocket_dyn_templates::Template;
use serde::Serialize;

pub use self::costs::{CostsView, size};
pub use self::diff::{DiffForm, DiffView, Range, Shown};
pub use self::history::{HistoryView, PersonView, RecentFilter, RecentView};
pub use self::pages::{DeletedRow, PageRow, PagesView};
pub use self::playback::{BlameView, PlaybackView};
pub use self::visits::{NewsView, WatchView, WatchingView};
use crate::assets::Assets;
use crate::config::Config;
use crate::error::Error;
use crate::headers::StyleNonce;
use crate::identity::{self, Guest};
use crate::live::document::Conflict;
use crate::live::pages::Erased;
use crate::live::{Live, PageInfo};
use crate::logging::RequestId;
use crate::markdown::Rendered;
use crate::page::{PageId, PagePath, Revision};
use crate::time;

/// What every page shows: `site` in templates.
///
/// As a request guard it also takes the cursor: the head of the log before anything is read. A page
/// with blocks replaces it by the cursor that belongs to them exactly, since a change that is applied
/// to blocks that have it already may go unnoticed.
#[derive(Clone, Debug, Serialize)]
pub struct Site {
    /// The wiki's name.
    pub name: String,
    /// Halley's version.
    pub version: &'static str,
    /// Where static files begin: `/static/<hash>`.
    #[serde(rename = "static")]
    pub static_base: String,
    /// Who is asking.
    pub you: Guest,
    /// The head of the event log before the page's data was read.
    pub cursor: String,
    /// Nonce for the editor's style element; only on the edit page.
    pub csp_nonce: Option<String>,
    /// A sentence about the store: it was repaired, or nothing can be saved now.
    pub notice: Option<String>,
    /// Path of this request, to come back to.
    pub path: String,
}

impl Site {
    /// Gathers it, and has the guest's cookie set with this answer.
    ///
    /// # Errors
    /// When a stage of the application is missing, which is a bug.
    pub fn of(request: &Request<'_>) -> Option<Self> {
        let rocket = request.rocket();
        let live = rocket.state::<Live>()?;
        let cursor = live.cursor();
        identity::remember(request);
        let health = live.health();
        Some(Self {
            name: rocket.state::<Config>()?.site_name.clone(),
            version: env!("CARGO_PKG_VERSION"),
            static_base: rocket.state::<Assets>()?.base(),
            you: Guest::of(request).clone(),
            cursor,
            csp_nonce: None,
            notice: health.read_only.or(health.recovered),
            path: request.uri().path().to_string(),
        })
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for Site {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        match Self::of(request) {
            Some(site) => Outcome::Success(site),
            None => Outcome::Error((Status::InternalServerError, ())),
        }
    }
}

/// [`Site`] for the edit page: with a nonce for styles, which its policy then allows.
#[derive(Clone, Debug)]
pub struct EditSite(pub Site);

#[rocket::async_trait]
impl<'r> FromRequest<'r> for EditSite {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, ()> {
        Site::from_request(request).await.map(|mut site| {
            site.csp_nonce = Some(StyleNonce::of(request).to_owned());
            Self(site)
        })
    }
}

/// A page to be rendered from a template.
pub struct Html {
    status: Status,
    template: Template,
}

impl Html {
    /// Renders `view` inside its template, with status 200.
    #[must_use]
    pub fn new<V: View>(site: &Site, view: &V) -> Self {
        let context = Context { site, title: view.title(), view };
        Self { status: Status::Ok, template: Template::render(V::TEMPLATE, context) }
    }

    /// The same with another status.
    #[must_use]
    pub fn with_status(mut self, status: Status) -> Self {
        self.status = status;
        self
    }
}

impl<'r> Responder<'r, 'static> for Html {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = self.template.respond_to(request)?;
        response.set_header(ContentType::HTML);
        response.set_status(self.status);
        Ok(response)
    }
}

#[derive(Serialize)]
struct Context<'a, V> {
    site: &'a Site,
    title: Cow<'a, str>,
    #[serde(flatten)]
    view: &'a V,
}

/// What one template is given beside `site` and `title`.
pub trait View: Serialize {
    /// File name of the template.
    const TEMPLATE: &'static str;

    /// For the title bar, without the wiki's name.
    fn title(&self) -> Cow<'_, str>;
}

/// A page in most templates.
#[derive(Clone, Debug, Serialize)]
pub struct PageView {
    /// Its number.
    pub id: PageId,
    /// Its path, for people.
    pub path: String,
    /// Its address: `/wiki/...`, and `/` for the front page.
    pub url: String,
    /// The last level of its path.
    pub name: String,
    /// Its revision.
    pub rev: Revision,
    /// Its ancestors from the top down, and itself.
    pub crumbs: Vec<Crumb>,
    /// Its first heading, or the last level of its path.
    pub title: String,
    /// When and by whom it was deleted, if it is.
    pub deleted: Option<DeletionView>,
    /// What was erased from it, the newest first.
    pub erased: Vec<ErasedView>,
}

/// That a page was deleted.
#[derive(Clone, Debug, Serialize)]
pub struct DeletionView {
    /// Who did it, if that is known.
    pub by: Option<PersonView>,
    /// When, in words.
    pub ago: String,
    /// The same as RFC 3339.
    pub iso: String,
}

/// A mark of something that was erased.
#[derive(Clone, Debug, Serialize)]
pub struct ErasedView {
    /// How much, such as `14 characters were erased`.
    pub much: String,
    /// On which day.
    pub day: String,
    /// When, as RFC 3339.
    pub iso: String,
    /// Who says to have done it.
    pub by: String,
    /// Why, without a full stop.
    pub why: String,
    /// The first revision that had some of it.
    pub first: Revision,
    /// The revision with which it was erased.
    pub rev: Revision,
}

/// Marks that are given to templates, one more than they show; most pages have none.
const MAX_ERASED: usize = 21;

impl ErasedView {
    fn new(mark: &Erased) -> Self {
        let much = match mark.units {
            0 => "Something was erased".to_owned(),
            1 => "1 character was erased".to_owned(),
            units => format!("{units} characters were erased"),
        };
        Self {
            much,
            day: time::day(mark.at_ms),
            iso: time::iso(mark.at_ms),
            by: mark.by.clone(),
            why: mark.why.trim_end_matches('.').to_owned(),
            first: mark.first,
            rev: mark.rev,
        }
    }
}

/// One level of a page's path.
#[derive(Clone, Debug, Serialize)]
pub struct Crumb {
    /// Its name.
    pub name: String,
    /// Its address.
    pub url: String,
}

impl PageView {
    /// From what is known of the page, at a revision.
    #[must_use]
    pub fn new(page: &PageInfo, rev: Revision) -> Self {
        let mut crumbs = Vec::new();
        let mut path = String::new();
        for level in page.path.levels() {
            if !path.is_empty() {
                path.push('/');
            }
            path.push_str(level);
            let url = path.parse::<PagePath>().map_or_else(|_| String::new(), |p| wiki_url(&p));
            crumbs.push(Crumb { name: level.to_owned(), url });
        }
        Self {
            id: page.id,
            path: page.path.to_string(),
            url: wiki_url(&page.path),
            name: page.path.name().to_owned(),
            rev,
            crumbs,
            title: page.title.clone().unwrap_or_else(|| page.path.name().to_owned()),
            deleted: page.deleted_ms.map(|at_ms| DeletionView {
                by: page.deleted_by.as_ref().map(PersonView::new),
                ago: time::ago(at_ms, time::now_ms()),
                iso: time::iso(at_ms),
            }),
            erased: page.erased.iter().rev().take(MAX_ERASED).map(ErasedView::new).collect(),
        }
    }
}

/// The address of a page.
#[must_use]
pub fn wiki_url(path: &PagePath) -> String {
    format!("/wiki/{}", path.to_url())
}

/// One rendered block.
#[derive(Clone, Debug, Serialize)]
pub struct BlockView {
    hash: String,
    lines: usize,
    html: String,
}

/// The blocks of a rendered page.
#[must_use]
pub fn blocks(rendered: &Rendered) -> Vec<BlockView> {
    let view = |block: &crate::markdown::Block| BlockView {
        hash: block.hash.clone(),
        lines: block.lines,
        html: block.html.to_string(),
    };
    rendered.blocks.iter().map(view).collect()
}

/// `view`: a page to read.
#[derive(Debug, Serialize)]
pub struct ReadView {
    /// The page.
    pub page: PageView,
    /// Its blocks.
    pub blocks: Vec<BlockView>,
    /// True when there are none.
    pub empty: bool,
    /// How many are on the page now.
    pub people: usize,
    /// When it was last changed, in words.
    pub updated: String,
    /// The same as RFC 3339.
    pub updated_iso: String,
    /// The revision shown, when it is not the newest or the page is deleted.
    pub rev_shown: Option<Revision>,
    /// What is new to whoever reads.
    pub news: Option<NewsView>,
    /// How they watch it.
    pub watch: WatchView,
    /// True when the page is deleted and whoever asks may bring it back.
    pub can_restore: bool,
}

/// `edit`: a page to write.
#[derive(Debug, Serialize)]
pub struct EditView {
    /// The page.
    pub page: PageView,
    /// Its text.
    pub text: String,
    /// The revision of that text.
    pub base: Revision,
    /// Its blocks, for the preview.
    pub blocks: Vec<BlockView>,
    /// Why the form is shown again, as a sentence.
    pub conflict_note: Option<String>,
}

/// `merged`: what became of a form that met other edits.
#[derive(Debug, Serialize)]
pub struct MergedView {
    /// The page.
    pub page: PageView,
    /// Places where both sides changed the same words.
    pub conflicts: Vec<Conflict>,
    /// True when there are none.
    pub clean: bool,
}

/// `missing`: a page that is not there.
#[derive(Debug, Serialize)]
pub struct MissingView {
    /// Its path.
    pub path: String,
    /// Its address.
    pub url: String,
    /// True when whoever asks may make it.
    pub can_create: bool,
    /// Why the path cannot be a page, as a sentence.
    pub error: Option<String>,
}

/// `deleted`: a page that was deleted.
#[derive(Debug, Serialize)]
pub struct DeletedView {
    /// The page.
    pub page: PageView,
    /// Where to post to for having it back, if whoever asks may.
    pub restore_url: Option<String>,
    /// True when whoever asks may see what it was.
    pub can_read: bool,
}

/// `new`: a form that asks for a page's name.
#[derive(Debug, Default, Serialize)]
pub struct NewView {
    /// What to fill in.
    pub path: String,
    /// Why the name cannot be used, as a sentence.
    pub error: Option<String>,
}

/// `delete`: asks whether it is meant.
#[derive(Debug, Serialize)]
pub struct DeleteView {
    /// The page.
    pub page: PageView,
}

/// `name`: a form that asks for your name.
#[derive(Debug, Serialize)]
pub struct NameView {
    /// Who is asking.
    pub you: Guest,
    /// Where to go back to.
    pub back: String,
    /// Why the name cannot be used, as a sentence.
    pub error: Option<String>,
}

/// `lab`: the laboratory.
#[derive(Debug, Serialize)]
pub struct LabView {
    /// The page that is watched; `None`: a text of the laboratory's own.
    pub page: Option<PageView>,
    /// True when whoever asks may write it.
    pub can_write: bool,
    /// How long a run lasts.
    pub minutes: u64,
}

/// `connection`: what the network does, and what to tell a proxy.
#[derive(Debug, Serialize)]
pub struct ConnectionView {
    /// One per proxy, in the order shown.
    pub recipes: Vec<RecipeView>,
    /// True when the name in them is not this wiki's.
    pub is_example: bool,
}

/// The lines for one proxy.
#[derive(Debug, Serialize)]
pub struct RecipeView {
    /// Part of element ids.
    pub id: &'static str,
    /// What people call the proxy.
    pub name: &'static str,
    /// What the file is called in `docs/proxies`.
    pub file: &'static str,
    /// The lines.
    pub text: String,
}

/// `error`: something was not done.
#[derive(Debug, Serialize)]
pub struct ErrorView {
    /// Status code.
    pub status: u16,
    /// Headline.
    pub heading: &'static str,
    /// The sentence.
    pub message: String,
    /// What to do now.
    pub hint: Option<&'static str>,
    /// To find the request in the log.
    pub request_id: String,
}

macro_rules! views {
    ($($view:ty = $template:literal, |$self:ident| $title:expr;)+) => {
        $(impl View for $view {
            const TEMPLATE: &'static str = $template;

            fn title(&self) -> Cow<'_, str> {
                let $self = self;
                Cow::from($title)
            }
        })+
    };
}

views! {
    ReadView = "view.html.j2", |v| v.page.title.as_str();
    EditView = "edit.html.j2", |v| v.page.title.as_str();
    MergedView = "merged.html.j2", |v| v.page.title.as_str();
    MissingView = "missing.html.j2", |v| v.path.as_str();
    DeletedView = "deleted.html.j2", |v| v.page.path.as_str();
    PagesView = "pages.html.j2", |_v| "All pages";
    RecentView = "recent.html.j2", |_v| "Recent changes";
    CostsView = "costs.html.j2", |_v| "What history takes";
    WatchingView = "watching.html.j2", |_v| "Watching";
    HistoryView = "history.html.j2", |v| format!("History of {}", v.page.title);
    DiffView = "diff.html.j2", |v| format!("Changes of {}", v.page.title);
    PlaybackView = "playback.html.j2", |v| format!("Playback of {}", v.page.title);
    BlameView = "blame.html.j2", |v| format!("Authors of {}", v.page.title);
    NewView = "new.html.j2", |_v| "New page";
    DeleteView = "delete.html.j2", |v| format!("Delete {}", v.page.path);
    NameView = "name.html.j2", |_v| "Your name";
    LabView = "lab.html.j2", |_v| "Laboratory";
    ConnectionView = "connection.html.j2", |_v| "Connection";
    ErrorView = "error.html.j2", |v| v.heading;
}

/// The page of an error; `None` when it cannot be rendered.
pub(crate) fn error_page(request: &Request<'_>, error: &Error) -> Option<Response<'static>> {
    let site = Site::of(request)?;
    let view = ErrorView {
        status: error.status().code,
        heading: error.kind().heading(),
        message: error.message().to_owned(),
        hint: error.kind().hint(),
        request_id: RequestId::of(request).to_string(),
    };
    Html::new(&site, &view).respond_to(request).ok()
}
