//! What a person hears once, as an event: that what they asked for was heard, and what it does.

use namespace_migration::api::status::{RequestKind, StepPhase};
use namespace_migration::api::{RETRY_ANNOTATION, Stage};
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::{Reason, Side};

use crate::controls::{every_stage, pause, request, resume, standing};
use crate::planted::at;
use crate::world::World;

/// What the next pass tells for this reason, and whether as a warning.
fn told(world: &World, reason: Reason) -> Vec<(String, bool)> {
    let events = world.look().events.into_iter().filter(|event| event.reason == reason);
    events.map(|event| (event.note, event.warning)).collect()
}

#[test]
fn a_pause_is_told_when_it_begins_and_when_it_is_over() {
    for (stage, mut world) in every_stage() {
        pause(&mut world);
        let begins = "It is paused by the annotation namespacemigration.io/paused (kubectl-annotate).".to_owned();
        assert_eq!(told(&world, Reason::Paused), [(begins, false)], "{stage}");
        world.settle();
        assert_eq!(told(&world, Reason::Paused), [], "{stage}: it is told again");
        resume(&mut world);
        let over = "The pause is over; it goes on where it was.".to_owned();
        assert_eq!(told(&world, Reason::Resumed), [(over, false)], "{stage}");
        world.pass();
        assert_eq!(told(&world, Reason::Resumed), [], "{stage}: it is told again");
    }
}

#[test]
fn another_try_that_was_heard_is_told_with_what_it_does() {
    let mut back = at(1, StepPhase::Holding);
    back.verdicts.insert(Side::Target, Verdict::Fail);
    back.run_until(Stage::RolledBack);
    for (mut world, said) in [
        (standing(Stage::PublishTarget), "Everything is looked at again, and PublishTarget has 1h3m from now on."),
        (standing(Stage::Bake), "Everything is looked at again."),
        (back, "Attempt 2 began."),
    ] {
        world.annotate(RETRY_ANNOTATION, Some("a"));
        assert_eq!(told(&world, Reason::RetryRequested), [(said.to_owned(), false)]);
        world.pass();
        assert_eq!(request(&world, RequestKind::Retry).message, said);
        assert_eq!(told(&world, Reason::RetryRequested), [], "it is told again: {said}");
    }
}
