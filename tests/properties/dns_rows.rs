//! What status says of DNS: per host and kind what is wanted, written and served, and which gate waits for what.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::RecordTraffic;
use namespace_migration::machine::gate::Verification;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::records::{
    Evidence, HostView, ListedRecord, Owner, RecordKind, RecordSet, Routing, Seen, ServerAnswers,
};
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Side, decide, needs};
use proptest::prelude::*;

use crate::world::World;

const HOST: &str = "shop.example";

fn row<'a>(world: &'a World, host: &str) -> &'a RecordTraffic {
    let rows = &world.status.dns;
    rows.iter().find(|row| row.host == host).unwrap_or_else(|| panic!("{host} is not in {rows:?}"))
}

/// Desired, written and served.
fn shares(row: &RecordTraffic) -> (i32, i32, Option<i32>) {
    (row.desired, row.written, row.served)
}

fn stop(world: &mut World, side: Side) {
    world.dns.as_mut().unwrap().stopped.insert(side);
}

#[test]
fn a_row_says_what_is_wanted_written_and_served_and_which_gate_waits_for_what() {
    let mut world = World::with_dns();
    world.run_until(Stage::ShiftTraffic);
    stop(&mut world, Side::Target);
    world.run_while(|status| status.weight < 1 || status.reason != "WaitingForDNS");
    let seen = row(&world, HOST).clone();
    assert_eq!((seen.kind.as_str(), shares(&seen), seen.ttl.as_str()), ("A", (1, 1, Some(0)), "1m"));
    assert_eq!(seen.found, "web-shop-blue 100, web-shop-green 0");
    assert!(seen.since.is_some(), "since when it has been so");
    assert_eq!(seen.gate, "target raised to 1");
    assert_eq!(
        seen.waits_for,
        "The A record web-shop-green of shop.example has weight 0; weight 1 is written on the target."
    );
    let written = world.status.step.as_ref().unwrap().since.0.as_second();
    assert_eq!(seen.written_since.map(|since| since.0.as_second()), Some(written));
    assert!(world.status.dns_verification.starts_with("Route53: the list of records is read."));

    world.dns.as_mut().unwrap().stopped.clear();
    world.follow();
    world.settle();
    let listed = row(&world, HOST);
    assert!(listed.waits_for.starts_with("It is listed as written, and counts as served from "), "{listed:?}");
    world.run_while(|status| status.reason != "HoldingStep");
    let held = row(&world, HOST);
    assert_eq!((shares(held), held.gate.as_str(), held.waits_for.as_str()), ((1, 1, Some(1)), "", ""));
    assert_eq!((held.written_since.clone(), world.status.served), (None, Some(1)));
}

#[test]
fn of_two_hosts_only_the_one_that_lags_has_the_gate() {
    let mut world = World::with_dns();
    world.add_ingress(Side::Source, "api", "api.example");
    world.follow();
    world.run_until(Stage::PublishTarget);
    stop(&mut world, Side::Target);
    world.run_while(|status| status.reason != "WaitingForDNS");
    let set = RecordSet {
        kind: RecordKind::A,
        identifier: Some("web-shop-green".into()),
        routing: Routing::Weighted(Weight::ZERO),
        ttl: None,
        leads_to: vec!["192.0.2.20".into()],
        owner: Owner::Unread,
    };
    let since = world.now;
    world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap().push(ListedRecord { set, since });
    world.advance(SignedDuration::from_mins(2));
    world.settle();
    assert_eq!(row(&world, HOST).gate, "", "{:?}", row(&world, HOST));
    let lags = row(&world, "api.example");
    assert_eq!(lags.gate, "target published at 0");
    assert_eq!(lags.waits_for, "api.example has no A record api-shop-green, which is the target's.");
}

#[test]
fn kinds_of_one_host_are_rows_of_their_own_and_the_highest_share_is_the_one_that_counts() {
    let mut world = World::with_dns();
    world.run_while(|status| status.weight < 50 || status.reason != "HoldingStep");
    stop(&mut world, Side::Source);
    stop(&mut world, Side::Target);
    let records = world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap();
    let twins = records.iter().cloned().map(|mut twin| {
        twin.set.kind = RecordKind::Aaaa;
        if twin.set.identifier.as_deref() == Some("web-shop-green") {
            twin.set.routing = Routing::Weighted(Weight::percent(10));
        }
        twin
    });
    let twins: Vec<_> = twins.collect();
    records.extend(twins);
    world.settle();
    let seen: Vec<_> = world.status.dns.iter().map(|row| (row.kind.as_str(), row.served)).collect();
    assert_eq!(seen, [("A", Some(50)), ("AAAA", Some(17))], "10 of 60 is rounded up");
    assert_eq!(world.status.served, Some(50));
}

#[test]
fn a_kind_that_is_missing_holds_its_own_row_and_not_that_of_another_kind() {
    let mut world = World::with_dns();
    world.run_until(Stage::PublishTarget);
    world.run_while(|status| status.reason != "WaitingForDNS");
    world.follow();
    stop(&mut world, Side::Source);
    stop(&mut world, Side::Target);
    let records = world.dns.as_mut().unwrap().records.get_mut(HOST).unwrap();
    let mut twin =
        records.iter().find(|record| record.set.identifier.as_deref() == Some("web-shop-blue")).unwrap().clone();
    twin.set.kind = RecordKind::Aaaa;
    records.push(twin);
    world.advance(SignedDuration::from_mins(5));
    world.settle();
    let seen: Vec<_> = world.status.dns.iter().map(|row| (row.kind.as_str(), row.gate.as_str())).collect();
    assert_eq!(seen, [("A", ""), ("AAAA", "target published at 0")]);
    let missing = &world.status.dns[1].waits_for;
    assert_eq!(missing, "shop.example has no AAAA record web-shop-green, which is the target's.");
}

#[test]
fn where_nobody_looks_the_row_says_until_when_the_clock_runs() {
    let mut world = World::new();
    world.run_while(|status| status.reason != "WaitingForDNS");
    let seen = row(&world, HOST);
    assert_eq!((seen.kind.as_str(), seen.served, seen.gate.as_str()), ("Any", None, "source weighted at 100"));
    let until = seen.written_since.as_ref().unwrap().0 + crate::world::SETTLE;
    assert_eq!(seen.waits_for, format!("Nobody looks: it counts as served from {until} on."));
    assert!(world.status.dns_verification.starts_with("AnnotationOnly: nobody looks at DNS."));
    assert_eq!(world.status.served, None);
}

#[test]
fn where_name_servers_answer_the_row_says_who_does_and_what_is_missing() {
    let mut world = World::with_dns();
    world.run_until(Stage::ShiftTraffic);
    stop(&mut world, Side::Target);
    world.run_while(|status| status.weight < 1 || status.reason != "WaitingForDNS");
    world.order.dns.verification = Verification::AuthoritativeDns;
    let seen = Seen { last: world.now, answers_since: 0 };
    let answers = ServerAnswers {
        answers: 9,
        seen: [("192.0.2.10".to_owned(), seen)].into(),
        ttl: Some(SignedDuration::from_secs(30)),
        ..ServerAnswers::default()
    };
    let servers = [(("192.0.2.53:53".to_owned(), RecordKind::A), answers)].into();
    let evidence = Evidence::Answered { servers, balancers: [].into() };
    let mut observed = world.observe(&needs(&world.order, &world.status), 0);
    observed.dns.hosts = [(HOST.to_owned(), HostView { read_at: world.now, since: world.now, evidence })].into();
    let status = decide(&world.order, &world.status, &observed, world.now).status;
    let [row] = status.dns.as_slice() else { panic!("{:?}", status.dns) };
    assert_eq!((row.kind.as_str(), row.ttl.as_str(), row.served), ("A", "30s", None), "a share is never seen");
    assert_eq!((row.found.as_str(), row.gate.as_str()), ("answered by source", "target raised to 1"));
    assert_eq!(row.waits_for, "Name server 192.0.2.53:53: the target has not answered for shop.example yet.");
    assert!(status.dns_verification.starts_with("AuthoritativeDNS: the zone's name servers are asked."));
}

#[test]
fn a_rollback_says_at_which_host_users_still_are_and_its_end_leaves_no_gate_closed() {
    let mut world = World::with_dns();
    world.run_while(|status| status.weight < 50 || status.served != Some(50));
    stop(&mut world, Side::Target);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    world.settle();
    world.follow();
    world.settle();
    let seen = row(&world, HOST);
    assert_eq!((seen.desired, seen.written, seen.gate.as_str()), (0, 0, "source serves all"));
    assert_eq!(seen.waits_for, "shop.example still sends 34 percent of its answers to the target.");
    world.dns.as_mut().unwrap().stopped.clear();
    world.run_until(Stage::RolledBack);
    let ended = row(&world, HOST);
    assert_eq!((ended.served, ended.gate.as_str(), ended.written_since.clone()), (Some(0), "", None));
}

#[test]
fn a_dns_that_cannot_be_read_is_said_in_the_row() {
    let mut world = World::with_dns();
    world.run_until(Stage::ShiftTraffic);
    world.run_while(|status| status.reason != "WaitingForDNS");
    world.dns.as_mut().unwrap().unreadable = Some("Route 53 throttles the account".into());
    world.settle();
    let seen = row(&world, HOST);
    assert!(seen.found.ends_with(" (as last read: Route 53 throttles the account)"), "{}", seen.found);
    assert_eq!(seen.waits_for, "DNS cannot be read now; what is shown was read before.");
    assert_eq!(world.status.reason, "DNSUnreadable");
    assert_ne!(world.status.health, "Fail", "the application is not blamed");
}

#[test]
fn a_time_in_which_nobody_could_look_moves_no_since_and_is_no_news() {
    let mut world = World::with_dns();
    world.edit(&serde_json::json!({"traffic": {"upTo": 1}}));
    world.run_while(|status| status.reason != "AtCeiling");
    world.advance(SignedDuration::from_hours(2));
    world.settle();
    let (before, began_anew) = (world.status.clone(), world.now - SignedDuration::from_hours(1));
    assert!(row(&world, HOST).since.as_ref().unwrap().0 < began_anew);
    world.dns.as_mut().unwrap().changed_at.insert(HOST.into(), began_anew);
    world.pass();
    assert_eq!(world.status, before);
}

/// What may happen to DNS between two passes.
#[derive(Clone, Copy, Debug)]
enum Happens {
    Nothing,
    Stops(Side),
    Runs(Side),
    Hides(bool),
    Fails,
}

fn happens() -> impl Strategy<Value = Happens> {
    let side = prop_oneof![Just(Side::Source), Just(Side::Target)];
    prop_oneof![
        6 => Just(Happens::Nothing),
        2 => side.clone().prop_map(Happens::Stops),
        3 => side.prop_map(Happens::Runs),
        1 => any::<bool>().prop_map(Happens::Hides),
        1 => Just(Happens::Fails),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(64) })]

    /// Whatever DNS does: whoever waits at a gate finds a row that says for what, and whoever does not finds none.
    #[test]
    fn a_row_has_a_gate_exactly_while_one_is_closed(story in prop::collection::vec(happens(), 1..60)) {
        const AT_A_GATE: [&str; 4] = ["WaitingForDNS", "DNSLate", "DNSUnreadable", "WaitingForRollbackDNS"];
        let mut world = World::with_dns();
        world.run_until(Stage::WeightSource);
        for event in story {
            match event {
                Happens::Nothing => {}
                Happens::Stops(side) => world.stop_dns(side, true),
                Happens::Runs(side) => world.stop_dns(side, false),
                Happens::Hides(hidden) => world.hide_dns(hidden),
                Happens::Fails => drop(world.verdicts.insert(Side::Target, Verdict::Fail)),
            }
            world.step();
            let status = &world.status;
            let closed: Vec<_> = status.dns.iter().filter(|row| !row.gate.is_empty()).collect();
            if AT_A_GATE.contains(&status.reason.as_str()) && !status.message.starts_with("Nothing is written yet") {
                prop_assert!(!closed.is_empty(), "{} {}: {:?}", status.stage, status.message, status.dns);
            } else {
                prop_assert!(closed.is_empty(), "{} {}: {closed:?}", status.reason, status.message);
            }
            for row in &status.dns {
                prop_assert_eq!(row.gate.is_empty(), row.waits_for.is_empty(), "{:?}", row);
                prop_assert_eq!(row.gate.is_empty(), row.written_since.is_none(), "{:?}", row);
                prop_assert!((0..=100).contains(&row.desired) && row.served.is_none_or(|served| (0..=100).contains(&served)));
            }
            prop_assert_eq!(status.served, status.dns.iter().filter_map(|row| row.served).max());
        }
    }
}
