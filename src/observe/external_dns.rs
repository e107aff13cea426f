//! An external-dns by its Deployment: what its container is told, by arguments and by environment, and how many Pods there are.
//! <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/pkg/apis/externaldns/types.go>

mod arguments;

use std::collections::BTreeSet;

use jiff::SignedDuration;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::dns::external_dns::USUAL_TTL;
use crate::machine::external_dns::{ExternalDnsView, Filters};
use crate::machine::version::Version;
use arguments::Arguments;

/// The label by which charts say the version of what they install.
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// From this version on there is another default prefix, and --policy has no default.
const NEW_DEFAULTS: Version = Version::of(0, 22, 0);
const OLD_PREFIX: &str = "external-dns.alpha.kubernetes.io/";
const NEW_PREFIX: &str = "external-dns.kubernetes.io/";
const USUAL_INTERVAL: SignedDuration = SignedDuration::from_mins(1);
/// What leaves something out that cannot be told from outside.
const OTHER_FILTERS: [&str; 7] = [
    "annotation-filter",
    "label-filter",
    "regex-domain-filter",
    "regex-domain-exclusion",
    "aws-zone-type",
    "aws-zone-tags",
    "zone-name-filter",
];

/// What a Deployment (apps/v1) tells of the external-dns that it runs.
pub fn facts(object: &DynamicObject) -> ExternalDnsView {
    let counts = super::facts::workload(object, false);
    // Counts of an older generation say nothing of the Pods that are wanted now, unless none are.
    let ready = (counts.current || counts.desired == 0).then_some(counts.ready);
    let view = ExternalDnsView { wanted: Some(counts.desired), ready, ..ExternalDnsView::default() };
    let Some(container) = container(&object.data["spec"]["template"]["spec"]["containers"]) else { return view };
    let version = version(container, object);
    let arguments = Arguments::of(container);
    let newer = version.map(|version| version >= NEW_DEFAULTS);
    let default = |newer_one: Option<&str>, older: Option<&str>| match newer {
        Some(true) => newer_one.map(str::to_owned),
        Some(false) => older.map(str::to_owned),
        None => None,
    };
    ExternalDnsView {
        version,
        policy: arguments.one("policy", default(None, Some("sync"))),
        owner: arguments.one("txt-owner-id", Some("default".to_owned())),
        annotation_prefix: arguments.one("annotation-prefix", default(Some(NEW_PREFIX), Some(OLD_PREFIX))),
        txt_prefix: arguments.one("txt-prefix", Some(String::new())),
        txt_suffix: arguments.one("txt-suffix", Some(String::new())),
        registry: arguments.one("registry", Some("txt".to_owned())),
        provider: arguments.one("provider", None),
        interval: arguments.time("interval", USUAL_INTERVAL),
        usual_ttl: arguments.time("min-ttl", USUAL_TTL).map(usual_ttl),
        dry_run: is_on(arguments.one("dry-run", None)),
        prefers_cname: Some(is_on(arguments.one("aws-prefer-cname", None))),
        filters: filters(&arguments),
        ..view
    }
}

/// A flag without a value is on.
fn is_on(flag: Option<String>) -> bool {
    flag.is_some_and(|value| value != "false")
}

/// It counts in whole seconds, and none is as if nothing was said.
fn usual_ttl(least: SignedDuration) -> SignedDuration {
    if least.as_secs() == 0 { USUAL_TTL } else { SignedDuration::from_secs(least.as_secs()) }
}

/// The container that runs external-dns: the only one, or the one that is called so.
fn container(containers: &Value) -> Option<&Value> {
    let containers = containers.as_array()?;
    let is_called = |text: &Value| text.as_str().is_some_and(|text| text.contains("external-dns"));
    match containers.as_slice() {
        [only] => Some(only),
        several => several
            .iter()
            .find(|container| is_called(&container["image"]))
            .or_else(|| several.iter().find(|container| is_called(&container["name"]))),
    }
}

/// By the tag of the image, else by the label.
fn version(container: &Value, object: &DynamicObject) -> Option<Version> {
    let image = container["image"].as_str().unwrap_or_default();
    let image = image.split_once('@').map_or(image, |(before, _)| before);
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let label = || object.metadata.labels.as_ref()?.get(VERSION_LABEL).map(String::as_str);
    tag.and_then(Version::parse).or_else(|| label().and_then(Version::parse))
}

/// What the arguments leave out.
fn filters(arguments: &Arguments) -> Filters {
    let given = |flag: &&&str| !arguments.all(flag).is_empty();
    let by_expression = ["regex-domain-filter", "regex-domain-exclusion"].iter().any(|flag| given(&flag));
    // A regular expression overrules the lists.
    let domains = |flag| if by_expression { BTreeSet::new() } else { plain_names(arguments.all(flag)) };
    let others = OTHER_FILTERS.iter().filter(given);
    Filters {
        sources: arguments.all("source"),
        namespace: arguments.one("namespace", None).filter(|namespace| !namespace.is_empty()),
        classes: arguments.all("ingress-class"),
        domains: domains("domain-filter"),
        excluded_domains: domains("exclude-domains"),
        zones: arguments.all("zone-id-filter"),
        excluded_kinds: arguments.all("exclude-record-types"),
        managed_kinds: arguments.all("managed-record-types"),
        others: others
            .flat_map(|flag| arguments.all(flag).into_iter().map(move |value| format!("--{flag}={value}")))
            .collect(),
    }
}

fn plain_names(names: BTreeSet<String>) -> BTreeSet<String> {
    names.into_iter().map(|name| crate::dns::external_dns::plain_name(name.trim())).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn deployment(container: Value) -> ExternalDnsView {
        with_containers(json!([container]))
    }

    fn with_containers(containers: Value) -> ExternalDnsView {
        let object = json!({
            "metadata": {"name": "external-dns", "generation": 2, "labels": {VERSION_LABEL: "0.18.0"}},
            "spec": {"replicas": 2, "template": {"spec": {"containers": containers}}},
            "status": {"observedGeneration": 2, "readyReplicas": 1},
        });
        facts(&serde_json::from_value(object).unwrap())
    }

    fn told(args: &[&str]) -> ExternalDnsView {
        deployment(json!({"image": "registry.k8s.io/external-dns/external-dns:v0.22.0", "args": args}))
    }

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn arguments_are_read_in_both_forms_and_the_last_one_counts() {
        let view = told(&[
            "--provider=aws",
            "--source",
            "service",
            "--source=ingress",
            "--policy=upsert-only",
            "--policy=sync",
            "--txt-owner-id",
            "blue",
            "--annotation-prefix=dns.example/",
            "--txt-prefix=_owner.",
            "--interval=10m",
            "--min-ttl",
            "60",
            "--events",
            "--domain-filter=Example.org.",
            "--domain-filter",
            "example.com",
            "--zone-id-filter=Z1",
            "--ingress-class=nginx",
            "--namespace=shop",
            "--label-filter=team=a",
            "--exclude-record-types=AAAA",
        ]);
        assert_eq!((view.wanted, view.ready, view.version), (Some(2), Some(1), Some(Version::of(0, 22, 0))));
        assert_eq!((view.policy.as_deref(), view.owner.as_deref()), (Some("sync"), Some("blue")));
        assert_eq!((view.annotation_prefix.as_deref(), view.provider.as_deref()), (Some("dns.example/"), Some("aws")));
        assert_eq!((view.txt_prefix.as_deref(), view.txt_suffix.as_deref()), (Some("_owner."), Some("")));
        assert_eq!((view.interval, view.usual_ttl), (Some(SignedDuration::from_mins(10)), Some(USUAL_INTERVAL)));
        let expected = Filters {
            sources: set(&["ingress", "service"]),
            namespace: Some("shop".into()),
            classes: set(&["nginx"]),
            domains: set(&["example.com", "example.org"]),
            zones: set(&["Z1"]),
            excluded_kinds: set(&["AAAA"]),
            others: vec!["--label-filter=team=a".into()],
            ..Filters::default()
        };
        assert_eq!(view.filters, expected);
        assert!(!view.dry_run);
    }

    #[test]
    fn what_is_not_given_is_what_its_version_takes() {
        let image = |tag: &str| deployment(json!({"image": format!("example.org:5000/external-dns{tag}")}));
        let old = image(":v0.14.2@sha256:0123");
        assert_eq!((old.policy.as_deref(), old.annotation_prefix.as_deref()), (Some("sync"), Some(OLD_PREFIX)));
        assert_eq!((old.owner.as_deref(), old.registry.as_deref()), (Some("default"), Some("txt")));
        assert_eq!((old.interval, old.usual_ttl), (Some(USUAL_INTERVAL), Some(USUAL_TTL)));
        let new = image(":0.22.0-debian-12-r0");
        assert_eq!((new.policy, new.annotation_prefix.as_deref()), (None, Some(NEW_PREFIX)));
        let by_label = image("");
        assert_eq!(
            (by_label.version, by_label.annotation_prefix.as_deref()),
            (Some(Version::of(0, 18, 0)), Some(OLD_PREFIX))
        );
    }

    #[test]
    fn the_environment_stands_in_for_arguments_and_goes_behind_them() {
        let view = deployment(json!({
            "image": "external-dns:v0.22.0",
            "args": ["--txt-owner-id=$(CLUSTER)-$$1", "--registry=$(POLICY)", "--interval", "$(POLICY)", "--namespace=$(NOWHERE)"],
            "env": [
                {"name": "CLUSTER", "value": "blue"},
                {"name": "POLICY", "valueFrom": {"configMapKeyRef": {"name": "c", "key": "k"}}},
                {"name": "EXTERNAL_DNS_TXT_OWNER_ID", "value": "behind the argument"},
                {"name": "EXTERNAL_DNS_DOMAIN_FILTER", "value": "example.org\nexample.com\n"},
                {"name": "EXTERNAL_DNS_TXT_SUFFIX", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}},
                {"name": "EXTERNAL_DNS_DRY_RUN", "value": "1"},
            ],
        }));
        assert_eq!(view.owner.as_deref(), Some("blue-$1"));
        assert_eq!(
            (view.registry, view.interval, view.txt_suffix),
            (None, None, None),
            "what is elsewhere is not guessed"
        );
        assert_eq!(view.filters.domains, set(&["example.com", "example.org"]));
        assert_eq!(view.filters.namespace.as_deref(), Some("$(NOWHERE)"));
        assert!(view.dry_run);
    }

    #[test]
    fn where_more_may_be_said_elsewhere_no_default_is_taken() {
        for container in [
            json!({"image": "external-dns:v0.22.0", "args": ["--policy=sync"], "envFrom": [{"configMapRef": {"name": "c"}}]}),
            json!({"image": "external-dns:v0.22.0", "args": ["--policy=sync", "@/etc/flags"]}),
        ] {
            let view = deployment(container);
            assert_eq!((view.policy.as_deref(), view.owner, view.interval), (Some("sync"), None, None));
        }
        let script = json!({"image": "x:v0.22.0", "command": ["sh", "-c", "external-dns --txt-owner-id=blue"]});
        assert_eq!(deployment(script).owner, None);
    }

    #[test]
    fn among_several_containers_it_is_the_one_that_is_called_so() {
        let sidecar = json!({"name": "proxy", "image": "proxy:1", "args": ["--txt-owner-id=wrong"]});
        let own = json!({"name": "main", "image": "mirror/external-dns:v0.22.0", "args": ["--txt-owner-id=right"]});
        assert_eq!(with_containers(json!([sidecar, own])).owner.as_deref(), Some("right"));
        let nobody = with_containers(json!([sidecar, sidecar]));
        assert_eq!((nobody.owner, nobody.ready), (None, Some(1)));
    }

    #[test]
    fn counts_of_an_older_generation_say_nothing_unless_no_pod_is_wanted() {
        let counted = |replicas: i32, observed: i32| {
            let object = json!({
                "metadata": {"name": "external-dns", "generation": 2}, "spec": {"replicas": replicas},
                "status": {"observedGeneration": observed},
            });
            let view = facts(&serde_json::from_value(object).unwrap());
            (view.wanted, view.ready)
        };
        assert_eq!(counted(1, 2), (Some(1), Some(0)));
        assert_eq!(counted(1, 1), (Some(1), None));
        assert_eq!(counted(0, 1), (Some(0), Some(0)));
    }
}
