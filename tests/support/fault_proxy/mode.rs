//! What the proxy does to the traffic, as a value that can be switched at run time.

use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

/// One way in which a network between a browser and a server misbehaves.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Fault {
    /// Everything passes as it comes.
    Off,
    /// The head passes, the body is kept until the response has ended.
    Mute,
    /// What has gathered is handed on every so often.
    Tick(Duration),
    /// Bytes are handed on only in blocks of this many.
    Thresh(usize),
    /// The last burst is kept until the next one comes.
    Behind,
    /// A response is ended, cleanly, at this age. Without a head by then: 504.
    Cut(Duration),
    /// A response is broken off after this much silence. Without a head by then: 504.
    Idle(Duration),
    /// 504 for a response that has no head by then; afterwards everything passes.
    First(Duration),
    /// The connection is reset when the response has this age.
    Rst(Duration),
    /// Bytes per second; they leave in pieces of at most 64.
    Slow(usize),
    /// Everything passes at once, in chunks of this many bytes, wherever that cuts a character.
    Chop(usize),
    /// Bodies are compressed and never flushed.
    Gzip,
    /// The server is asked in HTTP/1.0, and the client gets a body that ends with the connection.
    Http10,
    /// Only what is asked for as `text/event-stream`, and is exactly that, is handed on as it comes;
    /// every other body is kept until it has ended.
    Typed,
    /// The first answer to a path in a mode is everybody's; the rest of the query is not looked at.
    Replay,
    /// Somebody else asks the server the same a moment earlier, as scanners of links do.
    Twice,
    /// 403 with a page of HTML; the server is not asked.
    Block,
    /// The server acts, and its answer is replaced by this status and a page of HTML.
    Status(u16),
    /// Fields of the head are taken out.
    Strip(Fields),
    /// A network's sign-in page, by this status, answers every request.
    Portal(u16),
    /// A connection is ended, whatever it does, at this age.
    Age(Duration),
    /// A connection of this age passes nothing any more and says nothing about it.
    Hole(Duration),
    /// So many connections are served at once, each for one request; the others wait, accepted but
    /// unread.
    Cap(usize),
    /// Nobody listens; open connections are reset.
    Refuse,
}

/// What [`Fault::Strip`] takes out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fields {
    /// `Last-Event-ID`, `If-None-Match` and `Accept` of requests; hints against buffering in answers.
    Hints,
    /// `Cookie` of requests, `Set-Cookie` of answers.
    Cookies,
}

/// Which requests a fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only requests for the live endpoint `/_live/events`.
    Live,
    /// Of these only streams, held requests or polls.
    Reading(&'static str),
    /// Every request.
    All,
    /// Every request that is not a GET.
    Post,
    /// Addresses that lists of trackers know: the first folder is called `beacon`, `collect` and so on.
    Listed,
}

/// First folders that are blocked by common lists of trackers.
const LISTED: [&str; 7] =
    ["beacon", "collect", "events", "track", "analytics", "telemetry", "pixel"];

/// A fault and whom it touches.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Rule {
    fault: Fault,
    scope: Scope,
}

/// Faults and their scopes, as said by a control line. The first rule that touches a request decides.
#[derive(Debug, Clone, PartialEq)]
pub struct Mode(Arc<[Rule]>);

/// What a request asks for, as far as rules look at it.
#[derive(Debug, Clone)]
pub struct Asked {
    /// In capitals.
    pub method: String,
    /// With its query.
    pub path: String,
}

impl Asked {
    /// The value of `mode=` in the query, or nothing.
    pub fn mode(&self) -> &str {
        let query = self.path.split_once('?').map_or("", |(_, query)| query);
        query.split('&').find_map(|pair| pair.strip_prefix("mode=")).unwrap_or_default()
    }

    /// Without its query.
    pub fn bare(&self) -> &str {
        self.path.split('?').next().unwrap_or_default()
    }
}

impl Fault {
    /// Whether it is a property of connections, and thus touches all that they carry.
    fn of_connections(self) -> bool {
        matches!(self, Self::Hole(_) | Self::Portal(_) | Self::Cap(_) | Self::Refuse | Self::Age(_))
    }
}

impl Scope {
    fn touches(self, asked: &Asked) -> bool {
        let live = asked.path.starts_with("/_live/events");
        match self {
            Self::Live => live,
            Self::Reading(mode) => live && asked.mode() == mode,
            Self::All => true,
            Self::Post => asked.method != "GET" && asked.method != "HEAD",
            Self::Listed => {
                let folder = asked.bare().split('/').nth(1).unwrap_or_default();
                LISTED.contains(&folder)
            }
        }
    }
}

impl Mode {
    /// The fault that applies to a request.
    pub fn fault_for(&self, asked: &Asked) -> Fault {
        self.0
            .iter()
            .find(|rule| rule.fault.of_connections() || rule.scope.touches(asked))
            .map_or(Fault::Off, |rule| rule.fault)
    }

    /// The fault of all connections, if there is one.
    pub fn of_connections(&self) -> Fault {
        self.0
            .iter()
            .map(|rule| rule.fault)
            .find(|fault| fault.of_connections())
            .unwrap_or(Fault::Off)
    }
}

impl FromStr for Mode {
    type Err = String;

    /// Reads `mute`, `tick 20`, `thresh 4096 all`, `block stream, idle 12 hold` and so on; seconds may
    /// be fractions.
    fn from_str(line: &str) -> Result<Self, String> {
        line.split(',')
            .map(str::parse)
            .collect::<Result<Vec<Rule>, _>>()
            .map(|all| Self(all.into()))
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace().collect::<Vec<_>>();
        let scope = match words.last().copied() {
            Some("all") => Some(Scope::All),
            Some("live") => Some(Scope::Live),
            Some("post") => Some(Scope::Post),
            Some("listed") => Some(Scope::Listed),
            Some("stream") => Some(Scope::Reading("stream")),
            Some("hold") => Some(Scope::Reading("hold")),
            Some("poll") => Some(Scope::Reading("poll")),
            _ => None,
        };
        if scope.is_some() {
            words.pop();
        }
        let scope = scope.unwrap_or(Scope::Live);
        let argument = words.get(1).copied();
        let seconds = || {
            argument
                .and_then(|text| text.parse::<f64>().ok())
                .and_then(|number| Duration::try_from_secs_f64(number).ok())
                .ok_or_else(|| format!("'{line}' needs a number of seconds"))
        };
        let count = || {
            argument
                .and_then(|text| text.parse::<usize>().ok())
                .filter(|number| *number > 0)
                .ok_or_else(|| format!("'{line}' needs a number above 0"))
        };
        let status = || {
            argument
                .and_then(|text| text.parse::<u16>().ok())
                .filter(|number| (200..600).contains(number))
                .ok_or_else(|| format!("'{line}' needs a status"))
        };
        let fault = match words.first().copied() {
            Some("off") => Fault::Off,
            Some("mute") => Fault::Mute,
            Some("tick") => Fault::Tick(seconds()?.max(Duration::from_millis(10))),
            Some("thresh") => Fault::Thresh(count()?),
            Some("behind") => Fault::Behind,
            Some("cut") => Fault::Cut(seconds()?),
            Some("idle") => Fault::Idle(seconds()?),
            Some("first") => Fault::First(seconds()?),
            Some("rst") => Fault::Rst(seconds()?),
            Some("slow") => Fault::Slow(count()?),
            Some("chop") => Fault::Chop(count()?),
            Some("gzip") => Fault::Gzip,
            Some("http10") => Fault::Http10,
            Some("typed") => Fault::Typed,
            Some("replay") => Fault::Replay,
            Some("twice") => Fault::Twice,
            Some("block") => Fault::Block,
            Some("status") => Fault::Status(status()?),
            Some("strip") => Fault::Strip(match argument {
                Some("hints") => Fields::Hints,
                Some("cookies") => Fields::Cookies,
                _ => return Err(format!("'{line}' needs 'hints' or 'cookies'")),
            }),
            Some("portal") => Fault::Portal(if argument.is_some() { status()? } else { 200 }),
            Some("age") => Fault::Age(seconds()?),
            Some("hole") => Fault::Hole(seconds()?),
            Some("cap") => Fault::Cap(count()?),
            Some("refuse") => Fault::Refuse,
            _ => return Err(format!("'{line}' is not a mode")),
        };
        Ok(Self { fault, scope })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fault(line: &str, method: &str, path: &str) -> Fault {
        let asked = Asked { method: method.to_owned(), path: path.to_owned() };
        line.parse::<Mode>().unwrap().fault_for(&asked)
    }

    #[test]
    fn a_control_line_becomes_a_mode() {
        let stream = "/_live/events?mode=stream&topics=view:1";
        assert_eq!(fault("tick 0.5", "GET", stream), Fault::Tick(Duration::from_millis(500)));
        assert_eq!(fault("thresh 4096 all", "GET", "/wiki/Home"), Fault::Thresh(4096));
        assert_eq!(fault("portal 302", "GET", "/"), Fault::Portal(302));
        for wrong in ["tick", "cap 0", "cut -1", "", "mute, nonsense", "status 99", "strip"] {
            assert!(wrong.parse::<Mode>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_fault_touches_only_what_its_scope_names() {
        let (stream, hold) = ("/_live/events?mode=stream&x=1", "/_live/events?x=1&mode=hold");
        assert_eq!(fault("mute", "GET", "/wiki/Home"), Fault::Off);
        assert_eq!(fault("mute", "GET", stream), Fault::Mute);
        assert_eq!(fault("block stream, mute hold", "GET", stream), Fault::Block);
        assert_eq!(fault("block stream, mute hold", "GET", hold), Fault::Mute);
        assert_eq!(fault("block stream", "GET", "/_live/events?mode=poll"), Fault::Off);
        assert_eq!(fault("block post", "GET", stream), Fault::Off);
        assert_eq!(fault("block post", "POST", "/_live/beat"), Fault::Block);
        assert_eq!(fault("portal", "GET", "/wiki/Home"), Fault::Portal(200));
    }

    #[test]
    fn nothing_of_the_live_page_is_on_the_list_of_trackers() {
        assert_eq!(fault("block listed", "GET", "/_live/events?mode=stream"), Fault::Off);
        assert_eq!(fault("block listed", "POST", "/_live/beat"), Fault::Off);
        assert_eq!(fault("block listed", "POST", "/beacon/1"), Fault::Block);
    }
}
