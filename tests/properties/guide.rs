//! What the guides of the two moves by hand tell people to see to, in short, and the check that does it now, or why none can.

use std::collections::BTreeSet;

use namespace_migration::preflight;

/// Who sees to it.
enum By {
    /// Checks before the move.
    Checks(&'static [&'static str]),
    /// Another part, or nobody, and why.
    Not(&'static str),
}

use By::{Checks, Not};

/// The guide of the move from live-1 to live: prerequisites, steps with a warning, differences of the clusters, questions.
const TO_LIVE: [(&str, By); 45] = [
    (
        "Containers keep no state: both sides run at once, and nothing in a Pod comes over",
        Checks(&["EphemeralVolume", "HostPath"]),
    ),
    ("Disks (EBS) are not copied", Checks(&["ClaimedVolume", "ClaimTemplates", "StorageClassAbsent"])),
    ("Sessions on a Pod's disk log users off when they are moved", Checks(&["EphemeralVolume", "OutsideVolume"])),
    (
        "Several copies may speak to AWS resources at once",
        Checks(&["TwiceTheConnections", "Singleton", "LeaderLease", "StatefulPeers"]),
    ),
    ("One database takes connections of both sides", Checks(&["TwiceTheConnections"])),
    ("CronJobs with ttlSecondsAfterFinished", Checks(&["TtlAfterFinished"])),
    ("Jobs with ttlSecondsAfterFinished", Checks(&["TtlAfterFinished", "RunningJob"])),
    ("The command line tool must be new enough", Not("no such tool is used")),
    ("Each namespace moves by itself", Checks(&["CallsOtherNamespace", "BindingBeyond", "ExternalName"])),
    ("Try one that is not production first", Not("a choice of people")),
    ("Agree a time with the team", Not("a choice of people; spec.traffic says when it may be written")),
    (
        "The namespace's configuration does not change meanwhile",
        Not("watched while it moves; nothing to be seen before"),
    ),
    (
        "Annotations for identifier and weight on the source's Ingress",
        Not("written by the operator and seen in DNS, stage WeightSource"),
    ),
    ("No two Ingresses, namespaces or clusters share an identifier", Checks(&["SameIdentifier"])),
    ("The source gets weight 100 first, which changes nothing", Checks(&["SourceWeightZero", "TargetHasUsers"])),
    ("The target's Ingress comes with weight 0", Checks(&["TargetHasUsers", "TargetHosts"])),
    (
        "A pipeline's account is another on the target: new certificate and token",
        Checks(&["PipelineToken", "AccountAbsent"]),
    ),
    ("Elasticsearch needs a role by IRSA", Checks(&["RoleTrust"])),
    ("Who used kiam for roles of other accounts needs IRSA", Checks(&["KiamRole"])),
    (
        "Configuration of one namespace that makes objects in another",
        Checks(&["BindingBeyond", "CallsOtherNamespace", "NetworkPolicyNamespaces"]),
    ),
    ("One switch skips all warnings", Not("refused on purpose: each is acknowledged by its name, with a reason")),
    ("Credentials of both clusters side by side", Checks(&["Permissions"])),
    (
        "Old API versions of Ingress are not served by newer servers",
        Checks(&["VersionNotServed", "KindNotServed", "VersionSkew"]),
    ),
    ("The application is deployed to both clusters", Checks(&["ToolDeploys", "NobodyDeploys"])),
    ("Both clusters get the same build", Checks(&["ImagesDiffer", "MovingTag"])),
    (
        "Secrets made by hand are copied; which they are is hard to tell",
        Checks(&["SecretAbsent", "SecretUnclaimed", "ReferenceToCome"]),
    ),
    ("Configuration made by hand comes over too", Checks(&["ConfigMapAbsent", "DanglingReference"])),
    ("The new copy is tested before users come", Not("stage SmokeTest asks the target by its own address")),
    ("Begin with one to ten percent", Not("spec.traffic.steps; a share is no fact of the namespace")),
    ("See that all requests come to the target", Not("stage Bake, after the move")),
    ("Weights go back when it does not work", Not("the rollback, from every stage")),
    ("Scale the old side down afterwards", Not("after the move")),
    ("Pods get AWS rights by IRSA instead of kiam", Checks(&["KiamRole", "RoleTrust", "PodIdentity"])),
    ("The nodes are of another kind, with another control plane", Checks(&["NodeSelector", "HostNetwork"])),
    ("The Kubernetes version is another", Checks(&["VersionSkew", "TargetOlder"])),
    ("Pods have addresses of another network", Checks(&["NetworkPolicyRanges", "ExternalIPs"])),
    ("After a rollback the pipeline needs the old credentials again", Checks(&["PipelineToken"])),
    (
        "A rollback takes as long as resolvers keep an answer",
        Not("the machine waits for DNS and shows users that may still be on the target"),
    ),
    ("Are alerts, monitors and policies on the target", Checks(&["AlertsAbsent", "AlertsTwice", "PoliciesAbsent"])),
    ("Are identifier and weight set as they should be", Not("seen in DNS by stage WeightSource")),
    ("Hosts stay as they are", Checks(&["TargetHosts", "HostAnnotation", "SharedHost"])),
    (
        "Own domains keep their certificates",
        Checks(&["TlsSecretAbsent", "CertificateBeforeTraffic", "DefaultCertificate"]),
    ),
    ("Requests come in by other addresses", Checks(&["LoadBalancerService", "NodePortService", "NetworkPolicyRanges"])),
    ("Requests go out by the same addresses", Not("the network's plan; nothing in a namespace shows it")),
    ("Old callers keep a name of the old cluster", Checks(&["CallersInside", "NetworkPolicyNamespaces"])),
];

/// The guide of the move from live-0 to live-1, to another account and region.
const TO_LIVE_1: [(&str, By); 12] = [
    ("The environment is generated again, with the same details", Not("stage PrepareTarget waits for the namespace")),
    ("The registry is another: another account and another region", Checks(&["RegistryAccount", "ImagesDiffer"])),
    ("The pipeline's region, keys and registry are replaced", Checks(&["RegistryAccount"])),
    ("The pipeline's cluster, certificate, namespace and token are replaced", Checks(&["PipelineToken"])),
    ("Private images are pulled with a Secret", Checks(&["PullSecretAbsent"])),
    ("Images of the old cluster's own registry", Checks(&["ImagesInside"])),
    (
        "Containers may not run as root",
        Not("the target's admission decides: its dry run says so of each object and Pod"),
    ),
    (
        "Images of others may run as root",
        Not("the target's admission decides: its dry run says so of each object and Pod"),
    ),
    ("AWS resources of the old account stay there", Checks(&["RoleTrust", "TwiceTheConnections"])),
    ("The deployment runs in the new environment after the pipeline", Not("stage DeployWorkloads waits for it")),
    ("The old deployment is deleted at last", Not("after the move")),
    ("Applications differ: other steps may be needed", Checks(&["Unread"])),
];

fn rows() -> impl Iterator<Item = &'static (&'static str, By)> {
    TO_LIVE.iter().chain(&TO_LIVE_1)
}

#[test]
fn what_the_guides_say_is_checked_or_there_is_a_reason() {
    let known: BTreeSet<_> =
        preflight::catalogue().chain(preflight::catalogue_of_inventory()).map(|(name, ..)| name).collect();
    for (said, by) in rows() {
        match by {
            Checks(names) => {
                assert!(!names.is_empty(), "{said}: by no check");
                let unknown: Vec<_> = names.iter().filter(|name| !known.contains(*name)).collect();
                assert!(unknown.is_empty(), "{said}: there is no check named {unknown:?}");
            }
            Not(why) => assert!(why.len() > 10, "{said}: no reason"),
        }
    }
}

/// What else is checked comes from what other moves have met, and is not in the guides.
const BEYOND: [&str; 17] = [
    "AutoscalerDiffers",
    "AutoscalerMinimum",
    "BoundAnnotations",
    "CertificateExpires",
    "CertificateNames",
    "CertificateNotReady",
    "ClockSkew",
    "ClusterRoleAbsent",
    "ControllerAnnotations",
    "FewerReplicas",
    "IngressClassAbsent",
    "LimitRangeDiffers",
    "NoDefaultClass",
    "PriorityClassAbsent",
    "QuotaNeedsRequests",
    "QuotaTooSmall",
    "Terminating",
];

#[test]
fn no_row_stands_there_twice_and_what_is_beyond_the_guides_is_not_in_them() {
    let said: BTreeSet<_> = rows().map(|(said, _)| said).collect();
    assert_eq!(said.len(), rows().count());
    let named: BTreeSet<_> =
        rows().filter_map(|(_, by)| if let Checks(names) = by { Some(*names) } else { None }).flatten().collect();
    let known: BTreeSet<_> =
        preflight::catalogue().chain(preflight::catalogue_of_inventory()).map(|(name, ..)| name).collect();
    for name in BEYOND {
        assert!(known.contains(name) && !named.contains(&name), "{name}");
    }
}
