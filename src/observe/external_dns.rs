//! An external-dns by its Deployment: what its container is told, by arguments and by environment, and how many Pods there are.
//!
//! Its flags are kingpin's: `--flag=value` or `--flag value`, the last one counts, and each may be given as `EXTERNAL_DNS_FLAG`
//! instead, several values one a line. What is said where only the cluster's other objects could tell (a ConfigMap, a Secret, a shell)
//! is not known, and is not guessed.
//! <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/pkg/apis/externaldns/types.go>

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use kube::api::DynamicObject;
use serde_json::Value;

use crate::api::DurationText;
use crate::dns::external_dns::USUAL_TTL;
use crate::machine::external_dns::{ExternalDnsView, Filters, numbers};

/// The label by which charts say the version of what they install.
const VERSION_LABEL: &str = "app.kubernetes.io/version";
/// From this version on there is another default prefix, and --policy has no default.
const NEW_DEFAULTS: [u32; 3] = [0, 22, 0];
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
        version: version.map(|[major, minor, patch]| format!("{major}.{minor}.{patch}")),
        policy: arguments.one("policy", default(None, Some("sync"))),
        owner: arguments.one("txt-owner-id", Some("default".to_owned())),
        annotation_prefix: arguments.one("annotation-prefix", default(Some(NEW_PREFIX), Some(OLD_PREFIX))),
        txt_prefix: arguments.one("txt-prefix", Some(String::new())),
        txt_suffix: arguments.one("txt-suffix", Some(String::new())),
        registry: arguments.one("registry", Some("txt".to_owned())),
        provider: arguments.one("provider", None),
        interval: arguments.time("interval", USUAL_INTERVAL),
        usual_ttl: arguments.time("min-ttl", USUAL_TTL).map(usual_ttl),
        dry_run: arguments.one("dry-run", None).is_some_and(|value| value != "false"),
        filters: arguments.filters(),
        ..view
    }
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
fn version(container: &Value, object: &DynamicObject) -> Option<[u32; 3]> {
    let image = container["image"].as_str().unwrap_or_default();
    let image = image.split_once('@').map_or(image, |(before, _)| before);
    let tag = image.rsplit('/').next().and_then(|name| name.split_once(':')).map(|(_, tag)| tag);
    let label = || object.metadata.labels.as_ref()?.get(VERSION_LABEL).map(String::as_str);
    tag.and_then(numbers).or_else(|| label().and_then(numbers))
}

/// What a container is told.
struct Arguments {
    /// Each flag with its values in their order. None: one that is not known.
    flags: BTreeMap<String, Vec<Option<String>>>,
    /// Each variable with its value, where it is said here.
    environment: BTreeMap<String, Option<String>>,
    /// Whether more may be said elsewhere.
    is_open: bool,
}

/// What is known of a flag.
enum Told {
    /// These are its values.
    Values(Vec<String>),
    /// It is not given.
    Not,
    /// It may be given where nobody looks.
    Unknown,
}

impl Arguments {
    fn of(container: &Value) -> Self {
        let environment = environment(container);
        let words = ["command", "args"].into_iter().flat_map(|field| array(&container[field]));
        let words: Vec<_> = words.filter_map(Value::as_str).map(|word| Word::of(word, &environment)).collect();
        let has_sources = !array(&container["envFrom"]).is_empty();
        // A shell's one word has the flags in it; one that begins with @ is a file with more of them.
        let hides_flags = |word: &Word| matches!(word, Word::Plain(Some(text)) if text.starts_with('@') || text.contains("external-dns "));
        let is_open = has_sources || words.iter().any(hides_flags);
        Self { flags: flags(words), environment, is_open }
    }

    fn told(&self, flag: &str) -> Told {
        if let Some(values) = self.flags.get(flag) {
            let known: Option<Vec<_>> = values.iter().cloned().collect();
            return known.map_or(Told::Unknown, Told::Values);
        }
        let variable = format!("EXTERNAL_DNS_{}", flag.to_uppercase().replace('-', "_"));
        match self.environment.get(&variable) {
            Some(Some(value)) if !value.is_empty() => {
                Told::Values(value.trim_end().lines().map(str::to_owned).collect())
            }
            Some(None) => Told::Unknown,
            _ if self.is_open => Told::Unknown,
            _ => Told::Not,
        }
    }

    /// The value of a flag that has one. None where it is not known, or not given and without a default.
    fn one(&self, flag: &str, default: Option<String>) -> Option<String> {
        match self.told(flag) {
            Told::Values(values) => values.into_iter().next_back(),
            Told::Not => default,
            Told::Unknown => None,
        }
    }

    fn time(&self, flag: &str, default: SignedDuration) -> Option<SignedDuration> {
        match self.told(flag) {
            Told::Values(values) => duration(values.last()?),
            Told::Not => Some(default),
            Told::Unknown => None,
        }
    }

    fn all(&self, flag: &str) -> BTreeSet<String> {
        let Told::Values(values) = self.told(flag) else { return BTreeSet::new() };
        values.into_iter().filter(|value| !value.is_empty()).collect()
    }

    fn filters(&self) -> Filters {
        let given = |flag: &&&str| !self.all(flag).is_empty();
        let by_expression = ["regex-domain-filter", "regex-domain-exclusion"].iter().any(|flag| given(&flag));
        // A regular expression overrules the lists.
        let domains = |flag| if by_expression { BTreeSet::new() } else { plain_names(self.all(flag)) };
        let others = OTHER_FILTERS.iter().filter(given);
        Filters {
            sources: self.all("source"),
            namespace: self.one("namespace", None).filter(|namespace| !namespace.is_empty()),
            classes: self.all("ingress-class"),
            domains: domains("domain-filter"),
            excluded_domains: domains("exclude-domains"),
            zones: self.all("zone-id-filter"),
            excluded_kinds: self.all("exclude-record-types"),
            managed_kinds: self.all("managed-record-types"),
            others: others
                .flat_map(|flag| self.all(flag).into_iter().map(move |value| format!("--{flag}={value}")))
                .collect(),
        }
    }
}

fn plain_names(names: BTreeSet<String>) -> BTreeSet<String> {
    names.into_iter().map(|name| crate::dns::external_dns::plain_name(name.trim())).collect()
}

/// The variables that a container is given one by one. None: the value is in another object.
fn environment(container: &Value) -> BTreeMap<String, Option<String>> {
    let mut known = BTreeMap::new();
    for variable in array(&container["env"]) {
        let Some(name) = variable["name"].as_str() else { continue };
        let elsewhere = !variable["valueFrom"].is_null();
        let value = variable["value"].as_str().unwrap_or_default();
        let value = if elsewhere { None } else { expanded(value, &known) };
        known.insert(name.to_owned(), value);
    }
    known
}

/// A text with the variables that it names, as the kubelet puts them in: `$(NAME)`, and `$$` for one `$`. A name that is not
/// there stays as it is. None where a value is not known.
/// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>
fn expanded(text: &str, environment: &BTreeMap<String, Option<String>>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        match named.and_then(|(name, tail)| Some((environment.get(name)?, tail))) {
            Some((value, tail)) => {
                out.push_str(value.as_ref()?);
                rest = tail;
            }
            None => {
                out.push('$');
                rest = after;
            }
        }
    }
    out.push_str(rest);
    Some(out)
}

/// One word of a command. None stands for a text that is not known.
enum Word {
    /// `--flag`.
    Flag(String),
    /// `--flag=value`.
    Full(String, Option<String>),
    /// Anything else.
    Plain(Option<String>),
}

impl Word {
    fn of(word: &str, environment: &BTreeMap<String, Option<String>>) -> Self {
        let whole = expanded(word, environment);
        let text = whole.as_deref().unwrap_or(word);
        match text.strip_prefix("--").map(|flag| flag.split_once('=').ok_or(flag)) {
            Some(Ok((name, value))) => Self::Full(name.to_owned(), whole.is_some().then(|| value.to_owned())),
            Some(Err(name)) => Self::Flag(name.to_owned()),
            None => Self::Plain(whole),
        }
    }
}

/// external-dns takes no word that is not a flag, so that one behind a flag is its value. A flag without a value is a switch that
/// is on.
fn flags(words: Vec<Word>) -> BTreeMap<String, Vec<Option<String>>> {
    let mut flags = BTreeMap::<String, Vec<Option<String>>>::new();
    let mut open: Option<String> = None;
    let mut give = |name: String, value| flags.entry(name).or_default().push(value);
    let on = || Some("true".to_owned());
    for word in words {
        let before = open.take();
        match (before, word) {
            (Some(name), Word::Plain(value)) => give(name, value),
            (None, Word::Plain(_)) => {}
            (before, Word::Full(name, value)) => {
                before.into_iter().for_each(|before| give(before, on()));
                give(name, value);
            }
            (before, Word::Flag(name)) => {
                before.into_iter().for_each(|before| give(before, on()));
                open = Some(name);
            }
        }
    }
    open.into_iter().for_each(|name| give(name, on()));
    flags
}

/// As Go writes durations; a number alone is seconds.
fn duration(text: &str) -> Option<SignedDuration> {
    text.parse().map(SignedDuration::from_secs).ok().or_else(|| DurationText::from(text).span().ok())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
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
        assert_eq!((view.wanted, view.ready, view.version.as_deref()), (Some(2), Some(1), Some("0.22.0")));
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
            (by_label.version.as_deref(), by_label.annotation_prefix.as_deref()),
            (Some("0.18.0"), Some(OLD_PREFIX))
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
