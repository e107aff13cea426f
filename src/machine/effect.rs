//! Effects: planned changes of the outside world as data, each beside what takes it back.

use super::debt::Debts;
use super::observed::{IngressFacts, Side};
use super::stamp::Stamp;
use super::traffic::Weight;

/// A planned change of the outside world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Effect {
    /// Our complete set of annotations on an Ingress that is there.
    /// Undo: weight 100 on the source, 0 on the target, with a newer epoch; a target that is alone in a kind of record is withheld
    /// from external-dns as well, until the next attempt's first write. Identifier and stamp stay for ever:
    /// a weighted record cannot become a simple one while the other side's exists.
    WriteWeight(WeightWrite),
    /// The target's Ingress, made from the source's, at weight 0.
    /// Undo: the weight's undo; and, if the spec says so, the object is deleted.
    CreateIngress(IngressCreation),
    /// A Secret of the source, on the target where there is none of that name.
    /// Undo: if the spec says so, the object is deleted.
    CreateSecret {
        /// Its name on both sides.
        name: String,
    },
    /// An object that we created on the target goes away. It is an undo; nothing takes it back.
    Remove(Removal),
    /// The migration object gets our finalizer, before anything else is written. Undo: [`Effect::Release`].
    Hold,
    /// What a rollback could not write or remove in time is noted in the status of the `ClusterPair`.
    /// Undo: each entry leaves it when it is done, or when somebody newer has taken the Ingress over.
    Owe(Debts),
    /// Our finalizer leaves the migration object, after its status is written. It is an undo; the next attempt holds it again.
    Release,
    /// The same for an object that has waited long enough: it goes also when, again and again, what stands before it could not be
    /// done, or the status that says so not be written.
    ReleaseAnyway,
}

/// Our complete set of annotations on one Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::struct_excessive_bools, reason = "each is a condition of its own that the write is held against")]
pub struct WeightWrite {
    /// The cluster.
    pub side: Side,
    /// Name of the Ingress.
    pub ingress: String,
    /// The object that was decided on. A rollback adopts a recreated one; a forward write does not.
    pub uid: Option<String>,
    /// The DNS set identifier.
    pub identifier: String,
    /// The weight.
    pub weight: Weight,
    /// The stamp. Its direction says whether this is a rollback's write.
    pub stamp: Stamp,
    /// A rollback's write to the target that must not be done before the source has 100:
    /// the source may be at 0, and two zeros are an even split.
    pub after_source: bool,
    /// A fence: it changes nothing but the stamp, and is refused where weight or identifier are other ones by now. It needs
    /// nothing of the other side.
    pub keeps_weight: bool,
    /// A rollback's write to the target that also takes the Ingress away from external-dns, which removes its records: one that is
    /// alone in its kind gets every answer, also with weight 0. The Ingress goes on serving whoever still has its address.
    pub withheld: bool,
    /// Whether the Ingress was under way when it was decided. Such a write of a rollback is not put over an end that it did not know of.
    pub before_end: bool,
    /// The foreign weights that a forward write may overwrite, or stand beside. None: there is no contest, or it waits.
    pub replaces: Option<Box<Replaces>>,
}

/// Foreign weights of one Ingress that have stood long enough to be replaced once, exactly as they were decided on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Replaces {
    /// On the source.
    pub source: Option<Foreign>,
    /// On the target.
    pub target: Option<Foreign>,
    /// The share in percent that the write may give the target.
    pub allowed: i32,
}

/// A weight that somebody else wrote. The identifier beside it must be ours: another one is never replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreign {
    /// The DNS set identifier that the Ingress must have.
    pub identifier: String,
    /// The weight.
    pub weight: Weight,
    /// Who wrote it.
    pub writer: String,
}

/// An Ingress to create on the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IngressCreation {
    /// Its name on both sides.
    pub name: String,
    /// The DNS set identifier of the target.
    pub identifier: String,
    /// The stamp.
    pub stamp: Stamp,
}

/// An object to remove from the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Removal {
    /// `Ingress` or `Secret`.
    pub kind: RemovableKind,
    /// Its name.
    pub name: String,
    /// Only this very object is removed.
    pub uid: String,
}

impl Removal {
    /// Kind and name of each, for people.
    pub fn names(removals: &[Self]) -> String {
        let names = removals.iter().map(|removal| format!("{} {}", removal.kind.as_str(), removal.name));
        names.collect::<Vec<_>>().join(", ")
    }
}

/// Kinds that we create, and so may remove.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RemovableKind {
    /// networking.k8s.io/v1.
    Ingress,
    /// v1.
    Secret,
}

impl RemovableKind {
    /// The kind as Kubernetes names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ingress => "Ingress",
            Self::Secret => "Secret",
        }
    }

    /// Reads a kind that status remembers.
    pub fn parse(kind: &str) -> Option<Self> {
        [Self::Ingress, Self::Secret].into_iter().find(|known| known.as_str() == kind)
    }
}

impl Effect {
    /// Whether it belongs to a rollback: such effects do not wait for each other, except where they say so.
    pub fn is_rollback(&self) -> bool {
        match self {
            Self::WriteWeight(write) => write.stamp.direction.is_back(),
            Self::Remove(_) | Self::Owe(_) | Self::Release | Self::ReleaseAnyway => true,
            Self::CreateIngress(_) | Self::CreateSecret { .. } | Self::Hold => false,
        }
    }

    /// Whether it is carried out whatever becomes of those before it: a rollback's effects and fences.
    pub fn stands_alone(&self) -> bool {
        self.is_rollback() || matches!(self, Self::WriteWeight(write) if write.keeps_weight)
    }

    /// The cluster of the pair that it changes. None for objects of the home cluster.
    pub fn side(&self) -> Option<Side> {
        match self {
            Self::WriteWeight(write) => Some(write.side),
            Self::CreateIngress(_) | Self::CreateSecret { .. } | Self::Remove(_) => Some(Side::Target),
            Self::Hold | Self::Owe(_) | Self::Release | Self::ReleaseAnyway => None,
        }
    }

    /// Whether our finalizer leaves the object.
    pub fn lets_go(&self) -> bool {
        matches!(self, Self::Release | Self::ReleaseAnyway)
    }
}

impl WeightWrite {
    /// Whether it takes an Ingress over without giving the target a single user: source 100 or target 0.
    pub fn is_claim(&self) -> bool {
        match self.side {
            Side::Source => self.weight == Weight::FULL,
            Side::Target => self.weight == Weight::ZERO,
        }
    }

    /// The same beside what was read live: what a rollback has withheld stays withheld until an attempt goes forward again.
    #[must_use]
    pub fn beside(&self, live: Option<&IngressFacts>) -> Self {
        let stays = self.stamp.direction.is_back() && live.is_some_and(|live| live.withheld);
        let withheld = self.withheld || stays;
        Self { withheld, ..self.clone() }
    }

    /// What takes this write back: everything to the source, under the rollback's stamp.
    #[must_use]
    pub fn undo(&self, rollback: &Stamp, after_source: bool) -> Self {
        let weight = match self.side {
            Side::Source => Weight::FULL,
            Side::Target => Weight::ZERO,
        };
        Self {
            weight,
            stamp: rollback.clone(),
            after_source: after_source && self.side == Side::Target,
            replaces: None,
            ..self.clone()
        }
    }
}
