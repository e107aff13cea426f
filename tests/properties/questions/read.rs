//! What the clusters understand, what could not be read, and what a finding does to the migration.

use std::sync::Arc;

use namespace_migration::api::Stage;
use namespace_migration::api::status::Severity::{Acknowledged, Blocker, Info, Warning};
use namespace_migration::machine::inventory::{Content, Inventory, Item, Kind, Unread, Volume};
use namespace_migration::preflight;
use serde_json::json;

use super::fixture::{Put, after, among, clean, item, needs, says, secret, silent, workload};
use crate::world::World;

#[test]
fn a_kind_or_a_version_that_the_target_does_not_serve() {
    let unknown = |all: &mut Inventory| all.source.put(item("Widget", "w", Content::Other));
    let said = "Of a kind that the target does not know: Widget/w (example.org/v1). The target's API server would refuse them.";
    says(unknown, "KindNotServed", Blocker, said);
    let old = |all: &mut Inventory| {
        let beta = Kind::new("policy", "v1beta1", "PodDisruptionBudget");
        all.source.served.insert(beta.clone());
        all.target.served.insert(Kind::new("policy", "v1", "PodDisruptionBudget"));
        let budget = Item { kind: beta, ..item("", "web", Content::Other) };
        all.source.put(budget.clone());
        all.target.put(budget);
    };
    let said = "In an old API version: PodDisruptionBudget/web (policy/v1beta1 here, policy/v1 on the target). No version of these is served by \
                both clusters, so that no copy can be made.";
    says(old, "VersionNotServed", Blocker, said);
    // One version in common is enough.
    silent(|all| {
        old(all);
        all.source.served.insert(Kind::new("policy", "v1", "PodDisruptionBudget"));
    });
}

#[test]
fn ttl_seconds_after_finished_needs_a_newer_target() {
    let job = |version| {
        move |all: &mut Inventory| {
            (all.source.version, all.target.version) = (Some(version), Some(version));
            for side in [&mut all.source, &mut all.target] {
                side.put(workload("CronJob", "mail", |job| {
                    (job.replicas, job.suspended, job.ttl_after_finished) = (None, true, Some(60));
                }));
            }
        }
    };
    let said = "With ttlSecondsAfterFinished: CronJob/mail (60 s). The target is Kubernetes 1.19, which refuses or ignores it before 1.21: Jobs that \
                have ended would pile up.";
    says(job((1, 19)), "TtlAfterFinished", Warning, said);
    let said = "With ttlSecondsAfterFinished: CronJob/mail (60 s). The target is Kubernetes 1.22, where it can be turned off before 1.23: Jobs that \
                have ended may pile up.";
    says(job((1, 22)), "TtlAfterFinished", Warning, said);
    silent(job((1, 23)));
}

#[test]
fn versions_and_clocks_that_are_apart() {
    let said = "The target's Kubernetes is older: source (1.33), target (1.32). Fields that only the newer one knows are dropped or refused on the \
                target.";
    says(|all| all.target.version = Some((1, 32)), "TargetOlder", Warning, said);
    let said = "The target's Kubernetes is newer: source (1.18), target (1.33). What was deprecated may be gone, and defaults may differ.";
    says(|all| all.source.version = Some((1, 18)), "VersionSkew", Info, said);
    let said = "Not at the operator's time: target (61 s behind). At most 5 s were expected: certificates, tokens and the times of writes are judged \
                wrongly.";
    says(|all| all.target.clock_ahead_millis = Some(-61_000), "ClockSkew", Warning, said);
}

#[test]
fn what_could_not_be_read_is_told_and_not_said_to_be_absent() {
    let hidden = |all: &mut Inventory| {
        all.target.items.retain(|(kind, _), _| kind.kind != "Secret");
        all.source.web(|web| web.references.push(needs("Secret", "session")));
        all.source.put(secret("session", "Opaque"));
        all.target.unread.push(Unread { what: "secrets".into(), why: "forbidden:\nno".into() });
    };
    let said = "Could not be read: secrets on the target (forbidden: no). No check knows what is there, and nothing of it is said to be absent.";
    says(hidden, "Unread", Warning, said);
}

#[test]
fn what_is_being_deleted_blocks() {
    let dying = |all: &mut Inventory| {
        let mut account = all.target.take("ServiceAccount", "web");
        (account.terminating, account.finalizers) = (true, vec!["example.org/hold".into()]);
        all.target.put(account);
    };
    let said = "Being deleted: ServiceAccount/web (on the target, held by example.org/hold). What is being deleted is not copied, and on the target \
                it would vanish after the checks.";
    says(dying, "Terminating", Blocker, said);
}

#[test]
fn the_gravest_comes_first_and_objects_are_bounded() {
    let found = after(|all| {
        all.source.web(|web| web.volumes = vec![Volume::Empty { name: "tmp".into(), memory: true }]);
        for number in 0..30 {
            all.source.put(item("Widget", &format!("w{number:02}"), Content::Other));
        }
    });
    let severities: Vec<_> = found.iter().map(|finding| finding.severity).collect();
    assert_eq!(severities, [Blocker, Warning]);
    assert_eq!(found[0].objects.len(), 21);
    assert_eq!(found[0].objects[20], "and 10 more");
    assert!(found[0].message.contains("Widget/w04 (example.org/v1), and 25 more."), "{}", found[0].message);
}

fn with_host_path() -> Arc<Inventory> {
    let mut inventory = clean();
    let volumes = vec![
        Volume::Host { name: "logs".into(), path: "/var/log".into() },
        Volume::Empty { name: "tmp".into(), memory: false },
    ];
    inventory.source.web(|web| web.volumes = volumes);
    Arc::new(inventory)
}

#[test]
fn a_blocker_waits_for_a_person_and_a_warning_does_not() {
    let mut world = World::new();
    world.inventory = Some(with_host_path());
    world.settle();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::Preflight, "PreflightBlocked"));
    assert!(
        world.status.message.starts_with("HostPath: With a hostPath: Deployment/web (logs at /var/log)."),
        "{}",
        world.status.message
    );
    assert_eq!(world.writes.len(), 0);
    let accepted = ["AnnotationOnly", "HostPath"].map(|check| json!({"check": check, "reason": "logs only"}));
    world.edit(&json!({"preflight": {"acknowledge": accepted}}));
    world.run_until(Stage::Completed);
    let severity =
        |check: &str| world.status.preflight.iter().find(|finding| finding.check == check).map(|found| found.severity);
    assert_eq!((severity("HostPath"), severity("EphemeralVolume")), (Some(Acknowledged), Some(Warning)));
}

#[test]
fn a_warning_may_be_acknowledged_too() {
    let accepted =
        ["AnnotationOnly", "HostPath", "EphemeralVolume"].map(|check| json!({"check": check, "reason": "cache only"}));
    let mut world = World::with(json!({"preflight": {"acknowledge": accepted}}));
    world.inventory = Some(with_host_path());
    world.pass();
    let found: Vec<_> =
        world.status.preflight.iter().map(|finding| (finding.check.as_str(), finding.fix.as_str())).collect();
    assert!(found.contains(&("EphemeralVolume", "Acknowledged: cache only")), "{found:#?}");
    assert!(world.status.preflight.iter().all(|finding| finding.severity == Acknowledged));
}

#[test]
fn every_name_of_the_catalogue_is_one_word_and_says_whether_it_can_be_acknowledged() {
    let mut asked: Vec<_> = preflight::catalogue().chain(preflight::catalogue_of_inventory()).collect();
    asked.sort_by_key(|(name, severity, _)| (*name, format!("{severity:?}")));
    for pair in asked.windows(2) {
        assert!(pair[0].0 != pair[1].0 || pair[0].1 != pair[1].1, "{} stands there twice", pair[0].0);
    }
    assert!(asked.len() > 90, "{}", asked.len());
    for (name, _, finds) in asked {
        assert!(name.chars().all(char::is_alphanumeric) && finds.ends_with('.'), "{name}: {finds}");
    }
    assert_eq!(among(|all| all.source.web(|web| web.ready = 0), "SourceNotReady").lines().count(), 1);
}
