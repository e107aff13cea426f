//! An admin edits the ClusterPair in mid-flight: a side is led to another cluster, or gets another annotation prefix. Nothing is
//! written there, nothing of it is believed, and everything goes on when it is put back.

use jiff::SignedDuration;
use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{ROLLBACK_ANNOTATION, Stage};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::IngressFacts;
use namespace_migration::machine::{Decision, Effect, Side};

use crate::controls::every_stage;
use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::stages::says;
use crate::world::{Cluster, TARGET, World};

const ANOTHER: &str = "33333333-3333-4333-8333-333333333333";
const NEW_PREFIX: &str = "dns.example/";

/// What an admin edits.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Edit {
    Identity,
    Prefix,
}

/// A side as it was before the edit.
struct Before {
    cluster: Cluster,
    identity: String,
    prefix: String,
}

fn rules(world: &mut World, side: Side) -> &mut namespace_migration::machine::order::SideRules {
    side.pick(&mut world.order.source, &mut world.order.target)
}

/// The pair is edited; what is then seen is an empty cluster, or Ingresses without weights.
fn edit(world: &mut World, side: Side, edit: Edit) -> Before {
    let known = rules(world, side).clone();
    let before =
        Before { cluster: world.side(side).clone(), identity: known.identity, prefix: known.annotation_prefix };
    match edit {
        Edit::Identity => {
            rules(world, side).identity = ANOTHER.into();
            let cluster = world.side_mut(side);
            ANOTHER.clone_into(&mut cluster.identity);
            cluster.ingresses.clear();
            cluster.secrets.clear();
        }
        Edit::Prefix => {
            rules(world, side).annotation_prefix = NEW_PREFIX.into();
            for facts in world.side_mut(side).ingresses.values_mut() {
                hide(facts);
            }
        }
    }
    before
}

fn hide(facts: &mut IngressFacts) {
    (facts.identifier, facts.weight_text) = (None, None);
    facts.weight_managers.clear();
}

fn put_back(world: &mut World, side: Side, before: Before) {
    (rules(world, side).identity, rules(world, side).annotation_prefix) = (before.identity, before.prefix);
    *world.side_mut(side) = before.cluster;
}

fn writes_to(decision: &Decision, side: Side) -> bool {
    decision.effects.iter().any(|effect| effect.side() == Some(side))
}

/// Passes and time, in which nothing may be written to this side.
fn passes_without_writes_to(world: &mut World, side: Side, about: &str) {
    for _ in 0..8 {
        let decision = world.pass();
        assert!(!writes_to(&decision, side), "{about}: {:?}", decision.effects);
        world.advance(SignedDuration::from_mins(1));
    }
}

#[test]
fn an_edited_pair_freezes_every_stage_until_it_is_put_back() {
    for (stage, from) in every_stage() {
        if !(Stage::WeightSource..=Stage::Bake).contains(&stage) {
            continue;
        }
        for side in [Side::Source, Side::Target] {
            for what in [Edit::Identity, Edit::Prefix] {
                let (mut world, about) = (from.clone(), format!("{stage}, {side}, {what:?}"));
                let (before, stage) = (world.writes.len(), world.status.stage);
                let known = edit(&mut world, side, what);
                passes_without_writes_to(&mut world, side, &about);
                let reason = if what == Edit::Identity { "WrongCluster" } else { "AnnotationPrefixChanged" };
                assert_eq!((world.status.stage, world.status.reason.as_str()), (stage, reason), "{about}");
                assert_eq!(world.writes.len(), before, "{about}: {:?}", texts(&world));
                put_back(&mut world, side, known);
                world.pass();
                assert_ne!(world.status.reason, reason, "{about}: it does not go on");
                assert!((stage..=Stage::Completed).contains(&world.status.stage), "{about}: {:?}", says(&world));
                assert_eq!(broken_promise(&world.writes), None, "{about}");
            }
        }
    }
}

#[test]
fn it_is_told_what_was_edited_and_what_to_do() {
    let mut world = at(2, StepPhase::Holding);
    edit(&mut world, Side::Target, Edit::Identity);
    world.pass();
    let said = format!(
        "ClusterPair old-to-new names another target cluster than this attempt began with ({ANOTHER} instead of {TARGET}): nothing is \
         written there, and nothing that is seen there counts."
    );
    assert_eq!(says(&world), (Stage::ShiftTraffic, "WrongCluster", said.as_str()));
    let fix = format!(
        "Put spec.target of ClusterPair old-to-new back: the identity {TARGET}, and a connection that leads to it; it goes on by itself. \
         For another cluster make another ClusterPair. To send users back meanwhile, request a rollback; it ends when this is put back."
    );
    assert_eq!(world.status.unblock, fix);

    let mut world = at(2, StepPhase::Holding);
    let old = edit(&mut world, Side::Source, Edit::Prefix).prefix;
    world.pass();
    let said = format!(
        "ClusterPair old-to-new names another annotation prefix for the source than this attempt began with ({NEW_PREFIX} instead of \
         {old}): written under it, live records would lose their identifiers, so nothing is written there."
    );
    assert_eq!(says(&world), (Stage::ShiftTraffic, "AnnotationPrefixChanged", said.as_str()));
    let fix = format!(
        "Put spec.source.externalDNS.annotationPrefix of ClusterPair old-to-new back to {old}; it goes on by itself. Change it when the \
         migration has completed, or was rolled back."
    );
    assert_eq!(world.status.unblock, fix);
}

#[test]
fn a_rollback_writes_the_source_and_is_not_over_before_the_first_target_is_back() {
    for what in [Edit::Identity, Edit::Prefix] {
        let mut world = at(2, StepPhase::Holding);
        world.annotate(ROLLBACK_ANNOTATION, Some("back"));
        let known = edit(&mut world, Side::Target, what);
        passes_without_writes_to(&mut world, Side::Target, "the target");
        assert_eq!(world.source.weight("web"), Some(100));
        world.advance(SignedDuration::from_hours(3));
        passes_without_writes_to(&mut world, Side::Target, "the target");
        let (stage, reason, said) = says(&world);
        assert_eq!((stage, reason), (Stage::RollbackBlocked, "RollbackWaitsForTarget"));
        assert!(said.contains("than this attempt began with"), "{said}");
        assert!(
            said.contains("The target's 0 is not written yet. Up to 67 percent of users are still sent to the target."),
            "{said}"
        );
        assert!(world.status.unblock.starts_with("Put spec.target"), "{}", world.status.unblock);
        assert_eq!(world.status.exposed_percent, Some(67));
        put_back(&mut world, Side::Target, known);
        world.run_until(Stage::RolledBack);
        assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn a_rollback_that_was_written_is_not_taken_as_undone_and_not_over_while_a_side_is_another() {
    for side in [Side::Source, Side::Target] {
        let mut world = at(2, StepPhase::Holding);
        world.verdicts.insert(Side::Target, Verdict::Fail);
        world.settle();
        assert!(world.status.written_since.is_some());
        let known = edit(&mut world, side, Edit::Identity);
        world.advance(SignedDuration::from_mins(30));
        passes_without_writes_to(&mut world, side, "while it waits for DNS");
        assert!([Stage::RollingBack, Stage::RollbackBlocked].contains(&world.status.stage));
        assert_eq!(world.status.undone, None);
        put_back(&mut world, side, known);
        world.run_until(Stage::RolledBack);
    }
}

#[test]
fn with_another_source_the_target_goes_to_0_unless_the_first_source_may_be_at_0() {
    for (index, expected) in [(2, Some(0)), (3, Some(100))] {
        let mut world = at(index, StepPhase::Holding);
        world.annotate(ROLLBACK_ANNOTATION, Some("back"));
        let known = edit(&mut world, Side::Source, Edit::Identity);
        passes_without_writes_to(&mut world, Side::Source, "the source");
        assert_eq!(world.target.weight("web"), expected);
        assert_eq!(world.status.reason, "RollbackWaitsForSource");
        assert!(world.status.unblock.starts_with("Put spec.source of ClusterPair"), "{}", world.status.unblock);
        put_back(&mut world, Side::Source, known);
        world.run_until(Stage::RolledBack);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn the_health_of_another_cluster_moves_nobody_and_under_another_prefix_it_still_counts() {
    let mut world = at(2, StepPhase::Holding);
    edit(&mut world, Side::Target, Edit::Identity);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "WrongCluster"));
    let mut world = at(2, StepPhase::Holding);
    edit(&mut world, Side::Target, Edit::Prefix);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    assert_eq!((world.status.stage, world.source.weight("web")), (Stage::RollingBack, Some(100)));
}

#[test]
fn after_the_end_another_source_cannot_take_the_users_back() {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    edit(&mut world, Side::Source, Edit::Identity);
    world.annotate(ROLLBACK_ANNOTATION, Some("back"));
    let decision = world.pass();
    assert!(!decision.effects.iter().any(|effect| effect.side().is_some()), "{:?}", decision.effects);
    assert_eq!(world.status.stage, Stage::Completed);
    let said = &world.status.requests.first().unwrap().message;
    assert!(said.contains("the source cluster is another cluster than this attempt began with"), "{said}");
}

#[test]
fn an_old_plan_takes_its_clusters_up_in_silence_and_stays_the_same_plan() {
    let mut world = at(2, StepPhase::Holding);
    let known = world.status.plan.clone().unwrap();
    world.status.plan.as_mut().unwrap().clusters = None;
    let decision = world.pass();
    assert_eq!(world.status.plan.as_ref(), Some(&known));
    assert_eq!(decision.events, []);
    assert_eq!(known.clusters.unwrap().target.identity, TARGET);
}

#[test]
fn another_attempt_begins_with_the_clusters_that_the_pair_names_then() {
    let mut world = at(2, StepPhase::Holding);
    world.annotate(ROLLBACK_ANNOTATION, Some("back"));
    world.run_until(Stage::RolledBack);
    rules(&mut world, Side::Target).identity = ANOTHER.into();
    world.target.identity = ANOTHER.into();
    world.edit(&serde_json::json!({"attempt": 2}));
    world.run_until(Stage::Completed);
    assert_eq!(world.status.plan.as_ref().unwrap().clusters.as_ref().unwrap().target.identity, ANOTHER);
}

#[test]
fn what_a_deletion_leaves_over_is_owed_to_the_first_cluster_and_paid_when_that_is_back() {
    let mut world = at(2, StepPhase::Holding);
    world.edit(&serde_json::json!({"rollback": {"objects": "Remove"}}));
    let known = edit(&mut world, Side::Target, Edit::Identity);
    world.delete();
    for _ in 0..200 {
        let owes = world.pass().effects.iter().any(|effect| matches!(effect, Effect::Owe(_)));
        if owes || world.gone {
            break;
        }
        world.advance(SignedDuration::from_secs(30));
    }
    assert!(world.gone, "{:?}", says(&world));
    assert_eq!(world.source.weight("web"), Some(100));
    let owed: Vec<_> = world.debts.weights.iter().filter(|debt| debt.cluster() == Side::Target).collect();
    assert_eq!(owed.iter().map(|debt| debt.identity.as_str()).collect::<Vec<_>>(), [TARGET]);
    assert_eq!(world.debts.objects.iter().map(|debt| debt.identity.as_str()).collect::<Vec<_>>(), [TARGET]);
    let count = world.debts.count();
    world.pay_all();
    assert!(world.debts.count() >= count - 1 && world.debts.weights.iter().any(|debt| debt.identity == TARGET));
    assert_eq!(world.debts.objects.len(), 1, "what another cluster has cancels nothing");
    put_back(&mut world, Side::Target, known);
    world.pay_all();
    assert!(world.debts.is_empty(), "{:?}", world.debts);
    assert!(world.target.ingresses.is_empty());
    assert_eq!(broken_promise(&world.writes), None);
}
