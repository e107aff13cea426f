//! Objects that we created go away again: only with our mark, and only the very object that we know.

use kube::api::{DeleteParams, Preconditions};

use super::ExecuteError;
use super::live::Cluster;
use crate::api::OWNER_LABEL;
use crate::cluster::call::timed;
use crate::cluster::client::WRITE_TIMEOUT;
use crate::cluster::secret;
use crate::machine::Side;
use crate::machine::effect::{RemovableKind, Removal};
use crate::machine::order::Order;
use crate::observe::facts;
use crate::site::Site;

pub(super) async fn object(order: &Order, site: &Site, removal: &Removal) -> Result<(), ExecuteError> {
    let target = Cluster::of(order, site, Side::Target)?;
    target.is_the_right_one(order).await?;
    match removal.kind {
        RemovableKind::Ingress => ingress(order, &target, removal).await?,
        RemovableKind::Secret => secret(order, &target, removal).await?,
    }
    tracing::info!(
        namespace = order.namespace,
        kind = removal.kind.as_str(),
        name = removal.name,
        side = "target",
        "object removed"
    );
    Ok(())
}

async fn ingress(order: &Order, target: &Cluster<'_>, removal: &Removal) -> Result<(), ExecuteError> {
    let Some(found) = target.ingress(&removal.name).await? else { return Ok(()) };
    let found = facts::ingress(&found, &order.target.annotation_prefix);
    check_mark(order, removal, &found.uid, found.created_by.as_deref())?;
    let preconditions =
        Preconditions { uid: Some(removal.uid.clone()), resource_version: Some(found.resource_version) };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match timed(WRITE_TIMEOUT, target.ingresses().delete(&removal.name, &params)).await {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(source) => Err(target.failed(format!("delete Ingress {}", removal.name), source)),
    }
}

async fn secret(order: &Order, target: &Cluster<'_>, removal: &Removal) -> Result<(), ExecuteError> {
    let failed = |source| ExecuteError::Secret { side: Side::Target, source };
    let found = secret::get(&target.client, &order.namespace, &removal.name).await.map_err(failed)?;
    let Some(found) = found else { return Ok(()) };
    check_mark(order, removal, found.uid(), found.label(OWNER_LABEL))?;
    secret::delete(&target.client, &order.namespace, &removal.name, &removal.uid).await.map_err(failed)
}

fn check_mark(order: &Order, removal: &Removal, uid: &str, mark: Option<&str>) -> Result<(), ExecuteError> {
    if uid == removal.uid && mark == Some(order.owner_label().as_str()) {
        return Ok(());
    }
    let (kind, name) = (removal.kind.as_str(), &removal.name);
    Err(ExecuteError::Changed(format!(
        "{kind} {name} on the target is not the one that was created here; it is left alone"
    )))
}
