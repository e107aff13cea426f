//! A load balancer whose address is gone from the status of its Ingress for a while: external-dns takes its record away.

use anyhow::{Result, ensure};
use namespace_migration::api::Stage;
use rig::population::Side;
use rig::route53::record::Kind;
use rig::route53::zone::Zone;
use serde_json::json;

use super::{Held, Trap, goes_on};
use crate::scene::{LIMIT, Scene, Visited, quick, reason_of};

#[tokio::test(flavor = "multi_thread")]
async fn a_load_balancer_status_that_blinks_stops_the_shift_and_is_no_failure_of_the_application() -> Result<()> {
    let trap = Trap::new(
        "a load balancer whose address is gone from the status for a while, and its record with it",
        "the target's Ingress has no address while the second step is raised; the application answers all the time",
    );
    let scene = Scene::open(quick("blinks")).await?;
    let shop = scene.migration("blinks-shop").spec("/traffic/upTo", json!(10)).begin().await?;
    shop.until("10 percent", |found| reason_of(found) == "AtCeiling").await?;
    let balancer = scene.setup.target_balancer();
    balancer.hide(true);
    let zone = scene.world.zone();
    let green = "blinks-shop-blinks-shop-green";
    let is_gone = |zone: &Zone| zone.get(shop.host(), Kind::A, Some(green)).is_none().then_some(());
    zone.wait("the target's record going away", LIMIT, is_gone).await?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    let words = [&*format!("has no A record {green}, which is the target's"), "external-dns of the target"];
    trap.holds(&shop, Held::InTheShift, &["DNSLate"], &words).await?;
    ensure!(shop.weights().await?[0] == Some(90), "the source was lowered: {:?}", shop.weights().await?);
    balancer.hide(false);
    goes_on(&shop).await
}

/// With everybody on the target, its record is the only one with a weight: nothing that is written would bring an address back.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_loses_its_address_in_the_bake_stops_the_clock_until_it_is_back() -> Result<()> {
    let trap = Trap::new(
        "the source at 0 and a target whose load balancer has no address",
        "the target's Ingress has no address in the bake; the application answers all the time",
    );
    let scene = Scene::open(quick("dark")).await?;
    let draft = scene.migration("dark-shop").steps(&[(100, "1s")]);
    let people = Visited::begin(draft.spec("/bake", json!({"for": "20s"}))).await?;
    let shop = &people.shop;
    shop.stage(Stage::Bake).await?;
    people.all_arrive_at(Side::Target).await?;
    scene.setup.target_balancer().hide(true);
    let words = ["Ingress dark-shop on the target has no load balancer address any more", "weights stay"];
    trap.holds(shop, Held::InTheShift, &["AddressLost"], &words).await?;
    shop.event_says("AddressLost", "Ingress dark-shop on the target has no load balancer address any more").await?;
    ensure!(shop.weights().await? == [Some(0), Some(100)], "{:?}", shop.weights().await?);
    // The source's record is alone now, and a record that is alone is answered at any weight: its side still serves them.
    people.all_arrive_at(Side::Source).await?;
    scene.setup.target_balancer().hide(false);
    goes_on(shop).await?;
    people.all_arrive_at(Side::Target).await
}
