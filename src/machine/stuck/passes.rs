//! What external-dns's own metrics say of its passes: that there are none, that they fail, or that they succeed and leave this out.

use jiff::Timestamp;

use super::Cause;
use crate::machine::external_dns::{Count, ExternalDnsView};
use crate::machine::observed::Side;

/// What the metrics tell of the time since something was written. Nothing, where nobody reads them.
pub(super) fn told(side: Side, view: &ExternalDnsView, written: Timestamp) -> Option<Cause> {
    if let Some(why) = &view.trouble {
        return Some(silent(side, view, why));
    }
    match view.last_sync {
        Some(last) if last > written => Some(left_out(side, view)),
        last if last.is_some() || view.asked_at.is_some() => Some(no_success(side, view, last, written)),
        _ => None,
    }
}

/// One that does not answer is down, unless its Deployment says that it runs: then the way to its metrics may be what is wrong.
fn silent(side: Side, view: &ExternalDnsView, why: &str) -> Cause {
    let since = view.trouble_since.map(|since| format!(" since {}", seconds(since))).unwrap_or_default();
    let last = last_success(view.last_sync);
    if view.ready.is_some_and(|ready| ready > 0) {
        return Cause::new(
            format!(
                "The external-dns of the {side} has a ready Pod, but {why}{since}: it hangs, or its metrics are elsewhere \
                 (inferred).{last}"
            ),
            format!(
                "Look at the log of the {side}'s external-dns, and mend spec.{side}.externalDNS.metricsURL of the ClusterPair."
            ),
        );
    }
    Cause::new(
        format!("The external-dns of the {side} does not answer, {why}{since}: it is down (inferred).{last}"),
        format!(
            "Bring the external-dns of the {side} back; it goes on by itself. If it runs, mend spec.{side}.externalDNS.metricsURL of the \
             ClusterPair."
        ),
    )
}

fn last_success(last: Option<Timestamp>) -> String {
    last.map_or_else(String::new, |last| format!(" Its last pass without an error was at {}.", seconds(last)))
}

/// It has had no pass without an error since the write: it fails, or it has not even begun one.
fn no_success(side: Side, view: &ExternalDnsView, last: Option<Timestamp>, written: Timestamp) -> Cause {
    let since = last.map_or("it began to run".to_owned(), |last| format!("{}", seconds(last)));
    let begins = format!("The external-dns of the {side} has had no pass without an error since {since}");
    let grew = |count: Count| count.grew_at.is_some_and(|at| at > written);
    if grew(view.errors.cluster) {
        return Cause::new(
            format!("{begins}: it cannot read its cluster."),
            format!("Look at the log of the {side}'s external-dns and at its rights on the {side}."),
        );
    }
    let in_a_row = view.errors.in_a_row.filter(|failed| *failed > 0);
    if in_a_row.is_some() || grew(view.errors.records) {
        let failed = in_a_row.map_or_else(String::new, |failed| format!(" ({failed} in a row)"));
        return Cause::new(
            format!(
                "{begins}, and those that it had have failed{failed}: it runs, and Route 53 refuses or throttles its changes, of this record \
                 or of somebody else's."
            ),
            log_fix(side),
        );
    }
    if view.last_attempt.is_some_and(|begun| begun <= written) {
        return Cause::new(
            format!(
                "{begins}, and has begun none since what is waited for was written: it hangs, or looks more rarely than the ClusterPair says."
            ),
            format!(
                "Compare --interval of the {side}'s external-dns with spec.{side}.externalDNS.interval, and look at its log."
            ),
        );
    }
    Cause::new(format!("{begins}: it is down, or it fails because of somebody's record."), log_fix(side))
}

fn log_fix(side: Side) -> String {
    format!(
        "Look at the log of the {side}'s external-dns (InvalidChangeBatch names the record, Throttling the account) and mend what it names."
    )
}

/// It has passed since, and changed nothing here.
fn left_out(side: Side, view: &ExternalDnsView) -> Cause {
    let filters = view.filters.untold();
    let look = if filters.is_empty() {
        "its filters (--ingress-class, --annotation-filter, --label-filter, --namespace, --domain-filter)".to_owned()
    } else {
        format!("its filters {}", filters.join(", "))
    };
    Cause::new(
        format!(
            "The external-dns of the {side} has passed without an error since, and left this Ingress out (inferred)."
        ),
        format!("Look at {look} and at the annotation controller of the {side}'s Ingress."),
    )
}

fn seconds(at: Timestamp) -> Timestamp {
    Timestamp::from_second(at.as_second()).unwrap_or(at)
}
