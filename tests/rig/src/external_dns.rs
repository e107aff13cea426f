//! The real external-dns as a child process: publishes one cluster's Ingresses in the rig's Route 53.
//!
//! Each has an identity of its own on its cluster, with no more rights than it needs, and its own access key at Route 53,
//! which is its name: the journal of a zone says by that who wrote.

mod account;
mod deployment;

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use rustix::process::Signal;
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::child::{Child, Program};
use crate::control_plane::{ControlPlane, while_alive};
use crate::kubeconfig::Access;
use crate::operator::fetch;
use crate::ports::free_port;
use crate::route53::Route53;
use crate::route53::zone::Zone;
use crate::setup::ANNOTATION_PREFIX;
use crate::tools::{Tool, Tools};

const READY_LIMIT: Duration = Duration::from_secs(60);
/// It looks once a second whether something is to be done, whatever shorter time it is told.
const INTERVAL: &str = "2s";
const AFTER_AN_EVENT: &str = "500ms";
/// TTL of records of Ingresses that do not say one: five minutes without this argument.
const QUICK_TTL: &str = "--min-ttl=1s";

/// How one external-dns runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Names its files, its identity on the cluster and its access key at Route 53.
    pub name: String,
    /// What its ownership TXT records say (`--txt-owner-id`).
    pub owner: String,
    /// The prefix of the annotations that it reads.
    pub annotation_prefix: String,
    /// What it may do: `sync`, `upsert-only` or `create-only`.
    pub policy: String,
    /// How often it looks at everything (a Go duration); a change of an Ingress makes it look at once.
    pub interval: String,
    /// How soon it looks again after a change of an Ingress, at the earliest (a Go duration).
    pub after_an_event: String,
    /// The ids of the zones that it may see; empty: all of them.
    pub zones: Vec<String>,
    /// It reads only Ingresses of this class.
    pub ingress_class: Option<String>,
    /// It reads only Ingresses of this namespace.
    pub namespace: Option<String>,
    /// Further arguments; [`Options::new`] sets the TTL of records, `--min-ttl`, to a second.
    pub arguments: Vec<String>,
}

impl Options {
    /// Reads every Ingress of its cluster, owns what it publishes as `name`, and keeps this zone in step with them.
    pub fn new(name: impl Into<String>, zone: &Zone) -> Self {
        let name = name.into();
        Self {
            owner: name.clone(),
            name,
            annotation_prefix: ANNOTATION_PREFIX.to_owned(),
            policy: "sync".to_owned(),
            interval: INTERVAL.to_owned(),
            after_an_event: AFTER_AN_EVENT.to_owned(),
            zones: vec![zone.id().to_owned()],
            ingress_class: None,
            namespace: None,
            arguments: vec![QUICK_TTL.to_owned()],
        }
    }

    fn arguments(&self) -> Vec<String> {
        let mut arguments = vec![
            "--provider=aws".to_owned(),
            "--source=ingress".to_owned(),
            "--registry=txt".to_owned(),
            format!("--txt-owner-id={}", self.owner),
            format!("--policy={}", self.policy),
            format!("--annotation-prefix={}", self.annotation_prefix),
            format!("--interval={}", self.interval),
            "--events".to_owned(),
            format!("--min-event-sync-interval={}", self.after_an_event),
            "--aws-batch-change-interval=100ms".to_owned(),
        ];
        arguments.extend(self.zones.iter().map(|zone| format!("--zone-id-filter={zone}")));
        arguments.extend(self.ingress_class.iter().map(|class| format!("--ingress-class={class}")));
        arguments.extend(self.namespace.iter().map(|namespace| format!("--namespace={namespace}")));
        arguments.extend(self.arguments.iter().cloned());
        arguments
    }
}

/// An external-dns of one cluster. Dropping it kills its process.
pub struct ExternalDns {
    place: Place,
    metrics: SocketAddr,
    running: Mutex<Running>,
}

/// What stays the same when it is started again.
struct Place {
    cluster: String,
    administrator: Access,
    binary: PathBuf,
    kubeconfig: PathBuf,
    log: PathBuf,
    environment: Vec<(String, String)>,
}

struct Running {
    options: Options,
    child: Child,
}

impl ExternalDns {
    /// Gives it its identity on the cluster, starts it with its files in `folder` and waits until it says that it is healthy.
    pub async fn start(
        cluster: &ControlPlane,
        tools: &Tools,
        route53: &Route53,
        folder: &Path,
        options: Options,
    ) -> Result<Self> {
        let access = account::create(cluster, &options.name).await?;
        let kubeconfig = folder.join(format!("external-dns-{}.kubeconfig", options.name));
        fs::write(&kubeconfig, access.kubeconfig(cluster.name())?)
            .with_context(|| format!("writing {}", kubeconfig.display()))?;
        let place = Place {
            cluster: cluster.name().to_owned(),
            administrator: cluster.administrator(),
            binary: tools.path(Tool::ExternalDns)?.to_owned(),
            kubeconfig,
            log: folder.join(format!("external-dns-{}.log", options.name)),
            environment: route53.environment(&options.name),
        };
        let metrics = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        deployment::put(&place.administrator, &options.name, &options.arguments(), 1).await?;
        let child = place.program(&options, metrics).spawn()?;
        let external_dns = Self { place, metrics, running: Mutex::new(Running { options, child }) };
        external_dns.wait_healthy().await?;
        Ok(external_dns)
    }

    /// The cluster whose Ingresses it reads.
    pub fn cluster(&self) -> &str {
        &self.place.cluster
    }

    /// How it runs, or ran last.
    pub async fn options(&self) -> Options {
        self.running.lock().await.options.clone()
    }

    /// Where it serves `/metrics` and `/healthz`.
    pub fn metrics_address(&self) -> SocketAddr {
        self.metrics
    }

    /// What `/metrics` answers.
    pub async fn metrics(&self) -> Result<String> {
        fetch(&format!("http://{}/metrics", self.metrics)).await
    }

    /// What a `ClusterPair` says about it when nothing is left out (`externalDNS` of a side).
    pub async fn facts(&self) -> Value {
        let options = self.options().await;
        json!({
            "annotationPrefix": options.annotation_prefix,
            "interval": options.interval,
            "ownerID": options.owner,
            "policy": options.policy,
            "metricsURL": format!("http://{}/metrics", self.metrics),
            "deployment": {"namespace": account::NAMESPACE, "name": options.name},
        })
    }

    /// Scales its Deployment to 0, and ends it. Twice is as good as once.
    pub async fn stop(&self) -> Result<()> {
        let running = self.running.lock().await;
        let Running { options, child } = &*running;
        child.kill().await?;
        deployment::put(&self.place.administrator, &options.name, &options.arguments(), 0).await
    }

    /// Ends its process, and nothing else says so: a crash that lasts until [`Self::start_again`]. Twice is as good as once.
    pub async fn kill(&self) -> Result<()> {
        self.running.lock().await.child.kill().await
    }

    /// Starts it again as it was, whether or not it runs, and waits until it is healthy.
    pub async fn start_again(&self) -> Result<()> {
        let options = self.options().await;
        self.restart(options).await
    }

    /// Ends it and starts it with other options. Its name, and with that its identity, stays.
    pub async fn restart(&self, options: Options) -> Result<()> {
        let mut running = self.running.lock().await;
        running.child.kill().await?;
        let options = Options { name: running.options.name.clone(), ..options };
        deployment::put(&self.place.administrator, &options.name, &options.arguments(), 1).await?;
        running.child = self.place.program(&options, self.metrics).spawn()?;
        running.options = options;
        drop(running);
        self.wait_healthy().await
    }

    /// A process that the machine does not get to, until [`Self::resume`].
    pub async fn pause(&self) -> Result<()> {
        self.running.lock().await.child.signal(Signal::STOP)
    }

    /// Ends [`Self::pause`].
    pub async fn resume(&self) -> Result<()> {
        self.running.lock().await.child.signal(Signal::CONT)
    }

    /// Whether its process has not ended.
    pub async fn is_running(&self) -> bool {
        self.running.lock().await.child.exited().is_none()
    }

    /// Its process id.
    pub async fn pid(&self) -> u32 {
        self.running.lock().await.child.pid()
    }

    /// Everything that it has logged, over all starts.
    pub fn log(&self) -> Result<String> {
        fs::read_to_string(&self.place.log).with_context(|| format!("reading {}", self.place.log.display()))
    }

    async fn wait_healthy(&self) -> Result<()> {
        let healthy = format!("http://{}/healthz", self.metrics);
        let running = self.running.lock().await;
        while_alive(&running.child, READY_LIMIT, || async { fetch(&healthy).await.is_ok() }).await
    }
}

impl Place {
    fn program(&self, options: &Options, metrics: SocketAddr) -> Program {
        let name = format!("external-dns {} of {}", options.name, self.cluster);
        let program = Program::new(name, &self.binary, &self.log)
            .args(options.arguments())
            .args([format!("--kubeconfig={}", self.kubeconfig.display()), format!("--metrics-address={metrics}")]);
        self.environment.iter().fold(program, |program, (name, value)| program.env(name, value))
    }
}

/// One external-dns for each cluster, with owners and access keys of their own, on one zone.
pub struct Pair {
    /// Of the cluster that the namespaces leave.
    pub source: ExternalDns,
    /// Of the cluster that they move to.
    pub target: ExternalDns,
}

impl Pair {
    /// Ends both processes.
    pub async fn kill(&self) -> Result<()> {
        futures::future::try_join(self.source.kill(), self.target.kill()).await.map(|_| ())
    }

    /// Their process ids.
    pub async fn pids(&self) -> Vec<u32> {
        vec![self.source.pid().await, self.target.pid().await]
    }
}
