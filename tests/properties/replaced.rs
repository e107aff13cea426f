//! A foreign weight that stays unchanged is replaced once, receiver first (rule 8). What comes back is a person's to decide.

use jiff::SignedDuration;
use namespace_migration::api::foreign::ForeignState;
use namespace_migration::api::status::StepPhase;
use namespace_migration::api::{RETRY_ANNOTATION, Stage};
use namespace_migration::machine::{Reason, Side};
use serde_json::json;

use crate::controls::{pause, resume};
use crate::planted::{at, stands};
use crate::recording::{broken_promise, texts};
use crate::world::{SETTLE, World};

const PHASES: [StepPhase; 3] = [StepPhase::TargetSettling, StepPhase::SourceSettling, StepPhase::Holding];
const SIDES: [Side; 2] = [Side::Source, Side::Target];

/// Without and with a DNS that is looked at.
fn worlds() -> [World; 2] {
    [World::new(), World::with_dns()]
}

/// A CI run that is over: source 100 and target 0, as in its manifests.
fn ci_run(world: &mut World) {
    world.foreign_weight(Side::Source, "web", 100, false);
    world.foreign_weight(Side::Target, "web", 0, false);
}

fn is_stalled(world: &World) -> bool {
    world.status.conditions.iter().any(|condition| condition.type_ == "Stalled" && condition.status == "True")
}

fn contested(world: &World) -> &str {
    &world.status.conditions.iter().find(|condition| condition.type_ == "WeightContested").unwrap().status
}

/// Passes and seconds; after each, somebody acts.
fn seconds(world: &mut World, count: usize, mut act: impl FnMut(&mut World)) {
    for _ in 0..count {
        world.pass();
        world.advance(SignedDuration::from_secs(1));
        act(world);
    }
}

/// Every event of this reason until the stage is reached, or the end of patience.
fn events_until(world: &mut World, stage: Stage, reason: Reason) -> usize {
    let mut count = 0;
    for _ in 0..2000 {
        count += world.look().events.iter().filter(|event| event.reason == reason).count();
        world.step();
        if world.status.stage == stage {
            return count;
        }
    }
    panic!("it never comes to {stage}: {} {}", world.status.reason, world.status.message);
}

#[test]
fn a_ci_run_that_reapplies_100_and_0_in_mid_shift_is_replaced_once_and_the_move_goes_on() {
    for world in worlds() {
        for (index, phase) in (0..3).flat_map(|index| PHASES.map(|phase| (index, phase))) {
            let mut world = stands(world.clone(), index, phase);
            ci_run(&mut world);
            // Before the source has given anything its 100 is what is expected.
            let sides = if (index, phase) == (0, StepPhase::TargetSettling) { 1 } else { 2 };
            let told = events_until(&mut world, Stage::Completed, Reason::ReplacingWeight);
            assert_eq!(told, sides, "step {index}, {phase:?}");
            assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(0), Some(100)));
            assert_eq!(broken_promise(&world.writes), None);
        }
    }
}

#[test]
fn the_receiver_is_replaced_and_seen_served_before_the_giver() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    ci_run(&mut world);
    let (before, began) = (world.writes.len(), world.now);
    world.run_while(|status| status.reason != "HoldingStep");
    assert_eq!(texts(&world)[before..], ["target web 10", "source web 90"]);
    assert!(world.writes[before].at >= began.checked_add(SETTLE).unwrap(), "it was not given the settle time");
    assert!(world.writes[before + 1].receiver_served, "the source gave before the target was served");
    assert_eq!((contested(&world), world.status.step_text.as_str()), ("False", "2/4"));
    assert!(world.status.foreign_weights.iter().all(|weight| weight.state == ForeignState::Replaced));
}

#[test]
fn a_contest_has_its_time_then_is_replaced_and_each_is_told_once() {
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight(Side::Target, "web", 5, false);
    let warned = events_until(&mut world, Stage::Bake, Reason::WeightContested);
    assert_eq!(warned, 1, "people hear of it once");
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight(Side::Target, "web", 5, false);
    world.pass();
    let said = "The weight of Ingress web on the target was changed to 5 by helm; 10 is expected. If it then stays unchanged for 3m, it is replaced once.";
    assert_eq!((world.status.message.as_str(), is_stalled(&world), contested(&world)), (said, false, "True"));
    world.advance(SETTLE);
    // What was sent before must fail first: the source keeps its weight under a new stamp.
    let before = world.writes.len();
    world.pass();
    assert_eq!((&texts(&world)[before..], world.target.weight("web")), (&["source web 90".to_owned()][..], Some(5)));
    world.pass();
    assert_eq!((world.target.weight("web"), contested(&world)), (Some(10), "True"));
    world.pass();
    assert_eq!(contested(&world), "False");
}

#[test]
fn a_weight_that_goes_on_changing_is_not_replaced() {
    let mut world = at(1, StepPhase::Holding);
    let before = world.writes.len();
    for weight in [5, 6, 5, 7, 5, 8, 5] {
        world.foreign_weight(Side::Target, "web", weight, false);
        world.pass();
        world.advance(SignedDuration::from_secs(170));
    }
    assert!(world.writes[before..].iter().all(|write| !write.ours), "{:?}", texts(&world));
}

#[test]
fn a_loop_that_writes_every_second_is_answered_once_and_then_a_person_must_decide() {
    for (start, side, weight) in worlds().into_iter().flat_map(|world| {
        [(world.clone(), Side::Target, 0), (world.clone(), Side::Target, 5), (world, Side::Source, 100)]
    }) {
        let mut world = stands(start, 1, StepPhase::Holding);
        let before = world.writes.len();
        let revert = |world: &mut World| {
            if world.side(side).weight("web") != Some(weight) {
                world.foreign_weight(side, "web", weight, false);
            }
        };
        seconds(&mut world, 600, revert);
        let answered =
            world.writes[before..].iter().filter(|write| write.text().starts_with(&format!("{side} "))).count();
        assert_eq!(answered, 1, "{:?}", &texts(&world)[before..]);
        assert!(is_stalled(&world));
        let status = &world.status;
        assert!(status.message.contains("by helm") && status.message.contains("came back"), "{}", status.message);
        assert!(status.unblock.contains(RETRY_ANNOTATION), "{}", status.unblock);
        // The loop stops and a person gives the Ingress back.
        world.obey();
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn a_second_ci_run_is_for_a_person_who_may_have_it_replaced_once_more() {
    let asks: [fn(&mut World); 2] = [
        |world| world.annotate(RETRY_ANNOTATION, Some("again")),
        |world| {
            pause(world);
            world.settle();
            resume(world);
        },
    ];
    for (ask, start) in asks.into_iter().flat_map(|ask| worlds().map(|world| (ask, world))) {
        let mut world = stands(start, 1, StepPhase::Holding);
        ci_run(&mut world);
        world.run_while(|status| status.reason != "HoldingStep");
        ci_run(&mut world);
        let before = world.writes.len();
        seconds(&mut world, 1000, |_| ());
        assert!(is_stalled(&world), "{}", world.status.message);
        assert!(world.writes[before..].iter().all(|write| !write.ours), "it was fought");
        ask(&mut world);
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn the_same_weight_that_is_written_anew_unseen_is_a_return() {
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight(Side::Target, "web", 5, false);
    world.pass();
    world.advance(SETTLE);
    world.pass();
    world.pass();
    assert_eq!(world.target.weight("web"), Some(10));
    // Nobody has seen ours.
    world.advance(SignedDuration::from_secs(1));
    world.foreign_weight(Side::Target, "web", 5, false);
    let before = world.writes.len();
    seconds(&mut world, 600, |_| ());
    assert!(is_stalled(&world) && world.writes.len() == before, "{:?}", texts(&world));
}

#[test]
fn somebody_elses_other_weight_has_its_own_time() {
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight_by("helm", Side::Target, "web", 5, false);
    world.run_while(|status| status.reason != "HoldingStep");
    world.foreign_weight_by("kubectl-edit", Side::Target, "web", 4, false);
    world.pass();
    assert!(!is_stalled(&world));
    world.run_while(|status| status.reason != "HoldingStep");
    world.foreign_weight_by("helm", Side::Target, "web", 3, false);
    world.pass();
    assert!(is_stalled(&world), "helm was answered once already");
}

#[test]
fn a_hand_edit_of_either_side_in_every_phase_is_healed_or_sent_back() {
    for start in worlds() {
        for (index, phase) in (0..4).flat_map(|index| PHASES.map(|phase| (index, phase))) {
            let stood = stands(start.clone(), index, phase);
            for (side, weight) in
                SIDES.into_iter().flat_map(|side| [0, 1, 5, 30, 70, 100, 255].map(|weight| (side, weight)))
            {
                heals(stood.clone(), &[(side, weight)]);
            }
            for (source, target) in [(100, 0), (10, 5), (200, 100), (255, 1), (3, 1), (99, 1)] {
                heals(stood.clone(), &[(Side::Source, source), (Side::Target, target)]);
            }
        }
    }
}

/// However it ends, it ends by itself, and after the first answer DNS never gives the target more than its step.
fn heals(mut world: World, edits: &[(Side, i32)]) {
    for (side, weight) in edits {
        world.foreign_weight(*side, "web", *weight, false);
    }
    let (step, edited) = (world.status.step.clone(), world.writes.len());
    for _ in 0..300 {
        let exposed = share(&world);
        world.step();
        let rolls_back = world.status.stage > Stage::Completed || world.status.stage == Stage::RollingBack;
        let allowed = crate::recording::allowed_share(&world.status, 100);
        let answered = world.writes[edited..].iter().any(|write| write.ours);
        if answered && !rolls_back {
            assert!(share(&world) <= allowed.max(exposed), "{edits:?} at {step:?}: DNS serves {}", share(&world));
        }
        if matches!(world.status.stage, Stage::Completed | Stage::RolledBack) {
            break;
        }
    }
    let weights = (world.source.weight("web"), world.target.weight("web"));
    match world.status.stage {
        Stage::Completed => assert_eq!(weights, (Some(0), Some(100))),
        Stage::RolledBack => assert_eq!(weights, (Some(100), Some(0))),
        stage => {
            panic!("{edits:?} at {step:?} is not healed: {stage} {}: {}", world.status.reason, world.status.message)
        }
    }
    assert_eq!(broken_promise(&world.writes), None, "{edits:?} at {step:?}: {:?}", texts(&world));
}

fn share(world: &World) -> i32 {
    world.dns.as_ref().map_or(0, |dns| dns.share("shop.example"))
}

#[test]
fn before_the_shift_the_source_gets_100_again() {
    let stages = [Stage::WeightSource, Stage::PublishTarget, Stage::SmokeTest];
    for (start, stage) in worlds().into_iter().flat_map(|world| stages.map(|stage| (world.clone(), stage))) {
        let mut world = start;
        world.load_balancer = stage != Stage::PublishTarget;
        world.run_until(stage);
        world.pass();
        world.foreign_weight(Side::Source, "web", 50, false);
        world.run_while(|status| status.reason != "WeightContested");
        world.load_balancer = true;
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
        assert!(
            texts(&world).iter().filter(|text| *text == "source web 100").count() >= 2,
            "{stage}: {:?}",
            texts(&world)
        );
    }
}

#[test]
fn in_the_rehearsal_it_begins_anew() {
    for settles in [false, true] {
        let mut world = World::with_dns();
        world.run_while(|status| status.rehearsal.is_none());
        if settles {
            world.settle();
        }
        assert_eq!(world.source.weight("web"), Some(99));
        world.foreign_weight(Side::Source, "web", 100, false);
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn in_the_bake_the_last_step_is_written_again_and_the_bake_begins_anew() {
    for mut world in worlds() {
        world.run_until(Stage::Bake);
        world.advance(SignedDuration::from_hours(12));
        world.foreign_weight(Side::Source, "web", 50, false);
        let before = world.writes.len();
        world.run_while(|status| status.stage == Stage::Bake);
        assert_eq!(world.status.stage, Stage::ShiftTraffic);
        world.run_until(Stage::Bake);
        assert_eq!(texts(&world)[before..], ["target web 100", "source web 50", "source web 0"]);
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn on_the_way_down_to_the_ceiling_the_source_receives_first() {
    for (start, edits) in worlds().into_iter().flat_map(|world| {
        [(world.clone(), [(Side::Source, 60), (Side::Target, 40)]), (world, [(Side::Source, 200), (Side::Target, 40)])]
    }) {
        let mut world = stands(start, 2, StepPhase::Holding);
        world.edit_traffic("upTo", json!(10));
        world.run_while(|status| status.step.as_ref().is_none_or(|step| step.phase != StepPhase::SourceRaised));
        for (side, weight) in edits {
            world.foreign_weight(side, "web", weight, false);
        }
        world.run_while(|status| status.reason != "AtCeiling");
        assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(90), Some(10)));
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn on_the_way_down_nothing_is_raised_above_the_ceiling() {
    let mut world = at(3, StepPhase::Holding);
    world.edit_traffic("upTo", json!(10));
    world.run_while(|status| status.step.as_ref().is_none_or(|step| step.phase != StepPhase::SourceRaised));
    world.foreign_weight(Side::Target, "web", 5, false);
    seconds(&mut world, 600, |_| ());
    assert!(is_stalled(&world));
    let said = "It is not replaced: that would give the target 50 percent again, and spec.traffic.upTo is 10.";
    assert!(world.status.message.ends_with(said), "{}", world.status.message);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_foreign_identifier_is_never_replaced() {
    for mut world in worlds() {
        world = stands(world, 1, StepPhase::Holding);
        world.foreign_weight(Side::Target, "web", 5, false);
        world.ingress_mut(Side::Target, "web").identifier = Some("mine".into());
        let before = world.writes.len();
        seconds(&mut world, 2000, |_| ());
        assert_eq!(world.writes.len(), before, "{:?}", texts(&world));
        assert!(is_stalled(&world));
        let said =
            "The DNS set identifier of Ingress web on the target was changed to mine; web-shop-green is expected.";
        assert_eq!(world.status.message, said);
    }
}

#[test]
fn nothing_is_replaced_in_a_pause() {
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight(Side::Target, "web", 5, false);
    world.pass();
    pause(&mut world);
    seconds(&mut world, 1000, |_| ());
    assert_eq!(world.target.weight("web"), Some(5));
    resume(&mut world);
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}
