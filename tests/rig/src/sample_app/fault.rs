//! What can be wrong with the sample application, with the short form that people type.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use anyhow::{Context as _, bail};

/// What the application does to the requests for one host at one cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Answers as it should. Set on a host, it shields that host from a fault of the whole cluster.
    Healthy,
    /// Answers every path with this status.
    Status(u16),
    /// Answers one path with this status, and every other one as it should.
    StatusAt {
        /// The path, from its slash on.
        path: String,
        /// The status.
        code: u16,
    },
    /// Answers every path with 302 to this location.
    Redirect(String),
    /// Answers correctly after this pause.
    Delay(Duration),
    /// Closes the connection instead of answering.
    DropConnection,
    /// Takes the request and never answers.
    Hang,
    /// Shows a certificate of the right authority for another host.
    WrongCertificate,
    /// Shows a certificate of the right authority for this host that ended yesterday.
    ExpiredCertificate,
    /// Answers every n-th request with 500. Never 0.
    Flap {
        /// The n: 1 fails always, 3 fails the third, the sixth and so on.
        every: u32,
    },
    /// Answers with 64 MiB and no content length.
    HugeBody,
}

/// The forms that [`Fault::from_str`] understands, for messages to people.
pub(super) const FORMS: &str = "healthy, status=503, status-at=/login:503, redirect=/login, delay=1500ms, delay=2s, drop, hang, wrong-certificate, \
                         expired-certificate, flap=3, huge-body";

impl FromStr for Fault {
    type Err = anyhow::Error;

    fn from_str(form: &str) -> anyhow::Result<Self> {
        let (name, argument) = form.split_once('=').unwrap_or((form, ""));
        match (name, argument) {
            ("healthy", "") => Ok(Self::Healthy),
            ("drop", "") => Ok(Self::DropConnection),
            ("hang", "") => Ok(Self::Hang),
            ("wrong-certificate", "") => Ok(Self::WrongCertificate),
            ("expired-certificate", "") => Ok(Self::ExpiredCertificate),
            ("huge-body", "") => Ok(Self::HugeBody),
            ("status", code) => parse_status(code),
            ("status-at", place) => parse_status_at(place),
            ("redirect", location) if !location.is_empty() => Ok(Self::Redirect(location.to_owned())),
            ("delay", pause) => parse_delay(pause),
            ("flap", every) => parse_flap(every),
            _ => bail!("fault {form:?} is unknown; expected one of: {FORMS}"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Healthy => f.write_str("healthy"),
            Self::Status(code) => write!(f, "status={code}"),
            Self::StatusAt { path, code } => write!(f, "status-at={path}:{code}"),
            Self::Redirect(location) => write!(f, "redirect={location}"),
            Self::Delay(pause) => write!(f, "delay={}ms", pause.as_millis()),
            Self::DropConnection => f.write_str("drop"),
            Self::Hang => f.write_str("hang"),
            Self::WrongCertificate => f.write_str("wrong-certificate"),
            Self::ExpiredCertificate => f.write_str("expired-certificate"),
            Self::Flap { every } => write!(f, "flap={every}"),
            Self::HugeBody => f.write_str("huge-body"),
        }
    }
}

fn parse_status(code: &str) -> anyhow::Result<Fault> {
    match code.parse() {
        Ok(code @ 200..=599) => Ok(Fault::Status(code)),
        _ => bail!("fault status={code}: expected a status from 200 to 599, as in status=503"),
    }
}

fn parse_status_at(place: &str) -> anyhow::Result<Fault> {
    let (path, code) = place.rsplit_once(':').filter(|(path, _)| path.starts_with('/')).unwrap_or_default();
    match parse_status(code) {
        Ok(Fault::Status(code)) => Ok(Fault::StatusAt { path: path.to_owned(), code }),
        _ => bail!("fault status-at={place}: expected a path and a status from 200 to 599, as in status-at=/login:503"),
    }
}

fn parse_delay(pause: &str) -> anyhow::Result<Fault> {
    let (number, unit) = match pause.strip_suffix("ms") {
        Some(number) => (number, Duration::from_millis(1)),
        None => (pause.trim_end_matches('s'), Duration::from_secs(1)),
    };
    let number: u32 =
        number.parse().with_context(|| format!("fault delay={pause}: expected delay=1500ms or delay=2s"))?;
    Ok(Fault::Delay(unit * number))
}

fn parse_flap(every: &str) -> anyhow::Result<Fault> {
    match every.parse() {
        Ok(every) if every > 0 => Ok(Fault::Flap { every }),
        _ => bail!("fault flap={every}: expected a number of at least 1, as in flap=3 (every third request fails)"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_fault_can_be_typed_as_it_is_shown() {
        let faults = [
            Fault::Healthy,
            Fault::Status(503),
            Fault::StatusAt { path: "/a:b/login".to_owned(), code: 404 },
            Fault::Redirect("https://example.com/a=b".to_owned()),
            Fault::Delay(Duration::from_millis(1500)),
            Fault::DropConnection,
            Fault::Hang,
            Fault::WrongCertificate,
            Fault::ExpiredCertificate,
            Fault::Flap { every: 3 },
            Fault::HugeBody,
        ];
        for fault in faults {
            assert_eq!(fault.to_string().parse::<Fault>().unwrap(), fault);
        }
        assert_eq!("delay=2s".parse::<Fault>().unwrap(), Fault::Delay(Duration::from_secs(2)));
    }

    #[test]
    fn an_unknown_fault_is_refused_with_what_can_be_typed() {
        for form in [
            "",
            "broken",
            "status=abc",
            "status=99",
            "delay=soon",
            "flap=0",
            "redirect=",
            "hang=3",
            "status-at=/login",
            "status-at=login:503",
        ] {
            let refusal = form.parse::<Fault>().unwrap_err().to_string();
            assert!(refusal.contains("expected"), "{form}: {refusal}");
        }
    }
}
