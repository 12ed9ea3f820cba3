//! Log lines a person can use: one per request, none per live poll, no secrets.

use std::fmt;
use std::io::Write;
use std::time::Instant;

use env_logger::fmt::Formatter;
use rocket::fairing::{Fairing, Info, Kind};
use rocket::request::{FromRequest, Outcome};
use rocket::{Data, Request, Response};

use crate::random::Random;

/// Directives when `HALLEY_LOG` is not set. Rocket tells several lines per request; the access
/// line below says what matters of them.
const DEFAULT: &str = "warn,halley=info,rocket=off,hyper=off,rocket_dyn_templates=error";

/// Starts the log on standard error. `HALLEY_LOG` takes env_logger's directives, such as `debug`
/// or `halley=debug,rocket=info`.
pub fn start() {
    let env = env_logger::Env::new().filter_or("HALLEY_LOG", DEFAULT);
    // A logger that is there already (a test's) is as good.
    let _ = env_logger::Builder::new()
        // On `debug` both would tell every header, cookies and the door's secret among them; who
        // wants that has to name them.
        .filter_module("rocket", log::LevelFilter::Off)
        .filter_module("hyper", log::LevelFilter::Off)
        .parse_env(env)
        .format(write_line)
        .try_init();
}

fn write_line(out: &mut Formatter, record: &log::Record<'_>) -> std::io::Result<()> {
    // What Rocket's macros say from inside our handlers ("guard failed") ends in an underscore;
    // the error itself has been logged by whoever knows more.
    if record.target().ends_with('_') && record.target().starts_with("halley") {
        return Ok(());
    }
    writeln!(out, "{} {:<5} {}", out.timestamp_millis(), record.level(), record.args())
}

/// The number of a request, in its log line, its answer's `X-Request-Id` and on error pages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestId(String);

impl RequestId {
    /// The id of this request: 12 characters, made at first asking.
    pub fn of<'r>(request: &'r Request<'_>) -> &'r Self {
        request.local_cache(|| match request.rocket().state::<Random>() {
            Some(random) => Self::fresh(random),
            None => Self("-".to_owned()),
        })
    }

    /// A new one.
    pub fn fresh(random: &Random) -> Self {
        Self(random.base32(12))
    }
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[rocket::async_trait]
impl<'r> FromRequest<'r> for RequestId {
    type Error = std::convert::Infallible;

    async fn from_request(request: &'r Request<'_>) -> Outcome<Self, Self::Error> {
        Outcome::Success(Self::of(request).clone())
    }
}

/// Writes the access line.
pub struct AccessLog;

struct Started(Instant);

#[rocket::async_trait]
impl Fairing for AccessLog {
    fn info(&self) -> Info {
        Info { name: "Access log", kind: Kind::Request | Kind::Response }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        request.local_cache(|| Started(Instant::now()));
    }

    async fn on_response<'r>(&self, request: &'r Request<'_>, response: &mut Response<'r>) {
        let status = response.status().code;
        let path = request.uri().path().as_str();
        let level = match status {
            500.. => log::Level::Warn,
            // A tab polls every two seconds, and every page fetches a dozen files.
            _ if is_quiet(path) => log::Level::Debug,
            _ => log::Level::Info,
        };
        if log::log_enabled!(level) {
            let took = request.local_cache(|| Started(Instant::now())).0.elapsed();
            log::log!(
                level,
                "{} {} {status} {:.1} ms {}",
                request.method(),
                path.escape_debug(),
                took.as_secs_f64() * 1000.0,
                RequestId::of(request),
            );
        }
    }
}

fn is_quiet(path: &str) -> bool {
    ["/_live/", "/static/", "/healthz", "/sw.js", "/favicon"].iter().any(|p| path.starts_with(p))
}
