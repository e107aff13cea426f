//! Whether both clusters let the operator do what this migration needs, by their own words.

use std::collections::BTreeMap;

use super::{Facts, Found, moving};
use crate::api::namespace_migration::RemovalPolicy;
use crate::machine::observed::{Observed, Side};
use crate::machine::order::Order;
use crate::machine::right::{Right, Rights};

/// Whether a cluster has said that it refuses something that is needed.
pub fn lacks_rights(order: &Order, observed: &Observed) -> bool {
    let facts = Facts { order, observed };
    [Side::Source, Side::Target].into_iter().any(|side| !missing(facts, side).is_empty())
}

pub(super) fn permissions(facts: Facts<'_>) -> Option<Found> {
    let gaps: Vec<_> = [Side::Source, Side::Target].into_iter().filter_map(|side| gap(facts, side)).collect();
    if gaps.is_empty() {
        return None;
    }
    let (messages, fixes): (Vec<_>, Vec<_>) = gaps.into_iter().unzip();
    let fix = format!("{} The clusters are asked again by themselves.", fixes.join(" "));
    // A right that is missing half way stops a rollback, too.
    Some(Found { message: messages.join(" "), fix, acceptable: false })
}

/// What one side refuses, and what to do about it.
fn gap(facts: Facts<'_>, side: Side) -> Option<(String, String)> {
    let rights = &facts.observed.side(side).rights;
    if let Rights::Unknown { why } = rights {
        let message = format!("The {side} does not say what the operator may do there: {why}.");
        return Some((
            message,
            format!("Let the operator's identity on the {side} ask (ClusterRole system:basic-user)."),
        ));
    }
    let missing = missing(facts, side);
    if missing.is_empty() {
        return None;
    }
    let namespace = &facts.order.namespace;
    let message = format!("The {side} refuses: {} in namespace {namespace}.", in_words(&missing));
    let role = format!(
        "Bind the ClusterRole namespace-migration-{side} of deploy/{side} to {} on the {side}.",
        account(rights)
    );
    Some((message, role))
}

fn account(rights: &Rights) -> &str {
    match rights {
        Rights::Known { account, .. } if !account.is_empty() => account,
        _ => "the operator's identity",
    }
}

/// What a side refuses of what this migration needs.
fn missing(facts: Facts<'_>, side: Side) -> Vec<Right> {
    match &facts.observed.side(side).rights {
        Rights::Known { refused, .. } => {
            refused.iter().filter(|right| is_needed(facts, side, right)).copied().collect()
        }
        Rights::NotAsked | Rights::Unknown { .. } => vec![],
    }
}

fn is_needed(facts: Facts<'_>, side: Side, right: &Right) -> bool {
    let removes = facts.order.created_objects == RemovalPolicy::Remove;
    match (right.resource, right.verb) {
        ("secrets", "delete") => !facts.order.secrets.is_empty() && removes,
        ("secrets", _) => !facts.order.secrets.is_empty(),
        ("ingresses", "delete") => removes,
        ("ingresses", "create") => creates_ingresses(facts, side),
        _ => true,
    }
}

/// Ingresses that a tool deploys to the target are waited for; so are those that are there.
fn creates_ingresses(facts: Facts<'_>, side: Side) -> bool {
    let present = &facts.observed.side(side).ingresses;
    moving(facts.order, facts.observed)
        .any(|(name, source)| source.deployed_by.is_none() && !present.contains_key(name))
}

/// `get, create secrets; patch ingresses.networking.k8s.io`.
fn in_words(rights: &[Right]) -> String {
    let mut verbs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for right in rights {
        verbs.entry((right.group, right.resource)).or_default().push(right.verb);
    }
    let resources = verbs.into_iter().map(|((group, resource), verbs)| {
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        format!("{} {resource}{group}", verbs.join(", "))
    });
    resources.collect::<Vec<_>>().join("; ")
}
