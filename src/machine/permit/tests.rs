//! Each refusal, and what is never refused.

use super::super::effect::{Foreign, Replaces};
use super::super::stamp::Direction;
use super::*;
use crate::api::FIELD_MANAGER;

fn stamp(epoch: i64, direction: Direction) -> Stamp {
    Stamp { owner: "home/shop/shop".into(), attempt: 1, epoch, direction }
}

fn write(weight: i32, stamp: Stamp) -> WeightWrite {
    WeightWrite {
        side: Side::Target,
        ingress: "web".into(),
        uid: Some("uid".into()),
        identifier: "web-shop-green".into(),
        weight: Weight::percent(weight),
        stamp,
        after_source: false,
        keeps_weight: false,
        withheld: false,
        before_end: false,
        replaces: None,
    }
}

fn ingress(weight: &str, stamp: Option<Stamp>) -> IngressFacts {
    IngressFacts {
        uid: "uid".into(),
        resource_version: "7".into(),
        identifier: Some("web-shop-green".into()),
        weight_text: Some(weight.into()),
        stamp,
        weight_managers: [FIELD_MANAGER.to_owned()].into(),
        ..IngressFacts::default()
    }
}

/// The target as given, beside a source at 100 that went forward.
fn live(weight: &str, found: Option<Stamp>) -> Live {
    Live {
        identity: "target".into(),
        namespace: Some(NamespaceFacts::default()),
        ingress: Some(ingress(weight, found)),
        other: Some(ingress("100", Some(stamp(1, Direction::Forward)))),
    }
}

fn refused(permit: Permit) -> Refusal {
    match permit {
        Permit::Refused(refusal) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}

#[test]
fn a_forward_write_carries_the_live_version() {
    let live = live("0", Some(stamp(1, Direction::Forward)));
    let permitted = permit(&write(10, stamp(1, Direction::Forward)), "target", &live);
    assert_eq!(permitted, Permit::Write { uid: "uid".into(), resource_version: "7".into() });
}

#[test]
fn what_is_done_is_not_written_again() {
    let live = live("10", Some(stamp(1, Direction::Forward)));
    assert_eq!(permit(&write(10, stamp(1, Direction::Forward)), "target", &live), Permit::AlreadyDone);
}

#[test]
fn a_rollback_writes_its_epoch_even_when_the_weight_is_right() {
    let live = live("0", Some(stamp(1, Direction::Forward)));
    assert!(matches!(permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live), Permit::Write { .. }));
}

#[test]
fn a_forward_write_stops_at_a_rollback_on_either_side() {
    let back = stamp(2, Direction::RollingBack);
    let forward = write(10, stamp(1, Direction::Forward));
    assert!(matches!(refused(permit(&forward, "target", &live("0", Some(back.clone())))), Refusal::Fenced { .. }));
    let other = Live { other: Some(ingress("100", Some(back))), ..live("0", Some(stamp(1, Direction::Forward))) };
    assert!(matches!(refused(permit(&forward, "target", &other)), Refusal::Fenced { .. }));
}

#[test]
fn a_forward_write_never_follows_a_rollback_of_its_own_epoch() {
    let live = live("0", Some(stamp(2, Direction::RolledBack)));
    assert!(matches!(
        refused(permit(&write(10, stamp(2, Direction::Forward)), "target", &live)),
        Refusal::Fenced { .. }
    ));
}

#[test]
fn nothing_is_written_to_another_cluster() {
    let refusal = refused(permit(&write(0, stamp(2, Direction::RollingBack)), "other", &live("10", None)));
    assert_eq!(
        refusal.to_string(),
        "the target is another cluster than the ClusterPair names: its identity is target, not other"
    );
}

#[test]
fn a_terminating_namespace_is_lowered_but_never_raised() {
    let mut live = live("10", Some(stamp(1, Direction::Forward)));
    live.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true });
    let raise = permit(&write(50, stamp(1, Direction::Forward)), "target", &live);
    assert!(matches!(refused(raise), Refusal::Terminating { .. }));
    assert!(matches!(permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live), Permit::Write { .. }));
}

#[test]
fn a_contested_weight_is_not_fought_going_forward_and_never_stops_a_rollback() {
    let mut live = live("77", Some(stamp(1, Direction::Forward)));
    if let Some(ingress) = &mut live.ingress {
        ingress.weight_managers = ["kubectl-edit".to_owned()].into();
    }
    let refusal = refused(permit(&write(10, stamp(1, Direction::Forward)), "target", &live));
    assert_eq!(refusal.to_string(), "the weight of Ingress web on the target was changed by kubectl-edit");
    assert!(matches!(permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live), Permit::Write { .. }));
}

#[test]
fn a_recreated_ingress_is_adopted_only_by_a_rollback() {
    let mut live = live("10", None);
    if let Some(ingress) = &mut live.ingress {
        ingress.uid = "new".into();
    }
    assert!(matches!(
        refused(permit(&write(10, stamp(1, Direction::Forward)), "target", &live)),
        Refusal::Recreated { .. }
    ));
    let back = permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live);
    assert_eq!(back, Permit::Write { uid: "new".into(), resource_version: "7".into() });
}

#[test]
fn another_migrations_ingress_is_left_alone_until_that_one_has_ended() {
    let other = Stamp { owner: "home/x/x".into(), ..stamp(9, Direction::Forward) };
    let forward = write(0, stamp(1, Direction::Forward));
    assert!(matches!(
        refused(permit(&forward, "target", &live("0", Some(other.clone())))),
        Refusal::OwnedByAnother { .. }
    ));
    let ended = Stamp { direction: Direction::Completed, ..other };
    assert!(matches!(permit(&forward, "target", &live("0", Some(ended))), Permit::Write { .. }));
}

#[test]
fn a_rollback_never_takes_users_from_another_migration_that_has_completed() {
    let other = Stamp { owner: "home/x/x".into(), ..stamp(1, Direction::Completed) };
    let back = permit(&write(0, stamp(2, Direction::RollingBack)), "target", &live("100", Some(other)));
    assert!(matches!(refused(back), Refusal::OwnedByAnother { .. }));
}

#[test]
fn users_are_given_to_the_target_only_while_both_sides_are_as_we_left_them() {
    let ours = Some(stamp(1, Direction::Forward));
    let raise = write(10, stamp(1, Direction::Forward));
    let mut foreign = ingress("100", ours.clone());
    foreign.weight_managers = ["helm".to_owned()].into();
    for (other, expected) in [
        (Some(foreign), "the weight of Ingress web on the source was changed by helm"),
        (Some(ingress("100", None)), "the weight of Ingress web on the source was changed by an unknown field manager"),
        (None, "Ingress web is not on the source"),
    ] {
        let live = Live { other, ..live("0", ours.clone()) };
        assert_eq!(refused(permit(&raise, "target", &live)).to_string(), expected);
    }
    let stripped = permit(&raise, "target", &live("0", None));
    assert!(matches!(refused(stripped), Refusal::Contested { side: Side::Target, .. }));
}

#[test]
fn a_forward_write_never_leaves_both_sides_at_zero() {
    let ours = Some(stamp(1, Direction::Forward));
    let lower = WeightWrite { side: Side::Source, ..write(0, stamp(1, Direction::Forward)) };
    let at = |other: &str| Live { other: Some(ingress(other, ours.clone())), ..live("50", ours.clone()) };
    let refusal = refused(permit(&lower, "target", &at("0")));
    let said = "weight 0 for Ingress web on the source would leave both sides at 0, which is an even split";
    assert_eq!(refusal.to_string(), said);
    assert!(matches!(permit(&lower, "target", &at("100")), Permit::Write { .. }));
    let publish = write(0, stamp(1, Direction::Forward));
    assert!(matches!(refused(permit(&publish, "target", &at("0"))), Refusal::BothZero { .. }));
}

#[test]
fn a_fence_changes_the_stamp_alone_and_needs_nothing_of_the_other_side() {
    let fence = WeightWrite { keeps_weight: true, ..write(10, stamp(2, Direction::Forward)) };
    let at = |weight: &str| Live { other: None, ..live(weight, Some(stamp(1, Direction::Forward))) };
    assert!(matches!(permit(&fence, "target", &at("10")), Permit::Write { .. }));
    let refusal = refused(permit(&fence, "target", &at("50")));
    assert_eq!(refusal.to_string(), "Ingress web on the target has changed since it was decided to keep its weight");
    let newer = Live { other: None, ..live("10", Some(stamp(3, Direction::Forward))) };
    assert!(matches!(refused(permit(&fence, "target", &newer)), Refusal::Fenced { .. }));
}

#[test]
fn the_last_stamp_changes_no_weight() {
    let last = write(100, stamp(1, Direction::Completed));
    let at = |weight: &str| live(weight, Some(stamp(1, Direction::Forward)));
    assert!(matches!(permit(&last, "target", &at("100")), Permit::Write { .. }));
    assert!(matches!(refused(permit(&last, "target", &at("50"))), Refusal::Moved { .. }));
}

#[test]
fn a_rollback_that_did_not_know_of_the_end_is_not_written_over_it() {
    let ended = || live("100", Some(stamp(1, Direction::Completed)));
    let after_source = true;
    let back = |before_end| WeightWrite { after_source, before_end, ..write(0, stamp(2, Direction::RollingBack)) };
    assert!(matches!(refused(permit(&back(true), "target", &ended())), Refusal::Fenced { .. }));
    assert!(
        matches!(permit(&back(false), "target", &ended()), Permit::Write { .. }),
        "a person asked for it afterwards"
    );
    let under_way = live("100", Some(stamp(1, Direction::Forward)));
    assert!(matches!(permit(&back(true), "target", &under_way), Permit::Write { .. }));
}

#[test]
fn a_rollback_that_was_decided_on_an_older_view_leaves_no_two_zeros() {
    let back = |after_source| WeightWrite { after_source, ..write(0, stamp(2, Direction::RollingBack)) };
    let of = |weight: &str, after_source| {
        permit(&back(after_source), "target", &live(weight, Some(stamp(1, Direction::Forward))))
    };
    assert!(matches!(refused(of("100", false)), Refusal::SourceMayBeZero { .. }));
    assert!(matches!(of("100", true), Permit::Write { .. }), "the source has its 100 by now");
    assert!(matches!(of("60", false), Permit::Write { .. }), "beside 60 the source has 40");
}

#[test]
fn a_target_ingress_is_made_only_beside_a_source_that_serves_under_this_very_stamp() {
    let stamped = |weight: &str, epoch: i64, direction: Direction| ingress(weight, Some(stamp(epoch, direction)));
    let creation = IngressCreation {
        name: "web".into(),
        identifier: "web-shop-green".into(),
        stamp: stamp(2, Direction::Forward),
    };
    let found = |source: IngressFacts| permit_creation(&creation, &source);
    assert_eq!(found(stamped("100", 2, Direction::Forward)), Ok(()));
    assert!(matches!(found(stamped("0", 2, Direction::Forward)), Err(Refusal::BothZero { side: Side::Target, .. })));
    assert!(matches!(found(stamped("100", 2, Direction::RollingBack)), Err(Refusal::Fenced { .. })));
    assert!(matches!(found(stamped("100", 1, Direction::Forward)), Err(Refusal::Contested { .. })));
    assert!(matches!(found(ingress("100", None)), Err(Refusal::Contested { .. })));
    let foreign = IngressFacts { weight_managers: ["helm".to_owned()].into(), ..stamped("100", 2, Direction::Forward) };
    assert!(matches!(found(foreign), Err(Refusal::Contested { .. })));
    let other = Stamp { owner: "home/x/x".into(), ..stamp(2, Direction::Forward) };
    assert!(matches!(found(ingress("100", Some(other))), Err(Refusal::OwnedByAnother { .. })));
}

/// The raise of the target to 10 over `foreign` on each side, where 10 percent are allowed.
fn replacing(weight: i32, source: Option<i32>, target: Option<i32>) -> WeightWrite {
    let foreign = |weight: i32| Foreign {
        identifier: "web-shop-green".into(),
        weight: Weight::parse(&weight.to_string()).unwrap_or_default(),
        writer: "helm".into(),
    };
    let replaces = Replaces { source: source.map(foreign), target: target.map(foreign), allowed: 10 };
    WeightWrite { replaces: Some(Box::new(replaces)), ..write(weight, stamp(1, Direction::Forward)) }
}

fn by(writer: &str, weight: &str) -> IngressFacts {
    let ours = Some(stamp(1, Direction::Forward));
    IngressFacts { weight_managers: [writer.to_owned()].into(), ..ingress(weight, ours) }
}

fn both(target: IngressFacts, source: IngressFacts) -> Live {
    Live { ingress: Some(target), other: Some(source), ..live("0", None) }
}

#[test]
fn exactly_the_foreign_weight_that_stood_is_replaced() {
    let raise = replacing(10, Some(100), Some(0));
    let permitted = |target, source| permit(&raise, "target", &both(target, source));
    assert!(matches!(permitted(by("helm", "0"), by("helm", "100")), Permit::Write { .. }));
    let unstamped = IngressFacts { stamp: None, ..by("helm", "0") };
    assert!(matches!(permitted(unstamped, by("helm", "100")), Permit::Write { .. }));
    let renamed = |facts: IngressFacts| IngressFacts { identifier: Some("mine".into()), ..facts };
    for (target, source, side) in [
        (by("helm", "1"), by("helm", "100"), Side::Target),
        (by("kubectl", "0"), by("helm", "100"), Side::Target),
        (renamed(by("helm", "0")), by("helm", "100"), Side::Target),
        (by("helm", "0"), by("helm", "99"), Side::Source),
        (by("helm", "0"), by("kubectl", "100"), Side::Source),
        (by("helm", "0"), renamed(by("helm", "100")), Side::Source),
    ] {
        let said = format!("{target:?} beside {source:?}");
        assert!(
            matches!(refused(permitted(target, source)), Refusal::Contested { side: found, .. } if found == side),
            "{said}"
        );
    }
}

#[test]
fn a_replacement_stops_at_a_newer_epoch_and_at_another_owner() {
    let raise = replacing(10, Some(100), Some(0));
    let source = |stamp: Stamp| IngressFacts { stamp: Some(stamp), ..by("helm", "100") };
    let newer = both(by("helm", "0"), source(stamp(2, Direction::RollingBack)));
    assert!(matches!(refused(permit(&raise, "target", &newer)), Refusal::Fenced { .. }));
    let other = Stamp { owner: "home/x/x".into(), ..stamp(1, Direction::Forward) };
    let taken = both(by("helm", "0"), source(other));
    assert!(matches!(refused(permit(&raise, "target", &taken)), Refusal::OwnedByAnother { .. }));
}

#[test]
fn a_replacement_never_gives_the_target_more_than_the_step_and_never_leaves_both_at_zero() {
    let beside = |source: &str| both(by("helm", "0"), by("helm", source));
    let refusal = refused(permit(&replacing(10, Some(50), Some(0)), "target", &beside("50")));
    let said =
        "weight 10 for Ingress web on the target would send 17 percent of users to the target, where 10 are allowed";
    assert_eq!(refusal.to_string(), said);
    let zero = refused(permit(&replacing(0, Some(0), Some(5)), "target", &both(by("helm", "5"), by("helm", "0"))));
    assert!(matches!(zero, Refusal::BothZero { .. }));
    let lowering = both(by("helm", "80"), by("helm", "20"));
    assert!(
        matches!(permit(&replacing(10, Some(20), Some(80)), "target", &lowering), Permit::Write { .. }),
        "what takes users back is never too much"
    );
}

#[test]
fn a_weight_is_not_changed_any_more_when_its_own_epoch_has_completed() {
    let late = live("100", Some(stamp(1, Direction::Completed)));
    let refusal = refused(permit(&write(50, stamp(1, Direction::Forward)), "target", &late));
    assert!(matches!(refusal, Refusal::Fenced { .. }), "{refusal:?}");
    // The next attempt has a newer epoch.
    let next = permit(&write(0, stamp(2, Direction::Forward)), "target", &late);
    assert!(matches!(next, Permit::Write { .. }), "{next:?}");
}
