//! Whether the namespace keeps state that would stay behind: both sides run at once, and nothing brings data from one to the other.

use super::both::Both;
use super::told::{Noted, found, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, Volume, Workload};

pub(super) const QUESTIONS: [Question; 8] = [
    (
        "ClaimedVolume",
        Severity::Blocker,
        "There is a PersistentVolumeClaim, whose data stays on the source. Can be acknowledged.",
        claimed_volume,
    ),
    (
        "ClaimTemplates",
        Severity::Blocker,
        "A StatefulSet makes claims of its own, which begin empty on the target. Can be acknowledged.",
        claim_templates,
    ),
    (
        "HostPath",
        Severity::Blocker,
        "A workload keeps files on its node, which stay there. Can be acknowledged.",
        host_path,
    ),
    (
        "Singleton",
        Severity::Blocker,
        "A workload is made so that never two run, but one would on each side. Can be acknowledged.",
        singleton,
    ),
    (
        "EphemeralVolume",
        Severity::Warning,
        "A workload has an emptyDir: sessions or uploads in it are on one side alone.",
        ephemeral_volume,
    ),
    (
        "OutsideVolume",
        Severity::Warning,
        "A workload mounts storage that both sides would write to, or that the target may not reach.",
        outside_volume,
    ),
    (
        "StatefulPeers",
        Severity::Warning,
        "A StatefulSet's Pods know each other, and would be two groups.",
        stateful_peers,
    ),
    (
        "LeaderLease",
        Severity::Warning,
        "A leader is elected by a Lease: there would be one on each side.",
        leader_lease,
    ),
];

/// What a workload's volumes say of each, joined.
fn volumes(both: &Both<'_>, words: impl Fn(&Volume) -> Option<String>) -> Vec<Noted> {
    both.where_workload(|workload| {
        let found: Vec<_> = workload.volumes.iter().filter_map(&words).collect();
        (!found.is_empty()).then(|| found.join(", "))
    })
}

fn claimed_volume(both: &Both<'_>) -> Option<Found> {
    let claims = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Claim { storage_class, size, .. } => {
            Some(noted(item, format!("{size}, class {}", storage_class.as_deref().unwrap_or("default"))))
        }
        _ => None,
    });
    // Where claims may not be listed, or one is gone, the workload's volume still names it.
    let is_seen = |name: &str| both.source.get("", "PersistentVolumeClaim", name).is_some();
    let mounted = volumes(both, |volume| match volume {
        Volume::Claim { claim, .. } if !is_seen(claim) => Some(format!("mounts the claim {claim}")),
        _ => None,
    });
    let claims = claims.chain(mounted);
    let meaning = "Their data stays on the source; the target would begin empty, and both sides would write apart.";
    let fix = "Move the data to a store that both clusters reach (a database, S3), and remove the claims; or move the data by hand in a pause.";
    found(claims, "PersistentVolumeClaims", meaning, fix)
}

fn claim_templates(both: &Both<'_>) -> Option<Found> {
    let templates = |workload: &Workload| Some(workload.claim_templates.join(", ")).filter(|names| !names.is_empty());
    let meaning = "Each Pod has a claim of its own; on the target each would begin with an empty one.";
    let fix = "Use a service that both clusters reach (RDS, ElastiCache) instead, or move the data by hand in a pause.";
    found(both.where_workload(templates), "StatefulSets with volumeClaimTemplates", meaning, fix)
}

fn host_path(both: &Both<'_>) -> Option<Found> {
    let path = |volume: &Volume| match volume {
        Volume::Host { name, path } => Some(format!("{name} at {path}")),
        _ => None,
    };
    let meaning = "What is written there stays on the source's nodes, and the target may refuse such Pods.";
    let fix = "Keep the files in a store that both clusters reach, and take the hostPath out of the Pod's template.";
    found(volumes(both, path), "With a hostPath", meaning, fix)
}

/// `Recreate` with one replica says that two must not run at once.
fn singleton(both: &Both<'_>) -> Option<Found> {
    let single = |workload: &Workload| {
        let is_single = workload.replicas == Some(1) && workload.strategy == "Recreate";
        is_single.then(|| "replicas 1, strategy Recreate".to_owned())
    };
    let meaning = "They never run twice on one cluster, but during the move one runs on each.";
    let fix =
        "See that two of them may work at once on the same data, or scale one side to 0 at the step that you choose.";
    found(both.where_workload(single), "Made to run once", meaning, fix)
}

fn ephemeral_volume(both: &Both<'_>) -> Option<Found> {
    let folder = |volume: &Volume| match volume {
        Volume::Empty { name, memory: true } => Some(format!("{name} in memory")),
        Volume::Empty { name, memory: false } => Some(name.clone()),
        _ => None,
    };
    let meaning = "What a Pod keeps there is seen by no other Pod, so not by the other side: users whose sessions or uploads are in it lose them when they are moved.";
    let fix = "Keep sessions and uploads in a store that both sides reach (ElastiCache, S3). Where it holds a cache or temporary files only, nothing is to be done.";
    found(volumes(both, folder), "With an emptyDir", meaning, fix)
}

fn outside_volume(both: &Both<'_>) -> Option<Found> {
    let outside = |volume: &Volume| match volume {
        Volume::Outside { name, kind } => Some(format!("{name}, {kind}")),
        _ => None,
    };
    let meaning = "The target must reach the same storage, and both sides would write to it at once.";
    let fix = "See that the target's nodes can mount it, and that two writers at once are no harm.";
    found(volumes(both, outside), "With storage outside of the cluster", meaning, fix)
}

fn stateful_peers(both: &Both<'_>) -> Option<Found> {
    let peers = both.workloads().filter_map(|(item, workload)| {
        let count = workload.replicas.filter(|count| *count > 1 && item.kind.kind == "StatefulSet")?;
        Some(noted(item, format!("{count} replicas")))
    });
    let meaning = "Their Pods find each other by names inside one cluster: each side would be a group of its own.";
    let fix = "See that two groups may work at once, or use a service that both clusters reach.";
    found(peers, "StatefulSets of several Pods", meaning, fix)
}

fn leader_lease(both: &Both<'_>) -> Option<Found> {
    let held = |item: &Item| match &item.content {
        Content::Lease { holder: Some(holder) } if !holder.is_empty() => Some(noted(item, format!("held by {holder}"))),
        _ => None,
    };
    let meaning = "A Lease counts in its own cluster: during the move each side has a leader.";
    let fix = "See that two leaders at once are no harm, or keep the workload at 0 on one side.";
    found(both.source.all.items.values().filter_map(held), "Leaders are elected by Leases", meaning, fix)
}
