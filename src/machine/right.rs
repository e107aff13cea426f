//! What the operator must be allowed to do in the namespace that moves, and at home: one table for each cluster. A test holds them
//! against `deploy/`.

use std::collections::{BTreeMap, BTreeSet};

use super::side::Side;
use crate::api::GROUP;

/// One verb on one kind of object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Right {
    /// API group; empty for the core group.
    pub group: &'static str,
    /// Plural name, with the subresource: `clusterpairs/status`.
    pub resource: &'static str,
    /// As Kubernetes has it: `get`, `list`, `watch`, `create`, `update`, `patch` or `delete`.
    pub verb: &'static str,
}

/// What a cluster says of the rights that it was asked about. It is asked before a move, and for the status of the pair.
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
        /// Who the operator is there. Empty where nobody has asked or it is not known.
        account: String,
    },
}

impl Rights {
    /// Whom to give a right to, in words.
    pub fn account(&self) -> &str {
        match self {
            Self::Known { account, .. } if !account.is_empty() => account,
            _ => "the operator's identity",
        }
    }
}

/// Where a right is needed on the home cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// For objects that are in no namespace.
    Cluster,
    /// In the namespace of each migration object.
    Migrations,
    /// In the operator's own namespace.
    Operators,
}

type Rule = (&'static str, &'static [&'static str], &'static [&'static str]);

/// The Deployment of external-dns, where the pair names it, is listed and watched by its name in a namespace of its own: a move goes on
/// without that, so nobody is asked about it.
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

const AT_HOME: [Rule; 6] = [
    (GROUP, &["namespacemigrations"], &["list", "watch", "patch"]),
    (GROUP, &["namespacemigrations/status"], &["patch"]),
    (GROUP, &["clusterpairs"], &["list", "watch", "patch"]),
    (GROUP, &["clusterpairs/status"], &["patch"]),
    ("events.k8s.io", &["events"], &["create"]),
    ("", &["secrets"], &["get", "watch"]),
];

const FOR_THE_LEASE: Rule = ("coordination.k8s.io", &["leases"], &["get", "create", "update"]);

impl Right {
    /// Everything that the operator needs at home; without a Lease, nothing of that.
    pub fn at_home(lease: bool) -> BTreeSet<Self> {
        AT_HOME.into_iter().chain(lease.then_some(FOR_THE_LEASE)).flat_map(Self::of_rule).collect()
    }

    /// Where it is needed at home.
    pub fn place_at_home(&self) -> Place {
        match self.resource {
            "clusterpairs" | "clusterpairs/status" => Place::Cluster,
            "secrets" | "leases" => Place::Operators,
            _ => Place::Migrations,
        }
    }

    /// Whether it is used on all objects of its kind at once.
    pub fn is_collection(&self) -> bool {
        matches!(self.verb, "list" | "watch")
    }

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

/// `get, create secrets; patch ingresses.networking.k8s.io`.
pub fn in_words<'a>(rights: impl IntoIterator<Item = &'a Right>) -> String {
    let mut verbs: BTreeMap<(&str, &str), Vec<&str>> = BTreeMap::new();
    for right in rights {
        verbs.entry((right.group, right.resource)).or_default().push(right.verb);
    }
    let resources = verbs.into_iter().map(|((group, resource), verbs)| {
        let group = if group.is_empty() { String::new() } else { format!(".{group}") };
        format!("{} {resource}{group}", verbs.join(", "))
    });
    resources.collect::<Vec<_>>().join("; ")
}
