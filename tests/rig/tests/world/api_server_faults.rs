//! API servers that hang, die and come back. These tests have clusters of their own.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::{ListParams, PostParams};
use rig::control_plane::{ControlPlane, wait_until};
use rig::tools::Tools;
use rig::world::{Options, World};
use serde_json::json;

const PATIENCE: Duration = Duration::from_secs(1);
const LIMIT: Duration = Duration::from_secs(30);

async fn answers(cluster: &ControlPlane) -> Result<bool> {
    let maps: Api<ConfigMap> = Api::namespaced(cluster.admin_client()?, "default");
    Ok(matches!(tokio::time::timeout(PATIENCE, maps.list(&ListParams::default())).await, Ok(Ok(_))))
}

#[tokio::test]
async fn one_api_server_hangs_dies_and_comes_back_with_its_data_while_the_other_goes_on() -> Result<()> {
    let world = World::start(Options::default()).await?;
    let (source, target) = (world.source(), world.target());
    let map: ConfigMap = serde_json::from_value(json!({"metadata": {"name": "kept"}}))?;
    Api::namespaced(target.admin_client()?, "default").create(&PostParams::default(), &map).await?;

    target.pause().await?;
    assert!(!answers(target).await?, "a paused API server answered");
    assert!(answers(source).await?, "the other API server is disturbed");
    target.resume().await?;
    let awake = || async { answers(target).await.is_ok_and(|answered| answered) };
    wait_until("the resumed API server answering", LIMIT, awake).await?;

    target.kill_api_server().await?;
    assert!(!answers(target).await?, "a dead API server answered");
    target.start_api_server().await?;
    Api::<ConfigMap>::namespaced(target.admin_client()?, "default").get("kept").await?;
    world.stop().await
}

#[tokio::test]
async fn a_third_control_plane_starts_on_demand() -> Result<()> {
    let world = World::start(Options::default()).await?;
    assert_eq!(world.control_planes().count(), 2);
    assert!(answers(world.home().await?).await?);
    assert_eq!(world.control_planes().count(), 3);
    assert_eq!(world.pids().await.len(), 15 - 3 * Tools::prepare().await?.not_run().len());
    world.stop().await
}
