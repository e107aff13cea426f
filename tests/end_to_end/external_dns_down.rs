//! An external-dns that stops, on one side, while users are brought to the target and while they are brought back: DNS does not follow,
//! status says on which side, nobody is lost, and it goes on when external-dns is back.

use anyhow::{Context as _, Result, ensure};
use namespace_migration::api::{NamespaceMigration, Stage};
use rig::external_dns::ExternalDns;
use rig::population::Side;
use rig::progress::say;
use serde_json::json;

use crate::scene::{Migration, Scene, Visited, condition, holds_step, reason_of, with_own_dns};

/// Rounds of probes in which nothing may be written.
const ROUNDS: u64 = 10;

/// How an external-dns stops.
#[derive(Clone, Copy, Debug)]
enum Outage {
    /// Its Deployment is scaled to 0.
    ScaledToZero,
    /// It is killed, and nothing starts it again.
    Killed,
    /// Its machine does not get to it: the process is there, and does nothing.
    Frozen,
}

impl Outage {
    async fn begin(self, external_dns: &ExternalDns) -> Result<()> {
        match self {
            Self::ScaledToZero => external_dns.stop().await,
            Self::Killed => external_dns.kill().await,
            Self::Frozen => external_dns.pause().await,
        }
    }

    /// How it is told, of this side's.
    fn told(self, side: Side) -> String {
        let seen = match self {
            Self::ScaledToZero => "is scaled to 0 (Deployment",
            Self::Killed | Self::Frozen => "has a ready Pod, but",
        };
        format!("The external-dns of the {} {seen}", side.name())
    }

    async fn end(self, external_dns: &ExternalDns) -> Result<()> {
        match self {
            Self::ScaledToZero | Self::Killed => external_dns.start_again().await,
            Self::Frozen => external_dns.resume().await,
        }
    }
}

/// What happens to one side.
struct Case {
    name: &'static str,
    side: Side,
    outages: [Outage; 2],
    /// The steps of the migration that goes back, and the number of the one that it goes back from.
    back: (&'static [(i32, &'static str)], i32),
    /// The share in percent that is sent to its target until external-dns is back.
    exposed: i32,
    /// What is written on this side and not served, in the first outage and in the second one.
    unserved: [i32; 2],
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sources_external_dns_may_stop_while_users_go_to_the_target_and_while_they_come_back() -> Result<()> {
    let case = Case {
        name: "mute-source",
        side: Side::Source,
        outages: [Outage::ScaledToZero, Outage::Frozen],
        back: (&[(50, "1s"), (100, "10m")], 2),
        // The target's 0 is served, the source's 100 is not: both are 0, which is an even split.
        exposed: 50,
        unserved: [50, 0],
    };
    Box::pin(stops_twice(&case)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn the_targets_external_dns_may_stop_while_users_go_to_the_target_and_while_they_come_back() -> Result<()> {
    let case = Case {
        name: "mute-target",
        side: Side::Target,
        outages: [Outage::ScaledToZero, Outage::Killed],
        back: (&[(50, "10m"), (100, "1s")], 1),
        // The source's 100 is served, the target's 0 is not: 50 of 150.
        exposed: 34,
        unserved: [50, 100],
    };
    Box::pin(stops_twice(&case)).await
}

/// In the first outage one migration goes on to its next step and another one goes back; in the second one the first of them goes on to
/// its last step.
async fn stops_twice(case: &Case) -> Result<()> {
    let Case { name, side, outages: [first, second], back: (steps, held), exposed, unserved } = case;
    let scene = Scene::open(with_own_dns(name)).await?;
    let own = scene.setup.own_dns().context("external-dns of its own")?.external_dns();
    let external_dns = if *side == Side::Source { &own.source } else { &own.target };
    let on = scene.migration(&format!("{name}-on")).steps(&[(10, "1s"), (50, "1s"), (100, "1s")]);
    let back = scene.migration(&format!("{name}-back")).steps(steps);
    let (on, back) = futures::try_join!(Visited::begin(on.spec("/traffic/upTo", json!(10))), Visited::begin(back))?;
    let holds = back.shop.until("the hold", |found| holds_step(found, *held));
    futures::try_join!(at_ceiling(&on.shop, 10), holds)?;

    first.begin(external_dns).await?;
    on.shop.change(json!({"traffic": {"upTo": 50}})).await?;
    back.breaks();
    let stopped = first.told(*side);
    futures::try_join!(waits(&on, *side, &stopped, unserved[0]), exposes(&back, &stopped, *exposed))?;
    futures::try_join!(on.shop.stays_as_it_is(ROUNDS), back.shop.stays_as_it_is(ROUNDS))?;
    first.end(external_dns).await?;
    futures::try_join!(at_ceiling(&on.shop, 50), back.shop.ends(Stage::RolledBack))?;

    second.begin(external_dns).await?;
    on.shop.change(json!({"traffic": {"upTo": 100}})).await?;
    waits(&on, *side, &second.told(*side), unserved[1]).await?;
    on.shop.stays_as_it_is(ROUNDS).await?;
    second.end(external_dns).await?;
    on.shop.ends(Stage::Completed).await?;

    for (visited, home) in [(&on, Side::Target), (&back, Side::Source)] {
        visited.keeps_its_promises(home).await?;
    }
    own.kill().await
}

async fn at_ceiling(shop: &Migration<'_>, share: i32) -> Result<NamespaceMigration> {
    let there = |found: &NamespaceMigration| {
        reason_of(found) == "AtCeiling" && found.status.as_ref().is_some_and(|status| status.weight == share)
    };
    shop.until(&format!("{share} percent, at the ceiling"), there).await
}

/// On the way to the target: it waits, says what is written and not served on which side, and does not take it for a sick application.
async fn waits(visited: &Visited<'_>, side: Side, stopped: &str, unserved: i32) -> Result<()> {
    // The first look at external-dns's metrics may be older than its end.
    let told = |found: &NamespaceMigration| {
        reason_of(found) == "DNSLate" && found.status.as_ref().is_some_and(|status| status.message.contains(stopped))
    };
    let found = visited.shop.until(&format!("{stopped:?}"), told).await?;
    let status = found.status.as_ref().context("a status")?;
    let written = format!("Weight {unserved} is written on the {}, but DNS has not followed", side.name());
    say(format!("{}: {} | {}", visited.shop.name(), status.message, status.unblock));
    ensure!(status.message.contains(&written), "expected {written:?}: {}", status.message);
    ensure!(status.unblock.contains("external-dns"), "{}", status.unblock);
    ensure!(condition(&found, "TargetHealthy") == "True", "{:?}", status.conditions);
    visited.nobody_is_lost().map(drop)
}

/// On the way back: both weights are written, and it says which share of users DNS still sends to the target, and why.
async fn exposes(visited: &Visited<'_>, stopped: &str, exposed: i32) -> Result<()> {
    let told = |found: &NamespaceMigration| {
        let status = found.status.as_ref();
        reason_of(found) == "WaitingForRollbackDNS" && status.is_some_and(|status| status.message.contains(stopped))
    };
    let found = visited.shop.until("a word about what keeps DNS", told).await?;
    let status = found.status.context("a status")?;
    say(format!("{}: {} | {}", visited.shop.name(), status.message, status.unblock));
    let share = format!("still sends {exposed} percent of its answers to the target");
    for words in ["The source has 100 and the target 0", &share, "DNS has not followed"] {
        ensure!(status.message.contains(words), "expected {words:?}: {}", status.message);
    }
    ensure!(status.exposed_percent == Some(exposed), "{:?} of {exposed} percent are exposed", status.exposed_percent);
    ensure!(visited.shop.weights().await? == [Some(100), Some(0)], "something else is written");
    visited.nobody_is_lost().map(drop)
}
