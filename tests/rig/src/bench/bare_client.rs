//! The same writes by a client that does nothing else: GET, then server-side apply under the version that was read.

use std::time::Duration;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;
use tokio::time::Instant;

use super::spread::Spread;

const FIELD_MANAGER: &str = "bare-client";
/// An annotation that nobody reads, as long as the operator's stamp.
const ANNOTATION: &str = "rig.namespacemigration.io/bare-client";

/// Writes the Ingress of each namespace, beginning so long after the start; all that have begun are written at the same time.
/// Returns how long each took, in milliseconds. `number` makes each run a change.
pub async fn write_all(client: &Client, begins: &[(String, Duration)], number: usize) -> Result<Spread> {
    let start = Instant::now();
    let writes = begins.iter().map(|(namespace, after)| async move {
        tokio::time::sleep_until(start + *after).await;
        write(client, namespace, number).await
    });
    Ok(Spread::of(try_join_all(writes).await?))
}

/// Writes one Ingress after the other.
pub async fn write_each(client: &Client, namespaces: &[String], number: usize) -> Result<Spread> {
    let mut millis = Vec::new();
    for namespace in namespaces {
        millis.push(write(client, namespace, number).await?);
    }
    Ok(Spread::of(millis))
}

async fn write(client: &Client, namespace: &str, number: usize) -> Result<f64> {
    let (began, api) = (Instant::now(), Api::<Ingress>::namespaced(client.clone(), namespace));
    let context = || format!("the bare client and Ingress {namespace}");
    loop {
        let found = api.get(namespace).await.with_context(context)?;
        let set = json!({
            "apiVersion": "networking.k8s.io/v1",
            "kind": "Ingress",
            "metadata": {
                "name": namespace,
                "namespace": namespace,
                "uid": found.uid(),
                "resourceVersion": found.resource_version(),
                "annotations": {ANNOTATION: format!("run {number:04}, as long as the stamp of a migration's owner is")},
            },
        });
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch(namespace, &params, &Patch::Apply(set)).await {
            Ok(_) => return Ok(began.elapsed().as_secs_f64() * 1000.0),
            // As the operator does: read again at once.
            Err(kube::Error::Api(refused)) if refused.code == 409 => {}
            Err(error) => return Err(error).with_context(context),
        }
    }
}
