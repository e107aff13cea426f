//! What `rig up` runs on top of the two clusters.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

use crate::http_server::Server;
use crate::operator::Operator;
use crate::progress::say;
use crate::sample_namespace::{SECRET, SampleNamespace};
use crate::setup::{Options, Setup};
use crate::world::World;

/// The `ClusterPair` and the ingress class of the background world.
pub const PAIR: &str = "old-to-new";
/// The namespaces that are ready to be moved.
pub const NAMESPACES: [&str; 2] = ["shop", "books"];

const READY_LIMIT: Duration = Duration::from_secs(60);

/// Everything that ends with the background world.
pub struct Services {
    setup: Setup,
    name_server: SocketAddr,
    control: Server,
    root: PathBuf,
    operator: Operator,
}

impl Services {
    /// Shell variables for whoever tries the services by hand.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        vec![
            ("PAIR", PAIR.to_owned()),
            ("SOURCE_LB", self.setup.source_balancer().https().to_string()),
            ("TARGET_LB", self.setup.target_balancer().https().to_string()),
            ("NAME_SERVER", self.name_server.ip().to_string()),
            ("NAME_SERVER_PORT", self.name_server.port().to_string()),
            ("USERS_ROOT", self.root.display().to_string()),
            ("FAULTS", format!("http://{}", self.control.address())),
            ("OPERATOR", self.operator.url()),
        ]
    }

    /// A migration for each sample namespace, quick enough to be watched: (namespace, YAML).
    pub fn migrations() -> [(&'static str, String); 2] {
        NAMESPACES.map(|name| (name, migration(name)))
    }

    /// Ends the operator with a drain; load balancers end when this is dropped.
    pub async fn stop(self) -> Result<()> {
        self.operator.sigterm().await.context("stopping the operator").map(|_| ())
    }
}

/// Starts the load balancers, the sample namespaces, the control port of the sample application and the operator.
pub async fn start_services(world: &World) -> Result<Services> {
    say("installing deploy/, starting the load balancers");
    let options = Options { dns: ["3s", "300ms", "1s"], named_balancers: true, ..Options::new(PAIR) };
    let setup = Setup::start(world, options).await?;
    let root = world.folder().join("users-root.pem");
    fs::write(&root, setup.users_root()).with_context(|| format!("writing {}", root.display()))?;
    let control = TcpListener::bind(("127.0.0.1", 0)).await.context("opening the sample application's control port")?;
    let control = setup.application().serve_control(control)?;
    say(format!("creating the sample namespaces {}", NAMESPACES.join(" and ")));
    futures::future::try_join_all(NAMESPACES.map(|name| create(world, setup.sample(name)))).await?;
    say("starting the operator");
    // Without a selector: a person's migrations need no label.
    let operator = Operator::start(world.folder(), &setup.operator_options(None)).await?;
    Ok(Services { setup, name_server: world.name_server().address(), control, root, operator })
}

/// On the source the whole service, on the target what CI deploys there before a migration.
async fn create(world: &World, sample: SampleNamespace) -> Result<()> {
    let (source, target) = (world.source().admin_client()?, world.target().admin_client()?);
    sample.create_on_source(&source).await?;
    sample.create_on_target(&target).await?;
    sample.wait_until_ready(&source, READY_LIMIT).await
}

fn migration(name: &str) -> String {
    format!(
        "apiVersion: namespacemigration.io/v1alpha1
kind: NamespaceMigration
metadata:
  name: {name}
  namespace: {name}
spec:
  clusterPair: {PAIR}
  secrets:
    include: [{SECRET}]
  probes: {{ interval: 1s }}
  traffic:
    steps:
      - {{ weight: 1, hold: 5s }}
      - {{ weight: 10, hold: 10s }}
      - {{ weight: 50, hold: 10s }}
      - {{ weight: 100, hold: 10s }}
  bake:
    for: 30s
"
    )
}
