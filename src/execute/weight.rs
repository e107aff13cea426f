//! A weight on an Ingress that is there: our complete set, by server-side apply, under uid and resourceVersion.

use std::collections::BTreeMap;

use kube::api::{Patch, PatchParams};
use serde_json::json;

use super::ExecuteError;
use super::live::Cluster;
use crate::api::{FIELD_MANAGER, STAMP_ANNOTATION};
use crate::cluster::call::timed;
use crate::cluster::client::WRITE_TIMEOUT;
use crate::machine::effect::WeightWrite;
use crate::machine::observed::IngressFacts;
use crate::machine::order::{Order, SideRules};
use crate::machine::permit::{Live, Permit, permit};
use crate::observe::facts;
use crate::site::Site;

pub(super) async fn write(order: &Order, site: &Site, write: &WeightWrite) -> Result<(), ExecuteError> {
    let cluster = Cluster::of(order, site, write.side)?;
    let live = read(order, site, &cluster, write).await?;
    match permit(write, &order.rules(write.side).identity, &live) {
        Permit::AlreadyDone => Ok(()),
        Permit::Refused(refusal) => Err(ExecuteError::Refused(refusal)),
        Permit::Write { uid, resource_version } => {
            let write = write.beside(live.ingress.as_ref());
            apply(order.rules(write.side), &cluster, &write, &uid, &resource_version).await
        }
    }
}

/// What the permit needs, all at once. A rollback and a fence read only what they write.
async fn read(order: &Order, site: &Site, cluster: &Cluster<'_>, write: &WeightWrite) -> Result<Live, ExecuteError> {
    let other = async {
        if write.stamp.direction.is_back() || write.keeps_weight {
            return Ok(None);
        }
        other_side(order, site, write).await
    };
    let (identity, namespace, ingress, other) =
        futures::join!(cluster.identity(), cluster.namespace(), cluster.ingress(&write.ingress), other);
    let prefix = &order.rules(write.side).annotation_prefix;
    Ok(Live {
        identity: identity?,
        namespace: namespace?,
        ingress: ingress?.map(|object| facts::ingress(&object, prefix)),
        other: other?,
    })
}

async fn other_side(order: &Order, site: &Site, write: &WeightWrite) -> Result<Option<IngressFacts>, ExecuteError> {
    let side = write.side.other();
    let object = Cluster::of(order, site, side)?.ingress(&write.ingress).await?;
    Ok(object.map(|object| facts::ingress(&object, &order.rules(side).annotation_prefix)))
}

/// Our complete set. external-dns leaves alone, and so removes the records of, what names another controller than itself.
/// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/source/annotations/processors.go>
fn annotations(prefix: &str, write: &WeightWrite) -> BTreeMap<String, String> {
    let ours = [
        (format!("{prefix}set-identifier"), write.identifier.clone()),
        (format!("{prefix}aws-weight"), write.weight.to_string()),
        (STAMP_ANNOTATION.to_owned(), write.stamp.text()),
    ];
    let withheld = write.withheld.then(|| (format!("{prefix}controller"), FIELD_MANAGER.to_owned()));
    ours.into_iter().chain(withheld).collect()
}

pub(super) async fn apply(
    rules: &SideRules,
    cluster: &Cluster<'_>,
    write: &WeightWrite,
    uid: &str,
    version: &str,
) -> Result<(), ExecuteError> {
    let (prefix, namespace) = (&rules.annotation_prefix, cluster.namespace);
    let set = json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {
            "name": write.ingress,
            "namespace": namespace,
            "uid": uid,
            "resourceVersion": version,
            "annotations": annotations(prefix, write),
        },
    });
    let params = PatchParams::apply(FIELD_MANAGER).force();
    let written = timed(WRITE_TIMEOUT, cluster.ingresses().patch(&write.ingress, &params, &Patch::Apply(set))).await;
    written.map_err(|source| cluster.failed(format!("write the weight of Ingress {}", write.ingress), source))?;
    tracing::info!(
        namespace, ingress = write.ingress, side = write.side.name(), weight = write.weight.get(),
        epoch = write.stamp.epoch, direction = ?write.stamp.direction, "weight written"
    );
    Ok(())
}
