//! What a `ClusterPair` tells: whether its clusters answer, and what is owed to them. It changes only with what is known.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::condition::merged;
use super::debt::Debts;
use super::observed::{Reach, Side};
use super::reason::Reason;
use super::run::seconds;
use crate::api::pair_status::{ClusterFacts, ClusterPairStatus};

/// Each condition of a pair, and what it says when it is True.
pub(super) const CONDITIONS: [(&str, &str); 3] = [
    (
        "SourceReachable",
        "The source answers and is the cluster that the pair names. Unknown: no migration uses the pair.",
    ),
    (
        "TargetReachable",
        "The target answers and is the cluster that the pair names. Unknown: no migration uses the pair.",
    ),
    ("Ready", "Both are."),
];

/// What is known of a pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairView {
    /// Generation of its spec.
    pub generation: i64,
    /// Whether a migration, or a leftover of one, needs its clusters. Else it is not connected.
    pub in_use: bool,
    /// The source.
    pub source: ClusterReach,
    /// The target.
    pub target: ClusterReach,
}

/// What is known of one of its clusters.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClusterReach {
    /// The way to it.
    pub reach: Reach,
    /// Version of its API server, once it has said so.
    pub version: Option<String>,
}

/// The status that a pair should have, given the one that it had `before`: equal to it when nothing is news.
pub fn status(before: &ClusterPairStatus, view: &PairView, debts: Debts, now: Timestamp) -> ClusterPairStatus {
    let facts = |cluster: &ClusterReach, old: &Option<ClusterFacts>| {
        cluster.version.clone().map(|version| ClusterFacts { version }).or_else(|| old.clone())
    };
    let sides = [side(before, view, Side::Source), side(before, view, Side::Target)];
    let ready = ready(&sides);
    let finish = |draft: Draft| merged(draft.condition(view.generation, now), &before.conditions);
    let mut status = ClusterPairStatus {
        observed_generation: view.generation,
        source: facts(&view.source, &before.source),
        target: facts(&view.target, &before.target),
        conditions: sides.into_iter().chain([ready]).map(finish).collect(),
        ..ClusterPairStatus::default()
    };
    debts.note_in(&mut status);
    status
}

#[derive(Clone)]
struct Draft {
    kind: &'static str,
    status: String,
    reason: String,
    message: String,
}

impl Draft {
    fn new(kind: &'static str, status: &str, reason: Reason, message: impl Into<String>) -> Self {
        Self { kind, status: status.to_owned(), reason: reason.as_str().to_owned(), message: message.into() }
    }

    fn condition(self, generation: i64, now: Timestamp) -> Condition {
        Condition {
            type_: self.kind.to_owned(),
            status: self.status,
            reason: self.reason,
            message: self.message,
            last_transition_time: seconds(now),
            observed_generation: Some(generation),
        }
    }
}

fn condition<'a>(status: &'a ClusterPairStatus, kind: &str) -> Option<&'a Condition> {
    status.conditions.iter().find(|condition| condition.type_ == kind)
}

fn side(before: &ClusterPairStatus, view: &PairView, side: Side) -> Draft {
    let (kind, cluster, unreachable) = match side {
        Side::Source => ("SourceReachable", &view.source, Reason::SourceUnreachable),
        Side::Target => ("TargetReachable", &view.target, Reason::TargetUnreachable),
    };
    if !view.in_use {
        return Draft::new(kind, "Unknown", Reason::NotInUse, "No migration uses the pair, so it is not connected.");
    }
    let trouble = || format!("The {side} {}.", cluster.reach.trouble());
    match &cluster.reach {
        Reach::Reachable => Draft::new(kind, "True", Reason::Reachable, format!("The {side} answers.")),
        // A new connection is no news: what was known stands until there is an answer.
        Reach::Unknown => condition(before, kind).map_or_else(
            || Draft::new(kind, "Unknown", Reason::ConnectingToClusters, trouble()),
            |old| Draft { kind, status: old.status.clone(), reason: old.reason.clone(), message: old.message.clone() },
        ),
        Reach::WrongCluster { .. } | Reach::Repointed(_) => Draft::new(kind, "False", Reason::WrongCluster, trouble()),
        Reach::Unreachable { .. } | Reach::Refused { .. } => Draft::new(kind, "False", unreachable, trouble()),
    }
}

/// The worse of the two sides.
fn ready(sides: &[Draft; 2]) -> Draft {
    let worst = ["False", "Unknown"].into_iter().find_map(|status| sides.iter().find(|side| side.status == status));
    match worst {
        Some(side) => Draft { kind: "Ready", ..side.clone() },
        None => Draft::new("Ready", "True", Reason::Reachable, "Both clusters answer and are the right ones."),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn view(source: Reach, target: Reach) -> PairView {
        let cluster = |reach| ClusterReach { reach, version: Some("v1.36.3".into()) };
        PairView { generation: 3, in_use: true, source: cluster(source), target: cluster(target) }
    }

    fn said(status: &ClusterPairStatus) -> Vec<String> {
        status.conditions.iter().map(|c| format!("{} {} {}", c.type_, c.status, c.reason)).collect()
    }

    fn away() -> Reach {
        Reach::Unreachable { since: NOW, why: "connection refused".into() }
    }

    #[test]
    fn a_cluster_that_is_away_is_named_with_since_and_why() {
        let well =
            status(&ClusterPairStatus::default(), &view(Reach::Reachable, Reach::Reachable), Debts::default(), NOW);
        let all = ["SourceReachable True Reachable", "TargetReachable True Reachable", "Ready True Reachable"];
        assert_eq!(said(&well), all);
        let later = NOW + jiff::SignedDuration::from_mins(1);
        let sick = status(&well, &view(Reach::Reachable, away()), Debts::default(), later);
        let all = [
            "SourceReachable True Reachable",
            "TargetReachable False TargetUnreachable",
            "Ready False TargetUnreachable",
        ];
        assert_eq!(said(&sick), all);
        assert_eq!(sick.conditions[2].message, "The target does not answer: connection refused.");
        let since: Vec<_> = sick.conditions.iter().map(|condition| condition.last_transition_time.0).collect();
        assert_eq!(since, [NOW, later, later]);
    }

    #[test]
    fn an_operator_that_begins_to_connect_says_nothing_new() {
        let known = status(&ClusterPairStatus::default(), &view(Reach::Reachable, away()), Debts::default(), NOW);
        let later = NOW + jiff::SignedDuration::from_mins(1);
        assert_eq!(status(&known, &view(Reach::Unknown, Reach::Unknown), Debts::default(), later), known);
    }

    #[test]
    fn a_pair_that_nobody_uses_is_not_connected_and_says_so() {
        let idle = PairView { in_use: false, ..view(Reach::Reachable, away()) };
        let idle = status(&ClusterPairStatus::default(), &idle, Debts::default(), NOW);
        assert!(idle.conditions.iter().all(|c| (&*c.status, &*c.reason) == ("Unknown", "NotInUse")), "{idle:?}");
    }
}
