//! One, some and many active migrations: what they ask of Route 53 while they soak and while they wait for DNS, what the operator
//! uses, and how many come back at once.

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::board::{soaks, soaks_at};
use super::fleet::{Fleet, names};
use super::load::{self, Doing, Load};
use super::pace::Pace;
use super::rollback::{self, Broken, Rollbacks};
use super::spread::Spread;
use super::{Options, bare_client};
use crate::control_plane::wait_until;
use crate::operator::Operator;
use crate::progress::say;
use crate::setup::{self, Dns, Setup, Verification};
use crate::world::World;

/// The steps of every migration. Each size soaks below one of them, and is raised to the next one.
const WEIGHTS: [i32; 5] = [5, 10, 20, 50, 100];
const SOME: usize = 20;
const LIMIT: Duration = Duration::from_secs(300);
/// Of one host on one side.
const PROBES_OF_A_ROUND: u64 = 2;
/// Time between two rounds of probes when all come back. With the default, of 10 s, their verdicts would be spread over as much.
const AT_ONCE: &str = "2s";
/// From the first verdict to a state in which nothing changes any more: the last status and event, and external-dns's first look.
const SETTLES: Duration = Duration::from_secs(5);

/// The figures.
#[derive(Clone, Debug)]
pub struct Busy {
    /// Each stretch that was watched.
    pub loads: Vec<Load>,
    /// Each start of the operator that was measured.
    pub starts: Vec<Start>,
    /// All of them at once.
    pub rollbacks: Rollbacks,
    /// The same writes by a bare client that begins when the verdicts fell.
    pub bare: Spread,
    /// The same by one that begins with all at the same moment.
    pub bare_at_once: Spread,
    /// Size of the operator's program in MiB.
    pub program_mib: f64,
}

/// How a start of the operator went, with migrations that soak.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Start {
    /// How many.
    pub migrations: usize,
    /// Seconds from the start of the process to readiness.
    pub ready: f64,
    /// Seconds from there until each migration was probed.
    pub probed: f64,
}

/// The fleet as it grows, and what was measured so far.
struct Stage<'a> {
    fleet: Fleet<'a>,
    options: &'a Options,
    names: Vec<String>,
    loads: Vec<Load>,
    starts: Vec<Start>,
}

/// Measures at each size, the smallest first; what is there already goes on with the next one.
pub async fn measure(world: &World, options: &Options) -> Result<Busy> {
    let named = setup::Options {
        verification: Verification::Route53,
        own_dns: Dns::own(),
        dns: ["2s", "300ms", "1s"],
        ..setup::Options::new("many")
    };
    let setup = Setup::start(world, named).await?;
    let fleet = Fleet::of(world, &setup)?;
    let mut stage = Stage { fleet, options, names: vec![], loads: vec![], starts: vec![] };
    let sizes = [1, SOME.min(options.migrations - 1), options.migrations];
    for (number, size) in sizes.into_iter().enumerate() {
        Box::pin(stage.at_size(size, WEIGHTS[number], WEIGHTS[number + 1])).await?;
    }
    Box::pin(stage.all_come_back()).await
}

impl Stage<'_> {
    /// So many soak at one weight and wait for DNS at the next one, where they stay.
    async fn at_size(&mut self, size: usize, soak_at: i32, raise_to: i32) -> Result<()> {
        let new = names("many", self.names.len(), size);
        say(format!("   {size} active: creating {} and bringing all to {soak_at} percent", new.len()));
        self.fleet.deploy(&new).await?;
        self.names.extend(new.iter().cloned());
        let quick = self.start(Pace::Quick).await?;
        self.fleet.begin(&new, &self.spec(soak_at)).await?;
        self.fleet.board.until(&self.names, "soaking", LIMIT, |status| soaks_at(status, soak_at)).await?;
        stop(quick).await?;

        let operator = self.start(Pace::Shipped).await?;
        tokio::time::sleep(SETTLES).await;
        self.watch(&operator, Doing::Soaking).await?;
        self.fleet.edit(&self.names, &json!({"traffic": {"upTo": raise_to}})).await?;
        self.watch(&operator, Doing::WaitingForDns).await?;
        stop(operator).await?;

        let quick = self.start(Pace::Quick).await?;
        self.fleet.board.until(&self.names, "soaking", LIMIT, |status| soaks_at(status, raise_to)).await?;
        stop(quick).await
    }

    /// Starts the operator at a pace, and waits until every migration that soaked does so again.
    async fn start(&mut self, pace: Pace) -> Result<Operator> {
        let known: Vec<String> = self.names.clone();
        let (world, setup) = (self.fleet.world(), self.fleet.setup());
        let (operator, ready) = pace.start(world, setup).await?;
        if pace == Pace::Shipped {
            let began = Instant::now();
            self.all_probed().await?;
            self.fleet.board.until(&known, "a verdict after the start", LIMIT, soaks).await?;
            self.starts.push(Start { migrations: known.len(), ready, probed: began.elapsed().as_secs_f64() });
        }
        Ok(operator)
    }

    /// Waits until the target of each has answered one more round of probes, over HTTP and HTTPS.
    async fn all_probed(&self) -> Result<()> {
        let application = self.fleet.setup().application();
        let answered = |name: &String| application.requests("target", &self.fleet.host(name)).total();
        let before: Vec<u64> = self.names.iter().map(answered).collect();
        let all = || self.names.iter().zip(&before).all(|(name, before)| answered(name) >= before + PROBES_OF_A_ROUND);
        wait_until("a round of probes of every migration", LIMIT, || std::future::ready(all())).await
    }

    async fn watch(&mut self, operator: &Operator, doing: Doing) -> Result<()> {
        let (size, length) = (self.names.len(), self.options.window);
        let load = load::watch(self.fleet.world(), operator, (size, doing), length).await?;
        say(format!(
            "   {size} {doing:?}: {:.0} requests a minute to Route 53, queue {:.0}",
            load.reads, load.queue[0]
        ));
        self.loads.push(load);
        Ok(())
    }

    fn spec(&self, up_to: i32) -> Value {
        let steps = WEIGHTS.map(|weight| json!({"weight": weight, "hold": "1s"}));
        json!({
            "clusterPair": self.fleet.setup().name(),
            "probes": {"successThreshold": 1},
            "traffic": {"steps": steps, "upTo": up_to},
        })
    }

    async fn all_come_back(mut self) -> Result<Busy> {
        say(format!("   one fault for all {}", self.names.len()));
        let operator = self.start(Pace::Shipped).await?;
        self.fleet.edit(&self.names, &json!({"probes": {"interval": AT_ONCE}})).await?;
        tokio::time::sleep(SETTLES).await;
        let program_mib = load::program_mib(&operator)?;
        let rollbacks = rollback::provoke(&self.fleet, &operator, &self.names, Broken::Everything).await?;
        self.watch(&operator, Doing::ComingBack).await?;
        stop(operator).await?;
        let client = self.fleet.setup().operator_options(None).home.client()?;
        let begins: Vec<_> = rollbacks.verdicts.clone().into_iter().collect();
        let at_once: Vec<_> = self.names.iter().map(|name| (name.clone(), Duration::ZERO)).collect();
        let bare = bare_client::write_all(&client, &begins, 1).await?;
        let bare_at_once = bare_client::write_all(&client, &at_once, 2).await?;
        let Self { loads, starts, .. } = self;
        Ok(Busy { loads, starts, rollbacks, bare, bare_at_once, program_mib })
    }
}

async fn stop(operator: Operator) -> Result<()> {
    operator.sigterm().await.context("stopping the operator").map(drop)
}
