use serde_json::{Value, json};

use super::*;
use crate::replicate::item;

fn of(object: &Value, context: &Context) -> (Class, String) {
    let Classified { class, evidence } = classify(&item(object), context);
    (class, evidence)
}

fn secret(metadata: Value) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "type": "Opaque", "metadata": metadata})
}

fn context() -> Context {
    Context { namespace: "shop".to_owned(), ..Context::default() }
}

#[test]
fn nothing_is_guessed_and_the_answer_of_a_person_counts() {
    let unknown = secret(json!({"name": "s"}));
    let asked = (Class::Unknown, "Nothing says who made it: say whether it is to be copied.".to_owned());
    assert_eq!(of(&unknown, &context()), asked);
    let asked_for = Context { asked_for: [("Secret".to_owned(), "s".to_owned())].into(), ..context() };
    assert_eq!(of(&unknown, &asked_for).0, Class::Copy);
    let owned = secret(json!({"name": "s", "annotations": {"meta.helm.sh/release-name": "web"}}));
    assert_eq!(of(&owned, &asked_for), (Class::Verify, "The Helm release web deploys it.".to_owned()));
}

#[test]
fn what_is_needed_and_absent_is_copied_unless_somebody_owns_it() {
    let needed = [(("Secret".to_owned(), "s".to_owned()), "Deployment web (volume s)".to_owned())];
    let context = Context { needed: needed.into(), ..context() };
    let (class, evidence) = of(&secret(json!({"name": "s"})), &context);
    assert_eq!(class, Class::Copy);
    assert_eq!(evidence, "Deployment web (volume s) needs it, the target has none, and no tool's mark is on it.");
    let terraform = secret(json!({"name": "s", "managedFields": [{"manager": "HashiCorp", "operation": "Update"}]}));
    let expected = "Terraform deploys it: it is written by the field manager HashiCorp.".to_owned();
    assert_eq!(of(&terraform, &context), (Class::Verify, expected));
}

#[test]
fn an_address_of_the_source_is_refused_and_another_is_not() {
    let map = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "managedFields": [{"manager": "kubectl-create"}]},
        "data": {"url": "http://10.1.2.3:8080"}});
    let source = Context { source_addresses: ["10.1.2.3".to_owned()].into(), ..context() };
    assert_eq!(of(&map, &source).0, Class::Refuse);
    assert_eq!(of(&map, &context()).0, Class::Copy);
}

#[test]
fn a_status_that_a_controller_writes_makes_it_no_owner() {
    let written = json!([{"manager": "kubectl-create"}, {"manager": "argocd-controller", "subresource": "status"}]);
    assert_eq!(of(&secret(json!({"name": "s", "managedFields": written})), &context()).0, Class::Copy);
}

#[test]
fn accounts_of_other_namespaces_are_seen_by_each_of_their_names() {
    let binding = |kind: &str, name: &str, namespace: Option<&str>| {
        let object = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding", "metadata": {"name": "b"},
            "roleRef": {"kind": "ClusterRole", "name": "view"}, "subjects": [{"kind": kind, "name": name, "namespace": namespace}]});
        of(&object, &context()).0
    };
    for (kind, name, namespace) in [
        ("ServiceAccount", "ci", Some("build")),
        ("Group", "system:serviceaccounts:build", None),
        ("Group", "system:authenticated", None),
        ("User", "system:serviceaccount:build:ci", None),
    ] {
        assert_eq!(binding(kind, name, namespace), Class::Refuse, "{kind} {name}");
    }
    for (kind, name, namespace) in [
        ("ServiceAccount", "ci", Some("shop")),
        ("Group", "system:serviceaccounts:shop", None),
        ("Group", "github:team", None),
        ("User", "system:serviceaccount:shop:ci", None),
    ] {
        assert_eq!(binding(kind, name, namespace), Class::Verify, "{kind} {name}");
    }
}

#[test]
fn evidence_is_one_line_whatever_is_in_the_marks() {
    let hostile = secret(
        json!({"name": "s", "annotations": {"meta.helm.sh/release-name": format!("a\nb\u{1b}[31m{}", "x".repeat(900))}}),
    );
    let (class, evidence) = of(&hostile, &context());
    assert_eq!(class, Class::Verify);
    assert!(!evidence.contains(char::is_control), "{evidence}");
    assert_eq!(evidence.chars().count(), LONGEST_EVIDENCE + 1);
}
