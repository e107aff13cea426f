//! The last status that was written, per migration: the watch brings it back later, and a pass must not decide on an older one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use jiff::Timestamp;
use kube::ResourceExt as _;
use kube_runtime::reflector::ObjectRef;

use super::{forged, locked};
use crate::api::{NamespaceMigration, NamespaceMigrationStatus, Stage};
use crate::machine::stages;
use crate::metrics::{ClusterSide, Metrics, MigrationLabels, RollbackLabels, StageLabels, WeightLabels};

/// What is known of a migration when a pass begins.
pub(super) struct Known {
    /// The newest status.
    pub(super) status: NamespaceMigrationStatus,
    /// The version of the object that has it.
    pub(super) version: String,
    /// What somebody else did to the status, which is why the object has another one.
    pub(super) forged: Option<String>,
}

struct Remembered {
    uid: String,
    status: NamespaceMigrationStatus,
    version: String,
    counted: Option<Stage>,
}

pub(super) struct Memory {
    remembered: Mutex<HashMap<ObjectRef<NamespaceMigration>, Remembered>>,
    metrics: Metrics,
}

impl Memory {
    pub(super) fn new(metrics: Metrics) -> Self {
        Self { remembered: Mutex::default(), metrics }
    }

    /// The newer of what the watch brought and what was written last; never what somebody else wrote. Of one version it is what was
    /// written: where the CRD is older than this program, fields of it are missing from what comes back, and each pass would write them
    /// again.
    pub(super) fn latest(&self, migration: &Arc<NamespaceMigration>) -> Known {
        let seen = migration.status.clone().unwrap_or_default();
        let version = migration.resource_version().unwrap_or_default();
        let remembered = locked(&self.remembered);
        let written = remembered.get(&ObjectRef::from_obj(migration.as_ref()));
        let written = written.filter(|written| Some(&written.uid) == migration.metadata.uid.as_ref());
        if let Some(newer) = written.filter(|written| number(&written.version) >= number(&version)) {
            return Known { status: newer.status.clone(), version: newer.version.clone(), forged: None };
        }
        let written = written.map(|written| written.status.clone());
        match forged::trace(migration, written.as_ref()) {
            None => Known { status: seen, version, forged: None },
            // What nobody remembers is lost: the stamps on the Ingresses say where it stands.
            forged => Known { status: written.unwrap_or_default(), version, forged },
        }
    }

    pub(super) fn remember(
        &self,
        migration: &Arc<NamespaceMigration>,
        status: NamespaceMigrationStatus,
        version: String,
    ) {
        let mut remembered = locked(&self.remembered);
        let key = ObjectRef::from_obj(migration.as_ref());
        let counted = remembered.get(&key).and_then(|known| known.counted);
        remembered.insert(key, Remembered { uid: migration.uid().unwrap_or_default(), status, version, counted });
    }

    /// The migrations of which something is known.
    pub(super) fn known(&self) -> Vec<ObjectRef<NamespaceMigration>> {
        locked(&self.remembered).keys().cloned().collect()
    }

    /// Drops what was known of a migration that is gone. Returns its UID.
    pub(super) fn forget(&self, gone: &ObjectRef<NamespaceMigration>) -> Option<String> {
        let known = locked(&self.remembered).remove(gone)?;
        if let Some(stage) = known.counted {
            self.metrics.migrations.get_or_create(&StageLabels { stage: stage.as_str() }).dec();
        }
        self.metrics.forget_migration(gone.namespace.as_deref().unwrap_or_default(), &gone.name);
        Some(known.uid)
    }

    /// Brings the metrics of a migration in line with what was decided.
    pub(super) fn measure(
        &self,
        migration: &Arc<NamespaceMigration>,
        known: &Known,
        status: &NamespaceMigrationStatus,
    ) {
        let key = ObjectRef::from_obj(migration.as_ref());
        let mut remembered = locked(&self.remembered);
        let entry = remembered.entry(key).or_insert_with(|| Remembered {
            uid: migration.uid().unwrap_or_default(),
            status: known.status.clone(),
            version: known.version.clone(),
            counted: None,
        });
        if entry.counted != Some(status.stage) {
            let gauge = |stage: Stage| StageLabels { stage: stage.as_str() };
            if let Some(old) = entry.counted {
                self.metrics.migrations.get_or_create(&gauge(old)).dec();
            }
            self.metrics.migrations.get_or_create(&gauge(status.stage)).inc();
            entry.counted = Some(status.stage);
            if status.stage == Stage::RollingBack && !stages::is_rollback(known.status.stage) {
                self.count_rollback(status);
            }
        }
        drop(remembered);
        self.measure_traffic(migration, status);
    }

    fn count_rollback(&self, status: &NamespaceMigrationStatus) {
        let named = |cause: &crate::api::status::Cause| crate::machine::Reason::parse(&cause.reason);
        let cause = status.cause.as_ref().and_then(named).map_or("Unknown", crate::machine::Reason::as_str);
        self.metrics.rollbacks.get_or_create(&RollbackLabels { cause }).inc();
    }

    fn measure_traffic(&self, migration: &NamespaceMigration, status: &NamespaceMigrationStatus) {
        let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
        let set = |side: ClusterSide, weights: Vec<i32>| {
            if let Some(weight) = weights.into_iter().max() {
                let labels = WeightLabels { namespace: namespace.clone(), name: name.clone(), side };
                self.metrics.weight.get_or_create(&labels).set(i64::from(weight));
            }
        };
        set(ClusterSide::Source, status.traffic.iter().filter_map(|traffic| traffic.source_weight).collect());
        set(ClusterSide::Target, status.traffic.iter().filter_map(|traffic| traffic.target_weight).collect());
        let of = MigrationLabels { namespace, name };
        self.metrics.dns.measure(&of, status);
        let exposed = self.metrics.exposed_percent.get_or_create_owned(&of);
        exposed.set(i64::from(status.exposed_percent.unwrap_or(0)));
    }
}

/// Whether two statuses are one once they are written: times keep whole seconds there.
pub(super) fn is_same(one: &NamespaceMigrationStatus, other: &NamespaceMigrationStatus) -> bool {
    one == other
        || matches!((serde_json::to_value(one), serde_json::to_value(other)), (Ok(one), Ok(other)) if one == other)
}

/// Whether a status is worth a write: something else has changed than that the moment which was announced has come. What is there
/// goes on saying when that was, until there is news.
pub(super) fn is_news(status: &NamespaceMigrationStatus, written: &NamespaceMigrationStatus, now: Timestamp) -> bool {
    let has_come = status.next.is_none() && written.next.as_ref().is_some_and(|next| next.0 <= now);
    let same = if has_come {
        let (next, next_text) = (written.next.clone(), written.next_text.clone());
        is_same(&NamespaceMigrationStatus { next, next_text, ..status.clone() }, written)
    } else {
        is_same(status, written)
    };
    !same
}

/// Versions are numbers that grow (KEP-5504 makes comparing them part of the API); text that is none is the oldest.
fn number(version: &str) -> u128 {
    version.parse().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;

    use super::*;

    #[test]
    fn what_an_older_crd_leaves_out_is_not_written_again_and_again() {
        let object = |status: &NamespaceMigrationStatus| {
            let metadata = serde_json::json!({"name": "shop", "namespace": "shop", "uid": "1", "resourceVersion": "7"});
            let object = serde_json::json!({"metadata": metadata, "spec": {"clusterPair": "pair"}, "status": status});
            Arc::new(serde_json::from_value::<NamespaceMigration>(object).unwrap())
        };
        let written = NamespaceMigrationStatus { next_text: "soon".into(), ..NamespaceMigrationStatus::default() };
        let came_back = object(&NamespaceMigrationStatus::default());
        let memory = Memory::new(Metrics::default());
        memory.remember(&came_back, written.clone(), "7".into());
        assert_eq!(memory.latest(&came_back).status, written);
        memory.remember(&came_back, written, "6".into());
        assert_eq!(memory.latest(&came_back).status, NamespaceMigrationStatus::default());
    }

    #[test]
    fn a_moment_that_has_come_is_no_news_and_another_one_is() {
        let waits = |next: Option<i64>, message: &str| NamespaceMigrationStatus {
            next: next.map(|second| Time(Timestamp::constant(second, 0))),
            next_text: next.map(|second| second.to_string()).unwrap_or_default(),
            message: message.to_owned(),
            ..NamespaceMigrationStatus::default()
        };
        let (follows, late) = ("DNS needs time to follow.", "DNS is late.");
        let news = |next, message, written: &NamespaceMigrationStatus, second| {
            is_news(&waits(next, message), written, Timestamp::constant(second, 0))
        };
        let written = waits(Some(60), follows);
        assert!(!news(None, follows, &written, 60));
        assert!(news(None, follows, &written, 59), "it will not come any more");
        assert!(news(Some(90), follows, &written, 60));
        assert!(news(None, late, &written, 60));
        assert!(news(Some(60), follows, &waits(None, follows), 60));
    }
}
