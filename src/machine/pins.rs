//! Pins: an attempt keeps the two clusters that it began with, and the prefixes of their external-dns annotations. While the
//! ClusterPair names others, nothing is written to that side and nothing of it is believed: what is not there was never there.

use std::borrow::Cow;

use super::effect::{Effect, WeightWrite};
use super::observed::{ClusterView, Observed, Reach, SecretPresence, Side};
use super::order::{Order, SideRules};
use super::reason::Reason;
use super::run::{Run, Wait};
use super::stages::is_terminal;
use crate::api::Stage;
use crate::api::status::{NamespaceMigrationStatus, PlannedCluster, PlannedClusters};

/// What of a side an attempt keeps from its beginning to its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pinned {
    /// UID of the cluster's kube-system namespace.
    Identity,
    /// Prefix of the annotations of its external-dns.
    AnnotationPrefix,
}

/// A side of which the `ClusterPair` says something else than it said when the attempt began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Repointed {
    /// Name of the `ClusterPair`.
    pub pair: String,
    /// What was edited.
    pub what: Pinned,
    /// What it was when the attempt began.
    pub begun: String,
    /// What it is now.
    pub named: String,
}

impl Repointed {
    /// In one word.
    pub fn reason(&self) -> Reason {
        match self.what {
            Pinned::Identity => Reason::WrongCluster,
            Pinned::AnnotationPrefix => Reason::AnnotationPrefixChanged,
        }
    }

    /// What is wrong with the side, behind its name in a sentence.
    pub fn trouble(&self) -> String {
        let Self { pair, begun, named, .. } = self;
        match self.what {
            Pinned::Identity => {
                format!(
                    "is another cluster than this attempt began with: ClusterPair {pair} names {named} instead of {begun}"
                )
            }
            Pinned::AnnotationPrefix => format!(
                "has another annotation prefix than this attempt began with: ClusterPair {pair} names {named} instead of {begun}"
            ),
        }
    }

    /// The wait of an attempt that goes forward.
    fn wait(&self, side: Side) -> Wait {
        let Self { pair, begun, named, .. } = self;
        let message = match self.what {
            Pinned::Identity => format!(
                "ClusterPair {pair} names another {side} cluster than this attempt began with ({named} instead of {begun}): \
                 nothing is written there, and nothing that is seen there counts."
            ),
            Pinned::AnnotationPrefix => format!(
                "ClusterPair {pair} names another annotation prefix for the {side} than this attempt began with ({named} instead of \
                 {begun}): written under it, live records would lose their identifiers, so nothing is written there."
            ),
        };
        Wait::new(self.reason(), message).unblocked_by(self.fix(side)).stalled()
    }

    /// What a person can do about it.
    fn fix(&self, side: Side) -> String {
        let instead = match self.what {
            Pinned::Identity => {
                "For another cluster make another ClusterPair. To send users back meanwhile, request a rollback; it ends when this is put \
                 back."
            }
            Pinned::AnnotationPrefix => "Change it when the migration has completed, or was rolled back.",
        };
        format!("{} {instead}", self.way_back(side))
    }

    /// The edit that undoes it.
    pub fn way_back(&self, side: Side) -> String {
        let Self { pair, begun, .. } = self;
        match self.what {
            Pinned::Identity => format!(
                "Put spec.{side} of ClusterPair {pair} back: the identity {begun}, and a connection that leads to it; it goes on by itself."
            ),
            Pinned::AnnotationPrefix => format!(
                "Put spec.{side}.externalDNS.annotationPrefix of ClusterPair {pair} back to {begun}; it goes on by itself."
            ),
        }
    }
}

/// What the order says of both clusters, as a plan keeps it.
pub(super) fn of(order: &Order) -> PlannedClusters {
    let cluster = |rules: &SideRules| PlannedCluster {
        identity: rules.identity.clone(),
        annotation_prefix: rules.annotation_prefix.clone(),
    };
    PlannedClusters { source: cluster(&order.source), target: cluster(&order.target) }
}

/// The cluster of a side that the attempt began with.
pub(super) fn begun(run: &Run<'_>, side: Side) -> PlannedCluster {
    let known = run.status.plan.as_ref().and_then(|plan| plan.clusters.clone()).unwrap_or_else(|| of(run.order));
    side.pick(known.source, known.target)
}

/// A plan that was agreed before plans remembered their clusters takes those that the `ClusterPair` names.
pub(super) fn remember(run: &mut Run<'_>) {
    let clusters = of(run.order);
    if run.status.stage <= Stage::Preflight || is_terminal(run.status.stage) {
        return;
    }
    if let Some(plan) = &mut run.status.plan {
        plan.clusters.get_or_insert(clusters);
    }
}

/// How a side differs from what the attempt began with. Before the first write, and after an end that another attempt may follow,
/// it may.
fn repointed(order: &Order, status: &NamespaceMigrationStatus, side: Side) -> Option<Repointed> {
    if status.stage <= Stage::Preflight || matches!(status.stage, Stage::RolledBack | Stage::Failed) {
        return None;
    }
    let known = status.plan.as_ref()?.clusters.as_ref()?;
    let (known, rules) = (side.pick(&known.source, &known.target), order.rules(side));
    let pairs = [
        (Pinned::Identity, &known.identity, &rules.identity),
        (Pinned::AnnotationPrefix, &known.annotation_prefix, &rules.annotation_prefix),
    ];
    let (what, begun, named) = pairs.into_iter().find(|(_, begun, named)| begun != named)?;
    Some(Repointed { pair: order.pair.clone(), what, begun: begun.clone(), named: named.clone() })
}

/// What of the observation may be believed: nothing of a side that is not the one of before.
pub(super) fn believed<'a>(
    order: &Order,
    status: &NamespaceMigrationStatus,
    observed: &'a Observed,
) -> Cow<'a, Observed> {
    let mut believed = Cow::Borrowed(observed);
    for side in [Side::Source, Side::Target] {
        if let Some(repointed) = repointed(order, status, side) {
            disbelieve(believed.to_mut(), side, repointed);
        }
    }
    believed
}

fn disbelieve(observed: &mut Observed, side: Side, repointed: Repointed) {
    // Under another prefix it is still the cluster that serves, and its health counts.
    if repointed.what == Pinned::Identity {
        observed.health.checks.retain(|check| check.side != side);
        for view in observed.secrets.iter_mut().flat_map(|secrets| secrets.values_mut()) {
            let unknown = SecretPresence::Unknown { why: format!("the {side} {}", repointed.trouble()) };
            *side.pick(&mut view.source, &mut view.target) = unknown;
        }
    }
    let view = ClusterView { reach: Reach::Repointed(repointed), ..ClusterView::default() };
    *side.pick(&mut observed.source, &mut observed.target) = view;
}

/// A wait because a side is not the one of before, if one is not.
pub(super) fn frozen(run: &Run<'_>) -> Option<Wait> {
    [Side::Source, Side::Target].into_iter().find_map(|side| waits(run, side))
}

/// The same for one side.
pub(super) fn waits(run: &Run<'_>, side: Side) -> Option<Wait> {
    Some(run.view(side).reach.repointed()?.wait(side))
}

/// The effects without those on a side that is not the one of before, and without what has to come after them.
pub(super) fn permitted(run: &Run<'_>, mut effects: Vec<Effect>) -> Vec<Effect> {
    let is_another = |side: Side| run.view(side).reach.repointed().is_some();
    effects.retain(|effect| {
        let after_source = matches!(effect, Effect::WriteWeight(WeightWrite { after_source: true, .. }));
        let waits = after_source && is_another(Side::Source);
        !(waits || effect.side().is_some_and(is_another))
    });
    effects
}
