//! Hosts that belong to several Ingresses, or to nobody's zone.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::networking::v1::Ingress;
use kube::Api;
use kube::api::{Patch, PatchParams, PostParams};
use namespace_migration::api::Stage;
use rig::route53::journal::Served;
use rig::route53::record::Kind;
use serde_json::json;

use super::{Held, Trap, goes_on};
use crate::scene::{Migration, Scene, quick};

/// One more Ingress for the same host, with a path of its own.
async fn with_second_ingress(shop: &Migration<'_>) -> Result<()> {
    let source: Api<Ingress> = Api::namespaced(shop.scene.source(), shop.name());
    let mut second = source.get(shop.name()).await?;
    second.metadata = serde_json::from_value(json!({"name": "second"}))?;
    second.status = None;
    let rules = second.spec.as_mut().and_then(|spec| spec.rules.as_mut()).context("rules")?;
    let paths = rules.first_mut().and_then(|rule| rule.http.as_mut()).map(|http| &mut http.paths).context("paths")?;
    paths.first_mut().context("a path")?.path = Some("/second".to_owned());
    source.create(&PostParams::default(), &second).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ingresses_of_one_host_move_as_one_and_neither_can_stay_behind() -> Result<()> {
    let trap = Trap::new(
        "several Ingresses with one host, of which one is left out",
        "two Ingresses have the host, and spec.ingresses.exclude names one",
    );
    let scene = Scene::open(quick("together")).await?;
    let draft = scene.migration("together-shop").steps(&[(10, "1s"), (50, "1s"), (100, "1s")]);
    let shop = draft.spec("/ingresses", json!({"exclude": ["second"]})).deploy().await?;
    with_second_ingress(&shop).await?;
    shop.begin().await?;
    let words = [
        "SharedHost",
        "Ingress second is excluded but shares the host together-shop.example.com with Ingress together-shop",
        "Take second out of spec.ingresses.exclude",
    ];
    trap.holds(&shop, Held::Untouched, &["PreflightBlocked"], &words).await?;
    shop.change(json!({"ingresses": {"exclude": []}})).await?;
    let ended = shop.ends(Stage::Completed).await?.status.context("a status")?;
    let moved: Vec<_> = ended.traffic.iter().map(|one| (one.ingress.as_str(), one.target_weight)).collect();
    ensure!(moved == [("second", Some(100)), ("together-shop", Some(100))], "{moved:?}");
    shares_come_from_sums(&scene.world.zone().weights(shop.host(), Kind::A))?;
    shop.keeps_its_promises().await
}

/// The target's share is that of all its records, and never above the weight of the step.
fn shares_come_from_sums(history: &[Served]) -> Result<()> {
    let sums = |served: &Served, colour: &str| -> (usize, u32) {
        let weights = served.weights.iter().filter(|(identifier, _)| identifier.ends_with(colour));
        weights.fold((0, 0), |(count, sum), (_, weight)| (count + 1, sum + u32::from(weight.unwrap_or(0))))
    };
    let mut seen = vec![];
    for served in history {
        let ((sources, source), (targets, target)) = (sums(served, "-blue"), sums(served, "-green"));
        let highest = served.weights.iter().filter(|(identifier, _)| identifier.ends_with("-green"));
        let step = highest.filter_map(|(_, weight)| *weight).max().map_or(0, u32::from);
        // Both zero is an even split; here that never is.
        ensure!(target == 0 || target * 100 <= step * (source + target), "{:?}", served.weights);
        seen.push((sources, targets, source, target));
    }
    for expected in [(2, 2, 200, 0), (2, 2, 180, 20), (2, 2, 100, 100), (2, 2, 0, 200)] {
        ensure!(seen.contains(&expected), "{expected:?} was never served: {seen:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_that_is_in_no_zone_is_held_before_the_first_write() -> Result<()> {
    let trap = Trap::new(
        "an Ingress with a host that is in no zone of the account",
        "its second host is in somebody else's domain",
    );
    let scene = Scene::open(quick("strange")).await?;
    let draft = scene.migration("strange-shop").service(|sample| sample.with_host("shop.strange.example.net"));
    let shop = draft.begin().await?;
    let words = ["shop.strange.example.net", "hosted zones"];
    trap.holds(&shop, Held::Untouched, &["DNSUnreadable", "PreflightBlocked"], &words).await?;
    let source: Api<Ingress> = Api::namespaced(scene.source(), shop.name());
    let mut ingress = source.get(shop.name()).await?;
    let rules = ingress.spec.as_mut().and_then(|spec| spec.rules.as_mut()).context("rules")?;
    rules.truncate(1);
    let patch = Patch::Merge(json!({"spec": {"rules": rules}}));
    source.patch(shop.name(), &PatchParams::default(), &patch).await?;
    goes_on(&shop).await
}
