//! A migration that goes well.

use namespace_migration::api::Stage;

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
