//! How fast requests may follow each other, and how much slower when the account is throttled.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use tokio::time::Instant;

use crate::mutex::locked;

/// The longest time between two requests to a throttled account: a 25th of its quota, so that who is asked about is not long unseen
/// when others leave some of it again.
const LONGEST_GAP: Duration = Duration::from_secs(5);

/// The paces of this process: one for each API, at most. Which account credentials belong to nobody knows before they are used, and the
/// quota is the account's.
#[derive(Debug)]
pub struct Paces {
    gap: Duration,
    known: Mutex<HashMap<String, Weak<Mutex<Pace>>>>,
}

impl Paces {
    /// None yet.
    pub fn new(gap: Duration) -> Self {
        Self { gap, known: Mutex::default() }
    }

    /// The pace of the API at this address; the empty one is that of AWS. Whoever asks there shares it.
    pub fn of(&self, endpoint: &str) -> Arc<Mutex<Pace>> {
        let mut known = locked(&self.known);
        known.retain(|_, pace| pace.strong_count() > 0);
        known.get(endpoint).and_then(Weak::upgrade).unwrap_or_else(|| {
            let pace = Arc::new(Mutex::new(Pace::new(self.gap, Instant::now())));
            known.insert(endpoint.to_owned(), Arc::downgrade(&pace));
            pace
        })
    }
}

/// The pace of one account.
#[derive(Debug)]
pub struct Pace {
    shortest: Duration,
    gap: Duration,
    next: Instant,
}

impl Pace {
    /// At least this time between two requests.
    pub fn new(shortest: Duration, now: Instant) -> Self {
        Self { shortest, gap: shortest, next: now }
    }

    /// The time from one request to the next when all goes well.
    pub fn shortest(&self) -> Duration {
        self.shortest
    }

    /// When the next request may be made.
    pub fn ready_at(&self) -> Instant {
        self.next
    }

    /// Takes the next turn. The request may be made at the time that is returned.
    pub fn take(&mut self, now: Instant) -> Instant {
        let turn = self.next.max(now);
        self.next = turn + self.gap;
        turn
    }

    /// A request was throttled: twice as slow, from 1 second on. `jitter` is a random byte that makes the wait up to a fifth
    /// shorter, so that several operators do not come back together.
    pub fn throttled(&mut self, now: Instant, jitter: u8) {
        self.gap = (self.gap * 2).clamp(Duration::from_secs(1), LONGEST_GAP);
        let earlier = self.gap * u32::from(jitter) / (5 * u32::from(u8::MAX));
        self.next = self.next.max(now + self.gap - earlier);
    }

    /// A request was not throttled: faster again, step by step.
    pub fn eased(&mut self) {
        self.gap = (self.gap / 2).max(self.shortest);
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Under 2 per second of the 5 that all users of an account share.
    /// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html>
    const ROUTE53_GAP: Duration = Duration::from_millis(550);

    #[test]
    fn a_throttled_account_is_asked_more_and_more_slowly_and_then_faster_again() {
        let now = Instant::now();
        let mut pace = Pace::new(ROUTE53_GAP, now);
        let gaps: Vec<_> = (0..6)
            .map(|_| {
                pace.throttled(now, 0);
                pace.gap.as_millis()
            })
            .collect();
        assert_eq!(gaps, [1100, 2200, 4400, 5000, 5000, 5000]);
        assert_eq!(pace.ready_at(), now + LONGEST_GAP);
        for _ in 0..6 {
            pace.eased();
        }
        assert_eq!(pace.gap, ROUTE53_GAP);
    }

    #[test]
    fn whoever_asks_one_api_shares_its_pace_and_another_api_has_another() {
        let paces = Paces::new(ROUTE53_GAP);
        let (one, two, other) = (paces.of(""), paces.of(""), paces.of("https://elsewhere"));
        assert!(Arc::ptr_eq(&one, &two) && !Arc::ptr_eq(&one, &other));
    }

    proptest! {
        /// The promise to the account: never 2 in one second, however the requests come.
        #[test]
        fn there_are_never_more_than_two_requests_in_a_second(pauses in prop::collection::vec(0_u64..900, 2..80)) {
            let mut now = Instant::now();
            let mut pace = Pace::new(ROUTE53_GAP, now);
            let turns: Vec<_> = pauses.iter().map(|pause| { now += Duration::from_millis(*pause); pace.take(now) }).collect();
            for three in turns.windows(3) {
                prop_assert!(three[2] - three[0] > Duration::from_secs(1));
            }
        }
    }
}
