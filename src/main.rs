//! The operator: arguments, logs, the way home, then the controller until the process is asked to end.

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Namespace;
use kube::Api;
use namespace_migration::args::{Command, CommandLine, CrdsArgs, RunArgs};
use namespace_migration::cluster::call::timed;
use namespace_migration::cluster::client::{CALL_TIMEOUT, home_clients};
use namespace_migration::cluster::connection::HomeAccess;
use namespace_migration::controller::Setting;
use namespace_migration::dns::Resolver;
use namespace_migration::lease::{Election, Leadership};
use namespace_migration::machine::order::Home;
use namespace_migration::metrics::{ClusterSide, Metrics};
use namespace_migration::server::{Health, Server};
use namespace_migration::{api, controller, machine, telemetry};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

/// Wait between two tries to reach the home cluster at the start.
const HOME_RETRY: Duration = Duration::from_secs(2);
/// A part of the process that `/readyz` waits for: a standby that has seen the Lease can take over.
const LEASE_SEEN: &str = "lease seen";

/// The part of the process whose silence `/livez` tells.
const RUNTIME: &str = "runtime";
/// Time between two beats of it.
const BEAT: Duration = Duration::from_secs(5);
/// Silence after which the process is of no use.
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

#[tokio::main]
async fn main() -> Result<()> {
    match CommandLine::from_process().into_command() {
        Command::Crds(CrdsArgs { directory: None }) => print_crds(),
        Command::Crds(CrdsArgs { directory: Some(folder) }) => write_crds(&folder),
        Command::Reference => print_reference(),
        Command::Run(args) => run(args).await,
    }
}

fn print_crds() -> Result<()> {
    let mut out = std::io::stdout().lock();
    for (_, yaml) in api::crds::definitions().context("the definitions cannot be written as YAML")? {
        write!(out, "---\n{yaml}").context("cannot print the definitions")?;
    }
    Ok(())
}

fn print_reference() -> Result<()> {
    let text = machine::reference::markdown();
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot print the reference")
}

fn write_crds(folder: &Path) -> Result<()> {
    for (file, yaml) in api::crds::definitions().context("the definitions cannot be written as YAML")? {
        let path = folder.join(file);
        std::fs::write(&path, yaml).with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(())
}

async fn run(args: RunArgs) -> Result<()> {
    telemetry::start(args.log_format)?;
    refuse_debugging_variables()?;
    let (metrics, health) = (Metrics::default(), Health::default());
    health.expect(LEASE_SEEN, None);
    let server = Server::bind(args.listen, health.clone(), metrics.clone()).await?;
    tracing::info!(version = env!("CARGO_PKG_VERSION"), address = %server.address(), "started");

    let stop = CancellationToken::new();
    let serving = tokio::spawn(server.serve(stop.clone()));
    tokio::spawn(stop.clone().run_until_cancelled_owned(beat(health.clone())));
    let source = args.home();
    let clients = home_clients(&source, ClusterSide::Home, &metrics)?;
    let home = HomeAccess { source, clients, namespace: args.namespace.clone(), metrics };
    let candidacy = args.candidacy();
    let (draining, mut ended) = (CancellationToken::new(), Ok(()));
    tokio::spawn(drain_on_signal(draining.clone())?);
    if let Some(identity) = home_identity(&home, &draining).await {
        let lease = candidacy.as_ref().map(|own| own.name.clone());
        let election = candidacy.map(|own| Election::new(home.clients.requests.clone(), own, home.metrics.clone()));
        let leadership = election.as_ref().map_or_else(Leadership::without_lease, Election::leadership);
        let identity = Home { identity, operator_namespace: args.namespace };
        let setting = Setting {
            home,
            identity,
            selector: args.selector,
            leadership,
            lease,
            watched_before: None,
            route53_gap: args.route53_gap,
            resolver: Resolver::new(&args.resolvers),
        };
        ended = match election {
            Some(election) => Box::pin(lead(election, setting, health, draining)).await,
            None => work(setting, &health, draining).await,
        };
    }

    stop.cancel();
    serving.await.context("the server of /metrics ended badly")??;
    tracing::info!("ended; no write is in flight");
    ended
}

/// A process whose tasks do not get their turn any more is restarted: `/livez` misses the beat.
async fn beat(health: Health) {
    health.expect(RUNTIME, Some(LONGEST_SILENCE));
    loop {
        health.beat(RUNTIME);
        tokio::time::sleep(BEAT).await;
    }
}

/// Stands by until it holds the Lease, works while it does, and hands it over after the last write.
async fn lead(mut election: Election, mut setting: Setting, health: Health, draining: CancellationToken) -> Result<()> {
    let standing_by = || health.beat(LEASE_SEEN);
    let mut ended = Ok(());
    if draining.run_until_cancelled(election.acquire(standing_by)).await.is_some() {
        setting.watched_before = election.predecessor_lived_until();
        tokio::select! {
            worked = work(setting, &health, draining) => ended = worked,
            // At once, with whatever is on the wire: another one works already, and writes are fenced.
            lost = election.hold() => {
                let lost = anyhow::Error::from(lost);
                tracing::error!(error = format!("{lost:#}"), "this operator does not lead any more and ends");
                return Err(lost.context("this operator does not lead any more"));
            }
        }
    }
    election.release().await;
    ended
}

/// Runs the controller. From now on the process is ready when it knows what there is to do.
async fn work(setting: Setting, health: &Health, draining: CancellationToken) -> Result<()> {
    health.expect(controller::PAIRS_LISTED, None);
    health.expect(controller::MIGRATIONS_LISTED, None);
    health.beat(LEASE_SEEN);
    setting.home.metrics.leader.set(1);
    Box::pin(controller::run(setting, health.clone(), draining)).await?;
    Ok(())
}

/// kube takes connections from these variables, past the kubeconfig that was checked.
fn refuse_debugging_variables() -> Result<()> {
    let found = std::env::vars_os().find(|(name, _)| name.to_string_lossy().starts_with("KUBE_RS_DEBUG"));
    found.map_or(Ok(()), |(name, _)| {
        anyhow::bail!("the variable {} is set; unset it: it would replace the checked connection", name.display())
    })
}

/// Ends when the process is asked to end; the controller then finishes what it has begun.
fn drain_on_signal(draining: CancellationToken) -> Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).context("cannot listen for SIGTERM")?;
    let mut interrupt = signal(SignalKind::interrupt()).context("cannot listen for SIGINT")?;
    Ok(async move {
        tokio::select! { _ = terminate.recv() => {}, _ = interrupt.recv() => {} }
        tracing::info!("asked to end; passes in progress are finished first");
        draining.cancel();
    })
}

/// UID of the home cluster's `kube-system`: part of every stamp. Without it nothing can be written, so it is waited for;
/// None when the process is to end before.
async fn home_identity(home: &HomeAccess, draining: &CancellationToken) -> Option<String> {
    let namespaces: Api<Namespace> = Api::all(home.clients.requests.clone());
    loop {
        match timed(CALL_TIMEOUT, namespaces.get("kube-system")).await {
            Ok(found) if found.metadata.uid.is_some() => return found.metadata.uid,
            Ok(_) => tracing::warn!("the home cluster's kube-system namespace has no UID; trying again"),
            Err(error) => tracing::warn!(%error, "the home cluster cannot be asked who it is; trying again"),
        }
        tokio::select! {
            () = tokio::time::sleep(HOME_RETRY) => {}
            () = draining.cancelled() => return None,
        }
    }
}
