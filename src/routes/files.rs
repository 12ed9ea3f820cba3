//! `/static`: files that are inside the program, kept by browsers for a year.

use std::io::Cursor;
use std::sync::Arc;

use rocket::fairing::AdHoc;
use rocket::http::Status;
use rocket::request::Request;
use rocket::response::{self, Responder, Response};
use rocket::{State, get, routes};

use super::gzip::Gzip;
use super::reply::is_known;
use crate::assets::{Asset, Assets};
use crate::error::{Error, Kind};

pub(super) fn stage() -> AdHoc {
    AdHoc::on_ignite("Static files", |rocket| async {
        rocket.mount("/", routes![show_file, show_worker, show_icon])
    })
}

/// A static file as an answer.
struct File {
    asset: Arc<Asset>,
    caching: &'static str,
    worker: bool,
    gzip: bool,
}

const IMMUTABLE: &str = "public, max-age=31536000, immutable";
const NO_CACHE: &str = "no-cache";

#[get("/static/<hash>/<_..>")]
async fn show_file(
    hash: &str,
    path: RawPath<'_>,
    accepts: Gzip,
    assets: &State<Assets>,
) -> Result<File, Error> {
    let path = path.0.split_once('/').map_or("", |(_, path)| path);
    let asset = assets.get(path).ok_or(Kind::NotFound)?;
    // A page of the version before may ask while a new one starts: it gets the file there is
    // now, but must not keep it under the old name.
    let kept = hash == assets.hash() && !assets.is_reloading();
    File::new(asset, if kept { IMMUTABLE } else { NO_CACHE }, accepts).await
}

#[get("/sw.js")]
async fn show_worker(accepts: Gzip, assets: &State<Assets>) -> Result<File, Error> {
    let asset = assets.get("js/sw.js").ok_or(Kind::NotFound)?;
    let file = File::new(asset, NO_CACHE, accepts).await?;
    Ok(File { worker: true, ..file })
}

/// Browsers ask for this whatever a page says.
#[get("/favicon.ico")]
async fn show_icon(accepts: Gzip, assets: &State<Assets>) -> Result<File, Error> {
    let names = ["img/favicon.ico", "img/favicon.svg"];
    let asset = names.iter().find_map(|name| assets.get(name)).ok_or(Kind::NotFound)?;
    File::new(asset, "public, max-age=86400", accepts).await
}

impl File {
    async fn new(asset: Arc<Asset>, caching: &'static str, accepts: Gzip) -> Result<Self, Error> {
        let mut gzip = accepts.0;
        if gzip {
            // The first copy of a large file takes tens of milliseconds of a processor.
            let copy = asset.clone();
            gzip = rocket::tokio::task::spawn_blocking(move || copy.gzip().is_some())
                .await
                .map_err(|e| Error::new(Kind::Internal).because(e))?;
        }
        Ok(Self { asset, caching, worker: false, gzip })
    }
}

impl<'r> Responder<'r, 'static> for File {
    fn respond_to(self, request: &'r Request<'_>) -> response::Result<'static> {
        let mut response = Response::build();
        response
            .raw_header("Cache-Control", self.caching)
            .raw_header("Vary", "Accept-Encoding")
            .raw_header("ETag", self.asset.etag.clone());
        if self.worker {
            response.raw_header("Service-Worker-Allowed", "/");
        }
        if is_known(request, &self.asset.etag) {
            return response.status(Status::NotModified).ok();
        }
        response.header(self.asset.content_type.clone());
        let body = Bytes { asset: self.asset, gzip: self.gzip };
        if self.gzip {
            response.raw_header("Content-Encoding", "gzip");
        }
        let length = body.as_ref().len();
        response.sized_body(length, Cursor::new(body)).ok()
    }
}

/// The bytes of a file without copying them.
struct Bytes {
    asset: Arc<Asset>,
    gzip: bool,
}

impl AsRef<[u8]> for Bytes {
    fn as_ref(&self) -> &[u8] {
        let copy = if self.gzip { self.asset.gzip() } else { None };
        copy.unwrap_or_else(|| self.asset.bytes())
    }
}

/// What stands after `/static/`, as it is in the address: names of files need no decoding.
struct RawPath<'r>(&'r str);

#[rocket::async_trait]
impl<'r> rocket::request::FromRequest<'r> for RawPath<'r> {
    type Error = ();

    async fn from_request(request: &'r Request<'_>) -> rocket::request::Outcome<Self, ()> {
        let path = request.uri().path().as_str();
        rocket::request::Outcome::Success(Self(path.strip_prefix("/static/").unwrap_or("")))
    }
}
