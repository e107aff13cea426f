//! PURE. A `ClusterPair` that somebody deletes stays while it is needed: by migrations under way, which go forward or back by it, and for
//! a while by what deleted ones still owe its clusters, which is noted nowhere else.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::by_hand;
use super::debt::{Debts, Owed};
use super::deletion::{self, has_finalizer};
use super::reason::Reason;
use super::run::{Event, seconds};
use super::stages::{is_on_its_way, is_terminal};
use crate::api::{ClusterPair, FINALIZER, NamespaceMigration, PAIR_FINALIZER};

/// So many migrations or leftovers are named; of the others their number is told.
const NAMED: usize = 3;

/// What decides whether a pair is held.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Keeping {
    /// When somebody deleted it (`metadata.deletionTimestamp`).
    pub asked_at: Option<Timestamp>,
    /// Whether our finalizer is on it.
    pub held: bool,
    /// The migrations under way by it, as `namespace/name`.
    pub users: BTreeSet<String>,
    /// How long it waits, once deleted and not used any more, for what is owed.
    pub allowance: SignedDuration,
}

/// What is to be done about our finalizer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hold {
    /// It goes on the pair.
    Put,
    /// It comes off.
    Take,
    /// It stays as it is.
    Leave,
}

/// Whether a migration is under way by the pair that it names: our finalizer is on it from before its first write to its end, and if
/// somebody took that off, its stage says so.
pub fn is_under_way(migration: &NamespaceMigration) -> bool {
    let stage = migration.status.as_ref().map(|status| status.stage).unwrap_or_default();
    is_on_its_way(stage) || has_finalizer(&migration.metadata, FINALIZER)
}

/// Whether a migration cannot begin, because the pair is on its way out.
pub fn takes_no_more(pair: &ClusterPair, migration: &NamespaceMigration) -> bool {
    let has_ended = migration.status.as_ref().is_some_and(|status| is_terminal(status.stage));
    pair.metadata.deletion_timestamp.is_some() && !is_under_way(migration) && !has_ended
}

impl Keeping {
    /// Of a pair, with those who are under way by it.
    pub fn of(pair: &ClusterPair, users: BTreeSet<String>) -> Self {
        Self {
            asked_at: pair.metadata.deletion_timestamp.as_ref().map(|time| time.0),
            held: has_finalizer(&pair.metadata, PAIR_FINALIZER),
            users,
            allowance: deletion::allowance(Some(pair)),
        }
    }

    /// What is to be done now. Nobody can put a finalizer on what is deleted already.
    pub fn decide(&self, owed: &Debts, now: Timestamp) -> Hold {
        let is_needed = !self.users.is_empty() || !owed.is_empty() && !self.is_overdue(owed, now);
        match (self.held, is_needed) {
            (false, true) if self.asked_at.is_none() => Hold::Put,
            (true, false) => Hold::Take,
            _ => Hold::Leave,
        }
    }

    /// When it goes although something is owed, unless a migration needs it still. Each debt has its time, also one that was noted
    /// long after the pair was deleted. None while nobody deletes it.
    pub fn deadline(&self, owed: &Debts) -> Option<Timestamp> {
        let weights = owed.weights.iter().map(|debt| debt.since.0);
        let newest = weights.chain(owed.objects.iter().map(|debt| debt.since.0)).max();
        let from = newest.into_iter().chain(self.asked_at).max();
        self.asked_at.and(from).map(|from| from.saturating_add(self.allowance).unwrap_or(from))
    }

    fn is_overdue(&self, owed: &Debts, now: Timestamp) -> bool {
        self.deadline(owed).is_some_and(|deadline| now >= deadline)
    }

    /// What keeps a pair that is being deleted: why, and in a sentence with what unblocks it. None while nothing does.
    pub fn why(&self, pair: &str, owed: &Debts) -> Option<(Reason, String)> {
        let deadline = self.deadline(owed).filter(|_| self.held)?;
        if !self.users.is_empty() {
            let users = named(self.users.iter().map(|user| format!("NamespaceMigration {user}")));
            let message = format!(
                "ClusterPair {pair} is being deleted and stays until those under way by it have ended: {users}. Wait for their end; or delete \
                 them: spec.deletionPolicy of each says what becomes of its weights (Rollback: users go back first)."
            );
            return Some((Reason::PairInUse, message));
        }
        let message = || {
            format!(
                "ClusterPair {pair} is being deleted and stays until {} for what deleted migrations left over: {}. Bring the cluster back, \
                 and it is done; after that time the pair goes all the same, and nobody does it any more.",
                seconds(deadline).0,
                in_words(owed)
            )
        };
        (!owed.is_empty()).then(|| (Reason::LeftOver, message()))
    }

    /// What people are told when a pair goes with debts: what is left to be done by hand.
    pub fn last_word(pair: &str, owed: &Debts) -> Option<Event> {
        let note = || {
            format!(
                "ClusterPair {pair} goes with what deleted migrations left over, and nobody does it any more: {}. Do it by hand.{}",
                in_words(owed),
                by_hand::leftovers(&owed.weights)
            )
        };
        (!owed.is_empty()).then(|| Event { reason: Reason::PairLetGo, note: note(), warning: true })
    }
}

fn in_words(owed: &Debts) -> String {
    let weights = owed.weights.iter().map(Owed::in_words);
    let all = weights.chain(owed.objects.iter().map(Owed::in_words));
    // Each is worded as a sentence begins.
    named(all.map(|debt| debt.replacen("The ", "the ", 1)))
}

/// The first few, and the number of the others.
fn named(all: impl Iterator<Item = String>) -> String {
    let all: Vec<_> = all.collect();
    let first = all.iter().take(NAMED).cloned().collect::<Vec<_>>().join(", ");
    match all.len().saturating_sub(NAMED) {
        0 => first,
        more => format!("{first} and {more} more"),
    }
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;
    use crate::api::Leftover;
    use crate::api::pair_status::LeftoverSide;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const ALLOWANCE: SignedDuration = SignedDuration::from_mins(15);

    fn keeping(asked_at: Option<Timestamp>, held: bool, users: &[&str]) -> Keeping {
        Keeping { asked_at, held, users: users.iter().map(|user| (*user).to_owned()).collect(), allowance: ALLOWANCE }
    }

    fn debts() -> Debts {
        let weight = Leftover {
            namespace: "shop".into(),
            ingress: "web".into(),
            side: LeftoverSide::Target,
            identity: "there".into(),
            other_identity: "here".into(),
            annotation_prefix: "dns/".into(),
            identifier: "web-shop-green".into(),
            weight: 0,
            after_source: false,
            owner: "home/shop/shop".into(),
            attempt: 1,
            epoch: 2,
            reason: "TargetUnreachable".into(),
            why: "The target does not answer.".into(),
            since: Time(NOW),
        };
        Debts { weights: vec![weight], objects: vec![] }
    }

    #[test]
    fn a_pair_is_held_while_it_is_needed() {
        for (users, owed, expected) in [
            (&["shop/shop"][..], Debts::default(), [Hold::Put, Hold::Leave]),
            (&[], debts(), [Hold::Put, Hold::Leave]),
            (&[], Debts::default(), [Hold::Leave, Hold::Take]),
        ] {
            let found = [false, true].map(|held| keeping(None, held, users).decide(&owed, NOW));
            assert_eq!(found, expected, "{users:?}, {owed:?}");
        }
    }

    #[test]
    fn a_deleted_one_waits_for_its_users_for_ever_and_for_what_it_owes_until_its_deadline() {
        let later = NOW + ALLOWANCE;
        let used = keeping(Some(NOW), true, &["shop/shop"]);
        assert_eq!([NOW, later].map(|now| used.decide(&debts(), now)), [Hold::Leave, Hold::Leave]);
        let unused = keeping(Some(NOW), true, &[]);
        assert_eq!([NOW, later].map(|now| unused.decide(&debts(), now)), [Hold::Leave, Hold::Take]);
        assert_eq!(unused.decide(&Debts::default(), NOW), Hold::Take);
        assert_eq!(keeping(Some(NOW), false, &["shop/shop"]).decide(&debts(), NOW), Hold::Leave, "it is too late");
    }

    /// A migration that was deleted together with its pair notes what it owes when its own deadline has passed.
    #[test]
    fn what_is_noted_long_after_the_pair_was_deleted_has_its_time_too() {
        let (unused, mut late) = (keeping(Some(NOW), true, &[]), debts());
        let noted = NOW + ALLOWANCE;
        late.weights[0].since = Time(noted);
        assert_eq!([noted, noted + ALLOWANCE].map(|now| unused.decide(&late, now)), [Hold::Leave, Hold::Take]);
    }

    #[test]
    fn one_in_mid_way_is_under_way_also_without_our_finalizer() {
        let at = |stage: &str| {
            let migration: NamespaceMigration = serde_json::from_value(serde_json::json!({
                "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration", "metadata": {"name": "shop"},
                "spec": {"clusterPair": "p"}, "status": {"stage": stage},
            }))
            .unwrap();
            is_under_way(&migration)
        };
        assert!(
            ["WeightSource", "ShiftTraffic", "Bake", "RollingBack", "RollbackBlocked"].map(at).into_iter().all(|is| is)
        );
        assert!(["Pending", "Preflight", "Completed", "RolledBack", "Failed"].map(at).into_iter().all(|is| !is));
    }

    #[test]
    fn what_keeps_it_is_named_with_what_unblocks_it() {
        let why = |keeping: &Keeping, owed: &Debts| keeping.why("old-to-new", owed);
        let users = ["a/a", "b/b", "c/c", "d/d", "e/e"];
        let (reason, message) = why(&keeping(Some(NOW), true, &users), &Debts::default()).unwrap();
        assert_eq!(reason, Reason::PairInUse);
        assert!(
            message.contains("NamespaceMigration c/c and 2 more. Wait for their end; or delete them:"),
            "{message}"
        );
        let (reason, message) = why(&keeping(Some(NOW), true, &[]), &debts()).unwrap();
        assert_eq!(reason, Reason::LeftOver);
        let words = "stays until 1970-01-01T00:15:00Z for what deleted migrations left over: the weight 0 of Ingress web in namespace shop on the target.";
        assert!(message.contains(words), "{message}");
        assert_eq!(why(&keeping(None, true, &users), &debts()), None, "nobody deletes it");
        assert_eq!(why(&keeping(Some(NOW), true, &[]), &Debts::default()), None, "nothing keeps it");
    }

    #[test]
    fn the_last_word_has_the_commands_for_what_is_left() {
        let told = Keeping::last_word("old-to-new", &debts()).unwrap();
        assert!(told.warning && told.note.contains("kubectl --context=TARGET"), "{}", told.note);
        assert_eq!(Keeping::last_word("old-to-new", &Debts::default()), None);
    }
}
