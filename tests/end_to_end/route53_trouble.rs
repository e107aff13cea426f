//! Route 53 in trouble, for the operator's reader and for both external-dns, while users are brought to the target and while they are
//! brought back: nothing moves on what nobody can see, status says what is wrong, nobody is lost, and it goes on when the trouble is over.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::population::Side;
use rig::progress::say;
use rig::route53::faults::{Active, Scope};
use serde_json::json;

use crate::scene::{LIMIT, Scene, Visited, condition, holds_step, reason_of, with_own_dns};

/// Rounds of probes in which nothing may be written.
const ROUNDS: u64 = 10;

/// What is wrong with Route 53.
#[derive(Clone, Copy, Debug)]
enum Trouble {
    /// Every request about the zone exceeds the rate.
    Throttles,
    /// No request about the zone is answered for a minute.
    StallsForAMinute,
    /// Every batch is refused; the records can be listed.
    RefusesBatches,
}

impl Trouble {
    /// From here on until what is returned is dropped.
    fn begins(self, scene: &Scene) -> Active {
        let scope = Scope::everything().zone(scene.setup.zone(scene.world).name());
        let faults = scene.world.route53().faults();
        match self {
            Self::Throttles => faults.throttle(scope),
            Self::StallsForAMinute => faults.stall(scope),
            Self::RefusesBatches => faults.refuse_batches(scope, "Tried to create an alias that targets nothing"),
        }
    }

    /// How long it lasts at least.
    fn lasts(self) -> Duration {
        Duration::from_secs(if matches!(self, Self::StallsForAMinute) { 60 } else { 0 })
    }

    /// What it waits for on the way to the target, in one word.
    fn reason(self) -> &'static str {
        if matches!(self, Self::RefusesBatches) { "DNSLate" } else { "DNSUnreadable" }
    }

    /// What a person reads of it on both ways, in the message or in what can be done.
    fn told(self) -> &'static [&'static str] {
        match self {
            Self::Throttles => &["DNS cannot be read at", "Route 53 throttles the account", "requests per second"],
            Self::StallsForAMinute => &["DNS cannot be read at", "no answer to ListResourceRecordSets", "within"],
            Self::RefusesBatches => &["DNS has not followed", "InvalidChangeBatch", "external-dns of the"],
        }
    }
}

impl Trouble {
    fn is_told(self, found: &NamespaceMigration) -> bool {
        let Some(status) = &found.status else { return false };
        let is_in = |words: &&str| [&status.message, &status.unblock].iter().any(|text| text.contains(*words));
        self.told().iter().all(is_in)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_53_that_throttles_everybody_holds_the_weights_and_it_goes_on() -> Result<()> {
    Box::pin(in_trouble("throttled", Trouble::Throttles)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_53_that_stalls_for_a_minute_holds_the_weights_and_it_goes_on() -> Result<()> {
    Box::pin(in_trouble("stalled", Trouble::StallsForAMinute)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_route_53_that_refuses_every_batch_holds_the_weights_and_it_goes_on() -> Result<()> {
    Box::pin(in_trouble("refused", Trouble::RefusesBatches)).await
}

/// One migration goes on to its last step and another one goes back, both in the trouble.
async fn in_trouble(name: &str, trouble: Trouble) -> Result<()> {
    let scene = Scene::open(with_own_dns(name)).await?;
    let on = scene.migration(&format!("{name}-on")).steps(&[(10, "1s"), (100, "1s")]).spec("/traffic/upTo", json!(10));
    let back = scene.migration(&format!("{name}-back")).steps(&[(50, "10m"), (100, "1s")]);
    let (on, back) = futures::try_join!(Visited::begin(on), Visited::begin(back))?;
    futures::try_join!(on.shop.waits("AtCeiling"), back.shop.until("the hold", |found| holds_step(found, 1)))?;

    let (active, since) = (trouble.begins(&scene), SystemTime::now());
    on.shop.change(json!({"traffic": {"upTo": 100}})).await?;
    back.breaks();
    futures::try_join!(waits(&on, trouble), goes_back(&back, trouble))?;
    futures::try_join!(on.shop.stays_as_it_is(ROUNDS), back.shop.stays_as_it_is(ROUNDS))?;
    for visited in [&on, &back] {
        let asked = |visits: &[_]| {
            visits.last().is_some_and(|visit: &rig::population::Visit| visit.at >= since + trouble.lasts())
        };
        visited.people.wait_until("the trouble has lasted long enough", LIMIT, asked).await?;
        visited.nobody_is_lost()?;
    }
    drop(active);

    futures::try_join!(on.shop.ends(Stage::Completed), back.shop.ends(Stage::RolledBack))?;
    for (visited, home) in [(&on, Side::Target), (&back, Side::Source)] {
        visited.keeps_its_promises(home).await?;
    }
    scene.setup.own_dns().context("external-dns of its own")?.external_dns().kill().await
}

/// On the way to the target: nothing is written before DNS is seen, and where it can be seen, the giver waits for the receiver.
async fn waits(visited: &Visited<'_>, trouble: Trouble) -> Result<()> {
    // The first look at external-dns's metrics may be older than the first refusal.
    let told = |found: &NamespaceMigration| reason_of(found) == trouble.reason() && trouble.is_told(found);
    let found = visited.shop.until("a word about the trouble", told).await?;
    let (words, weights) = match trouble {
        Trouble::RefusesBatches => ("Weight 100 is written on the target", [Some(90), Some(100)]),
        _ => ("Before the target gets weight 100, DNS must show what is written", [Some(90), Some(10)]),
    };
    says(visited, &found, trouble, words)?;
    ensure!(condition(&found, "TargetHealthy") == "True" && condition(&found, "Stalled") == "False");
    ensure!(visited.shop.weights().await? == weights, "it did not wait");
    visited.nobody_is_lost().map(drop)
}

/// On the way back: both weights are written at once, and it is told that nobody sees whether DNS follows.
async fn goes_back(visited: &Visited<'_>, trouble: Trouble) -> Result<()> {
    let told = |found: &NamespaceMigration| reason_of(found) == "WaitingForRollbackDNS" && trouble.is_told(found);
    let found = visited.shop.until("a word about the trouble", told).await?;
    says(visited, &found, trouble, "The source has 100 and the target 0")?;
    ensure!(visited.shop.weights().await? == [Some(100), Some(0)], "something else is written");
    let exposed = found.status.and_then(|status| status.exposed_percent);
    ensure!(exposed == Some(50), "DNS serves 50:50, and status says that {exposed:?} percent are exposed");
    visited.nobody_is_lost().map(drop)
}

fn says(visited: &Visited<'_>, found: &NamespaceMigration, trouble: Trouble, written: &str) -> Result<()> {
    let status = found.status.as_ref().context("a status")?;
    say(format!("{}: {} | {}", visited.shop.name(), status.message, status.unblock));
    ensure!(status.message.starts_with(written), "expected {written:?}: {}", status.message);
    ensure!(trouble.is_told(found), "expected {:?}: {} | {}", trouble.told(), status.message, status.unblock);
    Ok(())
}
