//! What the comparison lets pass, each with its reason. One that is not needed any more is a failure too.

/// A request that no role in `deploy/` grants, because Kubernetes grants it to everybody who has an identity.
pub struct Everybodys {
    pub verb: &'static str,
    pub group: &'static str,
    pub resource: &'static str,
    pub reason: &'static str,
}

/// Objects that `deploy/` grants by name and that have other names in the tests, by a role that the rig adds.
pub struct OtherNames {
    pub group: &'static str,
    pub resource: &'static str,
    pub reason: &'static str,
}

/// A grant that no test needs.
pub struct Unused {
    /// As a failure prints it: `ROLE: VERB RESOURCE`.
    pub grant: &'static str,
    pub reason: &'static str,
}

pub const EVERYBODYS: [Everybodys; 3] = [
    Everybodys {
        verb: "create",
        group: "authorization.k8s.io",
        resource: "selfsubjectaccessreviews",
        reason: "Kubernetes grants it to every identity by its own ClusterRole system:basic-user",
    },
    Everybodys {
        verb: "create",
        group: "authentication.k8s.io",
        resource: "selfsubjectreviews",
        reason: "Kubernetes grants it to every identity by its own ClusterRole system:basic-user",
    },
    Everybodys {
        verb: "get",
        group: "",
        resource: "/version",
        reason: "Kubernetes grants it to everybody by its own ClusterRole system:public-info-viewer",
    },
];

pub const OTHER_NAMES: [OtherNames; 1] = [OtherNames {
    group: "coordination.k8s.io",
    resource: "leases",
    reason: "operators of several tests share a home, each with a Lease of its own; deploy/ names the one of an installation",
}];

pub const UNUSED: [Unused; 0] = [];
