//! Edits of the spec in mid-flight: what is taken up when, and what is refused with which words.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::run::seconds;
use serde_json::{Value, json};

use crate::controls::{every_stage, standing};
use crate::executor::Faults;
use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::world::World;

fn steps(weights: &[i32], hold: &str) -> Value {
    let steps: Vec<_> = weights.iter().map(|weight| json!({"weight": weight, "hold": hold})).collect();
    json!({"traffic": {"steps": steps}})
}

fn planned(world: &World) -> Vec<i32> {
    world.status.plan.as_ref().unwrap().steps.iter().map(|step| step.weight).collect()
}

fn hash(world: &World) -> String {
    world.status.plan.as_ref().unwrap().hash.clone()
}

fn deferred(world: &World) -> Vec<(&str, &str)> {
    world.status.deferred_edits.iter().map(|edit| (edit.field.as_str(), edit.message.as_str())).collect()
}

#[test]
fn before_the_first_step_new_steps_are_planned_at_once_with_another_hash() {
    for (stage, mut world) in every_stage() {
        if !(Stage::WeightSource..Stage::ShiftTraffic).contains(&stage) {
            continue;
        }
        let before = hash(&world);
        assert_eq!(before.len(), 32);
        world.edit(&steps(&[25, 100], "1m"));
        world.settle();
        assert_eq!(planned(&world), [25, 100], "{stage}");
        assert_ne!(hash(&world), before);
        assert_eq!(deferred(&world), []);
    }
}

#[test]
fn a_step_under_way_is_finished_as_planned_and_the_next_one_is_the_first_new_one_above_it() {
    for phase in [StepPhase::TargetSettling, StepPhase::SourceSettling, StepPhase::Holding] {
        let mut world = at(1, phase);
        world.edit(&steps(&[5, 30, 60, 100], "1m"));
        world.pass();
        let when = if phase == StepPhase::Holding { "its hold is over" } else { "it has been held" };
        let said = format!("spec.traffic.steps was changed while a step is under way: it takes effect when {when}.");
        assert_eq!(deferred(&world), [("spec.traffic.steps", said.as_str())]);
        assert_eq!(planned(&world), [1, 10, 50, 100]);
        let begun = world.now;
        world.run_while(|status| status.step_text != "3/5");
        assert!(world.now.duration_since(begun) >= SignedDuration::from_mins(30), "the hold was cut");
        assert_eq!((planned(&world), deferred(&world)), (vec![1, 10, 30, 60, 100], vec![]));
        world.run_until(Stage::Completed);
        let raised: Vec<_> =
            texts(&world).into_iter().filter(|text| text.starts_with("target") && !text.contains('C')).collect();
        assert_eq!(raised, ["target web 1", "target web 10", "target web 30", "target web 60", "target web 100"]);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn new_steps_that_are_all_below_the_share_but_the_last_go_on_to_the_last() {
    let mut world = at(2, StepPhase::Holding);
    world.edit(&steps(&[5, 20, 100], "1m"));
    world.run_until(Stage::Completed);
    assert_eq!(planned(&world), [1, 10, 50, 100]);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn the_way_down_follows_the_new_steps() {
    let mut world = at(2, StepPhase::Holding);
    let before = world.writes.len();
    world.edit(&json!({"traffic": {
        "steps": [{"weight": 20}, {"weight": 40}, {"weight": 100}], "upTo": 20,
    }}));
    world.run_while(|status| status.reason != "AtCeiling");
    assert_eq!(texts(&world)[before..], ["source web 60", "target web 40", "source web 80", "target web 20"]);
    assert_eq!((planned(&world), world.status.step_text.as_str()), (vec![20, 40, 100], "1/3"));
    assert_eq!(broken_promise(&world.writes), None);
    world.edit(&json!({"traffic": {"steps": [{"weight": 20}, {"weight": 40}, {"weight": 100}], "upTo": 100}}));
    world.run_until(Stage::Completed);
    assert_eq!(planned(&world), [20, 40, 100]);
}

#[test]
fn a_plan_is_saved_before_anything_is_done_by_it() {
    let mut world = at(1, StepPhase::Holding);
    world.edit(&steps(&[10, 30, 100], "1m"));
    world.advance(SignedDuration::from_hours(1));
    for _ in 0..50 {
        world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
        world.step();
        assert_ne!(world.status.reason, "WeightContested", "{}", world.status.message);
    }
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_bake_is_as_long_as_the_spec_says_last() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    let begun = world.now;
    world.edit(&json!({"bake": {"for": "1h"}}));
    world.run_until(Stage::Completed);
    let baked = world.now.duration_since(begun);
    assert!(baked >= SignedDuration::from_hours(1) && baked < SignedDuration::from_hours(2), "{baked:?}");
}

#[test]
fn what_the_plan_has_fixed_is_refused_with_what_to_do() {
    let mut world = at(1, StepPhase::Holding);
    world.edit(&json!({"attempt": 2, "secrets": {"include": ["late"]}, "ingresses": {"exclude": ["web"]}}));
    let told = world.look().events.iter().filter(|event| event.warning).count();
    assert_eq!(told, 3);
    world.pass();
    let cure = "was changed after the plan was agreed: it takes effect with the next attempt. Undo the edit; or request a rollback, \
        and set spec.attempt to 3 when it has ended.";
    let attempt = "spec.attempt was raised to 2 while attempt 1 runs, which begins nothing by itself. To try again: request a \
        rollback, and then set it to 3.";
    let (exclude, secrets) = (format!("spec.ingresses.exclude {cure}"), format!("spec.secrets {cure}"));
    let expected =
        [("spec.attempt", attempt), ("spec.ingresses.exclude", exclude.as_str()), ("spec.secrets", secrets.as_str())];
    assert_eq!(deferred(&world), expected);
    assert_eq!(world.look().events, [], "it is told once");
    world.edit(&json!({"secrets": {"include": []}, "ingresses": {"exclude": []}}));
    world.pass();
    assert_eq!(deferred(&world), [("spec.attempt", attempt)]);
    assert_eq!(world.side(Side::Target).weight("web"), Some(10));
}

#[test]
fn an_ingress_that_has_come_since_may_be_left_out_at_any_time() {
    let mut world = at(1, StepPhase::Holding);
    world.add_ingress(Side::Source, "late", "late.example");
    world.pass();
    assert_eq!(world.status.reason, "UnplannedIngress");
    world.edit(&json!({"ingresses": {"exclude": ["late", "web"]}}));
    world.pass();
    assert_eq!((world.status.reason.as_str(), deferred(&world)[0].0), ("HoldingStep", "spec.ingresses.exclude"));
    world.edit(&json!({"ingresses": {"exclude": ["late"]}}));
    world.run_until(Stage::Completed);
}

#[test]
fn the_hold_of_the_step_under_way_stays_and_status_says_so() {
    let mut world = at(1, StepPhase::Holding);
    let held = world.status.plan.as_ref().unwrap().steps[1].hold.clone();
    let step = |weight: i32, hold: &str| json!({"weight": weight, "hold": hold});
    let steps = [step(1, "10m"), step(10, "1m"), step(50, "30m"), step(100, "1h")];
    world.edit(&json!({"traffic": {"steps": steps}}));
    world.pass();
    let said = format!(
        "spec.traffic.steps gives 10 percent a hold of 1m, but that step is under way: it is held for {held}, as when it began."
    );
    assert_eq!(deferred(&world), [("spec.traffic.steps", said.as_str())]);
}

#[test]
fn a_new_step_in_the_bake_is_told_to_come_too_late() {
    let mut world = World::new();
    world.run_until(Stage::Bake);
    world.edit(&steps(&[1, 10, 50, 60, 100], "1m"));
    world.pass();
    let said = "spec.traffic.steps has a new step, 60 percent, but every step of the plan has been held: it counts when \
                spec.traffic.upTo is lowered, or in the next attempt.";
    assert_eq!(deferred(&world), [("spec.traffic.steps", said)]);
}

#[test]
fn a_raised_attempt_is_told_to_wait_in_every_stage_that_has_not_ended() {
    for (stage, mut world) in every_stage() {
        world.edit(&json!({"attempt": 2}));
        world.pass();
        let told = deferred(&world);
        let [(field, message)] = told[..] else { panic!("{stage}: {told:?}") };
        assert!(
            field == "spec.attempt" && message.ends_with("To try again: request a rollback, and then set it to 3."),
            "{stage}: {message}"
        );
    }
}

fn notes(world: &World) -> Vec<String> {
    world.look().events.into_iter().map(|event| event.note).collect()
}

fn edit_of(world: &World, field: &str) -> (String, String, String, String) {
    let found = world.status.edits.iter().find(|edit| edit.field == field).unwrap();
    (found.from.clone(), found.to.clone(), found.by.clone(), found.at.0.to_string())
}

#[test]
fn an_edit_that_is_in_force_at_once_is_told_once_with_who_made_it_and_when() {
    let check = json!([{"name": "login", "http": {"path": "/login"}}]);
    let cases = [
        (json!({"traffic": {"upTo": 10}}), "spec.traffic.upTo", "100", "10"),
        (json!({"onFailure": "Hold"}), "spec.onFailure", "Rollback", "Hold"),
        (json!({"deletionPolicy": "Freeze"}), "spec.deletionPolicy", "Rollback", "Freeze"),
        (json!({"attempt": 2}), "spec.attempt", "1", "2"),
        (json!({"checks": check}), "spec.checks", "none", "login (0c92375e)"),
    ];
    for (fields, field, from, to) in cases {
        for (stage, mut world) in every_stage() {
            world.edit_as("on-call", &fields);
            let at = seconds(world.now).0.to_string();
            let said = format!("{field} was changed from {from} to {to} by on-call at {at}.");
            assert_eq!(notes(&world).iter().filter(|note| **note == said).count(), 1, "{stage}: {:?}", notes(&world));
            world.pass();
            assert_eq!(edit_of(&world, field), (from.into(), to.into(), "on-call".into(), at), "{stage}");
            assert!(!notes(&world).contains(&said), "{stage}: it is told again");
        }
    }
}

#[test]
fn an_edit_whose_author_is_not_known_says_so_and_a_later_one_takes_its_place() {
    let mut world = at(1, StepPhase::Holding);
    world.edit(&json!({"traffic": {"upTo": 10}}));
    assert_eq!(
        notes(&world),
        [format!(
            "spec.traffic.upTo was changed from 100 to 10 by an unknown field manager at {}.",
            seconds(world.now).0
        )]
    );
    world.pass();
    world.advance(SignedDuration::from_mins(1));
    world.edit_as("argocd", &json!({"traffic": {"upTo": 50}}));
    world.pass();
    let (from, to, by, _) = edit_of(&world, "spec.traffic.upTo");
    assert_eq!((from.as_str(), to.as_str(), by.as_str(), world.status.edits.len()), ("10", "50", "argocd", 1));
}

#[test]
fn what_a_new_process_or_a_lost_status_sees_for_the_first_time_is_no_edit() {
    let mut world = at(1, StepPhase::Holding);
    world.edit_as("on-call", &json!({"traffic": {"upTo": 10}}));
    world.status.asked_for = None;
    assert_eq!(notes(&world), Vec::<String>::new());
    world.pass();
    assert!(world.status.edits.is_empty() && world.status.asked_for.as_ref().unwrap().up_to == 10);
}

#[test]
fn edits_are_remembered_from_one_attempt_to_the_next() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    world.edit_as("on-call", &json!({"attempt": 2}));
    world.pass();
    assert_eq!((world.status.attempt, edit_of(&world, "spec.attempt").2.as_str()), (2, "on-call"));
}

#[test]
fn steps_and_bake_that_are_taken_up_name_who_wrote_them() {
    let mut world = standing(Stage::DeployWorkloads);
    world.edit_as("argocd", &json!({"traffic": {"steps": [{"weight": 25, "hold": "1m"}, {"weight": 100, "hold": "1m"}]}, "bake": {"for": "1h"}}));
    let at = seconds(world.now).0;
    world.pass();
    let planned = world.status.plan.clone().unwrap();
    let (from, to, by, when) = edit_of(&world, "spec.traffic.steps");
    assert_eq!((to.as_str(), by.as_str(), when), ("25 % for 1m, 100 % for 1m", "argocd", at.to_string()));
    assert_eq!(from, "1 % for 10m, 10 % for 30m, 50 % for 30m, 100 % for 1h");
    assert_eq!(edit_of(&world, "spec.bake").1, "1h");
    let mut before = standing(Stage::DeployWorkloads);
    before.edit_as("argocd", &json!({"traffic": {"steps": [{"weight": 25, "hold": "1m"}, {"weight": 100, "hold": "1m"}]}, "bake": {"for": "1h"}}));
    let at = seconds(before.now).0;
    let said = format!(
        "The plan follows the spec (argocd at {at}): steps 25 % for 1m, 100 % for 1m; bake 1h; hash {}.",
        planned.hash
    );
    assert!(notes(&before).contains(&said), "{:?}", notes(&before));
}

#[test]
fn an_edit_that_has_to_wait_names_who_made_it_and_when() {
    let mut world = at(1, StepPhase::Holding);
    world.edit_as(
        "argocd",
        &json!({"attempt": 2, "secrets": {"include": ["late"]}, "ingresses": {"exclude": ["web"]},
            "traffic": {"steps": [{"weight": 10, "hold": "1m"}, {"weight": 100, "hold": "1m"}]}}),
    );
    world.pass();
    let at = seconds(world.now);
    for edit in &world.status.deferred_edits {
        assert!(edit.message.contains(" (argocd)") && edit.at.as_ref() == Some(&at), "{edit:?}");
    }
    assert_eq!(deferred(&world).len(), 4);
    // The same author edits something else a minute later: that is no news of these.
    world.advance(SignedDuration::from_mins(1));
    world.edit_as("argocd", &json!({"onFailure": "Hold"}));
    assert!(world.look().events.iter().all(|event| !event.warning), "{:?}", notes(&world));
    world.pass();
    assert!(world.status.deferred_edits.iter().all(|edit| edit.at.as_ref() == Some(&at)));
}

#[test]
fn a_ceiling_says_who_has_set_it_where_it_holds_and_where_it_brings_users_back() {
    let mut world = at(2, StepPhase::Holding);
    world.edit_as("on-call", &json!({"traffic": {"upTo": 10}}));
    let by = format!("spec.traffic.upTo is 10 (on-call at {})", seconds(world.now).0);
    let mut told = vec![];
    while world.status.reason != "AtCeiling" {
        told.extend(notes(&world));
        world.step();
    }
    let down = format!("Step 2/4: the target goes back to 10 percent, because {by}.");
    assert!(told.contains(&down), "{told:?}");
    let said = "spec.traffic.upTo is 10 (on-call): it stays at 10 percent";
    assert!(world.status.message.contains(said), "{}", world.status.message);
}

#[test]
fn a_deletion_says_who_has_chosen_what_becomes_of_the_weights() {
    for policy in ["Freeze", "Orphan"] {
        let mut world = at(1, StepPhase::Holding);
        world.edit_as("on-call", &json!({"deletionPolicy": policy}));
        let by = format!("spec.deletionPolicy {policy} asks (on-call)");
        world.delete();
        let mut told = vec![];
        while !world.gone {
            told.extend(notes(&world));
            world.step();
        }
        assert!(told.iter().any(|note| note.contains(&by)), "{policy}: {told:?}");
    }
}
