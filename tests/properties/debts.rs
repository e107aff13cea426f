//! Deleting it in every stage, with the target alive, hung and gone: the source is written at once, the object goes in time, and
//! what is left behind is named, owed and paid when the target returns.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::SecretFacts;
use namespace_migration::machine::stamp::{Direction, Stamp};
use serde_json::json;

use crate::controls::{every_stage, weights};
use crate::planted::at;
use crate::recording::broken_promise;
use crate::stages::says;
use crate::world::World;

const OURS: &str = "11111111-1111-4111-8111-111111111111/shop/shop";

/// What has become of the target.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fate {
    Alive,
    /// It is thought to answer, and no call to it ever ends well.
    Hung,
    /// It does not answer, and who would know what it had has been restarted.
    Gone,
}

fn meet(world: &mut World, fate: Fate) {
    match fate {
        Fate::Alive => {}
        Fate::Hung => world.target.hung = true,
        Fate::Gone => {
            world.unreachable(Side::Target);
            world.restart();
        }
    }
}

fn bring_back(world: &mut World) {
    world.target.hung = false;
    world.reachable(Side::Target);
}

/// A world in which an Ingress and a Secret were made on the target.
fn with_secret(stage: Stage) -> World {
    let mut world = World::with(json!({"secrets": {"include": ["db"]}}));
    world.source.secrets.insert("db".into(), SecretFacts { kind: "Opaque".into(), ..SecretFacts::default() });
    world.run_until(stage);
    world.step();
    assert!(world.target.secrets.contains_key("db"), "{stage}");
    world
}

fn rolling_back() -> World {
    let mut world = at(2, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    world
}

/// Everything that can be deleted in mid-way.
fn worlds() -> Vec<(String, World)> {
    let stages = every_stage().into_iter().map(|(stage, world)| (stage.to_string(), world));
    let secrets = [Stage::PublishTarget, Stage::ShiftTraffic, Stage::Bake];
    let secrets = secrets.map(|stage| (format!("{stage} with a Secret"), with_secret(stage)));
    stages.chain(secrets).chain([("RollingBack".to_owned(), rolling_back())]).collect()
}

struct Case {
    about: String,
    world: World,
    fate: Fate,
    removes: bool,
}

fn cases(policy: &str) -> Vec<Case> {
    let mut cases = vec![];
    for (stage, from) in worlds() {
        for fate in [Fate::Alive, Fate::Hung, Fate::Gone] {
            for removes in [false, true] {
                let objects = if removes { "Remove" } else { "Keep" };
                let mut world = from.clone();
                world.edit(&json!({"deletionPolicy": policy, "rollback": {"objects": objects}}));
                let about = format!("{stage}, {fate:?}, {objects}");
                cases.push(Case { about, world, fate, removes });
            }
        }
    }
    cases
}

/// Passes and time, until the object is gone: within its deadline, which is twice the allowance once users are back.
fn until_gone(case: &mut Case) {
    let (world, about) = (&mut case.world, &case.about);
    let begun = world.now;
    for _ in 0..200 {
        if world.gone {
            let took = world.now.duration_since(begun);
            let allowed =
                world.order.deletion.allowance + world.order.deletion.allowance + SignedDuration::from_secs(10);
            assert!(took <= allowed, "{about}: it took {took}");
            return;
        }
        world.step();
    }
    panic!("{about}: it stays: {:?}", says(world));
}

fn made_on_target(world: &World) -> Vec<String> {
    let ours = Some(world.order.owner_label());
    let ingresses = world.target.ingresses.iter().filter(|(_, facts)| facts.created_by == ours);
    let secrets = world.target.secrets.iter().filter(|(_, facts)| facts.created_by == ours);
    let ingresses = ingresses.map(|(name, _)| format!("Ingress {name}"));
    ingresses.chain(secrets.map(|(name, _)| format!("Secret {name}"))).collect()
}

fn target_serves(world: &World) -> bool {
    world.target.weight("web").is_some_and(|weight| weight > 0)
}

/// Deleted with Rollback under a target of this fate, until it is gone.
fn rolled_back_and_gone(case: &mut Case) {
    meet(&mut case.world, case.fate);
    let begun = case.world.order.deletion.held;
    case.world.delete();
    case.world.pass();
    if begun {
        assert_eq!(case.world.source.weight("web"), Some(100), "{}: not at once", case.about);
    }
    until_gone(case);
}

#[test]
fn a_rollback_by_deletion_writes_the_source_at_once_and_pays_what_it_could_not_do() {
    let mut owed = (0, 0);
    for mut case in cases("Rollback") {
        rolled_back_and_gone(&mut case);
        let Case { about, mut world, fate, removes } = case;
        let made = made_on_target(&world);
        if fate == Fate::Alive {
            assert!(world.debts.is_empty(), "{about}: {:?}", world.debts);
        }
        if target_serves(&world) {
            let debt = world.debts.weights.iter().find(|debt| debt.cluster() == Side::Target);
            assert_eq!(debt.map(|debt| debt.weight), Some(0), "{about}: it is forgotten");
        }
        let objects: Vec<_> = world.debts.objects.iter().map(|debt| format!("{} {}", debt.kind, debt.name)).collect();
        for name in &made {
            assert_eq!(objects.contains(name), removes, "{about}: {name}, owed are {objects:?}");
            assert_eq!(world.status.message.contains(name), removes, "{about}: {}", world.status.message);
        }
        owed = (owed.0 + world.debts.weights.len(), owed.1 + world.debts.objects.len());
        world.pay_all();
        assert_eq!(made_on_target(&world), made, "{about}: it is not back");
        bring_back(&mut world);
        world.pay_all();
        assert!(world.debts.is_empty(), "{about}: {:?}", world.debts);
        assert!(!target_serves(&world), "{about}: {:?}", weights(&world));
        let left = if removes { vec![] } else { made };
        assert_eq!(made_on_target(&world), left, "{about}");
        assert_eq!(broken_promise(&world.writes), None, "{about}");
    }
    assert!(owed.0 > 20 && owed.1 > 10, "it tells nothing: {owed:?}");
}

#[test]
fn freeze_and_orphan_leave_everything_and_owe_nothing() {
    for policy in ["Freeze", "Orphan"] {
        for mut case in cases(policy) {
            if case.about.starts_with("RollingBack") {
                // What health began is ended.
                continue;
            }
            let (before, made) = (weights(&case.world), made_on_target(&case.world));
            meet(&mut case.world, case.fate);
            case.world.delete();
            until_gone(&mut case);
            let Case { about, mut world, fate, .. } = case;
            let fenced = world.target.ingresses.get("web").is_none_or(|facts| {
                let is_new = |stamp: &Stamp| world.status.frozen_epoch.is_none_or(|epoch| stamp.epoch >= epoch);
                facts.stamp.as_ref().is_none_or(is_new)
            });
            if policy == "Freeze" && !fenced {
                assert!(fate != Fate::Alive, "{about}");
                let said = "Without the new stamp: Ingress web on the target";
                assert!(world.status.message.contains(said), "{about}: {}", world.status.message);
                assert_eq!(world.status.reason, "LeftOver", "{about}");
            }
            bring_back(&mut world);
            world.pay_all();
            assert!(world.debts.is_empty(), "{about}");
            assert_eq!((weights(&world), made_on_target(&world)), (before, made), "{about}");
            assert_eq!(broken_promise(&world.writes), None, "{about}");
        }
    }
}

/// A dead target at 10 percent with an Ingress and a Secret that are to go, at the deadline.
fn owing() -> World {
    let mut world = with_secret(Stage::ShiftTraffic);
    world.run_while(|status| status.weight < 10);
    world.edit(&json!({"rollback": {"objects": "Remove"}}));
    let mut case = Case { about: "owing".into(), world, fate: Fate::Gone, removes: true };
    rolled_back_and_gone(&mut case);
    let names: Vec<_> = case.world.debts.objects.iter().map(|debt| debt.name.as_str()).collect();
    assert_eq!(names, ["web", "db"], "newest first");
    bring_back(&mut case.world);
    case.world
}

#[test]
fn what_is_left_over_is_told_in_words() {
    let world = owing();
    let said = "The rollback was not over within 15m. 2 weights that are still to be written go to status.leftovers of \
                ClusterPair old-to-new; they are written when the cluster is back. To status.leftoverObjects of ClusterPair old-to-new \
                goes what is still to be removed from the target: Ingress web, Secret db. Why: The migration was deleted in \
                ShiftTraffic, and spec.deletionPolicy is Rollback.";
    assert_eq!(world.status.message, said);
    // The source's last stamp is there already when the target is only hung.
    let mut one = Case { about: "one".into(), world: at(1, StepPhase::Holding), fate: Fate::Hung, removes: false };
    rolled_back_and_gone(&mut one);
    let said = one.world.status.message;
    assert!(
        said.contains(" weight that is still to be written goes to ") || one.world.debts.weights.len() > 1,
        "{said}"
    );
}

#[test]
fn an_object_waits_for_its_weight_and_for_dns() {
    let mut world = owing();
    world.pay();
    assert_eq!((world.debts.weights.len(), world.debts.objects.len()), (0, 2));
    assert_eq!(weights(&world), (Some(100), Some(0)));
    world.advance(SignedDuration::from_secs(179));
    world.pay();
    assert_eq!(world.debts.objects.len(), 2, "DNS may still send users there");
    world.advance(SignedDuration::from_secs(1));
    world.pay();
    assert!(world.debts.is_empty() && made_on_target(&world).is_empty(), "{:?}", world.debts);
}

#[test]
fn a_debt_is_never_paid_against_a_newer_stamp() {
    let newer =
        |owner: &str, epoch: i64| Stamp { owner: owner.into(), attempt: 2, epoch, direction: Direction::Forward };
    for side in [Side::Source, Side::Target] {
        for stamp in [newer(OURS, 99), newer("home/shop/another", 1)] {
            let mut world = owing();
            world.ingress_mut(side, "web").stamp = Some(stamp.clone());
            let (before, made) = (weights(&world), made_on_target(&world));
            world.pay_all();
            assert!(world.debts.is_empty(), "{side} {stamp:?}: {:?}", world.debts);
            let after = weights(&world);
            assert_eq!((after.1, made_on_target(&world)), (before.1, made), "{side} {stamp:?}");
        }
    }
}

#[test]
fn an_object_of_another_uid_is_left_alone() {
    let mut world = owing();
    world.target.secrets.get_mut("db").unwrap().uid = "another".into();
    world.ingress_mut(Side::Target, "web").uid = "another".into();
    world.pay_all();
    assert!(world.debts.is_empty());
    assert_eq!(made_on_target(&world), ["Ingress web", "Secret db"]);
}

#[test]
fn an_object_that_serves_again_by_then_is_left_alone() {
    let mut world = owing();
    world.pay();
    world.foreign_weight(Side::Target, "web", 30, false);
    world.pay_all();
    assert!(world.debts.is_empty());
    assert_eq!(made_on_target(&world), ["Ingress web", "Secret db"]);
}
