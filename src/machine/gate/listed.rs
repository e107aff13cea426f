//! What the provider's list of records shows: exact weights, with all that the two clusters do not know of.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Goal, Place, Shown, kinds, places_at};
use crate::machine::observed::Side;
use crate::machine::records::{Evidence, ListedRecord, RecordKind, Routing};
use crate::machine::run::Run;
use crate::machine::traffic::{Weight, target_share};

/// Whether the records of one host show the goal, and since when. The error says what is missing, in a sentence.
pub(super) fn shown(run: &Run<'_>, goal: Goal, place: Place<'_>, records: &[ListedRecord]) -> Result<Shown, String> {
    let found = match goal {
        Goal::SourceWeighted(weight) => source_weighted(place, records, weight),
        Goal::TargetPublished => target_published(place, records),
        Goal::Receives(side, weight) | Goal::Gives(side, weight) => has_weight(place, records, side, weight),
        Goal::AsWritten => as_written(run, place, records),
        Goal::SourceServesAll => source_serves_all(run, place, records),
    }?;
    Ok(span(run, &found))
}

/// The same of one kind alone, whatever the others show.
pub(super) fn shown_of_kind(
    run: &Run<'_>,
    goal: Goal,
    place: Place<'_>,
    records: &[ListedRecord],
    kind: RecordKind,
) -> Result<Shown, String> {
    let of_kind: Vec<_> = records.iter().filter(|record| record.set.kind == kind).cloned().collect();
    if goal != Goal::SourceServesAll {
        return shown(run, goal, place, &of_kind);
    }
    nobody_on_target(run, place, &of_kind)?;
    let missing = kinds::kind_without_source(run, place.host, records, kind);
    missing.map_or_else(|| Ok(span(run, &of_kind.iter().collect::<Vec<_>>())), Err)
}

/// Since when these records have been listed so.
fn span(run: &Run<'_>, found: &[&ListedRecord]) -> Shown {
    let since = found.iter().map(|record| record.since).max().unwrap_or(Timestamp::MIN);
    let oldest = found.iter().map(|record| record.since).min().unwrap_or(Timestamp::MIN);
    let ttl = found.iter().map(|record| record.set.ttl.unwrap_or(run.order.dns.follow.record_ttl)).max();
    Shown { since, oldest, ttl: ttl.unwrap_or(SignedDuration::ZERO) }
}

type Found<'a> = Result<Vec<&'a ListedRecord>, String>;

fn source_weighted<'a>(place: Place<'_>, records: &'a [ListedRecord], weight: Weight) -> Found<'a> {
    let host = place.host;
    if records.is_empty() {
        return Err(format!("{host} has no record at all."));
    }
    if let Some(simple) = records.iter().find(|record| record.set.routing == Routing::Simple) {
        return Err(format!("The {} record of {host} is still a simple one.", simple.set.kind.name()));
    }
    each_kind(records).into_iter().map(|kind| weighted(place, records, Side::Source, kind, weight)).collect()
}

fn target_published<'a>(place: Place<'_>, records: &'a [ListedRecord]) -> Found<'a> {
    has_weight(place, records, Side::Target, Weight::ZERO)
}

/// An Ingress that is not there, or has no weight, says nothing of its record.
fn as_written<'a>(run: &Run<'_>, place: Place<'_>, records: &'a [ListedRecord]) -> Found<'a> {
    let sides = [Side::Source, Side::Target].into_iter();
    let written = sides.filter_map(|side| Some((side, run.ingress(side, place.planned)?.weight()?)));
    let found: Vec<_> =
        written.map(|(side, weight)| has_weight(place, records, side, weight)).collect::<Result<_, _>>()?;
    Ok(found.concat())
}

/// One side's record, at this weight, in each kind in which the source has one.
fn has_weight<'a>(place: Place<'_>, records: &'a [ListedRecord], side: Side, weight: Weight) -> Found<'a> {
    let source: Vec<_> = records.iter().filter(|record| is_of(record, place, Side::Source)).cloned().collect();
    if source.is_empty() {
        let identifier = &place.planned.source_identifier;
        return Err(format!("{} has no record {identifier}, which is the source's.", place.host));
    }
    each_kind(&source).into_iter().map(|kind| weighted(place, records, side, kind, weight)).collect()
}

fn weighted<'a>(
    place: Place<'_>,
    records: &'a [ListedRecord],
    side: Side,
    kind: RecordKind,
    weight: Weight,
) -> Result<&'a ListedRecord, String> {
    let (host, identifier, name) = (place.host, place.planned.identifier(side), kind.name());
    let found = records.iter().find(|record| record.set.kind == kind && is_of(record, place, side));
    match found {
        None => Err(format!("{host} has no {name} record {identifier}, which is the {side}'s.")),
        Some(record) if record.set.routing == Routing::Weighted(weight) => Ok(record),
        Some(record) => {
            let found = routing(&record.set.routing);
            Err(format!(
                "The {name} record {identifier} of {host} has {found}; weight {weight} is written on the {side}."
            ))
        }
    }
}

pub(super) fn routing(routing: &Routing) -> String {
    match routing {
        Routing::Simple => "no weight".to_owned(),
        Routing::Weighted(weight) => format!("weight {weight}"),
        Routing::Other(other) => format!("{other} routing"),
    }
}

/// Identifiers and weights, for a sentence.
pub(super) fn texts(records: &[ListedRecord]) -> String {
    let text = |record: &ListedRecord| {
        let name = record.set.identifier.as_deref().unwrap_or("a simple record");
        format!("{name} with {}", routing(&record.set.routing))
    };
    records.iter().map(text).collect::<Vec<_>>().join(", ")
}

fn nobody_on_target(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Result<(), String> {
    match share_of(run, place.host, records) {
        0 => Ok(()),
        percent => Err(format!("{} still sends {percent} percent of its answers to the target.", place.host)),
    }
}

/// In each kind that is there or was, none of the target's records has a share and the source has a record. Where nobody answers,
/// nobody is sent to the target, but nobody is back either. A host that never had a record has nobody to bring back.
fn source_serves_all<'a>(run: &Run<'_>, place: Place<'_>, records: &'a [ListedRecord]) -> Found<'a> {
    nobody_on_target(run, place, records)?;
    kinds::without_source(run, place.host, records).map_or(Ok(records.iter().collect()), Err)
}

pub(super) fn is_of(record: &ListedRecord, place: Place<'_>, side: Side) -> bool {
    record.set.identifier.as_ref() == Some(place.planned.identifier(side))
}

pub(super) fn each_kind(records: &[ListedRecord]) -> BTreeSet<RecordKind> {
    records.iter().map(|record| record.set.kind).collect()
}

/// The target's share of answers in percent, rounded up, as DNS serves a host: the worst of all kinds. None where nobody has
/// listed it.
pub fn served_share(run: &Run<'_>, host: &str) -> Option<i32> {
    match &run.observed.dns.hosts.get(host)?.evidence {
        Evidence::Listed(records) => Some(share_of(run, host, records)),
        Evidence::Answered { .. } => None,
    }
}

/// The same of these records.
pub fn share_of(run: &Run<'_>, host: &str, records: &[ListedRecord]) -> i32 {
    each_kind(records).into_iter().map(|kind| share_of_kind(run, host, records, kind)).max().unwrap_or(0)
}

fn share_of_kind(run: &Run<'_>, host: &str, records: &[ListedRecord], kind: RecordKind) -> i32 {
    let of_kind = records.iter().filter(|record| record.set.kind == kind);
    let (target, others): (Vec<_>, Vec<_>) = of_kind.partition(|record| is_targets(run, host, record));
    let weights = |records: Vec<&ListedRecord>| -> Vec<Weight> {
        records.into_iter().map(|record| effective(&record.set.routing)).collect()
    };
    target_share(&weights(others), &weights(target))
}

/// A simple record is always chosen; what is chosen by something else than weight may be.
fn effective(routing: &Routing) -> Weight {
    match routing {
        Routing::Weighted(weight) => *weight,
        Routing::Simple | Routing::Other(_) => Weight::FULL,
    }
}

/// Whether a record is the target's.
pub fn is_targets(run: &Run<'_>, host: &str, record: &ListedRecord) -> bool {
    places_at(run, host).any(|place| is_of_target(run, place, record))
}

/// Whether a record is that of the target's Ingress: by its identifier, or, for a simple one, by where it leads.
pub fn is_of_target(run: &Run<'_>, place: Place<'_>, record: &ListedRecord) -> bool {
    match &record.set.identifier {
        Some(identifier) => identifier == place.planned.identifier(Side::Target),
        None => run
            .ingress(Side::Target, place.planned)
            .is_some_and(|facts| record.set.leads_to.iter().any(|address| facts.addresses.contains(address))),
    }
}
