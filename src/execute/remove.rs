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
use crate::machine::order::{Order, SideRules};
use crate::observe::facts;
use crate::site::Site;

pub(super) async fn object(order: &Order, site: &Site, removal: &Removal) -> Result<(), ExecuteError> {
    let target = Cluster::of(order, site, Side::Target)?;
    remove(&target, &order.target, &order.owner_label(), removal).await
}

/// Removes an object of the target that carries this mark. One that is gone needs nothing.
pub(super) async fn remove(
    target: &Cluster<'_>,
    rules: &SideRules,
    mark: &str,
    removal: &Removal,
) -> Result<(), ExecuteError> {
    target.is_the_right_one(rules).await?;
    match removal.kind {
        RemovableKind::Ingress => ingress(rules, target, mark, removal).await?,
        RemovableKind::Secret => secret(target, mark, removal).await?,
    }
    tracing::info!(
        namespace = target.namespace,
        kind = removal.kind.as_str(),
        name = removal.name,
        side = "target",
        "object removed"
    );
    Ok(())
}

async fn ingress(rules: &SideRules, target: &Cluster<'_>, mark: &str, removal: &Removal) -> Result<(), ExecuteError> {
    let Some(found) = target.ingress(&removal.name).await? else { return Ok(()) };
    let found = facts::ingress(&found, &rules.annotation_prefix);
    check_mark(mark, removal, &found.uid, found.created_by.as_deref())?;
    let preconditions =
        Preconditions { uid: Some(removal.uid.clone()), resource_version: Some(found.resource_version) };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match timed(WRITE_TIMEOUT, target.ingresses().delete(&removal.name, &params)).await {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(source) => Err(target.failed(format!("delete Ingress {}", removal.name), source)),
    }
}

async fn secret(target: &Cluster<'_>, mark: &str, removal: &Removal) -> Result<(), ExecuteError> {
    let failed = |source| ExecuteError::Secret { side: Side::Target, source };
    let found = secret::get(&target.client, target.namespace, &removal.name).await.map_err(failed)?;
    let Some(found) = found else { return Ok(()) };
    check_mark(mark, removal, found.uid(), found.label(OWNER_LABEL))?;
    secret::delete(&target.client, target.namespace, &removal.name, &removal.uid).await.map_err(failed)
}

fn check_mark(ours: &str, removal: &Removal, uid: &str, mark: Option<&str>) -> Result<(), ExecuteError> {
    if uid == removal.uid && mark == Some(ours) {
        return Ok(());
    }
    let (kind, name) = (removal.kind.as_str(), &removal.name);
    Err(ExecuteError::Changed(format!(
        "{kind} {name} on the target is not the one that was created here; it is left alone"
    )))
}
