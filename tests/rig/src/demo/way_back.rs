//! How long each part of a rollback took, from the fault to the last user. Pure.

use std::fmt;
use std::time::SystemTime;

use jiff::Timestamp;
use serde_json::Value;

/// The reason of the log line that says that a rollback begins; it is written before anything is done about it.
const DECIDED: &str = "RollingBack";

/// When each part was done. None: it was not found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WayBack {
    /// The target breaks.
    pub fault: SystemTime,
    /// The first user is answered badly.
    pub answered_badly: Option<SystemTime>,
    /// The operator decides to go back.
    pub decided: Option<SystemTime>,
    /// The source has weight 100 again, and a moment later the target 0.
    pub written: Option<SystemTime>,
    /// Name servers answer with the source alone.
    pub served: Option<SystemTime>,
    /// The last user has asked the target for the last time.
    pub left: Option<SystemTime>,
}

impl WayBack {
    /// Each part with its sentence.
    fn parts(&self) -> [(Option<SystemTime>, &'static str); 5] {
        [
            (self.answered_badly, "the first user is answered badly"),
            (self.decided, "the operator has decided to go back"),
            (self.written, "weight 100 is written on the source's Ingress"),
            (self.served, "DNS answers with the source alone"),
            (self.left, "the last user has left the target"),
        ]
    }

    /// Fails with the first part that did not happen.
    pub fn complete(&self) -> Result<(), String> {
        let missing = self.parts().into_iter().find(|(time, _)| time.is_none());
        missing.map_or(Ok(()), |(_, what)| Err(format!("not found: {what}")))
    }
}

impl fmt::Display for WayBack {
    /// One line for each part, with the seconds since the first user was answered badly.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let start = self.answered_badly.unwrap_or(self.fault);
        for (time, what) in self.parts() {
            match time {
                Some(time) => writeln!(f, "         {:6.2} s  {what}", seconds(start, time))?,
                None => writeln!(f, "              -    {what}")?,
            }
        }
        Ok(())
    }
}

/// From one to the other; negative when the other was earlier.
fn seconds(from: SystemTime, to: SystemTime) -> f64 {
    match to.duration_since(from) {
        Ok(later) => later.as_secs_f64(),
        Err(earlier) => -earlier.duration().as_secs_f64(),
    }
}

/// When an operator decided to roll this migration back: the first such line of its log from `after` on.
pub fn decided(log: &str, migration: &str, after: SystemTime) -> Option<SystemTime> {
    let lines = log.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut decisions = lines.filter(|line| line["name"] == migration && line["reason"] == DECIDED);
    decisions.find_map(|line| {
        let time = line["timestamp"].as_str()?.parse::<Timestamp>().ok()?;
        Some(SystemTime::from(time)).filter(|time| *time >= after)
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn time(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    #[test]
    fn the_decision_is_the_first_line_of_this_migration_after_the_fault() {
        let line = |second: u64, name: &str, reason: &str| {
            format!(
                "{{\"timestamp\":\"1970-01-01T00:00:0{second}.25Z\",\"name\":\"{name}\",\"reason\":\"{reason}\"}}\n"
            )
        };
        let log = line(1, "books", DECIDED)
            + "not JSON\n"
            + &line(4, "shop", DECIDED)
            + &line(5, "books", "HoldingStep")
            + &line(6, "books", DECIDED)
            + &line(7, "books", DECIDED);
        assert_eq!(decided(&log, "books", time(3000)), Some(time(6250)));
        assert_eq!(decided(&log, "books", time(8000)), None);
    }

    #[test]
    fn the_way_back_is_told_from_the_first_bad_answer_on() {
        let way = WayBack {
            fault: time(1000),
            answered_badly: Some(time(1100)),
            decided: Some(time(2000)),
            written: Some(time(2010)),
            served: Some(time(3600)),
            left: None,
        };
        let told = way.to_string();
        assert!(told.contains("  0.00 s  the first user") && told.contains("  2.50 s  DNS answers"), "{told}");
        assert!(told.ends_with("-    the last user has left the target\n"), "{told}");
        assert_eq!(way.complete(), Err("not found: the last user has left the target".to_owned()));
    }
}
