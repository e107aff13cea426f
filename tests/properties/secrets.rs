//! Secrets: created where absent, compared where present, never overwritten, and never half of them.

use std::collections::BTreeMap;

use namespace_migration::api::Stage;
use namespace_migration::machine::Side;
use namespace_migration::machine::observed::SecretFacts;
use serde_json::json;

use crate::executor::Faults;
use crate::recording::texts;
use crate::stages::says;
use crate::world::World;

fn secret(kind: &str, digests: &[(&str, &str)]) -> SecretFacts {
    let digests: BTreeMap<_, _> =
        digests.iter().map(|(key, digest)| ((*key).to_owned(), (*digest).to_owned())).collect();
    SecretFacts { uid: "s".into(), kind: kind.into(), refusal: None, digests, created_by: None }
}

fn world() -> World {
    let mut world =
        World::with(json!({"secrets": {"include": ["api-key", "tls", "left-out"], "exclude": ["left-out"]}}));
    world.source.secrets.insert("api-key".into(), secret("Opaque", &[("key", "a"), ("user", "b")]));
    world.source.secrets.insert("tls".into(), secret("kubernetes.io/tls", &[("tls.crt", "c")]));
    world
}

/// What status says of each Secret.
fn states(world: &World) -> Vec<(&str, &str)> {
    world.status.secrets.iter().map(|secret| (secret.name.as_str(), secret.state.as_str())).collect()
}

#[test]
fn absent_secrets_are_created_and_equal_ones_are_left_as_they_are() {
    let mut world = world();
    world.target.secrets.insert("tls".into(), secret("kubernetes.io/tls", &[("tls.crt", "c")]));
    world.run_until(Stage::PublishTarget);
    assert_eq!(texts(&world)[..2], ["source web 100", "create Secret api-key"]);
    assert_eq!(states(&world), [("api-key", "Copied"), ("tls", "Identical")]);
    let created: Vec<_> =
        world.status.created.iter().map(|object| (object.kind.as_str(), object.name.as_str())).collect();
    assert_eq!(created, [("Secret", "api-key")]);
}

/// The Secrets are judged, and nothing is created.
fn refused(mut world: World) -> World {
    world.run_until(Stage::CopySecrets);
    world.settle();
    assert_eq!(texts(&world), ["source web 100"], "some were created");
    world
}

#[test]
fn a_conflict_names_the_keys_and_stops_all_copies() {
    let mut world = world();
    world.target.secrets.insert("tls".into(), secret("Opaque", &[("tls.crt", "other"), ("extra", "x")]));
    let world = refused(world);
    let said = "Secret tls: the target has one with other content (type (kubernetes.io/tls on the source, Opaque on the target), extra, tls.crt), and it is never overwritten.";
    assert_eq!(says(&world), (Stage::CopySecrets, "SecretConflict", said));
    assert_eq!(states(&world), [("api-key", "Missing"), ("tls", "Conflict")]);
    let fix = "Make both sides equal, delete the target's Secret so that it is copied, or leave it out with spec.secrets.exclude.";
    assert_eq!(world.status.unblock, fix);
    let mut left_out = world.clone();
    left_out.edit(&json!({"secrets": {"include": ["api-key", "tls"], "exclude": ["tls"]}}));
    left_out.run_until(Stage::PublishTarget);
    assert_eq!(states(&left_out), [("api-key", "Copied")]);
    let mut mended = world.clone();
    mended.target.secrets.clear();
    mended.run_until(Stage::PublishTarget);
    assert_eq!(states(&mended), [("api-key", "Copied"), ("tls", "Copied")]);
}

#[test]
fn a_refused_secret_says_why_and_stops_all_copies() {
    let mut world = world();
    world.source.secrets.get_mut("tls").unwrap().refusal = Some("a controller made it and owns it".into());
    let world = refused(world);
    let said = "Secret tls: it is not copied: a controller made it and owns it.";
    assert_eq!(says(&world), (Stage::CopySecrets, "SecretRefused", said));
    assert_eq!(states(&world), [("api-key", "Missing"), ("tls", "Refused")]);
}

#[test]
fn what_cannot_be_copied_is_left_out_by_the_spec_without_another_attempt() {
    let mut world = world();
    world.source.secrets.get_mut("tls").unwrap().refusal = Some("a controller made it and owns it".into());
    let mut world = refused(world);
    world.edit(&json!({"secrets": {"include": ["api-key"]}}));
    world.run_until(Stage::PublishTarget);
    assert_eq!(states(&world), [("api-key", "Copied")]);
    assert!(!world.target.secrets.contains_key("tls"), "it was copied all the same");
}

#[test]
fn a_secret_that_the_source_does_not_have_is_named() {
    let mut world = world();
    world.source.secrets.remove("api-key");
    let world = refused(world);
    let said = "Secret api-key: it is not on the source.";
    assert_eq!(says(&world), (Stage::CopySecrets, "SecretRefused", said));
    assert_eq!(states(&world), [("api-key", "MissingOnSource"), ("tls", "Missing")]);
}

#[test]
fn a_crash_between_two_copies_is_taken_up_where_it_was() {
    let mut world = world();
    world.run_until(Stage::CopySecrets);
    world.pass_with(&Faults { crash_after: Some(0), ..Faults::default() });
    assert_eq!(world.target.secrets.len(), 1);
    world.run_until(Stage::PublishTarget);
    assert_eq!(texts(&world)[..3], ["source web 100", "create Secret api-key", "create Secret tls"]);
}

#[test]
fn a_cluster_that_goes_away_while_secrets_are_copied_is_named() {
    let mut world = world();
    world.run_until(Stage::CopySecrets);
    world.unreachable(Side::Target);
    world.pass();
    assert_eq!(world.status.reason, "TargetUnreachable");
}
