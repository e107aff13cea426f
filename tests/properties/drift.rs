//! A hold and the bake rest on what DNS serves: when a record is lost or edited the clock stands still, and users that the step does
//! not allow are taken back, where that helps.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::gate::Verification;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::records::{Evidence, Owner, RecordKind, Routing, Seen, ServerAnswers};
use namespace_migration::machine::traffic::Weight;

use crate::executor::Faults;
use crate::planted::stands;
use crate::recording::{broken_promise, texts};
use crate::stages::says;
use crate::world::World;

const HOST: &str = "shop.example";

/// A hold of the default steps: 1, 10, 50 and 100 percent.
fn holding(index: i32) -> World {
    stands(World::with_dns(), index, StepPhase::Holding)
}

fn baking() -> World {
    let mut world = World::with_dns();
    world.run_while(|status| status.reason != "Baking");
    world
}

fn minutes(world: &mut World, minutes: i64) {
    for _ in 0..minutes * 2 {
        world.settle();
        world.advance(SignedDuration::from_secs(30));
    }
    world.settle();
}

/// Longer than any hold or bake.
fn days(world: &mut World) {
    for _ in 0..60 {
        world.settle();
        world.advance(SignedDuration::from_hours(1));
    }
    world.settle();
}

fn is_stalled(world: &World) -> bool {
    world.status.conditions.iter().any(|it| it.type_ == "Stalled" && it.status == "True")
}

fn held(world: &World) -> (i64, bool) {
    let step = world.status.step.as_ref().unwrap();
    (step.held_millis, step.running_since.is_some())
}

/// Somebody edits the zone, while that side's external-dns stands still.
fn edit_record(world: &mut World, side: Side, weight: Option<i32>) {
    world.stop_dns(side, true);
    world.edit_record(HOST, side, weight);
}

#[test]
fn a_source_whose_load_balancer_lost_its_address_stops_the_clock_and_no_weight_is_written() {
    let mut world = holding(1);
    let before = texts(&world);
    world.lose_address(Side::Source, "web", true);
    minutes(&mut world, 120);
    let said = "Ingress web on the source has no load balancer address any more, and in DNS shop.example has no A record web-shop-blue \
                of the source any more: weight 90 is expected, web-shop-green with weight 10 is there. That sends 100 percent of users \
                to the target, where 10 are allowed. No weight would change that, so weights stay. The clock stands still.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "AddressLost", said));
    assert_eq!((texts(&world), held(&world), is_stalled(&world)), (before, (0, false), true));
    assert!(world.status.unblock.contains("ingress controller"), "{}", world.status.unblock);
    world.lose_address(Side::Source, "web", false);
    world.run_until(Stage::Completed);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn an_address_that_came_back_is_given_the_time_that_external_dns_takes() {
    let mut world = holding(1);
    world.lose_address(Side::Source, "web", true);
    minutes(&mut world, 120);
    world.stop_dns(Side::Source, true);
    world.lose_address(Side::Source, "web", false);
    minutes(&mut world, 3);
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSDiffers"));
    world.stop_dns(Side::Source, false);
    world.run_until(Stage::Completed);
}

#[test]
fn nothing_ends_as_completed_while_the_target_has_no_record() {
    for mut world in [holding(3), baking()] {
        let stage = world.status.stage;
        world.lose_address(Side::Target, "web", true);
        days(&mut world);
        assert_eq!(
            (world.status.stage, world.status.reason.as_str()),
            (stage, "AddressLost"),
            "{}",
            world.status.message
        );
        let said = "shop.example has no A record web-shop-green of the target any more: weight 100 is expected, web-shop-blue with \
                    weight 0 is there. That sends 0 percent of users to the target; the step says 100.";
        assert!(world.status.message.contains(said), "{}", world.status.message);
        world.lose_address(Side::Target, "web", false);
        world.run_until(Stage::Completed);
    }
}

#[test]
fn a_record_that_somebody_took_away_in_the_zone_stops_the_clock_until_it_is_back() {
    for side in [Side::Source, Side::Target] {
        let mut world = baking();
        edit_record(&mut world, side, None);
        days(&mut world);
        assert_eq!(
            (world.status.stage, world.status.reason.as_str()),
            (Stage::Bake, "DNSDiffers"),
            "{}",
            world.status.message
        );
        assert!(is_stalled(&world));
        world.stop_dns(side, false);
        world.run_until(Stage::Completed);
    }
}

#[test]
fn a_record_of_the_source_that_nobody_puts_back_is_answered_by_a_rollback_when_it_is_late() {
    let mut world = holding(1);
    edit_record(&mut world, Side::Source, None);
    minutes(&mut world, 3);
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSDiffers"));
    minutes(&mut world, 4);
    let cause = world.status.cause.clone().unwrap();
    let said = "In DNS shop.example has no A record web-shop-blue of the source any more: weight 90 is expected, web-shop-green with \
                weight 10 is there. That sends 100 percent of users to the target, where 10 are allowed.";
    assert_eq!((cause.reason.as_str(), cause.message.as_str()), ("ForeignWeight", said));
    minutes(&mut world, 60);
    assert_eq!((world.status.stage, world.status.exposed_percent), (Stage::RollbackBlocked, Some(100)));
    world.stop_dns(Side::Source, false);
    world.run_until(Stage::RolledBack);
}

#[test]
fn a_record_of_the_source_that_external_dns_puts_back_goes_on() {
    let mut world = holding(1);
    edit_record(&mut world, Side::Source, None);
    minutes(&mut world, 2);
    world.stop_dns(Side::Source, false);
    world.run_until(Stage::Completed);
}

#[test]
fn a_weight_in_the_zone_that_gives_the_target_more_than_its_step_is_answered_by_one_rollback() {
    let cases = [
        (
            Side::Source,
            0,
            "the A record web-shop-blue of shop.example has weight 0; weight 90 is expected, the source's. That sends 100 percent of users to the target, where 10 are allowed.",
        ),
        (
            Side::Target,
            40,
            "the A record web-shop-green of shop.example has weight 40; weight 10 is expected, the target's. That sends 31 percent of users to the target, where 10 are allowed.",
        ),
    ];
    for (side, weight, said) in cases {
        let mut world = holding(1);
        edit_record(&mut world, side, Some(weight));
        world.settle();
        assert_eq!(
            (world.status.stage, world.status.reason.as_str()),
            (Stage::ShiftTraffic, "DNSDiffers"),
            "only listed"
        );
        minutes(&mut world, 2);
        let cause = world.status.cause.clone().unwrap();
        assert_eq!((cause.reason.as_str(), cause.message), ("ForeignWeight", format!("In DNS {said}")));
        world.stop_dns(side, false);
        world.run_until(Stage::RolledBack);
        assert_eq!(broken_promise(&world.writes), None);
    }
}

#[test]
fn weights_of_a_later_step_may_be_ours_and_are_answered_when_they_are_late() {
    let mut world = holding(1);
    edit_record(&mut world, Side::Target, Some(50));
    minutes(&mut world, 3);
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSDiffers"));
    minutes(&mut world, 4);
    assert_eq!(world.status.cause.as_ref().map(|cause| cause.reason.as_str()), Some("ForeignWeight"));
    world.stop_dns(Side::Target, false);
    world.run_until(Stage::RolledBack);
}

#[test]
fn two_zeros_in_the_zone_are_answered_by_one_rollback() {
    let mut world = holding(3);
    edit_record(&mut world, Side::Target, Some(0));
    minutes(&mut world, 2);
    let cause = world.status.cause.clone().unwrap();
    assert!(cause.message.ends_with("Both sides are at 0, which is an even split."), "{}", cause.message);
    world.stop_dns(Side::Target, false);
    world.run_until(Stage::RolledBack);
}

#[test]
fn a_weight_in_the_zone_that_harms_nobody_stops_the_clock_and_moves_nobody() {
    let mut world = holding(1);
    let before = texts(&world);
    edit_record(&mut world, Side::Target, Some(1));
    minutes(&mut world, 120);
    let said = "In DNS the A record web-shop-green of shop.example has weight 1; weight 10 is expected, the target's. That sends 2 \
                percent of users to the target; the step says 10. The clock stands still.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "DNSDiffers", said));
    assert_eq!((texts(&world), is_stalled(&world)), (before, true));
    world.stop_dns(Side::Target, false);
    world.run_until(Stage::Completed);
}

#[test]
fn nobody_is_sent_back_by_it_to_a_source_that_fails() {
    for weight in [None, Some(0)] {
        let mut world = holding(1);
        world.verdicts.insert(Side::Source, Verdict::Fail);
        edit_record(&mut world, Side::Source, weight);
        minutes(&mut world, 60);
        assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSDiffers"));
        assert!(is_stalled(&world), "{}", world.status.message);
    }
}

#[test]
fn a_weight_that_was_written_before_the_process_died_is_no_drift() {
    let mut world = holding(1);
    // The raise to 50 is written and listed, and the status that would say so is not saved.
    while world.look().effects.is_empty() {
        world.step();
    }
    world.pass_with(&Faults { crash_before_save: true, ..Faults::default() });
    assert_eq!((world.target.weight("web"), world.status.step.as_ref().unwrap().index), (Some(50), 1));
    world.advance(SignedDuration::from_mins(2));
    world.run_until(Stage::Completed);
    assert_eq!(world.status.cause, None);
}

#[test]
fn a_third_record_in_a_hold_stops_the_clock() {
    let mut world = holding(1);
    let records = world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap();
    let mut third = records[0].clone();
    (third.set.identifier, third.set.routing) = (Some("somebody".into()), Routing::Weighted(Weight::percent(50)));
    (third.set.owner, third.set.leads_to) = (Owner::Named("somebody".into()), vec!["192.0.2.99".into()]);
    records.push(third);
    minutes(&mut world, 2);
    assert_eq!(
        (world.status.stage, world.status.reason.as_str()),
        (Stage::ShiftTraffic, "DNSBlocked"),
        "{}",
        world.status.message
    );
    assert!(!held(&world).1);
    world
        .dns
        .as_mut()
        .unwrap()
        .records
        .get_mut(HOST)
        .unwrap()
        .retain(|record| record.set.identifier.as_deref() != Some("somebody"));
    world.run_until(Stage::Completed);
}

#[test]
fn a_hold_in_which_dns_is_not_read_any_more_does_not_count() {
    let mut world = holding(1);
    world.dns.as_mut().unwrap().read_at = Some(world.now);
    minutes(&mut world, 9);
    assert_eq!(world.status.reason, "HoldingStep", "a reading may take its time");
    minutes(&mut world, 60);
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSUnreadable"));
    assert!(is_stalled(&world) && !held(&world).1, "{}", world.status.message);
    world.dns.as_mut().unwrap().read_at = None;
    world.run_until(Stage::Completed);
}

#[test]
fn a_record_that_is_listed_again_is_not_served_yet_and_nothing_ends_before_it_is() {
    let mut world = baking();
    while world.status.stage == Stage::Bake && world.look().effects.is_empty() {
        world.step();
    }
    // The bake is over, and its last stamps are about to be written.
    edit_record(&mut world, Side::Target, None);
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::Bake, "DNSDiffers"));
    world.stop_dns(Side::Target, false);
    world.follow();
    world.pass();
    let said = "shop.example is listed as the step says; the provider needs time to serve it.";
    assert_eq!(says(&world), (Stage::Bake, "WaitingForDNS", said));
    world.run_until(Stage::Completed);
}

/// What the name server answered last, and what it had answered some time before.
fn answers(world: &mut World, last: &str, before: &str) {
    let seen = |answers_since| Seen { last: world.now, answers_since };
    let known = [(last, 0), (before, 1000)].into_iter().filter(|(address, _)| !address.is_empty());
    let empty = last.is_empty().then(|| seen(0));
    let seen = known.map(|(address, since)| (address.to_owned(), seen(since))).collect();
    let server = ServerAnswers { answers: 2000, seen, empty, ttl: None };
    let servers = [(("192.0.2.53:53".to_owned(), RecordKind::A), server)].into();
    world.order.dns.verification = Verification::AuthoritativeDns;
    world.dns.as_mut().unwrap().seen = Some(Evidence::Answered { servers, balancers: [].into() });
}

#[test]
fn where_name_servers_are_asked_the_bake_stops_when_nobody_answers_or_the_source_does() {
    let (source, target) = ("192.0.2.10", "192.0.2.20");
    let cases = [
        (target, source, None),
        (
            source,
            target,
            Some(
                "name server 192.0.2.53:53 answers 192.0.2.10 for shop.example (A), which is the source's and must not answer",
            ),
        ),
        ("", target, Some("name server 192.0.2.53:53 answers nothing any more for shop.example (A)")),
    ];
    for (last, before, said) in cases {
        let mut world = baking();
        answers(&mut world, last, before);
        world.settle();
        let Some(said) = said else {
            assert_eq!(world.status.reason, "Baking");
            continue;
        };
        let said = format!("In DNS {said}. Not everybody who asks is led where the step says. The clock stands still.");
        assert_eq!(says(&world), (Stage::Bake, "DNSDiffers", said.as_str()));
        days(&mut world);
        answers(&mut world, target, "");
        world.run_until(Stage::Completed);
    }
}

#[test]
fn a_kind_that_the_source_has_lost_is_missed_and_taken_from_nobody() {
    let mut world = World::with_dns();
    world.give_both_kinds();
    world.follow();
    world.run_while(|status| {
        status.step.as_ref().is_none_or(|step| (step.index, step.phase) != (1, StepPhase::Holding))
    });
    world.ingress_mut(Side::Source, "web").addresses = ["192.0.2.10".to_owned()].into();
    world.advance(SignedDuration::from_secs(1));
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSDiffers"));
    let said = "In DNS shop.example has no AAAA record web-shop-blue of the source any more";
    assert!(world.status.message.starts_with(said), "{}", world.status.message);
    days(&mut world);
    assert!(!world.target.ingresses["web"].withheld, "who asks for AAAA would be answered by nobody");
    world.lose_address(Side::Source, "web", false);
    world.run_until(if world.status.stage == Stage::ShiftTraffic { Stage::Completed } else { Stage::RolledBack });
}
