//! What Route 53 refuses beside the source's records: another TTL, and other kinds beside a CNAME.

use std::net::IpAddr;

use jiff::SignedDuration;

use super::{Cause, is_of, listed};
use crate::api::DurationText;
use crate::machine::gate::{self, Goal, Place};
use crate::machine::observed::Side;
use crate::machine::published::{self, Aliases};
use crate::machine::records::{ListedRecord, RecordKind};
use crate::machine::run::{Run, words};

/// TTL that external-dns gives a plain record where nobody says one.
const USUAL: SignedDuration = SignedDuration::from_secs(300);

/// Why the target's record is not there, though external-dns may want it.
pub(super) fn told(run: &Run<'_>, goal: Goal) -> Option<Cause> {
    if goal != Goal::TargetPublished {
        return None;
    }
    gate::places(run).into_iter().find_map(|place| {
        let records = listed(run, place.host);
        beside_cname(run, place, records)
            .or_else(|| kind_is_missing(run, place, records))
            .or_else(|| by_ttl(run, place, records))
            .or_else(|| by_unknown_ttl(run, place, records))
    })
}

fn sources<'a>(place: Place<'a>, records: &'a [ListedRecord]) -> impl Iterator<Item = &'a ListedRecord> {
    records.iter().filter(move |record| is_of(record, place, Side::Source))
}

/// Nothing may stand beside a CNAME.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#CNAMEFormat>
fn beside_cname(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let (host, name) = (place.host, &place.planned.name);
    let addresses = &run.ingress(Side::Target, place.planned)?.addresses;
    let address = addresses.iter().find(|address| address.parse::<IpAddr>().is_ok())?;
    sources(place, records).find(|record| record.set.kind == RecordKind::Cname)?;
    Some(Cause::new(
        format!(
            "The source's record of {host} is a CNAME, and the target's load balancer has the address {address}, which makes it an A or AAAA \
             record: Route 53 keeps nothing beside a CNAME."
        ),
        format!(
            "Let the load balancers of Ingress {name} be of one kind on both sides: both with a name, or both with addresses."
        ),
    ))
}

/// The target is there in one kind and not in another that the source has.
fn kind_is_missing(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let has =
        |kind: RecordKind| records.iter().any(|record| is_of(record, place, Side::Target) && record.set.kind == kind);
    if !records.iter().any(|record| is_of(record, place, Side::Target)) {
        return None;
    }
    let kind = sources(place, records).map(|record| record.set.kind).find(|kind| !has(*kind))?.name();
    let host = place.host;
    let excluded = run.observed.dns.target.filters.leave_out_kind(kind);
    let why = if excluded {
        "its external-dns leaves that kind out (--exclude-record-types, --managed-record-types)"
    } else {
        "its external-dns leaves that kind out, or its load balancer has no such address (inferred)"
    };
    Some(Cause::new(
        format!(
            "The source has a record of kind {kind} at {host} and the target has others, but not that one: {why}. Users of {kind} would stay on the source."
        ),
        format!(
            "Make both external-dns publish the same kinds of records: the annotation alias on both Ingresses {}, or the same --exclude-record-types.",
            place.planned.name
        ),
    ))
}

/// One TTL for all records of a weighted set, or Route 53 refuses the second one. Known before it is published where an annotation
/// or the Deployment says it.
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html#Route53-Type-ResourceRecordSet-TTL>
pub(super) fn by_ttl(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let (expected, by) = expected_ttl(run, place)?;
    let (record, ttl) = plain_pair(run, place, records).find(|(_, ttl)| *ttl != expected)?;
    let (host, kind, name) = (place.host, record.set.kind.name(), &place.planned.name);
    let prefix = &run.order.target.annotation_prefix;
    Some(Cause::new(
        format!(
            "The source's {kind} record of {host} has a TTL of {}, and the target's would get {} ({by}): Route 53 refuses two TTLs in one \
             weighted set.",
            words(ttl),
            words(expected)
        ),
        format!("Give Ingress {name} on the target the annotation {prefix}ttl: \"{}\".", ttl.as_secs()),
    ))
}

/// What nobody says is only likely.
fn by_unknown_ttl(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    if expected_ttl(run, place).is_some() || records.iter().any(|record| is_of(record, place, Side::Target)) {
        return None;
    }
    let (record, ttl) = plain_pair(run, place, records).find(|(_, ttl)| *ttl != USUAL)?;
    let (host, kind, name) = (place.host, record.set.kind.name(), &place.planned.name);
    let prefix = &run.order.target.annotation_prefix;
    Some(Cause::new(
        format!(
            "The source's {kind} record of {host} has a TTL of {}; Ingress {name} on the target says none, and external-dns then takes {} \
             unless --min-ttl says otherwise: Route 53 refuses two TTLs in one weighted set (inferred).",
            words(ttl),
            words(USUAL)
        ),
        format!(
            "Give Ingress {name} on the target the annotation {prefix}ttl: \"{}\"; if that does not help, look at the log of the target's \
             external-dns.",
            ttl.as_secs()
        ),
    ))
}

/// The source's records with a TTL of their own, in the kinds in which the target's would have one too. An alias has none.
fn plain_pair<'a>(
    run: &'a Run<'_>,
    place: Place<'a>,
    records: &'a [ListedRecord],
) -> impl Iterator<Item = (&'a ListedRecord, SignedDuration)> {
    let addresses = run.ingress(Side::Target, place.planned).map(|facts| &facts.addresses);
    let plain = addresses.map(|addresses| published::kinds(addresses, Aliases::Never)).unwrap_or_default();
    let of_source = records.iter().filter(move |record| !is_of(record, place, Side::Target));
    of_source
        .filter_map(move |record| Some((record, record.set.ttl?)))
        .filter(move |(record, _)| plain.contains(&record.set.kind))
}

/// The TTL that the target's record would get, and who says so.
fn expected_ttl(run: &Run<'_>, place: Place<'_>) -> Option<(SignedDuration, String)> {
    let facts = run.ingress(Side::Target, place.planned)?;
    if let Some(ttl) = facts.ttl_text.as_deref().and_then(parsed) {
        return Some((ttl, "by the annotation ttl of its Ingress".to_owned()));
    }
    let usual = run.observed.dns.target.usual_ttl?;
    Some((usual, "its Ingress says none, and its external-dns takes that".to_owned()))
}

/// Whole seconds, or a duration as Go writes it; what is neither is no TTL to external-dns either.
fn parsed(text: &str) -> Option<SignedDuration> {
    let seconds = text.parse().map(SignedDuration::from_secs).ok();
    seconds.or_else(|| DurationText::from(text).span().ok()).filter(|ttl| *ttl >= SignedDuration::from_secs(1))
}
