//! What the table of records remembers from one pass to the next. What is listed is not served at once: until it is, the share of
//! before stands. And a record that is gone is not on any list: its kind stays in the table, which says so.

use super::dns;
use crate::api::status::RecordTraffic;
use crate::machine::gate::{self, OpenGate};
use crate::machine::records::RecordKind;
use crate::machine::run::Run;

/// Brings the rows as they were just made together with those of the pass before.
pub(super) fn settle(run: &mut Run<'_>, gate: Option<OpenGate>, before: &[RecordTraffic]) {
    let gone: Vec<_> = before.iter().filter_map(|row| gone(run, gate, row)).collect();
    let mut rows = std::mem::take(&mut run.status.dns);
    rows.retain(|row| RecordKind::parse(&row.kind).is_some() || gone.iter().all(|gone| gone.host != row.host));
    for row in &mut rows {
        let known = before.iter().find(|known| is_same(known, row));
        if row.served.is_some() && !gate::is_served(run, &row.host) {
            row.served = known.and_then(|known| known.served);
        }
    }
    rows.extend(gone);
    rows.sort_by(|one, other| (&one.host, &one.kind).cmp(&(&other.host, &other.kind)));
    run.status.served = rows.iter().filter_map(|row| row.served).max();
    run.status.dns = rows;
}

fn is_same(one: &RecordTraffic, other: &RecordTraffic) -> bool {
    (&one.host, &one.kind) == (&other.host, &other.kind)
}

/// The row of a kind that is not listed now, at a host that is still moved, with what the gate waits for there.
fn gone(run: &Run<'_>, gate: Option<OpenGate>, row: &RecordTraffic) -> Option<RecordTraffic> {
    let kind = RecordKind::parse(&row.kind)?;
    let mut here = run.status.dns.iter().filter(|now| now.host == row.host).peekable();
    let is_gone = here.peek().is_some() && here.all(|now| !is_same(now, row));
    is_gone.then(|| dns::at_gate(run, gate, kind, without_record(run, row)))
}

/// Where nobody has read since this process began, it is as it was.
fn without_record(run: &Run<'_>, row: &RecordTraffic) -> RecordTraffic {
    let now = run.status.dns.iter().find(|now| now.host == row.host).unwrap_or(row);
    let (desired, written) = (now.desired, now.written);
    let row = RecordTraffic { gate: String::new(), waits_for: String::new(), written_since: None, ..row.clone() };
    if !run.observed.dns.hosts.contains_key(&row.host) {
        return RecordTraffic { desired, written, ..row };
    }
    let found = "no record any more".to_owned();
    RecordTraffic { desired, written, served: None, ttl: String::new(), since: None, found, ..row }
}
