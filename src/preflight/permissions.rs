//! Whether both clusters let the operator do what this migration needs, by their own words.

use std::collections::BTreeSet;

use super::{Facts, Found, moving};
use crate::api::namespace_migration::RemovalPolicy;
use crate::machine::observed::{Observed, Side};
use crate::machine::order::Order;
use crate::machine::right::{self, Place, Right, Rights};

/// Whether a cluster has said that it refuses something that is needed.
pub fn lacks_rights(order: &Order, observed: &Observed) -> bool {
    let facts = Facts { order, observed };
    let at_home = matches!(&observed.home_rights, Rights::Known { refused, .. } if !refused.is_empty());
    at_home || [Side::Source, Side::Target].into_iter().any(|side| !missing(facts, side).is_empty())
}

pub(super) fn permissions(facts: Facts<'_>) -> Option<Found> {
    let home = home_gap(&facts.observed.home_rights, &facts.order.object.0, &facts.order.operator_namespace);
    let sides = [Side::Source, Side::Target].into_iter().filter_map(|side| gap(facts, side));
    let gaps: Vec<_> = home.into_iter().chain(sides).collect();
    if gaps.is_empty() {
        return None;
    }
    let (messages, fixes): (Vec<_>, Vec<_>) = gaps.into_iter().unzip();
    let fix = format!("{} The clusters are asked again by themselves.", fixes.join(" "));
    // A right that is missing half way stops a rollback, too.
    Some(Found { message: messages.join(" "), fix, acceptable: false, objects: vec![] })
}

/// What the home cluster refuses, and what to do about it. `namespace` is that of the migration object; empty for all.
pub fn home_gap(rights: &Rights, namespace: &str, operator_namespace: &str) -> Option<(String, String)> {
    let refused = match rights {
        Rights::NotAsked => return None,
        Rights::Unknown { why } => {
            let message = format!("The home cluster does not say what the operator may do there: {why}.");
            let fix = "Let the operator's identity on the home cluster ask (ClusterRole system:basic-user).";
            return Some((message, fix.to_owned()));
        }
        Rights::Known { refused, .. } => refused,
    };
    let in_place =
        |place: Place| -> Vec<_> { refused.iter().filter(|right| right.place_at_home() == place).copied().collect() };
    let everywhere = if namespace.is_empty() { String::new() } else { format!(" in namespace {namespace}") };
    let places = [
        (Place::Cluster, String::new()),
        (Place::Migrations, everywhere),
        (Place::Operators, format!(" in namespace {operator_namespace}")),
    ];
    let gaps: Vec<_> = places.into_iter().filter(|(place, _)| !in_place(*place).is_empty()).collect();
    let said: Vec<_> =
        gaps.iter().map(|(place, within)| format!("{}{within}", right::in_words(&in_place(*place)))).collect();
    let role = |place| if place == Place::Operators { "Role" } else { "ClusterRole" };
    let roles: BTreeSet<_> = gaps.iter().map(|(place, _)| role(*place)).collect();
    let roles = roles.into_iter().map(|kind| format!("the {kind} namespace-migration-home")).collect::<Vec<_>>();
    let fix = format!("Bind {} of deploy/base to {} on the home cluster.", roles.join(" and "), rights.account());
    (!said.is_empty()).then(|| (format!("The home cluster refuses: {}.", said.join("; ")), fix))
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
    let message = format!("The {side} refuses: {} in namespace {namespace}.", right::in_words(&missing));
    let role = format!(
        "Bind the ClusterRole namespace-migration-{side} of deploy/{side} to {} on the {side}.",
        rights.account()
    );
    Some((message, role))
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
