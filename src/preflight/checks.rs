//! The chain of checks. The first blocker is what a person reads first, so the order is from the ground up.

use std::collections::BTreeSet;

use super::external_dns;
use super::permissions::permissions;
use super::{Check, Facts, Found, HOST_NOT_ALLOWED, PERMISSIONS, identifier, moving};
use crate::machine::allowed;
use crate::machine::by_hand;
use crate::machine::observed::{IngressFacts, Side};
use crate::machine::stamp::Direction;
use crate::machine::traffic::Weight;
use crate::replicate;

/// Those that need to see neither side: the first.
pub(super) const BLIND: &[Check] = CHAIN.split_at(1).0;

pub(super) const CHAIN: [Check; 18] = [
    (
        PERMISSIONS,
        "The operator's identity on either cluster, or at home, lacks a right that this move needs.",
        permissions,
    ),
    ("ProtectedNamespace", "The namespace belongs to a cluster or to the operator.", protected_namespace),
    ("SourceNamespace", "The namespace is not on the source, or is being deleted there.", source_namespace),
    ("TargetNamespace", "The namespace is being deleted on the target.", target_namespace),
    (
        "HostAnnotation",
        "An Ingress names hosts in external-dns's annotation that are not in its rules.",
        host_annotation,
    ),
    ("NoIngressWithHost", "No Ingress on the source has a host and takes part.", no_ingress_with_host),
    ("UnknownExclusion", "spec.ingresses.exclude names what is not there.", unknown_exclusion),
    ("SharedHost", "An excluded Ingress shares a host with one that moves.", shared_host),
    ("UnknownCheckHost", "A check of spec.checks asks a host that does not move.", unknown_check_host),
    ("WildcardHost", "A host that moves is a wildcard, which cannot be probed.", wildcard_host),
    (HOST_NOT_ALLOWED, "The ClusterPair does not let a host move.", host_not_allowed),
    ("SourceWeightZero", "The source has weight 0: its users are elsewhere.", source_weight_zero),
    ("TargetHosts", "The target has other hosts at an Ingress, or a host at another Ingress.", target_hosts),
    (
        "TargetHasUsers",
        "The target has users already, whom the move would send back first. Can be acknowledged.",
        target_has_users,
    ),
    (
        "ExternalDNSVersion",
        "An external-dns is of a version that is known not to follow weights as the move needs it.",
        external_dns::version,
    ),
    ("SameIdentifier", "Both sides would have one DNS set identifier.", same_identifier),
    (
        "ProtectionLeftOut",
        "An Ingress is protected by annotations that would not be copied to the target. Can be acknowledged.",
        protection_left_out,
    ),
    ("AnnotationOnly", "Nobody asks DNS whether a weight is served. Can be acknowledged.", annotation_only),
];

/// Checks of what a move begins with: afterwards the weights are its own, and PrepareTarget waits for the namespace.
pub(super) const OF_THE_BEGINNING: [&str; 3] = ["SourceWeightZero", "TargetHasUsers", "TargetNamespace"];

/// Namespaces that belong to a cluster, not to a service.
const PROTECTED: [&str; 4] = ["default", "kube-system", "kube-public", "kube-node-lease"];

fn blocker(message: String, fix: impl Into<String>) -> Option<Found> {
    Some(Found { message, fix: fix.into(), acceptable: false, objects: vec![] })
}

fn protected_namespace(facts: Facts<'_>) -> Option<Found> {
    let namespace = &facts.order.namespace;
    if !PROTECTED.contains(&namespace.as_str()) && *namespace != facts.order.operator_namespace {
        return None;
    }
    let message = format!("The namespace {namespace} belongs to the cluster or to this operator and never moves.");
    blocker(message, "Move the service to a namespace of its own first.")
}

fn source_namespace(facts: Facts<'_>) -> Option<Found> {
    let namespace = &facts.order.namespace;
    match &facts.observed.source.namespace {
        None => blocker(
            format!("The namespace {namespace} is not on the source."),
            "Create this object in the namespace that moves, and check which cluster is the source of the ClusterPair.",
        ),
        Some(found) if found.terminating => blocker(
            format!("The namespace {namespace} on the source is being deleted."),
            "Delete this migration; or create it again once the namespace is on the source again.",
        ),
        Some(_) => None,
    }
}

/// One that is not there yet is waited for. One that is being deleted takes with it whatever is written to it.
fn target_namespace(facts: Facts<'_>) -> Option<Found> {
    facts.observed.target.namespace.as_ref().filter(|found| found.terminating)?;
    blocker(
        format!("The namespace {} on the target is being deleted.", facts.order.namespace),
        "Wait until it is gone, then create it again.",
    )
}

/// A host that only the annotation names gets a record that no weight here would move: its users would stay behind.
fn host_annotation(facts: Facts<'_>) -> Option<Found> {
    let (order, observed) = (facts.order, facts.observed);
    let sides = [(Side::Source, &observed.source), (Side::Target, &observed.target)];
    let takes_part =
        |name: &String| observed.source.ingresses.contains_key(name) && !order.excluded_ingresses.contains(name);
    let ingresses = sides.into_iter().flat_map(|(side, view)| view.ingresses.iter().map(move |found| (side, found)));
    let (side, name, hosts) =
        ingresses.filter(|(_, (name, _))| takes_part(name)).find_map(|(side, (name, ingress))| {
            let hosts: BTreeSet<_> = ingress.annotated_hosts.difference(&ingress.hosts).collect();
            (!hosts.is_empty()).then_some((side, name, hosts))
        })?;
    let annotation = format!("{}hostname", order.rules(side).annotation_prefix);
    let hosts = listed(&hosts);
    let message = format!(
        "Ingress {name} on the {side} names hosts in the annotation {annotation} that are not in its spec.rules: {hosts}. Their records \
         would not be moved with it."
    );
    blocker(
        message,
        format!(
            "Put {hosts} into spec.rules of Ingress {name} on the {side}, or name {name} in spec.ingresses.exclude."
        ),
    )
}

fn no_ingress_with_host(facts: Facts<'_>) -> Option<Found> {
    if moving(facts.order, facts.observed).next().is_some() {
        return None;
    }
    let count = facts.observed.source.ingresses.len();
    let namespace = &facts.order.namespace;
    if count == 0 {
        return blocker(
            format!("There is no Ingress in namespace {namespace} on the source."),
            "Deploy the application there; or look which cluster is the source of the ClusterPair.",
        );
    }
    let message = match count {
        1 => format!("The Ingress of namespace {namespace} on the source has no host, or takes no part."),
        _ => format!("None of the {count} Ingresses of namespace {namespace} on the source has a host and takes part."),
    };
    blocker(
        message,
        "Give an Ingress a host, or take it out of spec.ingresses.exclude. Without a host there is no DNS record to shift.",
    )
}

fn unknown_exclusion(facts: Facts<'_>) -> Option<Found> {
    let unknown: Vec<_> = facts
        .order
        .excluded_ingresses
        .iter()
        .filter(|name| !facts.observed.source.ingresses.contains_key(*name))
        .cloned()
        .collect();
    if unknown.is_empty() {
        return None;
    }
    let message = format!("spec.ingresses.exclude names Ingresses that are not on the source: {}.", unknown.join(", "));
    blocker(message, "Mend the names, so that nothing moves that should stay.")
}

/// Ingresses connected by a host move together: the weight of one is the weight of the host.
fn shared_host(facts: Facts<'_>) -> Option<Found> {
    let source = &facts.observed.source.ingresses;
    for (excluded, stays) in source.iter().filter(|(name, _)| facts.order.excluded_ingresses.contains(*name)) {
        for (name, moves) in moving(facts.order, facts.observed) {
            if let Some(host) = claimed(stays).find(|host| moves.hosts.contains(*host)) {
                let message = format!(
                    "Ingress {excluded} is excluded but shares the host {host} with Ingress {name}, which moves."
                );
                return blocker(
                    message,
                    format!("Take {excluded} out of spec.ingresses.exclude, or exclude {name} as well."),
                );
            }
        }
    }
    None
}

/// Every host that gets a record of this Ingress, by a rule or by the annotation.
fn claimed(ingress: &IngressFacts) -> impl Iterator<Item = &String> {
    ingress.hosts.union(&ingress.annotated_hosts)
}

/// A check that asks nobody would pass for ever.
fn unknown_check_host(facts: Facts<'_>) -> Option<Found> {
    let hosts: BTreeSet<_> = moving(facts.order, facts.observed).flat_map(|(_, ingress)| &ingress.hosts).collect();
    let (check, host) = facts.order.check_hosts.iter().find(|(_, host)| !hosts.contains(host))?;
    let message =
        format!("The check {check} asks the host {host}, which no Ingress that moves has ({}).", listed(&hosts));
    blocker(message, "Mend the host in spec.checks, or leave it out to ask every host.")
}

fn listed(hosts: &BTreeSet<&String>) -> String {
    if hosts.is_empty() {
        "none".to_owned()
    } else {
        hosts.iter().map(|host| host.as_str()).collect::<Vec<_>>().join(", ")
    }
}

fn wildcard_host(facts: Facts<'_>) -> Option<Found> {
    let (name, host) = moving(facts.order, facts.observed)
        .find_map(|(name, ingress)| Some((name, ingress.hosts.iter().find(|host| host.contains('*'))?)))?;
    let message =
        format!("Ingress {name} has the wildcard host {host}, which cannot be probed: no request can ask for it.");
    blocker(message, format!("Name the hosts, or exclude Ingress {name}."))
}

fn host_not_allowed(facts: Facts<'_>) -> Option<Found> {
    let refused = allowed::host(facts.order, facts.observed)?;
    blocker(format!("{refused}."), refused.fix())
}

/// A source at 0 serves nobody: the users are elsewhere, and taking the target to 0 first would leave both at 0.
fn source_weight_zero(facts: Facts<'_>) -> Option<Found> {
    // With our own running stamp, a 0 is a contest, and answered as one.
    let ours =
        |ingress: &IngressFacts| ingress.stamp_of(&facts.order.owner).is_some_and(|stamp| !stamp.direction.is_final());
    let is_zero = |ingress: &IngressFacts| ingress.identifier.is_some() && ingress.weight() == Some(Weight::ZERO);
    let (name, ingress) =
        moving(facts.order, facts.observed).find(|(_, ingress)| is_zero(ingress) && !ours(ingress))?;
    let moved = ingress.stamp.as_ref().filter(|stamp| stamp.direction == Direction::Completed);
    let by = moved
        .map(|stamp| format!(" (NamespaceMigration {} has moved them)", object_of(&stamp.owner)))
        .unwrap_or_default();
    let message = format!(
        "Ingress {name} on the source has weight 0: its users are served elsewhere{by}, so nothing can be moved."
    );
    let fix = format!(
        "Check which cluster is the source of ClusterPair {}. If it is this one, bring its users back first, {}",
        facts.order.pair,
        by_hand::back_to_source(facts.order, name)
    );
    blocker(message, fix)
}

/// Namespace and name of a stamp's owner, which begins with the identity of its home.
fn object_of(owner: &str) -> &str {
    owner.split_once('/').map_or(owner, |(_, object)| object)
}

/// Unequal numbers of records at a host would make other shares than the weights say.
fn target_hosts(facts: Facts<'_>) -> Option<Found> {
    let target = &facts.observed.target.ingresses;
    let moving_hosts: BTreeSet<_> =
        moving(facts.order, facts.observed).flat_map(|(_, ingress)| &ingress.hosts).collect();
    for (name, found) in target {
        // One without a host, or that is left out, does not move, and so has no record of that name on the source.
        let source = moving(facts.order, facts.observed).find_map(|(moves, source)| (moves == name).then_some(source));
        let claims = claimed(found).find(|host| moving_hosts.contains(host));
        match (source, claims) {
            (Some(source), _) if source.hosts != found.hosts => {
                let message = format!(
                    "Ingress {name} has other hosts on the target ({}) than on the source ({}).",
                    list(&found.hosts),
                    list(&source.hosts)
                );
                return blocker(message, "Deploy the same hosts to both clusters.");
            }
            (None, Some(host)) => {
                let message = format!(
                    "Ingress {name} on the target claims the host {host}, but no Ingress of that name moves from the source."
                );
                return blocker(message, format!("Rename or remove Ingress {name} on the target."));
            }
            _ => {}
        }
    }
    None
}

fn list(hosts: &BTreeSet<String>) -> String {
    if hosts.is_empty() { "none".to_owned() } else { hosts.iter().cloned().collect::<Vec<_>>().join(", ") }
}

/// Beside a weighted record of the source, one of the target with a weight serves users, whom WeightSource would send back.
fn target_has_users(facts: Facts<'_>) -> Option<Found> {
    let observed = facts.observed;
    let (name, weight) = moving(facts.order, observed).find_map(|(name, source)| {
        let target = observed.target.ingresses.get(name)?;
        // With a running stamp they are a migration's: this one's own, or another's, which is told as that.
        let moves = target.stamp.as_ref().is_some_and(|stamp| !stamp.direction.is_final());
        let weight = target.weight().filter(|weight| *weight > Weight::ZERO && !moves)?;
        let weighted = source.weight().is_some_and(|weight| weight > Weight::ZERO) && target.identifier.is_some();
        weighted.then_some((name, weight))
    })?;
    let message = format!(
        "Ingress {name} on the target has weight {weight} already: its users would be sent back to the source before the move."
    );
    let fix = format!("Give Ingress {name} weight 0 on the target yourself, or acknowledge TargetHasUsers.");
    Some(Found { message, fix, acceptable: true, objects: vec![] })
}

fn same_identifier(facts: Facts<'_>) -> Option<Found> {
    let (order, observed) = (facts.order, facts.observed);
    let (name, same) = moving(order, observed).find_map(|(name, _)| {
        let source = identifier(order, observed, Side::Source, name);
        (source == identifier(order, observed, Side::Target, name)).then_some((name, source))
    })?;
    let message = format!(
        "Ingress {name} would have the DNS set identifier {same} on both sides; one record would replace the other."
    );
    blocker(message, format!("Give the target another colour in ClusterPair {}.", order.pair))
}

/// An Ingress that we would make without its protection would stand open on the target's load balancer.
fn protection_left_out(facts: Facts<'_>) -> Option<Found> {
    let prefix = &facts.order.source.annotation_prefix;
    let ours_to_make = moving(facts.order, facts.observed).filter(|(name, ingress)| {
        ingress.deployed_by.is_none() && !facts.observed.target.ingresses.contains_key(*name)
    });
    let (name, left) = ours_to_make
        .map(|(name, ingress)| (name, protections(replicate::left_out(&ingress.annotation_names, prefix))))
        .find(|(_, left)| !left.is_empty())?;
    let message =
        format!("Ingress {name} is protected by annotations that are not copied to the target: {}.", left.join(", "));
    let fix = format!("Create Ingress {name} on the target yourself, with weight 0, or acknowledge ProtectionLeftOut.");
    Some(Found { message, fix, acceptable: true, objects: vec![] })
}

fn protections(left: Vec<String>) -> Vec<String> {
    let protects =
        |name: &String| ["auth", "modsecurity", "waf", "snippet", "satisfy"].iter().any(|word| name.contains(word));
    left.into_iter().filter(protects).collect()
}

fn annotation_only(facts: Facts<'_>) -> Option<Found> {
    if facts.order.dns.is_verified() {
        return None;
    }
    let message =
        "Nobody asks DNS whether a weight is served: it is assumed after the time that it may take.".to_owned();
    let fix = "Set spec.dns.verification of the ClusterPair to Route53; or watch your DNS yourself and acknowledge AnnotationOnly in spec.preflight.acknowledge.";
    Some(Found { message, fix: fix.to_owned(), acceptable: true, objects: vec![] })
}
