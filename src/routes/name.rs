//! `/name`: rename yourself.

use rocket::fairing::AdHoc;
use rocket::http::uri::Origin;
use rocket::request::Request;
use rocket::{Responder, State, get, post, routes};
use serde_json::json;

use super::body::FormBody;
use super::reply::{Api, Redirect};
use crate::error::{Error, Kind, accepts_json};
use crate::identity::{SigningKey, replace};
use crate::origin::WriteGuard;
use crate::views::{Html, NameView, Site};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Names", |rocket| async { rocket.mount("/", routes![ask_name, rename]) })
}

#[get("/name?<back>")]
fn ask_name(site: Site, back: Option<&str>) -> Html {
    let view = NameView { you: site.you.clone(), back: safe_back(back), error: None };
    Html::new(&site, &view)
}

#[derive(Responder)]
enum Renamed {
    Json(Api),
    Form(Html),
    Back(Redirect),
}

/// What of a request a handler cannot have as a parameter.
struct Asking<'r>(&'r Request<'r>);

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for Asking<'r> {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        rocket::request::Outcome::Success(Self(request))
    }
}

#[post("/name", data = "<body>")]
fn rename(
    _guard: WriteGuard,
    site: Site,
    request: Asking<'_>,
    _key: &State<SigningKey>,
    body: FormBody,
) -> Result<Renamed, Error> {
    let typed = body.need("name")?;
    let json = accepts_json(request.0);
    let back = safe_back(body.get("back"));
    match site.you.renamed(typed) {
        Ok(guest) => {
            replace(request.0, guest.clone());
            Ok(if json {
                Renamed::Json(Api::ok(json!({ "you": guest })))
            } else {
                Renamed::Back(Redirect::see_other(back))
            })
        }
        Err(why) if json => Err(Error::new(Kind::BadName).saying(why.to_string())),
        Err(why) => {
            let mut you = site.you.clone();
            you.name = typed.chars().take(80).collect();
            let view = NameView { you, back, error: Some(why.to_string()) };
            Ok(Renamed::Form(Html::new(&site, &view).with_status(Kind::BadName.status())))
        }
    }
}

/// An address of this wiki to go back to; the front page for anything else, so that a link here
/// cannot send anybody elsewhere.
pub(super) fn safe_back(back: Option<&str>) -> String {
    let safe = back.filter(|text| {
        text.starts_with('/')
            && !text.starts_with("//")
            && !text.contains(['\\', '\r', '\n', '\t'])
            && text.is_ascii()
            && text.len() <= 4096
            && Origin::parse(text).is_ok()
    });
    safe.unwrap_or("/").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn going_back_never_leaves_the_wiki() {
        for good in ["/", "/wiki/a%20b?x=1", "/edit/Home"] {
            assert_eq!(safe_back(Some(good)), good);
        }
        for bad in [
            "",
            "//evil.test",
            "/\\evil.test",
            "https://evil.test",
            "/a\r\nSet-Cookie: x",
            "/\t/x",
            "javascript:alert(1)",
        ] {
            assert_eq!(safe_back(Some(bad)), "/", "{bad:?}");
        }
        assert_eq!(safe_back(None), "/");
    }
}
