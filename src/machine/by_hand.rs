//! What a person can do by hand with the weights of a migration that goes without an order: nobody else will do it.

use super::observed::Side;
use crate::api::status::{IngressTraffic, NamespaceMigrationStatus, PlannedIngress};
use crate::api::{ClusterPair, STAMP_ANNOTATION};

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
    let commands = [Side::Source, Side::Target]
        .into_iter()
        .flat_map(|side| planned.iter().map(move |planned| command(side, planned, namespace, prefix(pair, side))));
    let commands: Vec<_> = commands.collect();
    let unknown = match pair {
        Some(_) => "",
        None => " PREFIX is how external-dns annotations of that cluster begin, as external-dns.alpha.kubernetes.io/.",
    };
    format!(
        "Weights as last seen: {}. To send all users to the source by hand, in this order: {}.{unknown}",
        seen.join("; "),
        commands.join("; ")
    )
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

/// As [`super::contest`] gives an Ingress back.
fn command(side: Side, planned: &PlannedIngress, namespace: &str, prefix: &str) -> String {
    format!(
        "kubectl --context={} annotate ingress {} -n {namespace} --overwrite {prefix}set-identifier={} {prefix}aws-weight={}",
        side.name().to_uppercase(),
        planned.name,
        planned.identifier(side),
        side.pick(100, 0),
    )
}
