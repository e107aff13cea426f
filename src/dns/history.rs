//! PURE. From successive listings of one host to how long each record set has been listed exactly so.

use jiff::{SignedDuration, Timestamp};

use crate::machine::records::{ListedRecord, RecordSet};

/// The record sets of one host as they were last listed, each with the time since when it has been so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    listed: Vec<ListedRecord>,
    /// When the list was last another one than before.
    changed_at: Option<Timestamp>,
    read_at: Option<Timestamp>,
}

impl History {
    /// Takes in a listing that was complete at `at`. A set that was listed exactly so before keeps its time; one that is new or
    /// different begins now. A listing that failed says nothing, and is not brought here. But where the last one that did not fail is
    /// older than `blind`, nobody knows what was listed in between, and everything begins now: it waits longer, and claims less.
    ///
    /// Returns whether anything is different.
    pub fn read(&mut self, sets: Vec<RecordSet>, at: Timestamp, blind: SignedDuration) -> bool {
        let seen = self.read_at.is_some_and(|last| at.duration_since(last) <= blind);
        self.read_at = Some(at);
        let known = |set: &RecordSet| self.listed.iter().find(|known| seen && known.set == *set);
        let since = |set: &RecordSet| known(set).map_or(at, |known| known.since);
        let mut listed: Vec<_> = sets.into_iter().map(|set| ListedRecord { since: since(&set), set }).collect();
        listed.sort_by(|one, other| key(&one.set).cmp(&key(&other.set)));
        let changed = listed != self.listed;
        self.listed = listed;
        self.changed_at = self.changed_at.filter(|_| !changed).or(Some(at));
        changed
    }

    /// Since when exactly this has been listed: no set has changed, come or gone. None before the first listing.
    pub fn since(&self) -> Option<Timestamp> {
        self.changed_at
    }

    /// What was listed last.
    pub fn listed(&self) -> &[ListedRecord] {
        &self.listed
    }
}

fn key(set: &RecordSet) -> (crate::machine::records::RecordKind, &Option<String>, &Vec<String>) {
    (set.kind, &set.identifier, &set.leads_to)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::machine::records::{Owner, RecordKind, Routing};
    use crate::machine::traffic::Weight;

    const BLIND: SignedDuration = SignedDuration::from_secs(30);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn set(identifier: &str, weight: i32) -> RecordSet {
        RecordSet {
            kind: RecordKind::A,
            identifier: Some(identifier.to_owned()),
            routing: Routing::Weighted(Weight::percent(weight)),
            ttl: None,
            leads_to: vec!["192.0.2.1".to_owned()],
            owner: Owner::Unread,
        }
    }

    fn times(history: &History) -> Vec<i64> {
        history.listed().iter().map(|record| record.since.as_second()).collect()
    }

    #[test]
    fn a_set_that_stays_keeps_its_time_and_one_that_changes_begins_anew() {
        let mut history = History::default();
        assert!(history.read(vec![set("blue", 100), set("green", 0)], at(1), BLIND));
        assert!(!history.read(vec![set("green", 0), set("blue", 100)], at(2), BLIND));
        assert_eq!(times(&history), [1, 1]);
        assert!(history.read(vec![set("blue", 100), set("green", 10)], at(3), BLIND));
        assert_eq!(times(&history), [1, 3]);
    }

    #[test]
    fn the_whole_list_begins_anew_when_a_set_changes_comes_or_goes() {
        let mut history = History::default();
        assert_eq!(history.since(), None);
        let both = || vec![set("blue", 100), set("green", 0)];
        let lists = [both(), both(), vec![set("blue", 100)], vec![set("blue", 100)], both(), vec![], vec![]];
        let since = lists.into_iter().zip(1..).map(|(sets, second)| {
            history.read(sets, at(second), BLIND);
            history.since().unwrap().as_second()
        });
        assert_eq!(since.collect::<Vec<_>>(), [1, 1, 3, 3, 5, 6, 6]);
    }

    #[test]
    fn a_set_that_was_gone_in_between_begins_anew() {
        let mut history = History::default();
        history.read(vec![set("blue", 100)], at(1), BLIND);
        history.read(vec![], at(2), BLIND);
        history.read(vec![set("blue", 100)], at(3), BLIND);
        assert_eq!(times(&history), [3]);
    }

    #[test]
    fn what_nobody_could_look_at_for_long_begins_anew() {
        let mut history = History::default();
        history.read(vec![set("blue", 100)], at(1), BLIND);
        history.read(vec![set("blue", 100)], at(31), BLIND);
        assert_eq!(times(&history), [1]);
        assert!(history.read(vec![set("blue", 100)], at(62), BLIND), "it may have been another one meanwhile");
        assert_eq!(times(&history), [62]);
    }

    proptest! {
        /// What the gate rests on: between `since` and the last reading, no reading showed anything else.
        #[test]
        fn no_reading_since_then_showed_another_weight(weights in prop::collection::vec(0_i32..3, 1..40)) {
            let mut history = History::default();
            for (second, weight) in weights.iter().enumerate() {
                history.read(vec![set("blue", *weight)], at(i64::try_from(second).unwrap()), BLIND);
            }
            let since = usize::try_from(times(&history)[0]).unwrap();
            let last = weights[weights.len() - 1];
            prop_assert!(weights[since..].iter().all(|weight| *weight == last));
            prop_assert!(since == 0 || weights[since - 1] != last);
        }
    }
}
