//! What the table of records remembers from one pass to the next. What is listed is not served at once: until it is, the share of
//! before stands. And a record that is gone is not on any list: its kind stays in the table, which says so.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

use super::dns;
use crate::api::status::RecordTraffic;
use crate::machine::gate::{self, OpenGate};
use crate::machine::records::RecordKind;
use crate::machine::run::Run;

/// The rows as they were just made, together with those of the pass before, which status still has.
pub(super) fn settle(run: &Run<'_>, gate: Option<OpenGate>, mut rows: Vec<RecordTraffic>) -> Vec<RecordTraffic> {
    let before = &run.status.dns;
    let gone: Vec<_> = before.iter().filter_map(|row| gone(run, gate, &rows, row)).collect();
    rows.retain(|row| RecordKind::parse(&row.kind).is_some() || gone.iter().all(|gone| gone.host != row.host));
    for row in &mut rows {
        let known = before.iter().find(|known| is_same(known, row));
        if row.served.is_some() && !gate::is_served(run, &row.host) {
            row.served = known.and_then(|known| known.served);
        }
        if let Some(since) = known.and_then(|known| earlier(known, row)) {
            row.since = Some(since);
        }
    }
    rows.extend(gone);
    rows.sort_by(|one, other| (&one.host, &one.kind).cmp(&(&other.host, &other.kind)));
    rows
}

/// Since when it was so before nobody could look for a while, where it is still so after that: such gaps come by the dozen where the
/// provider throttles, and each would be a status write that tells nothing.
fn earlier(known: &RecordTraffic, row: &RecordTraffic) -> Option<Time> {
    let same = (known.served, &known.found, &known.ttl) == (row.served, &row.found, &row.ttl);
    let (before, now) = (known.since.as_ref()?, row.since.as_ref()?);
    (same && before.0 < now.0).then(|| before.clone())
}

fn is_same(one: &RecordTraffic, other: &RecordTraffic) -> bool {
    (&one.host, &one.kind) == (&other.host, &other.kind)
}

/// The row of a kind that is not listed now, at a host that is still moved, with what the gate waits for there.
fn gone(run: &Run<'_>, gate: Option<OpenGate>, rows: &[RecordTraffic], row: &RecordTraffic) -> Option<RecordTraffic> {
    let kind = RecordKind::parse(&row.kind)?;
    let now = rows.iter().find(|now| now.host == row.host)?;
    let is_gone = !row.only_target && rows.iter().all(|now| !is_same(now, row));
    is_gone.then(|| dns::at_gate(run, gate, kind, without_record(run, now, row)))
}

/// Where nobody has read since this process began, it is as it was.
fn without_record(run: &Run<'_>, now: &RecordTraffic, row: &RecordTraffic) -> RecordTraffic {
    let (desired, written) = (now.desired, now.written);
    let row = RecordTraffic { gate: String::new(), waits_for: String::new(), written_since: None, ..row.clone() };
    if !run.observed.dns.hosts.contains_key(&row.host) {
        return RecordTraffic { desired, written, ..row };
    }
    let found = "no record any more".to_owned();
    RecordTraffic { desired, written, served: None, ttl: String::new(), since: None, found, ..row }
}
