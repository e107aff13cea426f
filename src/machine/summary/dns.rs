//! What a person reads of DNS: per host and kind what is wanted, written and served, and how that is known.

use std::collections::BTreeSet;

use crate::api::Stage;
use crate::api::status::RecordTraffic;
use crate::machine::gate::{self, Verification};
use crate::machine::observed::Side;
use crate::machine::records::{Evidence, ListedRecord, RecordKind, Routing};
use crate::machine::run::{Run, seconds, words};
use crate::machine::stages::is_rollback;
use crate::machine::traffic::target_share;

/// What it says where nobody asks.
pub(super) const NOBODY_ASKS: &str =
    "AnnotationOnly: nobody looks at DNS. Served is assumed after interval, propagation and TTL.";

/// Writes the rows of each host and kind, and the highest served share.
pub(super) fn write(run: &mut Run<'_>) {
    means(run.order.dns.verification).clone_into(&mut run.status.dns_verification);
    let hosts: BTreeSet<String> = gate::places(run).into_iter().map(|place| place.host.to_owned()).collect();
    let rows: Vec<_> = hosts.iter().flat_map(|host| rows(run, host)).collect();
    run.status.served = rows.iter().filter_map(|row| row.served).max();
    run.status.dns = rows;
}

/// What a backend proves and what it does not.
fn means(verification: Verification) -> &'static str {
    match verification {
        Verification::AnnotationOnly => NOBODY_ASKS,
        Verification::Route53 => {
            "Route53: the list of records is read. Served is what has been listed without a break for the propagation time."
        }
        Verification::AuthoritativeDns => {
            "AuthoritativeDNS: the zone's name servers are asked. Proved are who answers and who does not; shares are assumed after a time."
        }
    }
}

fn rows(run: &Run<'_>, host: &str) -> Vec<RecordTraffic> {
    let kinds = gate::kinds(run, host);
    if kinds.is_empty() {
        return vec![unseen(run, host)];
    }
    kinds.into_iter().map(|kind| row(run, host, kind)).collect()
}

fn unseen(run: &Run<'_>, host: &str) -> RecordTraffic {
    let found = run.observed.dns.trouble.get(host).cloned().unwrap_or_default();
    RecordTraffic {
        host: host.to_owned(),
        kind: "Any".to_owned(),
        desired: desired(run),
        written: written(run, host),
        served: None,
        proof: gate::proof(run, host, None),
        ttl: String::new(),
        since: None,
        found,
    }
}

fn row(run: &Run<'_>, host: &str, kind: RecordKind) -> RecordTraffic {
    let unseen = RecordTraffic { proof: gate::proof(run, host, Some(kind)), ..unseen(run, host) };
    let trouble = run.observed.dns.trouble.get(host).map(|why| format!(" (as last read: {why})")).unwrap_or_default();
    let row = match run.observed.dns.hosts.get(host).map(|view| &view.evidence) {
        Some(Evidence::Listed(records)) => {
            let of_kind: Vec<_> = records.iter().filter(|record| record.set.kind == kind).cloned().collect();
            let ttl = of_kind.iter().map(|record| record.set.ttl.unwrap_or(run.order.dns.follow.record_ttl)).max();
            RecordTraffic {
                served: Some(gate::share_of(run, host, &of_kind)),
                ttl: ttl.map(words).unwrap_or_default(),
                since: of_kind.iter().map(|record| record.since).max().map(seconds),
                found: of_kind.iter().map(text).collect::<Vec<_>>().join(", "),
                ..unseen
            }
        }
        _ => RecordTraffic { found: who_answers(run, host, kind), ..unseen },
    };
    RecordTraffic { kind: kind.name().to_owned(), found: format!("{}{trouble}", row.found), ..row }
}

/// Who is among the last answers. No shares: those are not seen, and would be news with each answer.
fn who_answers(run: &Run<'_>, host: &str, kind: RecordKind) -> String {
    let here = gate::places(run).into_iter().filter(|place| place.host == host);
    let sides: BTreeSet<_> = here.flat_map(|place| gate::heard(run, place, kind)).collect();
    let sides: Vec<_> = sides.into_iter().map(Side::name).collect();
    if sides.is_empty() { "neither side answers".to_owned() } else { format!("answered by {}", sides.join(" and ")) }
}

fn text(record: &ListedRecord) -> String {
    let name = record.set.identifier.as_deref().unwrap_or("simple record");
    match &record.set.routing {
        Routing::Simple => name.to_owned(),
        Routing::Weighted(weight) => format!("{name} {weight}"),
        Routing::Other(routing) => format!("{name} ({routing})"),
    }
}

/// The target's share that is wanted now.
fn desired(run: &Run<'_>) -> i32 {
    match run.status.stage {
        stage if is_rollback(stage) => 0,
        Stage::ShiftTraffic => super::step_weight(run),
        Stage::Bake | Stage::Completed => 100,
        _ => 0,
    }
}

/// The target's share by the weights on the Ingresses of a host.
fn written(run: &Run<'_>, host: &str) -> i32 {
    let weights = |side: Side| -> Vec<_> {
        let here = gate::places(run).into_iter().filter(|place| place.host == host);
        here.filter_map(|place| run.ingress(side, place.planned)?.weight()).collect()
    };
    let (source, target) = (weights(Side::Source), weights(Side::Target));
    // Without weights on the source its record is a simple one, and a weighted one beside it is refused.
    if source.is_empty() && target.iter().all(|weight| weight.get() == 0) {
        return 0;
    }
    target_share(&source, &target)
}
