//! What is shipped beside the binary keeps its promises: rights, Pod security, examples, image and CI.
//!
//! These tests read files only. That the roles suffice is shown by the end-to-end tests, where the operator has no others.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test that cannot go on stops and says why"
)]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use kube::core::cel::validate_cel;
use namespace_migration::api::{ClusterPair, NamespaceMigration, crds};
use namespace_migration::machine::Side;
use namespace_migration::machine::right::Right;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// One object of a file under `deploy/`.
struct Manifest {
    file: String,
    object: Value,
}

impl Manifest {
    fn is(&self, kind: &str) -> bool {
        self.object["kind"] == kind
    }

    fn name(&self) -> &str {
        self.object["metadata"]["name"].as_str().unwrap_or_default()
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: impl AsRef<Path>) -> String {
    let path = root().join(path);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{} cannot be read: {error}", path.display()))
}

/// Every file under `directory`, as paths relative to the repository.
fn files(directory: &str) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(root().join(directory)).unwrap() {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        let path = format!("{directory}/{name}");
        if entry.unwrap().file_type().unwrap().is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path.into());
        }
    }
    found
}

fn manifests(directory: &str) -> Vec<Manifest> {
    let yaml = files(directory).into_iter().filter(|file| file.extension().is_some_and(|end| end == "yaml"));
    yaml.filter(|file| !file.ends_with("kustomization.yaml"))
        .flat_map(|file| {
            let objects: Vec<Value> = serde_saphyr::from_multiple(&read(&file)).unwrap();
            objects.into_iter().map(move |object| Manifest { file: file.display().to_string(), object })
        })
        .collect()
}

fn only<'a>(manifests: &'a [Manifest], kind: &str) -> &'a Value {
    let found: Vec<_> = manifests.iter().filter(|manifest| manifest.is(kind)).collect();
    assert_eq!(found.len(), 1, "expected one {kind}");
    &found[0].object
}

fn list(value: &Value) -> Vec<&str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Every rule of every role, with where it stands.
fn rules(manifests: &[Manifest]) -> Vec<(String, &Value)> {
    let mut found = vec![];
    for role in manifests.iter().filter(|manifest| manifest.is("Role") || manifest.is("ClusterRole")) {
        let place = format!("{}: {}", role.file, role.name());
        found.extend(role.object["rules"].as_array().into_iter().flatten().map(|rule| (place.clone(), rule)));
    }
    found
}

#[test]
fn no_role_has_a_wildcard() {
    let manifests = manifests("deploy");
    let rules = rules(&manifests);
    assert!(rules.len() > 10, "the roles were not found: {} rules", rules.len());
    for (place, rule) in rules {
        for field in ["apiGroups", "resources", "verbs", "resourceNames", "nonResourceURLs"] {
            let wild = list(&rule[field]).iter().any(|word| word.contains('*'));
            assert!(!wild, "{place} has a wildcard in {field}: {rule}");
        }
    }
}

#[test]
fn no_role_can_become_another_identity_or_run_in_a_pod() {
    let manifests = manifests("deploy");
    for (place, rule) in rules(&manifests) {
        for verb in ["escalate", "bind", "impersonate"] {
            assert!(!list(&rule["verbs"]).contains(&verb), "{place} may {verb}");
        }
        let doors =
            list(&rule["resources"]).into_iter().filter(|name| name.starts_with("pods") || name.contains("token"));
        assert_eq!(doors.count(), 0, "{place} reaches pods or tokens: {rule}");
    }
}

#[test]
fn secrets_are_read_by_name_never_listed_or_changed_and_watched_only_beside_the_operator() {
    let manifests = manifests("deploy");
    let mut verbs = BTreeSet::new();
    for (_, rule) in rules(&manifests).into_iter().filter(|(_, rule)| list(&rule["resources"]).contains(&"secrets")) {
        verbs.extend(list(&rule["verbs"]));
    }
    assert_eq!(verbs, BTreeSet::from(["get", "watch", "create", "delete"]));
    let watching = manifests.iter().filter(|role| role.is("Role") || role.is("ClusterRole")).filter(|role| {
        let of_secrets = |rule: &&Value| list(&rule["resources"]).contains(&"secrets");
        role.object["rules"]
            .as_array()
            .into_iter()
            .flatten()
            .filter(of_secrets)
            .any(|rule| list(&rule["verbs"]).contains(&"watch"))
    });
    let places: Vec<_> =
        watching.map(|role| (role.is("Role"), role.object["metadata"]["namespace"].as_str())).collect();
    assert_eq!(places, [(true, Some("namespace-migration"))], "only the kubeconfigs in the operator's own namespace");
}

#[test]
fn the_operator_may_read_and_change_the_one_lease_that_the_deployment_names() {
    let manifests = manifests("deploy");
    let of_leases: Vec<_> =
        rules(&manifests).into_iter().filter(|(_, rule)| list(&rule["resources"]) == ["leases"]).collect();
    let granted: Vec<_> =
        of_leases.iter().map(|(_, rule)| (list(&rule["verbs"]), list(&rule["resourceNames"]))).collect();
    assert_eq!(granted, [(vec!["create"], vec![]), (vec!["get", "update"], vec!["namespace-migration"])]);
    assert!(of_leases.iter().all(|(place, _)| place.starts_with("deploy/base/home-role.yaml")), "{of_leases:?}");
    let container = &only(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    assert!(list(&container["args"]).contains(&"--lease-name=namespace-migration"));
}

#[test]
fn on_the_source_ingresses_are_patched_and_nothing_is_created_or_deleted() {
    let manifests = manifests("deploy/source");
    let writing = |verb: &&str| !["get", "list", "watch"].contains(verb);
    let mut writes = vec![];
    for (_, rule) in rules(&manifests) {
        for verb in list(&rule["verbs"]).into_iter().filter(writing) {
            writes.push((list(&rule["resources"]), verb));
        }
    }
    assert_eq!(writes, [(vec!["ingresses"], "patch")]);
}

/// What the preflight asks for is what is installed, so neither can be changed without the other.
#[test]
fn the_roles_of_source_and_target_are_those_that_the_preflight_asks_for() {
    for (side, folder) in [(Side::Source, "deploy/source"), (Side::Target, "deploy/target")] {
        let manifests = manifests(folder);
        let mut granted = BTreeSet::new();
        for (_, rule) in rules(&manifests) {
            assert!(rule["resourceNames"].is_null(), "the preflight asks for every object: {rule}");
            for resource in list(&rule["resources"]) {
                let group = list(&rule["apiGroups"])[0];
                granted.extend(list(&rule["verbs"]).into_iter().map(|verb| (group, resource, verb)));
            }
        }
        let asked: BTreeSet<_> =
            Right::all(side).into_iter().map(|right| (right.group, right.resource, right.verb)).collect();
        assert_eq!(granted, asked, "{folder} and src/machine/right.rs differ");
    }
}

#[test]
fn the_roles_of_the_home_cluster_are_those_that_the_operator_asks_for_there() {
    let manifests = manifests("deploy/base");
    let of_operator: Vec<_> = manifests.into_iter().filter(|role| role.name() == "namespace-migration-home").collect();
    let mut granted = BTreeSet::new();
    for (_, rule) in rules(&of_operator) {
        let group = list(&rule["apiGroups"])[0];
        for resource in list(&rule["resources"]) {
            granted.extend(list(&rule["verbs"]).into_iter().map(|verb| (group, resource, verb)));
        }
    }
    assert!(
        granted.remove(&("", "namespaces", "get")),
        "who the home cluster is has been read before anything is asked"
    );
    let asked: BTreeSet<_> =
        Right::at_home(true).into_iter().map(|right| (right.group, right.resource, right.verb)).collect();
    assert_eq!(granted, asked, "deploy/base and src/machine/right.rs differ");
}

#[test]
fn every_role_of_the_operator_is_bound_to_its_own_identity_alone() {
    let expected = [
        ("deploy/base", "namespace-migration-home", "namespace-migration"),
        ("deploy/home-on-source", "namespace-migration-source", "namespace-migration"),
        ("deploy/home-on-target", "namespace-migration-target", "namespace-migration"),
        ("deploy/source", "namespace-migration-source", "namespace-migration-source"),
        ("deploy/target", "namespace-migration-target", "namespace-migration-target"),
    ];
    for (directory, role, account) in expected {
        let manifests = manifests(directory);
        let bindings = manifests.iter().filter(|m| m.is("ClusterRoleBinding") || m.is("RoleBinding"));
        for binding in bindings.map(|manifest| &manifest.object) {
            assert_eq!(binding["roleRef"]["name"], role, "in {directory}");
            let subject = json!({ "kind": "ServiceAccount", "name": account, "namespace": "namespace-migration" });
            assert_eq!(binding["subjects"], json!([subject]), "in {directory}");
        }
    }
}

#[test]
fn no_installation_takes_anothers_bindings_away() {
    let mut names = BTreeSet::new();
    for directory in ["deploy/base", "deploy/home-on-source", "deploy/home-on-target", "deploy/source", "deploy/target"]
    {
        for binding in manifests(directory).iter().filter(|m| m.is("ClusterRoleBinding")) {
            assert!(names.insert(binding.name().to_owned()), "{directory} replaces the binding {}", binding.name());
        }
    }
}

#[test]
fn people_get_their_rights_through_kubernetes_own_roles() {
    let manifests = manifests("deploy/base");
    let aggregated = |role: &str, to: &str| {
        let role = manifests.iter().find(|m| m.is("ClusterRole") && m.name() == role).unwrap();
        role.object["metadata"]["labels"][format!("rbac.authorization.k8s.io/aggregate-to-{to}")] == "true"
    };
    for to in ["view", "edit", "admin"] {
        assert!(aggregated("namespace-migration-view", to), "view is not part of {to}");
    }
    assert!(aggregated("namespace-migration-edit", "edit") && aggregated("namespace-migration-edit", "admin"));
    assert!(!aggregated("namespace-migration-edit", "view"), "whoever may look could also start a migration");
}

/// Names of field managers are not proved: whoever may write a status could write it as the operator.
#[test]
fn nobody_but_the_operator_may_write_a_status() {
    let manifests = manifests("deploy");
    let writes = |rule: &Value| {
        let of_status = list(&rule["resources"]).iter().any(|resource| resource.ends_with("/status"));
        of_status && list(&rule["verbs"]).iter().any(|verb| ["patch", "update"].contains(verb))
    };
    let writers: BTreeSet<_> =
        rules(&manifests).into_iter().filter(|(_, rule)| writes(rule)).map(|(place, _)| place).collect();
    assert_eq!(writers.len(), 1, "{writers:?}");
    assert!(writers.iter().all(|place| place.ends_with("home-role.yaml: namespace-migration-home")), "{writers:?}");
}

/// A policy that names another namespace than the one that the operator is installed in would refuse the operator itself.
#[test]
fn the_status_policy_names_the_operators_namespace_and_every_status() {
    let manifests = manifests("deploy/base");
    let spec = &only(&manifests, "ValidatingAdmissionPolicy")["spec"];
    let operators = only(&manifests, "ServiceAccount")["metadata"]["namespace"].as_str().unwrap();
    let expression = spec["validations"][0]["expression"].as_str().unwrap();
    assert!(expression.contains(&format!("\"system:serviceaccount:{operators}:\"")), "{expression}");
    let covered: BTreeSet<_> = list(&spec["matchConstraints"]["resourceRules"][0]["resources"]).into_iter().collect();
    let written: BTreeSet<_> = rules(&manifests)
        .into_iter()
        .flat_map(|(_, rule)| list(&rule["resources"]))
        .filter(|resource| resource.ends_with("/status"))
        .collect();
    assert_eq!(covered, written);
    assert_eq!(only(&manifests, "ValidatingAdmissionPolicyBinding")["spec"]["validationActions"], json!(["Deny"]));
}

#[test]
fn the_pod_fits_restricted_pod_security() {
    let manifests = manifests("deploy/base");
    let pod = &only(&manifests, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["runAsUser"], 65532);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true);
    assert_eq!(container["securityContext"]["capabilities"], json!({ "drop": ["ALL"] }));
    for field in ["hostNetwork", "hostPID", "hostIPC", "initContainers"] {
        assert!(pod[field].is_null(), "{field} is set");
    }
    let namespace = only(&manifests, "Namespace");
    assert_eq!(namespace["metadata"]["labels"]["pod-security.kubernetes.io/enforce"], "restricted");
}

#[test]
fn the_pod_has_one_short_lived_token_and_no_other_volume() {
    let manifests = manifests("deploy/base");
    let pod = &only(&manifests, "Deployment")["spec"]["template"]["spec"];
    assert_eq!(pod["automountServiceAccountToken"], false);
    assert_eq!(only(&manifests, "ServiceAccount")["automountServiceAccountToken"], false);
    assert_eq!(pod["volumes"].as_array().map(Vec::len), Some(1));
    let sources = pod["volumes"][0]["projected"]["sources"].as_array().unwrap();
    let token = sources.iter().find_map(|source| source.get("serviceAccountToken")).unwrap();
    assert!(token["expirationSeconds"].as_i64().unwrap() <= 3600, "{token}");
}

#[test]
fn one_operator_works_another_stands_by_and_each_is_given_time_to_end() {
    let manifests = manifests("deploy/base");
    let spec = &only(&manifests, "Deployment")["spec"];
    assert_eq!(spec["replicas"], 2);
    assert_eq!(spec["strategy"]["rollingUpdate"], json!({"maxUnavailable": 0, "maxSurge": 1}));
    assert_eq!(only(&manifests, "PodDisruptionBudget")["spec"]["maxUnavailable"], 1);
    let container = &spec["template"]["spec"]["containers"][0];
    assert_eq!(container["env"][0]["name"], "POD_NAME");
    assert_eq!(container["env"][0]["valueFrom"]["fieldRef"]["fieldPath"], "metadata.name");
    assert_eq!(spec["template"]["spec"]["terminationGracePeriodSeconds"], 75);
}

#[test]
fn the_deployments_arguments_are_the_binarys() {
    let manifests = manifests("deploy/base");
    let container = &only(&manifests, "Deployment")["spec"]["template"]["spec"]["containers"][0];
    let arguments = list(&container["args"]);
    let binary =
        Command::new(env!("CARGO_BIN_EXE_namespace-migration")).args([arguments[0], "--help"]).output().unwrap();
    let help = String::from_utf8(binary.stdout).unwrap();
    for argument in &arguments[1..] {
        let flag = argument.split('=').next().unwrap();
        assert!(help.contains(&format!("{flag} <")), "`{} --help` does not know {flag}:\n{help}", arguments[0]);
    }
    let port = container["ports"][0]["containerPort"].to_string();
    assert!(arguments.iter().any(|argument| argument.starts_with("--listen=") && argument.ends_with(&port)));
}

#[test]
fn every_manifest_is_part_of_a_kustomization() {
    for file in files("deploy").into_iter().chain(files("crds")) {
        let outside = file.starts_with("deploy/examples") || file.extension().is_none_or(|end| end != "yaml");
        if outside || file.ends_with("kustomization.yaml") {
            continue;
        }
        let kustomization: Value = serde_saphyr::from_str(&read(file.with_file_name("kustomization.yaml"))).unwrap();
        let name = file.file_name().and_then(|name| name.to_str()).unwrap();
        assert!(list(&kustomization["resources"]).contains(&name), "{} is installed by nothing", file.display());
    }
}

#[test]
fn no_category_is_a_name_of_a_kind() {
    // kubectl would read `get NAME x` as every kind of the category, and refuse.
    let definitions =
        crds::definitions().unwrap().into_iter().map(|(_, yaml)| serde_saphyr::from_str::<Value>(&yaml).unwrap());
    let names: Vec<Value> = definitions.map(|definition| definition["spec"]["names"].clone()).collect();
    let of = |field: &str| -> BTreeSet<&str> { names.iter().flat_map(|names| list(&names[field])).collect() };
    let taken = names.iter().flat_map(|names| [&names["singular"], &names["plural"]]).filter_map(Value::as_str);
    let taken: BTreeSet<&str> = taken.chain(of("shortNames")).collect();
    assert!(taken.is_disjoint(&of("categories")), "{taken:?} and {:?}", of("categories"));
}

#[test]
fn the_examples_are_understood_in_full_and_fit_the_rules() {
    let examples = manifests("deploy/examples");
    assert!(examples.len() >= 3);
    for example in examples {
        match example.object["kind"].as_str() {
            Some("NamespaceMigration") => understood::<NamespaceMigration>(&example),
            Some("ClusterPair") => understood::<ClusterPair>(&example),
            other => panic!("{}: unexpected kind {other:?}", example.file),
        }
    }
}

/// The example becomes an object of our types, nothing of it is lost on the way, and the CRD's rules accept it.
fn understood<T: DeserializeOwned + Serialize + kube::CustomResourceExt>(example: &Manifest) {
    let typed: T = serde_json::from_value(example.object.clone())
        .unwrap_or_else(|error| panic!("{} does not fit the API: {error}", example.file));
    let again = serde_json::to_value(&typed).unwrap();
    let mut lost = vec![];
    collect_lost(&example.object, &again, "", &mut lost);
    assert!(lost.is_empty(), "{} has fields that the API does not know: {lost:?}", example.file);
    validate_cel(&typed).unwrap_or_else(|error| panic!("{} is refused: {error:?}", example.file));
}

fn collect_lost(written: &Value, kept: &Value, path: &str, lost: &mut Vec<String>) {
    match (written, kept) {
        (Value::Object(written), Value::Object(kept)) => {
            for (name, value) in written {
                collect_lost(value, kept.get(name).unwrap_or(&Value::Null), &format!("{path}.{name}"), lost);
            }
        }
        (Value::Array(written), Value::Array(kept)) if written.len() == kept.len() => {
            for (index, (value, other)) in written.iter().zip(kept).enumerate() {
                collect_lost(value, other, &format!("{path}[{index}]"), lost);
            }
        }
        _ if written == kept => {}
        _ => lost.push(path.to_owned()),
    }
}

#[test]
fn the_readme_shows_the_minimal_example() {
    assert!(read("README.md").contains(&read("deploy/examples/minimal.yaml")), "copy deploy/examples/minimal.yaml");
}

#[test]
fn the_image_is_built_by_the_command_that_ci_runs() {
    let dockerfile = read("Dockerfile");
    let commands: Vec<_> = dockerfile.lines().filter(|line| line.starts_with("RUN ")).collect();
    assert_eq!(commands, ["RUN make release"]);
    let ci = read(".ci/run");
    assert!(ci.contains("make release > ") && ci.lines().any(|line| line == "step make release-check"));
    assert!(
        read("Makefile")
            .contains("\n\tcargo build --release --locked -p namespace-migration --bin namespace-migration\n")
    );
}

#[test]
fn the_image_runs_as_the_user_of_the_deployment() {
    let dockerfile = read("Dockerfile");
    assert!(dockerfile.lines().any(|line| line == "USER 65532:65532"));
    let last = dockerfile.lines().rfind(|line| line.starts_with("FROM ")).unwrap();
    assert!(last.contains("distroless/cc-") && last.ends_with(":nonroot"), "{last} may have a shell");
}

#[test]
fn ci_runs_every_tier_and_every_file_of_tests_is_in_one() {
    assert!(read(".ci/run").lines().any(|line| line == "step make test"));
    let tiers = read("tests/run");
    let run: Vec<_> = tiers.lines().flat_map(|tier| tier.split("--test ").skip(1)).collect();
    for folder in ["tests", "tests/model/tests", "tests/rig/tests"] {
        for entry in fs::read_dir(root().join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|end| end == "rs") || path.join("main.rs").exists() {
                let name = path.file_stem().and_then(|name| name.to_str()).unwrap();
                let runs = |test: &&str| test.split([' ', '"']).next() == Some(name);
                assert!(run.iter().any(runs), "tests/run does not run {name}");
            }
        }
    }
}
