//! When a migration is looked at again; and how long it waits after a pass that failed: each for itself, and a rollback never for long.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use kube_runtime::controller::Action;

use super::{Operator, locked, uid};
use crate::api::{NamespaceMigration, Stage};
use crate::backoff::Backoff;
use crate::execute::Report;
use crate::machine::stages;

/// After a write the watch brings the new object; should it not, a look is taken after this time.
const AFTER_WRITE: Duration = Duration::from_secs(2);
/// A rollback is tried again at least this often, however often it has failed.
const ROLLBACK_RETRY: Duration = Duration::from_secs(5);
/// So many conflicts in a row are decided again at once; then something else than a status update is behind them.
const CONFLICTS_IN_A_ROW: u32 = 20;

/// Whose status could not be saved goes on this long after it can be again, at the latest.
const LONGEST_STANDSTILL: Duration = Duration::from_secs(30);

/// The failures in a row of every migration, by its UID.
#[derive(Default)]
pub(super) struct Waits {
    failures: Mutex<Backoff>,
    conflicts: Mutex<Backoff>,
    /// Until when those go nowhere whose status could not be saved.
    unsaved: Mutex<HashMap<String, Instant>>,
}

impl Waits {
    /// Counts one more failure and returns how long to wait.
    pub(super) fn failed(&self, uid: &str, stage: Stage) -> Duration {
        let wait = locked(&self.failures).failed(uid, crate::random::bytes::<1>()[0]);
        if stages::is_rollback(stage) { wait.min(ROLLBACK_RETRY) } else { wait }
    }

    /// The status could not be saved. Until this time has passed nothing goes forward: each write would wake the next pass, which knows
    /// nothing of it.
    pub(super) fn unsaved(&self, uid: &str, wait: Duration, now: Instant) {
        locked(&self.unsaved).insert(uid.to_owned(), now + wait.min(LONGEST_STANDSTILL));
    }

    /// How long nothing may go forward yet.
    pub(super) fn stands_still(&self, uid: &str, now: Instant) -> Option<Duration> {
        let until = locked(&self.unsaved).get(uid).copied()?;
        until.checked_duration_since(now).filter(|left| !left.is_zero())
    }

    /// Counts one more conflict. Whether it is decided again at once.
    pub(super) fn conflict_is_normal(&self, uid: &str) -> bool {
        let mut conflicts = locked(&self.conflicts);
        conflicts.failed(uid, 0);
        conflicts.failures(uid) <= CONFLICTS_IN_A_ROW
    }

    /// Whether the pass before failed.
    pub(super) fn has_failed(&self, uid: &str) -> bool {
        locked(&self.failures).failures(uid) > 0
    }

    /// A pass went well, or the migration is gone.
    pub(super) fn reset(&self, uid: &str) {
        locked(&self.failures).reset(uid);
        locked(&self.conflicts).reset(uid);
        locked(&self.unsaved).remove(uid);
    }
}

impl Operator {
    /// When to look again.
    pub(super) fn next(
        &self,
        migration: &NamespaceMigration,
        stage: Stage,
        wake_at: Option<jiff::Timestamp>,
        report: &Report,
    ) -> Action {
        let uid = uid(migration);
        if report.is_conflict_only() && self.waits.conflict_is_normal(&uid) {
            return Action::requeue(Duration::ZERO);
        }
        if !report.failures.is_empty() {
            return Action::requeue(until_due(wake_at, self.waits.failed(&uid, stage)));
        }
        self.waits.reset(&uid);
        if report.done > 0 {
            return Action::requeue(AFTER_WRITE);
        }
        until(wake_at)
    }
}

/// The wait before the next try. What is due before, as the deadline of a deletion, is not late because of it.
pub(super) fn until_due(wake_at: Option<jiff::Timestamp>, wait: Duration) -> Duration {
    let now = crate::cluster::now();
    let due = wake_at.filter(|at| *at > now).and_then(|at| Duration::try_from(at.duration_since(now)).ok());
    due.map_or(wait, |due| due.min(wait))
}

/// Waits until then, or for the next change. A moment that has passed is now.
pub(super) fn until(wake_at: Option<jiff::Timestamp>) -> Action {
    let Some(at) = wake_at else { return Action::await_change() };
    let left = at.duration_since(crate::cluster::now());
    // A timer may fire a little early; a little late is what was promised.
    Action::requeue(Duration::try_from(left).unwrap_or_default() + Duration::from_millis(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rollback_is_tried_again_soon_however_often_it_failed() {
        let waits = Waits::default();
        for _ in 0..20 {
            assert!(waits.failed("a", Stage::RollbackBlocked) <= ROLLBACK_RETRY);
        }
        assert!(waits.failed("a", Stage::ShiftTraffic) > ROLLBACK_RETRY);
        assert!(waits.has_failed("a") && !waits.has_failed("b"));
    }

    #[test]
    fn while_the_status_cannot_be_saved_nothing_goes_forward_before_the_next_try() {
        let (waits, now, second) = (Waits::default(), Instant::now(), Duration::from_secs(1));
        assert_eq!(waits.stands_still("a", now), None);
        waits.unsaved("a", second * 4, now);
        assert_eq!(waits.stands_still("a", now + second), Some(second * 3));
        assert_eq!((waits.stands_still("b", now), waits.stands_still("a", now + second * 4)), (None, None));
        waits.unsaved("a", second, now);
        waits.reset("a");
        assert_eq!(waits.stands_still("a", now), None);
    }

    #[test]
    fn conflicts_without_end_are_not_met_at_once_for_ever() {
        let waits = Waits::default();
        assert!((0..CONFLICTS_IN_A_ROW).all(|_| waits.conflict_is_normal("a")));
        assert!(!waits.conflict_is_normal("a"));
        waits.reset("a");
        assert!(waits.conflict_is_normal("a"));
    }
}
