//! PURE. Which question is next: the most urgent that is due, and of those the one that has waited longest. One of a few turns goes to
//! whoever has waited longest, however urgent: rollbacks that are stuck for hours hide DNS from nobody. Equal questions of many askers
//! are one question.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::machine::urgency::Urgency;

/// What is asked: what there is at a name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// Where the name is looked up.
    pub within: Within,
    /// The name, in lower case and without the last dot.
    pub name: String,
}

/// Where a name is looked up.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Within {
    /// In the zone that fits it best.
    BestZone,
    /// In the zone with this ID.
    Zone(String),
    /// In no zone of ours: it is the name of a load balancer, whose addresses a resolver knows.
    Resolvers,
}

/// How a question is to be asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wanted {
    /// How urgent it is: what the most urgent asker says.
    pub urgency: Urgency,
    /// Time from one reading to the next.
    pub interval: Duration,
}

impl Wanted {
    /// What suits both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { urgency: self.urgency.min(other.urgency), interval: self.interval.min(other.interval) }
    }
}

/// A question that fails is asked again after this time, doubled for each further failure.
const FIRST_RETRY: Duration = Duration::from_secs(2);
/// No wait after a failure is longer; while users are being brought back, not longer than [`LONGEST_RETRY_OF_A_ROLLBACK`].
const LONGEST_RETRY: Duration = Duration::from_secs(120);
const LONGEST_RETRY_OF_A_ROLLBACK: Duration = Duration::from_secs(10);

/// Each of so many turns is for the question that has waited longest, whatever its urgency.
const FAIR: u32 = 4;

/// So many refusals in a row, for the account's requests being used up, hide whatever is due. Fewer are made up for within seconds.
const HIDES: u32 = 6;

/// So many readings may be missing before what was listed meanwhile is unknown.
const MISSING: u32 = 3;
/// What is shorter than this is no gap, however often is read.
const SHORTEST_GAP: Duration = Duration::from_secs(5);

/// The questions of one account.
#[derive(Debug, Default)]
pub struct Schedule {
    questions: BTreeMap<Place, Question>,
    /// How many turns were taken, modulo [`FAIR`].
    turn: u32,
    /// How often in a row the account was throttled, whatever was asked.
    throttled: u32,
}

#[derive(Debug)]
struct Question {
    wanted: Wanted,
    due: Instant,
    asked: Option<Instant>,
    is_being_asked: bool,
    failures: u32,
    /// The longest interval that was wanted since the last answer.
    slowest: Duration,
}

/// How a question was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It is known what is there.
    Read,
    /// It is not.
    Failed,
    /// It was not looked at: the account has been asked too much.
    Throttled,
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

    /// The question whose turn it is of those that are due, or when there is one.
    pub fn next(&mut self, now: Instant) -> Next {
        let is_fair = self.turn + 1 == FAIR;
        let waiting = self.questions.iter_mut().filter(|(_, question)| !question.is_being_asked);
        let best = waiting.min_by_key(|(_, question)| {
            let is_due = question.due <= now;
            (!is_due, (is_due && !is_fair).then_some(question.wanted.urgency), question.due)
        });
        match best {
            None => Next::Nothing,
            Some((_, question)) if question.due > now => Next::At(question.due),
            Some((place, question)) => {
                question.is_being_asked = true;
                question.asked = Some(now);
                self.turn = (self.turn + 1) % FAIR;
                Next::Ask(place.clone())
            }
        }
    }

    /// The longest time between two readings of a place in which it is known what was there: a few intervals, as they were wanted
    /// meanwhile, and the longest that a question waits for its turn where turns are `pace` apart: what is read regularly is never blind.
    pub fn blind_after(&self, place: &Place, pace: Duration) -> Duration {
        let all = u32::try_from(self.questions.len()).unwrap_or(u32::MAX);
        let turn = pace.saturating_mul(all.saturating_mul(FAIR));
        let interval = self.questions.get(place).map_or(Duration::ZERO, |question| question.slowest);
        interval.saturating_mul(MISSING).saturating_add(turn).max(SHORTEST_GAP)
    }

    /// The answer to a question came. It is due again after its interval, or sooner when the reading failed. `jitter` is a random
    /// byte: 255 makes the wait after a failure a fifth shorter. A throttled question keeps its place: throttling says nothing of
    /// it, and the pace slows down for all.
    pub fn answered(&mut self, place: &Place, answer: Answer, now: Instant, jitter: u8) {
        self.throttled = if answer == Answer::Throttled { self.throttled.saturating_add(1) } else { 0 };
        let Some(question) = self.questions.get_mut(place) else { return };
        question.is_being_asked = false;
        match answer {
            Answer::Read => {
                question.failures = 0;
                question.slowest = question.wanted.interval;
                question.due = question.asked.unwrap_or(now) + question.wanted.interval;
            }
            Answer::Failed => {
                question.failures = question.failures.saturating_add(1);
                question.due = now + question.retry(jitter);
            }
            Answer::Throttled => {}
        }
    }

    /// What throttling has kept from being read for longer than a moment: everything that is due. Empty while it is made up for.
    pub fn hidden(&self, now: Instant) -> Vec<Place> {
        let due = self.questions.iter().filter(|(_, question)| self.throttled >= HIDES && question.due <= now);
        due.map(|(place, _)| place.clone()).collect()
    }

    /// How many questions are due and not being asked.
    pub fn waiting(&self, now: Instant) -> usize {
        self.questions.values().filter(|question| !question.is_being_asked && question.due <= now).count()
    }
}

impl Question {
    fn new(wanted: Wanted, now: Instant) -> Self {
        Self { wanted, due: now, asked: None, is_being_asked: false, failures: 0, slowest: wanted.interval }
    }

    fn change(&mut self, wanted: Wanted, now: Instant) {
        // The first of the urgencies is the most urgent.
        if wanted.urgency < self.wanted.urgency {
            self.due = self.due.min(now);
        }
        if let Some(asked) = self.asked.filter(|_| self.failures == 0) {
            self.due = self.due.min(asked + wanted.interval);
        }
        self.wanted = wanted;
        self.slowest = self.slowest.max(wanted.interval);
    }

    fn retry(&self, jitter: u8) -> Duration {
        let is_rollback = self.wanted.urgency == Urgency::Rollback;
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
        Place { within: Within::BestZone, name: name.to_owned() }
    }

    fn wanted(urgency: Urgency) -> Wanted {
        Wanted { urgency, interval: Duration::from_secs(10) }
    }

    fn asking(questions: &[(&str, Urgency)], now: Instant) -> Schedule {
        let mut schedule = Schedule::default();
        let all = questions.iter().map(|(name, urgency)| (place(name), wanted(*urgency))).collect();
        schedule.want(&all, now);
        schedule
    }

    fn secs(seconds: u64) -> Duration {
        Duration::from_secs(seconds)
    }

    #[test]
    fn a_rollback_goes_before_lowering_before_raising_before_monitoring() {
        let now = Instant::now();
        let all =
            [("a", Urgency::Monitoring), ("b", Urgency::Raising), ("c", Urgency::Rollback), ("d", Urgency::Lowering)];
        let mut schedule = asking(&all, now);
        assert_eq!(schedule.waiting(now), 4);
        let order: Vec<_> = (0..4).map(|_| schedule.next(now)).collect();
        assert_eq!(order, ["c", "d", "b", "a"].map(|name| Next::Ask(place(name))));
        assert_eq!(schedule.next(now), Next::Nothing);
    }

    /// Ten rollbacks that are stuck want to be read every three seconds, which is more than the account gives.
    #[test]
    fn rollbacks_that_are_stuck_leave_turns_to_a_raise_and_to_monitoring() {
        let (pace, interval) = (Duration::from_millis(550), secs(3));
        let stuck = (0..10).map(|number| (place(&format!("stuck-{number}")), Urgency::Rollback));
        let others = [(place("raise"), Urgency::Raising), (place("watched"), Urgency::Monitoring)];
        let all = stuck.chain(others.clone()).map(|(place, urgency)| (place, Wanted { urgency, interval })).collect();
        let (mut now, mut schedule) = (Instant::now(), Schedule::default());
        schedule.want(&all, now);
        let mut readings = BTreeMap::<Place, Vec<Instant>>::new();
        for _ in 0..600 {
            if let Next::Ask(place) = schedule.next(now) {
                schedule.answered(&place, Answer::Read, now, 0);
                readings.entry(place).or_default().push(now);
            }
            now += pace;
        }
        for (place, _) in others {
            let gaps: Vec<_> = readings[&place].windows(2).map(|two| two[1] - two[0]).collect();
            let longest = gaps.iter().max().unwrap();
            assert!(*longest <= interval + pace * 4 * 11, "{place:?} was not read for {longest:?}");
            assert!(*longest < schedule.blind_after(&place, pace), "{place:?} counts as not seen meanwhile");
            assert!(gaps.len() > 20, "{place:?} was read {} times", gaps.len());
        }
        let of_stuck = readings.iter().filter(|(place, _)| place.name.starts_with("stuck")).map(|(_, at)| at.len());
        assert!(of_stuck.sum::<usize>() >= 450, "three of four turns are for those who go back");
    }

    #[test]
    fn among_equals_the_one_that_waited_longest_is_first() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Urgency::Raising), ("b", Urgency::Raising)], now);
        assert_eq!(schedule.next(now), Next::Ask(place("a")));
        schedule.answered(&place("a"), Answer::Read, now, 0);
        assert_eq!(schedule.next(now + secs(11)), Next::Ask(place("b")));
        assert_eq!(schedule.next(now + secs(11)), Next::Ask(place("a")));
    }

    #[test]
    fn a_question_that_becomes_urgent_is_due_at_once() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Urgency::Monitoring)], now);
        schedule.next(now);
        schedule.answered(&place("a"), Answer::Read, now, 0);
        assert_eq!(schedule.next(now), Next::At(now + secs(10)));
        schedule.want(&[(place("a"), wanted(Urgency::Rollback))].into(), now + secs(1));
        assert_eq!(schedule.next(now + secs(1)), Next::Ask(place("a")));
    }

    #[test]
    fn a_failure_is_tried_again_sooner_in_a_rollback_than_otherwise() {
        for (urgency, longest) in [(Urgency::Monitoring, 120), (Urgency::Rollback, 10)] {
            let mut now = Instant::now();
            let mut schedule = asking(&[("a", urgency)], now);
            let mut waits = vec![];
            for _ in 0..10 {
                assert_eq!(schedule.next(now), Next::Ask(place("a")));
                schedule.answered(&place("a"), Answer::Failed, now, 0);
                let Next::At(due) = schedule.next(now) else { panic!("nothing is due") };
                waits.push((due - now).as_secs());
                now = due;
            }
            assert_eq!((waits[0], waits[1], waits[9]), (2, 4, longest));
        }
    }

    #[test]
    fn a_throttled_question_is_still_before_those_that_came_after_it() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Urgency::Raising), ("b", Urgency::Raising)], now);
        for times in 1..=6 {
            assert_eq!(schedule.next(now), Next::Ask(place("a")));
            schedule.answered(&place("a"), Answer::Throttled, now, 0);
            let hidden = if times == 6 { vec![place("a"), place("b")] } else { vec![] };
            assert_eq!(schedule.hidden(now), hidden, "what nobody came to ask is hidden as well");
        }
        assert_eq!(schedule.next(now), Next::Ask(place("a")));
        schedule.answered(&place("a"), Answer::Read, now, 0);
        assert_eq!(schedule.hidden(now), []);
        assert_eq!(schedule.next(now), Next::Ask(place("b")));
    }

    #[test]
    fn a_question_that_nobody_asks_any_more_is_dropped_also_while_it_is_being_asked() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Urgency::Raising)], now);
        schedule.next(now);
        schedule.want(&BTreeMap::new(), now);
        schedule.answered(&place("a"), Answer::Read, now, 0);
        assert_eq!(schedule.next(now + secs(100)), Next::Nothing);
    }

    #[test]
    fn a_place_is_blind_after_a_few_readings_are_missing_as_they_were_wanted_meanwhile() {
        let now = Instant::now();
        let mut schedule = asking(&[("a", Urgency::Monitoring)], now);
        assert_eq!(schedule.blind_after(&place("a"), secs(1)), secs(30 + 4));
        let often = Wanted { urgency: Urgency::Raising, interval: secs(2) };
        schedule.want(&[(place("a"), often)].into(), now);
        assert_eq!(schedule.blind_after(&place("a"), secs(1)), secs(30 + 4), "it was read as seldom as that until now");
        schedule.next(now);
        schedule.answered(&place("a"), Answer::Read, now, 0);
        assert_eq!(schedule.blind_after(&place("a"), secs(1)), secs(6 + 4));
        let many: BTreeMap<_, _> = (0..40).map(|number| (place(&number.to_string()), often)).collect();
        schedule.want(&many, now);
        assert_eq!(
            schedule.blind_after(&place("0"), secs(1)),
            secs(6 + 4 * 40),
            "each of the others may be asked first"
        );
    }

    proptest! {
        /// Whatever is asked and however it ends, nothing is asked twice at a time, and nothing less urgent goes first but in each
        /// fourth turn, which is for who has waited longest.
        #[test]
        fn the_most_urgent_of_what_is_due_is_asked_and_now_and_then_the_oldest(steps in prop::collection::vec((0_u8..6, 0_u8..4, any::<bool>()), 1..60)) {
            let urgencies = [Urgency::Monitoring, Urgency::Raising, Urgency::Lowering, Urgency::Rollback];
            let mut now = Instant::now();
            let mut schedule = Schedule::default();
            let mut all = BTreeMap::new();
            let mut turns = 0_u32;
            for (name, urgency, succeeds) in steps {
                all.insert(place(&name.to_string()), wanted(urgencies[usize::from(urgency)]));
                schedule.want(&all, now);
                let due: Vec<_> =
                    schedule.questions.values().filter(|question| question.due <= now).map(|question| (question.wanted.urgency, question.due)).collect();
                let asked_at = |asked: &Place, schedule: &Schedule| schedule.questions[asked].due;
                if let Next::Ask(asked) = schedule.next(now) {
                    turns += 1;
                    if turns.is_multiple_of(4) {
                        prop_assert_eq!(Some(asked_at(&asked, &schedule)), due.iter().map(|(_, due)| *due).min());
                    } else {
                        prop_assert_eq!(Some(all[&asked].urgency), due.iter().map(|(urgency, _)| *urgency).min());
                    }
                    let second = schedule.next(now);
                    turns += u32::from(matches!(second, Next::Ask(_)));
                    prop_assert_ne!(second, Next::Ask(asked.clone()));
                    for question in schedule.questions.values_mut().filter(|question| question.is_being_asked) {
                        question.is_being_asked = question.asked != Some(now);
                    }
                    schedule.answered(&asked, if succeeds { Answer::Read } else { Answer::Failed }, now, 0);
                }
                now += secs(3);
            }
        }
    }
}
