//! People in a hurry: a pause, a request for a rollback or a deletion takes effect while a call of the pass in progress hangs.
//!
//! The controller never runs one object twice at a time, so that a pass which goes forward must end before the next can obey.
//! It is interrupted when the watch brings an object with something that the pass does not know of.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use kube_runtime::controller::Action;
use kube_runtime::reflector::ObjectRef;
use tokio_util::sync::CancellationToken;

use super::locked;
use crate::api::NamespaceMigration;
use crate::machine::Order;
use crate::machine::controls::Controls;

/// What a pass in progress must not ignore.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    paused: bool,
    rollback: Option<String>,
    deleting: bool,
}

impl Asked {
    fn of(migration: &NamespaceMigration) -> Self {
        let controls = Controls::of(migration);
        Self {
            paused: !controls.pauses.is_empty(),
            rollback: controls.rollback.map(|request| request.token),
            deleting: migration.metadata.deletion_timestamp.is_some(),
        }
    }

    /// Whether it asks for something that `known` does not: what is taken back is in no hurry.
    fn exceeds(&self, known: &Self) -> bool {
        let rollback = self.rollback.is_some() && self.rollback != known.rollback;
        rollback || (self.paused && !known.paused) || (self.deleting && !known.deleting)
    }
}

/// What was last asked of each migration, and the passes in progress.
#[derive(Default)]
pub(super) struct Hurry {
    objects: Mutex<HashMap<ObjectRef<NamespaceMigration>, Known>>,
}

#[derive(Default)]
struct Known {
    /// What the watch brought last.
    newest: Asked,
    /// The pass in progress: what it knows of, and what interrupts it.
    pass: Option<(Asked, CancellationToken)>,
}

impl Known {
    fn interrupt_what_is_old(&self) {
        if let Some((known, interrupt)) = &self.pass
            && self.newest.exceeds(known)
        {
            interrupt.cancel();
        }
    }

    fn says_nothing(&self) -> bool {
        self.pass.is_none() && self.newest == Asked::default()
    }
}

impl Hurry {
    /// The watch brings a migration.
    pub(super) fn look(&self, migration: &NamespaceMigration) {
        self.change(&ObjectRef::from_obj(migration), |known| known.newest = Asked::of(migration));
    }

    /// A pass begins, on what it knows of the migration. It ends when the guard is dropped.
    pub(super) fn pass<'a>(&'a self, migration: &NamespaceMigration) -> Pass<'a> {
        let (key, interrupt) = (ObjectRef::from_obj(migration), CancellationToken::new());
        // Something newer may have come between.
        self.change(&key, |known| known.pass = Some((Asked::of(migration), interrupt.clone())));
        Pass { hurry: self, key, interrupt }
    }

    /// The migration is gone.
    pub(super) fn forget(&self, gone: &ObjectRef<NamespaceMigration>) {
        locked(&self.objects).remove(gone);
    }

    fn change(&self, key: &ObjectRef<NamespaceMigration>, change: impl FnOnce(&mut Known)) {
        let mut objects = locked(&self.objects);
        let known = objects.entry(key.clone()).or_default();
        change(known);
        known.interrupt_what_is_old();
        if known.says_nothing() {
            objects.remove(key);
        }
    }
}

/// A pass in progress.
pub(super) struct Pass<'a> {
    hurry: &'a Hurry,
    key: ObjectRef<NamespaceMigration>,
    interrupt: CancellationToken,
}

impl Pass<'_> {
    /// Does the work, unless it goes forward and a person asks for something meanwhile: then None, and the work is dropped.
    pub(super) async fn unless_back<T>(&self, back: bool, work: impl Future<Output = T>) -> Option<T> {
        if back {
            return Some(work.await);
        }
        self.interrupt.run_until_cancelled(work).await
    }
}

impl Drop for Pass<'_> {
    fn drop(&mut self) {
        self.hurry.change(&self.key, |known| known.pass = None);
    }
}

/// Nothing is saved of a pass that was interrupted: the next one, which begins at once, decides anew, as after a crash. A write
/// that it had sent fails at the fence that the next one writes.
pub(super) fn interrupted(order: &Order) -> Action {
    tracing::info!(namespace = order.namespace, "a person asked for something; what was being done forward is left");
    Action::requeue(Duration::ZERO)
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use serde_json::{Value, json};

    use super::*;
    use crate::api::{PAUSED_ANNOTATION, ROLLBACK_ANNOTATION};

    fn migration(annotations: &Value) -> NamespaceMigration {
        serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "namespace": "shop", "annotations": annotations},
            "spec": {"clusterPair": "old-to-new"},
        }))
        .unwrap()
    }

    #[tokio::test]
    async fn a_pass_that_hangs_ends_when_a_person_asks_for_something_that_it_does_not_know_of() {
        for asked in [json!({PAUSED_ANNOTATION: ""}), json!({ROLLBACK_ANNOTATION: "b"})] {
            let hurry = Hurry::default();
            let pass = hurry.pass(&migration(&json!({ROLLBACK_ANNOTATION: "a"})));
            hurry.look(&migration(&json!({ROLLBACK_ANNOTATION: "a"})));
            assert!(!pass.interrupt.is_cancelled());
            hurry.look(&migration(&asked));
            assert_eq!(pass.unless_back(false, pending::<()>()).await, None);
        }
    }

    #[tokio::test]
    async fn what_came_between_the_read_and_the_pass_interrupts_it_as_well() {
        let hurry = Hurry::default();
        hurry.look(&migration(&json!({PAUSED_ANNOTATION: ""})));
        let pass = hurry.pass(&migration(&json!({})));
        assert_eq!(pass.unless_back(false, pending::<()>()).await, None);
    }

    #[tokio::test]
    async fn what_goes_back_and_what_is_known_or_taken_back_interrupts_nothing() {
        let hurry = Hurry::default();
        let pass = hurry.pass(&migration(&json!({PAUSED_ANNOTATION: ""})));
        hurry.look(&migration(&json!({})));
        assert_eq!(pass.unless_back(false, ready(1)).await, Some(1));
        hurry.look(&migration(&json!({ROLLBACK_ANNOTATION: "a"})));
        assert_eq!(pass.unless_back(true, ready(1)).await, Some(1));
    }

    #[test]
    fn nothing_is_kept_of_objects_of_which_nothing_is_asked() {
        let hurry = Hurry::default();
        drop(hurry.pass(&migration(&json!({}))));
        hurry.look(&migration(&json!({})));
        assert!(locked(&hurry.objects).is_empty());
        hurry.look(&migration(&json!({PAUSED_ANNOTATION: ""})));
        hurry.forget(&ObjectRef::from_obj(&migration(&json!({}))));
        assert!(locked(&hurry.objects).is_empty());
    }
}
