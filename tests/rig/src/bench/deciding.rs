//! What the operator's own log says of rollbacks: when the verdict fell, and when the source had 100. Pure.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

/// The line that ends the measurement; it says how long it took.
const BACK: &str = "the source has weight 100 again; the time is since the failing verdict";

/// One rollback, by the operator's clock.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Rollback {
    /// The end of the round of probes that decided.
    pub verdict: Timestamp,
    /// From there to the answer to the source's write, in milliseconds.
    pub millis: f64,
}

/// The rollbacks that were written after this moment, by their namespaces.
pub fn rollbacks(log: &str, after: Timestamp) -> BTreeMap<String, Rollback> {
    let lines = log.lines().filter(|line| line.contains(BACK));
    let lines = lines.filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let told = lines.filter_map(|line| {
        let written: Timestamp = line["timestamp"].as_str()?.parse().ok()?;
        let (namespace, millis) = (line["namespace"].as_str()?.to_owned(), line["millis"].as_f64()?);
        let verdict = written.checked_sub(SignedDuration::try_from_secs_f64(millis / 1000.0).ok()?).ok()?;
        (written > after).then_some((namespace, Rollback { verdict, millis }))
    });
    told.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_as_long_before_the_line_as_the_line_says() {
        let line = |second: u32, namespace: &str, millis: f64| {
            let at = format!("1970-01-01T00:00:{second:02}.5Z");
            format!(
                "{{\"timestamp\":\"{at}\",\"namespace\":\"{namespace}\",\"millis\":{millis},\"message\":\"{BACK}\"}}\n"
            )
        };
        let log = line(1, "old", 3.0) + "weight written\n" + &line(4, "shop", 500.0);
        let found = rollbacks(&log, Timestamp::from_second(2).unwrap());
        let shop = Rollback { verdict: Timestamp::from_second(4).unwrap(), millis: 500.0 };
        assert_eq!(found, BTreeMap::from([("shop".to_owned(), shop)]));
    }
}
