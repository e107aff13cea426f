//! What surrounds an operator is installed from `deploy/` and works with the rights that `deploy/` gives.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Namespace, Secret};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::ListParams;
use rig::deploy::{KUBECONFIG_KEY, OPERATOR_NAMESPACE};
use rig::kubectl::Kubectl;
use rig::operator::home_access;
use rig::setup::{Home, Options, Setup};
use rig::world::World;

const LIMIT: Duration = Duration::from_secs(60);

fn is_forbidden<T>(result: Result<T, kube::Error>) -> Result<bool> {
    match result {
        Err(kube::Error::Api(status)) => Ok(status.is_forbidden()),
        Err(other) => Err(other).context("expected an answer"),
        Ok(_) => Ok(false),
    }
}

#[tokio::test]
async fn the_operator_gets_the_rights_of_its_role_and_no_others() -> Result<()> {
    let world = World::shared().await?;
    let setup = Setup::start(world, Options::new("rights")).await?;
    let operator = home_access(world.source()).await?.client()?;
    let everything = ListParams::default();
    Api::<Ingress>::all(operator.clone()).list(&everything).await.context("listing Ingresses of the source")?;
    ensure!(is_forbidden(Api::<Secret>::all(operator).list(&everything).await)?, "the operator may list Secrets");
    ensure!(setup.source_balancer().http() != setup.target_balancer().http());
    let pairs = Kubectl::of(world.source(), world.tools())?.run(&["get", "clusterpairs", "-o", "name"]).await?;
    ensure!(pairs.contains("clusterpair.namespacemigration.io/rights"), "{pairs}");
    Ok(())
}

#[tokio::test]
async fn with_a_third_home_both_clusters_are_reached_by_kubeconfigs_through_proxies() -> Result<()> {
    let world = World::shared().await?;
    let options = Options { home: Home::Third, proxied: true, ..Options::new("third") };
    let setup = Setup::start(world, options).await?;
    let secrets: Api<Secret> = Api::namespaced(world.home().await?.admin_client()?, OPERATOR_NAMESPACE);
    for side in ["source", "target"] {
        let data = secrets.get(&format!("third-{side}")).await?.data.context("a Secret with data")?;
        let path = world.folder().join(format!("third-{side}.kubeconfig"));
        std::fs::write(&path, &data.get(KUBECONFIG_KEY).context("the kubeconfig's key")?.0)?;
        let cluster = if side == "source" { world.source() } else { world.target() };
        let kubectl = Kubectl::of(cluster, world.tools())?.with_kubeconfig(path);
        ensure!(kubectl.run(&["get", "ingresses", "-A", "-o", "name"]).await.is_ok(), "{side}: Ingresses");
        ensure!(kubectl.run(&["get", "nodes"]).await.is_err(), "{side}: an identity of deploy/ may list Nodes");
    }
    for (side, faults) in [("source", setup.source_faults()), ("target", setup.target_faults())] {
        let Some(faults) = faults else { bail!("{side} has no proxy") };
        ensure!(!faults.requests().is_empty(), "{side}: nothing went through the proxy");
    }
    Ok(())
}

#[tokio::test]
async fn users_reach_a_sample_namespace_through_the_source() -> Result<()> {
    let world = World::shared().await?;
    let setup = Setup::start(world, Options::new("users")).await?;
    let (sample, client) = (setup.sample("reached"), world.source().admin_client()?);
    sample.create_on_source(&client).await?;
    sample.wait_until_ready(&client, LIMIT).await?;
    let (user, balancer) = (setup.user()?, setup.source_balancer());
    let served = || async {
        user.get_securely(balancer.https(), "reached.example.com", "/").await.is_ok_and(|page| page.status == 200)
    };
    rig::control_plane::wait_until("the service answering", LIMIT, served).await?;
    Api::<Namespace>::all(client).delete("reached", &kube::api::DeleteParams::background()).await?;
    Ok(())
}
