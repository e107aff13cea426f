//! What the target must have for the workloads to start and to hold the load.

use namespace_migration::api::status::Severity::{Blocker, Info, Warning};
use namespace_migration::machine::inventory::{Content, Inventory, Item, Kind, Owner};
use serde_json::json;

use super::fixture::{
    Put, among, asked_of, clean, item, map, needs, order, says, secret, service, silent, strings, workload,
};
use crate::world::World;

fn needing(kind: &'static str, name: &'static str) -> impl Fn(&mut Inventory) {
    move |all| all.source.web(|web| web.references.push(needs(kind, name)))
}

#[test]
fn a_secret_that_nothing_brings_blocks() {
    let change = |all: &mut Inventory| {
        needing("Secret", "session")(all);
        all.source.put(secret("session", "Opaque"));
    };
    let said = "Secrets that are not on the target: Secret/session (needed by env KEY of container web of Deployment/web). Workloads cannot start \
                without them, and nothing brings them: they seem to be made by hand.";
    says(change, "SecretAbsent", Blocker, said);
    // Named in the spec, it is copied.
    let mut all = clean();
    change(&mut all);
    let order = World::with(json!({"secrets": {"include": ["session"]}})).order;
    let found = asked_of(&order, Some(all));
    assert_eq!(found.len(), 1, "{found:#?}");
    let said = "Not on the target yet: Secret/session (by spec.secrets of this migration). Workloads of the target cannot start before.";
    assert_eq!((found[0].severity, found[0].message.as_str()), (Info, said));
}

#[test]
fn what_brings_a_reference_is_named() {
    let owned = |all: &mut Inventory| {
        needing("Secret", "session")(all);
        let owner = Owner { kind: "ExternalSecret".into(), name: "session".into(), ..Owner::default() };
        all.source.put(Item { owners: vec![owner], ..secret("session", "Opaque") });
    };
    let said = "Not on the target yet: Secret/session (by ExternalSecret session). Workloads of the target cannot start before.";
    says(owned, "ReferenceToCome", Info, said);
    let terraform = |all: &mut Inventory| {
        needing("Secret", "rds-output")(all);
        all.source.put(Item { managers: strings(["HashiCorp"]), ..secret("rds-output", "Opaque") });
    };
    let said = "Not on the target yet: Secret/rds-output (by Terraform). Workloads of the target cannot start before.";
    assert_eq!(among(terraform, "ReferenceToCome"), said);
    let said = "Connected to a database: Deployment/web (2 Pods by Secret rds-output). While it moves as many Pods of the target are connected to \
                the same database: twice the connections, and two sides that write.";
    assert_eq!(among(terraform, "TwiceTheConnections"), said);
}

#[test]
fn a_config_map_made_by_hand_and_one_that_is_nowhere() {
    let config = |all: &mut Inventory| {
        needing("ConfigMap", "flags")(all);
        all.source.put(Item { last_applied: false, ..item("ConfigMap", "flags", Content::Other) });
    };
    let said = "ConfigMaps that are not on the target: ConfigMap/flags (needed by env KEY of container web of Deployment/web). Workloads cannot \
                start without them, and nothing brings them: they seem to be made by hand.";
    says(config, "ConfigMapAbsent", Blocker, said);
    let said = "On neither side: ConfigMap/flags (needed by env KEY of container web of Deployment/web). The source's Pods run on, but no new one \
                can start, on either side.";
    says(needing("ConfigMap", "flags"), "DanglingReference", Warning, said);
}

#[test]
fn a_secret_that_nobody_claims_is_asked_about() {
    let said = "Secrets that may have been made by hand: Secret/old. No workload names them, and nothing shows who made them: an application may \
                read them by the API.";
    says(|all| all.source.put(secret("old", "Opaque")), "SecretUnclaimed", Warning, said);
    silent(|all| all.source.put(secret("sh.helm.release.v1.web.v1", "helm.sh/release.v1")));
}

#[test]
fn classes_of_priority_accounts_and_pull_secrets_must_be_there() {
    let said = "PriorityClasses that are not on the target: Deployment/web (high). The target refuses Pods whose PriorityClass it does not have.";
    says(|all| all.source.web(|web| web.priority_class = Some("high".into())), "PriorityClassAbsent", Blocker, said);
    let said = "ServiceAccounts that are not on the target: ServiceAccount/web (by who runs kubectl apply). The target refuses Pods whose \
                ServiceAccount it does not have.";
    says(|all| drop(all.target.take("ServiceAccount", "web")), "AccountAbsent", Warning, said);
    let pull = |all: &mut Inventory| {
        all.source.put(item("ServiceAccount", "web", Content::ServiceAccount { pull_secrets: strings(["hub"]) }));
        all.source.put(secret("hub", "kubernetes.io/dockerconfigjson"));
    };
    let said = "Secrets to pull images with that are not on the target: Secret/hub (of ServiceAccount/web). Without it the target cannot pull \
                private images.";
    says(pull, "PullSecretAbsent", Blocker, said);
}

#[test]
fn bindings_reach_roles_and_subjects() {
    let binding = |role: &str, namespace: &str| {
        let subjects = vec![("ServiceAccount".into(), Some(namespace.into()), "ci".into())];
        item("RoleBinding", "ci", Content::Binding { role: ("ClusterRole".into(), role.into()), subjects })
    };
    let said = "ClusterRoles that are not on the target: RoleBinding/ci (edit). The binding gives nothing there, so that people or pipelines lack \
                their rights.";
    says(|all| all.source.put(binding("edit", "shop")), "ClusterRoleAbsent", Warning, said);
    let beyond = |all: &mut Inventory| {
        let kind = Kind::new("rbac.authorization.k8s.io", "v1", "ClusterRole");
        let role = Item { kind: kind.clone(), name: "edit".into(), ..Item::default() };
        all.target.cluster.insert((kind, "edit".into()), role);
        all.source.put(binding("edit", "tools"));
    };
    let said = "RoleBindings that reach beyond the namespace: RoleBinding/ci (ServiceAccount ci of namespace tools). On the target these may be \
                others, or not be there, and such rights are not copied.";
    says(beyond, "BindingBeyond", Warning, said);
}

#[test]
fn a_quota_of_the_target_holds_what_the_source_uses() {
    let quota = |hard: &str, used: &str| {
        let content = Content::Quota { hard: map([("requests.cpu", hard)]), used: map([("requests.cpu", used)]) };
        item("ResourceQuota", "all", content)
    };
    let small = |all: &mut Inventory| {
        all.source.put(quota("4", "2500m"));
        all.target.put(quota("2", "0"));
    };
    let said = "Quotas of the target that are too small: ResourceQuota/all (requests.cpu: 2 allowed, 2500m used on the source). The target must \
                hold all of the load before the last step.";
    says(small, "QuotaTooSmall", Blocker, said);
    let bare = |all: &mut Inventory| {
        all.target.put(quota("4", "0"));
        all.source.web(|web| web.without_requests = true);
    };
    let said = "Without requests of processor or memory: Deployment/web. ResourceQuota all of the target refuses such Pods, and no LimitRange \
                there fills in what they leave out.";
    says(bare, "QuotaNeedsRequests", Blocker, said);
    silent(|all| {
        bare(all);
        all.source.put(item("LimitRange", "defaults", Content::Other));
        all.target.put(item("LimitRange", "defaults", Content::Other));
    });
    let said = "LimitRanges of the target that the source has not so: LimitRange/defaults. Containers may be refused, or get other defaults than \
                on the source.";
    says(|all| all.target.put(item("LimitRange", "defaults", Content::Other)), "LimitRangeDiffers", Warning, said);
}

#[test]
fn the_target_scales_to_what_the_source_serves() {
    let scaler = |least, most| {
        let target = ("Deployment".to_owned(), "web".to_owned());
        item("HorizontalPodAutoscaler", "web", Content::Autoscaler { target, least, most })
    };
    let lower = |all: &mut Inventory| {
        all.source.put(scaler(2, 10));
        all.target.put(scaler(2, 5));
    };
    let said = "HorizontalPodAutoscalers with lower bounds on the target: HorizontalPodAutoscaler/web (2 to 5 there, 2 to 10 on the source). The \
                target may not scale to what the source can serve.";
    says(lower, "AutoscalerDiffers", Warning, said);
    let small = |all: &mut Inventory| {
        all.source.put(scaler(1, 10));
        all.target.put(scaler(1, 10));
    };
    let said = "HorizontalPodAutoscalers that begin small: HorizontalPodAutoscaler/web (minReplicas 1, 2 ready on the source). Without load the \
                target stays at its minimum, and has to scale while users come.";
    says(small, "AutoscalerMinimum", Warning, said);
    let said = "Fewer replicas on the target: Deployment/web (1 there, 2 on the source). The target must hold all of the load before the last step.";
    says(|all| all.target.web(|web| web.replicas = Some(1)), "FewerReplicas", Warning, said);
}

#[test]
fn how_pods_run_is_looked_at() {
    let said = "Not ready on the source: Deployment/web (1 of 2 ready). What does not run well on the source is no measure for the target.";
    says(|all| all.source.web(|web| web.ready = 1), "SourceNotReady", Warning, said);
    let said = "Without a readiness probe: Deployment/web. Their Pods count as ready as soon as they run, also on the target while it gets its \
                first users.";
    says(|all| all.source.web(|web| web.has_readiness = false), "WithoutReadiness", Warning, said);
    let said = "With a nodeSelector: Deployment/web (disk=ssd). Where no node of the target has these labels, the Pods wait for ever.";
    says(|all| all.source.web(|web| web.node_selector = map([("disk", "ssd")])), "NodeSelector", Warning, said);
}

#[test]
fn images_come_from_where_the_target_may_pull() {
    let host = "123456789012.dkr.ecr.eu-west-1.amazonaws.com";
    let from =
        |image: String| move |all: &mut Inventory| all.source.web(|web| web.images = vec![("web".into(), image)]);
    let absent = |all: &mut Inventory| {
        from(format!("{host}/web:1"))(all);
        all.target.take("Deployment", "web");
    };
    let said = format!(
        "Registries of images: {host} (account 123456789012, region eu-west-1, used by Deployment/web). Nothing on the target has been \
         seen to pull from there: where its account or region is another, its nodes may not."
    );
    says(absent, "RegistryAccount", Warning, &said);
    let said = "Other images on the target: Deployment/web (container web: registry.example/web:1 there, registry.example/web:2 on the source). \
                Users would meet another version, or another copy of it, on the target.";
    says(from("registry.example/web:2".into()), "ImagesDiffer", Warning, said);
    let inside = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.web(|web| web.images = vec![("web".into(), "hub.tools.svc:5000/web:1".into())]);
        }
    };
    let said = "Images from inside of the source's cluster: Deployment/web (web: hub.tools.svc:5000/web:1). The target's nodes reach another \
                registry by that name, or none.";
    says(inside, "ImagesInside", Blocker, said);
    let latest = |all: &mut Inventory| {
        for side in [&mut all.source, &mut all.target] {
            side.web(|web| web.images = vec![("web".into(), "registry.example:5000/web".into())]);
        }
    };
    let said = "Images that may change under their name: Deployment/web (web: registry.example:5000/web). What it names may have changed since \
                the source pulled it.";
    says(latest, "MovingTag", Info, said);
}

#[test]
fn nothing_is_asked_where_nothing_was_taken() {
    assert_eq!(asked_of(&order(), None), []);
    silent(|all| all.target.put(service("more", |_| {})));
    silent(|all| all.target.put(workload("Deployment", "more", |_| {})));
}
