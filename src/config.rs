//! Settings: `Rocket.toml` and environment, read and checked once, at start.
//!
//! Halley's own settings stand under `[default.halley]` in `Rocket.toml` (or `[release.halley]`,
//! `[debug.halley]`) and in variables that begin with `HALLEY_`; Rocket's (`workers`,
//! `keep_alive`, ...) where Rocket has them. The command line wins over the environment, the
//! environment over the file. No file is needed: every setting has a default.

use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rocket::data::{ByteUnit, ToByteUnit};
use rocket::figment::providers::{Env, Serialized};
use rocket::figment::{Figment, Profile};
use serde::{Deserialize, Serialize};

use crate::door::Limits;
use crate::live::LiveSettings;
use crate::live::caps::StreamCaps;
use crate::store;

/// Settings of one Halley. Field names are the names of the settings.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Address to listen on. Without it Rocket's own setting counts, which is `127.0.0.1`.
    pub address: Option<IpAddr>,
    /// Port to listen on, 0 for any free one. Without it Rocket's own setting counts: 8000.
    pub port: Option<u16>,
    /// Directory that holds everything Halley keeps; made when it is missing. `./data`.
    pub data: PathBuf,
    /// What this wiki is called, 1 to 60 characters. `Halley`.
    pub site_name: String,
    /// How browsers reach this wiki, such as `https://wiki.example.org`. Needed behind a proxy
    /// that changes `Host` or adds TLS: writes from a browser are accepted from this origin only,
    /// and with `https` cookies are marked `Secure`. Without it `Origin` is compared to `Host`.
    pub public_origin: Option<String>,
    /// Addresses of reverse proxies in front, such as `["127.0.0.1"]`. Only requests that come
    /// from one of them are believed when they say in `X-Forwarded-For` or `X-Real-IP` who the
    /// client is. Empty: nobody is believed.
    pub trusted_proxy: Vec<IpAddr>,
    /// Live streams that one browser may hold open; beyond it a tab is told to poll. 0: none. 4.
    pub streams_per_browser: usize,
    /// Live streams from one address (a whole school may share one); loopback is exempt, since
    /// everybody behind a proxy on this machine comes from there. 0: none. 200.
    pub streams_per_address: usize,
    /// Live streams in all, at a few KB of memory each. 0: none. 10000.
    pub streams_total: usize,
    /// Live streams opened within any second, so that everybody can come back at once after a
    /// restart; more wait, up to a second, or are told when to return. 0: no limit. 1000.
    pub admissions_per_second: usize,
    /// Open connections in all, 1 to 1000000; one more is answered with 503. 20000.
    pub connections_total: usize,
    /// Open connections of one address, at least 1; loopback and `trusted_proxy` are exempt. 1000.
    pub connections_per_address: usize,
    /// Seconds within which the head of a request must have arrived, and within which the
    /// handshake of TLS must be done, 1 to 600. 10.
    pub head_secs: u64,
    /// File with the chain of certificates (PEM), the server's own first. With it and `tls_key`
    /// the port speaks TLS only. Both are watched: new ones are taken over without a restart.
    pub tls_certs: Option<PathBuf>,
    /// File with the private key (PEM) that belongs to `tls_certs`.
    pub tls_key: Option<PathBuf>,
    /// Requests that one HTTP/2 connection may have under way, 1 to 10000; live streams are
    /// among them. HTTP/2 comes with TLS. 100.
    pub http2_streams: u32,
    /// Writes are refused (507) while the disk has less free space than this. 0: never. 256 MiB.
    pub free_floor_bytes: ByteUnit,
    /// Page cache of the embedded database, at least 1 MiB. 16 MiB.
    pub cache_bytes: ByteUnit,
    /// Size of one journal file, 1 MiB to 1 GiB. 64 MiB.
    pub segment_bytes: ByteUnit,
    /// Directory with files that replace built-in ones: `templates/` and `static/` as in the
    /// source. Read at start; must be there when set. `overrides` inside the data directory.
    pub overrides: Option<PathBuf>,
    /// Largest form, which is a page's text with every byte written as up to three. 4 MiB.
    pub form_bytes: ByteUnit,
    /// Seconds within which the whole body of a request must have arrived, at least 1. 30.
    pub body_secs: u64,
    /// Seconds that running requests have at shutdown before their connections are closed, 0 to
    /// 2, so that the process ends within 5 s. 1.
    pub grace_secs: u32,
    /// Read templates and static files from the source at each request, and let no browser cache
    /// them. On in debug builds only; in a release build they are inside the program.
    pub reload: bool,
}

impl Default for Settings {
    fn default() -> Self {
        let store = store::Options::default();
        let caps = StreamCaps::default();
        let door = Limits::default();
        Self {
            address: None,
            port: None,
            data: PathBuf::from("data"),
            site_name: "Halley".to_owned(),
            public_origin: None,
            trusted_proxy: Vec::new(),
            streams_per_browser: caps.per_browser,
            streams_per_address: caps.per_address,
            streams_total: caps.total,
            admissions_per_second: caps.per_second,
            connections_total: door.connections_total,
            connections_per_address: door.connections_per_address,
            head_secs: door.head.as_secs(),
            tls_certs: None,
            tls_key: None,
            http2_streams: door.http2_streams,
            free_floor_bytes: store.free_floor_bytes.bytes(),
            cache_bytes: store.cache_bytes.bytes(),
            segment_bytes: store.segment_bytes.bytes(),
            overrides: None,
            form_bytes: 4.mebibytes(),
            body_secs: 30,
            grace_secs: 1,
            reload: cfg!(debug_assertions),
        }
    }
}

/// What the command line says; it wins over everything else.
#[derive(Clone, Debug, Default)]
pub struct Overrides {
    /// `--address`
    pub address: Option<IpAddr>,
    /// `--port`
    pub port: Option<u16>,
    /// `--data`
    pub data: Option<PathBuf>,
}

/// Checked settings, and Rocket's beside them.
#[derive(Clone, Debug)]
pub struct Config {
    settings: Settings,
    rocket: Figment,
}

/// Settings that cannot be used. `Display` is one sentence per problem, for the person who set
/// them.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

impl std::ops::Deref for Config {
    type Target = Settings;

    fn deref(&self) -> &Settings {
        &self.settings
    }
}

impl Config {
    /// Reads `Rocket.toml` (or the file in `ROCKET_CONFIG`) and the environment.
    ///
    /// # Errors
    /// A sentence for each setting that is unknown, of a wrong type or out of range.
    pub fn load(command_line: Overrides) -> Result<Self, ConfigError> {
        let rocket = rocket::Config::figment();
        // `HALLEY_LOG` is read before this, by the logger.
        let own = Env::prefixed("HALLEY_")
            .ignore(&["log"])
            .map(|key| format!("halley.{key}").into())
            .profile(Profile::Global);
        let all = rocket.clone().merge(own);
        let mut settings = Settings::default();
        if all.find_value("halley").is_ok() {
            settings = Figment::from(Serialized::default("halley", &settings))
                .merge(&all)
                .select(all.profile().clone())
                .extract_inner("halley")
                .map_err(|errors| {
                    ConfigError(errors.into_iter().map(|e| describe(&e)).collect())
                })?;
        }
        settings.address = command_line.address.or(settings.address);
        settings.port = command_line.port.or(settings.port);
        settings.data = command_line.data.unwrap_or(settings.data);
        Self::new(settings, rocket)
    }

    /// Settings given as a value, with Rocket's defaults: reads neither file nor environment.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn from_settings(settings: Settings) -> Result<Self, ConfigError> {
        Self::new(settings, Figment::from(rocket::Config::default()))
    }

    fn new(mut settings: Settings, rocket: Figment) -> Result<Self, ConfigError> {
        let mut problems = Vec::new();
        settings.check(&mut problems);
        if rocket.profile() != "halley" && rocket.profiles().any(|profile| profile == "halley") {
            // To Rocket a section of its own is a profile, and one that nobody selects.
            problems.push(
                "Rocket.toml has a section [halley], which is not read: settings of Halley stand \
                 under [default.halley]."
                    .to_owned(),
            );
        }
        if rocket.find_value("tls").is_ok() {
            // It would be passed over, and what was meant to be secret sent in the clear.
            problems.push(
                "The setting tls is Rocket's and is not read: set tls_certs and tls_key under \
                 [default.halley], or put a proxy with TLS in front."
                    .to_owned(),
            );
        }
        match rocket.extract::<rocket::Config>() {
            Ok(theirs) => {
                settings.address.get_or_insert(theirs.address);
                settings.port.get_or_insert(theirs.port);
            }
            Err(errors) => problems.extend(errors.into_iter().map(|e| describe(&e))),
        }
        if problems.is_empty() { Ok(Self { settings, rocket }) } else { Err(ConfigError(problems)) }
    }

    /// Address to listen on.
    #[must_use]
    pub fn address(&self) -> IpAddr {
        self.settings.address.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST))
    }

    /// Where files that replace built-in ones are looked for.
    #[must_use]
    pub fn overrides_dir(&self) -> PathBuf {
        self.overrides.clone().unwrap_or_else(|| self.data.join("overrides"))
    }

    /// Time within which the body of a request must have arrived.
    #[must_use]
    pub fn body_timeout(&self) -> Duration {
        Duration::from_secs(self.body_secs)
    }

    /// True when browsers reach this wiki over TLS, be it ours or a proxy's.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.tls_files().is_some()
            || self.public_origin.as_deref().is_some_and(|origin| origin.starts_with("https://"))
    }

    /// Certificates and key for TLS on the public port.
    #[must_use]
    pub fn tls_files(&self) -> Option<(&Path, &Path)> {
        Some((self.tls_certs.as_deref()?, self.tls_key.as_deref()?))
    }

    /// Threads that serve requests.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.rocket.extract_inner("workers").unwrap_or(2).max(1)
    }

    /// What the store is told.
    #[must_use]
    pub fn store(&self) -> store::Options {
        store::Options {
            segment_bytes: self.segment_bytes.as_u64(),
            cache_bytes: self.cache_bytes.as_u64(),
            free_floor_bytes: self.free_floor_bytes.as_u64(),
            ..store::Options::default()
        }
    }

    /// What the live core is told.
    #[must_use]
    pub fn live(&self) -> LiveSettings {
        LiveSettings {
            caps: StreamCaps {
                per_browser: self.streams_per_browser,
                per_address: self.streams_per_address,
                total: self.streams_total,
                per_second: self.admissions_per_second,
            },
            labs: Some((self.data.clone(), self.store())),
        }
    }

    /// What the front door is told.
    #[must_use]
    pub fn door(&self) -> Limits {
        Limits {
            connections_total: self.connections_total,
            connections_per_address: self.connections_per_address,
            exempt: self.trusted_proxy.clone(),
            head: Duration::from_secs(self.head_secs),
            // A handler has its own limit, and says more when it is reached.
            body: self.body_timeout() + Duration::from_secs(5),
            http2_streams: self.http2_streams,
            ..Limits::default()
        }
    }

    /// What Rocket is told. `templates` is the directory it watches for templates.
    pub(crate) fn figment(&self, templates: &Path) -> Figment {
        self.rocket
            .clone()
            .merge((rocket::Config::ADDRESS, self.address()))
            .merge((rocket::Config::PORT, self.port.unwrap_or(8000)))
            .merge((rocket::Config::IDENT, false))
            // Rocket would believe an `X-Real-IP` from anybody; `ClientAddr` is what to use.
            .merge((rocket::Config::IP_HEADER, false))
            .merge((rocket::Config::LOG_LEVEL, "off"))
            .merge((rocket::Config::CLI_COLORS, false))
            .merge(("limits.form", self.form_bytes))
            .merge(("shutdown.ctrlc", true))
            .merge(("shutdown.signals", ["term"]))
            .merge(("shutdown.grace", self.grace_secs))
            .merge(("shutdown.mercy", 1))
            .merge(("shutdown.force", false))
            .merge(("template_dir", templates))
    }
}

impl Settings {
    fn check(&mut self, problems: &mut Vec<String>) {
        let mut check = |good: bool, sentence: &str| {
            if !good {
                problems.push(sentence.to_owned());
            }
        };
        let letters = self.site_name.trim().chars().count();
        check(
            (1..=60).contains(&letters) && !self.site_name.chars().any(char::is_control),
            "The setting site_name must be 1 to 60 characters without line breaks.",
        );
        check(!self.data.as_os_str().is_empty(), "The setting data must name a directory.");
        check(
            self.cache_bytes >= 1.mebibytes(),
            "The setting cache_bytes must be at least 1 MiB (1048576).",
        );
        check(
            self.segment_bytes >= 1.mebibytes() && self.segment_bytes <= 1.gibibytes(),
            "The setting segment_bytes must be between 1 MiB (1048576) and 1 GiB (1073741824).",
        );
        check(
            self.form_bytes >= 16.kibibytes() && self.form_bytes <= 64.mebibytes(),
            "The setting form_bytes must be between 16 KiB and 64 MiB.",
        );
        check(
            (1..=3600).contains(&self.body_secs),
            "The setting body_secs must be between 1 and 3600.",
        );
        check(
            (1..=1_000_000).contains(&self.connections_total) && self.connections_per_address >= 1,
            "The settings connections_total (at most 1000000) and connections_per_address must be \
             at least 1.",
        );
        check(
            (1..=600).contains(&self.head_secs),
            "The setting head_secs must be between 1 and 600.",
        );
        check(
            self.tls_certs.is_some() == self.tls_key.is_some(),
            "The settings tls_certs and tls_key belong together: set both or none.",
        );
        check(
            (1..=10_000).contains(&self.http2_streams),
            "The setting http2_streams must be between 1 and 10000.",
        );
        check(
            self.overrides.as_ref().is_none_or(|dir| dir.is_dir()),
            "The setting overrides must name a directory that is there.",
        );
        check(self.grace_secs <= 2, "The setting grace_secs must be 0, 1 or 2.");
        if let Some(origin) = &self.public_origin {
            match canonical_origin(origin) {
                Some(canonical) if self.tls_certs.is_some() && canonical.starts_with("http:") => {
                    problems.push(
                        "The setting public_origin must begin with https:// when tls_certs is set."
                            .to_owned(),
                    );
                }
                Some(canonical) => self.public_origin = Some(canonical),
                None => problems.push(format!(
                    "The setting public_origin must look like https://wiki.example.org, \
                     with no path; it is {origin:?}."
                )),
            }
        }
    }
}

/// An origin as browsers write it: lower case, no slash at the end, no default port.
fn canonical_origin(text: &str) -> Option<String> {
    let text = text.trim().trim_end_matches('/').to_ascii_lowercase();
    let (scheme, rest) = text.split_once("://")?;
    let default_port = match scheme {
        "http" => ":80",
        "https" => ":443",
        _ => return None,
    };
    let host = rest.strip_suffix(default_port).unwrap_or(rest);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | ':' | '[' | ']');
    (!host.is_empty() && host.chars().all(plain)).then(|| format!("{scheme}://{host}"))
}

/// One sentence about a setting that figment could not take.
fn describe(error: &rocket::figment::Error) -> String {
    let place = error.metadata.as_ref().map(|m| match &m.source {
        Some(source) => format!(" (in {} {source})", m.name),
        None => format!(" (in {})", m.name),
    });
    let path = error.path.iter().map(String::as_str).filter(|p| *p != "halley");
    let name = path.collect::<Vec<_>>().join(".");
    let subject = if name.is_empty() { String::new() } else { format!("The setting {name}: ") };
    format!("{subject}{}{}.", error.kind, place.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_has_one_form() {
        assert_eq!(
            canonical_origin("HTTPS://Wiki.Example.org:443/"),
            Some("https://wiki.example.org".into())
        );
        assert_eq!(canonical_origin("http://[::1]:8000"), Some("http://[::1]:8000".into()));
        for bad in ["wiki.example.org", "ftp://x", "https://", "https://a/b", "https://a b"] {
            assert_eq!(canonical_origin(bad), None, "{bad}");
        }
    }

    #[test]
    fn tls_needs_both_of_its_files_and_makes_https() {
        let pair = Settings {
            tls_certs: Some("certs.pem".into()),
            tls_key: Some("key.pem".into()),
            ..Settings::default()
        };
        let config = Config::from_settings(pair.clone()).expect("good");
        assert!(config.is_https() && config.tls_files().is_some());
        assert!(!Config::from_settings(Settings::default()).expect("good").is_https());
        let half = Settings { tls_key: None, ..pair.clone() };
        let plain = Settings { public_origin: Some("http://wiki.test".into()), ..pair.clone() };
        let none = Settings { http2_streams: 0, ..pair };
        for (settings, named) in [(half, "both or none"), (plain, "https://"), (none, "http2")] {
            let error = Config::from_settings(settings).unwrap_err().to_string();
            assert!(error.contains(named) && error.lines().count() == 1, "{error}");
        }
    }

    #[test]
    fn each_setting_that_is_out_of_range_has_its_sentence() {
        let settings = Settings {
            site_name: " ".into(),
            body_secs: 0,
            public_origin: Some("nonsense".into()),
            ..Settings::default()
        };
        let error = Config::from_settings(settings).unwrap_err().to_string();
        assert_eq!(error.lines().count(), 3, "{error}");
        assert!(error.contains("site_name") && error.contains("body_secs"), "{error}");
    }
}
