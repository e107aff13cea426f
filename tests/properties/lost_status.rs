//! A status that is lost, old or forged: the stamps on the Ingresses say where it stands, and users are never moved by the loss.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::{NamespaceMigrationStatus, PipelineState, StepPhase};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use serde_json::json;

use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::stages::says;
use crate::world::World;

fn lost(world: &World) -> World {
    world.with_status(NamespaceMigrationStatus::default())
}

#[test]
fn status_lost_at_any_moment_of_a_migration_resumes_without_raising_the_target() {
    let mut world = World::new();
    let mut moments = 0;
    while world.status.stage != Stage::Completed {
        let mut resumed = lost(&world);
        let had = world.target.weight("web").unwrap_or(0);
        resumed.settle();
        assert!(resumed.target.weight("web").unwrap_or(0) <= had, "raised at {:?}", says(&world));
        if had > 0 {
            assert!(resumed.status.stage >= Stage::ShiftTraffic, "started over at {:?}", says(&world));
            assert_eq!(resumed.writes.len(), world.writes.len(), "wrote at {:?}", says(&world));
        }
        resumed.run_until(Stage::Completed);
        assert_eq!(broken_promise(&resumed.writes), None);
        moments += 1;
        world.step();
    }
    assert!(moments >= 25, "only {moments} moments");
}

#[test]
fn status_lost_in_a_shift_is_taken_up_once_both_sides_have_been_listed() {
    for (step, phase) in [(1, StepPhase::TargetSettling), (2, StepPhase::Holding)] {
        let world = at(step, phase);
        let mut resumed = lost(&world);
        resumed.target.synced = false;
        resumed.settle();
        assert_eq!((resumed.status.stage, resumed.status.reason.as_str()), (Stage::Pending, "ConnectingToClusters"));
        resumed.target.synced = true;
        resumed.settle();
        assert_eq!((resumed.status.stage, resumed.writes.len()), (Stage::ShiftTraffic, world.writes.len()));
        let running = resumed.status.pipeline.iter().filter(|entry| entry.state == PipelineState::Running);
        assert_eq!(running.map(|entry| entry.name).collect::<Vec<_>>(), [Stage::ShiftTraffic]);
        resumed.run_until(Stage::Completed);
        assert_eq!(broken_promise(&resumed.writes), None);
    }
}

#[test]
fn status_lost_at_any_moment_of_a_rollback_ends_rolled_back() {
    let mut world = at(2, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    while world.status.stage != Stage::RolledBack {
        let mut resumed = lost(&world);
        resumed.run_until(Stage::RolledBack);
        assert_eq!(resumed.target.weight("web"), Some(0));
        assert_eq!(broken_promise(&resumed.writes), None);
        world.step();
    }
}

#[test]
fn ends_are_recognised_with_no_write() {
    let mut completed = World::new();
    completed.run_until(Stage::Completed);
    let mut back = at(1, StepPhase::Holding);
    back.verdicts.insert(Side::Target, Verdict::Fail);
    back.run_until(Stage::RolledBack);
    for (world, stage) in [(completed, Stage::Completed), (back, Stage::RolledBack)] {
        let mut resumed = lost(&world);
        resumed.run_until(stage);
        assert_eq!(resumed.writes.len(), world.writes.len());
        assert_eq!(resumed.status.conditions.len(), world.status.conditions.len());
    }
}

#[test]
fn a_completed_migration_whose_last_stamp_is_missing_is_finished() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    while world.look().effects.is_empty() {
        world.step();
    }
    world.pass_with(&Faults { crash_after: Some(0), ..Faults::default() });
    assert_eq!(texts(&world).last().unwrap(), "target web 100 Completed");
    let mut world = lost(&world);
    world.run_until(Stage::Completed);
    assert_eq!(texts(&world).last().unwrap(), "source web 0 Completed");
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_lost_status_and_a_higher_attempt_do_not_start_over_above_a_running_one() {
    let mut world = lost(&at(3, StepPhase::Holding));
    world.edit(&json!({"attempt": 2}));
    world.pass();
    assert_eq!((world.status.stage, world.status.attempt), (Stage::ShiftTraffic, 1));
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(0), Some(100)));
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    world.settle();
    assert_eq!(world.status.attempt, 1, "it was raised before the way back began");
    world.edit(&json!({"attempt": 3}));
    world.pass();
    assert_eq!((world.status.attempt, world.status.history[0].stage), (3, Stage::RolledBack));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn an_edit_of_the_steps_and_a_lost_status_move_nobody() {
    let mut world = lost(&at(1, StepPhase::Holding));
    world.edit(&json!({"traffic": {"steps": [{"weight": 40, "hold": "5m"}, {"weight": 100, "hold": "5m"}]}}));
    let before = world.writes.len();
    world.settle();
    assert_eq!((world.status.step_text.as_str(), world.status.weight), ("1/3", 10));
    assert_eq!(world.writes.len(), before);
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn with_the_target_away_the_source_says_how_many_users_it_has_given_away() {
    let mut world = lost(&at(1, StepPhase::Holding));
    world.unreachable(Side::Target);
    world.restart();
    world.pass();
    assert_eq!((world.status.stage, world.status.step_text.as_str()), (Stage::ShiftTraffic, "2/4"));
}

#[test]
fn a_forged_status_gives_the_target_no_users() {
    let plan = at(0, StepPhase::Holding).status.plan;
    let forged = |index: i32, phase: &str, stage: &str| {
        let mut status = json!({
            "stage": stage, "attempt": 1, "epoch": 1, "stageStartedAt": "2026-11-21T08:00:00Z",
            "step": {"index": index, "phase": phase, "since": "2026-11-21T08:00:00Z", "heldMillis": 999_999_999},
        });
        status["plan"] = serde_json::to_value(&plan).unwrap();
        serde_json::from_value::<NamespaceMigrationStatus>(status).unwrap()
    };
    let mut published = World::new();
    published.run_until(Stage::SmokeTest);
    let mut unweighted = World::new();
    unweighted.add_ingress(Side::Target, "web", "shop.example");
    for world in [World::new(), unweighted, published] {
        for (index, phase, stage) in [
            (3, "RaiseTarget", "ShiftTraffic"),
            (3, "LowerSource", "ShiftTraffic"),
            (2, "Holding", "ShiftTraffic"),
            (99, "Holding", "ShiftTraffic"),
            (4, "Holding", "Bake"),
        ] {
            let mut world = world.with_status(forged(index, phase, stage));
            for _ in 0..10 {
                world.pass();
                world.advance(SignedDuration::from_mins(10));
            }
            let given = world.target.weight("web").unwrap_or(0);
            assert_eq!(given, 0, "{stage} {index} {phase}: {:?} {:?}", says(&world), texts(&world));
            assert_ne!(world.status.stage, Stage::Completed);
            assert_eq!(broken_promise(&world.writes), None);
        }
    }
}

#[test]
fn a_status_without_a_plan_counts_as_lost() {
    let mut world = at(1, StepPhase::Holding);
    world.status.plan = None;
    let before = world.writes.len();
    world.settle();
    assert_eq!((world.status.stage, world.status.step_text.as_str()), (Stage::ShiftTraffic, "2/4"));
    assert_eq!(world.writes.len(), before);
}

#[test]
fn completed_stamps_on_a_source_that_has_users_again_do_not_make_it_completed() {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    // Somebody sends the users back by hand, and deletes the migration to begin anew.
    world.foreign_weight(Side::Source, "web", 100, false);
    world.foreign_weight(Side::Target, "web", 0, false);
    let mut again = lost(&world);
    again.settle();
    assert_eq!(again.status.stage, Stage::WeightSource, "{}", again.status.message);
    again.run_until(Stage::Completed);
    assert_eq!((again.source.weight("web"), again.target.weight("web")), (Some(0), Some(100)));
}
