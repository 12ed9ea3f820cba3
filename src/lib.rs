//! Halley: a self-hosted wiki that many people write and read at once, live over plain HTTP.
//!
//! # Map
//! Values: [`page`] (names and numbers of pages), [`time`], [`random`]. Text: [`markdown`] (text
//! to blocks of safe HTML), [`diff`] (how two texts and two renderings differ). Keeping: [`store`],
//! the only code that knows sled. Now: [`live`], the rooms, the event log, presence, what pages
//! once were and who has seen what. Web: [`config`], [`identity`] (guests), [`rights`],
//! [`origin`] (who may write from where), [`error`] (the one table of statuses), [`views`] (what
//! templates get), [`assets`] (what is inside the program), [`headers`], [`logging`], and
//! [`routes`], one resource per file. In front: [`door`], the public port, which knows nothing of
//! wikis, and [`serve`], which puts all of it together and ends it in order. Beside it: [`compare`],
//! which measures servers from outside, by HTTP, and [`upkeep`], for a wiki that is not running.
//!
//! # Absences
//! Arrows point one way. `page` knows nobody; `markdown` and `store` know `page`; `diff` knows
//! `markdown`; `live` knows `page`, `markdown`, `diff` and `store`. Nothing below `live`, `store` and `door` knows Rocket, nothing outside
//! `store` knows sled, nothing outside `live` knows yrs. There is no unsafe code. A handler that
//! writes has a [`origin::WriteGuard`] among its parameters and asks [`rights`]; remote text
//! reaches HTML only through templates, which escape everything but the blocks that `markdown`
//! has sanitised.

pub mod address;
pub mod assets;
pub mod compare;
pub mod config;
pub mod diff;
pub mod door;
pub mod error;
pub mod headers;
pub mod identity;
pub mod live;
pub mod logging;
pub mod markdown;
pub mod origin;
pub mod page;
pub mod random;
pub mod rights;
pub mod routes;
pub mod serve;

pub mod store;
pub mod time;
pub mod upkeep;
pub mod views;
pub mod welcome;

use rocket::fairing::AdHoc;
use rocket::shield::Shield;
use rocket::{Build, Rocket};

use assets::{AssetError, Assets, TemplateError, Templates};
pub use config::Config;
use identity::{KeyError, SigningKey};
use live::Live;
use random::Random;

/// The whole application, around an open [`Live`].
///
/// What it needs from the disk (the signing key, overrides) is read here; when that fails, the
/// reason is logged and the application refuses to launch.
#[must_use]
pub fn rocket(config: Config, live: Live) -> Rocket<Build> {
    let parts = match Parts::load(&config) {
        Ok(parts) => parts,
        Err(problem) => return unusable(problem.to_string()),
    };
    let Parts { key, random, files, templates } = parts;
    let rocket = rocket::custom(config.figment(templates.watched()))
        .manage(config)
        .manage(live)
        .manage(key)
        .manage(random)
        .manage(files)
        // Ours says more, and says it on every answer.
        .attach(Shield::new())
        .attach(logging::AccessLog)
        .attach(identity::GuestCookie)
        .attach(headers::SecurityHeaders)
        .attach(templates.fairing())
        .attach(farewell())
        .register("/", error::catchers());
    routes::mount(rocket)
}

/// What is read from the disk before the application is put together.
struct Parts {
    key: SigningKey,
    random: Random,
    files: Assets,
    templates: Templates,
}

/// Why an application cannot be put together.
#[derive(Debug, thiserror::Error)]
enum PartsError {
    #[error("{0}")]
    Io(#[from] std::io::Error),
    #[error("{0}")]
    Key(#[from] KeyError),
    #[error("static files: {0}")]
    Assets(#[from] AssetError),
    #[error("templates: {0}")]
    Templates(#[from] TemplateError),
}

impl Parts {
    fn load(config: &Config) -> Result<Self, PartsError> {
        let overrides = config.overrides_dir();
        Ok(Self {
            key: SigningKey::load(&config.data)?,
            random: Random::from_system()?,
            files: Assets::load(&overrides.join("static"), config.reload)?,
            templates: Templates::new(&overrides.join("templates"), config.reload)?,
        })
    }
}

/// An application that only says why there is none.
fn unusable(problem: String) -> Rocket<Build> {
    rocket::build().attach(AdHoc::try_on_ignite("Start", |rocket| async move {
        log::error!("{problem}");
        Err(rocket)
    }))
}

/// Tells every stream that the server goes, so that its client comes back elsewhere or later.
fn farewell() -> AdHoc {
    AdHoc::on_shutdown("Farewell", |rocket| {
        Box::pin(async move {
            if let Some(live) = rocket.state::<Live>() {
                live.drain();
            }
        })
    })
}
