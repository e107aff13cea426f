//! Until when the health of each migration was watched, before its site was made anew: a hold goes on with what it has.

use std::collections::HashMap;
use std::sync::Mutex;

use jiff::Timestamp;
use kube_runtime::reflector::ObjectRef;

use super::locked;
use crate::api::NamespaceMigration;
use crate::machine::Side;
use crate::machine::health::{HealthView, Verdict};

/// The ends of earlier watches: of this process by migration, and of the process before it.
pub(super) struct Watches {
    ended: Mutex<HashMap<ObjectRef<NamespaceMigration>, Option<Timestamp>>>,
    of_predecessor: Option<Timestamp>,
}

impl Watches {
    pub(super) fn new(of_predecessor: Option<Timestamp>) -> Self {
        Self { ended: Mutex::default(), of_predecessor }
    }

    /// Until when a migration was watched before its site is opened.
    pub(super) fn before(&self, migration: &ObjectRef<NamespaceMigration>) -> Option<Timestamp> {
        locked(&self.ended).get(migration).copied().unwrap_or(self.of_predecessor)
    }

    /// A site is closed that had last seen this. One that had not begun to watch leaves what was known before it; of one without
    /// a Pass a clock that runs proves nothing.
    pub(super) fn ends(&self, migration: &ObjectRef<NamespaceMigration>, health: &HealthView, now: Timestamp) {
        if health.watched_since.is_some() && health.last_round.is_some() {
            let passes = health.verdict(Side::Target) == Verdict::Pass;
            locked(&self.ended).insert(migration.clone(), passes.then_some(now));
        }
    }

    /// The migration is gone.
    pub(super) fn forget(&self, gone: &ObjectRef<NamespaceMigration>) {
        locked(&self.ended).remove(gone);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::health::CheckReport;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn seen(verdict: Verdict) -> HealthView {
        let check = CheckReport { name: "c".into(), side: Side::Target, verdict, message: String::new() };
        HealthView { watched_since: Some(at(1)), last_round: Some(at(2)), checks: vec![check], ..HealthView::default() }
    }

    #[test]
    fn the_end_of_the_last_watch_counts_and_before_the_first_one_that_of_the_process_before() {
        let (watches, shop) = (Watches::new(Some(at(5))), ObjectRef::new("shop").within("shop"));
        assert_eq!(watches.before(&shop), Some(at(5)));
        watches.ends(&shop, &HealthView::default(), at(7));
        assert_eq!(watches.before(&shop), Some(at(5)), "it had not begun");
        watches.ends(&shop, &seen(Verdict::Pass), at(9));
        assert_eq!(watches.before(&shop), Some(at(9)));
        watches.ends(&shop, &seen(Verdict::Inconclusive), at(11));
        assert_eq!(watches.before(&shop), None, "a clock that runs without a verdict proves nothing");
        watches.forget(&shop);
        assert_eq!(watches.before(&shop), Some(at(5)));
    }
}
