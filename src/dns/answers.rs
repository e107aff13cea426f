//! PURE. Counts what one name server answers about one host and kind.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use crate::machine::records::{Seen, ServerAnswers};

/// One answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answer {
    /// Addresses, or names in lower case and without the last dot. None: the answer leads nowhere.
    pub leads_to: BTreeSet<String>,
    /// How long resolvers keep it.
    pub ttl: Option<SignedDuration>,
}

/// Takes in one more answer. Returns whether something was answered that was not the last time, or the other way round.
pub fn count(known: &mut ServerAnswers, answer: &Answer, at: Timestamp) -> bool {
    let before = current(known);
    known.answers = known.answers.saturating_add(1);
    for (address, seen) in &mut known.seen {
        if !answer.leads_to.contains(address) {
            seen.answers_since = seen.answers_since.saturating_add(1);
        }
    }
    for address in &answer.leads_to {
        known.seen.insert(address.clone(), Seen { last: at, answers_since: 0 });
    }
    if answer.leads_to.is_empty() {
        known.empty = Some(Seen { last: at, answers_since: 0 });
    } else if let Some(empty) = &mut known.empty {
        empty.answers_since = empty.answers_since.saturating_add(1);
    }
    known.ttl = known.ttl.max(answer.ttl);
    before != current(known)
}

fn current(known: &ServerAnswers) -> (BTreeSet<String>, bool) {
    let last = known.seen.iter().filter(|(_, seen)| seen.answers_since == 0).map(|(address, _)| address.clone());
    (last.collect(), known.empty.is_some_and(|empty| empty.answers_since == 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(addresses: &[&str], ttl: i64) -> Answer {
        let leads_to = addresses.iter().map(ToString::to_string).collect();
        Answer { leads_to, ttl: Some(SignedDuration::from_secs(ttl)) }
    }

    #[test]
    fn what_is_not_answered_any_more_is_counted_until_it_is_answered_again() {
        let (mut known, now) = (ServerAnswers::default(), Timestamp::UNIX_EPOCH);
        assert!(count(&mut known, &answer(&["192.0.2.1"], 60), now));
        assert!(count(&mut known, &answer(&["192.0.2.2"], 30), now));
        assert!(!count(&mut known, &answer(&["192.0.2.2"], 30), now));
        assert_eq!((known.answers, known.seen["192.0.2.1"].answers_since), (3, 2));
        assert_eq!(known.ttl, Some(SignedDuration::from_secs(60)));
        assert!(count(&mut known, &answer(&["192.0.2.1"], 30), now));
        assert_eq!((known.seen["192.0.2.1"].answers_since, known.seen["192.0.2.2"].answers_since), (0, 1));
    }

    #[test]
    fn an_answer_that_leads_nowhere_is_remembered() {
        let (mut known, now) = (ServerAnswers::default(), Timestamp::UNIX_EPOCH);
        assert!(count(&mut known, &Answer::default(), now));
        assert!(count(&mut known, &answer(&["192.0.2.1"], 60), now));
        assert_eq!(known.empty.map(|empty| empty.answers_since), Some(1));
    }
}
