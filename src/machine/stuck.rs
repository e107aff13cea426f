//! Telling a stuck DNS from a sick application: what stands at a host that can never be shifted, and why external-dns may not
//! follow. Causes are told from what Route 53 lists, the ownership records and what is known of external-dns; what is only
//! likely says so.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::alone;
use super::gate::{self, Goal, Place};
use super::observed::{IngressFacts, Side};
use super::reason::Reason;
use super::records::{Evidence, ExternalDnsView, ListedRecord, Routing};
use super::run::{Run, Wait};
use super::traffic::Weight;

/// Why DNS does not follow, and what to do.
pub(super) struct Cause {
    pub found: String,
    pub fix: String,
}

impl Cause {
    fn new(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { found: found.into(), fix: fix.into() }
    }
}

/// A wait because of what stands at a host, if it can never be shifted as it is.
pub(super) fn unshiftable(run: &Run<'_>) -> Option<Wait> {
    let cause = gate::places(run).into_iter().find_map(|place| {
        let records = listed(run, place.host);
        other_routing(place, records)
            .or_else(|| third_record(run, place, records))
            .or_else(|| leads_to_the_source(place, records))
            .or_else(|| alone::cause(run, place))
    })?;
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
    let here = gate::places(run).into_iter().filter(|other| other.host == place.host);
    let ours: BTreeSet<_> = here
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
    let owner = record.set.owner.as_ref().map_or("nobody known".to_owned(), |owner| format!("external-dns {owner}"));
    Some(Cause::new(
        format!(
            "There is a third {kind} record at {host}: {identifier} with weight {weight}, written by {owner}. It takes a share that is not this migration's to move."
        ),
        format!("Remove the record {identifier} of {host}, or what publishes it."),
    ))
}

/// A copied `target` annotation points the target's record at the source's load balancer.
fn leads_to_the_source(place: Place<'_>, records: &[ListedRecord]) -> Option<Cause> {
    let of = |side: Side| {
        records.iter().filter(move |record| record.set.identifier.as_ref() == Some(place.planned.identifier(side)))
    };
    let target = of(Side::Target).find(|target| {
        of(Side::Source).any(|source| source.set.kind == target.set.kind && source.set.leads_to == target.set.leads_to)
    })?;
    let (host, kind, to) = (place.host, target.set.kind.name(), target.set.leads_to.join(", "));
    Some(Cause::new(
        format!("The target's {kind} record of {host} leads to {to}, as the source's does: nobody would be moved."),
        format!("Take external-dns's target annotation off Ingress {} on the target.", place.planned.name),
    ))
}

/// Why a gate that is late stays closed, as far as it can be told.
pub(super) fn explain(run: &Run<'_>, goal: Goal, written: Timestamp) -> Cause {
    let side = side_of(run, goal);
    let external_dns = match side {
        Side::Source => &run.observed.dns.source,
        Side::Target => &run.observed.dns.target,
    };
    told(run, side, goal, external_dns)
        .or_else(|| told_by_metrics(side, external_dns, written))
        .unwrap_or_else(|| likely(run, side, goal))
}

/// The side whose external-dns has not followed.
fn side_of(run: &Run<'_>, goal: Goal) -> Side {
    match goal {
        Goal::SourceWeighted(_) => Side::Source,
        Goal::TargetPublished => Side::Target,
        Goal::Receives(side, _) | Goal::Gives(side, _) => side,
        Goal::AsWritten => edited(run),
        Goal::SourceServesAll => {
            let target_has = |place: &Place<'_>| {
                listed(run, place.host).iter().any(|record| {
                    record.set.identifier.as_ref() == Some(place.planned.identifier(Side::Target))
                        && record.set.routing != Routing::Weighted(Weight::ZERO)
                })
            };
            if gate::places(run).iter().any(target_has) { Side::Target } else { Side::Source }
        }
    }
}

/// The side of which a record differs from what is written.
fn edited(run: &Run<'_>) -> Side {
    let differs = |side: Side| {
        gate::places(run).into_iter().any(|place| {
            let written = run.ingress(side, place.planned).and_then(IngressFacts::weight).map(Routing::Weighted);
            let mut of_side = listed(run, place.host)
                .iter()
                .filter(|record| record.set.identifier.as_ref() == Some(place.planned.identifier(side)));
            of_side.any(|record| Some(&record.set.routing) != written.as_ref())
        })
    };
    if differs(Side::Source) { Side::Source } else { Side::Target }
}

fn listed<'a>(run: &'a Run<'_>, host: &str) -> &'a [ListedRecord] {
    match run.observed.dns.hosts.get(host).map(|view| &view.evidence) {
        Some(Evidence::Listed(records)) => records,
        _ => &[],
    }
}

/// What the Deployment, the pair and the ownership records say outright.
fn told(run: &Run<'_>, side: Side, goal: Goal, external_dns: &ExternalDnsView) -> Option<Cause> {
    let rules = run.order.rules(side);
    let name = format!("external-dns of the {side}");
    if external_dns.ready == Some(0) {
        return Some(Cause::new(
            format!("The {name} has no ready Pod."),
            format!("Bring the {name} back; it goes on by itself."),
        ));
    }
    let policy = external_dns.policy.as_ref().or(rules.policy.as_ref()).filter(|policy| *policy != "sync");
    if let Some(policy) = policy.filter(|_| goal != Goal::TargetPublished) {
        return Some(Cause::new(
            format!("The {name} runs with --policy={policy}, which never turns a simple record into a weighted one."),
            format!("Run the {name} with --policy=sync."),
        ));
    }
    if let Some(prefix) = external_dns.annotation_prefix.as_ref().filter(|prefix| **prefix != rules.annotation_prefix) {
        return Some(Cause::new(
            format!(
                "The {name} reads annotations that begin with {prefix}, the ClusterPair says {}.",
                rules.annotation_prefix
            ),
            format!(
                "Mend spec.{side}.externalDNS.annotationPrefix of ClusterPair {}, or --annotation-prefix.",
                run.order.pair
            ),
        ));
    }
    same_owner(run).or_else(|| foreign_owner(run, side, external_dns))
}

/// Each of the two takes the other's records for its own orphans, and removes them.
fn same_owner(run: &Run<'_>) -> Option<Cause> {
    let dns = &run.observed.dns;
    let source = dns.source.owner.as_ref().or(run.order.source.owner_id.as_ref())?;
    let target = dns.target.owner.as_ref().or(run.order.target.owner_id.as_ref())?;
    (source == target).then(|| {
        Cause::new(
            format!("Both external-dns have the owner id {source}: each removes the other's records."),
            "Give each external-dns its own --txt-owner-id.",
        )
    })
}

fn foreign_owner(run: &Run<'_>, side: Side, external_dns: &ExternalDnsView) -> Option<Cause> {
    let expected = external_dns.owner.as_ref().or(run.order.rules(side).owner_id.as_ref())?;
    gate::places(run).into_iter().find_map(|place| {
        let record = listed(run, place.host).iter().find(|record| {
            let simple = side == Side::Source && record.set.routing == Routing::Simple;
            simple || record.set.identifier.as_ref() == Some(place.planned.identifier(side))
        })?;
        let (host, kind) = (place.host, record.set.kind.name());
        match &record.set.owner {
            Some(owner) if owner == expected => None,
            Some(owner) => Some(Cause::new(
                format!("The {kind} record of {host} belongs to the external-dns {owner}; the {side}'s is {expected} and leaves it alone."),
                format!("Let {owner} give the record up (--txt-owner-id), or mend spec.{side}.externalDNS.ownerID of ClusterPair {}.", run.order.pair),
            )),
            None => Some(Cause::new(
                format!("The {kind} record of {host} has no ownership record, so that no external-dns touches it."),
                format!("Delete the record of {host} by hand at a quiet time, or add external-dns's ownership TXT record for {expected}."),
            )),
        }
    })
}

/// What its own metrics say: it has not passed since, or it has and left this out.
fn told_by_metrics(side: Side, external_dns: &ExternalDnsView, written: Timestamp) -> Option<Cause> {
    let last = external_dns.last_sync?;
    if last <= written {
        return Some(Cause::new(
            format!(
                "The external-dns of the {side} has had no pass without an error since {last}: it is down, or it fails because of somebody's record."
            ),
            format!(
                "Look at the log of the {side}'s external-dns (InvalidChangeBatch names the record) and mend what it names."
            ),
        ));
    }
    Some(Cause::new(
        format!(
            "The external-dns of the {side} has passed without an error since, and left this Ingress out (inferred)."
        ),
        format!(
            "Look at its filters (--ingress-class, --annotation-filter, --label-filter, --namespace, --domain-filter) and at the annotation controller of the {side}'s Ingress."
        ),
    ))
}

/// Nobody tells: the most frequent causes, as such.
fn likely(run: &Run<'_>, side: Side, goal: Goal) -> Cause {
    let prefix = &run.order.rules(side).annotation_prefix;
    let mut causes = vec![
        format!("the external-dns of the {side} is down or behind"),
        "it fails because of somebody's record (its log says InvalidChangeBatch)".to_owned(),
        format!("it does not read {prefix}, or a filter leaves this Ingress out"),
    ];
    match goal {
        Goal::SourceWeighted(_) => {
            causes.push("it does not run with --policy=sync, or the record is another owner's".to_owned());
        }
        Goal::AsWritten => causes.insert(0, "somebody has changed the record in the zone itself".to_owned()),
        Goal::TargetPublished => {
            causes.push("its record differs in TTL or kind from the source's, and Route 53 refuses it".to_owned());
        }
        _ => {}
    }
    Cause::new(
        format!("Likely causes (inferred, the most likely first): {}.", causes.join("; ")),
        format!(
            "Look at the log of the {side}'s external-dns. Weights stay until DNS follows, and it goes on by itself."
        ),
    )
}
