//! How requests reach the namespace, and how it reaches others: what of that belongs to one cluster.

use std::collections::BTreeSet;

use super::both::Both;
use super::told::{Noted, found, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, ServiceContent, Workload};

pub(super) const QUESTIONS: [Question; 13] = [
    (
        "IngressClassAbsent",
        Severity::Blocker,
        "The target does not have the class of an Ingress that moves. Can be acknowledged.",
        ingress_class_absent,
    ),
    (
        "NoDefaultClass",
        Severity::Blocker,
        "An Ingress names no class, and the target has no default. Can be acknowledged.",
        no_default_class,
    ),
    (
        "LoadBalancerService",
        Severity::Blocker,
        "A Service has a load balancer of its own, which no weight of an Ingress moves. Can be acknowledged.",
        load_balancer,
    ),
    (
        "NodePortService",
        Severity::Blocker,
        "A Service is reached by ports of the source's nodes. Can be acknowledged.",
        node_port,
    ),
    (
        "ExternalIPs",
        Severity::Blocker,
        "A Service claims addresses outside of the cluster, which are the source's. Can be acknowledged.",
        external_ips,
    ),
    (
        "ControllerAnnotations",
        Severity::Warning,
        "An Ingress has annotations of one controller, and another class on the target.",
        controller_annotations,
    ),
    (
        "BoundAnnotations",
        Severity::Warning,
        "An Ingress has annotations whose values belong to one cluster or account.",
        bound_annotations,
    ),
    ("ExternalName", Severity::Warning, "A Service stands for a name inside of the source's cluster.", external_name),
    (
        "CallsOtherNamespace",
        Severity::Warning,
        "A workload calls another namespace of its own cluster.",
        calls_other_namespace,
    ),
    ("HostNetwork", Severity::Warning, "A workload uses the network of its nodes.", host_network),
    (
        "NetworkPolicyNamespaces",
        Severity::Warning,
        "A NetworkPolicy names other namespaces by labels, which must be those of the target.",
        policy_namespaces,
    ),
    (
        "NetworkPolicyRanges",
        Severity::Warning,
        "A NetworkPolicy names address ranges, and the target's are others.",
        policy_ranges,
    ),
    (
        "CallersInside",
        Severity::Info,
        "A Service is reached by no Ingress: who calls it inside of the old cluster stays there.",
        callers_inside,
    ),
];

/// Marks the class that is meant where an Ingress names none.
const DEFAULT_CLASS: &str = "ingressclass.kubernetes.io/is-default-class";

/// Prefixes of annotations that one kind of controller understands.
const CONTROLLERS: [&str; 7] = [
    "nginx.ingress.kubernetes.io/",
    "nginx.org/",
    "traefik.ingress.kubernetes.io/",
    "haproxy.org/",
    "haproxy-ingress.github.io/",
    "konghq.com/",
    "projectcontour.io/",
];

/// Prefixes of annotations that name certificates, subnets, groups or addresses of one account or cluster.
const BOUND: [&str; 4] = [
    "alb.ingress.kubernetes.io/",
    "service.beta.kubernetes.io/aws-load-balancer-",
    "kubernetes.io/ingress.global-static-ip-name",
    "networking.gke.io/",
];

fn ingress_class_absent(both: &Both<'_>) -> Option<Found> {
    let lost = both.ingresses().filter_map(|(item, ingress)| {
        let class = both.target_class(ingress)?;
        both.target.cluster_lacks("IngressClass", class).then(|| noted(item, class))
    });
    let meaning = "No controller of the target would serve them.";
    let fix = "Name the target's class in spec.ingressClasses of the ClusterPair, or have the class created there.";
    found(lost, "Ingresses whose class is not on the target", meaning, fix)
}

fn no_default_class(both: &Both<'_>) -> Option<Found> {
    let is_default = |item: &Item| item.annotations.get(DEFAULT_CLASS).is_some_and(|value| value == "true");
    let is_unread = !both.target.saw("networking.k8s.io", "IngressClass");
    if is_unread || both.target.all.cluster.values().any(is_default) {
        return None;
    }
    let bare = both.ingresses().filter(|(_, ingress)| ingress.class.is_none()).map(|(item, _)| noted(item, ""));
    let meaning = "The target has no default class, so that perhaps no controller there would serve them.";
    found(bare, "Ingresses without a class", meaning, "Name a class that the target has in spec.ingressClassName.")
}

/// The source's Services of which the question says something.
fn services(both: &Both<'_>, words: impl Fn(&ServiceContent) -> Option<String>) -> Vec<Noted> {
    let told = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Service(service) => Some(noted(item, words(service)?)),
        _ => None,
    });
    told.collect()
}

fn load_balancer(both: &Both<'_>) -> Option<Found> {
    let told = services(both, |service| (service.kind == "LoadBalancer").then(String::new));
    let meaning = "Their users come by addresses of the source, which no weight moves.";
    let fix = "Lead users through an Ingress, or move the Service's name yourself and tell those who know its address.";
    found(told, "Services with a load balancer of their own", meaning, fix)
}

fn node_port(both: &Both<'_>) -> Option<Found> {
    let told = services(both, |service| (service.kind == "NodePort").then(String::new));
    let meaning = "Who comes by a port of the source's nodes stays there, and the port may be taken on the target.";
    found(
        told,
        "Services of type NodePort",
        meaning,
        "Make them ClusterIP where an Ingress leads to them; else tell those who use the port.",
    )
}

fn external_ips(both: &Both<'_>) -> Option<Found> {
    let ips = |service: &ServiceContent| service.external_ips.iter().cloned().collect::<Vec<_>>().join(", ");
    let told = services(both, |service| Some(ips(service)).filter(|ips| !ips.is_empty()));
    let meaning = "Such addresses lead to the source's nodes, and are not copied.";
    found(told, "Services with externalIPs", meaning, "Take spec.externalIPs out, or have addresses for the target.")
}

/// Annotations of an Ingress's that begin with one of the prefixes, joined.
fn annotated(item: &Item, prefixes: &[&str]) -> Option<String> {
    let begins = |name: &&String| prefixes.iter().any(|prefix| name.starts_with(prefix));
    let names: Vec<_> = item.annotations.keys().filter(begins).cloned().collect();
    (!names.is_empty()).then(|| names.join(", "))
}

/// Under the same class they mean the same. Another class may be another controller's.
fn controller_annotations(both: &Both<'_>) -> Option<Found> {
    let renamed = both.ingresses().filter(|(_, ingress)| both.target_class(ingress) != ingress.class.as_deref());
    let told = renamed.filter_map(|(item, _)| Some(noted(item, annotated(item, &CONTROLLERS)?)));
    let meaning = "The Ingress has another class on the target, whose controller may not know them: rewrites, limits and protection would be lost.";
    found(
        told,
        "With annotations of one controller",
        meaning,
        "See that the target's controller is of the same kind, or write the Ingress for it.",
    )
}

fn bound_annotations(both: &Both<'_>) -> Option<Found> {
    let told = both.ingresses().filter_map(|(item, _)| Some(noted(item, annotated(item, &BOUND)?)));
    let meaning = "Certificates, subnets, security groups and names of load balancers are those of the source.";
    found(
        told,
        "With annotations of one cluster or account",
        meaning,
        "Deploy the Ingress to the target yourself, with the target's values and weight 0.",
    )
}

/// The namespace in a name inside of a cluster: `web.shop.svc.cluster.local`.
fn namespace_of(host: &str) -> Option<&str> {
    let mut labels = host.trim_end_matches('.').split('.').skip(1);
    let namespace = labels.next().filter(|label| !label.is_empty())?;
    (labels.next() == Some("svc")).then_some(namespace)
}

fn is_elsewhere(both: &Both<'_>, host: &str) -> bool {
    namespace_of(host).is_some_and(|namespace| namespace != both.order.namespace)
}

fn external_name(both: &Both<'_>) -> Option<Found> {
    let told = services(both, |service| service.external_name.clone().filter(|name| is_elsewhere(both, name)));
    let meaning = "On the target the name is looked up in the target, where it may not be.";
    found(
        told,
        "Services that stand for another namespace",
        meaning,
        "See that the other namespace is on the target, or name a host that both clusters reach.",
    )
}

fn calls_other_namespace(both: &Both<'_>) -> Option<Found> {
    let calls = |workload: &Workload| {
        let hosts: Vec<_> = workload.cluster_hosts.iter().filter(|host| is_elsewhere(both, host)).cloned().collect();
        (!hosts.is_empty()).then(|| hosts.join(", "))
    };
    let meaning = "From the target the same names lead to the target's own namespaces, or nowhere.";
    let fix = "Call the other service by a host that both clusters reach, or move its namespace first.";
    found(both.where_workload(calls), "Calling other namespaces", meaning, fix)
}

fn host_network(both: &Both<'_>) -> Option<Found> {
    let told = both.where_workload(|workload| workload.host_network.then(String::new));
    let meaning = "Its ports are those of the node, and the target may refuse such Pods.";
    found(told, "With hostNetwork", meaning, "Use a Service, or ask the target's admins to allow it.")
}

fn policy_namespaces(both: &Both<'_>) -> Option<Found> {
    let words = |labels: &std::collections::BTreeMap<String, String>| {
        let labels: Vec<_> = labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        if labels.is_empty() { "every namespace".to_owned() } else { labels.join(" and ") }
    };
    let told = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::NetworkPolicy { namespaces, .. } if namespaces.iter().any(|labels| !labels.is_empty()) => {
            let all: BTreeSet<_> = namespaces.iter().filter(|labels| !labels.is_empty()).map(words).collect();
            Some(noted(item, all.into_iter().collect::<Vec<_>>().join("; ")))
        }
        _ => None,
    });
    let meaning = "Where the target's namespaces have other labels, its Ingress controller or Prometheus does not reach the Pods; and who calls from the old cluster is not let in.";
    let fix = "Compare the labels with those of the target's namespaces (kubectl get namespaces --show-labels).";
    found(told, "NetworkPolicies that name other namespaces", meaning, fix)
}

fn policy_ranges(both: &Both<'_>) -> Option<Found> {
    let is_open = |range: &&String| ["0.0.0.0/0", "::/0"].contains(&range.as_str());
    let told = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::NetworkPolicy { ranges, .. } => {
            let closed: Vec<_> = ranges.iter().filter(|range| !is_open(range)).cloned().collect();
            (!closed.is_empty()).then(|| noted(item, closed.join(", ")))
        }
        _ => None,
    });
    let meaning = "Pods, nodes and load balancers of the target have addresses of their own.";
    found(
        told,
        "NetworkPolicies that name addresses",
        meaning,
        "Add the target's ranges, or see that these are the same on both sides.",
    )
}

fn callers_inside(both: &Both<'_>) -> Option<Found> {
    // Also those of Ingresses that stay: their callers come by a host.
    let reached = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Ingress(ingress) => Some(&ingress.services),
        _ => None,
    });
    let served: BTreeSet<_> = reached.flatten().collect();
    let told = both.source.all.items.values().filter_map(|item| match &item.content {
        Content::Service(service) => {
            let inside = service.kind != "ExternalName" && !service.headless && !served.contains(&item.name);
            inside.then(|| noted(item, ""))
        }
        _ => None,
    });
    let meaning = format!(
        "Other namespaces may call them as <service>.{}.svc.cluster.local: such callers stay on the source, and are not seen from here.",
        both.order.namespace
    );
    let fix = "Ask who calls them. Let such callers use a host of an Ingress, or move them as well, before the source is cleaned up.";
    found(told, "Services that no Ingress reaches", &meaning, fix)
}
