//! Whether the target can hold all of the load, and what both sides together ask of what they share.

use std::collections::BTreeMap;

use super::both::Both;
use super::quantity::quantity;
use super::told::{found, named, noted, object};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, SideInventory, Workload};

pub(super) const QUESTIONS: [Question; 10] = [
    (
        "QuotaTooSmall",
        Severity::Blocker,
        "A ResourceQuota of the target allows less than the source uses. Can be acknowledged.",
        quota_too_small,
    ),
    (
        "QuotaNeedsRequests",
        Severity::Blocker,
        "The target's ResourceQuota refuses Pods that ask for no processor or memory. Can be acknowledged.",
        quota_needs_requests,
    ),
    (
        "LimitRangeDiffers",
        Severity::Warning,
        "The target has a LimitRange that the source has not, or another one.",
        limit_range_differs,
    ),
    (
        "AutoscalerDiffers",
        Severity::Warning,
        "A HorizontalPodAutoscaler has lower bounds on the target.",
        autoscaler_differs,
    ),
    (
        "AutoscalerMinimum",
        Severity::Warning,
        "A HorizontalPodAutoscaler's minimum is below what serves now.",
        autoscaler_minimum,
    ),
    ("FewerReplicas", Severity::Warning, "A workload has fewer replicas on the target.", fewer_replicas),
    ("SourceNotReady", Severity::Warning, "A workload of the source is not ready itself.", source_not_ready),
    (
        "WithoutReadiness",
        Severity::Warning,
        "A container has no readiness probe: a Pod gets requests before it can answer.",
        without_readiness,
    ),
    (
        "NodeSelector",
        Severity::Warning,
        "A workload asks for nodes with labels, which the target's may not have.",
        node_selector,
    ),
    (
        "TwiceTheConnections",
        Severity::Warning,
        "Pods of both sides are connected to one database while it moves.",
        twice_the_connections,
    ),
];

/// Words of names under which a database's address or password is kept.
const DATABASE_WORDS: [&str; 15] = [
    "database",
    "db",
    "dsn",
    "elasticache",
    "elasticsearch",
    "jdbc",
    "mariadb",
    "mongo",
    "mongodb",
    "mysql",
    "opensearch",
    "postgres",
    "postgresql",
    "rds",
    "redis",
];

/// Each quota, with what is allowed and what is used.
fn quotas(all: &SideInventory) -> impl Iterator<Item = (&Item, &BTreeMap<String, String>, &BTreeMap<String, String>)> {
    all.items.values().filter_map(|item| match &item.content {
        Content::Quota { hard, used } => Some((item, hard, used)),
        _ => None,
    })
}

/// Each resource that a quota of the target limits below what a quota of the source counts as used.
fn quota_too_small(both: &Both<'_>) -> Option<Found> {
    let used: BTreeMap<_, _> = quotas(both.source.all).flat_map(|(_, _, used)| used).collect();
    let short = |(resource, hard): (&String, &String)| {
        let used = used.get(resource)?;
        (quantity(used)? > quantity(hard)?).then(|| format!("{resource}: {hard} allowed, {used} used on the source"))
    };
    let told = quotas(both.target.all).filter_map(|(item, hard, _)| {
        let short: Vec<_> = hard.iter().filter_map(short).collect();
        (!short.is_empty()).then(|| noted(item, short.join(", ")))
    });
    let meaning = "The target must hold all of the load before the last step.";
    let fix = "Have the quota of the target raised to what the source uses, at least.";
    found(told, "Quotas of the target that are too small", meaning, fix)
}

fn quota_needs_requests(both: &Both<'_>) -> Option<Found> {
    let counts = |name: &String| {
        name.starts_with("requests.") || name.starts_with("limits.") || name == "cpu" || name == "memory"
    };
    let (quota, ..) = quotas(both.target.all).find(|(_, hard, _)| hard.keys().any(counts))?;
    let has_defaults = both.target.all.of("", "LimitRange").next().is_some();
    let bare = both.where_workload(|workload| (workload.without_requests && !has_defaults).then(String::new));
    let meaning = format!(
        "ResourceQuota {} of the target refuses such Pods, and no LimitRange there fills in what they leave out.",
        quota.name
    );
    let fix = "Set requests and limits of every container, or have a LimitRange with defaults created on the target.";
    found(bare, "Without requests of processor or memory", &meaning, fix)
}

fn limit_range_differs(both: &Both<'_>) -> Option<Found> {
    let other = |item: &&Item| {
        both.source.saw("", "LimitRange") && both.source.same(item).is_none_or(|source| source.digest != item.digest)
    };
    let told = both.target.all.of("", "LimitRange").filter(other).map(|item| noted(item, ""));
    let meaning = "Containers may be refused, or get other defaults than on the source.";
    found(
        told,
        "LimitRanges of the target that the source has not so",
        meaning,
        "Compare them, and set requests and limits of every container.",
    )
}

fn autoscalers<'a>(both: &Both<'a>) -> impl Iterator<Item = (&'a Item, &'a (String, String), i64, i64)> {
    both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Autoscaler { target, least, most } => Some((item, target, *least, *most)),
        _ => None,
    })
}

fn autoscaler_differs(both: &Both<'_>) -> Option<Found> {
    let told = autoscalers(both).filter_map(|(item, _, least, most)| {
        let Content::Autoscaler { least: their_least, most: their_most, .. } = &both.target.same(item)?.content else {
            return None;
        };
        let is_lower = *their_least < least || *their_most < most;
        is_lower.then(|| noted(item, format!("{their_least} to {their_most} there, {least} to {most} on the source")))
    });
    let meaning = "The target may not scale to what the source can serve.";
    found(
        told,
        "HorizontalPodAutoscalers with lower bounds on the target",
        meaning,
        "Give both sides the same minReplicas and maxReplicas.",
    )
}

fn autoscaler_minimum(both: &Both<'_>) -> Option<Found> {
    let told = autoscalers(both).filter_map(|(item, (kind, name), least, _)| {
        let Content::Workload(workload) = &both.source.get("apps", kind, name)?.content else { return None };
        (workload.ready > least)
            .then(|| noted(item, format!("minReplicas {least}, {} ready on the source", workload.ready)))
    });
    let meaning = "Without load the target stays at its minimum, and has to scale while users come.";
    let fix = "Raise minReplicas on the target until the move has ended, or take small steps with holds long enough to scale.";
    found(told, "HorizontalPodAutoscalers that begin small", meaning, fix)
}

fn fewer_replicas(both: &Both<'_>) -> Option<Found> {
    let told = both.workloads().filter_map(|(item, workload)| {
        let (here, there) = (workload.replicas?, both.target.workload(item)?.replicas?);
        (there < here).then(|| noted(item, format!("{there} there, {here} on the source")))
    });
    found(
        told,
        "Fewer replicas on the target",
        "The target must hold all of the load before the last step.",
        "Scale them on the target to what the source has.",
    )
}

fn source_not_ready(both: &Both<'_>) -> Option<Found> {
    let told = both.where_workload(|workload| {
        let wanted = workload.replicas.filter(|wanted| workload.ready < *wanted)?;
        Some(format!("{} of {wanted} ready", workload.ready))
    });
    let meaning = "What does not run well on the source is no measure for the target.";
    found(told, "Not ready on the source", meaning, "Mend them on the source first, or scale them to what should run.")
}

fn without_readiness(both: &Both<'_>) -> Option<Found> {
    let serves = |item: &Item| ["Deployment", "StatefulSet", "DaemonSet"].contains(&item.kind.kind.as_str());
    let told = both.workloads().filter(|(item, workload)| serves(item) && !workload.has_readiness);
    let meaning = "Their Pods count as ready as soon as they run, also on the target while it gets its first users.";
    found(
        told.map(|(item, _)| noted(item, "")),
        "Without a readiness probe",
        meaning,
        "Give every container a readinessProbe.",
    )
}

fn node_selector(both: &Both<'_>) -> Option<Found> {
    let labels = |workload: &Workload| {
        let labels: Vec<_> = workload
            .node_selector
            .iter()
            .filter(|(key, _)| key.as_str() != "kubernetes.io/os")
            .map(|(key, value)| format!("{key}={value}"))
            .collect();
        (!labels.is_empty()).then(|| labels.join(", "))
    };
    let meaning = "Where no node of the target has these labels, the Pods wait for ever.";
    found(
        both.where_workload(labels),
        "With a nodeSelector",
        meaning,
        "See that nodes of the target have the labels, or leave the nodeSelector out there.",
    )
}

/// Whether one of the words stands in a name by itself: `DB_PASSWORD` and `rds-output`, not `feedback`.
fn names_database(name: &str) -> bool {
    let lower = name.to_lowercase();
    lower.split(|letter: char| !letter.is_alphanumeric()).any(|word| DATABASE_WORDS.contains(&word))
}

fn twice_the_connections(both: &Both<'_>) -> Option<Found> {
    let told = both.workloads().filter_map(|(item, workload)| {
        let reference =
            workload.references.iter().find(|found| names_database(&found.name) || names_database(&found.via))?;
        let pods = workload.replicas.unwrap_or(workload.ready);
        (pods > 0).then(|| named(&object(item), format!("{pods} Pods by {} {}", reference.kind, reference.name)))
    });
    let meaning = "While it moves as many Pods of the target are connected to the same database: twice the connections, and two sides that write.";
    let fix = "See that the database takes twice the connections (max_connections, pools), and that copies of the application may write at once.";
    found(told, "Connected to a database", meaning, fix)
}
