//! Wire types: what people write and read. No client, no clock, no logic.
//!
//! A field is in the schema only when it works. `crds/` is generated from here (`namespace-migration crds`).

pub mod cluster_pair;
pub mod controls;
pub mod crds;
pub mod duration;
pub mod foreign;
pub mod namespace_migration;
pub mod pair_status;
pub mod plan;
pub mod stage;
pub mod status;

#[cfg(test)]
mod rules;

pub use cluster_pair::{ClusterPair, ClusterPairSpec, Connection, ExternalDns, KubeconfigRef, Side};
pub use duration::DurationText;
pub use namespace_migration::{DeletionPolicy, NamespaceMigration, NamespaceMigrationSpec, OnFailure, RemovalPolicy};
pub use pair_status::{ClusterPairStatus, Leftover, LeftoverObject};
pub use stage::Stage;
pub use status::NamespaceMigrationStatus;

/// The API group of every kind.
pub const GROUP: &str = "namespacemigration.io";
/// The version of every kind.
pub const VERSION: &str = "v1alpha1";
/// Field manager of every write: one name, so that a foreign change of our fields is visible in `managedFields`.
pub const FIELD_MANAGER: &str = "namespace-migration";
/// Annotation on both Ingresses: who moves them, in which attempt, epoch and direction (JSON).
pub const STAMP_ANNOTATION: &str = "namespacemigration.io/stamp";
/// Label on every object that we created: a hash of the owner, because owners are longer than a label value may be.
pub const OWNER_LABEL: &str = "namespacemigration.io/owner";
/// Annotation on every object that we created: the owner in full.
pub const OWNER_ANNOTATION: &str = "namespacemigration.io/owner";
/// Annotation on a Job of the namespace: with the value `true`, running it a second time, on the target, does no harm.
pub const IDEMPOTENT_ANNOTATION: &str = "namespacemigration.io/idempotent";
/// Finalizer of a migration that has begun to write: its deletion is answered first, as spec.deletionPolicy says.
pub const FINALIZER: &str = "namespacemigration.io/migration";
/// Finalizer of a pair that is needed: by a migration under way, or by what deleted ones still owe its clusters.
pub const PAIR_FINALIZER: &str = "namespacemigration.io/clusterpair";
/// Annotation on a migration: its weights are frozen while it is there with any value but `false`.
pub const PAUSED_ANNOTATION: &str = "namespacemigration.io/paused";
/// Annotation on a migration: everything goes back to the source, once for each new value.
pub const ROLLBACK_ANNOTATION: &str = "namespacemigration.io/rollback-requested";
/// Annotation on a migration: the next attempt begins, or the stage gets its time anew, once for each new value.
pub const RETRY_ANNOTATION: &str = "namespacemigration.io/retry-requested";
