//! What one migration writes, and how fast one alone comes back: a real external-dns on both sides, and a Route 53 that is read.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::bare_client;
use super::board::{is_in, soaks_at};
use super::fleet::{Fleet, names};
use super::pace::Pace;
use super::rollback::{self, Broken, Rollbacks};
use super::spread::Spread;
use super::traffic::{Moment, Tally};
use crate::operator::Operator;
use crate::recorder::{Mark, Recorder};
use crate::setup::{Dns, Options, Setup, Verification};
use crate::world::World;

/// The steps of each migration.
pub const STEPS: usize = 4;
/// How many come back, one after the other.
const ONE_BY_ONE: usize = 5;
const LIMIT: Duration = Duration::from_secs(180);
/// Long enough for the events of the last pass.
const LAST_EVENTS: Duration = Duration::from_secs(2);

/// What one migration has written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// By kind.
    pub tally: Tally,
    /// Writes of the status that told nothing new: no stage, step, reason, sentence, verdict, share or record.
    pub idle_statuses: usize,
}

/// The figures.
#[derive(Clone, Debug)]
pub struct Writes {
    /// A migration that went well, by 1, 10, 50 and 100 percent.
    pub healthy: Written,
    /// One that came back from 10 percent, its second step.
    pub rolled_back: Written,
    /// Rollbacks one at a time, nothing else going on.
    pub alone: Rollbacks,
    /// The same writes by a bare client, one at a time.
    pub bare: Spread,
}

/// Runs one migration to its end, and a few others back.
pub async fn measure(world: &World) -> Result<Writes> {
    let options = Options {
        verification: Verification::Route53,
        own_dns: Dns::own(),
        dns: ["2s", "300ms", "1s"],
        ..Options::new("single")
    };
    let setup = Setup::start(world, options).await?;
    let fleet = Fleet::of(world, &setup)?;
    let (moves, back) = (names("moves", 0, 1), names("back", 0, ONE_BY_ONE));
    let all = [moves.clone(), back.clone()].concat();
    fleet.deploy(&all).await?;
    let (operator, _) = Pace::Quick.start(world, &setup).await?;
    let began = Moment::now(world).await?;
    let (quick, long) = (spec(&setup, "5s"), spec(&setup, "1h"));
    futures::future::try_join(fleet.begin(&moves, &quick), fleet.begin(&back, &long)).await?;
    fleet.board.until(&back, "the hold at 10 percent", LIMIT, |status| soaks_at(status, 10)).await?;
    fleet.board.until(&moves, "the end", LIMIT, |status| is_in(status, "Completed")).await?;
    let alone = one_by_one(&fleet, &operator, &back).await?;
    fleet.board.until(&back, "the end", LIMIT, |status| is_in(status, "RolledBack")).await?;
    tokio::time::sleep(LAST_EVENTS).await;
    let requests = began.requests(world).await?;
    let tally = |name: &str| Tally::of(requests.iter().filter(|request| request.namespace == name));
    let healthy = Written { tally: tally(&moves[0]), idle_statuses: idle_statuses(world, &moves[0]).await? };
    let rolled_back = Written { tally: tally(&back[0]), idle_statuses: idle_statuses(world, &back[0]).await? };
    operator.sigterm().await.context("stopping the operator")?;
    let client = setup.operator_options(None).home.client()?;
    // The first connection has a handshake, which the operator's has behind it.
    bare_client::write_each(&client, &back[..1], 0).await?;
    let bare = bare_client::write_each(&client, &back, 1).await?;
    Ok(Writes { healthy, rolled_back, alone, bare })
}

async fn one_by_one(fleet: &Fleet<'_>, operator: &Operator, names: &[String]) -> Result<Rollbacks> {
    let mut all = Vec::new();
    for name in names {
        let one = std::slice::from_ref(name);
        all.push(rollback::provoke(fleet, operator, one, Broken::TheirHosts).await?);
    }
    Ok(rollback::joined(all))
}

/// Four steps. The first is short in any case; the others are held for this time.
fn spec(setup: &Setup, hold: &str) -> Value {
    let step = |weight: i32, hold: &str| json!({"weight": weight, "hold": hold});
    let steps: [Value; STEPS] = [step(1, "5s"), step(10, hold), step(50, hold), step(100, hold)];
    json!({
        "clusterPair": setup.name(),
        "probes": {"interval": "1s", "successThreshold": 1, "failureThreshold": 2},
        "traffic": {"steps": steps},
        "bake": {"for": "5s"},
    })
}

async fn idle_statuses(world: &World, name: &str) -> Result<usize> {
    let source = Recorder::open("source", world.source().audit_log());
    let writes = source.since(Mark::default()).await?;
    let statuses = writes.iter().filter(|write| {
        write.namespace == name
            && write.resource == "namespacemigrations"
            && write.subresource == "status"
            && write.succeeded()
    });
    let seen: Vec<Vec<Value>> = statuses.map(|write| what_people_wait_for(&write.response_object["status"])).collect();
    Ok(seen.windows(2).filter(|pair| pair[0] == pair[1]).count())
}

/// What a status is written for.
fn what_people_wait_for(status: &Value) -> Vec<Value> {
    let records = status["dns"].as_array().into_iter().flatten();
    let served = records.flat_map(|record| ["served", "found"].map(|field| record[field].clone()));
    let fields = ["stage", "reason", "message", "health", "weight"].map(|field| status[field].clone());
    let step = ["index", "phase"].map(|field| status["step"][field].clone());
    fields.into_iter().chain(step).chain(served).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_idle_when_only_its_times_change() {
        let status = |reason: &str, next: i32, served: i32| json!({"stage": "Bake", "reason": reason, "next": next, "dns": [{"served": served, "since": next}]});
        let seen = |reason, next, served| what_people_wait_for(&status(reason, next, served));
        assert_eq!(seen("Baking", 1, 100), seen("Baking", 2, 100));
        assert_ne!(seen("Baking", 1, 100), seen("Held", 1, 100));
        assert_ne!(seen("Baking", 1, 100), seen("Baking", 1, 50));
    }
}
