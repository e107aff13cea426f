//! Objects that a deleted migration was to remove from the target, and could not in time. Each is removed when the cluster is back:
//! after the weights that are owed with it, and after the time that DNS may take, as in every rollback.

use jiff::{SignedDuration, Timestamp};

use super::super::effect::{RemovableKind, Removal};
use super::super::observed::{IngressFacts, Side};
use super::super::reason::Reason;
use super::super::traffic::Weight;
use super::{Creditor, Owed};
use crate::api::DurationText;
use crate::api::pair_status::{Leftover, LeftoverObject};

/// The time that DNS gets where the debt does not tell it.
const LONG_SETTLE: SignedDuration = SignedDuration::from_hours(1);

/// When an object may be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    /// Now, as far as the time is concerned.
    Now,
    /// From this time on.
    From(Timestamp),
    /// From this time on, which is to be remembered: until now its weights were still owed.
    Settles(Timestamp),
    /// Once the weights that were owed with it are written.
    AfterItsWeights,
}

impl LeftoverObject {
    /// Whether both speak of one object: the newer then replaces the older.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        (&self.namespace, &self.kind, &self.name, &self.identity)
            == (&other.namespace, &other.kind, &other.name, &other.identity)
    }

    /// The removal that pays it. None for a kind that is never removed.
    pub fn removal(&self) -> Option<Removal> {
        let kind = RemovableKind::parse(&self.kind)?;
        Some(Removal { kind, name: self.name.clone(), uid: self.uid.clone() })
    }
}

impl Owed for LeftoverObject {
    fn in_words(&self) -> String {
        let (kind, name, namespace) = (&self.kind, &self.name, &self.namespace);
        format!("The removal of {kind} {name} in namespace {namespace} on the target")
    }

    fn reason(&self) -> &str {
        &self.reason
    }

    fn creditor(&self) -> Creditor<'_> {
        Creditor {
            side: Side::Target,
            identity: &self.identity,
            other_identity: &self.other_identity,
            annotation_prefix: &self.annotation_prefix,
        }
    }

    fn waiting_for(&self, reason: Reason, why: String) -> Self {
        Self { reason: reason.as_str().to_owned(), why, ..self.clone() }
    }
}

/// When a debt may be paid, beside the weights that are still owed.
pub fn when(debt: &LeftoverObject, weights: &[Leftover], now: Timestamp) -> When {
    let waits = |weight: &Leftover| (&weight.owner, &weight.namespace) == (&debt.owner, &debt.namespace);
    if weights.iter().any(waits) {
        return When::AfterItsWeights;
    }
    match &debt.removable_from {
        Some(from) if now >= from.0 => When::Now,
        Some(from) => When::From(from.0),
        None => {
            let settle = DurationText::from(debt.settle.as_str()).span().unwrap_or(LONG_SETTLE);
            When::Settles(now.saturating_add(settle).unwrap_or(now))
        }
    }
}

/// Why a debt does not matter any more, when it does not: the Ingresses that moved with it, as they are live on either side, tell
/// of somebody newer, or the target serves. A side that could not be asked has nothing to say against it.
pub fn cancelled<'a>(
    debt: &LeftoverObject,
    live: impl Iterator<Item = (Side, &'a str, &'a IngressFacts)>,
) -> Option<String> {
    live.into_iter().find_map(|(side, name, facts)| superseded(debt, side, name, facts))
}

fn superseded(debt: &LeftoverObject, side: Side, name: &str, facts: &IngressFacts) -> Option<String> {
    if let Some(stamp) = &facts.stamp {
        if stamp.owner != debt.owner {
            return Some(format!("Ingress {name} on the {side} is moved by another migration: {}", stamp.owner));
        }
        if stamp.epoch > debt.epoch {
            return Some(format!(
                "Ingress {name} on the {side} was written by a newer migration of that name: its stamp says epoch {}, this one {}",
                stamp.epoch, debt.epoch
            ));
        }
    }
    if side == Side::Target && facts.weight() != Some(Weight::ZERO) {
        let weight = facts.weight_text.as_deref().unwrap_or("none");
        return Some(format!("Ingress {name} on the target may serve users: its weight is {weight}"));
    }
    None
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::super::super::stamp::{Direction, Stamp};
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn debt() -> LeftoverObject {
        LeftoverObject {
            namespace: "shop".into(),
            kind: "Ingress".into(),
            name: "web".into(),
            identity: "there".into(),
            other_identity: "here".into(),
            annotation_prefix: "dns/".into(),
            uid: "uid".into(),
            owner: "home/shop/shop".into(),
            epoch: 2,
            ingresses: vec!["web".into()],
            settle: "3m".into(),
            removable_from: None,
            reason: "TargetUnreachable".into(),
            why: "The target does not answer.".into(),
            since: Time(NOW),
        }
    }

    fn facts(weight: Option<&str>, owner: &str, epoch: i64) -> IngressFacts {
        let stamp = Some(Stamp { owner: owner.into(), attempt: 1, epoch, direction: Direction::Forward });
        IngressFacts { weight_text: weight.map(str::to_owned), stamp, ..IngressFacts::default() }
    }

    #[test]
    fn dns_gets_its_time_from_when_the_last_weight_is_paid() {
        let three = NOW + SignedDuration::from_mins(3);
        assert_eq!(when(&debt(), &[], NOW), When::Settles(three));
        let begun = LeftoverObject { removable_from: Some(Time(three)), ..debt() };
        assert_eq!(when(&begun, &[], NOW), When::From(three));
        assert_eq!(when(&begun, &[], three), When::Now);
    }

    #[test]
    fn somebody_newer_or_users_on_the_target_cancel_it() {
        let why = |side, facts: &IngressFacts| cancelled(&debt(), [(side, "web", facts)].into_iter());
        assert_eq!(why(Side::Target, &facts(Some("0"), "home/shop/shop", 2)), None);
        assert_eq!(why(Side::Source, &facts(Some("100"), "home/shop/shop", 2)), None);
        for (side, facts, said) in [
            (Side::Target, facts(Some("0"), "home/x/x", 1), "is moved by another migration: home/x/x"),
            (Side::Source, facts(Some("100"), "home/shop/shop", 3), "its stamp says epoch 3, this one 2"),
            (Side::Target, facts(Some("10"), "home/shop/shop", 2), "may serve users: its weight is 10"),
            (Side::Target, facts(None, "home/shop/shop", 2), "may serve users: its weight is none"),
        ] {
            let why = why(side, &facts).unwrap();
            assert!(why.ends_with(said), "{why}");
        }
    }
}
