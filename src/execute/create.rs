//! Objects that we create on the target: create-only, marked with their owner. One that is there is never changed.

use std::collections::BTreeMap;

use kube::api::PostParams;

use super::ExecuteError;
use super::live::Cluster;
use crate::api::{FIELD_MANAGER, OWNER_ANNOTATION, OWNER_LABEL};
use crate::cluster::call::timed;
use crate::cluster::client::WRITE_TIMEOUT;
use crate::cluster::secret;
use crate::machine::Side;
use crate::machine::effect::IngressCreation;
use crate::machine::order::Order;
use crate::machine::permit::permit_creation;
use crate::observe::facts;
use crate::replicate::{self, IngressRules};
use crate::site::Site;

pub(super) async fn ingress(order: &Order, site: &Site, creation: &IngressCreation) -> Result<(), ExecuteError> {
    let (source, target) = (Cluster::of(order, site, Side::Source)?, Cluster::of(order, site, Side::Target)?);
    let (original, ready) = futures::join!(source.ingress(&creation.name), check(order, &target));
    ready?;
    let gone = || ExecuteError::Changed(format!("Ingress {} is not on the source any more", creation.name));
    let original = original?.ok_or_else(gone)?;
    let found = facts::ingress(&original, &order.source.annotation_prefix);
    permit_creation(creation, &found).map_err(ExecuteError::Refused)?;
    if let Some(owner) = found.deployed_by {
        return Err(ExecuteError::Changed(format!("Ingress {} is deployed by {owner} now", creation.name)));
    }
    let unusable = |error: serde_json::Error| ExecuteError::Copy { ingress: creation.name.clone(), source: error };
    let original = serde_json::to_value(&original).map_err(unusable)?;
    let made =
        replicate::target_ingress(&original, &rules(order, creation, &creation.stamp.text(), &order.owner_label()));
    let made = serde_json::from_value(made).map_err(unusable)?;
    let params = PostParams { field_manager: Some(FIELD_MANAGER.to_owned()), ..PostParams::default() };
    let created = timed(WRITE_TIMEOUT, target.ingresses().create(&params, &made)).await;
    created.map_err(|source| target.failed(format!("create Ingress {}", creation.name), source))?;
    tracing::info!(
        namespace = order.namespace,
        ingress = creation.name,
        side = "target",
        weight = 0,
        "Ingress created"
    );
    Ok(())
}

fn rules<'a>(
    order: &'a Order,
    creation: &'a IngressCreation,
    stamp: &'a str,
    owner_label: &'a str,
) -> IngressRules<'a> {
    IngressRules {
        source_prefix: &order.source.annotation_prefix,
        target_prefix: &order.target.annotation_prefix,
        classes: &order.classes,
        identifier: &creation.identifier,
        stamp,
        owner: &order.owner,
        owner_label,
    }
}

pub(super) async fn secret(order: &Order, site: &Site, name: &str) -> Result<(), ExecuteError> {
    let (source, target) = (Cluster::of(order, site, Side::Source)?, Cluster::of(order, site, Side::Target)?);
    let (original, ready) = futures::join!(secret::get(&source.client, &order.namespace, name), check(order, &target));
    ready?;
    let failed = |side| move |source| ExecuteError::Secret { side, source };
    let Some(original) = original.map_err(failed(Side::Source))? else {
        return Err(ExecuteError::Changed(format!("Secret {name} is not on the source any more")));
    };
    if let Some(why) = replicate::refusal(name, original.secret_type(), !original.owners().is_empty()) {
        return Err(ExecuteError::Changed(format!("Secret {name} is not copied: {why}")));
    }
    let labels = BTreeMap::from([(OWNER_LABEL.to_owned(), order.owner_label())]);
    let annotations = BTreeMap::from([(OWNER_ANNOTATION.to_owned(), order.owner.clone())]);
    let copy = original.sanitised(&labels, &annotations);
    secret::create(&target.client, &order.namespace, &copy).await.map_err(failed(Side::Target))?;
    tracing::info!(namespace = order.namespace, secret = name, side = "target", "Secret created");
    Ok(())
}

/// The target is the right cluster, and its namespace is not going away.
async fn check(order: &Order, target: &Cluster<'_>) -> Result<(), ExecuteError> {
    let (identity, namespace) = futures::join!(target.is_the_right_one(&order.target), target.namespace());
    identity?;
    match namespace? {
        Some(facts) if !facts.terminating => Ok(()),
        _ => Err(ExecuteError::Changed(format!(
            "the namespace {} on the target is absent or being deleted",
            order.namespace
        ))),
    }
}
