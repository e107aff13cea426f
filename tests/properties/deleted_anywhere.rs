//! The matrix of deletions: in every stage, with either cluster alive, hung or gone, the object goes within its time, users are
//! never lost, and what could not be done is owed and paid.

use jiff::{SignedDuration, Timestamp};
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use serde_json::json;

use crate::controls::{every_stage, standing, weights};
use crate::planted::at;
use crate::recording::broken_promise;
use crate::stages::says;
use crate::world::World;

/// How the API server of a cluster is met.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Met {
    Hung,
    Gone,
}

const METS: [Met; 2] = [Met::Hung, Met::Gone];

fn meet(world: &mut World, side: Side, met: Met) {
    match met {
        Met::Hung => world.side_mut(side).hung = true,
        Met::Gone => world.unreachable(side),
    }
}

fn mend(world: &mut World) {
    for side in [Side::Source, Side::Target] {
        world.side_mut(side).hung = false;
        world.reachable(side);
    }
}

/// The rollback of a failing target that is blocked, because the target does not answer.
fn blocked() -> World {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.unreachable(Side::Target);
    world.pass();
    world.advance(SignedDuration::from_mins(19));
    world.pass();
    assert_eq!(world.status.stage, Stage::RollbackBlocked);
    world
}

fn rolling_back() -> World {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    assert_eq!(world.status.stage, Stage::RollingBack);
    world
}

/// It has ended before its first write.
fn failed() -> World {
    let mut world = standing(Stage::Preflight);
    world.advance(SignedDuration::from_hours(25));
    world.settle();
    assert_eq!(world.status.stage, Stage::Failed);
    world
}

/// Deletes it and lets time pass in half minutes. When it was gone.
fn goes(world: &mut World) -> Timestamp {
    let asked_at = world.now;
    world.delete();
    while !world.gone && world.now < asked_at.checked_add(SignedDuration::from_mins(31)).unwrap() {
        world.pass();
        world.advance(SignedDuration::from_secs(30));
    }
    assert!(world.gone, "it stays: {:?}", says(world));
    world.now
}

/// Everything that is owed is paid when the clusters are back, and users are on the source.
fn ends_on_the_source(world: &mut World, about: &str) {
    assert_ne!(weights(world), (Some(0), Some(0)), "{about}");
    mend(world);
    world.pay_all();
    assert!(world.debts.is_empty(), "{about}: {:?}", world.debts);
    let (source, target) = weights(world);
    assert_eq!((source.unwrap_or(100), target.unwrap_or(0)), (100, 0), "{about}");
    assert_eq!(broken_promise(&world.writes), None, "{about}");
}

#[test]
fn a_blocked_rollback_goes_at_its_deadline_with_a_hung_or_gone_target_which_is_owed_its_0() {
    for met in METS {
        let mut world = blocked();
        mend(&mut world);
        meet(&mut world, Side::Target, met);
        goes(&mut world);
        assert_eq!((weights(&world), world.status.reason.as_str()), ((Some(100), Some(10)), "LeftOver"), "{met:?}");
        assert!(world.debts.weights.iter().any(|left| left.cluster() == Side::Target), "{met:?}");
        ends_on_the_source(&mut world, &format!("{met:?}"));
    }
}

#[test]
fn before_the_first_write_and_after_a_failure_the_target_holds_nobody() {
    let befores = every_stage().into_iter().filter(|(stage, _)| *stage <= Stage::Preflight);
    for (stage, world) in befores.chain([(Stage::Failed, failed())]) {
        for (side, met) in [Side::Source, Side::Target].into_iter().flat_map(|side| METS.map(|met| (side, met))) {
            for policy in ["Rollback", "Freeze", "Orphan"] {
                let mut world = world.clone();
                world.edit(&json!({"deletionPolicy": policy}));
                meet(&mut world, side, met);
                world.pass();
                let asked_at = world.now;
                let about = format!("{stage}, {side} {met:?}, {policy}");
                assert_eq!(goes(&mut world), asked_at, "{about}");
                assert!(world.writes.is_empty() && world.debts.is_empty(), "{about}");
            }
        }
    }
}

#[test]
fn an_object_that_is_held_without_a_status_waits_for_a_dead_target_no_longer_than_its_deadline() {
    for met in METS {
        let mut world =
            at(1, StepPhase::Holding).with_status(namespace_migration::api::NamespaceMigrationStatus::default());
        meet(&mut world, Side::Target, met);
        goes(&mut world);
        ends_on_the_source(&mut world, &format!("{met:?}"));
    }
}

#[test]
fn in_every_stage_a_dead_source_holds_the_object_no_longer_than_its_deadline_and_is_paid() {
    let mut stages = every_stage();
    stages.extend([(Stage::RollingBack, rolling_back()), (Stage::RollbackBlocked, blocked())]);
    for (stage, world) in stages.into_iter().filter(|(stage, _)| *stage > Stage::Preflight) {
        for met in METS {
            let mut world = world.clone();
            world.reachable(Side::Target);
            meet(&mut world, Side::Source, met);
            goes(&mut world);
            let about = format!("{stage}, source {met:?}");
            let at_0 = weights(&world).0 == Some(0);
            assert!(!at_0 || weights(&world).1 == Some(100), "{about}: {:?}", weights(&world));
            let owed = world.debts.weights.iter().any(|left| (left.cluster(), left.weight) == (Side::Source, 100));
            assert!(owed || world.status.stage == Stage::RolledBack, "{about}: {:?}", says(&world));
            ends_on_the_source(&mut world, &about);
        }
    }
}

#[test]
fn in_every_stage_two_dead_clusters_hold_the_object_no_longer_than_its_deadline_and_are_paid() {
    let mut stages = every_stage();
    stages.extend([(Stage::RollingBack, rolling_back()), (Stage::RollbackBlocked, blocked())]);
    for (stage, mut world) in stages.into_iter().filter(|(stage, _)| *stage > Stage::Preflight) {
        meet(&mut world, Side::Source, Met::Hung);
        meet(&mut world, Side::Target, Met::Gone);
        goes(&mut world);
        ends_on_the_source(&mut world, stage.as_str());
    }
}
