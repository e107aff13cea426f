//! A gate that stays closed: when it is late, and what is said of it. DNS that does not follow is no failure of the application.

use jiff::{SignedDuration, Timestamp};

use super::{Goal, at_or_soon, waits};
use crate::machine::reason::Reason;
use crate::machine::run::{Run, Wait, seconds, words};
use crate::machine::stuck;

/// The next reading is there after this time, unless many want to know or nobody answers.
const NEXT_READING: SignedDuration = SignedDuration::from_mins(1);

/// How long DNS takes to follow: as measured by the rehearsal, or as the pair says.
pub(in super::super) fn expected(run: &Run<'_>) -> SignedDuration {
    let measured = run.status.rehearsal.as_ref().map(|rehearsal| SignedDuration::from_millis(rehearsal.lag_millis));
    let follow = &run.order.dns.follow;
    measured
        .filter(|lag| *lag > SignedDuration::ZERO)
        .unwrap_or_else(|| follow.interval.saturating_add(follow.propagation))
}

/// Whether DNS takes more than twice as long as expected.
pub(super) fn is_late(run: &Run<'_>, written: Timestamp) -> bool {
    run.now > late_at(run, written)
}

fn late_at(run: &Run<'_>, written: Timestamp) -> Timestamp {
    written.saturating_add(patience(run)).unwrap_or(Timestamp::MAX)
}

/// How long a gate may stay closed before it is late.
pub(in super::super) fn patience(run: &Run<'_>) -> SignedDuration {
    let pair = run.order.dns.follow.interval.saturating_add(run.order.dns.follow.propagation);
    expected(run).max(pair).saturating_mul(2).saturating_add(SignedDuration::from_secs(5))
}

/// How long DNS may take when all goes well, resolvers included: no deadline passes before a gate is late. Where nobody looks, that
/// is what the pair says.
pub(in super::super) fn longest(run: &Run<'_>) -> SignedDuration {
    let rules = &run.order.dns;
    if !rules.is_verified() {
        return rules.settle_time();
    }
    patience(run).saturating_add(rules.follow.record_ttl)
}

/// What is missing at a host, and, when it is late, why that may be. Only a reading of that late a time shows that DNS has not followed:
/// an older one accuses nobody.
pub(super) fn waits_for(run: &Run<'_>, goal: Goal, written: Timestamp, what: &str, host: &str, missing: &str) -> Wait {
    let (wait, late_at) = (waits(goal, what, missing), late_at(run, written));
    let read_at = run.observed.dns.hosts.get(host).map_or(Timestamp::MIN, |view| view.read_at);
    if read_at <= late_at {
        return unread_since(run, wait, what, (host, read_at, late_at));
    }
    let usual = words(expected(run));
    let cause = stuck::explain(run, goal, written);
    let reason = if goal == Goal::SourceServesAll { wait.reason } else { Reason::DnsLate };
    let message =
        format!("{what}, but DNS has not followed; usually it does within {usual}. {missing} {}", cause.found);
    Wait { reason, message, unblock: cause.fix, ..wait }
}

/// The last reading is older than the time at which DNS is late.
fn unread_since(run: &Run<'_>, wait: Wait, what: &str, (host, read_at, late_at): (&str, Timestamp, Timestamp)) -> Wait {
    if run.now <= late_at {
        return wait.looking_again_at(late_at);
    }
    let next_reading = late_at.saturating_add(NEXT_READING).unwrap_or(Timestamp::MAX);
    if run.now <= next_reading {
        return wait.looking_again_at(next_reading);
    }
    let read_at = seconds(read_at).0;
    let message = format!("{what}; {host} was read last at {read_at}, too early to tell whether DNS follows.");
    let fix = "Nothing: questions wait for their turn where many are asked (metric nsmig_dns_queue). Weights stay until then.";
    Wait { message, ..wait }.unblocked_by(fix)
}

/// It is listed as written, but not for long enough. When that is late, something keeps it from being read, or from staying so.
pub(super) fn unserved(
    run: &Run<'_>,
    goal: Goal,
    written: Timestamp,
    what: &str,
    (host, at): (&str, Timestamp),
) -> Wait {
    let found = format!("{host} is listed as written; the provider needs time to serve it.");
    let wait = at_or_soon(run, waits(goal, what, &found), at);
    if !is_late(run, written) || goal == Goal::SourceServesAll {
        return wait;
    }
    let propagation = words(run.order.dns.follow.propagation);
    let message = format!(
        "{what}, but {host}, which is listed as written, was not seen so for {propagation} without a break yet."
    );
    let fix = "Nothing, if it is read again and again; else look what keeps it from being read (often another user of the account's requests) or who changes its records. Weights stay, and it goes on by itself.";
    Wait { reason: Reason::DnsLate, message, ..wait }.unblocked_by(fix)
}

/// DNS cannot be read: nothing is known, so nothing goes on.
pub(super) fn unreadable(goal: Goal, what: &str, host: &str, trouble: &str) -> Wait {
    let reason = if goal == Goal::SourceServesAll { Reason::WaitingForRollbackDns } else { Reason::DnsUnreadable };
    let message = format!("{what}, but DNS cannot be read at {host}: {}.", trouble.trim_end_matches('.'));
    Wait::new(reason, message).unblocked_by(match goal {
        Goal::SourceServesAll => "Mend what is said of the reading. The weights are written; only what DNS serves is not known.",
        _ => "Mend what is said of the reading. Weights stay until DNS is seen; it goes on by itself, and a rollback is written all the same.",
    })
}
