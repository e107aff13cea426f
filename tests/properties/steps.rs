//! Steps: what is written when, how long a hold is, and what stops its clock.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use serde_json::json;

use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{Change, broken_promise, texts};
use crate::world::{SETTLE, World};

fn minutes(minutes: i64) -> SignedDuration {
    SignedDuration::from_mins(minutes)
}

/// When the weight of a side was written.
fn written_at(world: &World, wanted_side: Side, weight: i32) -> jiff::Timestamp {
    let is_it = |change: &Change| matches!(change, Change::Weight { side, after, .. } if (*side, *after) == (wanted_side, weight));
    world.writes.iter().find(|write| is_it(&write.change)).unwrap().at
}

#[test]
fn the_source_is_lowered_only_after_the_target_is_served_and_a_step_is_held_after_that() {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    for (weight, next, hold) in [(1, 10, 10), (10, 50, 30), (50, 100, 30)] {
        let raised = written_at(&world, Side::Target, weight);
        let lowered = written_at(&world, Side::Source, 100 - weight);
        let onward = written_at(&world, Side::Target, next);
        assert!(lowered.duration_since(raised) >= SETTLE, "step {weight}: lowered too early");
        assert!(onward.duration_since(lowered) >= SETTLE + minutes(hold), "step {weight}: held too shortly");
    }
    let ended = world.writes.last().unwrap().at;
    assert!(ended.duration_since(written_at(&world, Side::Source, 0)) >= SETTLE + minutes(60) + minutes(24 * 60));
}

#[test]
fn two_ingresses_move_together_and_never_exceed_the_step() {
    let mut world =
        World::with(json!({"traffic": {"steps": [{"weight": 20, "hold": "1m"}, {"weight": 100, "hold": "1m"}]}}));
    world.add_ingress(Side::Source, "api", "api.example");
    world.run_until(Stage::Completed);
    let expected = [
        "source api 100",
        "source web 100",
        "create Ingress api",
        "create Ingress web",
        "target api 20",
        "target web 20",
        "source api 80",
        "source web 80",
        "target api 100",
        "target web 100",
        "source api 0",
        "source web 0",
    ];
    assert_eq!(texts(&world)[..expected.len()], expected);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn an_identifier_that_an_ingress_has_is_kept() {
    let mut world = World::new();
    let facts = world.ingress_mut(Side::Source, "web");
    (facts.identifier, facts.weight_text) = (Some("legacy".into()), Some("255".into()));
    world.run_until(Stage::SmokeTest);
    assert_eq!(world.source.ingresses["web"].identifier.as_deref(), Some("legacy"));
    assert_eq!(world.target.ingresses["web"].identifier.as_deref(), Some("web-shop-green"));
    assert_eq!(world.source.weight("web"), Some(100));
}

/// How long the hold of the first step took, when this happened after four of its ten minutes.
fn held_for(happens: impl Fn(&mut World)) -> SignedDuration {
    let mut world = at(0, StepPhase::Holding);
    let begun = world.now;
    world.advance(minutes(4));
    happens(&mut world);
    world.run_while(|status| status.step_text == "1/4");
    world.now.duration_since(begun)
}

#[test]
fn a_hold_is_as_long_as_asked() {
    assert!(held_for(|_| {}) >= minutes(10));
    assert!(held_for(|_| {}) < minutes(11));
}

#[test]
fn no_verdict_stops_the_clock_of_a_hold() {
    let held = held_for(|world| {
        world.verdicts.insert(Side::Target, Verdict::Inconclusive);
        world.pass();
        world.advance(minutes(90));
        world.pass();
        assert_eq!((world.status.reason.as_str(), world.status.step_text.as_str()), ("HealthUnknown", "1/4"));
        world.verdicts.insert(Side::Target, Verdict::Pass);
    });
    assert!(held >= minutes(100) && held < minutes(101), "{held:?}");
}

#[test]
fn time_that_no_process_watched_does_not_count_as_held() {
    let held = held_for(|world| {
        world.restart();
        world.advance(minutes(30));
    });
    assert!(held >= minutes(40), "{held:?}");
}

#[test]
fn what_a_process_held_counts_after_it_has_ended_in_order() {
    let held = held_for(|world| {
        world.end_in_order();
        world.advance(minutes(5));
    });
    assert!(held >= minutes(15) && held < minutes(16), "{held:?}");
    let mut smoke = World::new();
    smoke.run_until(Stage::SmokeTest);
    let before = smoke.status.clone();
    smoke.end_in_order();
    assert_eq!(smoke.status, before, "a status without a running clock is written");
}

/// The next process sees what it can in passes that it may not get to save.
fn wakes_up(world: &mut World) {
    world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
}

#[test]
fn what_a_process_held_until_its_last_sign_of_life_counts_after_it_died() {
    let held = held_for(|world| {
        let died = world.now;
        world.advance(minutes(5));
        world.crash_with_a_lease(died);
        wakes_up(world);
        world.crash_with_a_lease(died);
    });
    assert!(held >= minutes(15) && held < minutes(16), "{held:?}");
}

#[test]
fn a_sign_of_life_from_before_the_clock_ran_or_by_a_clock_that_is_ahead_counts_for_nothing_more() {
    let early = held_for(|world| {
        let long_ago = world.now - SignedDuration::from_hours(3);
        world.crash_with_a_lease(long_ago);
        world.advance(minutes(5));
    });
    assert!(early >= minutes(15), "{early:?}");
    let ahead = held_for(|world| {
        let later = world.now + SignedDuration::from_hours(3);
        world.pass();
        world.watched_before = Some(later);
    });
    assert!(ahead >= minutes(10) && ahead < minutes(11), "{ahead:?}");
}

#[test]
fn what_was_held_before_a_stop_counts_after_a_restart() {
    let held = held_for(|world| {
        world.verdicts.insert(Side::Target, Verdict::Inconclusive);
        world.pass();
        world.restart();
        world.verdicts.insert(Side::Target, Verdict::Pass);
    });
    assert!(held >= minutes(10) && held < minutes(11), "{held:?}");
}

#[test]
fn a_failing_target_under_hold_and_a_contest_stop_the_clock_too() {
    for fails in [true, false] {
        let held = held_for(|world| {
            world.edit(&json!({"onFailure": "Hold"}));
            if fails {
                world.verdicts.insert(Side::Target, Verdict::Fail);
            } else {
                world.foreign_weight(Side::Target, "web", 0, false);
            }
            world.pass();
            let reason = if fails { "Held" } else { "WeightContested" };
            assert_eq!(world.status.reason, reason);
            world.advance(minutes(50));
            world.verdicts.insert(Side::Target, Verdict::Pass);
            world.obey();
        });
        assert!(held >= minutes(60) && held < minutes(62), "{held:?}");
    }
}

#[test]
fn a_pass_from_before_the_settle_time_ends_no_hold() {
    let mut world =
        World::with(json!({"traffic": {"steps": [{"weight": 10, "hold": "0s"}, {"weight": 100, "hold": "0s"}]}}));
    world.run_until(Stage::ShiftTraffic);
    world.run_while(|status| status.step.as_ref().is_none_or(|step| step.phase != StepPhase::Holding));
    assert_eq!(world.status.step_text, "1/2");
    world.pass();
    assert_eq!(world.status.step_text, "1/2", "no round of probes has ended since the share was served");
    world.advance(SignedDuration::from_secs(10));
    world.pass();
    assert_eq!(world.status.step_text, "2/2");
}

#[test]
fn a_write_whose_status_was_not_saved_is_neither_repeated_nor_lost() {
    let mut world = at(1, StepPhase::Holding);
    world.advance(minutes(40));
    world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
    assert_eq!((world.target.weight("web"), world.status.step_text.as_str()), (Some(50), "2/4"));
    world.pass();
    assert_eq!((world.status.step_text.as_str(), world.status.reason.as_str()), ("3/4", "WaitingForDNS"));
    world.run_until(Stage::Completed);
    assert_eq!(texts(&world).iter().filter(|text| *text == "target web 50").count(), 1);
}
