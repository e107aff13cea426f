//! Sentences that a person reads seldom, and then needs: each in its words.

use jiff::SignedDuration;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use namespace_migration::api::status::{RequestKind, RequestOutcome, RequestStatus, StepPhase};
use namespace_migration::api::{
    ClusterPair, FINALIZER, NamespaceMigration, NamespaceMigrationStatus, RETRY_ANNOTATION, ROLLBACK_ANNOTATION, Stage,
};
use namespace_migration::machine::controls::Controls;
use namespace_migration::machine::deletion::{Unread, without_order};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::order::{Home, OrderError};
use namespace_migration::machine::permit::{Live, Permit, permit};
use namespace_migration::machine::stamp::{Direction, Stamp};
use namespace_migration::machine::{Asked, Decision, Effect, Order, Side, reject};
use serde_json::{Value, json};

use crate::controls::{request, standing, weights};
use crate::planted::{at, stands};
use crate::requests::completed;
use crate::stages::says;
use crate::world::{SOURCE, World, pair};

fn lost(world: &World) -> World {
    world.with_status(NamespaceMigrationStatus::default())
}

fn rolled_back() -> World {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    world
}

/// What an object that is being deleted says at last, and whether it is gone.
fn last_word(world: &mut World) -> String {
    let decision = world.pass();
    assert!(world.gone, "{:?}", says(world));
    let note = decision.events.last().unwrap().note.clone();
    assert!(world.status.message.starts_with(&note), "{}", world.status.message);
    note
}

#[test]
fn a_retry_from_before_an_end_that_was_not_known_is_refused() {
    let mut world = rolled_back();
    world.annotate(RETRY_ANNOTATION, Some("old"));
    // It was noted in the shift, by a process that died before it answered.
    let at = Time(world.now);
    let (kind, token, by, stage) = (RequestKind::Retry, "old".to_owned(), String::new(), Stage::ShiftTraffic);
    let (outcome, message) = (RequestOutcome::Accepted, String::new());
    world.status.requests.push(RequestStatus { kind, token, at, by, stage, outcome, message });
    world.settle();
    let asked = request(&world, RequestKind::Retry);
    let said = "Refused: it was asked for before this end was known; ask again with another value.";
    assert_eq!((asked.outcome, asked.message.as_str()), (RequestOutcome::Refused, said));
    assert_eq!((world.status.stage, world.status.attempt), (Stage::RolledBack, 1));
}

#[test]
fn a_rollback_from_before_it_was_known_that_the_service_has_moved_is_refused() {
    let mut world = lost(&completed());
    world.annotate(ROLLBACK_ANNOTATION, Some("old"));
    world.settle();
    let asked = request(&world, RequestKind::Rollback);
    let said =
        "Refused: it was asked for before it was known that the service has moved; ask again with another value.";
    assert_eq!((world.status.stage, asked.message.as_str()), (Stage::Completed, said));
}

#[test]
fn a_rollback_from_the_end_that_waits_for_a_list_says_what_that_will_tell() {
    for side in [Side::Source, Side::Target] {
        let mut world = completed();
        world.side_mut(side).synced = false;
        world.annotate(ROLLBACK_ANNOTATION, Some("regret"));
        world.pass();
        let asked = request(&world, RequestKind::Rollback);
        let said =
            "It is decided as soon as both clusters have been listed, which tells whether the source still serves.";
        assert_eq!((asked.outcome, asked.message.as_str()), (RequestOutcome::Accepted, said), "{side}");
        assert_eq!(world.status.stage, Stage::Completed, "{side}");
        world.reachable(side);
        world.settle();
        assert_eq!(world.status.stage, Stage::RollingBack, "{side}");
    }
}

#[test]
fn a_rollback_that_another_migration_forestalls_says_that_it_could_not_be_done() {
    let mut world = at(1, StepPhase::Holding);
    for side in [Side::Source, Side::Target] {
        let other = "home/other/other".to_owned();
        world.ingress_mut(side, "web").stamp =
            Some(Stamp { owner: other, attempt: 1, epoch: 9, direction: Direction::Forward });
    }
    world.annotate(ROLLBACK_ANNOTATION, Some("late"));
    world.run_until(Stage::Failed);
    let asked = request(&world, RequestKind::Rollback);
    let said = "It could not be done. Ingress web on the source is moved by another migration, home/other/other, and was left alone.";
    assert_eq!((asked.outcome, asked.message.as_str()), (RequestOutcome::Refused, said));
}

/// Deleted when nobody knows what it had written.
fn deleted_without_status() -> World {
    let mut world = lost(&at(1, StepPhase::Holding));
    for side in [Side::Source, Side::Target] {
        world.side_mut(side).synced = false;
    }
    world.delete();
    world
}

#[test]
fn a_deletion_after_a_lost_status_lists_the_clusters_first() {
    let mut world = deleted_without_status();
    world.pass();
    let said = format!(
        "The clusters are listed first: something may have been written. The namespace shop on the source is being listed. The object is being deleted and goes when this is done, at \
         the latest at {}.",
        world.order.deletion.deadline().unwrap()
    );
    assert_eq!(world.status.message, said);
}

#[test]
fn a_deletion_after_a_lost_status_lets_go_at_its_deadline_and_says_what_is_not_known() {
    let mut world = deleted_without_status();
    world.unreachable(Side::Source);
    world.advance(SignedDuration::from_mins(16));
    let said = format!(
        "The status was lost and the clusters could not be listed before the deadline of the deletion, so what this migration had \
         written stays as it is. Look on the source and on the target for Ingresses of namespace shop whose annotation \
         namespacemigration.io/stamp names {SOURCE}/shop/shop. To send all users to the source by hand, in this order: kubectl \
         --context=SOURCE annotate ingress NAME -n shop --overwrite external-dns.alpha.kubernetes.io/aws-weight=100; kubectl \
         --context=TARGET annotate ingress NAME -n shop --overwrite external-dns.kubernetes.io/aws-weight=0."
    );
    assert_eq!((last_word(&mut world), weights(&world)), (said, (Some(90), Some(10))));
}

#[test]
fn a_deletion_after_a_lost_status_names_what_the_living_cluster_shows() {
    let mut world = deleted_without_status();
    world.target.synced = true;
    world.add_ingress(Side::Target, "not-ours", "other.example");
    world.unreachable(Side::Source);
    world.advance(SignedDuration::from_mins(16));
    let said = last_word(&mut world);
    let seen = format!(
        " Its stamp was seen on Ingress web with weight 10 on the target. Look on the source for Ingresses of namespace shop whose \
         annotation namespacemigration.io/stamp names {SOURCE}/shop/shop. To send all users to the source by hand, in this order: \
         kubectl --context=SOURCE annotate ingress web -n shop --overwrite external-dns.alpha.kubernetes.io/aws-weight=100; kubectl \
         --context=TARGET annotate ingress web -n shop --overwrite external-dns.kubernetes.io/aws-weight=0."
    );
    assert!(said.ends_with(&seen), "{said}");
    assert!(said.len() <= 1024, "an event cannot tell more");
}

#[test]
fn an_orphaned_object_says_that_no_cluster_was_called() {
    let mut world = at(1, StepPhase::Holding);
    world.edit(&json!({"deletionPolicy": "Orphan"}));
    world.delete();
    let said = "The object is let go as spec.deletionPolicy Orphan asks: no cluster was called, all weights stay. A migration of the same \
                name goes on from there.";
    assert_eq!(last_word(&mut world), said);
}

#[test]
fn a_freeze_that_overtakes_the_rollback_of_a_deletion_says_that_it_stays_half_done() {
    let mut world = at(1, StepPhase::Holding);
    world.unreachable(Side::Target);
    world.delete();
    world.pass();
    world.edit(&json!({"deletionPolicy": "Freeze"}));
    let said = "The object is let go as spec.deletionPolicy Freeze asks: the rollback stays as far as it has come. A migration of the same \
                name ends it.";
    assert_eq!(last_word(&mut world), said);
}

#[test]
fn a_freeze_before_anybody_was_sent_to_the_target_says_so() {
    let world = standing(Stage::PrepareTarget);
    let mut world = lost(&world);
    world.edit(&json!({"deletionPolicy": "Freeze"}));
    world.delete();
    assert_eq!(last_word(&mut world), "The object is let go; nobody had been sent to the target.");
}

/// Passes and time, until the object is gone; its last word.
fn goes(world: &mut World) -> String {
    for _ in 0..200 {
        world.step();
        if world.gone {
            return world.status.message.clone();
        }
    }
    panic!("it stays: {:?}", says(world));
}

#[test]
fn a_deletion_whose_dns_is_stuck_says_that_the_weights_are_written_and_what_dns_still_sends() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    for side in [Side::Source, Side::Target] {
        world.stop_dns(side, true);
    }
    world.delete();
    let said = goes(&mut world);
    assert_eq!(weights(&world), (Some(100), Some(0)));
    let begins = "The rollback was not over within 30m, but its weights are written: 100 on the source and 0 on the target. DNS was last \
                  seen to send 10 percent to the target: The source has 100 and the target 0, but DNS has not followed; usually it \
                  does within 1m. ";
    assert!(said.starts_with(begins), "{said}");
    assert!(said.contains(" shop.example still sends 10 percent of its answers to the target. "), "{said}");
    let ends = " Look at external-dns on both clusters: once this object is gone, nobody watches DNS. Only the last stamps go to \
                status.leftovers of ClusterPair old-to-new; they change no weight. Why: ";
    assert!(said.contains(ends) && !said.contains("goes on by itself"), "{said}");
    assert!(!said.contains("still to be written"), "{said}");
    assert_eq!(world.debts.weights.len(), 2);
}

#[test]
fn a_deletion_whose_dns_cannot_be_read_says_what_was_seen_last_or_that_nothing_is_known() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    world.stop_dns(Side::Source, true);
    world.stop_dns(Side::Target, true);
    world.delete();
    world.pass();
    world.hide_dns(true);
    let said = goes(&mut world);
    let seen = "DNS was last seen to send 10 percent to the target: The source has 100 and the target 0, but DNS cannot be read at \
                shop.example: AccessDenied: route53:ListResourceRecordSets. Look at";
    assert!(said.contains(seen), "{said}");

    let mut world = at(1, StepPhase::Holding);
    world.order.dns.follow.propagation = SignedDuration::from_hours(3);
    world.delete();
    let said = goes(&mut world);
    let unknown = "It is not known what DNS sends to the target: The source has 100 and the target 0; DNS needs time to follow. Look at";
    assert!(said.contains(unknown), "{said}");
}

#[test]
fn a_deletion_that_waits_only_for_dns_with_its_last_stamps_there_says_that_no_weight_is_left() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    // The status was lost with the last stamps in place, and DNS cannot be read meanwhile.
    let mut world = lost(&world);
    world.order.deletion.held = true;
    world.hide_dns(true);
    world.run_until(Stage::RollingBack);
    world.delete();
    assert_eq!(goes(&mut world), "The object is let go after 30m; no weight is left to be written.");
    assert!(world.debts.is_empty());
}

#[test]
fn a_deletion_that_waits_for_an_ingress_of_the_source_says_that_this_is_still_so() {
    let mut world = at(1, StepPhase::Holding);
    world.source.ingresses.remove("web");
    world.delete();
    let said = goes(&mut world);
    let begins = "The object is let go after 15m; what it waited for is still so: Ingress web is gone from the source, so the target's keeps \
                  its weight.";
    assert!(said.starts_with(begins), "{said}");
}

fn migration(world: &World, policy: &str) -> NamespaceMigration {
    serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {
            "name": "shop", "namespace": "shop", "finalizers": [FINALIZER], "deletionTimestamp": world.now.to_string(),
        },
        "spec": {"clusterPair": "old-to-new", "deletionPolicy": policy},
    }))
    .unwrap()
}

/// The decision over a deleted object whose order cannot be read, so long after it was deleted.
fn unread(world: &World, error: &OrderError, pair: Option<&ClusterPair>, after: SignedDuration) -> Decision {
    let (migration, now) = (migration(world, "Rollback"), world.now.checked_add(after).unwrap());
    let controls = Controls::default();
    let asked = Asked { generation: 1, attempt: 1, controls: &controls };
    let rejected = reject(&world.status, &asked, error, now);
    let unread = Unread { migration: &migration, pair, owner: &world.order.owner };
    without_order(&unread, rejected, now)
}

fn no_pair() -> OrderError {
    OrderError::NoSuchPair { pair: "old-to-new".into() }
}

const NO_PAIR: &str =
    "There is no ClusterPair named old-to-new. Until it is mended the weights stay, and nothing goes back by itself.";

#[test]
fn a_migration_deleted_with_its_pair_says_until_when_it_waits_for_it() {
    let world = at(1, StepPhase::Holding);
    let waiting = unread(&world, &no_pair(), None, SignedDuration::from_mins(1));
    let deadline = world.now.checked_add(SignedDuration::from_mins(15)).unwrap();
    let said =
        format!("{NO_PAIR} The object is being deleted; it goes at the latest at {deadline}, and all weights stay.");
    assert_eq!((waiting.status.message, waiting.effects, waiting.wake_at), (said, vec![], Some(deadline)));
    assert!(waiting.status.unblock.starts_with("Create ClusterPair old-to-new again, as it was. To let the object go"));
}

#[test]
fn a_migration_deleted_with_its_pair_names_each_weight_and_what_to_do_by_hand() {
    let world = at(1, StepPhase::Holding);
    let last = unread(&world, &no_pair(), None, SignedDuration::from_mins(15));
    let said = format!(
        "The object is let go after 15m; all weights stay. Weights as last seen: Ingress web 90 on the source and 10 on the target. To send \
         all users to the source by hand, in this order: kubectl --context=SOURCE annotate ingress web -n shop --overwrite \
         PREFIXset-identifier=web-shop-blue PREFIXaws-weight=100; kubectl --context=TARGET annotate ingress web -n shop --overwrite \
         PREFIXset-identifier=web-shop-green PREFIXaws-weight=0. PREFIX is how external-dns annotations of that cluster begin, as \
         external-dns.alpha.kubernetes.io/. Why: {NO_PAIR}"
    );
    assert_eq!((last.status.message.as_str(), last.status.reason.as_str()), (said.as_str(), "LeftOver"));
    assert_eq!(last.effects, [Effect::Release]);
    assert!(last.events.iter().any(|event| event.warning && event.note == said), "{:?}", last.events);
    assert!(said.len() <= 1024, "an event cannot tell more");
}

#[test]
fn a_migration_whose_order_cannot_be_read_is_told_with_the_prefixes_of_its_pair() {
    let world = at(1, StepPhase::Holding);
    let pair: ClusterPair = serde_json::from_value(pair()).unwrap();
    let error = OrderError::Steps { object: "NamespaceMigration shop/shop".into(), found: vec![5, 4] };
    let said = unread(&world, &error, Some(&pair), SignedDuration::from_mins(15)).status.message;
    let source = "external-dns.alpha.kubernetes.io/set-identifier=web-shop-blue external-dns.alpha.kubernetes.io/aws-weight=100;";
    let target =
        "external-dns.kubernetes.io/set-identifier=web-shop-green external-dns.kubernetes.io/aws-weight=0. Why: ";
    assert!(said.contains(source) && said.contains(target) && !said.contains("PREFIX"), "{said}");
}

#[test]
fn a_migration_without_pair_and_status_says_where_to_look() {
    let last = unread(&lost(&at(1, StepPhase::Holding)), &no_pair(), None, SignedDuration::from_mins(15));
    let said = "The object is let go after 15m; all weights stay. Its status knows no Ingress: look for the annotation \
                namespacemigration.io/stamp on the Ingresses of namespace shop in both clusters, and compare their weights. Why: ";
    assert!(last.status.message.starts_with(said), "{}", last.status.message);
}

#[test]
fn a_write_to_what_is_being_deleted_is_refused_in_words() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(40));
    let effects = world.look().effects;
    let raise = effects.iter().find_map(|effect| match effect {
        Effect::WriteWeight(write) if write.side == Side::Target => Some(write),
        _ => None,
    });
    let mut ingress = world.target.ingresses["web"].clone();
    ingress.deleting = true;
    let live = Live {
        identity: world.target.identity.clone(),
        namespace: world.target.namespace.clone(),
        ingress: Some(ingress),
        other: world.source.ingresses.get("web").cloned(),
    };
    let Permit::Refused(refusal) = permit(raise.unwrap(), &world.target.identity, &live) else { panic!("permitted") };
    let said = "Ingress web on the target or its namespace is being deleted and must not be given users";
    assert_eq!(refusal.to_string(), said);
}

#[test]
fn a_pair_of_one_cluster_says_what_to_mend() {
    let mut same: Value = pair();
    same["spec"]["target"]["identity"] = json!(SOURCE);
    let pair: ClusterPair = serde_json::from_value(same).unwrap();
    let home = Home { identity: SOURCE.into(), operator_namespace: "namespace-migration".into() };
    let error = Order::parse(&migration(&World::new(), "Rollback"), &pair, &home).unwrap_err();
    let decision = unread(&World::new(), &error, Some(&pair), SignedDuration::ZERO);
    let said =
        format!("Source and target of ClusterPair old-to-new are the same cluster: both have the identity {SOURCE}.");
    assert!(decision.status.message.starts_with(&said), "{}", decision.status.message);
    let fix = "Mend spec.source or spec.target of ClusterPair old-to-new: they are two clusters.";
    assert!([true, false].iter().all(|under_way| error.fix(*under_way) == fix));
}
