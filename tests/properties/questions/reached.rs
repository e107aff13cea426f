//! How requests reach the namespace, whom it reaches, and what certificate users see.

use namespace_migration::api::status::Severity::{Blocker, Info, Warning};
use namespace_migration::machine::inventory::{Content, IngressContent, Inventory, Item, ServiceContent};

use super::fixture::{Put, asked_of, clean, ingress, item, map, order, says, service, silent, strings};

/// Both sides' Ingress changed.
fn ingresses(
    change: impl Fn(&mut IngressContent),
    annotations: &'static [(&'static str, &'static str)],
) -> impl Fn(&mut Inventory) {
    move |all| {
        for side in [&mut all.source, &mut all.target] {
            let mut content = ingress();
            change(&mut content);
            let annotations = annotations.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
            side.put(Item { annotations, ..item("Ingress", "web", Content::Ingress(content)) });
        }
    }
}

/// One more Service on the source, which the Ingress sends requests to as well.
fn one_service(change: fn(&mut ServiceContent)) -> impl Fn(&mut Inventory) {
    move |all| {
        all.source.put(service("more", change));
        ingresses(|content| content.services = strings(["more", "web"]), &[])(all);
    }
}

#[test]
fn the_class_of_an_ingress_is_on_the_target() {
    let said = "Ingresses whose class is not on the target: Ingress/web (internal). No controller of the target would serve them.";
    says(ingresses(|content| content.class = Some("internal".into()), &[]), "IngressClassAbsent", Blocker, said);
    let said = "Ingresses without a class: Ingress/web. The target has no default class, so that perhaps no controller there would serve them.";
    says(ingresses(|content| content.class = None, &[]), "NoDefaultClass", Blocker, said);
    silent(|all| {
        ingresses(|content| content.class = None, &[])(all);
        for class in all.target.cluster.values_mut() {
            class.annotations = map([("ingressclass.kubernetes.io/is-default-class", "true")]);
        }
    });
}

#[test]
fn a_class_with_another_name_may_be_another_controllers() {
    let mut order = order();
    order.classes = map([("old", "nginx")]);
    let mut all = clean();
    let rewrite = &[("nginx.ingress.kubernetes.io/rewrite-target", "/")];
    ingresses(|content| content.class = Some("old".into()), rewrite)(&mut all);
    let found = asked_of(&order, Some(all.clone()));
    let said = "With annotations of one controller: Ingress/web (nginx.ingress.kubernetes.io/rewrite-target). The Ingress has another class on \
                the target, whose controller may not know them: rewrites, limits and protection would be lost.";
    assert_eq!(
        (found.len(), found[0].check.as_str(), found[0].message.as_str()),
        (1, "ControllerAnnotations", said),
        "{found:#?}"
    );
    // One that stays is not asked about.
    order.excluded_ingresses = strings(["web"]);
    all.source.take("Service", "web");
    all.source.take("Deployment", "web");
    assert_eq!(asked_of(&order, Some(all)), []);
}

#[test]
fn annotations_of_one_account_are_told() {
    let arn = &[("alb.ingress.kubernetes.io/certificate-arn", "arn:aws:acm:eu-west-2:1:certificate/x")];
    let said = "With annotations of one cluster or account: Ingress/web (alb.ingress.kubernetes.io/certificate-arn). Certificates, subnets, \
                security groups and names of load balancers are those of the source.";
    says(ingresses(|_| {}, arn), "BoundAnnotations", Warning, said);
}

#[test]
fn services_with_addresses_of_their_own_do_not_move() {
    let said = "Services with a load balancer of their own: Service/more. Their users come by addresses of the source, which no weight moves.";
    says(one_service(|service| service.kind = "LoadBalancer".into()), "LoadBalancerService", Blocker, said);
    let said = "Services of type NodePort: Service/more. Who comes by a port of the source's nodes stays there, and the port may be taken on the \
                target.";
    says(one_service(|service| service.kind = "NodePort".into()), "NodePortService", Blocker, said);
    let said = "Services with externalIPs: Service/more (192.0.2.1). Such addresses lead to the source's nodes, and are not copied.";
    says(one_service(|service| service.external_ips = strings(["192.0.2.1"])), "ExternalIPs", Blocker, said);
}

#[test]
fn names_of_other_namespaces_lead_elsewhere() {
    let elsewhere = one_service(|service| {
        (service.kind, service.external_name) = ("ExternalName".into(), Some("api.tools.svc.cluster.local".into()));
    });
    let said = "Services that stand for another namespace: Service/more (api.tools.svc.cluster.local). On the target the name is looked up in the \
                target, where it may not be.";
    says(elsewhere, "ExternalName", Warning, said);
    let calls =
        |host: &'static str| move |all: &mut Inventory| all.source.web(|web| web.cluster_hosts = strings([host]));
    let said = "Calling other namespaces: Deployment/web (api.tools.svc.cluster.local). From the target the same names lead to the target's own \
                namespaces, or nowhere.";
    says(calls("api.tools.svc.cluster.local"), "CallsOtherNamespace", Warning, said);
    silent(calls("redis.shop.svc.cluster.local"));
}

#[test]
fn who_calls_inside_of_the_old_cluster_stays_there() {
    let said = "Services that no Ingress reaches: Service/api. Other namespaces may call them as <service>.shop.svc.cluster.local: such callers \
                stay on the source, and are not seen from here.";
    says(|all| all.source.put(service("api", |_| {})), "CallersInside", Info, said);
}

#[test]
fn policies_name_namespaces_and_addresses_of_one_cluster() {
    let policy = |namespaces: Vec<_>, ranges| {
        let content = Content::NetworkPolicy { namespaces, ranges, restricts_ingress: true };
        move |all: &mut Inventory| {
            all.source.put(item("NetworkPolicy", "in", content.clone()));
            all.target.put(item("NetworkPolicy", "in", content));
        }
    };
    let said = "NetworkPolicies that name other namespaces: NetworkPolicy/in (team=ingress). Where the target's namespaces have other labels, its \
                Ingress controller or Prometheus does not reach the Pods; and who calls from the old cluster is not let in.";
    says(policy(vec![map([("team", "ingress")])], strings([])), "NetworkPolicyNamespaces", Warning, said);
    let said = "NetworkPolicies that name addresses: NetworkPolicy/in (10.0.0.0/8). Pods, nodes and load balancers of the target have addresses \
                of their own.";
    says(policy(vec![], strings(["0.0.0.0/0", "10.0.0.0/8"])), "NetworkPolicyRanges", Warning, said);
    let said =
        "With hostNetwork: Deployment/web. Its ports are those of the node, and the target may refuse such Pods.";
    says(|all| all.source.web(|web| web.host_network = true), "HostNetwork", Warning, said);
}

#[test]
fn a_certificate_is_on_the_target_before_users_come() {
    let said = "Secrets of certificates that are not on the target: Secret/web-tls (of Ingress/web). Without it the controller answers with a \
                certificate of its own, which browsers refuse.";
    says(|all| drop(all.target.take("Secret", "web-tls")), "TlsSecretAbsent", Blocker, said);
    let issued = |all: &mut Inventory| {
        ingresses(|_| {}, &[("cert-manager.io/cluster-issuer", "letsencrypt")])(all);
        all.target.take("Secret", "web-tls");
    };
    let said = "Certificates that are not on the target: Secret/web-tls (of Ingress/web). cert-manager would issue them anew on the target. With \
                HTTP-01 the proof is asked for where DNS leads: to the source, until users have moved.";
    says(issued, "CertificateBeforeTraffic", Blocker, said);
    let mut copied = clean();
    issued(&mut copied);
    let mut order = order();
    order.secrets = strings(["web-tls"]);
    assert_eq!(asked_of(&order, Some(copied)), []);
    let said = "With the controller's default certificate: Ingress/web (shop.example). The default of the target's controller is another one, and \
                must be for the same hosts.";
    let default = ingresses(|content| content.certificates[0].0 = None, &[]);
    says(default, "DefaultCertificate", Warning, said);
}

fn certificate(names: &[&str], ready: bool, not_after: &str) -> Item {
    let content = Content::Certificate {
        secret: "web-tls".into(),
        issuer: ("ClusterIssuer".into(), "letsencrypt".into()),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        ready: Some(ready),
        not_after: not_after.parse().ok(),
    };
    item("Certificate", "web", content)
}

#[test]
fn a_certificate_of_the_target_is_ready_whole_and_lasts() {
    let both = |there: Item| {
        move |all: &mut Inventory| {
            all.source.put(certificate(&["shop.example", "www.shop.example"], true, "2025-02-01T00:00:00Z"));
            all.target.put(there);
        }
    };
    let names = ["shop.example", "www.shop.example"];
    silent(both(certificate(&names, true, "2025-02-01T00:00:00Z")));
    let said = "Certificates of the target that are not ready: Certificate/web. Their Secrets are empty or old. With HTTP-01 they stay so until \
                users have moved.";
    says(both(certificate(&names, false, "")), "CertificateNotReady", Blocker, said);
    let said = "Certificates of the target that leave names out: Certificate/web (www.shop.example). Browsers refuse the target for these names.";
    says(both(certificate(&["shop.example"], true, "")), "CertificateNames", Warning, said);
    let said = "Certificates that expire soon: Certificate/web (on the target, 2024-11-25). While users are on both sides a renewal may fail on \
                either, because the proof is asked for at one of them.";
    says(both(certificate(&names, true, "2024-11-25T00:00:00Z")), "CertificateExpires", Warning, said);
}
