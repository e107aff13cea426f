//! The labels of series, each with the only values that it can have, or with the name of an object.

use std::fmt;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder};

/// Declares an enum whose variants are the only values that a label can have.
macro_rules! label_values {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$variant_doc])* $variant),+ }

        impl $name {
            /// The label's value in the exposition.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }

        impl EncodeLabelValue for $name {
            fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> Result<(), fmt::Error> {
                EncodeLabelValue::encode(&self.as_str(), encoder)
            }
        }
    };
}

label_values! {
    /// The cluster that a call went to.
    ClusterSide {
        /// Where the operator's own objects live.
        Home => "home",
        /// The cluster that serves before the migration.
        Source => "source",
        /// The cluster that serves after it.
        Target => "target",
    }
}

label_values! {
    /// How one pass over one object ended.
    ReconcileResult {
        /// The pass did what there was to do.
        Success => "success",
        /// The pass returned an error and is backed off.
        Failure => "failure",
        /// The pass panicked; the panic was caught.
        Panic => "panic",
    }
}

label_values! {
    /// What a request asked of an API server.
    Verb {
        /// One object was read.
        Get => "get",
        /// A collection was read.
        List => "list",
        /// A watch was opened.
        Watch => "watch",
        /// An object was created by POST.
        Create => "create",
        /// Server-side apply.
        Apply => "apply",
        /// Any other PATCH.
        Patch => "patch",
        /// PUT.
        Update => "update",
        /// DELETE.
        Delete => "delete",
    }
}

label_values! {
    /// How a request to an API server ended.
    CallOutcome {
        /// A 2xx or 3xx answer.
        Success => "success",
        /// 404.
        NotFound => "not_found",
        /// 409.
        Conflict => "conflict",
        /// 401 or 403.
        Denied => "denied",
        /// 429.
        Throttled => "throttled",
        /// Any other 4xx.
        Rejected => "rejected",
        /// 5xx.
        ServerError => "server_error",
        /// No answer: the connection failed.
        Unreachable => "unreachable",
        /// The caller stopped waiting before an answer came.
        Abandoned => "abandoned",
    }
}

label_values! {
    /// What a probe of a load balancer found.
    ProbeOutcome {
        /// An HTTP answer, whatever its status.
        Answered => "answered",
        /// The connection was refused.
        Refused => "refused",
        /// No answer in time.
        Timeout => "timeout",
        /// The certificate or the handshake was not acceptable.
        Tls => "tls",
        /// The connection broke.
        Reset => "reset",
        /// Anything else.
        Other => "other",
    }
}

/// Labels of `nsmig_reconcile_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReconcileLabels {
    /// How the pass ended.
    pub result: ReconcileResult,
}

/// Labels of series that are told apart by one static word, such as a stage, a cause or an error's category.
macro_rules! word_labels {
    ($(#[$doc:meta])* $name:ident { $field:ident }) => {
        $(#[$doc])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
        pub struct $name {
            /// A word from the program's own code, never from outside.
            pub $field: &'static str,
        }
    };
}

word_labels! {
    /// Labels of `nsmig_reconcile_errors_total`.
    ErrorLabels { reason }
}
word_labels! {
    /// Labels of `nsmig_migrations`.
    StageLabels { stage }
}
word_labels! {
    /// Labels of `nsmig_leftovers_settled_total`.
    LeftoverLabels { outcome }
}
word_labels! {
    /// Labels of `nsmig_rollbacks_total`.
    RollbackLabels { cause }
}

/// Names one `NamespaceMigration`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct MigrationLabels {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
}

/// Labels of `nsmig_weight`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct WeightLabels {
    /// The object's namespace.
    pub namespace: String,
    /// The object's name.
    pub name: String,
    /// Whose weight it is.
    pub side: ClusterSide,
}

/// Labels of `nsmig_remote_calls_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct CallLabels {
    /// The cluster that was called.
    pub side: ClusterSide,
    /// What was asked.
    pub verb: Verb,
    /// How it ended.
    pub outcome: CallOutcome,
}

/// Labels of `nsmig_cluster_reachable`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ReachableLabels {
    /// The `ClusterPair`'s name.
    pub pair: String,
    /// Which of its clusters.
    pub side: ClusterSide,
}

/// Labels of `nsmig_leftovers`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct PairLabels {
    /// The `ClusterPair`'s name.
    pub pair: String,
}

/// Labels of `nsmig_probes_total`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ProbeLabels {
    /// The cluster whose load balancer was probed.
    pub side: ClusterSide,
    /// What the probe found.
    pub outcome: ProbeOutcome,
}
