//! Debts: what deleted migrations left over, weights here and objects in [`removal`]. Each is paid when its cluster is back, unless it does not matter any more.
//!
//! The stamp is the fence, as everywhere: a newer epoch, or the running stamp of another migration, on either side cancels it.

pub mod removal;

use super::effect::WeightWrite;
use super::observed::{IngressFacts, Side};
use super::order::SideRules;
use super::permit::{Live, Permit, Refusal, fence, permit};
use super::reason::Reason;
use super::run::{Event, sentence_case};
use super::stamp::{Direction, Stamp};
use super::traffic::Weight;
use crate::api::pair_status::{ClusterPairStatus, Leftover, LeftoverObject, LeftoverSide};

/// Everything that is owed by a pair.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Debts {
    /// Weights to be written.
    pub weights: Vec<Leftover>,
    /// Objects to be removed from the target.
    pub objects: Vec<LeftoverObject>,
}

impl Debts {
    /// What a pair owes.
    pub fn of(status: &ClusterPairStatus) -> Self {
        Self { weights: status.leftovers.clone(), objects: status.leftover_objects.clone() }
    }

    /// How many they are.
    pub fn count(&self) -> usize {
        self.weights.len() + self.objects.len()
    }

    /// Whether nothing is owed.
    pub fn is_empty(&self) -> bool {
        self.count() == 0
    }

    /// These with new ones among them; a newer one replaces an older one about the same thing.
    #[must_use]
    pub fn with(&self, new: &Self) -> Self {
        let old = self.objects.iter().filter(|known| !new.objects.iter().any(|object| object.is_about_the_same(known)));
        Self { weights: with(&self.weights, &new.weights), objects: old.chain(&new.objects).cloned().collect() }
    }

    /// Writes them into a pair's status.
    pub fn note_in(self, status: &mut ClusterPairStatus) {
        status.leftover_count = i32::try_from(self.count()).unwrap_or(i32::MAX);
        (status.leftovers, status.leftover_objects) = (self.weights, self.objects);
    }
}

/// What becomes of a debt now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Settlement {
    /// It is written: by us, or it was already.
    Paid,
    /// It does not matter any more.
    Cancelled {
        /// Why, in a sentence without its full stop.
        why: String,
    },
    /// It has to wait.
    Waits {
        /// For what, in one word. None when that is not known yet, so that what was said before stands.
        reason: Option<Reason>,
        /// For what.
        why: String,
    },
}

/// What the other cluster has of the same Ingress.
#[derive(Clone, Debug, PartialEq)]
pub enum Other {
    /// It could not be asked.
    Unknown,
    /// It was read live; None when it is not there.
    Seen(Option<Box<IngressFacts>>),
}

impl Leftover {
    /// The cluster that it is written on.
    pub fn cluster(&self) -> Side {
        match self.side {
            LeftoverSide::Source => Side::Source,
            LeftoverSide::Target => Side::Target,
        }
    }

    /// Whether both speak of one Ingress on one side of one cluster: the newer then replaces the older.
    pub fn is_about_the_same(&self, other: &Self) -> bool {
        (&self.namespace, &self.ingress, self.side, &self.identity)
            == (&other.namespace, &other.ingress, other.side, &other.identity)
    }

    /// The write that pays it: the last one of the rollback that was not over.
    pub fn write(&self) -> WeightWrite {
        let stamp = Stamp {
            owner: self.owner.clone(),
            attempt: self.attempt,
            epoch: self.epoch,
            direction: Direction::RolledBack,
        };
        WeightWrite {
            side: self.cluster(),
            ingress: self.ingress.clone(),
            uid: None,
            identifier: self.identifier.clone(),
            weight: Weight::percent(self.weight),
            stamp,
            after_source: self.after_source,
            keeps_weight: false,
            withheld: false,
            before_end: false,
            replaces: None,
        }
    }
}

/// Something that is owed, and waits.
pub trait Owed: Clone {
    /// What is owed, as a sentence begins.
    fn in_words(&self) -> String;
    /// Why it waits, in one word.
    fn reason(&self) -> &str;
    /// The cluster that it is owed to, and the other one.
    fn creditor(&self) -> Creditor<'_>;
    /// The same, waiting for something else.
    #[must_use]
    fn waiting_for(&self, reason: Reason, why: String) -> Self;
}

/// To whom a debt is owed. What an older version did not note is empty, and not compared.
#[derive(Clone, Copy, Debug)]
pub struct Creditor<'a> {
    /// The side on which it is paid.
    pub side: Side,
    /// UID of the cluster's kube-system namespace.
    pub identity: &'a str,
    /// The same of the cluster on the other side.
    pub other_identity: &'a str,
    /// Prefix of the annotations that its external-dns read.
    pub annotation_prefix: &'a str,
}

/// Why a debt waits for the `ClusterPair` itself: it names another cluster on that side by now, or another prefix. Nothing that
/// another cluster has can cancel it.
pub fn misdirected(debt: &impl Owed, pair: &str, rules: &SideRules) -> Option<Settlement> {
    let Creditor { side, identity, annotation_prefix: prefix, .. } = debt.creditor();
    if is_another(identity, &rules.identity) {
        let why = format!(
            "it is owed to the cluster {identity}, and ClusterPair {pair} names another {side}, {}: put spec.{side} back until it is \
             paid; or, if that cluster is lost, take its DNS records away by hand and remove this entry from the status",
            rules.identity
        );
        return Some(Settlement::Waits { reason: Some(Reason::WrongCluster), why });
    }
    if is_another(prefix, &rules.annotation_prefix) {
        let why = format!(
            "it was left over under the annotation prefix {prefix}, and ClusterPair {pair} names {}, under which the live record would \
             lose its identifier: put spec.{side}.externalDNS.annotationPrefix back until it is paid",
            rules.annotation_prefix
        );
        return Some(Settlement::Waits { reason: Some(Reason::AnnotationPrefixChanged), why });
    }
    None
}

/// Whether the other side is another cluster than the debt knows: what is there has nothing to say against it.
pub fn other_is_another(debt: &impl Owed, rules: &SideRules) -> bool {
    is_another(debt.creditor().other_identity, &rules.identity)
}

fn is_another(known: &str, named: &str) -> bool {
    !known.is_empty() && known != named
}

impl Owed for Leftover {
    fn in_words(&self) -> String {
        let (weight, ingress, namespace) = (self.weight, &self.ingress, &self.namespace);
        format!("The weight {weight} of Ingress {ingress} in namespace {namespace} on the {}", self.cluster())
    }

    fn reason(&self) -> &str {
        &self.reason
    }

    fn creditor(&self) -> Creditor<'_> {
        Creditor {
            side: self.cluster(),
            identity: &self.identity,
            other_identity: &self.other_identity,
            annotation_prefix: &self.annotation_prefix,
        }
    }

    fn waiting_for(&self, reason: Reason, why: String) -> Self {
        Self { reason: reason.as_str().to_owned(), why, ..self.clone() }
    }
}

/// Whether the source of the same Ingress is still owed its 100, and this one has to wait for it.
pub fn waits_for_source(debt: &Leftover, all: &[Leftover]) -> bool {
    debt.after_source
        && debt.cluster() == Side::Target
        && all.iter().any(|other| {
            other.cluster() == Side::Source && (&other.namespace, &other.ingress) == (&debt.namespace, &debt.ingress)
        })
}

/// What may be done about a debt, given what is live. `Err` says that nothing is to be written.
///
/// # Errors
/// What becomes of it instead.
pub fn look(write: &WeightWrite, identity: &str, live: &Live, other: &Other) -> Result<(String, String), Settlement> {
    let rollback_leaves = write.side.pick(Weight::FULL, Weight::ZERO);
    if write.weight != rollback_leaves {
        let (side, weight) = (write.side, write.weight.get());
        let why = format!(
            "it asks for weight {weight} on the {side}, where a rollback leaves {}: somebody made it up",
            rollback_leaves.get()
        );
        return Err(Settlement::Cancelled { why });
    }
    if let Some(why) = superseded(write, other) {
        return Err(Settlement::Cancelled { why });
    }
    let source_serves =
        matches!(other, Other::Seen(Some(facts)) if facts.weight().is_some_and(|weight| weight > Weight::ZERO));
    let write = &WeightWrite { after_source: write.after_source || source_serves, ..write.clone() };
    match permit(write, identity, live) {
        Permit::Write { uid, resource_version } => Ok((uid, resource_version)),
        Permit::AlreadyDone => Err(Settlement::Paid),
        Permit::Refused(refusal @ (Refusal::Fenced { .. } | Refusal::OwnedByAnother { .. } | Refusal::Gone { .. })) => {
            Err(Settlement::Cancelled { why: refusal.to_string() })
        }
        Permit::Refused(refusal) => {
            let reason = match refusal {
                Refusal::WrongCluster { .. } => Reason::WrongCluster,
                Refusal::Terminating { .. } => Reason::Terminating,
                Refusal::SourceMayBeZero { .. } => Reason::RollbackWaitsForSource,
                _ => Reason::RollbackContested,
            };
            Err(Settlement::Waits { reason: Some(reason), why: refusal.to_string() })
        }
    }
}

/// The debt with why it waits now, and the news for people. None when it waits for what it waited for before: a sentence
/// that differs by a time or a number is no news.
pub fn waiting<D: Owed>(debt: &D, reason: Option<Reason>, why: &str) -> Option<(D, Event)> {
    let reason = reason.filter(|reason| reason.as_str() != debt.reason())?;
    let why = format!("{}.", sentence_case(why).trim_end_matches('.'));
    let note = format!("{} is still owed. {why}", debt.in_words());
    let known = debt.waiting_for(reason, why);
    Some((known, Event { reason: Reason::LeftOver, note, warning: true }))
}

/// What the other side says against it. Without an Ingress on the source, the target's is the only one that serves.
fn superseded(write: &WeightWrite, other: &Other) -> Option<String> {
    let Other::Seen(other) = other else { return None };
    let Some(facts) = other else {
        let keeps = format!("Ingress {} is gone from the source, so the target's keeps its weight", write.ingress);
        return (write.side == Side::Target).then_some(keeps);
    };
    let there = WeightWrite { side: write.side.other(), ..write.clone() };
    fence(&there, facts.stamp.as_ref()).err().map(|refusal| refusal.to_string())
}

/// The leftovers with new ones among them; a newer one replaces an older one about the same Ingress and side.
fn with(old: &[Leftover], new: &[Leftover]) -> Vec<Leftover> {
    let kept = old.iter().filter(|known| !new.iter().any(|leftover| leftover.is_about_the_same(known)));
    kept.chain(new).cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::super::observed::NamespaceFacts;
    use super::*;
    use crate::api::FIELD_MANAGER;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    fn leftover(side: LeftoverSide) -> Leftover {
        Leftover {
            namespace: "shop".into(),
            ingress: "web".into(),
            side,
            identity: "there".into(),
            other_identity: "here".into(),
            annotation_prefix: "dns/".into(),
            identifier: "web-shop-green".into(),
            weight: if side == LeftoverSide::Source { 100 } else { 0 },
            after_source: side == LeftoverSide::Target,
            owner: "home/shop/shop".into(),
            attempt: 1,
            epoch: 2,
            reason: "TargetUnreachable".into(),
            why: "The target does not answer.".into(),
            since: Time(jiff::Timestamp::UNIX_EPOCH),
        }
    }

    fn stamp(owner: &str, epoch: i64, direction: Direction) -> Option<Stamp> {
        Some(Stamp { owner: owner.into(), attempt: 1, epoch, direction })
    }

    fn facts(weight: &str, stamp: Option<Stamp>) -> IngressFacts {
        IngressFacts {
            uid: "uid".into(),
            resource_version: "7".into(),
            identifier: Some("web-shop-green".into()),
            weight_text: Some(weight.into()),
            stamp,
            weight_managers: [FIELD_MANAGER.to_owned()].into(),
            ..IngressFacts::default()
        }
    }

    fn seen(target: Option<IngressFacts>, other: &Other) -> Result<(String, String), Settlement> {
        let live = Live {
            identity: "target".into(),
            namespace: Some(NamespaceFacts::default()),
            ingress: target,
            other: None,
        };
        look(&leftover(LeftoverSide::Target).write(), "target", &live, other)
    }

    #[test]
    fn a_weight_that_no_rollback_leaves_is_never_written() {
        for (side, weight) in [(LeftoverSide::Target, 100), (LeftoverSide::Target, 1), (LeftoverSide::Source, 0)] {
            let made_up = Leftover { weight, epoch: 999, ..leftover(side) };
            let live = Live {
                identity: "there".into(),
                namespace: Some(NamespaceFacts::default()),
                ingress: Some(facts("50", None)),
                other: None,
            };
            let looked = look(&made_up.write(), "there", &live, &Other::Unknown);
            assert!(
                matches!(&looked, Err(Settlement::Cancelled { why }) if why.contains("somebody made it up")),
                "{looked:?}"
            );
        }
    }

    #[test]
    fn a_debt_is_written_over_the_older_stamp_of_its_own_migration() {
        let target = Some(facts("10", stamp("home/shop/shop", 1, Direction::Forward)));
        assert_eq!(seen(target, &Other::Unknown), Ok(("uid".into(), "7".into())));
        let paid = Some(facts("0", stamp("home/shop/shop", 2, Direction::RolledBack)));
        assert_eq!(seen(paid, &Other::Unknown), Err(Settlement::Paid));
    }

    /// It was noted on an older view: nothing says that the source has its 100.
    #[test]
    fn a_target_at_100_is_not_taken_to_0_before_its_source_was_seen_to_serve() {
        let old = || Some(Box::new(facts("0", stamp("home/shop/shop", 1, Direction::Forward))));
        let early = WeightWrite { after_source: false, ..leftover(LeftoverSide::Target).write() };
        let live = Live {
            identity: "target".into(),
            namespace: Some(NamespaceFacts::default()),
            ingress: Some(facts("100", stamp("home/shop/shop", 1, Direction::Forward))),
            other: None,
        };
        let waits = |other: &Other| match look(&early, "target", &live, other) {
            Err(Settlement::Waits { reason, .. }) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(waits(&Other::Unknown), Some(Reason::RollbackWaitsForSource));
        assert_eq!(waits(&Other::Seen(old())), Some(Reason::RollbackWaitsForSource));
        let serves = Other::Seen(Some(Box::new(facts("100", stamp("home/shop/shop", 1, Direction::Forward)))));
        assert!(look(&early, "target", &live, &serves).is_ok());
    }

    #[test]
    fn a_newer_epoch_or_another_migration_on_either_side_cancels_a_debt() {
        let old = || Some(facts("10", stamp("home/shop/shop", 1, Direction::Forward)));
        let newer = || facts("50", stamp("home/shop/shop", 3, Direction::Forward));
        let another = || facts("50", stamp("home/x/x", 1, Direction::Forward));
        for (target, other) in [
            (Some(newer()), Other::Unknown),
            (Some(another()), Other::Unknown),
            (old(), Other::Seen(Some(Box::new(newer())))),
            (old(), Other::Seen(Some(Box::new(another())))),
            (None, Other::Unknown),
            (old(), Other::Seen(None)),
        ] {
            assert!(matches!(seen(target, &other), Err(Settlement::Cancelled { .. })), "{other:?}");
        }
    }

    fn rules(identity: &str, prefix: &str) -> SideRules {
        let (identity, annotation_prefix) = (identity.to_owned(), prefix.to_owned());
        SideRules { identity, annotation_prefix, colour: "green".into(), ..SideRules::default() }
    }

    #[test]
    fn a_debt_waits_while_its_pair_names_another_cluster_or_prefix_than_it_is_owed_to() {
        let debt = leftover(LeftoverSide::Target);
        let why = |debt: &Leftover, rules: &SideRules| match misdirected(debt, "old-to-new", rules) {
            None => None,
            Some(Settlement::Waits { reason: Some(reason), why }) => Some((reason, why)),
            other => panic!("{other:?}"),
        };
        assert_eq!(why(&debt, &rules("there", "dns/")), None);
        let (reason, said) = why(&debt, &rules("elsewhere", "dns/")).unwrap();
        assert_eq!(reason, Reason::WrongCluster);
        let begins = "it is owed to the cluster there, and ClusterPair old-to-new names another target, elsewhere: put spec.target back";
        assert!(said.starts_with(begins), "{said}");
        let (reason, said) = why(&debt, &rules("there", "new/")).unwrap();
        assert_eq!(reason, Reason::AnnotationPrefixChanged);
        assert!(said.ends_with("put spec.target.externalDNS.annotationPrefix back until it is paid"), "{said}");
        let old = Leftover { identity: String::new(), annotation_prefix: String::new(), ..debt.clone() };
        assert_eq!(why(&old, &rules("elsewhere", "new/")), None, "an older version did not note it");
        assert!(other_is_another(&debt, &rules("elsewhere", "dns/")));
        assert!(!other_is_another(&debt, &rules("here", "new/")));
    }

    #[test]
    fn what_is_owed_to_two_clusters_is_owed_twice() {
        let debt = leftover(LeftoverSide::Target);
        let elsewhere = Leftover { identity: "elsewhere".into(), ..debt.clone() };
        assert_eq!(with(std::slice::from_ref(&debt), std::slice::from_ref(&elsewhere)), [debt, elsewhere]);
    }

    #[test]
    fn the_target_waits_while_the_source_of_the_same_ingress_is_owed() {
        let (source, target) = (leftover(LeftoverSide::Source), leftover(LeftoverSide::Target));
        assert!(waits_for_source(&target, &[source.clone(), target.clone()]));
        assert!(!waits_for_source(&target, std::slice::from_ref(&target)));
        let elsewhere = Leftover { ingress: "api".into(), ..source.clone() };
        assert!(!waits_for_source(&target, &[elsewhere, target.clone()]));
        assert!(!waits_for_source(&source, &[source.clone(), target]));
    }

    #[test]
    fn a_newer_leftover_replaces_an_older_one_about_the_same_ingress_and_side() {
        let (source, target) = (leftover(LeftoverSide::Source), leftover(LeftoverSide::Target));
        let newer = Leftover { epoch: 9, ..target.clone() };
        assert_eq!(with(&[source.clone(), target], std::slice::from_ref(&newer)), [source, newer]);
    }

    #[test]
    fn why_it_waits_is_told_anew_when_the_kind_of_trouble_changes_and_not_before() {
        let debt = leftover(LeftoverSide::Target);
        assert_eq!(waiting(&debt, None, "has not been tried yet"), None);
        assert_eq!(waiting(&debt, Some(Reason::TargetUnreachable), "another connection was refused"), None);
        let why = "cannot write the weight of Ingress web on the target: the API server answered 403 Forbidden";
        let (known, event) = waiting(&debt, Some(Reason::WriteRefused), why).unwrap();
        let said = "Cannot write the weight of Ingress web on the target: the API server answered 403 Forbidden.";
        assert_eq!((known.reason.as_str(), known.why.as_str()), ("WriteRefused", said));
        let note = format!("The weight 0 of Ingress web in namespace shop on the target is still owed. {said}");
        assert_eq!(event, Event { reason: Reason::LeftOver, note, warning: true });
        assert_eq!(known.since, debt.since);
        assert_eq!(waiting(&known, Some(Reason::WriteRefused), "the same with other words"), None);
    }
}
