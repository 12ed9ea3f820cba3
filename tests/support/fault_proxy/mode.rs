//! What the proxy does to the traffic, as a value that can be switched at run time.

use std::str::FromStr;
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
    /// A connection of this age passes nothing any more and says nothing about it.
    Hole(Duration),
    /// The connection is reset when the response has this age.
    Rst(Duration),
    /// Bytes per second; they leave in pieces of at most 64.
    Slow(usize),
    /// A network's sign-in page answers every request.
    Portal,
    /// So many connections are served at once, each for one request; the others wait, accepted but
    /// unread.
    Cap(usize),
    /// Nobody listens; open connections are reset.
    Refuse,
}

/// Which requests a fault touches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scope {
    /// Only requests for the live endpoint `/_live/events`.
    Live,
    /// Every request.
    All,
}

/// A fault and its scope, as said by a control line.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Mode {
    /// What goes wrong.
    pub fault: Fault,
    /// For whom. [`Fault::Hole`], [`Fault::Portal`], [`Fault::Cap`] and [`Fault::Refuse`] always touch all.
    pub scope: Scope,
}

impl Mode {
    /// The fault that applies to a request for `path`.
    pub fn fault_for(&self, path: &str) -> Fault {
        let everywhere =
            matches!(self.fault, Fault::Hole(_) | Fault::Portal | Fault::Cap(_) | Fault::Refuse);
        if everywhere || self.scope == Scope::All || path.starts_with("/_live/events") {
            self.fault
        } else {
            Fault::Off
        }
    }
}

impl FromStr for Mode {
    type Err = String;

    /// Reads `mute`, `tick 20`, `thresh 4096 all` and so on; seconds may be fractions.
    fn from_str(line: &str) -> Result<Self, String> {
        let mut words = line.split_whitespace().collect::<Vec<_>>();
        let scope = match words.last() {
            Some(&"all") => Scope::All,
            _ => Scope::Live,
        };
        words.retain(|word| !matches!(*word, "all" | "live"));
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
        let fault = match words.first().copied() {
            Some("off") => Fault::Off,
            Some("mute") => Fault::Mute,
            Some("tick") => Fault::Tick(seconds()?.max(Duration::from_millis(10))),
            Some("thresh") => Fault::Thresh(count()?),
            Some("behind") => Fault::Behind,
            Some("cut") => Fault::Cut(seconds()?),
            Some("idle") => Fault::Idle(seconds()?),
            Some("hole") => Fault::Hole(seconds()?),
            Some("rst") => Fault::Rst(seconds()?),
            Some("slow") => Fault::Slow(count()?),
            Some("portal") => Fault::Portal,
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

    #[test]
    fn a_control_line_becomes_a_mode() {
        let mode = |line: &str| line.parse::<Mode>();
        assert_eq!(mode("tick 0.5").unwrap().fault, Fault::Tick(Duration::from_millis(500)));
        assert_eq!(
            mode("thresh 4096 all").unwrap(),
            Mode { fault: Fault::Thresh(4096), scope: Scope::All }
        );
        assert_eq!(mode("mute").unwrap(), Mode { fault: Fault::Mute, scope: Scope::Live });
        assert!(
            mode("tick").is_err()
                && mode("cap 0").is_err()
                && mode("cut -1").is_err()
                && mode("").is_err()
        );
    }

    #[test]
    fn a_fault_of_the_live_endpoint_leaves_pages_alone() {
        let mute: Mode = "mute".parse().unwrap();
        assert_eq!(mute.fault_for("/wiki/Home"), Fault::Off);
        assert_eq!(mute.fault_for("/_live/events?mode=stream"), Fault::Mute);
        let portal: Mode = "portal".parse().unwrap();
        assert_eq!(portal.fault_for("/wiki/Home"), Fault::Portal);
    }
}
