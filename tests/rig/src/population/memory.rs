//! What a user's machine remembers of DNS, and for how long. Pure.

use std::net::IpAddr;
use std::time::{Duration, Instant};

use super::visit::Cause;

/// How a user's machine treats answers of DNS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// Asks again when the TTL is over, and connects anew.
    HonoursTtl,
    /// Remembers at least for so long, whatever the TTL says.
    RemembersFor(Duration),
    /// Keeps its connection as long as it lives, and asks again only when it has to connect.
    KeepsConnection,
    /// Never asks again, once it had an address.
    NeverForgets,
}

/// Addresses, for some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// At least one.
    pub addresses: Vec<IpAddr>,
    /// How long they may be remembered.
    pub ttl: Duration,
}

/// No address, for some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Why.
    pub cause: Cause,
    /// How long that may be remembered (RFC 2308); zero for failures, which are no answers.
    pub ttl: Duration,
}

/// The last answer.
#[derive(Debug)]
pub struct Memory {
    habit: Habit,
    answer: Option<(Instant, Result<Found, Missing>)>,
}

impl Memory {
    /// Nothing is known yet.
    pub fn new(habit: Habit) -> Self {
        Self { habit, answer: None }
    }

    /// What is still known.
    pub fn recall(&self, now: Instant) -> Option<&Result<Found, Missing>> {
        let (since, answer) = self.answer.as_ref()?;
        let age = now.saturating_duration_since(*since);
        let known_for = match (answer, self.habit) {
            (Err(missing), _) => missing.ttl,
            (Ok(_), Habit::NeverForgets) => Duration::MAX,
            (Ok(found), Habit::RemembersFor(least)) => found.ttl.max(least),
            (Ok(found), Habit::HonoursTtl | Habit::KeepsConnection) => found.ttl,
        };
        (age < known_for).then_some(answer)
    }

    /// From now on this is known.
    pub fn learn(&mut self, answer: Result<Found, Missing>, now: Instant) {
        self.answer = Some((now, answer));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn found(ttl: u64) -> Result<Found, Missing> {
        Ok(Found { addresses: vec!["127.0.1.1".parse().unwrap()], ttl: Duration::from_secs(ttl) })
    }

    /// Whether an answer with a TTL of 10 s is still known after so many seconds.
    fn is_known_after(habit: Habit, seconds: u64) -> bool {
        let (mut memory, now) = (Memory::new(habit), Instant::now());
        memory.learn(found(10), now);
        memory.recall(now + Duration::from_secs(seconds)).is_some()
    }

    #[test]
    fn most_forget_when_the_ttl_is_over() {
        assert_eq!([0, 9, 10].map(|seconds| is_known_after(Habit::HonoursTtl, seconds)), [true, true, false]);
    }

    #[test]
    fn some_remember_longer_but_never_shorter() {
        let habit = |seconds| Habit::RemembersFor(Duration::from_secs(seconds));
        assert!(is_known_after(habit(30), 29) && !is_known_after(habit(30), 30));
        assert!(is_known_after(habit(1), 9) && !is_known_after(habit(1), 10));
        assert!(is_known_after(Habit::NeverForgets, 1_000_000));
    }

    #[test]
    fn a_negative_answer_is_remembered_by_everybody_for_its_own_time() {
        let missing = Missing { cause: Cause::NoSuchName, ttl: Duration::from_secs(3) };
        for habit in [Habit::HonoursTtl, Habit::NeverForgets, Habit::RemembersFor(Duration::from_secs(60))] {
            let (mut memory, now) = (Memory::new(habit), Instant::now());
            memory.learn(Err(missing), now);
            assert_eq!(memory.recall(now + Duration::from_secs(2)), Some(&Err(missing)));
            assert_eq!(memory.recall(now + Duration::from_secs(3)), None);
        }
    }

    #[test]
    fn a_failure_and_a_ttl_of_zero_are_not_remembered() {
        let (mut memory, now) = (Memory::new(Habit::HonoursTtl), Instant::now());
        assert_eq!(memory.recall(now), None);
        memory.learn(Err(Missing { cause: Cause::DnsTimeout, ttl: Duration::ZERO }), now);
        assert_eq!(memory.recall(now), None);
        memory.learn(found(0), now);
        assert_eq!(memory.recall(now), None);
    }
}
