//! Which gate waits for what at one host and kind, for the rows of status.

use jiff::Timestamp;

use super::{Goal, OpenGate, Place, answered, listed, places_at, served_from};
use crate::machine::records::{Evidence, HostView, ListedRecord, RecordKind};
use crate::machine::run::{Run, seconds};

/// What a gate that is open waits for at one host and kind, in a sentence. Empty when this row shows what is wanted and the gate
/// waits for another.
pub fn waits_for(run: &Run<'_>, gate: OpenGate, host: &str, kind: RecordKind) -> String {
    let dns = &run.observed.dns;
    if dns.trouble.contains_key(host) {
        return "DNS cannot be read now; what is shown was read before.".to_owned();
    }
    let Some(view) = dns.hosts.get(host) else { return format!("{host} has not been read since this process began.") };
    let missing = places_at(run, host).filter_map(|place| match &view.evidence {
        Evidence::Listed(records) => by_list(run, gate, place, view, records, kind),
        Evidence::Answered { .. } => answered::shown_of_kind(run, gate.goal, place, gate.written, kind).err(),
    });
    let mut missing: Vec<_> = missing.collect();
    missing.dedup();
    if missing.is_empty() && matches!(view.evidence, Evidence::Answered { .. }) {
        return "The name servers answer as they should; the exact share cannot be seen, and is assumed after a time."
            .to_owned();
    }
    missing.join(" ")
}

fn by_list(
    run: &Run<'_>,
    gate: OpenGate,
    place: Place<'_>,
    view: &HostView,
    records: &[ListedRecord],
    kind: RecordKind,
) -> Option<String> {
    let shown = match listed::shown_of_kind(run, gate.goal, place, records, kind) {
        Err(missing) => return Some(missing),
        Ok(shown) => shown,
    };
    let served = served_from(run, gate.goal, view, &shown, gate.written);
    if view.read_at < served {
        return Some(format!("It is listed as written, and counts as served from {} on.", seconds(served).0));
    }
    let forgotten = served.saturating_add(shown.ttl).unwrap_or(Timestamp::MAX);
    (gate.goal.is_for_users() && run.now < forgotten)
        .then(|| format!("It is served; resolvers may keep the older answer until {}.", seconds(forgotten).0))
}

impl Goal {
    /// The gate in a few words.
    pub fn words(self) -> String {
        match self {
            Self::SourceWeighted(weight) => format!("source weighted at {weight}"),
            Self::TargetPublished => "target published at 0".to_owned(),
            Self::Receives(side, weight) => format!("{side} raised to {weight}"),
            Self::Gives(side, weight) => format!("{side} lowered to {weight}"),
            Self::AsWritten => "as written before the next raise".to_owned(),
            Self::SourceServesAll => "source serves all".to_owned(),
        }
    }
}
