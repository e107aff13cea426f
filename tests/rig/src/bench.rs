//! `rig bench`: how fast users come back, and what the operator costs, on two real control planes and a Route 53 with the real
//! quota. Figures for people; nothing here passes or fails by the clock.

mod bare_client;
mod board;
mod busy;
mod deciding;
mod fleet;
mod load;
mod machine;
mod pace;
mod process;
mod report;
mod rollback;
mod round_trips;
mod spread;
mod traffic;
mod writes;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::time::Instant;

use self::machine::Machine;
use self::report::Report;
use crate::progress::say;
use crate::tools::Tools;
use crate::world::{self, World};

/// Namespaces beyond this do not fit on a small machine beside two control planes.
const MOST_MIGRATIONS: usize = 500;

/// How large the run is.
#[derive(Clone, Debug)]
pub struct Options {
    /// How many migrations are active at a time at most.
    pub migrations: usize,
    /// How long a steady state is watched.
    pub window: Duration,
    /// The page whose figures are replaced; None: they are only printed.
    pub page: Option<PathBuf>,
}

/// Measures, prints the figures as Markdown and puts them into the page.
pub async fn run(options: &Options) -> Result<()> {
    let range = 2..=MOST_MIGRATIONS;
    ensure!(range.contains(&options.migrations), "--migrations {}: expected {range:?}", options.migrations);
    ensure!(options.window >= Duration::from_secs(10), "--window {:?}: expected 10 s or more", options.window);
    Tools::prepare().await?;
    let (began, machine) = (Instant::now(), Machine::of_this()?);
    let world = World::start(world::Options::default()).await?;
    let logs = world.folder().display().to_string();
    let report = Box::pin(measure(&world, options, machine))
        .await
        .with_context(|| format!("the benchmark did not come to its end; its logs are in {logs}"))?;
    world.stop().await?;
    let text = report.markdown(began.elapsed());
    report::print(&text)?;
    match &options.page {
        Some(page) => report::put_into(page, &text),
        None => Ok(()),
    }
}

async fn measure(world: &World, options: &Options, machine: Machine) -> Result<Report> {
    say("1. sequential round trips of a rollback, over a long way");
    let round_trips = Box::pin(round_trips::measure(world)).await?;
    say("2. writes of single migrations, and rollbacks one at a time");
    let writes = Box::pin(writes::measure(world)).await?;
    say("3. many migrations");
    let busy = Box::pin(busy::measure(world, options)).await?;
    Ok(Report { options: options.clone(), machine, round_trips, writes, busy })
}
