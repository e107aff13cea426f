//! A kind of record that only the target has gets every answer of that kind, also at weight 0: nobody is left there.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::records::RecordKind;
use serde_json::json;

use crate::planted::stands;
use crate::recording::{broken_promise, texts};
use crate::world::World;

const HOST: &str = "shop.example";
const SOURCE_NAME: &str = "source-1.eu-west-2.elb.amazonaws.com";
const TARGET_NAME: &str = "target-1.eu-west-2.elb.amazonaws.com";
const BOTH_KINDS: [&str; 2] = ["192.0.2.20", "2001:db8::20"];

fn addresses<const N: usize>(texts: [&str; N]) -> std::collections::BTreeSet<String> {
    texts.map(str::to_owned).into()
}

/// A source with these addresses, and a target whose load balancer will have those.
fn between<const N: usize, const M: usize>(source: [&str; N], target: [&str; M]) -> World {
    let mut world = World::with_dns();
    world.ingress_mut(Side::Source, "web").addresses = addresses(source);
    world.dns.as_mut().unwrap().records.clear();
    world.target_addresses = addresses(target);
    world.follow();
    world
}

fn kinds_of_target(world: &World) -> Vec<&'static str> {
    let records = world.dns.as_ref().unwrap().records[HOST].iter();
    let theirs = records.filter(|record| record.set.owner.named() == Some("target-owner"));
    theirs.map(|record| record.set.kind.name()).collect()
}

/// Everything is back, the target's Ingress stays, and its external-dns publishes nothing of it.
fn is_withheld(world: &World, said: &str) {
    assert_eq!(world.status.stage, Stage::RolledBack, "{}", world.status.message);
    assert!(world.target.ingresses["web"].withheld, "{:?}", texts(world));
    assert_eq!((kinds_of_target(world), world.dns.as_ref().unwrap().share(HOST)), (vec![], 0));
    let cause = world.status.cause.as_ref().unwrap();
    assert_eq!(cause.reason, "DNSBlocked");
    assert!(cause.message.starts_with(said), "{}", cause.message);
    assert!(cause.message.contains("--exclude-record-types=AAAA"), "{}", cause.message);
    assert_eq!(broken_promise(&world.writes), None);
}

#[test]
fn a_kind_that_only_the_targets_load_balancer_has_is_taken_back_before_it_is_published() {
    let mut world = between(["192.0.2.10"], BOTH_KINDS);
    world.run_while(|status| {
        assert!(status.served.is_none_or(|served| served == 0), "{}", status.message);
        status.stage != Stage::RolledBack
    });
    is_withheld(
        &world,
        "Only the target would have records of kind AAAA at shop.example, by its load balancer 192.0.2.20, 2001:db8::20",
    );
    assert_eq!(
        texts(&world)[3..],
        [
            "create Ingress web",
            "source web 100 RollingBack",
            "target web 0 RollingBack",
            "source web 100 RolledBack",
            "target web 0 RolledBack"
        ]
    );
}

#[test]
fn a_kind_that_nobody_could_foresee_is_taken_back_as_soon_as_it_is_served() {
    // The source's external-dns leaves AAAA out, and nobody says that the target's does not.
    let mut world = between([SOURCE_NAME], [TARGET_NAME]);
    world.dns.as_mut().unwrap().left_out.insert((Side::Source, RecordKind::Aaaa));
    world.dns.as_mut().unwrap().records.clear();
    world.follow();
    world.run_until(Stage::RollingBack);
    assert_eq!(kinds_of_target(&world), ["A", "AAAA"], "it was published");
    world.run_until(Stage::RolledBack);
    is_withheld(&world, "Only the target has records of kind AAAA at shop.example");
    assert!(world.target.ingresses.contains_key("web"), "it serves whoever still has its address");
}

#[test]
fn where_neither_external_dns_publishes_a_kind_it_is_not_expected_of_one() {
    let mut world = between([SOURCE_NAME], [TARGET_NAME]);
    for side in [Side::Source, Side::Target] {
        world.dns.as_mut().unwrap().left_out.insert((side, RecordKind::Aaaa));
    }
    world.dns.as_mut().unwrap().records.clear();
    world.follow();
    world.run_until(Stage::Completed);
}

#[test]
fn what_the_pair_says_of_the_targets_external_dns_is_believed() {
    let mut world = between(["192.0.2.10"], [TARGET_NAME]);
    world.dns.as_mut().unwrap().left_out.insert((Side::Target, RecordKind::Aaaa));
    world.order.target.record_kinds = Some([RecordKind::A].into());
    world.run_until(Stage::Completed);
    let mut world = between([SOURCE_NAME], [TARGET_NAME]);
    world.dns.as_mut().unwrap().left_out.insert((Side::Source, RecordKind::Aaaa));
    world.dns.as_mut().unwrap().records.clear();
    world.follow();
    world.order.target.record_kinds = Some([RecordKind::A, RecordKind::Aaaa].into());
    world.run_until(Stage::RolledBack);
    is_withheld(&world, "Only the target would have records of kind AAAA");
}

#[test]
fn a_target_that_a_pipeline_has_deployed_holds_before_the_first_write_and_goes_on_when_it_is_mended() {
    let mut world = between(["192.0.2.10"], ["192.0.2.20"]);
    world.add_ingress(Side::Target, "web", HOST);
    world.ingress_mut(Side::Target, "web").addresses = addresses(BOTH_KINDS);
    world.run_until(Stage::WeightSource);
    for _ in 0..20 {
        world.settle();
        world.advance(SignedDuration::from_mins(10));
    }
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::WeightSource, "DNSBlocked"));
    assert!(world.status.message.contains("Only the target has records of kind AAAA"), "{}", world.status.message);
    assert!(world.status.unblock.contains("spec.target.externalDNS.recordTypes"), "{}", world.status.unblock);
    assert_eq!(texts(&world), Vec::<String>::new());
    world.ingress_mut(Side::Target, "web").addresses = addresses(["192.0.2.20"]);
    world.run_until(Stage::Completed);
}

#[test]
fn without_a_look_at_dns_it_goes_by_the_addresses_alone() {
    let mut world = World::new();
    world.target_addresses = addresses(BOTH_KINDS);
    world.run_until(Stage::RolledBack);
    assert!(world.target.ingresses["web"].withheld);
    let cause = &world.status.cause.as_ref().unwrap().message;
    assert!(cause.starts_with("Only the target would have records of kind AAAA at shop.example"), "{cause}");
}

#[test]
fn a_load_balancer_that_gets_another_kind_in_the_shift_gives_everybody_back() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    world.ingress_mut(Side::Target, "web").addresses = addresses(BOTH_KINDS);
    world.advance(SignedDuration::from_secs(1));
    assert_eq!(world.dns.as_ref().unwrap().share(HOST), 100, "of the AAAA answers");
    world.run_until(Stage::RolledBack);
    is_withheld(&world, "Only the target has records of kind AAAA");
}

#[test]
fn nobody_is_moved_to_a_source_that_fails() {
    let mut world = stands(World::with_dns(), 1, StepPhase::Holding);
    world.verdicts.insert(Side::Source, Verdict::Fail);
    world.ingress_mut(Side::Target, "web").addresses = addresses(BOTH_KINDS);
    world.advance(SignedDuration::from_secs(1));
    world.pass();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::ShiftTraffic, "DNSBlocked"));
    assert!(world.status.message.contains("The source fails too"), "{}", world.status.message);
    world.verdicts.insert(Side::Source, Verdict::Pass);
    world.run_until(Stage::RolledBack);
}

#[test]
fn the_next_attempt_publishes_what_was_withheld_once_it_is_mended_and_not_before() {
    let mut world = between(["192.0.2.10"], BOTH_KINDS);
    world.run_until(Stage::RolledBack);
    world.edit(&json!({"attempt": 2}));
    world.run_until(Stage::WeightSource);
    world.settle();
    assert_eq!(world.status.reason, "DNSBlocked", "{}", world.status.message);
    assert!(world.target.ingresses["web"].withheld);
    world.ingress_mut(Side::Target, "web").addresses = addresses(["192.0.2.20"]);
    world.run_until(Stage::Completed);
    assert!(!world.target.ingresses["web"].withheld);
    assert_eq!(kinds_of_target(&world), ["A"]);
}
