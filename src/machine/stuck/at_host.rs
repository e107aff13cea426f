//! What stands at a host that can never be shifted as it is.

use std::collections::BTreeSet;

use super::{Cause, is_of, listed, owners, refused};
use crate::machine::alone;
use crate::machine::gate::{self, Place};
use crate::machine::observed::Side;
use crate::machine::reason::Reason;
use crate::machine::records::{ListedRecord, Owner, Routing};
use crate::machine::run::{Run, Wait};

/// A wait because of what stands at a host, if it can never be shifted as it is.
pub(in crate::machine) fn unshiftable(run: &Run<'_>) -> Option<Wait> {
    let at_hosts = gate::places(run).into_iter().find_map(|place| {
        let records = listed(run, place.host);
        other_routing(place, records)
            .or_else(|| third_record(run, place, records))
            .or_else(|| leads_to_the_source(place, records))
            .or_else(|| alone::cause(run, place))
            .or_else(|| refused::by_ttl(run, place, records))
    });
    let cause = at_hosts.or_else(|| owners::one_owner(run))?;
    Some(Wait::new(Reason::DnsBlocked, cause.found).unblocked_by(cause.fix).stalled())
}

/// Latency, failover and the like cannot become weighted cluster by cluster.
fn other_routing(place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let (record, word) = records.iter().find_map(|record| match &record.set.routing {
        Routing::Other(word) => Some((record, word)),
        Routing::Simple | Routing::Weighted(_) => None,
    })?;
    let (host, kind) = (place.host, record.set.kind.name());
    Some(Cause::new(
        format!("The {kind} record of {host} has {word} routing; only simple and weighted records can be shifted."),
        format!("Make the record of {host} a simple one, or leave its Ingress out (spec.ingresses.exclude)."),
    ))
}

/// Somebody else's record takes a share that nobody here can give away.
fn third_record(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let ours: BTreeSet<_> = gate::places_at(run, place.host)
        .flat_map(|other| [other.planned.identifier(Side::Source), other.planned.identifier(Side::Target)])
        .collect();
    let (record, identifier, weight) =
        records.iter().find_map(|record| match (&record.set.identifier, &record.set.routing) {
            (Some(identifier), Routing::Weighted(weight)) if !ours.contains(identifier) => {
                Some((record, identifier, weight))
            }
            _ => None,
        })?;
    let (host, kind) = (place.host, record.set.kind.name());
    let writer = match &record.set.owner {
        Owner::Named(owner) => format!("written by external-dns {owner}"),
        Owner::Absent { .. } => "without an ownership record, so written by no external-dns that is known".to_owned(),
        Owner::Unread => "whose owner has not been read".to_owned(),
    };
    Some(Cause::new(
        format!(
            "There is a third {kind} record at {host}: {identifier} with weight {weight}, {writer}. It takes a share that is not this migration's to move."
        ),
        format!("Remove the record {identifier} of {host}, or what publishes it."),
    ))
}

/// A copied `target` annotation points the target's record at the source's load balancer.
fn leads_to_the_source(place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let of = |side: Side| records.iter().filter(move |record| is_of(record, place, side));
    let target = of(Side::Target).find(|target| {
        of(Side::Source).any(|source| source.set.kind == target.set.kind && source.set.leads_to == target.set.leads_to)
    })?;
    let (host, kind, to) = (place.host, target.set.kind.name(), target.set.leads_to.join(", "));
    Some(Cause::new(
        format!("The target's {kind} record of {host} leads to {to}, as the source's does: nobody would be moved."),
        format!("Take external-dns's target annotation off Ingress {} on the target.", place.planned.name),
    ))
}
