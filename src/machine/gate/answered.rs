//! What the zone's own name servers answer. It proves that the receiver answers, that a giver at 0 does not, and that nobody else
//! does. It never proves a share: what it cannot see waits twice external-dns's interval and the propagation, and is assumed.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Goal, Place, Proof, at_or_soon, patience, places, seen, waits};
use crate::machine::observed::Side;
use crate::machine::records::{Evidence, RecordKind, ServerAnswers};
use crate::machine::run::{Run, Wait};
use crate::machine::traffic::Weight;

/// A share that is there and was not seen in so many answers is as unlikely as one in a hundred.
const DOUBT: f64 = 0.01;

pub(super) fn gate(run: &Run<'_>, goal: Goal, written: Timestamp, what: &str) -> Result<Proof, Wait> {
    for place in places(run) {
        seen(run, place.host, goal, written, what)?;
        shown(run, goal, place, written).map_err(|missing| patience::waits_for(run, goal, written, what, &missing))?;
    }
    let follow = &run.order.dns.follow;
    let unseen = follow.interval.saturating_mul(2).saturating_add(follow.propagation);
    let ttl = if goal.is_for_users() { longest_ttl(run) } else { SignedDuration::ZERO };
    let until = written.saturating_add(unseen.saturating_add(ttl)).unwrap_or(Timestamp::MAX);
    if run.now < until {
        let message = "The name servers answer as they should; the exact share cannot be seen and is assumed then.";
        return Err(at_or_soon(run, waits(goal, what, message), until));
    }
    Ok(if shows_exactly(goal) { Proof::Answered } else { Proof::Assumed })
}

/// Whether answers alone can show it: that somebody answers at all, or not at all.
fn shows_exactly(goal: Goal) -> bool {
    matches!(goal, Goal::SourceServesAll | Goal::TargetPublished | Goal::Gives(_, Weight::ZERO))
}

/// Whether the answers about a host show the goal, where receivers must have answered since then. The error says what is missing,
/// in a sentence.
pub(super) fn shown(run: &Run<'_>, goal: Goal, place: Place<'_>, since: Timestamp) -> Result<(), String> {
    let servers = match run.observed.dns.hosts.get(place.host).map(|view| &view.evidence) {
        Some(Evidence::Answered { servers, .. }) if !servers.is_empty() => servers,
        _ => return Err(format!("{} is being asked.", place.host)),
    };
    for ((server, kind), answers) in servers {
        let missing = missing(run, goal, place, *kind, answers, since);
        missing.map_or(Ok(()), |missing| Err(format!("Name server {server}: {missing}")))?;
    }
    Ok(())
}

/// What the answers of one server do not show yet, in a sentence.
pub(super) fn missing(
    run: &Run<'_>,
    goal: Goal,
    place: Place<'_>,
    kind: RecordKind,
    answers: &ServerAnswers,
    since: Timestamp,
) -> Option<String> {
    let (host, name) = (place.host, kind.name());
    if answers.seen.is_empty() {
        // A kind that leads nowhere leads nobody to the target either.
        return None;
    }
    third(run, place, answers)
        .map(|address| format!("{address} answers for {host} ({name}) and belongs to neither side."))
        .or_else(|| match goal {
            Goal::SourceWeighted(_) => absent(run, place, answers, Side::Source, since),
            Goal::Receives(side, weight) if weight > Weight::ZERO => absent(run, place, answers, side, since),
            Goal::Gives(side, Weight::ZERO) => present(run, place, answers, side),
            Goal::TargetPublished | Goal::SourceServesAll => present(run, place, answers, Side::Target),
            Goal::AsWritten => not_as_written(run, place, answers),
            Goal::Receives(..) | Goal::Gives(..) => None,
        })
}

/// A side at 0 must not have been answered, another one must.
fn not_as_written(run: &Run<'_>, place: Place<'_>, answers: &ServerAnswers) -> Option<String> {
    [Side::Source, Side::Target].into_iter().find_map(|side| match run.ingress(side, place.planned)?.weight()? {
        Weight::ZERO => present(run, place, answers, side),
        _ => unheard(run, place, answers, side),
    })
}

/// A side with a share must be among the answers, in twice as many as would have shown the smallest step.
fn unheard(run: &Run<'_>, place: Place<'_>, answers: &ServerAnswers, side: Side) -> Option<String> {
    let (addresses, many) = (addresses(run, place, side), enough_answers(smallest_share(run)).saturating_mul(2));
    let heard = answers.seen.iter().any(|(address, seen)| addresses.contains(address) && seen.answers_since < many);
    (!heard).then(|| format!("the {side} is missing from {many} answers in a row for {}.", place.host))
}

/// A receiver must have been answered since it was written.
fn absent(run: &Run<'_>, place: Place<'_>, answers: &ServerAnswers, side: Side, written: Timestamp) -> Option<String> {
    let addresses = addresses(run, place, side);
    let answered = answers.seen.iter().any(|(address, seen)| addresses.contains(address) && seen.last >= written);
    (!answered).then(|| format!("the {side} has not answered for {} yet.", place.host))
}

/// A giver at 0 must not have been answered in as many answers as would have shown the smallest step.
fn present(run: &Run<'_>, place: Place<'_>, answers: &ServerAnswers, side: Side) -> Option<String> {
    let (addresses, enough) = (addresses(run, place, side), enough_answers(smallest_share(run)));
    let seen = answers.seen.iter().filter(|(address, _)| addresses.contains(*address));
    let without = seen.map(|(_, seen)| seen.answers_since).min().unwrap_or(answers.answers);
    (without < enough).then(|| format!("the {side} must be missing from {enough} answers in a row for {}.", place.host))
}

fn third<'a>(run: &Run<'_>, place: Place<'_>, answers: &'a ServerAnswers) -> Option<&'a str> {
    let known: BTreeSet<_> =
        [Side::Source, Side::Target].into_iter().flat_map(|side| addresses(run, place, side)).collect();
    answers
        .seen
        .iter()
        .find(|(address, seen)| !known.contains(*address) && seen.answers_since == 0)
        .map(|(address, _)| address.as_str())
}

/// The addresses of a side's load balancer, also behind its name.
pub fn addresses(run: &Run<'_>, place: Place<'_>, side: Side) -> BTreeSet<String> {
    let Some(facts) = run.ingress(side, place.planned) else { return BTreeSet::new() };
    let behind = |name: &String| match run.observed.dns.hosts.get(place.host).map(|view| &view.evidence) {
        Some(Evidence::Answered { balancers, .. }) => balancers.get(name).cloned().unwrap_or_default(),
        _ => BTreeSet::new(),
    };
    facts.addresses.iter().flat_map(|name| behind(name).into_iter().chain([name.clone()])).collect()
}

/// The smallest share that the steps ever give, in percent.
fn smallest_share(run: &Run<'_>) -> i32 {
    let steps = run.status.plan.iter().flat_map(|plan| &plan.steps);
    steps.map(|step| step.weight).min().unwrap_or(1).max(1)
}

/// n = ceil(ln 0.01 / ln(1 - share)): so many answers without it leave one percent of doubt.
fn enough_answers(percent: i32) -> u32 {
    let share = f64::from(percent.clamp(1, 99)) / 100.0;
    let answers = (DOUBT.ln() / (1.0 - share).ln()).ceil();
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 459")]
    let answers = answers as u32;
    answers
}

fn longest_ttl(run: &Run<'_>) -> SignedDuration {
    let servers = run.observed.dns.hosts.values().filter_map(|view| match &view.evidence {
        Evidence::Answered { servers, .. } => Some(servers.values()),
        Evidence::Listed(_) => None,
    });
    let longest = servers.flatten().filter_map(|answers| answers.ttl).max();
    longest.unwrap_or(run.order.dns.follow.record_ttl)
}

#[cfg(test)]
mod tests {
    use super::enough_answers;

    #[test]
    fn so_many_answers_leave_one_percent_of_doubt() {
        assert_eq!([1, 5, 10, 50].map(enough_answers), [459, 90, 44, 7]);
    }
}
