//! Somebody else writes our weights: the clock stops, nobody fights, and what hurts users is answered by one rollback.

use jiff::SignedDuration;
use namespace_migration::api::Stage;
use namespace_migration::api::status::StepPhase;
use namespace_migration::machine::Side;
use namespace_migration::machine::health::Verdict;

use crate::planted::at;
use crate::recording::{broken_promise, texts};
use crate::stages::says;
use crate::world::World;

#[test]
fn a_foreign_weight_is_not_fought_and_the_cure_that_status_names_works() {
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight(Side::Target, "web", 5, false);
    let before = world.writes.len();
    world.pass();
    let said = "The weight of Ingress web on the target was changed to 5 by helm; 10 is expected. If it then stays unchanged for 3m, it is replaced once.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "WeightContested", said));
    let cure = "Stop the other writer. Argo CD: ignoreDifferences with managedFieldsManagers [namespace-migration]; \
        Flux: spec.ignore for /metadata/annotations/external-dns.kubernetes.io~1aws-weight, /metadata/annotations/external-dns.kubernetes.io~1set-identifier and /metadata/annotations/namespacemigration.io~1stamp. Then give the Ingress back, on the target cluster: \
        kubectl --context=TARGET annotate ingress web -n shop --overwrite \
        external-dns.kubernetes.io/set-identifier=web-shop-green external-dns.kubernetes.io/aws-weight=10";
    assert_eq!(world.status.unblock, cure);
    world.advance(SignedDuration::from_secs(179));
    world.pass();
    assert_eq!(world.writes.len(), before, "it was fought");
    world.obey();
    world.settle();
    assert_eq!(texts(&world)[before + 1..], ["target web 10"], "it was not taken up again");
    world.run_until(Stage::Completed);
}

#[test]
fn a_contest_never_blocks_a_rollback_for_health() {
    let mut world = at(1, StepPhase::Holding);
    world.foreign_weight(Side::Target, "web", 5, false);
    world.pass();
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RolledBack);
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
}

#[test]
fn a_contest_that_outlasts_dns_needs_a_person_and_one_that_passes_does_not() {
    let mut world = at(1, StepPhase::Holding);
    world.ingress_mut(Side::Target, "web").identifier = Some("mine".into());
    let stalled = |world: &World| {
        let stalled = world.status.conditions.iter().find(|condition| condition.type_ == "Stalled");
        stalled.is_some_and(|condition| condition.status == "True")
    };
    world.pass();
    assert!(!stalled(&world), "it may pass");
    assert_eq!(world.look().wake_at, world.now.checked_add(SignedDuration::from_mins(3)).ok());
    world.advance(SignedDuration::from_mins(3));
    world.pass();
    assert!(stalled(&world));
    world.obey();
    world.pass();
    assert!(!stalled(&world));
}

#[test]
fn two_records_of_one_identifier_are_answered_by_a_rollback() {
    let mut world = at(1, StepPhase::Holding);
    world.ingress_mut(Side::Source, "web").identifier = Some("web-shop-green".into());
    world.run_until(Stage::RolledBack);
    assert_eq!(world.source.ingresses["web"].identifier.as_deref(), Some("web-shop-blue"));
}

#[test]
fn a_contest_past_its_deadline_stalls_and_moves_nobody() {
    let mut world = at(1, StepPhase::SourceSettling);
    world.ingress_mut(Side::Target, "web").identifier = Some("mine".into());
    let told = |world: &World| world.look().events.iter().filter(|event| event.warning).count();
    assert_eq!(told(&world), 1, "nobody is called");
    world.pass();
    assert_eq!(told(&world), 0, "it is told again and again");
    world.advance(SignedDuration::from_hours(2));
    assert_eq!(told(&world), 0, "it is told again and again");
    world.pass();
    let said = "ShiftTraffic took longer than 1h3m: The DNS set identifier of Ingress web on the target was changed to mine; web-shop-green is expected.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "WeightContested", said));
    let stalled = world.status.conditions.iter().find(|condition| condition.type_ == "Stalled").unwrap();
    assert_eq!(stalled.status, "True");
    world.obey();
    world.pass();
    assert_eq!(world.status.stage, Stage::ShiftTraffic, "the deadline starts anew once it is over");
}

/// What a foreign write leads to, and the cause of the rollback.
fn answered(index: i32, side: Side, weight: i32, strip: bool) -> (Stage, String) {
    let mut world = at(index, StepPhase::Holding);
    world.foreign_weight(side, "web", weight, strip);
    world.pass();
    let cause = world.status.cause.as_ref().map(|cause| cause.message.clone()).unwrap_or_default();
    let stage = world.status.stage;
    if stage == Stage::RollingBack {
        assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
    }
    assert_eq!(broken_promise(&world.writes), None);
    (stage, cause)
}

#[test]
fn both_at_zero_is_answered_by_a_rollback() {
    let said = "The weight of Ingress web on the target was changed to 0 by helm; 100 is expected. Both sides are at 0, which is an even split.";
    assert_eq!(answered(3, Side::Target, 0, false), (Stage::RollingBack, said.to_owned()));
}

#[test]
fn more_users_than_the_step_allows_is_answered_by_a_rollback() {
    let said = "The weight of Ingress web on the target was changed to 100 by helm; 10 is expected. That sends 53 percent of users to the target, where 10 are allowed.";
    assert_eq!(answered(1, Side::Target, 100, false), (Stage::RollingBack, said.to_owned()));
    let said = "The weight of Ingress web on the source was changed to 0 by helm; 90 is expected. That sends 100 percent of users to the target, where 10 are allowed.";
    assert_eq!(answered(1, Side::Source, 0, false), (Stage::RollingBack, said.to_owned()));
}

#[test]
fn a_weight_that_somebody_raised_to_the_next_steps_is_not_taken_for_ours() {
    assert_eq!(answered(1, Side::Target, 50, false).0, Stage::RollingBack);
}

#[test]
fn a_source_without_its_annotations_beside_a_published_target_is_answered_by_a_rollback() {
    let said = "The DNS set identifier of Ingress web on the source was changed to none; web-shop-blue is expected. Without its weight the source's record may disappear, and every user would go to the target.";
    assert_eq!(answered(1, Side::Source, 0, true), (Stage::RollingBack, said.to_owned()));
}

#[test]
fn one_host_given_away_is_not_hidden_by_another_that_is_not() {
    let mut world = World::new();
    world.add_ingress(Side::Source, "api", "api.example");
    world.run_until(Stage::SmokeTest);
    world.foreign_weight(Side::Source, "web", 0, false);
    world.pass();
    assert_eq!(world.status.stage, Stage::RollingBack);
}

#[test]
fn a_rollback_is_not_stopped_by_a_foreign_writer_and_keeps_answering() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    for _ in 0..5 {
        world.pass();
        world.foreign_weight(Side::Source, "web", 0, true);
        world.advance(SignedDuration::from_secs(30));
    }
    world.pass();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
    world.run_until(Stage::RolledBack);
}

#[test]
fn before_the_target_is_published_a_contest_is_told_too() {
    let mut world = World::new();
    world.pass();
    world.foreign_weight(Side::Source, "web", 7, false);
    world.pass();
    let said = "The weight of Ingress web on the source was changed to 7 by helm; 100 is expected. If it then stays unchanged for 3m, it is replaced once.";
    assert_eq!(says(&world), (Stage::WeightSource, "WeightContested", said));
    world.obey();
    world.run_until(Stage::Completed);
}

#[test]
fn an_ingress_that_goes_away_holds_and_one_made_anew_sends_everything_back() {
    let mut world = at(1, StepPhase::Holding);
    let facts = world.source.ingresses.remove("web").unwrap();
    world.pass();
    assert_eq!(
        says(&world),
        (
            Stage::ShiftTraffic,
            "WeightContested",
            "Ingress web is gone from the source. Only the target is left to serve its hosts: every user may be there, and nothing can go back before it is here again."
        )
    );
    world.source.ingresses.insert("web".into(), facts);
    world.recreate(Side::Source, "web");
    world.run_until(Stage::RolledBack);
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
}

#[test]
fn a_writer_against_a_rollback_is_answered_at_once_and_then_with_pauses_and_is_named() {
    let mut world = at(1, StepPhase::Holding);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.pass();
    world.pass();
    let mut answers = vec![];
    for _ in 0..4 {
        world.foreign_weight(Side::Target, "web", 50, false);
        let began = world.now;
        for _ in 0..20 {
            world.pass();
            if world.target.weight("web") == Some(0) {
                break;
            }
            assert_eq!(world.status.reason, "RollbackContested");
            world.advance(SignedDuration::from_secs(1));
        }
        answers.push(world.now.duration_since(began).as_secs());
        world.pass();
    }
    assert_eq!(answers, [0, 1, 2, 4]);
    world.foreign_weight(Side::Target, "web", 50, false);
    world.pass();
    let said = "The annotations of Ingress web on the target are changed by helm against this rollback; they are written again.";
    assert!(world.status.message.starts_with(said), "{}", world.status.message);
    let contested = world.status.conditions.iter().find(|found| found.type_ == "WeightContested").unwrap();
    assert_eq!(contested.status, "True");
    assert!(!world.status.unblock.contains("annotate"), "the rollback itself gives it back: {}", world.status.unblock);
    world.run_until(Stage::RolledBack);
}

#[test]
fn an_identifier_that_was_changed_is_named() {
    let mut world = at(1, StepPhase::Holding);
    world.ingress_mut(Side::Target, "web").identifier = Some("mine".into());
    world.pass();
    let said = "The DNS set identifier of Ingress web on the target was changed to mine; web-shop-green is expected.";
    assert_eq!(says(&world), (Stage::ShiftTraffic, "WeightContested", said));
}

#[test]
fn two_zeros_are_answered_also_in_a_pause_and_where_the_sources_stamp_is_gone() {
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.pass();
    assert_eq!(world.status.stage, Stage::WeightSource);
    world.foreign_weight(Side::Source, "web", 0, true);
    world.foreign_weight(Side::Source, "web", 0, false);
    crate::controls::pause(&mut world);
    world.pass();
    world.pass();
    assert_eq!((world.source.weight("web"), world.target.weight("web")), (Some(100), Some(0)));
    let cause = world.status.cause.as_ref().unwrap();
    assert_eq!(cause.message, "Ingress web has weight 0 on both sides, which is an even split.");
}
