//! `ClusterPair`: which two clusters, how they are reached, and how their DNS works. Written by platform admins.

#![allow(clippy::duplicated_attributes, reason = "every printer column has a name and a type of its own")]

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::DurationText;
use super::pair_status::ClusterPairStatus;

/// Two clusters between which namespaces may move. Users name it; they never name a kubeconfig.
#[derive(CustomResource, kube::KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "namespacemigration.io",
    version = "v1alpha1",
    kind = "ClusterPair",
    status = "ClusterPairStatus",
    derive = "PartialEq",
    category = "namespace-migration",
    doc = "Two clusters between which namespaces may move: how each is reached, which cluster it must be, and how its external-dns works.",
    printcolumn(
        name = "Source",
        type_ = "string",
        json_path = ".spec.source.identity",
        description = "UID of the source's kube-system namespace"
    ),
    printcolumn(
        name = "Target",
        type_ = "string",
        json_path = ".spec.target.identity",
        description = "UID of the target's kube-system namespace"
    ),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status",
        description = "Whether both clusters answer and are the right ones; Unknown while no migration uses the pair"
    ),
    printcolumn(
        name = "Leftovers",
        type_ = "integer",
        json_path = ".status.leftoverCount",
        description = "Weights that deleted migrations could not write yet, and objects that they could not remove yet"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("self.source.identity != self.target.identity").message("source and target are the same cluster: both have the same identity"),
    validation = Rule::new("self.source.colour != self.target.colour").message("source and target must have different colours, or their DNS set identifiers would be equal")
)]
pub struct ClusterPairSpec {
    /// The cluster that serves now.
    pub source: Side,

    /// The cluster that will serve.
    pub target: Side,

    /// Form of the DNS set identifiers; {ingress}, {namespace} and {colour} are replaced. An identifier that an Ingress has already is kept.
    #[serde(default = "identifier_template")]
    #[schemars(length(min = 1, max = 128))]
    #[x_kube(validation = Rule::new("self.contains('{ingress}') && self.contains('{namespace}') && self.contains('{colour}')")
        .message("the template needs {ingress}, {namespace} and {colour}: no two Ingresses may have the same identifier"))]
    pub identifier_template: String,

    /// How long DNS takes to follow.
    #[serde(default)]
    pub dns: Dns,

    /// Ingress classes that have another name on the target.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["source".into()]))]
    pub ingress_classes: Vec<IngressClassMapping>,

    /// What probes may reach and trust.
    #[serde(default)]
    pub probes: ProbeRules,

    /// Namespaces that may move, as globs: * stands for any characters, also none. By default all; none when the list is empty.
    #[serde(default = "everything")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 63), regex(pattern = "^[-a-z0-9*]+$")))]
    pub allowed_namespaces: Vec<String>,

    /// Hosts whose records may be shifted, as globs: * stands for any characters, dots too. By default all; none when the list is empty.
    #[serde(default = "everything")]
    #[schemars(length(max = 256), inner(length(min = 1, max = 253), regex(pattern = "^[-a-z0-9.*]+$")))]
    pub allowed_hosts: Vec<String>,

    /// Namespaces whose migrations may move other namespaces, by spec.namespace. Whoever may create migrations there moves those.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 64))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["namespace".into()]))]
    pub delegates: Vec<Delegate>,

    /// How long the deletion of a migration may wait for a cluster; as long again once the source has 100 and the target 0. Then
    /// what could not be written or removed is noted in status.leftovers and status.leftoverObjects, to be done when the cluster
    /// is back, and the object goes.
    #[serde(default = "a_quarter_of_an_hour")]
    pub deletion_deadline: DurationText,
}

/// A namespace whose migrations may move other namespaces.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Delegate {
    /// The namespace that the migrations are in.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// The namespaces that they may move, as globs: * stands for any characters, also none.
    #[schemars(length(min = 1, max = 256), inner(length(min = 1, max = 63), regex(pattern = "^[-a-z0-9*]+$")))]
    pub moves: Vec<String>,
}

fn everything() -> Vec<String> {
    vec!["*".to_owned()]
}

fn a_quarter_of_an_hour() -> DurationText {
    "15m".into()
}

fn identifier_template() -> String {
    "{ingress}-{namespace}-{colour}".to_owned()
}

/// One cluster of the pair.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Side {
    /// How the cluster is reached.
    pub connection: Connection,
    /// UID of the cluster's kube-system namespace. Nothing is written to a cluster that has another one.
    /// Read it with: kubectl get namespace kube-system -o jsonpath={.metadata.uid}
    #[schemars(length(min = 36, max = 36), regex(pattern = "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"))]
    pub identity: String,
    /// What {colour} stands for in this cluster's DNS set identifiers: customarily blue for the source and green for the target.
    #[schemars(length(min = 1, max = 32), regex(pattern = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?$"))]
    pub colour: String,
    /// The external-dns that publishes this cluster's Ingresses.
    #[serde(rename = "externalDNS")]
    pub external_dns: ExternalDns,
    /// Ports on which the cluster's load balancer listens.
    #[serde(default)]
    pub load_balancer: LoadBalancerPorts,
}

/// How a cluster is reached: exactly one of the two.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.inCluster) != has(self.kubeconfig)").message("set exactly one of inCluster and kubeconfig"))]
pub struct Connection {
    /// The cluster that the operator runs in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub in_cluster: Option<InCluster>,
    /// A kubeconfig in a Secret of the operator's namespace.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub kubeconfig: Option<KubeconfigRef>,
}

/// The cluster that the operator runs in.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct InCluster {}

/// A kubeconfig in a Secret of the operator's namespace, with inline credentials only: commands, files and proxies are refused.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct KubeconfigRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253))]
    pub secret_name: String,
    /// Key in the Secret.
    #[serde(default = "kubeconfig_key")]
    #[schemars(length(min = 1, max = 253))]
    pub key: String,
}

fn kubeconfig_key() -> String {
    "kubeconfig".to_owned()
}

/// Facts about one cluster's external-dns.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ExternalDns {
    /// Prefix of the annotations that it reads: external-dns.kubernetes.io/ from 0.22 on, external-dns.alpha.kubernetes.io/ before.
    #[schemars(length(min = 2, max = 253), regex(pattern = "^[a-z0-9]([-a-z0-9.]*[a-z0-9])?/$"))]
    pub annotation_prefix: String,
    /// Its version, as v0.22.0. Before v0.14.1 a record that Route 53 refuses can keep all others from being changed.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = "^(v?[0-9]+[.][0-9]+[.][0-9]+([-+][0-9A-Za-z.+-]*)?)?$"))]
    pub version: String,
    /// Its --interval: how long it may take to notice a change.
    #[serde(default = "a_minute")]
    pub interval: DurationText,
    /// Its --txt-owner-id, by which its records are told from others. Both clusters need one of their own.
    #[serde(default, rename = "ownerID")]
    #[schemars(length(max = 253))]
    pub owner_id: String,
    /// Its --policy. Only sync makes a record weighted that is simple.
    #[serde(default)]
    pub policy: ExternalDnsPolicy,
    /// Its --txt-prefix: what stands before the names of its ownership records.
    #[serde(default)]
    #[schemars(length(max = 63), regex(pattern = "^[-a-z0-9._%{}]*$"))]
    pub txt_prefix: String,
    /// Its --txt-suffix: what stands after the first label of the names of its ownership records.
    #[serde(default)]
    #[schemars(length(max = 63), regex(pattern = "^[-a-z0-9._%{}]*$"))]
    pub txt_suffix: String,
    /// Kinds of records that it publishes, where that is less than all: its --managed-record-types without its --exclude-record-types.
    /// A kind that only the target has gets every answer, also with weight 0: such a move holds, or goes back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 3))]
    pub record_types: Vec<RecordType>,
    /// Where its metrics are read, a URL that ends in :7979/metrics by default, to name the cause of a stuck record.
    #[serde(default, rename = "metricsURL")]
    #[schemars(length(max = 2048), regex(pattern = "^(https?://[^ ]+)?$"))]
    pub metrics_url: String,
    /// Its Deployment in this cluster, whose arguments and Pods tell how it works. Where it says otherwise than the fields above, it
    /// counts, and that is told. One that is not there or may not be read stops nobody: less can then be told if DNS does not follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<DeploymentRef>,
}

/// A kind of record that leads users to a load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "UPPERCASE")]
pub enum RecordType {
    /// IPv4 addresses, or an alias.
    A,
    /// IPv6 addresses, or an alias.
    Aaaa,
    /// Another name.
    Cname,
}

/// What an external-dns may do with records, in the words of its --policy.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum ExternalDnsPolicy {
    /// Not said.
    #[default]
    Unknown,
    /// Create, change and delete.
    Sync,
    /// Create and change.
    UpsertOnly,
    /// Create.
    CreateOnly,
}

impl ExternalDnsPolicy {
    /// As the flag has it. None when it is not said.
    pub fn flag(self) -> Option<&'static str> {
        match self {
            Self::Unknown => None,
            Self::Sync => Some("sync"),
            Self::UpsertOnly => Some("upsert-only"),
            Self::CreateOnly => Some("create-only"),
        }
    }
}

/// A Deployment.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct DeploymentRef {
    /// Its namespace.
    #[schemars(length(min = 1, max = 63))]
    pub namespace: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

fn a_minute() -> DurationText {
    "1m".into()
}

/// Ports on which a cluster's load balancer listens.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerPorts {
    /// Port of HTTP.
    #[serde(default = "http_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub http_port: i32,
    /// Port of HTTPS.
    #[serde(default = "https_port")]
    #[schemars(range(min = 1, max = 65535))]
    pub https_port: i32,
}

fn http_port() -> i32 {
    80
}

fn https_port() -> i32 {
    443
}

impl Default for LoadBalancerPorts {
    fn default() -> Self {
        Self { http_port: http_port(), https_port: https_port() }
    }
}

/// How long DNS takes to follow, and how that is verified.
#[derive(kube::KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.route53) || self.verification == 'Route53'")
        .message("route53 is used by verification: Route53 only; set that, or remove route53"),
    validation = Rule::new("!has(self.authoritative) || self.verification == 'AuthoritativeDNS'")
        .message("authoritative is used by verification: AuthoritativeDNS only; set that, or remove authoritative")
)]
pub struct Dns {
    /// How it is known that a weight is served. Route53 reads the record sets of the zone. AuthoritativeDNS asks the zone's
    /// name servers, which shows who answers but no shares. AnnotationOnly knows nothing and waits: interval, propagation and TTL.
    #[serde(default)]
    pub verification: DnsVerification,
    /// Where the zone is hosted. Only AWS is supported: other providers treat weights by other rules.
    #[serde(default = "aws")]
    #[schemars(length(min = 1, max = 64))]
    #[x_kube(validation = Rule::new("self == 'AWS'")
        .message("only AWS (Route 53) is supported: other providers treat weights by other rules"))]
    pub provider: String,
    /// How Route 53 is read. By default with the credentials of the operator's Pod, in the zone that fits the host best.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub route53: Option<Route53>,
    /// Which name servers are asked. By default those of the zone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authoritative: Option<AuthoritativeDns>,
    /// How long the DNS provider takes to serve a change everywhere.
    #[serde(default = "a_minute")]
    pub propagation: DurationText,
    /// How long resolvers keep an answer. 60s for an alias of an AWS load balancer.
    #[serde(default = "a_minute", rename = "recordTTL")]
    pub record_ttl: DurationText,
}

impl Default for Dns {
    fn default() -> Self {
        Self {
            verification: DnsVerification::default(),
            provider: aws(),
            route53: None,
            authoritative: None,
            propagation: a_minute(),
            record_ttl: a_minute(),
        }
    }
}

fn aws() -> String {
    "AWS".to_owned()
}

/// How Route 53 is read: two read-only actions, ListHostedZonesByName and ListResourceRecordSets.
#[derive(kube::KubeSchema, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Route53 {
    /// ID of the hosted zone. By default the public zone with the longest name that the host ends in; then the zones are listed.
    #[serde(default, rename = "hostedZoneID")]
    #[schemars(length(max = 32), regex(pattern = "^[A-Z0-9]*$"))]
    pub hosted_zone_id: String,
    /// Region by which requests are signed. By default AWS_REGION of the operator, else us-east-1.
    #[serde(default)]
    #[schemars(length(max = 64), regex(pattern = "^[-a-z0-9]*$"))]
    pub region: String,
    /// Another address of the API, such as that of a VPC endpoint.
    #[serde(default)]
    #[schemars(length(max = 2048))]
    #[x_kube(validation = Rule::new("self == '' || self.startsWith('https://') || self.matches('^http://(127[.][0-9.]+|localhost)(:[0-9]+)?/?$')")
        .message("endpoint must begin with https://; http:// is accepted for loopback addresses only"))]
    pub endpoint: String,
    /// Secret in the operator's namespace with AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and, where there is one, AWS_SESSION_TOKEN.
    /// By default the credentials of the operator's Pod: EKS Pod Identity, IRSA, or what else the AWS SDK finds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_secret: Option<SecretRef>,
}

/// A Secret in the operator's namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SecretRef {
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// Which name servers are asked.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct AuthoritativeDns {
    /// Addresses of name servers with their ports, as 192.0.2.1:53, an IPv6 address in square brackets. By default those of the zone.
    #[serde(default)]
    #[schemars(
        length(max = 16),
        inner(length(min = 1, max = 64), regex(pattern = "^([0-9.]+|\\[[0-9a-f:.]+\\]):[0-9]{1,5}$"))
    )]
    pub name_servers: Vec<String>,
}

/// How it is known that a weight is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DnsVerification {
    /// By the record sets that Route 53 lists.
    Route53,
    /// By the answers of the zone's own name servers.
    #[serde(rename = "AuthoritativeDNS")]
    AuthoritativeDns,
    /// By waiting only. Each migration must acknowledge it by name.
    #[default]
    AnnotationOnly,
}

/// An Ingress class and its name on the target.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct IngressClassMapping {
    /// Name of the class on the source.
    #[schemars(length(min = 1, max = 253))]
    pub source: String,
    /// Name of the class on the target.
    #[schemars(length(min = 1, max = 253))]
    pub target: String,
}

/// What probes may reach and trust.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProbeRules {
    /// Private, loopback or link-local ranges (CIDR) in which load balancers may be. Public addresses are always allowed.
    #[serde(default)]
    #[schemars(length(max = 32), inner(length(min = 1, max = 43)))]
    pub allowed_addresses: Vec<String>,
    /// PEM certificates of private roots. When given, only they are trusted; when empty, the public roots are.
    #[serde(default)]
    #[schemars(length(max = 65536))]
    pub trusted_roots: String,
}
