//! What a person can do by hand with the weights of a migration that goes and that nobody else will look after: each command sends
//! users back to the source.

use std::fmt;

use super::observed::Side;
use super::order::Order;
use super::run::Run;
use crate::api::status::{IngressTraffic, NamespaceMigrationStatus, PlannedIngress};
use crate::api::{ClusterPair, Leftover, STAMP_ANNOTATION};

/// Stands for the prefix of a cluster's external-dns annotations where no pair says it.
const PREFIX: &str = "PREFIX";

/// Each Ingress with its weights as last seen, and the commands that send its users to the source.
pub(super) fn weights(status: &NamespaceMigrationStatus, namespace: &str, pair: Option<&ClusterPair>) -> String {
    let planned = status.plan.as_ref().map(|plan| plan.ingresses.as_slice()).unwrap_or_default();
    if planned.is_empty() {
        return format!(
            "Its status knows no Ingress: look for the annotation {STAMP_ANNOTATION} on the Ingresses of namespace {namespace} in both \
             clusters, and compare their weights."
        );
    }
    let seen: Vec<_> = planned.iter().map(|planned| last_seen(planned, &status.traffic)).collect();
    let commands = [Side::Source, Side::Target].into_iter().flat_map(|side| {
        planned.iter().map(move |planned| {
            let identifier = Some(planned.identifier(side).as_str());
            Command { side, ingress: &planned.name, namespace, prefix: prefix(pair, side), identifier }.to_string()
        })
    });
    let unknown = match pair {
        Some(_) => "",
        None => " PREFIX is how external-dns annotations of that cluster begin, as external-dns.alpha.kubernetes.io/.",
    };
    format!("Weights as last seen: {}. {}.{unknown}", seen.join("; "), in_this_order(commands))
}

/// What to do about an Ingress that carries the running stamp of a migration which is not there any more.
pub(super) fn without_owner(side: Side, namespace: &str, ingress: &str) -> String {
    format!(
        "If there is no other any more: create it again under its name, and it goes on from where it stands; or, if the weights are as \
         they should be, take its mark off: kubectl --context={} annotate ingress {ingress} -n {namespace} {STAMP_ANNOTATION}-",
        side.name().to_uppercase()
    )
}

/// The weights that nobody took note of, as commands.
pub(super) fn leftovers(left: &[Leftover]) -> String {
    if left.is_empty() {
        return String::new();
    }
    let commands = left.iter().map(|left| {
        let identifier = Some(left.identifier.as_str());
        let (side, prefix) = (left.cluster(), left.annotation_prefix.as_str());
        Command { side, ingress: &left.ingress, namespace: &left.namespace, prefix, identifier }.to_string()
    });
    format!(" {}.", in_this_order(commands))
}

/// What is there of a migration whose status was lost: Ingresses with its stamp where a cluster was listed, and where to look else.
pub(super) fn seen(run: &Run<'_>) -> String {
    let (namespace, owner) = (&run.order.namespace, &run.order.owner);
    let sides = [Side::Source, Side::Target];
    let found: Vec<_> = sides.into_iter().flat_map(|side| stamped(run, side)).collect();
    let listed = found.iter().map(|(side, name, weight)| format!("Ingress {name} with weight {weight} on the {side}"));
    let listed = match listed.collect::<Vec<_>>().join("; ") {
        none if none.is_empty() => none,
        listed => format!("Its stamp was seen on {listed}. "),
    };
    let unseen: Vec<_> = sides.into_iter().filter(|side| !run.view(*side).synced).map(Side::name).collect();
    let mut names: Vec<_> = found.iter().map(|(_, name, _)| *name).collect();
    names.dedup();
    let names = if names.is_empty() { vec!["NAME"] } else { names };
    let commands = sides.into_iter().flat_map(|side| {
        let prefix = run.order.rules(side).annotation_prefix.as_str();
        names.iter().map(move |ingress| Command { side, ingress, namespace, prefix, identifier: None }.to_string())
    });
    format!(
        "{listed}Look on the {} for Ingresses of namespace {namespace} whose annotation {STAMP_ANNOTATION} names {owner}. {}.",
        unseen.join(" and on the "),
        in_this_order(commands)
    )
}

/// The Ingresses of a side that this migration has stamped, with their weights.
fn stamped<'a>(run: &'a Run<'_>, side: Side) -> Vec<(Side, &'a str, String)> {
    let ingresses = run.view(side).ingresses.iter();
    let ours = ingresses.filter(|(_, facts)| facts.stamp_of(&run.order.owner).is_some());
    let weight =
        |weight: Option<super::traffic::Weight>| weight.map_or_else(|| "none".to_owned(), |weight| weight.to_string());
    ours.map(|(name, facts)| (side, name.as_str(), weight(facts.weight()))).collect()
}

/// The commands that bring everybody of one Ingress to the source. It comes first: a target at 0 beside a source at 0 is an even split.
pub fn back_to_source(order: &Order, ingress: &str) -> String {
    let commands = [Side::Source, Side::Target].into_iter().map(|side| {
        let (namespace, prefix) = (order.namespace.as_str(), order.rules(side).annotation_prefix.as_str());
        Command { side, ingress, namespace, prefix, identifier: None }.to_string()
    });
    let commands: Vec<_> = commands.collect();
    format!("in this order: {}", commands.join("; "))
}

fn in_this_order(commands: impl Iterator<Item = String>) -> String {
    let commands: Vec<_> = commands.collect();
    format!("To send all users to the source by hand, in this order: {}", commands.join("; "))
}

fn prefix(pair: Option<&ClusterPair>, side: Side) -> &str {
    pair.map_or(PREFIX, |pair| &side.pick(&pair.spec.source, &pair.spec.target).external_dns.annotation_prefix)
}

fn last_seen(planned: &PlannedIngress, traffic: &[IngressTraffic]) -> String {
    let known = traffic.iter().find(|traffic| traffic.ingress == planned.name);
    let text = |weight: Option<i32>| weight.map_or_else(|| "none".to_owned(), |weight| weight.to_string());
    format!(
        "Ingress {} {} on the source and {} on the target",
        planned.name,
        text(known.and_then(|known| known.source_weight)),
        text(known.and_then(|known| known.target_weight))
    )
}

/// The command that gives one Ingress the weight that it has when all users are on the source.
struct Command<'a> {
    side: Side,
    ingress: &'a str,
    namespace: &'a str,
    prefix: &'a str,
    /// The DNS set identifier, where it is known: what stands there must not be changed.
    identifier: Option<&'a str>,
}

/// As [`super::contest`] gives an Ingress back.
impl fmt::Display for Command<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { side, ingress, namespace, prefix, identifier } = self;
        let context = side.name().to_uppercase();
        write!(f, "kubectl --context={context} annotate ingress {ingress} -n {namespace} --overwrite ")?;
        if let Some(identifier) = identifier {
            write!(f, "{prefix}set-identifier={identifier} ")?;
        }
        write!(f, "{prefix}aws-weight={}", side.pick(100, 0))
    }
}
