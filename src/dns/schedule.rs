//! PURE. Which question is next: the most urgent that is due, and of those the one that has waited longest. Equal questions
//! of many askers are one question.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

/// How urgent a question is. A later one is more urgent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Nothing waits for it: has somebody changed something?
    #[default]
    Monitoring,
    /// A raised weight is waited for.
    Raising,
    /// A lowered weight is waited for.
    Lowering,
    /// Users are being brought back.
    Rollback,
}

/// What is asked: the sets at a name, in a zone that was named or in the one that fits.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// ID of the zone. None: the one that fits the name best.
    pub zone: Option<String>,
    /// The name, in lower case and without the last dot.
    pub name: String,
}

/// How a question is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How urgent it is: what the most urgent asker says.
    pub priority: Priority,
    /// Time from one reading to the next.
    pub interval: Duration,
}

impl Wanted {
    /// What suits both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { priority: self.priority.max(other.priority), interval: self.interval.min(other.interval) }
    }
}

/// A question that fails is asked again after this time, doubled for each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// No wait after a failure is longer; while users are being brought back, not longer than [`LONGEST_RETRY_OF_A_ROLLBACK`].
const LONGEST_RETRY: Duration = Duration::from_secs(120);
const LONGEST_RETRY_OF_A_ROLLBACK: Duration = Duration::from_secs(10);

/// The questions of one account.
#[derive(Debug, Default)]
pub struct Schedule {
    questions: BTreeMap<Place, Question>,
}

#[derive(Debug)]
struct Question {
    wanted: Wanted,
    due: Instant,
    asked: Option<Instant>,
    is_being_asked: bool,
    failures: u32,
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Next {
    /// Ask this. It is taken as being asked until [`Schedule::answered`].
    Ask(Place),
    /// Nothing before this time.
    At(Instant),
    /// Nothing, until somebody asks or an answer comes.
    Nothing,
}

impl Schedule {
    /// These questions and no others. A new one, and one that became more urgent, is due at once.
    pub fn want(&mut self, wanted: &BTreeMap<Place, Wanted>, now: Instant) {
        self.questions.retain(|place, _| wanted.contains_key(place));
        for (place, wanted) in wanted {
            let question = self.questions.entry(place.clone()).or_insert_with(|| Question::new(*wanted, now));
            question.change(*wanted, now);
        }
    }

    /// This question is due at once, if it is one.
    pub fn hurry(&mut self, place: &Place, now: Instant) {
        if let Some(question) = self.questions.get_mut(place) {
            question.due = question.due.min(now);
        }
    }

    /// The most urgent question that is due, or when there is one.
    pub fn next(&mut self, now: Instant) -> Next {
        let waiting = self.questions.iter_mut().filter(|(_, question)| !question.is_being_asked);
        let best = waiting.min_by_key(|(_, question)| {
            let is_due = question.due <= now;
            (!is_due, is_due.then_some(std::cmp::Reverse(question.wanted.priority)), question.due)
        });
        match best {
            None => Next::Nothing,
            Some((_, question)) if question.due > now => Next::At(question.due),
            Some((place, question)) => {
                question.is_being_asked = true;
                question.asked = Some(now);
                Next::Ask(place.clone())
            }
        }
    }

    /// The answer to a question came. It is due again after its interval, or sooner when the reading failed. `jitter` is a random
    /// byte: 255 makes the wait after a failure a fifth shorter.
    pub fn answered(&mut self, place: &Place, succeeded: bool, now: Instant, jitter: u8) {
        let Some(question) = self.questions.get_mut(place) else { return };
        question.is_being_asked = false;
        question.failures = if succeeded { 0 } else { question.failures.saturating_add(1) };
        let began = question.asked.unwrap_or(now);
        question.due = if succeeded { began + question.wanted.interval } else { now + question.retry(jitter) };
    }

    /// How many questions are due and not being asked.
    pub fn waiting(&self, now: Instant) -> usize {
        self.questions.values().filter(|question| !question.is_being_asked && question.due <= now).count()
    }
}

impl Question {
    fn new(wanted: Wanted, now: Instant) -> Self {
        Self { wanted, due: now, asked: None, is_being_asked: false, failures: 0 }
    }

    fn change(&mut self, wanted: Wanted, now: Instant) {
        if wanted.priority > self.wanted.priority {
            self.due = self.due.min(now);
        }
        if let Some(asked) = self.asked.filter(|_| self.failures == 0) {
            self.due = self.due.min(asked + wanted.interval);
        }
        self.wanted = wanted;
    }

    fn retry(&self, jitter: u8) -> Duration {
        let is_rollback = self.wanted.priority == Priority::Rollback;
        let longest = if is_rollback { LONGEST_RETRY_OF_A_ROLLBACK } else { LONGEST_RETRY };
        let doublings = self.failures.saturating_sub(1).min(16);
        let wait = FIRST_RETRY.saturating_mul(2_u32.pow(doublings)).min(longest);
        wait.saturating_sub(wait * u32::from(jitter) / (5 * u32::from(u8::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn place(name: &str) -> Place {
        Place { zone: None, name: name.to_owned() }
    }

    fn wanted(priority: Priority) -> Wanted {
        Wanted { priority, interval: Duration::from_secs(10) }
    }

    fn asking(questions: &[(&str, Priority)], now: Instant) -> Schedule {
        let mut schedule = Schedule::default();
        let all = questions.iter().map(|(name, priority)| (place(name), wanted(*priority))).collect();
        schedule.want(&all, now);
        schedule
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rollback_goes_before_lowering_before_raising_before_monitoring() {
        let now = Instant::now();
        let all = [
            ("a", Priority::Monitoring),
            ("b", Priority::Raising),
            ("c", Priority::Rollback),
            ("d", Priority::Lowering),
        ];
        let mut schedule = asking(&all, now);
        assert_eq!(schedule.waiting(now), 4);
        let order: Vec<_> = (0..4).map(|_| schedule.next(now)).collect();
        assert_eq!(order, ["c", "d", "b", "a"].map(|name| Next::Ask(place(name))));
        assert_eq!(schedule.next(now), Next::Nothing);
    }

    #[test]
    fn among_equals_the_one_that_waited_longest_is_first() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Priority::Raising), ("b", Priority::Raising)], now);
        assert_eq!(schedule.next(now), Next::Ask(place("a")));
        schedule.answered(&place("a"), true, now, 0);
        assert_eq!(schedule.next(now + secs(11)), Next::Ask(place("b")));
        assert_eq!(schedule.next(now + secs(11)), Next::Ask(place("a")));
    }

    #[test]
    fn a_question_that_becomes_urgent_is_due_at_once() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Priority::Monitoring)], now);
        schedule.next(now);
        schedule.answered(&place("a"), true, now, 0);
        assert_eq!(schedule.next(now), Next::At(now + secs(10)));
        schedule.want(&[(place("a"), wanted(Priority::Rollback))].into(), now + secs(1));
        assert_eq!(schedule.next(now + secs(1)), Next::Ask(place("a")));
    }

    #[test]
    fn a_failure_is_tried_again_sooner_in_a_rollback_than_otherwise() {
        for (priority, longest) in [(Priority::Monitoring, 120), (Priority::Rollback, 10)] {
            let mut now = Instant::now();
            let mut schedule = asking(&[("a", priority)], now);
            let mut waits = vec![];
            for _ in 0..10 {
                assert_eq!(schedule.next(now), Next::Ask(place("a")));
                schedule.answered(&place("a"), false, now, 0);
                let Next::At(due) = schedule.next(now) else { panic!("nothing is due") };
                waits.push((due - now).as_secs());
                now = due;
            }
            assert_eq!((waits[0], waits[1], waits[9]), (2, 4, longest));
        }
    }

    #[test]
    fn a_question_that_nobody_asks_any_more_is_dropped_also_while_it_is_being_asked() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Priority::Raising)], now);
        schedule.next(now);
        schedule.want(&BTreeMap::new(), now);
        schedule.answered(&place("a"), true, now, 0);
        assert_eq!(schedule.next(now + secs(100)), Next::Nothing);
    }

    proptest! {
        /// Whatever is asked and however it ends, nothing is asked twice at a time and nothing less urgent goes first.
        #[test]
        fn the_most_urgent_of_what_is_due_is_asked(steps in prop::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 1..60)) {
            let priorities = [Priority::Monitoring, Priority::Raising, Priority::Lowering, Priority::Rollback];
            let mut now = Instant::now();
            let mut schedule = Schedule::default();
            let mut all = BTreeMap::new();
            for (name, priority, succeeds) in steps {
                all.insert(place(&name.to_string()), wanted(priorities[usize::from(priority)]));
                schedule.want(&all, now);
                let due: Vec<_> =
                    schedule.questions.values().filter(|question| question.due <= now).map(|question| question.wanted.priority).collect();
                if let Next::Ask(asked) = schedule.next(now) {
                    prop_assert_eq!(Some(all[&asked].priority), due.into_iter().max());
                    prop_assert_ne!(schedule.next(now), Next::Ask(asked.clone()));
                    for question in schedule.questions.values_mut().filter(|question| question.is_being_asked) {
                        question.is_being_asked = question.asked != Some(now);
                    }
                    schedule.answered(&asked, succeeds, now, 0);
                }
                now += secs(3);
            }
        }
    }
}
