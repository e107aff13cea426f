//! What the zone's own name servers answer. It proves that the receiver answers, that a giver at 0 does not, and that nobody else
//! does. It never proves a share: what it cannot see waits twice external-dns's interval and the propagation, and is assumed.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::{Goal, Place, Proof, at_or_soon, patience, places, places_at, seen, waits};
use crate::machine::observed::{IngressFacts, Side};
use crate::machine::records::{Evidence, RecordKind, Seen, ServerAnswers};
use crate::machine::run::{Run, Wait};
use crate::machine::traffic::Weight;

/// A share that is there and was not seen in so many answers is as unlikely as one in a hundred.
const DOUBT: f64 = 0.01;

pub(super) fn gate(run: &Run<'_>, goal: Goal, written: Timestamp, what: &str) -> Result<Proof, Wait> {
    for place in places(run) {
        seen(run, place.host, goal, written, what)?;
        shown(run, goal, place, written)
            .map_err(|missing| patience::waits_for(run, goal, written, what, place.host, &missing))?;
    }
    let unseen = run.order.dns.follow.unseen();
    let ttl = if goal.is_for_users() { longest_ttl(run) } else { SignedDuration::ZERO };
    let until = written.saturating_add(unseen.saturating_add(ttl)).unwrap_or(Timestamp::MAX);
    if run.now < until {
        let message = "The name servers answer as they should; the exact share cannot be seen and is assumed then.";
        return Err(at_or_soon(run, waits(goal, what, message), until));
    }
    Ok(if shows_exactly(goal) { Proof::Answered } else { Proof::Assumed })
}

/// Whether answers alone can show it: that somebody answers at all, or not at all. That nobody is answered does not show that a
/// record at weight 0 is there.
fn shows_exactly(goal: Goal) -> bool {
    matches!(goal, Goal::SourceServesAll | Goal::Gives(_, Weight::ZERO))
}

/// What is asked of the answers of one server about one kind.
struct Question<'a> {
    run: &'a Run<'a>,
    goal: Goal,
    place: Place<'a>,
    /// Receivers must have been answered since then.
    since: Timestamp,
    /// So many answers without it show that a share is not there.
    enough: u32,
}

/// Whether the answers about a host show the goal, where receivers must have answered since then. The error says what is missing,
/// in a sentence.
pub(super) fn shown(run: &Run<'_>, goal: Goal, place: Place<'_>, since: Timestamp) -> Result<(), String> {
    let kinds = led(run, place.host)?;
    if kinds.is_empty() {
        return Err(format!("No name server has an answer for {} that leads anywhere.", place.host));
    }
    kinds.into_iter().try_for_each(|kind| shown_of_kind(run, goal, place, since, kind))
}

/// The same of one kind.
pub(super) fn shown_of_kind(
    run: &Run<'_>,
    goal: Goal,
    place: Place<'_>,
    since: Timestamp,
    kind: RecordKind,
) -> Result<(), String> {
    let question = Question { run, goal, place, since, enough: enough_answers(smallest_share(run)) };
    let asked = servers(run, place.host).filter(|((_, of), _)| *of == kind);
    asked.into_iter().try_for_each(|((server, kind), answers)| {
        let missing = question.missing(*kind, answers);
        missing.map_or(Ok(()), |missing| Err(format!("Name server {server}: {missing}")))
    })
}

/// The kinds that lead anywhere at a host, at one server at least: not one that has led nowhere in so many answers as would have shown
/// the smallest step.
pub(super) fn led(run: &Run<'_>, host: &str) -> Result<BTreeSet<RecordKind>, String> {
    let enough = enough_answers(smallest_share(run));
    let mut asked = servers(run, host).peekable();
    if asked.peek().is_none() {
        return Err(format!("{host} is being asked."));
    }
    let leads = |answers: &ServerAnswers| answers.seen.values().any(|seen| seen.answers_since < enough);
    Ok(asked.filter(|(_, answers)| leads(answers)).map(|((_, kind), _)| *kind).collect())
}

type Answered<'a> = (&'a (String, RecordKind), &'a ServerAnswers);

fn servers<'a>(run: &Run<'a>, host: &str) -> impl Iterator<Item = Answered<'a>> + use<'a> {
    let servers = run.observed.dns.hosts.get(host).and_then(|view| match &view.evidence {
        Evidence::Answered { servers, .. } => Some(servers),
        Evidence::Listed(_) => None,
    });
    servers.into_iter().flatten()
}

/// How long resolvers keep an answer of this kind, as the servers say it.
pub fn answered_ttl(run: &Run<'_>, host: &str, kind: RecordKind) -> Option<SignedDuration> {
    servers(run, host).filter(|((_, of), _)| *of == kind).filter_map(|(_, answers)| answers.ttl).max()
}

/// The sides that are among the last answers about a host and kind: as many as must be without a side at 0, and twice as many where a
/// side has a weight, so that it is not missed by chance.
pub fn heard(run: &Run<'_>, place: Place<'_>, kind: RecordKind) -> Vec<Side> {
    let enough = enough_answers(smallest_share(run));
    let is_heard = |side: &Side| {
        let is_zero = run.ingress(*side, place.planned).and_then(IngressFacts::weight) == Some(Weight::ZERO);
        let (addresses, last) = (addresses(run, place, *side), if is_zero { enough } else { enough.saturating_mul(2) });
        let mut of_kind = servers(run, place.host).filter(|((_, of), _)| *of == kind);
        of_kind.any(|(_, answers)| among(answers, &addresses, last))
    };
    [Side::Source, Side::Target].into_iter().filter(is_heard).collect()
}

fn among(answers: &ServerAnswers, addresses: &BTreeSet<String>, last: u32) -> bool {
    answers.seen.iter().any(|(address, seen)| addresses.contains(address) && seen.answers_since < last)
}

impl Question<'_> {
    /// What the answers of one server do not show yet, in a sentence.
    fn missing(&self, kind: RecordKind, answers: &ServerAnswers) -> Option<String> {
        self.third(kind, answers).or_else(|| match self.goal {
            Goal::SourceWeighted(_) => self.absent(answers, Side::Source),
            Goal::Receives(side, weight) if weight > Weight::ZERO => self.absent(answers, side),
            Goal::Receives(side, _) => self.present(answers, side),
            Goal::Gives(side, Weight::ZERO) => self.gone(answers, side),
            Goal::Gives(side, _) => self.unheard(answers, side.other()),
            Goal::TargetPublished | Goal::SourceServesAll => self.gone(answers, Side::Target),
            Goal::AsWritten => self.not_as_written(answers),
        })
    }

    /// A giver at 0 is gone when it is not answered any more and who has received its users is.
    fn gone(&self, answers: &ServerAnswers, side: Side) -> Option<String> {
        self.absent(answers, side.other()).or_else(|| self.present(answers, side))
    }

    /// A side at 0 must not be answered, another one must.
    fn not_as_written(&self, answers: &ServerAnswers) -> Option<String> {
        let weight = |side| self.run.ingress(side, self.place.planned)?.weight();
        [Side::Source, Side::Target].into_iter().find_map(|side| match weight(side)? {
            Weight::ZERO => self.present(answers, side),
            _ => self.unheard(answers, side),
        })
    }

    /// A side with a share must be among the answers, in twice as many as would have shown the smallest step.
    fn unheard(&self, answers: &ServerAnswers, side: Side) -> Option<String> {
        let many = self.enough.saturating_mul(2);
        let heard = among(answers, &addresses(self.run, self.place, side), many);
        (!heard).then(|| format!("the {side} is missing from {many} answers in a row for {}.", self.place.host))
    }

    /// A receiver must have been answered since it was written.
    fn absent(&self, answers: &ServerAnswers, side: Side) -> Option<String> {
        let (host, addresses) = (self.place.host, addresses(self.run, self.place, side));
        if addresses.is_empty() {
            return Some(format!(
                "the address of the {side}'s load balancer is not known, so that nobody knows who answers for {host}."
            ));
        }
        let is_new = |seen: &Seen| seen.last >= self.since;
        let answered = answers.seen.iter().any(|(address, seen)| addresses.contains(address) && is_new(seen));
        (!answered).then(|| format!("the {side} has not answered for {host} yet."))
    }

    /// A giver at 0 must not have been answered in as many answers as would have shown the smallest step. Where its addresses are not
    /// known, all of those were somebody else's: what nobody knows is a third.
    fn present(&self, answers: &ServerAnswers, side: Side) -> Option<String> {
        let (addresses, enough) = (addresses(self.run, self.place, side), self.enough);
        let seen = answers.seen.iter().filter(|(address, _)| addresses.contains(*address));
        let without = seen.map(|(_, seen)| seen.answers_since).min().unwrap_or(answers.answers);
        let host = self.place.host;
        (without < enough).then(|| format!("the {side} must be missing from {enough} answers in a row for {host}."))
    }

    /// Whoever belongs to neither side has a share, unless it is missing from as many answers as would have shown the smallest step.
    fn third(&self, kind: RecordKind, answers: &ServerAnswers) -> Option<String> {
        let here = places_at(self.run, self.place.host);
        let sides = |place| [Side::Source, Side::Target].map(|side| addresses(self.run, place, side));
        let known: BTreeSet<_> = here.flat_map(sides).flatten().collect();
        let is_third =
            |(address, seen): &(&String, &Seen)| !known.contains(*address) && seen.answers_since < self.enough;
        let (address, _) = answers.seen.iter().find(is_third)?;
        let (host, kind, enough) = (self.place.host, kind.name(), self.enough);
        Some(format!(
            "{address} is among the last {enough} answers for {host} ({kind}) and belongs to neither side, as far as is known: look which record leads there."
        ))
    }
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
