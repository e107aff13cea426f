//! Since when the target's checks have failed: the moment from which a rollback is measured.

use std::sync::Mutex;

use tokio::time::Instant;

use crate::machine::health::Verdict;
use crate::mutex::locked;

/// The end of the round of probes that made the target's verdict Fail, until somebody has acted on it. It outlives its prober,
/// which ends with the stage.
#[derive(Debug, Default)]
pub struct Failing(Mutex<Option<Instant>>);

impl Failing {
    /// The verdict on the target after a round that ended at `now`.
    pub fn note(&self, verdict: Verdict, now: Instant) {
        let mut since = locked(&self.0);
        *since = if verdict == Verdict::Fail { since.or(Some(now)) } else { None };
    }

    /// Nothing goes back because of it: what goes back later is not measured from here.
    pub fn overlook(&self) {
        *locked(&self.0) = None;
    }

    /// Users are back: when the verdict fell. None when something else than a verdict has brought them back.
    pub fn answered(&self) -> Option<Instant> {
        locked(&self.0).take()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_round_that_decided_counts_and_only_until_it_is_answered() {
        let (failing, first) = (Failing::default(), Instant::now());
        failing.note(Verdict::Fail, first);
        failing.note(Verdict::Fail, first + Duration::from_secs(10));
        assert_eq!(failing.answered(), Some(first));
        assert_eq!(failing.answered(), None);
    }

    #[test]
    fn a_target_that_recovers_or_is_held_is_not_measured_when_users_go_back_later() {
        let (failing, now) = (Failing::default(), Instant::now());
        for recovers in [true, false] {
            failing.note(Verdict::Fail, now);
            if recovers {
                failing.note(Verdict::Pass, now);
            } else {
                failing.overlook();
            }
            assert_eq!(failing.answered(), None);
        }
    }
}
