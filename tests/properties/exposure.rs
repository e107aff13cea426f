//! Until DNS has followed a rollback, status says how many users may still be sent to the target; and what is only listed does not count
//! as served, neither forward nor back.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::{NamespaceMigrationStatus, StepPhase};
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;

use crate::executor::Faults;
use crate::planted::{at, stands};
use crate::world::World;

/// Half of the users are on the target, which fails now.
fn failing(mut world: World) -> World {
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.settle();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
    world
}

/// What status says of who is exposed, every half a minute, until it has ended.
fn told(world: &mut World) -> Vec<Option<i32>> {
    let mut told = vec![];
    while world.status.stage != Stage::RolledBack {
        told.push(world.status.exposed_percent);
        world.advance(SignedDuration::from_secs(30));
        world.settle();
        assert!(told.len() < 100, "{}", world.status.message);
    }
    told
}

#[test]
fn a_rollback_that_is_listed_is_not_served_yet_and_says_who_may_still_be_exposed() {
    let mut world = failing(stands(World::with_dns(), 2, StepPhase::Holding));
    world.follow();
    world.settle();
    assert_eq!((world.dns.as_ref().unwrap().share("shop.example"), world.status.served), (0, Some(50)));
    // A minute to be served, another in which resolvers keep the answer of before.
    assert_eq!(told(&mut world), [Some(50); 4]);
    assert_eq!((world.status.served, world.status.exposed_percent), (Some(0), None));
}

#[test]
fn where_nobody_looks_users_are_exposed_for_the_time_that_dns_may_take() {
    let mut world = failing(at(2, StepPhase::Holding));
    assert_eq!(told(&mut world), [Some(50); 6]);
}

#[test]
fn a_source_that_is_dead_keeps_nobody_exposed_once_the_targets_zero_has_been_followed() {
    for world in [at(2, StepPhase::Holding), stands(World::with_dns(), 2, StepPhase::Holding)] {
        let mut world = world;
        world.unreachable(Side::Source);
        world.verdicts.insert(Side::Target, Verdict::Fail);
        world.pass();
        assert_eq!((world.target.weight("web"), world.status.exposed_percent), (Some(0), Some(50)));
        // An old pass of external-dns and a new one, a minute to be served, another to be forgotten.
        for _ in 0..4 {
            world.pass();
            world.advance(SignedDuration::from_secs(61));
        }
        world.pass();
        let told = (world.status.reason.as_str(), world.status.exposed_percent);
        assert_eq!(told, ("RollbackWaitsForSource", None), "{}", world.status.message);
    }
}

#[test]
fn a_rollback_that_another_process_has_written_is_told_with_what_was_served_before() {
    let mut world = stands(World::with_dns(), 2, StepPhase::Holding);
    let known = world.status.clone();
    let mut world = failing(std::mem::replace(&mut world, World::new()));
    world.follow();
    world.status = known;
    world.pass();
    // The other one may have raised the target to the next step's 100 before that: beside 50 that is 67 percent.
    assert_eq!((world.status.stage, world.status.exposed_percent), (Stage::RollingBack, Some(67)));
    world.status = NamespaceMigrationStatus::default();
    world.pass();
    assert_eq!((world.status.stage, world.status.exposed_percent), (Stage::RollingBack, Some(100)), "nobody knows");
    world.run_until(Stage::RolledBack);
    assert_eq!(world.status.exposed_percent, None);
}

#[test]
fn the_answer_of_a_step_that_is_being_left_may_still_be_remembered() {
    let mut world = stands(World::with_dns(), 2, StepPhase::Holding);
    world.edit_traffic("upTo", 10.into());
    let mut world = stands(world, 2, StepPhase::TargetLowered);
    world.advance(SignedDuration::from_secs(70));
    let mut world = failing(world);
    assert_eq!(world.status.exposed_percent, Some(50));
    world.run_until(Stage::RolledBack);
}

#[test]
fn a_raise_that_is_only_listed_is_not_told_as_served() {
    let mut world = World::with_dns();
    world.run_while(|status| status.weight < 1);
    world.follow();
    world.pass();
    let (dns, row) = (world.dns.as_ref().unwrap().share("shop.example"), world.status.dns[0].served);
    assert_eq!((dns, world.status.served, row), (1, Some(0), Some(0)));
    world.advance(SignedDuration::from_mins(1));
    world.pass();
    assert_eq!(world.status.served, Some(1));
}

#[test]
fn a_new_process_remembers_what_was_served_until_it_knows_better() {
    let mut world = stands(World::with_dns(), 2, StepPhase::Holding);
    world.advance(SignedDuration::from_mins(5));
    world.restart();
    // The first reading of the new process shows another weight than before, and nobody knows since when.
    world.stop_dns(Side::Target, true);
    world.edit_record("shop.example", Side::Target, Some(10));
    world.pass();
    assert_eq!((world.status.served, world.status.dns[0].served), (Some(50), Some(50)));
}

#[test]
fn a_raise_of_which_nothing_was_heard_counts_while_the_target_is_away() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    while world.look().effects.is_empty() {
        world.step();
    }
    // Target 50 is written, and both the process and the target go away.
    world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
    world.unreachable(Side::Target);
    world.restart();
    world.verdicts.insert(Side::Target, Verdict::Fail);
    let minute = |world: &mut World| {
        world.pass();
        world.advance(SignedDuration::from_mins(1));
    };
    world.stop_dns(Side::Target, true);
    (0..10).for_each(|_| minute(&mut world));
    world.pass();
    let told = (world.status.reason.as_str(), world.status.exposed_percent);
    assert_eq!(told, ("RollbackWaitsForTarget", Some(36)), "50 beside 90: {}", world.status.message);
    world.stop_dns(Side::Target, false);
    world.reachable(Side::Target);
    world.run_until(Stage::RolledBack);
    assert_eq!(world.status.exposed_percent, None);
}
