//! Source and target, side by side, and a third cluster for the tests that want their home elsewhere.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, LazyLock};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, anyhow, bail};
use tokio::runtime::{Handle, Runtime};
use tokio::sync::OnceCell;

use crate::control_plane::ControlPlane;
use crate::deploy::checkout;
use crate::dns_server::{self, DnsServer};
use crate::external_dns::{self, ExternalDns, Pair};
use crate::progress::say;
use crate::recording;
use crate::route53::zone::Zone;
use crate::route53::{self, Route53};
use crate::tools::Tools;

/// Logs of this many ended worlds are kept to look at.
const KEPT: usize = 5;
const LOCK: &str = "lock";
/// The zone of every host that a sample namespace has.
const DOMAIN: &str = "example.com.";

/// TTL of answers about load balancers, in seconds: a minute in the original.
const QUICK_TTL: u32 = 1;

/// Worlds of this process so far.
static STARTED: AtomicU32 = AtomicU32::new(0);

/// How to start a [`World`].
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Where files and logs go; default: a new folder below [`worlds_folder`].
    pub folder: Option<PathBuf>,
}

/// Two control planes, started in parallel; a third one on demand. Dropping it kills every program.
pub struct World {
    folder: PathBuf,
    tools: Tools,
    runtime: Handle,
    started_in: Duration,
    source: ControlPlane,
    target: ControlPlane,
    home: OnceCell<ControlPlane>,
    route53: Route53,
    name_server: DnsServer,
    zone: Zone,
    external_dns: OnceCell<Pair>,
    /// Tells other runs that this folder is in use, for as long as this process lives.
    _lock: File,
}

impl World {
    /// Starts source and target and waits until both are ready. A failure says where the logs are.
    pub async fn start(options: Options) -> Result<Self> {
        let tools = Tools::prepare().await?;
        say("starting source and target");
        let began = Instant::now();
        let folder = match options.folder {
            Some(folder) => folder,
            None => new_folder()?,
        };
        let lock = claim(&folder)?;
        remove_clusters(&folder)?;
        let (source, target) = (folder.join("source"), folder.join("target"));
        let starts = futures::future::try_join(
            ControlPlane::start("source", &source, &tools),
            ControlPlane::start("target", &target, &tools),
        );
        let (source, target) = starts.await.with_context(|| format!("the logs are in {}", folder.display()))?;
        let started_in = began.elapsed();
        [&source, &target].into_iter().try_for_each(|cluster| recording::keep(&folder, cluster))?;
        say(format!("source and target ready in {:.1} s; logs in {}", started_in.as_secs_f32(), folder.display()));
        // Many tests share this account; one that is about its quota starts a Route 53 of its own.
        let route53 = Route53::start(route53::Options { requests_per_second: None, ..Default::default() }).await?;
        let surroundings = route53.surroundings().clone();
        let options = dns_server::Options { surroundings, alias_ttl: QUICK_TTL, ..dns_server::Options::default() };
        let name_server = DnsServer::start(options).await?;
        let zone = route53.create_zone(DOMAIN);
        name_server.serve(Arc::new(zone.clone()));
        Ok(Self {
            folder,
            tools,
            runtime: Handle::current(),
            started_in,
            source,
            target,
            home: OnceCell::new(),
            zone,
            route53,
            name_server,
            external_dns: OnceCell::new(),
            _lock: lock,
        })
    }

    /// The one world of this process, for tests that share it; it ends with the process.
    ///
    /// It has an async runtime of its own: every test's runtime ends with its test.
    pub async fn shared() -> Result<&'static Self> {
        static WORLD: OnceCell<World> = OnceCell::const_new();
        let start = || async { shared_runtime()?.spawn(Self::start(Options::default())).await? };
        WORLD.get_or_try_init(start).await
    }

    /// The cluster that the namespace leaves.
    pub fn source(&self) -> &ControlPlane {
        &self.source
    }

    /// The cluster that the namespace moves to.
    pub fn target(&self) -> &ControlPlane {
        &self.target
    }

    /// A third cluster for the operator and its objects; the first call starts it.
    pub async fn home(&self) -> Result<&ControlPlane> {
        let (folder, tools) = (self.folder.join("home"), self.tools.clone());
        let start = || async {
            let starting = async move { ControlPlane::start("home", &folder, &tools).await };
            let home = self.runtime.spawn(starting).await??;
            recording::keep(&self.folder, &home)?;
            anyhow::Ok(home)
        };
        self.home.get_or_try_init(start).await
    }

    /// The account that holds the zones of this world.
    pub fn route53(&self) -> &Route53 {
        &self.route53
    }

    /// A further zone, which the world's name server answers.
    pub fn create_zone(&self, origin: &str) -> Zone {
        self.create_zone_in(&self.route53, origin)
    }

    /// The same in another account.
    pub fn create_zone_in(&self, account: &Route53, origin: &str) -> Zone {
        let zone = account.create_zone(origin);
        self.name_server.serve(Arc::new(zone.clone()));
        zone
    }

    /// Answers every zone of this world.
    pub fn name_server(&self) -> &DnsServer {
        &self.name_server
    }

    /// The zone of the hosts of sample namespaces, `example.com.`
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The two external-dns that publish every Ingress of source and target in [`Self::zone`], as `source` and `target`;
    /// the first call starts them. A test that stops one or sets it up in another way starts a pair of its own.
    pub async fn external_dns(&self) -> Result<&Pair> {
        let options = ["source", "target"].map(|name| external_dns::Options::new(name, &self.zone));
        // Boxed: starting is large, and whoever only waits for it need not be.
        self.external_dns.get_or_try_init(|| Box::pin(self.start_external_dns(options))).await
    }

    /// Starts another pair: the first options are those of the source's, the second those of the target's.
    pub async fn start_external_dns(&self, options: [external_dns::Options; 2]) -> Result<Pair> {
        self.start_external_dns_in(&self.route53, options).await
    }

    /// The same for zones of another account.
    pub async fn start_external_dns_in(
        &self,
        account: &Route53,
        [source, target]: [external_dns::Options; 2],
    ) -> Result<Pair> {
        let start = |cluster, options| ExternalDns::start(cluster, &self.tools, account, &self.folder, options);
        let (source, target) =
            futures::future::try_join(start(&self.source, source), start(&self.target, target)).await?;
        Ok(Pair { source, target })
    }

    /// Every control plane that runs.
    pub fn control_planes(&self) -> impl Iterator<Item = &ControlPlane> {
        [&self.source, &self.target].into_iter().chain(self.home.get())
    }

    /// The programs.
    pub fn tools(&self) -> &Tools {
        &self.tools
    }

    /// Where files and logs are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The time from the first program's start to the readiness of both clusters; building is not counted.
    pub fn started_in(&self) -> Duration {
        self.started_in
    }

    /// The runtime that outlives a single test; long-lived tasks of the rig belong there.
    pub fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// The process ids of all programs.
    pub async fn pids(&self) -> Vec<u32> {
        let mut pids = futures::future::join_all(self.control_planes().map(ControlPlane::pids)).await.concat();
        if let Some(external_dns) = self.external_dns.get() {
            pids.extend(external_dns.pids().await);
        }
        pids
    }

    /// Ends every program and waits until each is gone.
    pub async fn stop(self) -> Result<()> {
        if let Some(external_dns) = self.external_dns.get() {
            external_dns.kill().await?;
        }
        let clusters = [Some(self.source), Some(self.target), self.home.into_inner()];
        futures::future::try_join_all(clusters.into_iter().flatten().map(ControlPlane::stop)).await.map(|_| ())
    }
}

fn shared_runtime() -> Result<&'static Runtime> {
    static RUNTIME: LazyLock<std::io::Result<Runtime>> = LazyLock::new(Runtime::new);
    RUNTIME.as_ref().map_err(|error| anyhow!("starting the shared runtime: {error}"))
}

/// `target/rig` of this checkout.
pub fn worlds_folder() -> Result<PathBuf> {
    Ok(checkout()?.join("target").join("rig"))
}

/// `target/rig/world-<time>-<process id>-<number>`, which sorts by age; the folders of ended worlds are thinned out first.
fn new_folder() -> Result<PathBuf> {
    let worlds = worlds_folder()?;
    fs::create_dir_all(&worlds).with_context(|| format!("creating {}", worlds.display()))?;
    tidy(&worlds)?;
    let since = std::time::SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let number = STARTED.fetch_add(1, Ordering::Relaxed);
    Ok(worlds.join(format!("world-{}-{}-{number}", since.as_millis(), std::process::id())))
}

/// Takes the folder for this process. The kernel releases the lock when the process ends, however that happens.
fn claim(folder: &Path) -> Result<File> {
    fs::create_dir_all(folder).with_context(|| format!("creating {}", folder.display()))?;
    let lock = File::create(folder.join(LOCK)).with_context(|| format!("creating a lock in {}", folder.display()))?;
    if lock.try_lock().is_err() {
        bail!("another process runs a world in {}", folder.display());
    }
    Ok(lock)
}

/// A folder that is used again holds an ended world's databases, which fit none of the new keys.
fn remove_clusters(folder: &Path) -> Result<()> {
    let clusters = ["source", "target", "home"].map(|cluster| folder.join(cluster));
    clusters.iter().filter(|cluster| cluster.exists()).try_for_each(|cluster| remove_folder(cluster))
}

/// Another run may be tidying too; whoever is first removes it.
fn remove_folder(folder: &Path) -> Result<()> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("removing {}", folder.display()))
        }
        _ => Ok(()),
    }
}

/// Of worlds that have ended, all databases and all but the newest logs are removed.
fn tidy(worlds: &Path) -> Result<()> {
    let entries = fs::read_dir(worlds)?.collect::<Result<Vec<_>, _>>()?;
    let mut ended: Vec<PathBuf> = entries.iter().map(fs::DirEntry::path).filter(|path| has_ended(path)).collect();
    ended.sort();
    let old = ended.len().saturating_sub(KEPT);
    for (index, world) in ended.iter().enumerate() {
        let unwanted = if index < old { vec![world.clone()] } else { databases(world) };
        unwanted.iter().try_for_each(|folder| remove_folder(folder))?;
    }
    Ok(())
}

fn databases(world: &Path) -> Vec<PathBuf> {
    ["source", "target", "home"].map(|cluster| world.join(cluster).join("etcd")).into()
}

fn has_ended(world: &Path) -> bool {
    let named = world.file_name().is_some_and(|name| name.to_string_lossy().starts_with("world-"));
    named && File::open(world.join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok())
}
