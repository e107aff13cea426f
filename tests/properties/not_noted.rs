//! A deletion whose leftovers the pair takes no note of: it is tried for as long again, and then the object goes, and says what is left.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::{Effect, Side};
use serde_json::json;

use crate::executor::Faults;
use crate::planted::at;
use crate::stages::says;
use crate::world::World;

/// Deleted in the shift, with a dead target and a pair whose status cannot be written.
fn refused() -> World {
    let mut world = at(1, StepPhase::Holding);
    world.unreachable(Side::Target);
    world.pair_refuses = true;
    world.delete();
    world
}

fn minutes(world: &World) -> i64 {
    world.now.duration_since(world.order.deletion.asked_at.unwrap()).as_mins()
}

/// Passes and time, until the object is gone. Returns the events of the last pass.
fn goes(world: &mut World) -> Vec<String> {
    for _ in 0..1000 {
        let decision = world.pass();
        if world.gone {
            return decision.events.into_iter().map(|event| event.note).collect();
        }
        world.advance(SignedDuration::from_secs(5));
    }
    panic!("it stays: {:?}", says(world));
}

#[test]
fn what_the_pair_takes_no_note_of_is_tried_for_as_long_again_and_then_named_by_an_event() {
    let mut world = refused();
    let told = goes(&mut world);
    assert_eq!(minutes(&world), 30);
    assert!(world.debts.is_empty() && world.status.stage == Stage::RollbackBlocked);
    let said = "The rollback was not over within 15m, and ClusterPair old-to-new has not taken note of what is left over for 15m more. It \
                is tried for the last time now: what its status.leftovers does not name, nobody else will do. To send all users to the \
                source by hand, in this order: kubectl --context=TARGET annotate ingress web -n shop --overwrite \
                external-dns.kubernetes.io/set-identifier=web-shop-green external-dns.kubernetes.io/aws-weight=0.";
    assert_eq!(told, [said]);
    assert!(said.len() <= 1024, "an event cannot tell more");
}

#[test]
fn objects_that_were_to_be_removed_are_named_too() {
    let mut world = refused();
    world.edit(&json!({"rollback": {"objects": "Remove"}}));
    let told = goes(&mut world);
    assert!(told[0].ends_with(" Still to be removed from the target: Ingress web."), "{told:?}");
}

#[test]
fn until_then_status_says_how_long_it_is_tried_and_how_to_let_it_go_at_once() {
    let mut world = refused();
    world.advance(SignedDuration::from_mins(15));
    world.pass();
    let end = world.order.deletion.asked_at.unwrap() + SignedDuration::from_mins(30);
    let fix = format!(
        "It is tried again until {end}; then the object goes, and an event says what nobody has noted. To let the object go at once and \
         leave all weights as they are: kubectl patch namespacemigration shop -n shop --type merge -p \
         '{{\"spec\":{{\"deletionPolicy\":\"Orphan\"}}}}'"
    );
    assert_eq!((world.status.unblock.as_str(), world.gone), (fix.as_str(), false));
}

#[test]
fn a_pair_that_takes_note_in_time_is_told_everything_and_so_are_people() {
    let mut world = refused();
    world.advance(SignedDuration::from_mins(20));
    world.pass();
    assert!(!world.gone);
    world.pair_refuses = false;
    let told = goes(&mut world);
    assert_eq!((world.debts.weights.len(), told.len()), (2, 1));
    assert!(
        told[0].contains(" 2 weights that are still to be written go to status.leftovers of ClusterPair old-to-new"),
        "{told:?}"
    );
}

#[test]
fn an_operator_that_was_away_for_hours_still_tries_to_have_it_noted_before_it_lets_go() {
    let mut world = refused();
    world.advance(SignedDuration::from_hours(5));
    assert!(world.look().effects.contains(&Effect::ReleaseAnyway));
    world.pass();
    assert!(!world.gone, "one try is not enough");
    world.pair_refuses = false;
    goes(&mut world);
    assert_eq!(world.debts.weights.len(), 2);
}

#[test]
fn what_is_not_late_and_not_orphaned_waits_for_its_note() {
    let mut world = refused();
    world.advance(SignedDuration::from_mins(16));
    let effects = world.look().effects;
    assert!(effects.contains(&Effect::Release) && !effects.contains(&Effect::ReleaseAnyway), "{effects:?}");
    world.edit(&json!({"deletionPolicy": "Orphan"}));
    assert_eq!(world.look().effects, [Effect::ReleaseAnyway]);
    world.pass_with(&Faults::default());
    assert!(world.gone && world.debts.is_empty());
}
