//! The kinds of records that a host has and had. Who asks for a kind that is gone gets no answer, so what was once listed is missed
//! until it is there again: status remembers it, since a list does not tell what is not on it.

use std::collections::BTreeSet;

use super::listed::is_targets;
use super::places_at;
use crate::machine::observed::Side;
use crate::machine::records::{ListedRecord, RecordKind, Routing};
use crate::machine::run::Run;

/// The kinds that are listed at a host, or were in this attempt, but those that only the target ever had.
pub(super) fn known_kinds(run: &Run<'_>, host: &str, records: &[ListedRecord]) -> BTreeSet<RecordKind> {
    let listed =
        records.iter().map(|record| record.set.kind).filter(|kind| !is_only_targets(run, host, records, *kind));
    listed.chain(remembered(run, host)).collect()
}

/// The kinds of a host's row in status, but those that only the target ever had.
pub fn remembered(run: &Run<'_>, host: &str) -> BTreeSet<RecordKind> {
    let rows = run.status.dns.iter().filter(|row| row.host == host && !row.only_target);
    rows.filter_map(|row| RecordKind::parse(&row.kind)).collect()
}

/// Whether a kind is listed of the target alone and the source has had none in this attempt, while it has one of another kind. One that
/// the source has lost is missed instead.
pub fn is_only_targets(run: &Run<'_>, host: &str, records: &[ListedRecord], kind: RecordKind) -> bool {
    let of_kind: Vec<_> = records.iter().filter(|record| record.set.kind == kind).collect();
    let before = run.status.dns.iter().find(|row| row.host == host && row.kind == kind.name());
    let others_are_elsewhere =
        || records.iter().any(|record| record.set.kind != kind && !is_targets(run, host, record));
    !of_kind.is_empty()
        && match before.map(|row| row.only_target) {
            Some(false) => false,
            // A simple record shows whose it is only while its load balancer has that address.
            Some(true) => !of_kind.iter().any(|record| has_sources_identifier(run, host, record)),
            None => others_are_elsewhere() && of_kind.iter().all(|record| is_targets(run, host, record)),
        }
}

/// A kind in which the host had a record and the source has none, in a sentence with what to do.
pub(super) fn without_source(run: &Run<'_>, host: &str, records: &[ListedRecord]) -> Option<String> {
    let known = known_kinds(run, host, records);
    known.into_iter().find_map(|kind| kind_without_source(run, host, records, kind))
}

/// The same of one kind.
pub(super) fn kind_without_source(
    run: &Run<'_>,
    host: &str,
    records: &[ListedRecord],
    kind: RecordKind,
) -> Option<String> {
    let of_source = records.iter().filter(|record| is_sources(run, host, record));
    let answered: BTreeSet<_> = of_source.map(|record| record.set.kind).collect();
    if is_answered(&answered, kind) {
        return None;
    }
    let why = match unaddressed(run, Side::Source, host) {
        Some(name) => {
            format!("Ingress {name} on the source has no load balancer address: look at its ingress controller.")
        }
        None => "Look at the log of the source's external-dns why it does not publish it.".to_owned(),
    };
    let kind = kind.name();
    Some(format!(
        "{host} has no {kind} record of the source any more, so that who asks for one is not led there. {why}"
    ))
}

/// An Ingress of this host that has no load balancer address: external-dns publishes nothing for it, and takes away what it had.
pub fn unaddressed<'a>(run: &'a Run<'_>, side: Side, host: &str) -> Option<&'a str> {
    let mut planned = places_at(run, host).map(|place| place.planned);
    let found = planned.find(|planned| run.ingress(side, planned).is_some_and(|facts| facts.addresses.is_empty()));
    found.map(|planned| planned.name.as_str())
}

/// A name leads to addresses of every kind, and addresses may take the place of a name.
fn is_answered(answered: &BTreeSet<RecordKind>, kind: RecordKind) -> bool {
    let by_name = answered.contains(&RecordKind::Cname);
    answered.contains(&kind) || by_name || (kind == RecordKind::Cname && !answered.is_empty())
}

/// Whether a kind of which nothing is listed is answered by records of another one.
pub(super) fn is_answered_otherwise(records: &[ListedRecord], kind: RecordKind) -> bool {
    let listed: BTreeSet<_> = records.iter().map(|record| record.set.kind).collect();
    !listed.contains(&kind) && is_answered(&listed, kind)
}

/// Weighted with an identifier of the source's, or simple and not the target's.
fn is_sources(run: &Run<'_>, host: &str, record: &ListedRecord) -> bool {
    let is_simple = record.set.identifier.is_none() && record.set.routing == Routing::Simple;
    has_sources_identifier(run, host, record) || (is_simple && !is_targets(run, host, record))
}

fn has_sources_identifier(run: &Run<'_>, host: &str, record: &ListedRecord) -> bool {
    let found = record.set.identifier.as_deref();
    found.is_some_and(|found| places_at(run, host).any(|place| place.planned.identifier(Side::Source) == found))
}
