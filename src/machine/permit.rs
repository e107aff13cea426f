//! The last look before a weight is written: live facts against what was decided (design of the traffic protocol, rule 3).
//!
//! A forward write needs both sides, read live: it stops at a newer epoch or a contest on either, and never leaves both at 0.
//! A rollback needs only what it writes. Whatever is permitted carries uid and resourceVersion, so that the API server has
//! the last word.

use super::effect::{IngressCreation, Replaces, WeightWrite};
use super::observed::{IngressFacts, NamespaceFacts, Side};
use super::rehearsal;
use super::stamp::{Direction, Stamp};
use super::traffic::{Weight, target_share};

/// What was read live, immediately before a write.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Live {
    /// UID of the cluster's `kube-system` namespace.
    pub identity: String,
    /// The namespace.
    pub namespace: Option<NamespaceFacts>,
    /// The Ingress that is written.
    pub ingress: Option<IngressFacts>,
    /// The Ingress of that name on the other side. Read for forward writes only; None when there is none.
    pub other: Option<IngressFacts>,
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
    /// A newer epoch, or a rollback of this one, has been written.
    #[error("a write that overrules this one has been made: its stamp says epoch {found} {direction:?}, this one epoch {ours}", direction = .newer.direction, found = .newer.epoch)]
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
    /// Beside what somebody else wrote, the target would get more users than the step allows.
    #[error(
        "weight {weight} for Ingress {ingress} on the {side} would send {share} percent of users to the target, where {allowed} are allowed"
    )]
    TooMany {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
        /// The weight that was to be written.
        weight: Weight,
        /// The target's share in percent that it would lead to.
        share: i32,
        /// The share in percent that is allowed.
        allowed: i32,
    },
    /// A fence, or the last stamp, keeps the weight, and this one is another by now.
    #[error("Ingress {ingress} on the {side} has changed since it was decided to keep its weight")]
    Moved {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
    },
    /// A rollback that was decided on an older view: beside a target at 100 the source may be at 0, and two zeros are an even split.
    #[error(
        "Ingress {ingress} on the target has weight 100 by now, so that the source may be at 0 and gets its 100 first"
    )]
    SourceMayBeZero {
        /// The Ingress.
        ingress: String,
    },
    /// Two zeros are an even split.
    #[error("weight 0 for Ingress {ingress} on the {side} would leave both sides at 0, which is an even split")]
    BothZero {
        /// The side.
        side: Side,
        /// The Ingress.
        ingress: String,
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

/// Whether the Ingress carries exactly this set, and nobody else has taken the weight over. A rollback's first stamp is not put
/// over its last one: a process that was stopped for long would open again what another one has ended.
pub fn is_done(write: &WeightWrite, ingress: &IngressFacts) -> bool {
    ingress.weight() == Some(write.weight)
        && ingress.identifier.as_deref() == Some(write.identifier.as_str())
        && ingress.stamp.as_ref().is_some_and(|stamp| *stamp == write.stamp || ends(stamp, &write.stamp))
        && ingress.weight_is_ours()
        && (ingress.withheld || !write.withheld)
}

fn ends(found: &Stamp, wanted: &Stamp) -> bool {
    wanted.direction == Direction::RollingBack && *found == Stamp { direction: Direction::RolledBack, ..wanted.clone() }
}

/// Whether the target's Ingress may be made now, beside the source's as it was read live: that one must carry this very stamp and
/// must serve. A second record at 0 beside a record at 0 would be an even split.
///
/// # Errors
/// Why it may not.
pub fn permit_creation(creation: &IngressCreation, source: &IngressFacts) -> Result<(), Refusal> {
    let (ours, ingress) = (&creation.stamp, creation.name.clone());
    match &source.stamp {
        Some(stamp) if stamp == ours => {}
        Some(stamp) if stamp.owner != ours.owner => {
            return Err(Refusal::OwnedByAnother { side: Side::Source, ingress, owner: stamp.owner.clone() });
        }
        Some(newer) if newer.epoch >= ours.epoch => {
            return Err(Refusal::Fenced { newer: newer.clone(), ours: ours.epoch });
        }
        _ => return Err(Refusal::Contested { side: Side::Source, ingress, writer: source.weight_writer() }),
    }
    if !source.weight_is_ours() {
        return Err(Refusal::Contested { side: Side::Source, ingress, writer: source.weight_writer() });
    }
    if source.weight().is_none_or(|weight| weight == Weight::ZERO) {
        return Err(Refusal::BothZero { side: Side::Target, ingress });
    }
    Ok(())
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
        // A process that was stopped for long must not open again what another one has ended meanwhile. Who knows of the end may.
        let ended = found.stamp.as_ref().filter(|stamp| write.before_end && stamp.direction == Direction::Completed);
        if let Some(newer) = ended {
            return Err(Refusal::Fenced { newer: newer.clone(), ours: write.stamp.epoch });
        }
        let leaves_two_zeros = side == Side::Target && found.weight() == Some(Weight::FULL) && !write.after_source;
        return if leaves_two_zeros { Err(Refusal::SourceMayBeZero { ingress }) } else { Ok(found) };
    }
    if write.uid.as_ref().is_some_and(|uid| *uid != found.uid) {
        return Err(Refusal::Recreated { side, ingress });
    }
    if write.keeps_weight {
        let kept = keeps(write, found) && found.weight_is_ours();
        return if kept { Ok(found) } else { Err(Refusal::Moved { side, ingress }) };
    }
    forward(write, found, live.other.as_ref())?;
    Ok(found)
}

/// A write that keeps the weight takes it back from nobody and gives nobody anything.
fn keeps(write: &WeightWrite, found: &IngressFacts) -> bool {
    found.weight() == Some(write.weight) && found.identifier.as_ref() == Some(&write.identifier)
}

/// What only a forward write is refused for: what is live on either side is not as we left it.
fn forward(write: &WeightWrite, found: &IngressFacts, other: Option<&IngressFacts>) -> Result<(), Refusal> {
    fence(write, other.and_then(|other| other.stamp.as_ref()))?;
    if !keeps(write, found) {
        if write.stamp.direction == Direction::Completed {
            // The last stamp says what was seen to be served: a weight that it changed would be served later, or never.
            return Err(Refusal::Moved { side: write.side, ingress: write.ingress.clone() });
        }
        unended(write, found)?;
        uncontested(write, write.side, Some(found))?;
        if !(other.is_none() && rehearsal::sends_nobody(write.side, write.weight, other)) {
            uncontested(write, write.side.other(), other)?;
        }
    }
    // Without a weight and an identifier the other side is a simple record, or not there: it serves, or it never did.
    let weight = other.filter(|other| other.identifier.is_some()).and_then(IngressFacts::weight);
    let (other_is_zero, other_serves) =
        (weight == Some(Weight::ZERO), weight.is_some_and(|weight| weight > Weight::ZERO));
    let allowed = if write.is_claim() { !other_is_zero } else { other_serves };
    if write.weight == Weight::ZERO && !allowed {
        return Err(Refusal::BothZero { side: write.side, ingress: write.ingress.clone() });
    }
    within_the_step(write, found, other)
}

/// Refuses to replace a foreign weight by one that raises the target's share above the step's. What holds for each pair of Ingresses
/// holds for the sums of a host: a share of sums lies between the shares of its parts.
fn within_the_step(write: &WeightWrite, found: &IngressFacts, other: Option<&IngressFacts>) -> Result<(), Refusal> {
    let Some(Replaces { allowed, .. }) = write.replaces.as_deref() else { return Ok(()) };
    let there: Vec<_> = other.and_then(IngressFacts::weight).into_iter().collect();
    let share = |here: &[Weight]| match write.side {
        Side::Source => target_share(here, &there),
        Side::Target => target_share(&there, here),
    };
    let before: Vec<_> = found.weight().into_iter().collect();
    let (before, after) = (share(&before), share(&[write.weight]));
    if after <= *allowed || after <= before {
        return Ok(());
    }
    let (side, ingress) = (write.side, write.ingress.clone());
    Err(Refusal::TooMany { side, ingress, weight: write.weight, share: after, allowed: *allowed })
}

/// Whether a write may overwrite, or stand beside, exactly what somebody else wrote there.
fn replaces(write: &WeightWrite, side: Side, facts: &IngressFacts) -> bool {
    let known = write.replaces.as_deref().and_then(|replaces| side.pick(&replaces.source, &replaces.target).as_ref());
    known.is_some_and(|known| {
        facts.weight() == Some(known.weight)
            && facts.identifier.as_ref() == Some(&known.identifier)
            && facts.weight_writer() == known.writer
    })
}

/// Refuses a change of the weight that was decided before the end of its own epoch: a process may have been stopped that long.
fn unended(write: &WeightWrite, found: &IngressFacts) -> Result<(), Refusal> {
    let stamp = found.stamp_of(&write.stamp.owner).filter(|stamp| stamp.direction == Direction::Completed);
    match stamp.filter(|stamp| stamp.epoch >= write.stamp.epoch) {
        Some(newer) => Err(Refusal::Fenced { newer: newer.clone(), ours: write.stamp.epoch }),
        None => Ok(()),
    }
}

/// Refuses a write beside a weight that somebody else took over. What gives users to the target needs our stamps on both sides.
fn uncontested(write: &WeightWrite, side: Side, facts: Option<&IngressFacts>) -> Result<(), Refusal> {
    let ingress = write.ingress.clone();
    let Some(facts) = facts else {
        return if write.is_claim() { Ok(()) } else { Err(Refusal::Gone { side, ingress }) };
    };
    let stamp = facts.stamp_of(&write.stamp.owner);
    let contested = match stamp {
        // Left over from an earlier end: whoever changed it since was free to.
        Some(stamp) if stamp.direction.is_final() && write.is_claim() => false,
        Some(_) => !facts.weight_is_ours(),
        None => !write.is_claim(),
    };
    let contested = contested && !replaces(write, side, facts);
    if contested { Err(Refusal::Contested { side, ingress, writer: facts.weight_writer() }) } else { Ok(()) }
}

/// Refuses a write that is older than a stamp: another owner's, or a newer epoch of our own.
///
/// What another owner has left at its end may be taken over going forward. A rollback takes back what was done here, and an
/// Ingress that carries another owner's stamp was never written here.
pub(super) fn fence(write: &WeightWrite, stamp: Option<&Stamp>) -> Result<(), Refusal> {
    let Some(stamp) = stamp else { return Ok(()) };
    if stamp.owner != write.stamp.owner {
        if stamp.direction.is_final() && !write.stamp.direction.is_back() {
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
mod tests;
