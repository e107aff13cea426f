//! Time that passes at once: deadlines of a quarter of an hour or a day are met without waiting for them.

use anyhow::{Context as _, Result, bail};
use jiff::{SignedDuration, Timestamp};
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use kube::{Api, ResourceExt as _};
use serde_json::{Value, json};

use crate::control_plane::ControlPlane;

/// The field manager of the operator: what somebody else writes to a status is not believed.
const FIELD_MANAGER: &str = "namespace-migration";
/// The operator may write the status at the same moment.
const TRIES: u32 = 20;

/// The status of this migration says from now on that its stage began so much earlier. The operator may be running.
pub async fn stage_began_earlier(home: &ControlPlane, namespace: &str, name: &str, span: SignedDuration) -> Result<()> {
    let client = home.operator_client()?;
    let kind = GroupVersionKind::gvk("namespacemigration.io", "v1alpha1", "NamespaceMigration");
    let api: Api<DynamicObject> = Api::namespaced_with(client, namespace, &ApiResource::from_gvk(&kind));
    for _ in 0..TRIES {
        let found = api.get(name).await.with_context(|| format!("reading NamespaceMigration {name}"))?;
        let body = begun_earlier(&found, span).with_context(|| format!("{name} is in no stage"))?;
        let params = PatchParams::apply(FIELD_MANAGER).force();
        match api.patch_status(name, &params, &Patch::Apply(&body)).await {
            Ok(_) => return Ok(()),
            Err(kube::Error::Api(refused)) if refused.code == 409 => {}
            Err(error) => return Err(error).with_context(|| format!("writing the status of {name}")),
        }
    }
    bail!("the status of {name} changed {TRIES} times while it was to be written");
}

fn begun_earlier(found: &DynamicObject, span: SignedDuration) -> Option<Value> {
    let mut status = found.data.get("status")?.clone();
    let began: Timestamp = status["stageStartedAt"].as_str()?.parse().ok()?;
    status["stageStartedAt"] = json!(began.checked_sub(span).ok()?.to_string());
    Some(json!({
        "apiVersion": "namespacemigration.io/v1alpha1",
        "kind": "NamespaceMigration",
        "metadata": {"name": found.name_any(), "namespace": found.namespace(), "resourceVersion": found.resource_version()},
        "status": status,
    }))
}
