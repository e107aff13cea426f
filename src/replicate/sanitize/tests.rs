use super::*;

fn sanitized(object: Value) -> Value {
    sanitize(&object, &Rules::default())
}

#[test]
fn a_copy_has_nothing_of_the_sources_life() {
    let copy = sanitized(json!({
        "apiVersion": "example.com/v1", "kind": "Thing",
        "metadata": {"name": "t", "namespace": "shop", "uid": "u", "resourceVersion": "1", "generation": 2, "creationTimestamp": "2021-01-01T00:00:00Z",
            "deletionTimestamp": "2021-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30, "selfLink": "/x", "generateName": "t-",
            "ownerReferences": [{"uid": "o"}], "finalizers": ["f"], "managedFields": [{}], "labels": {"app": "t", "helm.sh/chart": "c"},
            "annotations": {super::super::LAST_APPLIED: "{}", "namespacemigration.io/stamp": "{}"}},
        "spec": {"own": {"status": "kept"}}, "status": {"ready": true}, "data": [1],
    }));
    let expected = json!({"apiVersion": "example.com/v1", "kind": "Thing", "metadata": {"name": "t", "namespace": "shop", "labels": {"app": "t"}},
        "spec": {"own": {"status": "kept"}}, "data": [1]});
    assert_eq!(copy, expected);
}

#[test]
fn a_service_loses_its_addresses_and_a_headless_one_stays_headless() {
    let service = |spec: Value| {
        sanitized(json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}))["spec"]
            .clone()
    };
    let given = json!({"type": "LoadBalancer", "clusterIP": "10.0.0.1", "clusterIPs": ["10.0.0.1"], "healthCheckNodePort": 1, "externalIPs": ["192.0.2.1"],
        "loadBalancerIP": "192.0.2.2", "ports": [{"port": 80, "nodePort": 30080}], "selector": {"app": "web"}});
    let expected = json!({"type": "LoadBalancer", "ports": [{"port": 80}], "selector": {"app": "web"}});
    assert_eq!(service(given), expected);
    let headless = json!({"clusterIP": "None", "clusterIPs": ["None"]});
    assert_eq!(service(headless.clone()), headless);
}

#[test]
fn node_ports_stay_where_somebody_asks_for_them() {
    let service = json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": {"ports": [{"port": 80, "nodePort": 30080}]}});
    let rules = Rules { keep_node_ports: true, ..Rules::default() };
    assert_eq!(sanitize(&service, &rules), service);
}

#[test]
fn a_job_is_freed_from_its_uid_unless_its_selector_was_chosen() {
    let job = |manual: bool| {
        let labels =
            json!({"app": "j", "controller-uid": "u", "batch.kubernetes.io/controller-uid": "u", "job-name": "j"});
        sanitized(json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "labels": labels},
            "spec": {"manualSelector": manual, "selector": {"matchLabels": {"app": "j"}}, "template": {"metadata": {"labels": labels}}}}))
    };
    assert_eq!(job(false)["metadata"]["labels"], json!({"app": "j"}));
    assert_eq!(
        job(false)["spec"],
        json!({"manualSelector": false, "template": {"metadata": {"labels": {"app": "j"}}}})
    );
    assert!(job(true)["spec"]["selector"].is_object());
}

#[test]
fn a_cron_job_sleeps_whatever_it_did() {
    for spec in [json!({}), json!({"suspend": false}), json!({"suspend": "no"})] {
        let copy = sanitized(
            json!({"apiVersion": "batch/v1beta1", "kind": "CronJob", "metadata": {"name": "c"}, "spec": spec}),
        );
        assert_eq!(copy["spec"]["suspend"], true);
    }
}

#[test]
fn a_templates_labels_stay_because_selectors_are_about_them() {
    let labels = json!({"app.kubernetes.io/instance": "web", "app.kubernetes.io/managed-by": "Helm"});
    let copy = sanitized(
        json!({"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "d", "labels": labels},
        "spec": {"selector": {"matchLabels": labels}, "template": {"metadata": {"creationTimestamp": null, "labels": labels}}}}),
    );
    assert_eq!(copy["metadata"], json!({"name": "d"}));
    assert_eq!(
        copy["spec"],
        json!({"selector": {"matchLabels": labels}, "template": {"metadata": {"labels": labels}}})
    );
}

#[test]
fn a_namespace_keeps_what_means_the_same_everywhere_and_what_the_pair_allows() {
    let namespace = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop",
        "labels": {"kubernetes.io/metadata.name": "shop", "team": "a", "pod-security.kubernetes.io/enforce": "restricted", "x.example/kept": "1", "y.example/z": "1"},
        "annotations": {"iam.amazonaws.com/permitted": ".*", "x.example/kept": "1", "y.example/z": "1", "linkerd.io/inject": "enabled"}},
        "spec": {"finalizers": ["kubernetes"]}, "status": {"phase": "Active"}});
    let rules =
        Rules { namespace_keys: ["x.example/kept".to_owned(), "y.example/".to_owned()].into(), ..Rules::default() };
    let expected = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "shop",
        "labels": {"team": "a", "pod-security.kubernetes.io/enforce": "restricted", "x.example/kept": "1", "y.example/z": "1"},
        "annotations": {"x.example/kept": "1", "y.example/z": "1", "linkerd.io/inject": "enabled"}}});
    assert_eq!(sanitize(&namespace, &rules), expected);
    assert_eq!(sanitized(namespace)["metadata"]["annotations"], json!({"linkerd.io/inject": "enabled"}));
}

#[test]
fn an_ingress_has_the_targets_class_and_prefix_and_no_weight() {
    let ingress = json!({"apiVersion": "networking.k8s.io/v1", "kind": "Ingress", "metadata": {"name": "web", "annotations": {
        "kubernetes.io/ingress.class": "old", "old.example/ttl": "60", "old.example/aws-weight": "100", "old.example/set-identifier": "blue"}},
        "spec": {"ingressClassName": "old"}});
    let rules = Rules {
        classes: [("old".to_owned(), "new".to_owned())].into(),
        source_prefix: "old.example/".to_owned(),
        target_prefix: "new.example/".to_owned(),
        mark: Some(Mark { owner: "o".to_owned(), owner_label: "l".to_owned() }),
        ..Rules::default()
    };
    let copy = sanitize(&ingress, &rules);
    let annotations = json!({"kubernetes.io/ingress.class": "new", "new.example/ttl": "60", OWNER_ANNOTATION: "o"});
    assert_eq!(copy["metadata"], json!({"name": "web", "labels": {OWNER_LABEL: "l"}, "annotations": annotations}));
    assert_eq!(copy["spec"]["ingressClassName"], "new");
}

#[test]
fn what_is_no_object_has_no_copy() {
    for odd in [json!(null), json!([]), json!("x")] {
        assert_eq!(sanitized(odd), Value::Null);
    }
    assert_eq!(
        sanitized(json!({"metadata": 3, "kind": "Service", "apiVersion": "v1", "spec": []}))["metadata"],
        json!({})
    );
}
