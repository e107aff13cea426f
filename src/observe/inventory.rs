//! One pass over everything that is in the namespace on one side: found by discovery, listed page by page, and reduced as it comes.
//!
//! What cannot be read is noted and told as a finding: a group whose discovery fails, a kind whose list is refused. Of kinds that are
//! never copied only the metadata is asked for. Secrets are not listed: a list of them brings their values.

mod discovery;

use std::collections::BTreeSet;

use futures::StreamExt as _;
use kube::Client;
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use serde::Serialize;
use serde_json::Value;

use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;
use crate::machine::inventory::{Inventory, Item, Kind, SideInventory, Unread};
use crate::replicate;
use discovery::{Discovered, Listable};

/// Objects of one answer. The largest ConfigMaps have 1 MiB: where so many are too much for one answer, fewer are asked for.
const PAGE: u32 = 100;
/// Kinds that are listed at the same time: more would only make the API server slow for others.
const AT_A_TIME: usize = 4;

/// The cluster's own kinds that a namespace refers to.
const OF_THE_CLUSTER: [(&str, &str); 4] = [
    ("networking.k8s.io", "IngressClass"),
    ("scheduling.k8s.io", "PriorityClass"),
    ("storage.k8s.io", "StorageClass"),
    ("rbac.authorization.k8s.io", "ClusterRole"),
];

/// Everything in the namespace on both sides. It costs some sixty requests on each.
pub async fn take(source: &Client, target: &Client, namespace: &str) -> Inventory {
    let (on_source, on_target) = futures::join!(discovery::discover(source), discovery::discover(target));
    let (of_source, of_target) = (on_source.served(), on_target.served());
    let (source, target) =
        futures::join!(side(source, namespace, on_source, &of_target), side(target, namespace, on_target, &of_source));
    Inventory { taken: Some(crate::cluster::now()), source, target }
}

/// One side. Where the `other` serves a kind at one of the versions too, it is read at that one: so both sides can be compared, and what
/// the source has can be written to the target.
async fn side(client: &Client, namespace: &str, found: Discovered, other: &BTreeSet<Kind>) -> SideInventory {
    let (inside, around) = (found.inside(other), found.of_the_cluster(&OF_THE_CLUSTER));
    let mut side = SideInventory {
        version: found.version,
        clock_ahead_millis: found.clock_ahead_millis,
        served: found.served(),
        unread: found.unread,
        ..SideInventory::default()
    };
    match own_namespace(client, namespace).await {
        Ok(found) => side.namespace = found,
        Err(error) => side.unread.push(unread(format!("namespace {namespace}"), &error)),
    }
    let listed = listed(client, Some(namespace), inside, &mut side.unread).await;
    side.items.extend(listed.into_iter().map(|item| ((item.kind.clone(), item.name.clone()), item)));
    let listed = self::listed(client, None, around, &mut side.unread).await;
    side.cluster.extend(listed.into_iter().map(|item| ((item.kind.clone(), item.name.clone()), item)));
    side.unread.sort();
    side
}

async fn own_namespace(client: &Client, name: &str) -> Result<Option<Item>, CallError> {
    let resource = ApiResource { plural: "namespaces".into(), ..resource(&Kind::new("", "v1", "Namespace"), "") };
    let namespaces: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let found = timed(CALL_TIMEOUT, namespaces.get_opt(name)).await?;
    Ok(found.map(|object| item(&object, &Kind::new("", "v1", "Namespace"))))
}

async fn listed(client: &Client, namespace: Option<&str>, kinds: Vec<Listable>, unread: &mut Vec<Unread>) -> Vec<Item> {
    let lists = kinds.into_iter().map(|kind| async move {
        let items = list(client, namespace, &kind).await;
        (kind, items)
    });
    let mut lists = futures::stream::iter(lists).buffer_unordered(AT_A_TIME);
    let mut all = vec![];
    while let Some((kind, items)) = lists.next().await {
        match items {
            Ok(items) => all.extend(items),
            // It was taken out of the API while it was being asked for.
            Err(error) if error.not_found() => {}
            Err(error) => unread.push(self::unread(kind.name(), &error)),
        }
    }
    all
}

async fn list(client: &Client, namespace: Option<&str>, kind: &Listable) -> Result<Vec<Item>, CallError> {
    let resource = resource(&kind.kind, &kind.plural);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let (mut items, mut page) = (vec![], ListParams::default().limit(PAGE));
    loop {
        let (answer, next) = match self::page(&api, kind, &page).await {
            Err(CallError::TooLarge { .. }) if page.limit > Some(1) => {
                page.limit = page.limit.map(|limit| limit.div_ceil(4));
                continue;
            }
            // The list is older than what the server remembers: it begins anew.
            Err(error) if error.expired() && page.continue_token.is_some() => {
                (items, page.continue_token) = (vec![], None);
                continue;
            }
            answer => answer?,
        };
        items.extend(answer);
        match next.filter(|token| !token.is_empty()) {
            None => return Ok(items),
            Some(token) => page = page.continue_token(&token),
        }
    }
}

type Page = (Vec<Item>, Option<String>);

async fn page(api: &Api<DynamicObject>, kind: &Listable, page: &ListParams) -> Result<Page, CallError> {
    if kind.metadata_only {
        let answer = timed(CALL_TIMEOUT, api.list_metadata(page)).await?;
        return Ok((answer.items.iter().map(|object| item(object, &kind.kind)).collect(), answer.metadata.continue_));
    }
    let answer = timed(CALL_TIMEOUT, api.list(page)).await?;
    Ok((answer.items.iter().map(|object| item(object, &kind.kind)).collect(), answer.metadata.continue_))
}

/// The object, reduced. A list does not say the kind of its entries.
fn item(object: &impl Serialize, kind: &Kind) -> Item {
    let mut value = serde_json::to_value(object).unwrap_or_default();
    value["apiVersion"] = Value::from(kind.api_version());
    value["kind"] = Value::from(kind.kind.clone());
    replicate::item(&value)
}

fn resource(kind: &Kind, plural: &str) -> ApiResource {
    ApiResource {
        group: kind.group.clone(),
        version: kind.version.clone(),
        api_version: kind.api_version(),
        kind: kind.kind.clone(),
        plural: plural.to_owned(),
    }
}

fn unread(what: String, error: &CallError) -> Unread {
    Unread { what, why: error.to_string() }
}

#[cfg(test)]
mod tests;
