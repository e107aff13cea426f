//! How long an object waits after each failure. Pure: no clock, no random source; both are arguments or the caller's.

use std::collections::HashMap;
use std::time::Duration;

/// The first wait.
pub const FIRST: Duration = Duration::from_secs(1);
/// No wait is longer.
pub const LONGEST: Duration = Duration::from_secs(300);
/// Jitter takes away at most a fifth of a wait, so that objects which failed together do not come back together.
const JITTER_DIVISOR: u32 = 5 * u8::MAX as u32;

/// Counts failures per object, keyed by the object's UID, so that an object recreated under the same name starts anew.
#[derive(Debug, Default)]
pub struct Backoff {
    failures: HashMap<String, u32>,
}

impl Backoff {
    /// Records one more failure of `uid` and returns how long to wait before trying again: 1 s, doubling to 5 min.
    ///
    /// `jitter` is a random byte: 0 leaves the wait as it is, 255 shortens it by a fifth.
    pub fn failed(&mut self, uid: &str, jitter: u8) -> Duration {
        let before = self.failures.entry(uid.to_owned()).or_default();
        let wait = FIRST.saturating_mul(2_u32.saturating_pow(*before)).min(LONGEST);
        *before = before.saturating_add(1);
        wait.saturating_sub(wait * u32::from(jitter) / JITTER_DIVISOR)
    }

    /// Forgets the failures of `uid`: after a success, and when the object is gone.
    pub fn reset(&mut self, uid: &str) {
        self.failures.remove(uid);
    }

    /// How many failures in a row `uid` has had.
    pub fn failures(&self, uid: &str) -> u32 {
        self.failures.get(uid).copied().unwrap_or(0)
    }

    /// How many objects are being backed off.
    pub fn len(&self) -> usize {
        self.failures.len()
    }

    /// Whether no object is being backed off.
    pub fn is_empty(&self) -> bool {
        self.failures.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn waits_double_from_one_second_to_five_minutes() {
        let mut backoff = Backoff::default();
        let waits: Vec<u64> = (0..11).map(|_| backoff.failed("a", 0).as_secs()).collect();
        assert_eq!(waits, [1, 2, 4, 8, 16, 32, 64, 128, 256, 300, 300]);
    }

    #[test]
    fn a_success_starts_the_object_anew_and_leaves_others_alone() {
        let mut backoff = Backoff::default();
        backoff.failed("a", 0);
        backoff.failed("b", 0);
        backoff.reset("a");
        assert_eq!((backoff.failures("a"), backoff.failures("b"), backoff.len()), (0, 1, 1));
        assert_eq!(backoff.failed("a", 0), FIRST);
        assert_eq!(backoff.failed("b", 0), FIRST * 2);
    }

    proptest! {
        #[test]
        fn no_jitter_leaves_the_bounds(jitter in any::<u8>(), failures in 0_u32..200) {
            let mut backoff = Backoff::default();
            for _ in 0..failures {
                backoff.failed("a", jitter);
            }
            let wait = backoff.failed("a", jitter);
            prop_assert!(wait >= FIRST * 4 / 5 && wait <= LONGEST);
        }
    }
}
