//! The ceiling: nothing is shifted beyond it, and a lower one brings users back step by step.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use serde_json::json;

use crate::controls::weights;
use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::requests::completed;
use crate::stages::says;
use crate::world::{SETTLE, World};

#[test]
fn a_ceiling_of_zero_prepares_and_tests_and_waits_before_the_first_step() {
    let mut world = World::with(json!({"traffic": {"upTo": 0}}));
    world.run_while(|status| status.reason != "AtCeiling");
    let said = "The next step gives the target 1 percent, and spec.traffic.upTo is 0: it stays at 0 percent, and health is watched.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "AtCeiling", said));
    let fix = "Raise spec.traffic.upTo to 1 or more: kubectl patch migration shop -n shop --type merge -p '{\"spec\":{\"traffic\":{\"upTo\":1}}}'";
    assert_eq!((world.status.unblock.as_str(), world.status.step_text.as_str()), (fix, "0/4"));
    let status = world.status.clone();
    world.advance(SignedDuration::from_hours(500));
    let decision = world.pass();
    assert_eq!((&world.status, decision.wake_at), (&status, None), "it has no deadline");
    let mut sick = world.clone();
    sick.verdicts.insert(Side::Target, Verdict::Fail);
    sick.run_until(Stage::RolledBack);
    world.edit(&json!({"traffic": {"upTo": 100}}));
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_ceiling_between_two_steps_holds_the_one_below_and_a_higher_one_lets_it_go_on_at_once() {
    let mut world = World::with(json!({"traffic": {"upTo": 49}}));
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!((world.status.step_text.as_str(), weights(&world)), ("2/4", (Some(90), Some(10))));
    let said = "The next step gives the target 50 percent, and spec.traffic.upTo is 49: it stays at 10 percent, and health is watched.";
    assert_eq!(world.status.message, said);
    world.edit(&json!({"traffic": {"upTo": 50}}));
    world.pass();
    assert_eq!(world.target.weight("web"), Some(50), "what was held has been held");
}

#[test]
fn a_lower_ceiling_brings_the_traffic_back_down_step_by_step_source_first() {
    let mut world = at(2, StepPhase::Holding);
    let before = world.writes.len();
    world.edit(&json!({"traffic": {"upTo": 1}}));
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!(texts(&world)[before..], ["source web 90", "target web 10", "source web 99", "target web 1"]);
    for pair in world.writes[before..].windows(2) {
        assert!(pair[1].at.duration_since(pair[0].at) >= SETTLE, "it is not seen to be served");
    }
    assert_eq!((world.status.step_text.as_str(), world.status.stage), ("1/4", Stage::ShiftTraffic));
    assert_eq!(broken_promise(&world.writes), None);
    let begun = world.now;
    world.edit(&json!({"traffic": {"upTo": 0}}));
    world.run_while(|status| status.step_text != "0/4");
    assert_eq!(weights(&world), (Some(100), Some(0)));
    world.edit(&json!({"traffic": {"upTo": 100}}));
    world.run_until(Stage::Completed);
    assert!(world.now.duration_since(begun) > SignedDuration::from_hours(24));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn at_the_lower_step_the_hold_begins_anew_when_the_ceiling_is_raised_again() {
    let mut world = at(2, StepPhase::Holding);
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.run_while(|status| status.step.as_ref().is_none_or(|step| step.index != 1));
    let begun = world.now;
    world.edit(&json!({"traffic": {"upTo": 100}}));
    world.run_while(|status| status.step_text == "2/4");
    assert!(world.now.duration_since(begun) >= SignedDuration::from_mins(30));
}

#[test]
fn the_way_down_may_begin_in_every_phase_and_in_the_bake() {
    let phases = [
        StepPhase::RaiseTarget,
        StepPhase::TargetSettling,
        StepPhase::LowerSource,
        StepPhase::SourceSettling,
        StepPhase::Holding,
    ];
    let mut worlds: Vec<_> = [1, 3].into_iter().flat_map(|step| phases.map(|phase| at_phase(step, phase))).collect();
    let mut bake = World::new();
    bake.run_until(Stage::Bake);
    worlds.push(bake);
    for mut world in worlds {
        let (stage, step) = (world.status.stage, world.status.step.clone());
        world.edit(&json!({"traffic": {"upTo": 1}}));
        world.run_while(|status| status.reason != "AtCeiling");
        assert_eq!(weights(&world), (Some(99), Some(1)), "from {stage} {step:?}");
        assert_eq!(world.status.stage, Stage::ShiftTraffic);
        assert_eq!(broken_promise(&world.writes), None, "from {stage} {step:?}");
        let mut back = world.clone();
        back.verdicts.insert(Side::Target, Verdict::Fail);
        back.run_until(Stage::RolledBack);
        world.edit(&json!({"traffic": {"upTo": 100}}));
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None, "from {stage} {step:?}");
    }
}

/// Phases that one pass goes through are met by a write that does not arrive.
fn at_phase(step: i32, phase: StepPhase) -> World {
    match phase {
        StepPhase::RaiseTarget | StepPhase::LowerSource => {
            let before = if phase == StepPhase::RaiseTarget {
                (step - 1, StepPhase::Holding)
            } else {
                (step, StepPhase::TargetSettling)
            };
            let mut world = at(before.0, before.1);
            world.advance(SignedDuration::from_hours(2));
            while world.status.step.as_ref().map(|step| step.phase) != Some(phase) {
                world.pass_with(&Faults { delay: Some(0), ..Faults::default() });
            }
            world
        }
        _ => at(step, phase),
    }
}

#[test]
fn a_raise_that_arrives_after_the_way_down_began_is_refused() {
    let mut world = at_phase(2, StepPhase::RaiseTarget);
    assert_eq!(world.in_flight.len(), 1);
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.run_while(|status| status.reason != "AtCeiling");
    let sent = world.in_flight.remove(0);
    assert!(!world.land(&sent, false), "the target is raised above the ceiling");
}

#[test]
fn a_status_that_was_not_saved_on_the_way_down_is_no_contest() {
    let mut world = at(3, StepPhase::Holding);
    world.edit(&json!({"traffic": {"upTo": 1}}));
    for _ in 0..200 {
        world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
        world.step();
        assert_ne!(world.status.reason, "WeightContested", "{}", world.status.message);
    }
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!(weights(&world), (Some(99), Some(1)));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn nobody_is_moved_back_to_a_source_that_fails() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Source, Verdict::Fail);
    world.edit(&json!({"traffic": {"upTo": 1}}));
    world.settle();
    let said = "spec.traffic.upTo is 1, but the source fails, so that nobody is moved back to it. https shop.example /: it answered 503, expected 200";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "SourceUnhealthy", said));
    assert_eq!(weights(&world), (Some(90), Some(10)));
    world.verdicts.insert(Side::Source, Verdict::Pass);
    world.run_while(|status| status.reason != "AtCeiling");
}

#[test]
fn a_lower_ceiling_brings_users_back_while_a_failing_target_is_held() {
    let mut bake = World::new();
    bake.run_until(Stage::Bake);
    let phases = [StepPhase::TargetSettling, StepPhase::SourceSettling, StepPhase::Holding];
    let shifts = [1, 3].into_iter().flat_map(|step| phases.map(|phase| at_phase(step, phase)));
    for mut world in shifts.chain([bake]) {
        let from = (world.status.stage, world.status.step.clone());
        world.edit(&json!({"onFailure": "Hold"}));
        world.verdicts.insert(Side::Target, Verdict::Fail);
        world.settle();
        assert_eq!(world.status.reason, "Held", "{from:?}");
        assert!(world.status.unblock.contains("or lower spec.traffic.upTo to "), "{}", world.status.unblock);
        let mut both = world.clone();
        for (ceiling, left) in [(1, (Some(99), Some(1))), (0, (Some(100), Some(0)))] {
            world.edit(&json!({"traffic": {"upTo": ceiling}}));
            world.run_while(|status| status.reason != "Held");
            assert_eq!((world.status.stage, weights(&world)), (Stage::ShiftTraffic, left), "{from:?}");
        }
        assert_eq!(broken_promise(&world.writes), None, "{from:?}");
        let before = both.writes.len();
        both.verdicts.insert(Side::Source, Verdict::Fail);
        both.edit(&json!({"traffic": {"upTo": 0}}));
        both.settle();
        assert_eq!((both.status.reason.as_str(), both.writes.len()), ("SourceUnhealthyToo", before), "{from:?}");
    }
}

#[test]
fn nothing_but_a_contest_blocks_the_way_down() {
    type Trouble = fn(&mut World);
    let troubles: [(Trouble, &str); 3] = [
        (|world| world.add_ingress(Side::Source, "late", "late.example"), "UnplannedIngress"),
        (|world| world.edit(&json!({"preflight": {"acknowledge": []}})), "PreflightBlocked"),
        (
            |world| {
                world.add_ingress(Side::Source, "late", "late.example");
                world.edit(&json!({"onFailure": "Hold"}));
                world.verdicts.insert(Side::Target, Verdict::Fail);
            },
            "Held",
        ),
    ];
    for (trouble, reason) in troubles {
        let mut world = at(2, StepPhase::Holding);
        trouble(&mut world);
        world.settle();
        assert_eq!(world.status.reason, reason);
        world.edit(&json!({"traffic": {"upTo": 0}}));
        world.run_while(|status| status.weight > 0 || status.step.is_some());
        assert_eq!(weights(&world), (Some(100), Some(0)), "{reason}");
        world.settle();
        assert_eq!(world.status.reason, reason, "at the ceiling it is told again");
        assert_eq!(broken_promise(&world.writes), None, "{reason}");
    }
    let mut contested = at(2, StepPhase::Holding);
    contested.foreign_weight(Side::Source, "web", 60, false);
    contested.edit(&json!({"traffic": {"upTo": 0}}));
    contested.settle();
    assert_eq!(contested.status.reason, "WeightContested", "{}", contested.status.message);
}

#[test]
fn what_was_taken_over_and_given_back_does_not_block_the_way_down() {
    let mut world = at(2, StepPhase::Holding);
    let given = world.source.weight("web").unwrap();
    world.foreign_weight(Side::Source, "web", given, false);
    world.edit(&json!({"traffic": {"upTo": 0}, "onFailure": "Hold"}));
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_while(|status| status.step.is_some());
    assert_eq!(weights(&world), (Some(100), Some(0)));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_ceiling_after_the_end_changes_nothing_and_says_what_would() {
    let mut world = completed();
    let before = world.writes.len();
    world.edit(&json!({"traffic": {"upTo": 10}}));
    world.settle();
    assert_eq!((world.status.stage, world.writes.len()), (Stage::Completed, before));
    let said = "spec.traffic.upTo is 10, which changes nothing any more. To go back: kubectl annotate migration shop -n shop \
        --overwrite namespacemigration.io/rollback-requested=$(date +%s)";
    assert_eq!(world.status.unblock, said);
}
