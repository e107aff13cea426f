//! The comparison sees what it is there for: mistakes that are planted in roles and recordings.

use std::collections::BTreeSet;
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::json;

use crate::comparison::{Comparison, Exceptions, Uses, compare};
use crate::deploy::Deploy;
use crate::exceptions::{Everybodys, OtherNames, Unused};
use crate::requests::Requests;

/// Files of one test, removed with it.
struct Folder(PathBuf);

impl Folder {
    fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("roles-{}-{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed));
        let folder = Self(std::env::temp_dir().join(name));
        fs::create_dir_all(folder.0.join("recording")).unwrap();
        folder
    }

    fn put(&self, path: &str, content: &str) -> &Self {
        let path = self.0.join(path);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
        self
    }

    fn record(&self, log: &str, lines: &[String]) -> &Self {
        self.put(&format!("recording/{log}.log"), &(lines.join("\n") + "\n"))
    }

    fn requests(&self) -> anyhow::Result<Requests> {
        Requests::read(&self.0.join("recording"))
    }

    fn compare(&self, exceptions: Exceptions<'_>) -> Comparison {
        compare(&Deploy::read(&self.0.join("deploy")).unwrap(), &self.requests().unwrap(), exceptions).unwrap()
    }

    fn problems(&self) -> Vec<String> {
        self.compare(Exceptions::default()).problems.into_iter().collect()
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0); // what is left lies in the folder for temporary files
    }
}

fn binding(role: &str, account: &str) -> String {
    format!(
        "---\nkind: ClusterRoleBinding\nmetadata: {{name: {role}-{account}}}\nroleRef: {{kind: ClusterRole, name: {role}}}\n\
         subjects: [{{kind: ServiceAccount, name: {account}, namespace: namespace-migration}}]\n"
    )
}

fn role(name: &str, rules: &str) -> String {
    format!("---\nkind: ClusterRole\nmetadata: {{name: {name}}}\nrules: {rules}\n")
}

/// A home that may get kube-system and list pairs, and a source that may get every namespace.
fn deployed() -> Folder {
    let home = "[{apiGroups: [\"\"], resources: [namespaces], resourceNames: [kube-system], verbs: [get]}, \
         {apiGroups: [g], resources: [pairs], verbs: [list]}]";
    let source = "[{apiGroups: [\"\"], resources: [namespaces], verbs: [get]}]";
    let folder = Folder::new();
    folder.put("deploy/base/home.yaml", &(role("home", home) + &binding("home", "operator")));
    folder.put("deploy/source/role/role.yaml", &role("source", source));
    folder.put("deploy/source/identity.yaml", &binding("source", "remote"));
    folder.put("deploy/home-on-source/binding.yaml", &binding("source", "operator"));
    folder
}

fn event(account: &str, (verb, resource, name): (&str, &str, &str), decision: &str) -> String {
    let stage = if verb == "watch" && decision == "allow" { "ResponseStarted" } else { "ResponseComplete" };
    let group = if resource == "pairs" { "g" } else { "" };
    json!({
        "stage": stage, "requestReceivedTimestamp": "2026-11-21T08:00:00.000000Z",
        "stageTimestamp": "2026-11-21T08:00:00.000000Z", "requestURI": "/x", "verb": verb, "userAgent": "namespace-migration/0.1.0",
        "user": {"username": format!("system:serviceaccount:namespace-migration:{account}")},
        "objectRef": {"resource": resource, "apiGroup": group, "name": name, "namespace": name},
        "annotations": {"authorization.k8s.io/decision": decision},
    })
    .to_string()
}

const IDENTITY: (&str, &str, &str) = ("get", "namespaces", "kube-system");

/// On the source the home's account has two roles that allow the same; what each is needed for is shown elsewhere.
fn used() -> Folder {
    let folder = deployed();
    let lines = [event("operator", IDENTITY, "allow"), event("operator", ("list", "pairs", ""), "allow")];
    folder.record("world-1-home", &lines).record("world-1-source", &[event("operator", IDENTITY, "allow")]);
    folder.record("world-2-source", &[event("operator", ("get", "namespaces", "shop"), "allow")]);
    folder
}

#[test]
fn what_is_granted_and_used_is_no_problem_and_counted_for_every_role_that_allows_it() {
    let found = used().compare(Exceptions::default());
    assert_eq!(found.problems, BTreeSet::new());
    let uses: Vec<_> = found.uses.iter().map(|(grant, uses)| (grant.to_string(), *uses)).collect();
    let expected = [
        ("home: get namespaces named kube-system", Uses { all: 2, needed: 1 }),
        ("home: list pairs.g", Uses { all: 1, needed: 1 }),
        ("source: get namespaces", Uses { all: 2, needed: 1 }),
    ];
    assert_eq!(uses, expected.map(|(grant, uses)| (grant.to_owned(), uses)));
}

#[test]
fn a_right_that_nothing_uses_is_a_problem_unless_there_is_a_reason() {
    let folder = used();
    folder.put(
        "deploy/target/role.yaml",
        &(role("target", "[{apiGroups: [apps], resources: [a], verbs: [list]}]") + &binding("target", "remote-target")),
    );
    let grant = "target: list a.apps";
    let said = format!("{grant} is granted and no test used it: remove it, or add the test that needs it");
    assert_eq!(folder.problems(), [said]);
    let unused = [Unused { grant, reason: "a reason" }];
    let found = folder.compare(Exceptions { unused: &unused, ..Exceptions::default() });
    assert_eq!((found.problems.len(), found.notes.len()), (0, 1));
}

#[test]
fn a_right_that_another_grants_as_well_is_a_problem() {
    let folder = used();
    folder.record("world-2-source", &[]);
    let said = "source: get namespaces is granted and each of its 1 uses is granted elsewhere as well: \
                remove it, or add the test that needs it";
    assert_eq!(folder.problems(), [said]);
}

#[test]
fn a_request_that_is_refused_or_granted_by_nothing_in_deploy_is_a_problem() {
    let folder = used();
    let lines =
        [event("remote", ("watch", "pods", "shop"), "forbid"), event("remote", ("create", "pods", "shop"), "allow")];
    folder.record("world-3-source", &lines);
    let said = [
        "remote on the source: create pods shop/shop, 1 times, is granted by no role in deploy/ and was allowed: add the \
         right, or do without it",
        "remote on the source: watch pods shop/shop was refused 1 times: add the right to deploy/, or take it away from an \
         account of the test's own",
    ];
    assert_eq!(folder.problems(), said);
    let everybodys = [Everybodys { verb: "create", group: "", resource: "pods", reason: "a reason" }];
    let found = folder.compare(Exceptions { everybodys: &everybodys, ..Exceptions::default() });
    assert_eq!(found.problems.len(), 1, "{:?}", found.problems);
}

#[test]
fn accounts_of_tests_are_named_and_not_judged() {
    let folder = used();
    let lines = [event("of-a-test", ("watch", "pods", "shop"), "forbid"), event("of-a-test", IDENTITY, "allow")];
    folder.record("world-4-source", &lines);
    let found = folder.compare(Exceptions::default());
    assert_eq!(found.problems, BTreeSet::new());
    assert_eq!(found.notes.into_iter().collect::<Vec<_>>(), ["not judged: of-a-test is an account of a test's own"]);
}

#[test]
fn a_right_by_name_is_used_by_the_other_names_that_a_test_gives_only_where_that_is_an_exception() {
    let folder = used();
    let leases = "[{apiGroups: [\"\"], resources: [leases], resourceNames: [one], verbs: [get]}]";
    folder.put("deploy/base/lease.yaml", &(role("lease", leases) + &binding("lease", "operator")));
    folder.record("world-3-home", &[event("operator", ("get", "leases", "another"), "allow")]);
    assert_eq!(folder.problems().len(), 2, "{:?}", folder.problems());
    let other_names = [OtherNames { group: "", resource: "leases", reason: "a reason" }];
    let exceptions = Exceptions { other_names: &other_names, ..Exceptions::default() };
    assert_eq!(folder.compare(exceptions).problems, BTreeSet::new());
    folder.record("world-3-home", &[event("operator", ("get", "leases", "one"), "allow")]);
    let said = "the exception `leases. of other names` is not needed: remove it";
    assert_eq!(folder.compare(exceptions).problems.into_iter().collect::<Vec<_>>(), [said]);
}

#[test]
fn an_exception_that_is_not_needed_is_a_problem() {
    let unused = [Unused { grant: "home: list pairs.g", reason: "it was unused once" }];
    let found = used().compare(Exceptions { unused: &unused, ..Exceptions::default() });
    let said = "the exception `unused: home: list pairs.g` is not needed: remove it";
    assert_eq!(found.problems.into_iter().collect::<Vec<_>>(), [said]);
}

#[test]
fn other_programs_expired_tokens_and_half_written_lines_are_no_requests() {
    let folder = used();
    let kubectl = event("remote", ("list", "pods", "shop"), "forbid").replace("namespace-migration/0.1.0", "kubectl/1");
    let expired = event("remote", ("list", "pods", "shop"), "");
    let half = event("remote", ("list", "pods", "shop"), "forbid").trim_end_matches('}').to_owned();
    folder.record("world-3-source", &[kubectl, expired, half]);
    assert_eq!(folder.problems(), Vec::<String>::new());
}

#[test]
fn a_recording_that_is_missing_or_empty_says_what_to_run_first() {
    let folder = Folder::new();
    let missing = Requests::read(&folder.0.join("nowhere")).unwrap_err().to_string();
    assert!(missing.starts_with("there is no recording in ") && missing.contains("run `make test`"), "{missing}");
    let empty = folder.requests().unwrap_err().to_string();
    assert!(empty.contains("holds 0 audit logs and not one request") && empty.contains("run `make test`"), "{empty}");
}
