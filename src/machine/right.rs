//! What the operator must be allowed to do in the namespace that moves: one table for each side. A test holds it against `deploy/`.

use std::collections::BTreeSet;

use super::side::Side;

/// One verb on one kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural name.
    pub resource: &'static str,
    /// As Kubernetes has it: `get`, `list`, `watch`, `create`, `patch` or `delete`.
    pub verb: &'static str,
}

/// What a cluster says of the rights that it was asked about. It is asked before the move only.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Rights {
    /// It was not asked.
    #[default]
    NotAsked,
    /// It gave no answer.
    Unknown {
        /// What happened.
        why: String,
    },
    /// It answered.
    Known {
        /// What it would refuse.
        refused: BTreeSet<Right>,
        /// Who the operator is there. Empty when nothing is refused, and where it is not known.
        account: String,
    },
}

type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

const WORKLOADS: Rule = ("apps", &["deployments", "statefulsets", "daemonsets"], &["list", "watch"]);

const ON_SOURCE: [Rule; 5] = [
    ("", &["namespaces"], &["get", "list", "watch"]),
    ("networking.k8s.io", &["ingresses"], &["get", "list", "watch", "patch"]),
    ("", &["services"], &["list", "watch"]),
    WORKLOADS,
    ("", &["secrets"], &["get"]),
];

const ON_TARGET: [Rule; 5] = [
    ("", &["namespaces"], &["get", "list", "watch"]),
    ("networking.k8s.io", &["ingresses"], &["get", "list", "watch", "create", "patch", "delete"]),
    ("", &["services"], &["list", "watch"]),
    WORKLOADS,
    ("", &["secrets"], &["get", "create", "delete"]),
];

impl Right {
    /// Everything that a migration may need on a side.
    pub fn all(side: Side) -> BTreeSet<Self> {
        let rules = side.pick(ON_SOURCE, ON_TARGET);
        rules.into_iter().flat_map(Self::of_rule).collect()
    }

    fn of_rule((group, resources, verbs): Rule) -> impl Iterator<Item = Self> {
        resources.iter().flat_map(move |resource| verbs.iter().map(move |verb| Self { group, resource, verb }))
    }

    /// Whether it is used on objects that are known by name, so that it may be granted for those alone.
    pub fn is_by_name(&self) -> bool {
        self.resource == "secrets" && self.verb != "create"
    }
}
