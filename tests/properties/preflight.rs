//! The checks before the move: each blocker in its words, and what may be acknowledged.

use namespace_migration::api::Stage;
use namespace_migration::api::status::Severity;
use namespace_migration::machine::Side;
use namespace_migration::machine::observed::NamespaceFacts;
use namespace_migration::machine::records::ExternalDnsView;
use namespace_migration::machine::version::Version;
use serde_json::json;

use crate::recording::texts;
use crate::world::World;

/// What the first blocker says and what to do; nothing is written.
fn blocked(world: &World) -> (String, String) {
    let mut world = world.clone();
    world.settle();
    assert_eq!((world.status.stage, world.status.reason.as_str()), (Stage::Preflight, "PreflightBlocked"));
    assert_eq!(texts(&world), Vec::<String>::new());
    (world.status.message, world.status.unblock)
}

fn says(world: &World, message: &str, fix: &str) {
    assert_eq!(blocked(world), (message.to_owned(), fix.to_owned()));
}

#[test]
fn a_namespace_that_belongs_to_the_cluster_or_to_the_operator_never_moves() {
    for namespace in ["kube-system", "kube-public", "kube-node-lease", "default", "the-operators-own"] {
        let mut world = World::new();
        world.order.namespace = namespace.into();
        world.order.operator_namespace = "the-operators-own".into();
        let said = format!(
            "ProtectedNamespace: The namespace {namespace} belongs to the cluster or to this operator and never moves."
        );
        says(&world, &said, "Move the service to a namespace of its own first.");
    }
}

#[test]
fn the_source_namespace_must_be_there_and_stay() {
    let mut world = World::new();
    world.source.namespace = None;
    let fix =
        "Create this object in the namespace that moves, and check which cluster is the source of the ClusterPair.";
    says(&world, "SourceNamespace: The namespace shop is not on the source.", fix);
    world.source.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true });
    let said = "SourceNamespace: The namespace shop on the source is being deleted.";
    says(&world, said, "Delete this migration; or create it again once the namespace is on the source again.");
}

#[test]
fn a_target_namespace_that_is_being_deleted_would_take_everything_with_it() {
    let mut world = World::new();
    world.target.namespace = Some(NamespaceFacts { uid: "n".into(), terminating: true });
    let said = "TargetNamespace: The namespace shop on the target is being deleted.";
    says(&world, said, "Wait until it is gone, then create it again.");
}

#[test]
fn without_an_ingress_there_is_nothing_to_move() {
    let mut world = World::new();
    world.source.ingresses.clear();
    let said = "NoIngressWithHost: There is no Ingress in namespace shop on the source.";
    says(&world, said, "Deploy the application there; or look which cluster is the source of the ClusterPair.");
}

#[test]
fn ingresses_that_all_have_no_host_are_counted() {
    let mut world = World::new();
    world.add_ingress(Side::Source, "admin", "admin.example");
    for facts in world.source.ingresses.values_mut() {
        facts.hosts.clear();
    }
    let said = "NoIngressWithHost: None of the 2 Ingresses of namespace shop on the source has a host and takes part.";
    assert_eq!(blocked(&world).0, said);
}

#[test]
fn without_a_host_there_is_nothing_to_shift() {
    let mut world = World::new();
    world.ingress_mut(Side::Source, "web").hosts.clear();
    let said = "NoIngressWithHost: The Ingress of namespace shop on the source has no host, or takes no part.";
    let fix = "Give an Ingress a host, or take it out of spec.ingresses.exclude. Without a host there is no DNS record to shift.";
    says(&world, said, fix);
}

#[test]
fn an_exclusion_must_name_an_ingress() {
    let world = World::with(json!({"ingresses": {"exclude": ["wbe"]}}));
    let said = "UnknownExclusion: spec.ingresses.exclude names Ingresses that are not on the source: wbe.";
    says(&world, said, "Mend the names, so that nothing moves that should stay.");
}

#[test]
fn ingresses_that_share_a_host_move_together() {
    let mut world = World::with(json!({"ingresses": {"exclude": ["admin"]}}));
    world.add_ingress(Side::Source, "admin", "shop.example");
    let said = "SharedHost: Ingress admin is excluded but shares the host shop.example with Ingress web, which moves.";
    says(&world, said, "Take admin out of spec.ingresses.exclude, or exclude web as well.");
}

#[test]
fn a_host_that_only_the_annotation_names_would_stay_behind() {
    let mut world = World::new();
    world.ingress_mut(Side::Source, "web").annotated_hosts =
        ["shop.example".to_owned(), "www.shop.example".to_owned(), "m.shop.example".to_owned()].into();
    let said = "HostAnnotation: Ingress web on the source names hosts in the annotation external-dns.alpha.kubernetes.io/hostname that are \
                not in its spec.rules: m.shop.example, www.shop.example. Their records would not be moved with it.";
    let fix = "Put m.shop.example, www.shop.example into spec.rules of Ingress web on the source, or name web in spec.ingresses.exclude.";
    says(&world, said, fix);
    // The same hosts in both places are one record each.
    world.ingress_mut(Side::Source, "web").annotated_hosts = ["shop.example".to_owned()].into();
    world.run_until(Stage::SmokeTest);
}

#[test]
fn a_host_that_only_the_annotation_names_is_seen_without_rules_and_on_the_target_too() {
    let mut world = World::new();
    let facts = world.ingress_mut(Side::Source, "web");
    facts.annotated_hosts = std::mem::take(&mut facts.hosts);
    let said = blocked(&world).0;
    assert!(said.starts_with("HostAnnotation: Ingress web on the source names hosts in the annotation "), "{said}");
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.ingress_mut(Side::Target, "web").annotated_hosts = ["new.example".to_owned()].into();
    let said = blocked(&world).0;
    let place = "Ingress web on the target names hosts in the annotation external-dns.kubernetes.io/hostname";
    assert!(said.contains(place), "{said}");
    let mut world = World::with(json!({"ingresses": {"exclude": ["admin"]}}));
    world.add_ingress(Side::Source, "admin", "admin.example");
    world.ingress_mut(Side::Source, "admin").annotated_hosts = ["shop.example".to_owned()].into();
    let said = blocked(&world).0;
    assert_eq!(
        said,
        "SharedHost: Ingress admin is excluded but shares the host shop.example with Ingress web, which moves."
    );
}

#[test]
fn a_wildcard_host_cannot_be_probed() {
    let mut world = World::new();
    world.ingress_mut(Side::Source, "web").hosts = ["*.shop.example".to_owned()].into();
    let said = "WildcardHost: Ingress web has the wildcard host *.shop.example, which cannot be probed: no request can ask for it.";
    says(&world, said, "Name the hosts, or exclude Ingress web.");
}

#[test]
fn a_source_at_weight_0_serves_nobody_that_could_be_moved() {
    let mut world = World::new();
    world.run_until(Stage::Completed);
    let writes = world.writes.len();
    world.order.owner = "home/shop/again".into();
    world.status = namespace_migration::api::NamespaceMigrationStatus::default();
    world.settle();
    let said = "SourceWeightZero: Ingress web on the source has weight 0: its users are served elsewhere (NamespaceMigration shop/shop has moved them), so nothing can be moved.";
    assert_eq!(world.status.message, said);
    let fix = "Check which cluster is the source of ClusterPair old-to-new. If it is this one, bring its users back \
               first, in this order: kubectl --context=SOURCE annotate ingress web -n shop --overwrite \
               external-dns.alpha.kubernetes.io/aws-weight=100; kubectl --context=TARGET annotate ingress web -n shop --overwrite \
               external-dns.kubernetes.io/aws-weight=0";
    assert_eq!(world.status.unblock, fix);
    assert_eq!(world.writes.len(), writes);
}

#[test]
fn both_sides_must_have_the_same_hosts_in_the_same_ingresses() {
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "other.example");
    let said =
        "TargetHosts: Ingress web has other hosts on the target (other.example) than on the source (shop.example).";
    says(&world, said, "Deploy the same hosts to both clusters.");
    let mut world = World::new();
    world.add_ingress(Side::Target, "shop", "shop.example");
    let said = "TargetHosts: Ingress shop on the target claims the host shop.example, but no Ingress of that name moves from the source.";
    says(&world, said, "Rename or remove Ingress shop on the target.");
}

#[test]
fn two_sides_need_two_identifiers() {
    let mut world = World::new();
    world.ingress_mut(Side::Source, "web").identifier = Some("web-shop-green".into());
    let said = "SameIdentifier: Ingress web would have the DNS set identifier web-shop-green on both sides; one record would replace the other.";
    says(&world, said, "Give the target another colour in ClusterPair old-to-new.");
}

#[test]
fn a_protection_that_would_be_left_out_must_be_acknowledged() {
    let mut world = World::new();
    let auth = "nginx.ingress.kubernetes.io/auth-url".to_owned();
    world.ingress_mut(Side::Source, "web").annotation_names = [auth].into();
    let said = "ProtectionLeftOut: Ingress web is protected by annotations that are not copied to the target: nginx.ingress.kubernetes.io/auth-url.";
    let fix = "Create Ingress web on the target yourself, with weight 0, or acknowledge ProtectionLeftOut.";
    says(&world, said, fix);
    world.add_ingress(Side::Target, "web", "shop.example");
    world.run_until(Stage::SmokeTest);
}

#[test]
fn annotation_only_must_be_acknowledged_and_the_reason_is_shown() {
    let world = World::with(json!({"preflight": {"acknowledge": []}}));
    let said =
        "AnnotationOnly: Nobody asks DNS whether a weight is served: it is assumed after the time that it may take.";
    says(
        &world,
        said,
        "Set spec.dns.verification of the ClusterPair to Route53; or watch your DNS yourself and acknowledge AnnotationOnly in spec.preflight.acknowledge.",
    );
    let mut world = World::new();
    world.pass();
    let finding = &world.status.preflight[0];
    assert_eq!((finding.check.as_str(), finding.severity), ("AnnotationOnly", Severity::Acknowledged));
    assert_eq!(finding.fix, "Acknowledged: a test");
}

#[test]
fn a_pair_that_has_dns_read_needs_no_acknowledgement() {
    let mut world = World::with_dns();
    world.edit(&json!({"preflight": {"acknowledge": []}}));
    world.run_until(Stage::WeightSource);
    assert_eq!(world.status.preflight, []);
}

#[test]
fn what_would_hurt_users_cannot_be_acknowledged_and_a_typing_error_is_told() {
    let acknowledge =
        ["AnnotationOnly", "WildcardHost", "AnotationOnly"].map(|check| json!({"check": check, "reason": "r"}));
    let mut world = World::with(json!({"preflight": {"acknowledge": acknowledge}}));
    world.ingress_mut(Side::Source, "web").hosts = ["*.shop.example".to_owned()].into();
    blocked(&world);
    world.settle();
    let info = world.status.preflight.iter().find(|finding| finding.severity == Severity::Info).unwrap();
    assert_eq!(info.message, "There is no check named AnotationOnly; the acknowledgement does nothing.");
    assert_eq!(info.fix, "Take it out of spec.preflight.acknowledge, or mend the name.");
}

#[test]
fn a_check_must_ask_a_host_that_moves() {
    let asks = |host: &str| json!({"checks": [{"name": "login", "http": {"path": "/login", "host": host}}]});
    let mut world = World::with(asks("shpo.example"));
    let said =
        "UnknownCheckHost: The check login asks the host shpo.example, which no Ingress that moves has (shop.example).";
    says(&world, said, "Mend the host in spec.checks, or leave it out to ask every host.");
    world.edit(&asks("shop.example"));
    world.run_until(Stage::Completed);
}

#[test]
fn several_blockers_are_counted_and_all_are_listed() {
    let mut world = World::with(json!({"ingresses": {"exclude": ["wbe"]}, "preflight": {"acknowledge": []}}));
    world.settle();
    assert!(world.status.message.ends_with(" (1 more in status.preflight.)"), "{}", world.status.message);
    let checks: Vec<_> = world.status.preflight.iter().map(|finding| finding.check.as_str()).collect();
    assert_eq!(checks, ["UnknownExclusion", "AnnotationOnly"]);
    world.edit(&json!({"ingresses": {"exclude": []}, "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "r"}]}}));
    world.run_until(Stage::Completed);
}

#[test]
fn a_host_that_the_pair_does_not_allow_is_named_with_the_list() {
    let mut world = World::new();
    world.order.allowed_hosts = vec!["*.example.org".into(), "*.example.net".into()];
    let said = "HostNotAllowed: Ingress web has the host shop.example, which ClusterPair old-to-new does not let move: its allowedHosts are *.example.org, *.example.net.";
    let fix = "Ask the platform admins to add shop.example to spec.allowedHosts of ClusterPair old-to-new; or, before the move has begun, name web in spec.ingresses.exclude.";
    says(&world, said, fix);
}

#[test]
fn a_home_on_the_target_is_allowed_with_a_warning() {
    let mut world = World::new();
    world.order.home = world.order.target.identity.clone();
    world.run_until(Stage::Completed);
    let finding = world.status.preflight.iter().find(|finding| finding.check == "HomeOnTarget").unwrap();
    assert_eq!(finding.severity, Severity::Info);
    assert!(finding.message.contains("If the target dies, the operator dies with it"), "{}", finding.message);
    assert!(finding.fix.contains("on the source or on a third cluster"), "{}", finding.fix);
}

#[test]
fn an_external_dns_that_a_refusal_stops_does_not_publish_beside_a_simple_record() {
    let mut world = World::new();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.order.target.version = Version::parse("v0.13.6");
    says(
        &world,
        "ExternalDNSVersion: The external-dns of the target is v0.13.6. Ingress web is on the target already, and Route 53 refuses its record until the source's is weighted; before v0.14.1 one refusal can keep every other record of the zone from being changed.",
        "Run v0.14.1 or newer on the target and say so in spec.target.externalDNS.version of ClusterPair old-to-new; or take Ingress web off the target until the source's record is weighted.",
    );
    world.order.target.version = Version::parse("v0.14.1");
    world.run_until(Stage::Completed);
    // Without an Ingress there, nothing is published before the source's record is weighted.
    let mut world = World::new();
    world.order.target.version = Version::parse("v0.13.6");
    world.run_until(Stage::Completed);
}

#[test]
fn where_the_version_is_not_known_there_is_a_hint_and_what_is_seen_comes_before_what_the_pair_says() {
    let mut world = World::with_dns();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.pass();
    let hint = |world: &World| {
        let found = world.status.preflight.iter().find(|finding| finding.check == "ExternalDNSVersion");
        found.map(|finding| (finding.severity, finding.fix.clone()))
    };
    let fix =
        "See that it is v0.14.1 or newer, and say it in spec.target.externalDNS.version of ClusterPair old-to-new.";
    assert_eq!(hint(&world), Some((Severity::Info, fix.to_owned())));
    let mut world = World::with_dns();
    world.add_ingress(Side::Target, "web", "shop.example");
    world.order.target.version = Version::parse("v0.22.0");
    let seen = ExternalDnsView { version: Version::parse("v0.12.0"), ..ExternalDnsView::default() };
    world.dns.as_mut().unwrap().known.insert(Side::Target, seen);
    world.run_while(|status| status.reason != "PreflightBlocked");
    assert!(world.status.message.contains("The external-dns of the target is v0.12.0."), "{}", world.status.message);
}
