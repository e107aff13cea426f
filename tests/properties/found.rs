//! What random interleavings have found, each at its smallest. It is mended, and stays a test.

use namespace_migration::api::status::RehearsalPhase;
use namespace_migration::api::{DeletionPolicy, Stage};
use namespace_migration::machine::Side;

use crate::executor::Faults;
use crate::interleavings::{Happening, Start, end, happen};
use crate::world::World;

fn ends_well(start: Start, happenings: &[Happening]) {
    assert_eq!(end(&mut start.world(), happenings), Ok(()));
}

#[test]
fn what_preflight_has_passed_on_an_old_view_is_checked_again_before_the_first_write() {
    let mut world = Start { two: true, ..Start::default() }.world();
    let old = Happening::Pass(Faults { stale: 3, ..Faults::default() });
    world.run_until(Stage::Completed);
    let lost = [Happening::LoseStatus, Happening::Recreate(Side::Source), Happening::Pass(Faults::default()), old];
    for happening in lost {
        happen(&mut world, &happening);
    }
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::WeightSource, "PreflightBlocked"));
}

#[test]
fn what_is_remembered_of_two_foreign_weights_keeps_its_order() {
    let start = Start { hold: true, ..Start::default() };
    let happenings = [
        Happening::Smooth(9),
        Happening::Unreachable(Side::Source),
        Happening::Foreign { side: Side::Source, weight: 95, strip: false },
        Happening::Smooth(2),
        Happening::Ci,
    ];
    ends_well(start, &happenings);
}

#[test]
fn a_row_keeps_its_gate_after_a_rollback_was_taken_up_anew() {
    let start = Start { zone: true, both_kinds: true, ..Start::default() };
    let happenings = [
        Happening::Smooth(1),
        Happening::RequestRollback,
        Happening::Smooth(1),
        Happening::Delete(DeletionPolicy::Rollback),
        Happening::Smooth(4),
        Happening::CreateAnew,
        Happening::Pass(Faults::default()),
    ];
    ends_well(start, &happenings);
}

#[test]
fn a_giver_gives_nothing_when_the_receivers_record_goes() {
    let start = Start { zone: true, ..Start::default() };
    let happenings = [
        Happening::Pass(Faults::default()),
        Happening::Pass(Faults::default()),
        Happening::Time(10),
        Happening::Smooth(5),
        Happening::Time(10),
        Happening::Smooth(2),
        Happening::Smooth(8),
        Happening::Pass(Faults { crash_before: Some(0), ..Faults::default() }),
        Happening::Pass(Faults::default()),
        Happening::Address(Side::Target, false),
        Happening::Smooth(2),
    ];
    ends_well(start, &happenings);
}

#[test]
fn beside_a_source_that_somebody_took_to_zero_the_target_is_not_taken_over_first() {
    let start = Start { present: true, zone: true, ..Start::default() };
    let happenings = [
        Happening::Smooth(2),
        Happening::Smooth(6),
        Happening::Recreate(Side::Target),
        Happening::Foreign { side: Side::Source, weight: 0, strip: false },
    ];
    ends_well(start, &happenings);
}

#[test]
fn a_target_that_is_made_anew_while_the_source_is_being_weighted_is_taken_over_at_once() {
    let start = Start { present: true, hold: true, zone: true, ..Start::default() };
    let happenings = [
        Happening::Smooth(1),
        Happening::Smooth(6),
        Happening::Time(10),
        Happening::Address(Side::Source, false),
        Happening::Recreate(Side::Target),
        Happening::Smooth(1),
    ];
    ends_well(start, &happenings);
}

#[test]
fn a_rehearsal_that_a_crash_has_left_between_two_ingresses_goes_on() {
    let start = Start { two: true, zone: true, ..Start::default() };
    let died = Happening::Pass(Faults { crash_after: Some(0), ..Faults::default() });
    ends_well(start, &[Happening::Smooth(5), died]);
}

#[test]
fn what_a_deleted_migration_owes_does_not_stop_a_new_one_of_its_name() {
    let start = Start::default();
    let happenings = [
        Happening::Smooth(1),
        Happening::Delete(DeletionPolicy::Rollback),
        Happening::Time(4000),
        Happening::Smooth(1),
        Happening::CreateAnew,
        Happening::RaiseAttempt,
    ];
    ends_well(start, &happenings);
}

#[test]
fn an_attempt_that_is_begun_on_an_old_view_finishes_the_way_back_of_the_one_before() {
    let start = Start::default();
    let happenings = [
        Happening::Smooth(1),
        Happening::Unreachable(Side::Target),
        Happening::Smooth(3),
        Happening::RaiseAttempt,
        Happening::LoseStatus,
        Happening::Pass(Faults { stale: 2, ..Faults::default() }),
    ];
    ends_well(start, &happenings);
}

/// The view was of before the source was lowered, and nobody remembers more.
#[test]
fn a_rollback_without_source_on_an_old_view_leaves_no_two_zeros() {
    let start = Start { zone: true, ..Start::default() };
    let happenings = [
        Happening::Smooth(10),
        Happening::Smooth(20),
        Happening::LoseStatus,
        Happening::Unreachable(Side::Source),
        Happening::RequestRollback,
        Happening::Pass(Faults { stale: 2, ..Faults::default() }),
    ];
    ends_well(start, &happenings);
}

#[test]
fn a_shift_whose_status_is_lost_and_begun_anew_on_an_old_view_is_taken_up() {
    let start = Start { zone: true, ..Start::default() };
    let happenings = [
        Happening::Steps(&[100]),
        Happening::Smooth(18),
        Happening::LoseStatus,
        Happening::Pass(Faults { stale: 2, ..Faults::default() }),
    ];
    ends_well(start, &happenings);
}

/// Another process, which had not seen that far yet, has lowered the source again.
#[test]
fn a_rehearsal_that_another_process_has_lowered_again_goes_on() {
    let mut world = World::with_dns();
    for _ in 0..40 {
        let phase = world.status.rehearsal.as_ref().map(|rehearsal| rehearsal.phase);
        if phase == Some(RehearsalPhase::Raised) {
            break;
        }
        world.step();
    }
    assert_eq!(world.source.weight("web"), Some(100));
    world.ingress_mut(Side::Source, "web").weight_text = Some("99".into());
    world.run_until(Stage::Completed);
}
