//! What a hold and the bake rest on: in every kind that a host has or had, the records of both sides with the weights of the step. The
//! gates of the step have shown them once; here it is seen whether they still are there.

use jiff::SignedDuration;

use super::kinds::{is_answered_otherwise, known_kinds};
use super::{Goal, Place, answered, listed, patience, places};
use crate::machine::observed::Side;
use crate::machine::records::{Evidence, ListedRecord, RecordKind, Routing};
use crate::machine::run::{Run, Wait};
use crate::machine::traffic::Weight;

/// The last reading of DNS that still says something. Monitoring reads every minute, and less often where many want to know.
const STALE: SignedDuration = SignedDuration::from_mins(10);

/// Something that DNS does not show as the step says.
#[derive(Debug)]
pub struct Amiss<'a> {
    /// The host.
    pub host: &'a str,
    /// The side whose record it is.
    pub side: Side,
    /// Whether the record is not there. False: it has another weight.
    pub is_missing: bool,
    /// The target's share of the answers of this kind, in percent. None where nobody is answered.
    pub share: Option<i32>,
    /// The weights that the Ingress has at this host and kind, source first.
    pub weights: [Option<Weight>; 2],
    /// Whether both sides have a record of this kind, all of them at 0, which is an even split.
    pub are_all_zero: bool,
    /// Host, kind, what was found and what is expected, in a sentence without its full stop.
    pub found: String,
}

/// What DNS shows that is not as it must be while the target has this share: missing records of the source first.
pub fn amiss<'a>(run: &'a Run<'_>, share: Weight) -> Vec<Amiss<'a>> {
    let mut all: Vec<_> = places(run).into_iter().flat_map(|place| at_place(run, place, share)).collect();
    all.sort_by_key(|it| (!it.is_missing, it.side == Side::Target));
    all
}

fn at_place<'a>(run: &'a Run<'_>, place: Place<'a>, share: Weight) -> Vec<Amiss<'a>> {
    match run.observed.dns.hosts.get(place.host).map(|view| &view.evidence) {
        Some(Evidence::Listed(records)) => {
            let kinds = known_kinds(run, place.host, records).into_iter();
            let kinds = kinds.filter(|kind| !is_answered_otherwise(records, *kind));
            kinds.flat_map(|kind| of_kind(run, place, records, kind, share)).collect()
        }
        Some(Evidence::Answered { .. }) => by_answers(run, place, share).into_iter().collect(),
        None => vec![],
    }
}

fn of_kind<'a>(
    run: &Run<'_>,
    place: Place<'a>,
    records: &[ListedRecord],
    kind: RecordKind,
    share: Weight,
) -> Vec<Amiss<'a>> {
    let here: Vec<_> = records.iter().filter(|record| record.set.kind == kind).cloned().collect();
    let has = |side: Side| here.iter().any(|record| listed::is_of(record, place, side));
    let is_zero = |record: &ListedRecord| record.set.routing == Routing::Weighted(Weight::ZERO);
    let are_all_zero = has(Side::Source) && has(Side::Target) && here.iter().all(is_zero);
    let weights = [Side::Source, Side::Target].map(|side| weight(place, &here, side));
    let sides = [(Side::Source, share.complement()), (Side::Target, share)];
    let amiss = sides.into_iter().filter_map(|(side, weight)| {
        let (is_missing, found) = unlike(place, &here, side, kind, weight)?;
        let share = (!here.is_empty()).then(|| listed::share_of(run, place.host, &here));
        Some(Amiss { host: place.host, side, is_missing, share, weights, are_all_zero, found })
    });
    amiss.collect()
}

fn weight(place: Place<'_>, here: &[ListedRecord], side: Side) -> Option<Weight> {
    match here.iter().find(|record| listed::is_of(record, place, side))?.set.routing {
        Routing::Weighted(weight) => Some(weight),
        Routing::Simple | Routing::Other(_) => None,
    }
}

/// Whether the record is missing, and the sentence. None when it is as it must be.
fn unlike(
    place: Place<'_>,
    here: &[ListedRecord],
    side: Side,
    kind: RecordKind,
    weight: Weight,
) -> Option<(bool, String)> {
    let (host, identifier, kind) = (place.host, place.planned.identifier(side), kind.name());
    let Some(record) = here.iter().find(|record| listed::is_of(record, place, side)) else {
        let found = listed::texts(here);
        let found = if found.is_empty() { "no record at all".to_owned() } else { found };
        let missing = format!(
            "{host} has no {kind} record {identifier} of the {side} any more: weight {weight} is expected, {found} is there"
        );
        return Some((true, missing));
    };
    let found = listed::routing(&record.set.routing);
    let other =
        format!("the {kind} record {identifier} of {host} has {found}; weight {weight} is expected, the {side}'s");
    (record.set.routing != Routing::Weighted(weight)).then_some((false, other))
}

/// Name servers prove no share. But they show when nobody answers, and, where the target has everything, when somebody else does.
fn by_answers<'a>(run: &Run<'_>, place: Place<'a>, share: Weight) -> Option<Amiss<'a>> {
    let Some(Evidence::Answered { servers, .. }) = run.observed.dns.hosts.get(place.host).map(|view| &view.evidence)
    else {
        return None;
    };
    let (name, source) = (place.host, answered::addresses(run, place, Side::Source));
    let found = servers.iter().find_map(|((server, kind), answers)| {
        let kind = kind.name();
        if !answers.seen.is_empty() && answers.empty.is_some_and(|empty| empty.answers_since == 0) {
            return Some(format!("name server {server} answers nothing any more for {name} ({kind})"));
        }
        let mut last = answers.seen.iter().filter(|(_, seen)| seen.answers_since == 0);
        let (address, _) = last.find(|(address, _)| share == Weight::FULL && source.contains(*address))?;
        Some(format!(
            "name server {server} answers {address} for {name} ({kind}), which is the source's and must not answer"
        ))
    })?;
    let (host, side) = (place.host, Side::Target);
    Some(Amiss { host, side, is_missing: true, share: None, weights: [None; 2], are_all_zero: false, found })
}

/// A wait where the last reading is too old to say anything: what nobody has seen does not count.
pub fn stale(run: &Run<'_>, what: &str) -> Option<Wait> {
    let dns = &run.observed.dns;
    places(run).into_iter().find_map(|place| {
        let trouble = dns.trouble.get(place.host);
        let last = dns.hosts.get(place.host).map(|view| view.read_at);
        let is_old = last.map_or(trouble.is_some(), |last| run.now.duration_since(last) > STALE);
        let ago =
            last.map_or(String::new(), |last| format!(" It was read last at {}.", super::super::run::seconds(last).0));
        let trouble = trouble.map_or("nobody has answered", String::as_str);
        is_old.then(|| {
            patience::unreadable(Goal::Gives(Side::Source, Weight::ZERO), what, place.host, &format!("{trouble}{ago}"))
        })
    })
}
