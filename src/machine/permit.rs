//! The last look before a weight is written: live facts against what was decided (design of the traffic protocol, rule 3).
//!
//! A forward write needs both sides' stamps, read live, and stops at a newer epoch on either. A rollback needs only
//! what it writes. Whatever is permitted carries uid and resourceVersion, so that the API server has the last word.

use super::effect::WeightWrite;
use super::observed::{IngressFacts, NamespaceFacts, Side};
use super::stamp::Stamp;

/// What was read live, immediately before a write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// UID of the cluster's `kube-system` namespace.
    pub identity: String,
    /// The namespace.
    pub namespace: Option<NamespaceFacts>,
    /// The Ingress that is written.
    pub ingress: Option<IngressFacts>,
    /// The stamp on the other side's Ingress. Read for forward writes only.
    pub other_stamp: Option<Stamp>,
}

/// What may be done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Permit {
    /// Write, under this precondition.
    Write {
        /// UID of the live object.
        uid: String,
        /// Version of the live object.
        resource_version: String,
    },
    /// The live object is already as wanted.
    AlreadyDone,
    /// Do not write.
    Refused(Refusal),
}

/// Why a write is not permitted. None of these is an error of the API: the world is not as it was decided on.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// The cluster is another one.
    #[error("the {side} is another cluster than the ClusterPair names: its identity is {found}, not {expected}")]
    WrongCluster {
        /// The side.
        side: Side,
        /// What was found.
        found: String,
        /// What the pair names.
        expected: String,
    },
    /// The object is gone.
    #[error("Ingress {ingress} is not on the {side}")]
    Gone {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
    },
    /// The object was recreated.
    #[error("Ingress {ingress} on the {side} was recreated since it was decided on")]
    Recreated {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
    },
    /// The namespace or the object is being deleted, and must not be given users.
    #[error("Ingress {ingress} on the {side} or its namespace is being deleted and must not be given users")]
    Terminating {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
    },
    /// A newer epoch, or a rollback, has been written.
    #[error("a newer write has been made: epoch {found} {direction:?}, this one has epoch {ours}", direction = .newer.direction, found = .newer.epoch)]
    Fenced {
        /// The stamp that was found.
        newer: Stamp,
        /// The epoch of the refused write.
        ours: i64,
    },
    /// Another migration moves the object.
    #[error("Ingress {ingress} on the {side} is moved by another migration: {owner}")]
    OwnedByAnother {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
        /// The other owner.
        owner: String,
    },
    /// Somebody else changed the weight since we wrote it.
    #[error("the weight of Ingress {ingress} on the {side} was changed by {writer}")]
    Contested {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
        /// Who.
        writer: String,
    },
}

/// Whether `write` may be done, given what is live. `expected_identity` is the pair's pin of the cluster.
pub fn permit(write: &WeightWrite, expected_identity: &str, live: &Live) -> Permit {
    match refusal(write, expected_identity, live) {
        Err(refusal) => Permit::Refused(refusal),
        Ok(ingress) if is_done(write, ingress) => Permit::AlreadyDone,
        Ok(ingress) => Permit::Write { uid: ingress.uid.clone(), resource_version: ingress.resource_version.clone() },
    }
}

/// Whether the Ingress carries exactly this set, and nobody else has taken the weight over.
pub fn is_done(write: &WeightWrite, ingress: &IngressFacts) -> bool {
    ingress.weight() == Some(write.weight)
        && ingress.identifier.as_deref() == Some(write.identifier.as_str())
        && ingress.stamp.as_ref() == Some(&write.stamp)
        && ingress.weight_is_ours()
}

fn refusal<'a>(write: &WeightWrite, expected_identity: &str, live: &'a Live) -> Result<&'a IngressFacts, Refusal> {
    let (side, ingress) = (write.side, write.ingress.clone());
    if live.identity != expected_identity {
        return Err(Refusal::WrongCluster {
            side,
            found: live.identity.clone(),
            expected: expected_identity.to_owned(),
        });
    }
    let Some(found) = &live.ingress else { return Err(Refusal::Gone { side, ingress }) };
    fence(write, found.stamp.as_ref())?;
    let terminating = found.deleting || live.namespace.as_ref().is_none_or(|namespace| namespace.terminating);
    if terminating && found.weight().is_none_or(|weight| weight < write.weight) {
        return Err(Refusal::Terminating { side, ingress });
    }
    if write.stamp.direction.is_back() {
        return Ok(found);
    }
    if let Some(other) = &live.other_stamp {
        fence(write, Some(other))?;
    }
    if write.uid.as_ref().is_some_and(|uid| *uid != found.uid) {
        return Err(Refusal::Recreated { side, ingress });
    }
    let ours =
        found.stamp.as_ref().is_some_and(|stamp| stamp.owner == write.stamp.owner && !stamp.direction.is_final());
    if ours && !found.weight_is_ours() {
        return Err(Refusal::Contested { side, ingress, writer: found.weight_writer() });
    }
    Ok(found)
}

/// Refuses a write that is older than a stamp: another owner's running one, or a newer epoch of our own.
fn fence(write: &WeightWrite, stamp: Option<&Stamp>) -> Result<(), Refusal> {
    let Some(stamp) = stamp else { return Ok(()) };
    if stamp.owner != write.stamp.owner {
        if stamp.direction.is_final() {
            return Ok(());
        }
        let (side, ingress, owner) = (write.side, write.ingress.clone(), stamp.owner.clone());
        return Err(Refusal::OwnedByAnother { side, ingress, owner });
    }
    let newer = stamp.epoch > write.stamp.epoch;
    let turned_back = stamp.epoch == write.stamp.epoch && stamp.direction.is_back() && !write.stamp.direction.is_back();
    if newer || turned_back {
        return Err(Refusal::Fenced { newer: stamp.clone(), ours: write.stamp.epoch });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::stamp::Direction;
    use super::super::traffic::Weight;
    use super::*;
    use crate::api::FIELD_MANAGER;

    fn stamp(epoch: i64, direction: Direction) -> Stamp {
        Stamp { owner: "home/shop/shop".into(), attempt: 1, epoch, direction }
    }

    fn write(weight: i32, stamp: Stamp) -> WeightWrite {
        WeightWrite {
            side: Side::Target,
            ingress: "web".into(),
            uid: Some("uid".into()),
            identifier: "web-shop-green".into(),
            weight: Weight::percent(weight),
            stamp,
            after_source: false,
        }
    }

    fn live(weight: &str, found: Option<Stamp>) -> Live {
        Live {
            identity: "target".into(),
            namespace: Some(NamespaceFacts::default()),
            ingress: Some(IngressFacts {
                uid: "uid".into(),
                resource_version: "7".into(),
                identifier: Some("web-shop-green".into()),
                weight_text: Some(weight.into()),
                stamp: found,
                weight_managers: [FIELD_MANAGER.to_owned()].into(),
                ..IngressFacts::default()
            }),
            other_stamp: None,
        }
    }

    fn refused(permit: Permit) -> Refusal {
        match permit {
            Permit::Refused(refusal) => refusal,
            other => panic!("expected a refusal, got {other:?}"),
        }
    }

    #[test]
    fn a_forward_write_carries_the_live_version() {
        let live = live("0", Some(stamp(1, Direction::Forward)));
        let permitted = permit(&write(10, stamp(1, Direction::Forward)), "target", &live);
        assert_eq!(permitted, Permit::Write { uid: "uid".into(), resource_version: "7".into() });
    }

    #[test]
    fn what_is_done_is_not_written_again() {
        let live = live("10", Some(stamp(1, Direction::Forward)));
        assert_eq!(permit(&write(10, stamp(1, Direction::Forward)), "target", &live), Permit::AlreadyDone);
    }

    #[test]
    fn a_rollback_writes_its_epoch_even_when_the_weight_is_right() {
        let live = live("0", Some(stamp(1, Direction::Forward)));
        assert!(matches!(permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live), Permit::Write { .. }));
    }

    #[test]
    fn a_forward_write_stops_at_a_rollback_on_either_side() {
        let back = stamp(2, Direction::RollingBack);
        let forward = write(10, stamp(1, Direction::Forward));
        assert!(matches!(refused(permit(&forward, "target", &live("0", Some(back.clone())))), Refusal::Fenced { .. }));
        let other = Live { other_stamp: Some(back), ..live("0", Some(stamp(1, Direction::Forward))) };
        assert!(matches!(refused(permit(&forward, "target", &other)), Refusal::Fenced { .. }));
    }

    #[test]
    fn a_forward_write_never_follows_a_rollback_of_its_own_epoch() {
        let live = live("0", Some(stamp(2, Direction::RolledBack)));
        assert!(matches!(
            refused(permit(&write(10, stamp(2, Direction::Forward)), "target", &live)),
            Refusal::Fenced { .. }
        ));
    }

    #[test]
    fn nothing_is_written_to_another_cluster() {
        let refusal = refused(permit(&write(0, stamp(2, Direction::RollingBack)), "other", &live("10", None)));
        assert_eq!(
            refusal.to_string(),
            "the target is another cluster than the ClusterPair names: its identity is target, not other"
        );
    }

    #[test]
    fn a_terminating_namespace_is_lowered_but_never_raised() {
        let mut live = live("10", Some(stamp(1, Direction::Forward)));
        live.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true });
        let raise = permit(&write(50, stamp(1, Direction::Forward)), "target", &live);
        assert!(matches!(refused(raise), Refusal::Terminating { .. }));
        assert!(matches!(permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live), Permit::Write { .. }));
    }

    #[test]
    fn a_contested_weight_is_not_fought_going_forward_and_never_stops_a_rollback() {
        let mut live = live("77", Some(stamp(1, Direction::Forward)));
        if let Some(ingress) = &mut live.ingress {
            ingress.weight_managers = ["kubectl-edit".to_owned()].into();
        }
        let refusal = refused(permit(&write(10, stamp(1, Direction::Forward)), "target", &live));
        assert_eq!(refusal.to_string(), "the weight of Ingress web on the target was changed by kubectl-edit");
        assert!(matches!(permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live), Permit::Write { .. }));
    }

    #[test]
    fn a_recreated_ingress_is_adopted_only_by_a_rollback() {
        let mut live = live("10", None);
        if let Some(ingress) = &mut live.ingress {
            ingress.uid = "new".into();
        }
        assert!(matches!(
            refused(permit(&write(10, stamp(1, Direction::Forward)), "target", &live)),
            Refusal::Recreated { .. }
        ));
        let back = permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live);
        assert_eq!(back, Permit::Write { uid: "new".into(), resource_version: "7".into() });
    }

    #[test]
    fn another_migrations_ingress_is_left_alone_until_that_one_has_ended() {
        let other = Stamp { owner: "home/x/x".into(), ..stamp(9, Direction::Forward) };
        let forward = write(10, stamp(1, Direction::Forward));
        assert!(matches!(
            refused(permit(&forward, "target", &live("0", Some(other.clone())))),
            Refusal::OwnedByAnother { .. }
        ));
        let ended = Stamp { direction: Direction::Completed, ..other };
        assert!(matches!(permit(&forward, "target", &live("0", Some(ended))), Permit::Write { .. }));
    }
}
