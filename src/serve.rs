//! The whole server: the front door, Rocket behind it, and the order in which they end.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use rocket::error::ErrorKind;
use rocket::fairing::{AdHoc, Fairing, Info, Kind as On};
use rocket::{Build, Data, Request, Rocket};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::oneshot;

use crate::config::Config;
use crate::door::tls::{Tls, TlsError};
use crate::door::{Door, PEER_HEADER, Plan, Secret};
use crate::error::{self, Error, Kind};
use crate::identity::SigningKey;
use crate::live::Live;
use crate::random::Random;
use crate::routes;

/// Why nothing is served. `Display` is a sentence for whoever started the program.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// The public port cannot be had.
    #[error("cannot listen on {0}: {1}")]
    Bind(SocketAddr, io::Error),
    /// The settings `tls_certs` and `tls_key` name what cannot be used.
    #[error("TLS is not possible. {0}")]
    Tls(#[from] TlsError),
    /// The log has said why.
    #[error("could not start; the log says why")]
    Refused,
    /// Anything else.
    #[error("could not start: {0}")]
    Failed(String),
}

/// Serves a wiki until SIGTERM or SIGINT, and says on standard output where it listens.
///
/// Then every stream says `bye`, nothing more is accepted, and requests that run have the setting
/// `grace_secs` to end.
///
/// # Errors
/// When it cannot begin.
pub async fn run(config: Config, live: Live) -> Result<(), ServeError> {
    let tls = config.tls_files().map(|(certs, key)| Tls::load(certs, key)).transpose()?;
    let wanted = SocketAddr::new(config.address(), config.port.unwrap_or_default());
    let bad_port = |e| ServeError::Bind(wanted, e);
    let door = Door::bind(wanted).map_err(bad_port)?;
    let address = door.local_addr().map_err(bad_port)?;
    let failed = |e: &dyn std::fmt::Display| ServeError::Failed(e.to_string());
    let mut ends = Ends::listen().map_err(|e| failed(&e))?;
    let random = Random::from_system().map_err(|e| failed(&e))?;
    let secret = Secret::new(random.bytes());
    let grace = Duration::from_secs(config.grace_secs.into());

    let (say, listens) = oneshot::channel();
    let rocket = behind(crate::rocket(config.clone(), live.clone()), secret.clone())
        .attach(liftoff(say))
        .ignite()
        .await
        .map_err(|e| explain(&e))?;
    // Made by the application when there was none.
    let key = SigningKey::load(&config.data).map_err(|e| failed(&e))?;
    let shutdown = rocket.shutdown();
    let mut rocket = tokio::spawn(rocket.launch());
    let inner = tokio::select! {
        Ok(inner) = listens => inner,
        ended = &mut rocket => return outcome(ended),
    };

    let scheme = if tls.is_some() { "https" } else { "http" };
    println!("listening on {scheme}://{address}");
    log::info!("listening on {scheme}://{address}");
    let plan = Plan {
        limits: config.door(),
        inner,
        secret,
        hook: Some(routes::live_hook(config, live.clone(), key, random)),
        tls,
    };
    let mut early = None;
    let stop = async {
        tokio::select! {
            () = ends.wait() => {}
            // By itself only after an error that nothing can be done about.
            ended = &mut rocket => early = Some(ended),
        }
        // Streams say goodbye; held requests are answered.
        live.drain();
    };
    door.run(plan, stop, grace).await;
    if let Some(ended) = early {
        return outcome(ended);
    }
    shutdown.notify();
    let ended = outcome(rocket.await);
    log::info!("ended");
    ended
}

/// Makes an application one that is reached through a door only: it listens on loopback, and the
/// door says who asks.
fn behind(rocket: Rocket<Build>, secret: Secret) -> Rocket<Build> {
    let inner = rocket
        .figment()
        .clone()
        .merge((rocket::Config::ADDRESS, Ipv4Addr::LOCALHOST))
        .merge((rocket::Config::PORT, 0))
        .merge((rocket::Config::KEEP_ALIVE, 5))
        // The door has seen to those who ask; what is left here is nobody's.
        .merge(("shutdown.ctrlc", false))
        .merge(("shutdown.signals", Vec::<String>::new()))
        .merge(("shutdown.grace", 0));
    rocket.configure(inner).attach(OnlyThroughTheDoor(secret))
}

/// Refuses requests that did not come through the door, and believes it about all others.
struct OnlyThroughTheDoor(Secret);

#[rocket::async_trait]
impl Fairing for OnlyThroughTheDoor {
    fn info(&self) -> Info {
        Info { name: "Only through the door", kind: On::Request }
    }

    async fn on_request(&self, request: &mut Request<'_>, _: &mut Data<'_>) {
        let named = request.headers().get_one(PEER_HEADER).and_then(|named| self.0.peer(named));
        match named {
            Some(peer) => request.set_remote(peer),
            None => {
                error::keep(request, Error::new(Kind::Misdirected));
                request.set_uri(rocket::uri!("/_live/not-this-way"));
            }
        }
    }
}

fn liftoff(say: oneshot::Sender<SocketAddr>) -> AdHoc {
    let say = std::sync::Mutex::new(Some(say));
    AdHoc::on_liftoff("Inner port", move |rocket| {
        let say = say.lock().unwrap_or_else(std::sync::PoisonError::into_inner).take();
        let config = rocket.config();
        let address = SocketAddr::new(config.address, config.port);
        Box::pin(async move {
            if let Some(say) = say {
                let _ = say.send(address);
            }
        })
    })
}

type Launched = Result<Rocket<rocket::Ignite>, rocket::Error>;

fn outcome(ended: Result<Launched, tokio::task::JoinError>) -> Result<(), ServeError> {
    match ended {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => match error.kind() {
            // Connections that outlived their time were closed; everything acknowledged is safe.
            ErrorKind::Shutdown(..) => Ok(()),
            _ => Err(explain(&error)),
        },
        Err(error) => Err(ServeError::Failed(error.to_string())),
    }
}

/// Asking an error for its kind also keeps Rocket from panicking over it.
fn explain(error: &rocket::Error) -> ServeError {
    match error.kind() {
        ErrorKind::FailedFairings(_) => ServeError::Refused,
        other => ServeError::Failed(other.to_string()),
    }
}

/// The signals that end the server.
struct Ends {
    terminate: Signal,
    interrupt: Signal,
}

impl Ends {
    /// From here on they do not end the process by themselves.
    fn listen() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn wait(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}
