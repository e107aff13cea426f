//! Durations as Kubernetes users write them: `90s`, `10m`, `1h30m` (GEP-2257).

use std::borrow::Cow;

use jiff::SignedDuration;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// The pattern of GEP-2257. It allows no sign, no fraction and no number without a unit.
const PATTERN: &str = "^([0-9]{1,5}(h|m|s|ms)){1,4}$";

/// A duration in the words of its author, kept as written so that `kubectl get -o yaml` shows what was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DurationText(String);

/// A text that the schema's pattern would have refused: only an API server without our CRD lets it through.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{found:?} is not a duration; write one like 90s, 10m or 1h30m")]
pub struct NotADuration {
    found: String,
}

impl DurationText {
    /// The text as written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The span of time that the text means. Never negative.
    ///
    /// # Errors
    /// [`NotADuration`] when the text does not have the form of GEP-2257.
    pub fn span(&self) -> Result<SignedDuration, NotADuration> {
        let refuse = || NotADuration { found: self.0.chars().take(64).collect() };
        let mut total = SignedDuration::ZERO;
        let mut rest = self.0.as_str();
        if rest.is_empty() {
            return Err(refuse());
        }
        while !rest.is_empty() {
            let digits = rest.find(|c: char| !c.is_ascii_digit()).ok_or_else(refuse)?;
            let number: i64 = rest[..digits].parse().map_err(|_| refuse())?;
            let (unit, tail) = unit(&rest[digits..]).ok_or_else(refuse)?;
            let part = number.checked_mul(unit).map(SignedDuration::from_millis).ok_or_else(refuse)?;
            total = total.checked_add(part).ok_or_else(refuse)?;
            rest = tail;
        }
        Ok(total)
    }
}

/// Milliseconds of the unit at the start of `text`, and what follows it. `ms` is tried before `m`.
fn unit(text: &str) -> Option<(i64, &str)> {
    [("ms", 1), ("h", 3_600_000), ("m", 60_000), ("s", 1000)]
        .into_iter()
        .find_map(|(name, millis)| text.strip_prefix(name).map(|tail| (millis, tail)))
}

impl From<&str> for DurationText {
    fn from(text: &str) -> Self {
        Self(text.to_owned())
    }
}

impl std::fmt::Display for DurationText {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl JsonSchema for DurationText {
    fn schema_name() -> Cow<'static, str> {
        "Duration".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        // The rule says the same as the pattern, in words.
        let rule = json!({ "rule": format!("self.matches('{PATTERN}')"), "message": "write a duration like 90s, 10m or 1h30m" });
        json_schema!({ "type": "string", "pattern": PATTERN, "maxLength": 32, "x-kubernetes-validations": [rule] })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_means_the_sum_of_its_parts() {
        assert_eq!(DurationText::from("1h30m").span(), Ok(SignedDuration::from_mins(90)));
        assert_eq!(DurationText::from("250ms").span(), Ok(SignedDuration::from_millis(250)));
        assert_eq!(DurationText::from("1m5s").span(), Ok(SignedDuration::from_secs(65)));
    }

    #[test]
    fn anything_else_is_refused_in_words() {
        for text in ["", "10", "-5m", "1.5h", "m", "10 m", "1d", "99999999999999999999h"] {
            assert!(DurationText::from(text).span().is_err(), "{text} was accepted");
        }
        let said = DurationText::from("10").span().unwrap_err().to_string();
        assert_eq!(said, "\"10\" is not a duration; write one like 90s, 10m or 1h30m");
    }
}
