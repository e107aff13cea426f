//! No gate opens before DNS shows what was written, and a DNS that does not follow is never taken for a sick application.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::RehearsalPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::records::{ListedRecord, Owner, RecordKind, RecordSet, Routing};
use namespace_migration::machine::traffic::Weight;

use crate::executor::Faults;
use crate::recording::{broken_promise, texts};
use crate::world::World;

const HOST: &str = "shop.example";

fn served(world: &World) -> i32 {
    world.dns.as_ref().unwrap().share(HOST)
}

fn stop(world: &mut World, side: Side) {
    world.dns.as_mut().unwrap().stopped.insert(side);
}

fn start(world: &mut World, side: Side) {
    world.dns.as_mut().unwrap().stopped.remove(&side);
}

fn wait(world: &mut World, minutes: i64) {
    for _ in 0..minutes * 2 {
        world.settle();
        world.advance(SignedDuration::from_secs(30));
    }
    world.settle();
}

fn third_record(kind: RecordKind, routing: Routing) -> ListedRecord {
    let set = RecordSet {
        kind,
        identifier: Some("somebody".into()),
        routing,
        ttl: None,
        leads_to: vec!["192.0.2.99".into()],
        owner: Owner::Unread,
    };
    ListedRecord { set, since: World::new().now }
}

#[test]
fn a_migration_that_goes_well_rehearses_and_follows_dns() {
    let mut world = World::with_dns();
    world.run_until(Stage::Completed);
    let expected = [
        "source web 100",
        "source web 99",
        "source web 100",
        "create Ingress web",
        "target web 1",
        "source web 99",
        "target web 10",
        "source web 90",
        "target web 50",
        "source web 50",
        "target web 100",
        "source web 0",
        "target web 100 Completed",
        "source web 0 Completed",
    ];
    assert_eq!(texts(&world), expected);
    assert_eq!(broken_promise(&world.writes), None);
    let rehearsal = world.status.rehearsal.as_ref().unwrap();
    assert_eq!(rehearsal.phase, RehearsalPhase::Done);
    assert!(rehearsal.lag_millis >= 60_000, "a minute of propagation: {rehearsal:?}");
    assert_eq!(served(&world), 100);
}

#[test]
fn while_the_sources_external_dns_stands_still_nothing_is_published_on_the_target() {
    let mut world = World::with_dns();
    stop(&mut world, Side::Source);
    world.run_until(Stage::WeightSource);
    wait(&mut world, 600);
    assert_eq!(world.status.stage, Stage::WeightSource, "{}", world.status.message);
    assert_eq!(world.status.reason, "DNSLate");
    assert!(world.status.message.contains("still a simple one"), "{}", world.status.message);
    assert_eq!(texts(&world), ["source web 100"]);
    start(&mut world, Side::Source);
    world.run_until(Stage::ShiftTraffic);
}

#[test]
fn while_the_targets_external_dns_stands_still_the_source_is_not_lowered() {
    let mut world = World::with_dns();
    world.run_until(Stage::ShiftTraffic);
    stop(&mut world, Side::Target);
    wait(&mut world, 600);
    assert_eq!(world.status.stage, Stage::ShiftTraffic, "{}", world.status.message);
    assert_eq!(world.side(Side::Target).weight("web"), Some(1), "it was raised");
    assert_eq!(world.side(Side::Source).weight("web"), Some(100), "nobody is given away before the target is served");
    assert_eq!((world.status.reason.as_str(), world.status.served), ("DNSLate", Some(0)));
    start(&mut world, Side::Target);
    world.run_until(Stage::Completed);
}

#[test]
fn a_rollback_says_how_many_are_exposed_until_dns_has_followed() {
    let mut world = World::with_dns();
    world.run_while(|status| status.weight < 50 || status.served != Some(50));
    stop(&mut world, Side::Target);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    wait(&mut world, 5);
    assert_eq!(world.side(Side::Source).weight("web"), Some(100));
    assert_eq!(world.side(Side::Target).weight("web"), Some(0));
    assert_eq!(world.status.exposed_percent, Some(34), "50 of 150: {}", world.status.message);
    assert_eq!(world.status.reason, "WaitingForRollbackDNS");
    wait(&mut world, 60);
    assert_eq!(world.status.stage, Stage::RollbackBlocked, "it is still tried, and a person is told");
    start(&mut world, Side::Target);
    world.run_until(Stage::RolledBack);
    assert_eq!((served(&world), world.status.exposed_percent), (0, None));
}

#[test]
fn what_is_listed_must_be_listed_for_the_propagation_time() {
    let mut world = World::with_dns();
    world.run_while(|status| status.reason != "WaitingForDNS");
    let read = world.now;
    world.dns.as_mut().unwrap().read_at = Some(read);
    wait(&mut world, 300);
    let said = "was not seen so for 1m without a break yet";
    assert_eq!(
        (world.status.stage, world.status.reason.as_str()),
        (Stage::WeightSource, "DNSLate"),
        "it is from before"
    );
    assert!(world.status.message.contains(said), "{}", world.status.message);
}

/// Passes every half a minute, as readings wake it, while a pass leaves this behind.
fn watch_while(world: &mut World, still: impl Fn(&World) -> bool) {
    for _ in 0..2000 {
        world.pass();
        if !still(world) {
            return;
        }
        world.advance(SignedDuration::from_secs(30));
    }
    panic!("it goes on for ever: {} {}", world.status.stage, world.status.message);
}

/// The minutes that the rehearsal took where external-dns was so slow, and those after which a raise that it does not follow is late.
fn late_after(slow: i64) -> (i64, i64) {
    let mut world = World::with_dns();
    watch_while(&mut world, |world| world.status.rehearsal.is_none());
    stop(&mut world, Side::Source);
    wait(&mut world, slow);
    start(&mut world, Side::Source);
    watch_while(&mut world, |world| world.status.stage != Stage::ShiftTraffic);
    let lag = world.status.rehearsal.as_ref().unwrap().lag_millis;
    stop(&mut world, Side::Target);
    watch_while(&mut world, |world| world.status.weight == 0);
    let written = world.now;
    watch_while(&mut world, |world| world.status.reason != "DNSLate");
    assert_eq!(
        (world.status.stage, world.status.cause.as_ref()),
        (Stage::ShiftTraffic, None),
        "a slow DNS is no failure"
    );
    (lag / 60_000, world.now.duration_since(written).as_secs() / 60)
}

#[test]
fn a_later_gate_has_twice_the_time_that_the_rehearsal_took() {
    // 50 minutes twice are longer than a stage may take.
    for slow in [0, 20, 50] {
        let (lag, late) = late_after(slow);
        // Interval and propagation of the pair are a minute each.
        let usual = lag.max(2);
        assert!(
            lag >= slow && (2 * usual..=2 * usual + 3).contains(&late),
            "late after {late}, rehearsed in {lag} minutes"
        );
    }
}

#[test]
fn a_dns_that_cannot_be_read_moves_nobody_and_does_not_stop_a_rollback() {
    let mut world = World::with_dns();
    world.run_while(|status| status.weight < 10);
    world.dns.as_mut().unwrap().unreadable = Some("AccessDenied: route53:ListResourceRecordSets".into());
    wait(&mut world, 300);
    assert_eq!(world.status.reason, "DNSUnreadable", "{}", world.status.message);
    assert!(world.status.message.contains("AccessDenied"), "{}", world.status.message);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.settle();
    assert_eq!(world.side(Side::Source).weight("web"), Some(100));
    assert_eq!(world.side(Side::Target).weight("web"), Some(0));
    world.dns.as_mut().unwrap().unreadable = None;
    world.run_until(Stage::RolledBack);
}

#[test]
fn what_can_never_be_shifted_is_named_before_anything_is_written() {
    let cases = [
        (
            third_record(RecordKind::A, Routing::Weighted(Weight::percent(5))),
            "third A record at shop.example: somebody with weight 5",
        ),
        (third_record(RecordKind::A, Routing::Other("latency".into())), "has latency routing"),
    ];
    for (record, text) in cases {
        let mut world = World::with_dns();
        world.dns.as_mut().unwrap().records.insert(HOST.into(), vec![record]);
        world.run_until(Stage::WeightSource);
        wait(&mut world, 300);
        assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::WeightSource, "DNSBlocked"));
        assert!(world.status.message.contains(text), "{}", world.status.message);
        assert_eq!(texts(&world), Vec::<String>::new());
    }
}

#[test]
fn a_status_that_is_lost_in_the_rehearsal_is_not_taken_for_a_shift() {
    let mut world = World::with_dns();
    world.run_while(|status| status.rehearsal.as_ref().is_none_or(|it| it.phase != RehearsalPhase::Lowered));
    assert_eq!(world.side(Side::Source).weight("web"), Some(99));
    world.status = namespace_migration::api::NamespaceMigrationStatus::default();
    world.run_until(Stage::PublishTarget);
    assert_eq!(world.side(Side::Source).weight("web"), Some(100));
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_status_that_is_not_saved_after_any_one_pass_changes_nothing_of_the_end() {
    let mut passes = 0;
    loop {
        let mut world = World::with_dns();
        (0..passes).for_each(|_| world.step());
        if world.status.stage == Stage::Completed {
            break;
        }
        let (stage, faults) = (world.status.stage, Faults { crash_before_save: true, ..Faults::default() });
        world.pass_with(&faults);
        world.run_until(Stage::Completed);
        assert_eq!(broken_promise(&world.writes), None, "lost after pass {passes}, in {stage}");
        passes += 1;
    }
    assert!(passes > 20, "only {passes} passes were tried");
}

#[test]
fn a_rollback_is_not_over_while_a_pass_that_read_the_older_weight_may_still_apply_it() {
    let mut world = World::with_dns();
    world.run_until(Stage::ShiftTraffic);
    stop(&mut world, Side::Target);
    world.run_while(|status| status.weight == 0);
    assert_eq!(served(&world), 0, "the raise is written, and not applied yet");
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    let written = world.now;
    world.run_until(Stage::RolledBack);
    // Two intervals, in which each external-dns has ended an old pass and made a new one, and the propagation.
    assert!(world.now >= written + SignedDuration::from_mins(3), "after {}", world.now.duration_since(written));
}

#[test]
fn where_nobody_answers_any_more_a_rollback_is_not_over() {
    for lost_before in [false, true] {
        let mut world = World::with_dns();
        world.run_while(|status| status.weight < 50 || status.served != Some(50));
        let lose = |world: &mut World| [Side::Source, Side::Target].map(|side| world.lose_address(side, "web", true));
        if lost_before {
            lose(&mut world);
        }
        world.verdicts.insert(Side::Target, Verdict::Fail);
        world.run_until(Stage::RollingBack);
        lose(&mut world);
        wait(&mut world, 60);
        assert_eq!(world.status.stage, Stage::RollbackBlocked, "{}", world.status.message);
        let said = "shop.example has no A record of the source any more, so that who asks for one is not led there. Ingress web on \
                    the source has no load balancer address: look at its ingress controller.";
        assert!(world.status.message.contains(said), "{}", world.status.message);
        world.lose_address(Side::Source, "web", false);
        world.run_until(Stage::RolledBack);
        assert_eq!(served(&world), 0);
    }
}
