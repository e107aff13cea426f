//! What a `ClusterPair` tells: whether its clusters answer, and what is owed to them. It changes only with what is known.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::condition::merged;
use super::debt::Debts;
use super::observed::{Reach, Side};
use super::pair_hold::Keeping;
use super::reason::Reason;
use super::right::{self, Rights};
use super::run::{Event, seconds};
use crate::api::pair_status::{ClusterFacts, ClusterPairStatus};

/// Each condition of a pair, and what it says when it is True.
pub(super) const CONDITIONS: [(&str, &str); 6] = [
    (
        "SourceReachable",
        "The source answers and is the cluster that the pair names. Unknown: no migration uses the pair.",
    ),
    (
        "TargetReachable",
        "The target answers and is the cluster that the pair names. Unknown: no migration uses the pair.",
    ),
    (
        "SourceAuthorized",
        "The source grants every right that a migration may need, in every namespace. False: it does not in general; the message lists each verb.",
    ),
    (
        "TargetAuthorized",
        "The target grants every right that a migration may need, in every namespace. False: it does not in general; the message lists each verb.",
    ),
    ("Ready", "Both clusters answer and are the right ones."),
    ("Deleting", "Somebody deleted the pair; the message says what keeps it. Absent otherwise."),
];

/// What is known of a pair.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct PairView {
    /// Its name.
    pub name: String,
    /// Generation of its spec.
    pub generation: i64,
    /// Whether somebody deletes it, and who needs it.
    pub keeping: Keeping,
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
    /// When it last proved to be the right cluster.
    pub proved_at: Option<Timestamp>,
    /// What it lets the operator do in all namespaces.
    pub rights: Rights,
}

/// The status that a pair should have, given the one that it had `before`: equal to it when nothing is news.
pub fn status(before: &ClusterPairStatus, view: &PairView, debts: Debts, now: Timestamp) -> ClusterPairStatus {
    let facts = |cluster: &ClusterReach, old: &Option<ClusterFacts>| {
        let proved_at = cluster.proved_at.map(seconds);
        cluster.version.clone().map(|version| ClusterFacts { version, proved_at }).or_else(|| old.clone())
    };
    let sides = [side(before, view, Side::Source), side(before, view, Side::Target)];
    let ready = ready(&sides);
    let authorized = [authorized(before, view, Side::Source), authorized(before, view, Side::Target)];
    let deleting =
        view.keeping.why(&view.name, &debts).map(|(reason, why)| Draft::new("Deleting", "True", reason, why));
    let finish = |draft: Draft| merged(draft.condition(view.generation, now), &before.conditions);
    let mut status = ClusterPairStatus {
        observed_generation: view.generation,
        source: facts(&view.source, &before.source),
        target: facts(&view.target, &before.target),
        conditions: sides.into_iter().chain(authorized).chain([ready]).chain(deleting).map(finish).collect(),
        ..ClusterPairStatus::default()
    };
    debts.note_in(&mut status);
    // That a cluster has answered once more is no news by itself.
    if said_alike(&status, before) { before.clone() } else { status }
}

fn said_alike(one: &ClusterPairStatus, other: &ClusterPairStatus) -> bool {
    without_proofs(one) == without_proofs(other)
}

/// What a status says, without when its clusters answered last.
fn without_proofs(status: &ClusterPairStatus) -> ClusterPairStatus {
    let mut status = status.clone();
    for facts in [&mut status.source, &mut status.target].into_iter().flatten() {
        facts.proved_at = None;
    }
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

    /// What a condition said before.
    fn again(kind: &'static str, old: &Condition) -> Self {
        Self { kind, status: old.status.clone(), reason: old.reason.clone(), message: old.message.clone() }
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
    let trouble = || {
        let fix = cluster.reach.fix().unwrap_or_default();
        format!("The {side} {}. {fix}", cluster.reach.trouble()).trim_end().to_owned()
    };
    match &cluster.reach {
        Reach::Reachable => Draft::new(kind, "True", Reason::Reachable, format!("The {side} answers.")),
        // A new connection is no news: what was known stands until there is an answer.
        Reach::Unknown => condition(before, kind).map_or_else(
            || Draft::new(kind, "Unknown", Reason::ConnectingToClusters, trouble()),
            |old| Draft::again(kind, old),
        ),
        Reach::WrongCluster { .. } | Reach::Repointed(_) => Draft::new(kind, "False", Reason::WrongCluster, trouble()),
        Reach::Unreachable { .. } | Reach::Refused { .. } => Draft::new(kind, "False", unreachable, trouble()),
    }
}

fn authorized(before: &ClusterPairStatus, view: &PairView, side: Side) -> Draft {
    let kind = side.pick("SourceAuthorized", "TargetAuthorized");
    let unknown = |reason, message: String| Draft::new(kind, "Unknown", reason, message);
    if !view.in_use {
        return unknown(Reason::NotInUse, "No migration uses the pair, so it is not connected.".to_owned());
    }
    let rights = &side.pick(&view.source, &view.target).rights;
    match rights {
        // A new connection is no news, and one that is broken changes no right.
        Rights::NotAsked => known(before, kind)
            .unwrap_or_else(|| unknown(Reason::ConnectingToClusters, format!("The {side} has not been asked yet."))),
        Rights::Unknown { why } => {
            unknown(Reason::ClusterRefused, format!("The {side} does not say what the operator may do there: {why}."))
        }
        Rights::Known { refused, .. } if refused.is_empty() => Draft::new(
            kind,
            "True",
            Reason::Authorized,
            format!("The {side} grants every right that a migration may need, in every namespace."),
        ),
        Rights::Known { refused, .. } => {
            let message = format!(
                "Asked for all namespaces, the {side} refuses: {}. A grant for the namespaces that move is enough; each migration asks for \
                 its own before it begins. For all: bind the ClusterRole namespace-migration-{side} of deploy/{side} to {} there.",
                right::in_words(refused),
                rights.account()
            );
            Draft::new(kind, "False", Reason::NotAuthorized, message)
        }
    }
}

/// What a condition said before. None where it said that nobody uses the pair: somebody does now.
fn known(before: &ClusterPairStatus, kind: &'static str) -> Option<Draft> {
    let old = condition(before, kind).filter(|old| old.reason != Reason::NotInUse.as_str())?;
    Some(Draft::again(kind, old))
}

/// What people are told beside the status: what keeps a deleted pair, once for each reason.
pub fn news(before: &ClusterPairStatus, now: &ClusterPairStatus) -> Option<Event> {
    let deleting = condition(now, "Deleting")?;
    let is_old = condition(before, "Deleting").is_some_and(|old| old.reason == deleting.reason);
    let reason = Reason::parse(&deleting.reason).filter(|_| !is_old)?;
    Some(Event { reason, note: deleting.message.clone(), warning: reason == Reason::LeftOver })
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
    use std::collections::BTreeSet;

    use jiff::SignedDuration;

    use super::*;
    use crate::machine::right::Right;

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;

    fn view(source: Reach, target: Reach) -> PairView {
        let rights = Rights::Known { refused: BTreeSet::new(), account: String::new() };
        let cluster = |reach| ClusterReach {
            reach,
            version: Some("v1.36.3".into()),
            proved_at: Some(NOW),
            rights: rights.clone(),
        };
        PairView {
            name: "old-to-new".into(),
            generation: 3,
            in_use: true,
            source: cluster(source),
            target: cluster(target),
            ..PairView::default()
        }
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
        let all = [
            "SourceReachable True Reachable",
            "TargetReachable True Reachable",
            "SourceAuthorized True Authorized",
            "TargetAuthorized True Authorized",
            "Ready True Reachable",
        ];
        assert_eq!(said(&well), all);
        let later = NOW + jiff::SignedDuration::from_mins(1);
        let sick = status(&well, &view(Reach::Reachable, away()), Debts::default(), later);
        let all = [
            "SourceReachable True Reachable",
            "TargetReachable False TargetUnreachable",
            "SourceAuthorized True Authorized",
            "TargetAuthorized True Authorized",
            "Ready False TargetUnreachable",
        ];
        assert_eq!(said(&sick), all);
        assert_eq!(sick.conditions[4].message, "The target does not answer: connection refused.");
        let since: Vec<_> = sick.conditions.iter().map(|condition| condition.last_transition_time.0).collect();
        assert_eq!(since, [NOW, later, NOW, NOW, later]);
    }

    #[test]
    fn an_operator_that_begins_to_connect_says_nothing_new() {
        let known = status(&ClusterPairStatus::default(), &view(Reach::Reachable, away()), Debts::default(), NOW);
        let later = NOW + jiff::SignedDuration::from_mins(1);
        assert_eq!(status(&known, &view(Reach::Unknown, Reach::Unknown), Debts::default(), later), known);
    }

    #[test]
    fn rights_that_are_refused_in_general_are_listed_by_verb_and_stay_known_while_the_cluster_is_away() {
        let mut gap = view(Reach::Reachable, Reach::Reachable);
        let refused = Right::all(Side::Target).into_iter().filter(|right| right.verb == "patch").collect();
        gap.target.rights = Rights::Known { refused, account: "mover".into() };
        let told = status(&ClusterPairStatus::default(), &gap, Debts::default(), NOW);
        assert!(said(&told).contains(&"TargetAuthorized False NotAuthorized".to_owned()), "{told:?}");
        let message = &condition(&told, "TargetAuthorized").unwrap().message;
        for words in [
            "the target refuses: patch ingresses.networking.k8s.io.",
            "namespace-migration-target of deploy/target to mover",
        ] {
            assert!(message.contains(words), "{message}");
        }
        assert!(said(&told).contains(&"Ready True Reachable".to_owned()), "a grant for some namespaces may be enough");
        gap.target = ClusterReach { reach: away(), ..ClusterReach::default() };
        let away = status(&told, &gap, Debts::default(), NOW);
        assert_eq!(away.target, told.target, "the version and the last proof stay known");
        assert_eq!(condition(&away, "TargetAuthorized"), condition(&told, "TargetAuthorized"));
    }

    #[test]
    fn a_deleted_pair_says_what_keeps_it_and_tells_it_once() {
        let mut used = view(Reach::Reachable, Reach::Reachable);
        let well = status(&ClusterPairStatus::default(), &used, Debts::default(), NOW);
        used.keeping = Keeping {
            asked_at: Some(NOW),
            held: true,
            users: ["shop/shop".to_owned()].into(),
            allowance: SignedDuration::from_mins(15),
        };
        let kept = status(&well, &used, Debts::default(), NOW);
        assert_eq!(said(&kept).last().unwrap(), "Deleting True PairInUse");
        let told = news(&well, &kept).unwrap();
        assert!(told.note.contains("those under way by it have ended: NamespaceMigration shop/shop."), "{}", told.note);
        assert_eq!((news(&kept, &kept), news(&well, &well)), (None, None));
    }

    #[test]
    fn one_more_proof_of_a_cluster_is_no_news_and_stands_beside_what_is() {
        let proved = |later: Timestamp, target: Reach| {
            let mut view = view(Reach::Reachable, target);
            (view.source.proved_at, view.target.proved_at) = (Some(later), Some(later));
            view
        };
        let later = NOW + SignedDuration::from_hours(1);
        let well = status(&ClusterPairStatus::default(), &proved(NOW, Reach::Reachable), Debts::default(), NOW);
        assert_eq!(status(&well, &proved(later, Reach::Reachable), Debts::default(), later), well);
        let sick = status(&well, &proved(later, away()), Debts::default(), later);
        assert_eq!(sick.source.unwrap().proved_at, Some(seconds(later)));
    }

    #[test]
    fn a_pair_that_nobody_uses_is_not_connected_and_says_so() {
        let idle = PairView { in_use: false, ..view(Reach::Reachable, away()) };
        let idle = status(&ClusterPairStatus::default(), &idle, Debts::default(), NOW);
        assert!(idle.conditions.iter().all(|c| (&*c.status, &*c.reason) == ("Unknown", "NotInUse")), "{idle:?}");
    }
}
