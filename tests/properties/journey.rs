//! A migration that goes well.

use namespace_migration::api::Stage;
use namespace_migration::machine::health::Verdict;
use namespace_migration::machine::observed::SecretFacts;
use namespace_migration::machine::{Side, needs};
use serde_json::json;

use crate::recording::{broken_promise, texts};
use crate::world::World;

#[test]
fn a_migration_that_goes_well_makes_the_fewest_writes() {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    let expected = [
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
}

#[test]
fn a_rollback_reads_no_secret_before_both_sides_are_written() {
    let mut world = World::with(json!({"secrets": {"include": ["db"]}, "rollback": {"objects": "Remove"}}));
    world.source.secrets.insert("db".into(), SecretFacts::default());
    world.run_until(Stage::ShiftTraffic);
    world.unreachable(Side::Target);
    world.verdicts.insert(Side::Target, Verdict::Fail);
    world.run_until(Stage::RollingBack);
    assert_eq!(world.side(Side::Source).weight("web"), Some(100));
    assert_eq!(needs(&world.order, &world.status).secrets, Vec::<String>::new(), "the target may hang");
    world.reachable(Side::Target);
    world.run_until(Stage::RolledBack);
    assert_eq!(world.side(Side::Target).secrets.len(), 0, "what was created is removed");
}

#[test]
fn a_secret_that_is_waited_for_is_looked_at_again_without_a_write_of_the_status() {
    let mut world = World::with(json!({"secrets": {"include": ["db"]}}));
    world.run_until(Stage::CopySecrets);
    world.step();
    let first = world.pass();
    assert_eq!(first.status.reason, "SecretRefused", "it is not on the source: {}", first.status.message);
    let look = first.wake_at.expect("nothing else tells of a Secret");
    world.advance(look.duration_since(world.now));
    assert_eq!(world.pass().status, first.status);
}
