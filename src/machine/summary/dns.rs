//! What a person reads of DNS: per host and kind what is wanted, written and served, and how that is known.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::served;
use crate::api::Stage;
use crate::api::status::{NamespaceMigrationStatus, RecordTraffic};
use crate::machine::gate::{self, OpenGate, Verification};
use crate::machine::observed::Side;
use crate::machine::records::{Evidence, ListedRecord, RecordKind, Routing};
use crate::machine::run::{Run, seconds, words};
use crate::machine::stages::is_rollback;
use crate::machine::traffic::target_share;

/// What it says where nobody asks.
pub(super) const NOBODY_ASKS: &str =
    "AnnotationOnly: nobody looks at DNS. Served is assumed after interval, propagation and TTL.";

/// Writes the rows of each host and kind, each with what the gate waits for there, and the highest served share.
pub(super) fn write(run: &mut Run<'_>, gate: Option<OpenGate>) {
    means(run.order.dns.verification).clone_into(&mut run.status.dns_verification);
    let hosts: BTreeSet<_> = gate::places(run).into_iter().map(|place| place.host).collect();
    let rows = served::settle(run, gate, hosts.into_iter().flat_map(|host| rows(run, gate, host)).collect());
    run.status.served = rows.iter().filter_map(|row| row.served).max();
    run.status.dns = rows;
}

/// At an end nothing waits any more. What was last seen to be served stays.
pub(super) fn open_gates(status: &mut NamespaceMigrationStatus) {
    for row in &mut status.dns {
        (row.gate, row.waits_for, row.written_since) = (String::new(), String::new(), None);
    }
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

fn rows(run: &Run<'_>, gate: Option<OpenGate>, host: &str) -> Vec<RecordTraffic> {
    let kinds = gate::kinds(run, host);
    if kinds.is_empty() {
        return vec![unseen(run, gate, host)];
    }
    kinds.into_iter().map(|kind| at_gate(run, gate, kind, row(run, host, kind))).collect()
}

/// A row with what the gate waits for there.
pub(super) fn at_gate(run: &Run<'_>, gate: Option<OpenGate>, kind: RecordKind, row: RecordTraffic) -> RecordTraffic {
    let Some(open) = gate else { return row };
    let missing = gate::waits_for(run, open, &row.host, kind);
    closed(row, open, missing)
}

/// A row at which a gate is closed, if something is missing there.
fn closed(row: RecordTraffic, gate: OpenGate, missing: String) -> RecordTraffic {
    if missing.is_empty() {
        return row;
    }
    RecordTraffic { gate: gate.goal.words(), waits_for: missing, written_since: Some(seconds(gate.written)), ..row }
}

/// Nothing is known of the host's records.
fn unseen(run: &Run<'_>, gate: Option<OpenGate>, host: &str) -> RecordTraffic {
    let trouble = run.observed.dns.trouble.get(host).cloned();
    let row = RecordTraffic { found: trouble.clone().unwrap_or_default(), ..empty(run, host, "Any") };
    let Some(open) = gate else { return row };
    let by_clock = (!run.order.dns.is_verified())
        .then(|| open.written.saturating_add(run.order.dns.settle_time()).unwrap_or(Timestamp::MAX))
        .map(|until| format!("Nobody looks: it counts as served from {} on.", seconds(until).0));
    let unread = trouble.map(|_| "DNS cannot be read.".to_owned());
    let missing = by_clock
        .or(unread)
        .unwrap_or_else(|| format!("{host} has no record that leads anywhere, or has not been read yet."));
    closed(row, open, missing)
}

fn empty(run: &Run<'_>, host: &str, kind: &str) -> RecordTraffic {
    RecordTraffic {
        host: host.to_owned(),
        kind: kind.to_owned(),
        desired: desired(run),
        written: written(run, host),
        served: None,
        proof: gate::proof(run, host, None),
        ttl: String::new(),
        since: None,
        gate: String::new(),
        waits_for: String::new(),
        written_since: None,
        found: String::new(),
        only_target: false,
    }
}

fn row(run: &Run<'_>, host: &str, kind: RecordKind) -> RecordTraffic {
    let empty = RecordTraffic { proof: gate::proof(run, host, Some(kind)), ..empty(run, host, kind.name()) };
    let row = match run.observed.dns.hosts.get(host).map(|view| &view.evidence) {
        Some(Evidence::Listed(records)) => {
            let of_kind: Vec<_> = records.iter().filter(|record| record.set.kind == kind).cloned().collect();
            let ttl = of_kind.iter().map(|record| record.set.ttl.unwrap_or(run.order.dns.follow.record_ttl)).max();
            RecordTraffic {
                served: Some(gate::share_of(run, host, &of_kind)),
                ttl: ttl.map(words).unwrap_or_default(),
                since: of_kind.iter().map(|record| record.since).max().map(seconds),
                found: of_kind.iter().map(text).collect::<Vec<_>>().join(", "),
                only_target: gate::is_only_targets(run, host, records, kind),
                ..empty
            }
        }
        _ => RecordTraffic {
            ttl: gate::answered_ttl(run, host, kind).map(words).unwrap_or_default(),
            found: who_answers(run, host, kind),
            ..empty
        },
    };
    RecordTraffic { found: row.found + &as_last_read(run, host), ..row }
}

/// Who is among the last answers. No shares: those are not seen, and would be news with each answer.
fn who_answers(run: &Run<'_>, host: &str, kind: RecordKind) -> String {
    let sides: BTreeSet<_> = gate::places_at(run, host).flat_map(|place| gate::heard(run, place, kind)).collect();
    let sides: Vec<_> = sides.into_iter().map(Side::name).collect();
    if sides.is_empty() { "neither side answers".to_owned() } else { format!("answered by {}", sides.join(" and ")) }
}

fn as_last_read(run: &Run<'_>, host: &str) -> String {
    run.observed.dns.trouble.get(host).map(|why| format!(" (as last read: {why})")).unwrap_or_default()
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
        gate::places_at(run, host).filter_map(|place| run.ingress(side, place.planned)?.weight()).collect()
    };
    let (source, target) = (weights(Side::Source), weights(Side::Target));
    // Without weights on the source its record is a simple one, and a weighted one beside it is refused.
    if source.is_empty() && target.iter().all(|weight| weight.get() == 0) {
        return 0;
    }
    target_share(&source, &target)
}
