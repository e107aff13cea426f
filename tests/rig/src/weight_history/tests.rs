//! Each promise is shown kept once and broken in every way that a wrong operator could break it.

use serde_json::json;

use super::*;

const PREFIX: &str = "external-dns.alpha.kubernetes.io/";
const STEPS: [Weight; 4] = [1, 10, 50, 100];

/// A recording in the making: each write one second after the one before.
#[derive(Default)]
struct Recording(Vec<Write>);

impl Recording {
    fn write(&mut self, cluster: &str, verb: &str, ingress: &str, response: Value) -> &mut Self {
        let second = self.0.len() + 10;
        self.0.push(Write {
            cluster: cluster.to_owned(),
            time: format!("2026-11-21T10:00:{second}Z").parse().unwrap(),
            user: "operator".to_owned(),
            user_agent: "namespace-migration".to_owned(),
            verb: verb.to_owned(),
            group: "networking.k8s.io".to_owned(),
            resource: "ingresses".to_owned(),
            subresource: String::new(),
            namespace: "shop-dev".to_owned(),
            name: ingress.to_owned(),
            dry_run: false,
            code: 200,
            request_object: Value::Null,
            response_object: response,
        });
        self
    }

    fn weight(&mut self, cluster: &str, ingress: &str, weight: Weight, epoch: i64, direction: &str) -> &mut Self {
        let stamp =
            json!({"owner": "u/shop-dev/shop", "attempt": 1, "epoch": epoch, "direction": direction}).to_string();
        let weight_key = format!("{PREFIX}aws-weight");
        let annotations = json!({weight_key: weight.to_string(), STAMP_ANNOTATION: stamp});
        self.write(cluster, "patch", ingress, json!({"kind": "Ingress", "metadata": {"annotations": annotations}}))
    }

    fn source(&mut self, weight: Weight, epoch: i64, direction: &str) -> &mut Self {
        self.weight(SOURCE, "shop", weight, epoch, direction)
    }

    fn target(&mut self, weight: Weight, epoch: i64, direction: &str) -> &mut Self {
        self.weight(TARGET, "shop", weight, epoch, direction)
    }

    fn last(&mut self) -> &mut Write {
        self.0.last_mut().unwrap()
    }

    fn history(&self) -> Vec<WeightPoint> {
        weight_history(&self.0, "shop-dev", PREFIX)
    }
}

/// Source weighted, target published at 0, target raised to the first two steps.
fn forward() -> Recording {
    let mut recording = Recording::default();
    recording.source(100, 1, "Forward").target(0, 1, "Forward");
    recording.target(1, 1, "Forward").source(99, 1, "Forward");
    recording.target(10, 1, "Forward").source(90, 1, "Forward");
    recording
}

fn all_checks(history: &[WeightPoint]) -> Result<(), String> {
    never_both_zero(history)?;
    target_never_raised_after_rollback(history)?;
    share_never_above(history, &STEPS)?;
    share_follows_direction(history)
}

#[test]
fn a_migration_a_rollback_and_a_second_attempt_keep_every_promise() {
    let mut recording = forward();
    recording.source(100, 2, "RollingBack").target(0, 2, "RollingBack").source(100, 2, "RolledBack");
    recording.target(1, 3, "Forward").source(99, 3, "Forward");
    recording.target(100, 3, "Forward").source(0, 3, "Forward");
    all_checks(&recording.history()).unwrap();
}

#[test]
fn the_history_holds_the_weights_of_both_sides_after_each_write() {
    let history = forward().history();
    let last = history.last().unwrap();
    assert_eq!(history.len(), 6);
    assert_eq!((last.source["shop"], last.target["shop"]), (90, 10));
    assert_eq!(last.target_share("shop"), Some(10.0));
    assert_eq!(last.target_stamps["shop"].direction, Direction::Forward);
    assert_eq!(history[0].target_share("shop"), None);
}

#[test]
fn what_is_no_successful_write_of_an_ingress_here_is_no_point() {
    let mut recording = forward();
    let points = recording.history().len();
    recording.source(0, 1, "Forward").last().code = 409;
    recording.source(0, 1, "Forward").last().dry_run = true;
    recording.source(0, 1, "Forward").last().namespace = "other".to_owned();
    recording.source(0, 1, "Forward").last().subresource = "status".to_owned();
    recording.source(0, 1, "Forward").last().resource = "secrets".to_owned();
    recording.source(0, 1, "Forward").last().cluster = "third".to_owned();
    assert_eq!(recording.history().len(), points);
}

#[test]
fn both_sides_at_zero_is_found_and_the_write_is_named() {
    let mut recording = Recording::default();
    recording.source(100, 1, "Forward").target(0, 1, "Forward").source(0, 1, "Forward");
    let found = never_both_zero(&recording.history()).unwrap_err();
    assert!(found.contains("source: patch ingresses shop-dev/shop by operator"), "{found}");
}

#[test]
fn a_source_deleted_while_the_target_has_nothing_is_both_at_zero() {
    for (verb, name) in [("delete", "shop"), ("deletecollection", "")] {
        let mut recording = Recording::default();
        recording.source(100, 1, "Forward").target(0, 1, "Forward");
        recording.write(SOURCE, verb, name, json!({"kind": "Status", "status": "Success"}));
        assert!(never_both_zero(&recording.history()).is_err(), "{verb}");
    }
}

#[test]
fn a_source_deleted_while_finalizers_hold_it_still_has_its_weight() {
    let mut recording = Recording::default();
    recording.source(100, 1, "Forward").target(0, 1, "Forward");
    let held = json!({"kind": "Ingress", "metadata": {"finalizers": ["example.com/hold"]}});
    recording.write(SOURCE, "delete", "shop", held);
    assert!(never_both_zero(&recording.history()).is_ok());
}

#[test]
fn a_source_without_weights_is_not_zero() {
    let mut recording = Recording::default();
    recording.write(SOURCE, "update", "shop", json!({"kind": "Ingress", "metadata": {}})).target(0, 1, "Forward");
    assert!(never_both_zero(&recording.history()).is_ok());
}

#[test]
fn one_ingress_that_is_served_does_not_hide_another_that_is_not() {
    let mut recording = Recording::default();
    recording.weight(SOURCE, "shop", 100, 1, "Forward").weight(SOURCE, "api", 100, 1, "Forward");
    recording.weight(TARGET, "shop", 0, 1, "Forward").weight(TARGET, "api", 0, 1, "Forward");
    never_both_zero(&recording.history()).unwrap();
    recording.weight(SOURCE, "api", 0, 1, "Forward");
    assert!(never_both_zero(&recording.history()).unwrap_err().contains("for api"));
    let mut shares = Recording::default();
    shares.weight(SOURCE, "shop", 100, 1, "Forward").weight(SOURCE, "api", 10, 1, "Forward");
    shares.weight(TARGET, "api", 10, 1, "Forward");
    assert!(share_never_above(&shares.history(), &STEPS).unwrap_err().contains("50.0 % of the users of api"));
}

#[test]
fn an_old_write_that_raises_the_target_after_the_rollback_is_found() {
    for direction in ["RollingBack", "RolledBack"] {
        let mut recording = forward();
        recording.source(100, 2, "RollingBack").target(0, 2, direction).target(50, 1, "Forward");
        let found = target_never_raised_after_rollback(&recording.history()).unwrap_err();
        assert!(found.contains("from 0 to 50") && found.contains("epoch 2"), "{found}");
    }
}

#[test]
fn raising_the_target_within_the_epoch_of_the_rollback_is_found() {
    let mut recording = forward();
    recording.target(0, 2, "RollingBack").target(10, 2, "RollingBack");
    assert!(target_never_raised_after_rollback(&recording.history()).is_err());
}

#[test]
fn a_foreign_write_that_drops_the_stamp_and_raises_the_target_is_found() {
    let mut recording = forward();
    let annotations = json!({format!("{PREFIX}aws-weight"): "50"});
    recording.target(0, 2, "RollingBack");
    recording.write(TARGET, "update", "shop", json!({"kind": "Ingress", "metadata": {"annotations": annotations}}));
    assert!(target_never_raised_after_rollback(&recording.history()).is_err());
}

#[test]
fn a_target_that_is_made_anew_behind_the_rollback_is_found() {
    let mut recording = forward();
    recording.target(0, 2, "RollingBack").write(TARGET, "delete", "shop", json!({"kind": "Status"}));
    recording.target(1, 1, "Forward");
    assert!(target_never_raised_after_rollback(&recording.history()).is_err());
}

#[test]
fn a_fence_on_one_ingress_does_not_bind_another() {
    let mut recording = Recording::default();
    recording.weight(TARGET, "shop", 0, 2, "RollingBack").weight(TARGET, "api", 10, 1, "Forward");
    target_never_raised_after_rollback(&recording.history()).unwrap();
}

#[test]
fn a_giver_lowered_too_far_gives_the_target_more_than_its_step() {
    let mut recording = forward();
    share_never_above(&recording.history(), &STEPS).unwrap();
    recording.source(80, 1, "Forward");
    let found = share_never_above(&recording.history(), &STEPS).unwrap_err();
    assert!(found.contains("11.1 %") && found.contains("allows 10 %"), "{found}");
}

#[test]
fn a_giver_lowered_before_its_receiver_is_raised_is_found() {
    let mut recording = forward();
    recording.source(50, 1, "Forward").target(50, 1, "Forward");
    assert!(share_never_above(&recording.history(), &STEPS).is_err());
}

#[test]
fn a_target_raised_while_the_source_is_not_weighted_is_found() {
    let mut recording = Recording::default();
    recording.target(0, 1, "Forward").target(1, 1, "Forward");
    assert!(share_never_above(&recording.history(), &STEPS).is_err());
}

#[test]
fn a_weight_of_no_step_is_found() {
    let mut recording = forward();
    recording.target(37, 1, "Forward");
    assert!(share_never_above(&recording.history(), &STEPS).unwrap_err().contains("37"));
}

#[test]
fn both_at_zero_counts_as_an_even_split() {
    let mut recording = forward();
    recording.target(0, 2, "RollingBack").source(0, 2, "RollingBack");
    let history = recording.history();
    assert_eq!(history.last().unwrap().target_share("shop"), Some(50.0));
    assert!(share_never_above(&history, &STEPS).is_err());
}

#[test]
fn a_share_that_moves_against_its_stamp_is_found() {
    let mut recording = forward();
    recording.source(100, 1, "Forward");
    assert!(share_follows_direction(&recording.history()).unwrap_err().contains("forward write lowered"));
    let mut recording = forward();
    recording.source(100, 2, "RollingBack").source(50, 2, "RollingBack");
    assert!(share_follows_direction(&recording.history()).unwrap_err().contains("rollback raised"));
}
