//! The CRDs' CEL rules, tried without an API server: what is refused, and with which words.

use kube::core::cel::{validate_cel, validate_cel_update};
use serde_json::{Value, json};

use super::{ClusterPair, NamespaceMigration};

fn migration(changes: &Value) -> NamespaceMigration {
    let mut object = json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": { "name": "shop", "namespace": "shop-dev" }, "spec": { "clusterPair": "old-to-new" },
    });
    for (name, value) in changes.as_object().unwrap() {
        object["spec"][name] = value.clone();
    }
    serde_json::from_value(object).unwrap()
}

fn pair() -> Value {
    let side = |identity: &str, colour: &str| {
        json!({
            "connection": { "kubeconfig": { "secretName": colour } }, "identity": identity, "colour": colour,
            "externalDNS": { "annotationPrefix": "external-dns.kubernetes.io/" },
        })
    };
    json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "ClusterPair", "metadata": { "name": "old-to-new" },
        "spec": {
            "source": side("11111111-1111-1111-1111-111111111111", "blue"),
            "target": side("22222222-2222-2222-2222-222222222222", "green"),
        },
    })
}

fn refusal_of_pair(change: impl FnOnce(&mut Value)) -> String {
    let mut object = pair();
    change(&mut object["spec"]);
    let typed: ClusterPair = serde_json::from_value(object).unwrap();
    validate_cel(&typed).unwrap_err().to_string()
}

fn refusal_of_steps(weights: &[i32]) -> String {
    let steps: Vec<_> = weights.iter().map(|weight| json!({ "weight": weight })).collect();
    validate_cel(&migration(&json!({ "traffic": { "steps": steps } }))).unwrap_err().to_string()
}

#[test]
fn the_defaults_are_accepted() {
    validate_cel(&migration(&json!({}))).unwrap();
    validate_cel(&serde_json::from_value::<ClusterPair>(pair()).unwrap()).unwrap();
}

#[test]
fn steps_that_fall_or_repeat_are_refused() {
    for weights in [[50, 10, 100], [50, 50, 100]] {
        let said = refusal_of_steps(&weights);
        assert!(said.contains("the weights of the steps must rise from one step to the next"), "{weights:?}: {said}");
    }
}

#[test]
fn steps_that_do_not_end_at_100_are_refused() {
    assert!(refusal_of_steps(&[1, 50]).contains("the last step must have weight 100"));
    assert!(refusal_of_steps(&[]).contains("the last step must have weight 100"));
}

#[test]
fn the_pair_of_a_migration_stays_and_its_attempt_only_rises() {
    let old = migration(&json!({ "attempt": 2 }));
    validate_cel_update(&migration(&json!({ "attempt": 3 })), &old).unwrap();
    let said = validate_cel_update(&migration(&json!({ "attempt": 1 })), &old).unwrap_err().to_string();
    assert!(said.contains("attempt can only be raised"), "{said}");
    let said = validate_cel_update(&migration(&json!({ "attempt": 2, "clusterPair": "other" })), &old).unwrap_err();
    assert!(said.to_string().contains("clusterPair cannot be changed"), "{said}");
}

#[test]
fn a_side_is_reached_in_exactly_one_way() {
    let words = "set exactly one of inCluster and kubeconfig";
    assert!(refusal_of_pair(|spec| spec["target"]["connection"] = json!({})).contains(words));
    assert!(refusal_of_pair(|spec| spec["target"]["connection"]["inCluster"] = json!({})).contains(words));
}

#[test]
fn a_pair_of_one_cluster_or_one_colour_is_refused() {
    let said = refusal_of_pair(|spec| spec["target"]["identity"] = spec["source"]["identity"].clone());
    assert!(said.contains("source and target are the same cluster"), "{said}");
    let said = refusal_of_pair(|spec| spec["target"]["colour"] = json!("blue"));
    assert!(said.contains("source and target must have different colours"), "{said}");
}

#[test]
fn an_identifier_template_that_could_repeat_itself_is_refused() {
    let said = refusal_of_pair(|spec| spec["identifierTemplate"] = json!("{ingress}-{colour}"));
    assert!(said.contains("no two Ingresses may have the same identifier"), "{said}");
}

#[test]
fn a_dns_provider_that_is_not_supported_is_refused_in_words() {
    let said = refusal_of_pair(|spec| spec["dns"] = json!({ "provider": "Google" }));
    assert!(said.contains("only AWS (Route 53) is supported"), "{said}");
}

#[test]
fn fields_of_a_dns_verification_that_is_not_used_are_refused() {
    let said = refusal_of_pair(|spec| spec["dns"] = json!({ "route53": { "region": "eu-west-2" } }));
    assert!(said.contains("route53 is used by verification: Route53 only"), "{said}");
    let said = refusal_of_pair(|spec| spec["dns"] = json!({ "verification": "Route53", "authoritative": {} }));
    assert!(said.contains("authoritative is used by verification: AuthoritativeDNS only"), "{said}");
    let mut object = pair();
    object["spec"]["dns"] = json!({ "verification": "Route53", "route53": { "hostedZoneID": "Z1" } });
    validate_cel(&serde_json::from_value::<ClusterPair>(object).unwrap()).unwrap();
}

#[test]
fn another_address_of_route_53_is_encrypted_or_on_this_machine() {
    let dns = |endpoint: &str| json!({ "verification": "Route53", "route53": { "endpoint": endpoint } });
    for endpoint in
        ["http://route53.example", "ftp://127.0.0.1", "http://127.0.0.1.example", "http://localhost.example/"]
    {
        let said = refusal_of_pair(|spec| spec["dns"] = dns(endpoint));
        assert!(said.contains("endpoint must begin with https://"), "{endpoint}: {said}");
    }
    for endpoint in ["", "https://vpce.example", "http://127.0.0.1:4566", "http://localhost:4566/"] {
        let mut object = pair();
        object["spec"]["dns"] = dns(endpoint);
        validate_cel(&serde_json::from_value::<ClusterPair>(object).unwrap()).unwrap();
    }
}

#[test]
fn the_namespace_that_moves_is_given_once_and_is_none_of_the_clusters() {
    let (own, other) = (migration(&json!({})), migration(&json!({ "namespace": "team-a" })));
    validate_cel(&other).unwrap();
    validate_cel_update(&other, &other).unwrap();
    let words = "namespace cannot be set, changed or removed: delete this migration and create another one";
    let third = migration(&json!({ "namespace": "team-b" }));
    for (new, old) in [(&other, &own), (&own, &other), (&third, &other)] {
        let said = validate_cel_update(new, old).unwrap_err().to_string();
        assert!(said.contains(words), "{said}");
    }
    for namespace in ["default", "kube-system", "kube-public", "kube-node-lease"] {
        let said = validate_cel(&migration(&json!({ "namespace": namespace }))).unwrap_err().to_string();
        assert!(said.contains("namespace belongs to the cluster and never moves"), "{said}");
    }
}

#[test]
fn a_duration_needs_a_unit_and_no_sign() {
    let words = "write a duration like 90s, 10m or 1h30m";
    for text in ["10", "-5m", "", "1.5h", "1d"] {
        let hold = json!({ "traffic": { "steps": [{ "weight": 100, "hold": text }] } });
        for changes in [json!({ "bake": { "for": text } }), json!({ "probes": { "interval": text } }), hold] {
            let said = validate_cel(&migration(&changes)).unwrap_err().to_string();
            assert!(said.contains(words), "{changes}: {said}");
        }
    }
    let said = refusal_of_pair(|spec| spec["dns"] = json!({ "propagation": "10" }));
    assert!(said.contains(words), "{said}");
}
