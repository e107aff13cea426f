//! What external-dns says of its records is no proof that they are served.

use anyhow::{Result, ensure};
use k8s_openapi::api::events::v1::Event;
use kube::Api;
use kube::api::ListParams;
use rig::external_dns::Options;
use serde_json::json;

use super::{Held, Trap, goes_on, own, own_dns};
use crate::scene::{Migration, Scene, reason_of};

/// Whether external-dns has said on the target that the record of the Ingress is ready.
async fn is_said_to_be_ready(shop: &Migration<'_>) -> Result<bool> {
    let events: Api<Event> = Api::namespaced(shop.scene.target(), shop.name());
    let events = events.list(&ListParams::default()).await?;
    let says = |event: &Event| {
        let about = event.regarding.as_ref().and_then(|regarding| regarding.name.as_deref());
        event.reason.as_deref() == Some("RecordReady") && about == Some(shop.name())
    };
    Ok(events.iter().any(says))
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_says_that_the_record_is_ready_is_not_believed() -> Result<()> {
    let trap = Trap::new(
        "events of external-dns that call a record ready, without its weight",
        "external-dns emits RecordReady, and the target's is killed before the second step",
    );
    let scene = Scene::open(own("events", |options| {
        options.map(|mut side: Options| {
            side.arguments.push("--events-emit=RecordReady".to_owned());
            side
        })
    }))
    .await?;
    let shop = scene.migration("events-shop").spec("/traffic/upTo", json!(10)).begin().await?;
    shop.until("10 percent", |found| reason_of(found) == "AtCeiling").await?;
    let said = async || Ok(is_said_to_be_ready(&shop).await?.then_some(()));
    scene.eventually("an event that says RecordReady", said).await?;
    let target = &own_dns(&scene)?.external_dns().target;
    target.kill().await?;
    shop.change(json!({"traffic": {"upTo": 100}})).await?;
    let words = ["has weight 10; weight 50 is written on the target", "external-dns of the target"];
    trap.holds(&shop, Held::InTheShift, &["DNSLate"], &words).await?;
    ensure!(is_said_to_be_ready(&shop).await?, "nothing says any more that the record is ready");
    target.start_again().await?;
    goes_on(&shop).await
}
