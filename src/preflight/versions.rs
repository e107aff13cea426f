//! Whether the target's API server understands what the source's objects say.

use std::collections::BTreeSet;

use super::both::Both;
use super::told::{found, named, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Item, Kind, Workload};

pub(super) const QUESTIONS: [Question; 6] = [
    (
        "KindNotServed",
        Severity::Blocker,
        "The target does not know a kind of object that the namespace has. Can be acknowledged.",
        kind_not_served,
    ),
    (
        "VersionNotServed",
        Severity::Blocker,
        "No API version of a kind is served by both clusters. Can be acknowledged.",
        version_not_served,
    ),
    (
        "TtlAfterFinished",
        Severity::Warning,
        "A Job has ttlSecondsAfterFinished, which the target is too old to keep to.",
        ttl_after_finished,
    ),
    ("TargetOlder", Severity::Warning, "The target's Kubernetes is older than the source's.", target_older),
    ("VersionSkew", Severity::Info, "The target's Kubernetes is newer than the source's.", version_skew),
    ("ClockSkew", Severity::Warning, "The clocks of the clusters and the operator are apart.", clock_skew),
];

/// What a cluster makes for itself is never brought over.
const GENERATED: [&str; 14] = [
    "Event",
    "Endpoints",
    "EndpointSlice",
    "Lease",
    "Pod",
    "PodMetrics",
    "ReplicaSet",
    "ControllerRevision",
    "CertificateRequest",
    "Order",
    "Challenge",
    "TargetGroupBinding",
    "CiliumEndpoint",
    "PolicyReport",
];

/// Clocks that are apart by more are told. Certificates, tokens and the times of writes rest on them.
const CLOCKS_APART_MILLIS: u64 = 5000;

/// `ttlSecondsAfterFinished` is on by default from here (KEP-592: beta), and cannot be turned off from the next.
const TTL_BETA: (u32, u32) = (1, 21);
const TTL_STABLE: (u32, u32) = (1, 23);

/// The source's objects that somebody made, of kinds that the target's answer speaks of.
fn made<'a>(both: &Both<'a>) -> impl Iterator<Item = &'a Item> {
    let target = both.target.all;
    let groups: BTreeSet<_> = both.target.all.unread.iter().map(|unread| unread.what.as_str()).collect();
    let is_unread =
        move |item: &Item| !item.kind.group.is_empty() && groups.iter().any(|what| what.contains(&item.kind.group));
    let all = both.source.all.items.values().filter(|_| !target.served.is_empty());
    all.filter(move |item| item.owners.is_empty() && !GENERATED.contains(&item.kind.kind.as_str()) && !is_unread(item))
}

fn kind_not_served(both: &Both<'_>) -> Option<Found> {
    let served: BTreeSet<_> = both.target.all.served.iter().map(|kind| (&kind.group, &kind.kind)).collect();
    let unknown = made(both).filter(|item| !served.contains(&(&item.kind.group, &item.kind.kind)));
    let meaning = "The target's API server would refuse them.";
    let fix = "Have the CustomResourceDefinition or the controller installed on the target, or leave them behind.";
    let lead = "Of a kind that the target does not know";
    found(unknown.map(|item| noted(item, item.kind.api_version())), lead, meaning, fix)
}

fn version_not_served(both: &Both<'_>) -> Option<Found> {
    let target = &both.target.all.served;
    let versions = |item: &Item| -> Vec<_> {
        target.iter().filter(|kind| kind.is(&item.kind.group, &item.kind.kind)).map(Kind::api_version).collect()
    };
    let common: BTreeSet<_> =
        both.source.all.served.intersection(target).map(|kind| (&kind.group, &kind.kind)).collect();
    let apart = made(both)
        .filter(|item| !target.contains(&item.kind) && !common.contains(&(&item.kind.group, &item.kind.kind)));
    let told = apart.map(|item| (item, versions(item))).filter(|(_, versions)| !versions.is_empty());
    let told = told.map(|(item, versions)| {
        noted(item, format!("{} here, {} on the target", item.kind.api_version(), versions.join(", ")))
    });
    let meaning = "No version of these is served by both clusters, so that no copy can be made.";
    found(
        told,
        "In an old API version",
        meaning,
        "Write their manifests in the version that the target serves, and deploy them there.",
    )
}

fn ttl_after_finished(both: &Both<'_>) -> Option<Found> {
    let (major, minor) = both.target.all.version.filter(|version| *version < TTL_STABLE)?;
    let lives = |workload: &Workload| Some(format!("{} s", workload.ttl_after_finished?));
    let meaning = if (major, minor) < TTL_BETA {
        format!(
            "The target is Kubernetes {major}.{minor}, which refuses or ignores it before 1.21: Jobs that have ended would pile up."
        )
    } else {
        format!(
            "The target is Kubernetes {major}.{minor}, where it can be turned off before 1.23: Jobs that have ended may pile up."
        )
    };
    let fix =
        "Set successfulJobsHistoryLimit and failedJobsHistoryLimit of the CronJob, and delete single Jobs yourself.";
    found(both.where_workload(lives), "With ttlSecondsAfterFinished", &meaning, fix)
}

fn told_versions(both: &Both<'_>, older: bool) -> Option<(String, String)> {
    let (source, target) = (both.source.all.version?, both.target.all.version?);
    let words = |(major, minor): (u32, u32)| format!("{major}.{minor}");
    let apart = if older { target < source } else { target > source };
    apart.then(|| (words(source), words(target)))
}

fn target_older(both: &Both<'_>) -> Option<Found> {
    let (source, target) = told_versions(both, true)?;
    let noted = [named("source", &source), named("target", &target)];
    let meaning = "Fields that only the newer one knows are dropped or refused on the target.";
    let fix = "Upgrade the target first, or see by a dry run there that the manifests are accepted as they are.";
    found(noted, "The target's Kubernetes is older", meaning, fix)
}

fn version_skew(both: &Both<'_>) -> Option<Found> {
    let (source, target) = told_versions(both, false)?;
    let noted = [named("source", &source), named("target", &target)];
    let meaning = "What was deprecated may be gone, and defaults may differ.";
    found(
        noted,
        "The target's Kubernetes is newer",
        meaning,
        "Read the release notes of the versions between; apply the manifests to the target with --dry-run=server.",
    )
}

fn clock_skew(both: &Both<'_>) -> Option<Found> {
    let apart = both.sides().into_iter().filter_map(|sight| {
        let ahead = sight.all.clock_ahead_millis.filter(|ahead| ahead.unsigned_abs() > CLOCKS_APART_MILLIS)?;
        let way = if ahead > 0 { "ahead" } else { "behind" };
        Some(named(&sight.side.to_string(), format!("{} s {way}", ahead.unsigned_abs() / 1000)))
    });
    let meaning = "At most 5 s were expected: certificates, tokens and the times of writes are judged wrongly.";
    found(
        apart,
        "Not at the operator's time",
        meaning,
        "Have the time of the control plane's machines, or of the operator's, set by NTP.",
    )
}
