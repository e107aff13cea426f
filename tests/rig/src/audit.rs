//! One line of an API server's audit log: the part of an `audit.k8s.io/v1` Event that is used here.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

/// A request in one stage of its life. With `serde::de::IgnoredAny` in place of the bodies reading it costs a tenth.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", bound = "Body: Default + serde::de::DeserializeOwned")]
pub struct Event<Body = Value> {
    /// `ResponseStarted`, `ResponseComplete` and others.
    pub stage: String,
    /// The path and the query.
    #[serde(default, rename = "requestURI")]
    pub request_uri: String,
    /// `get`, `create` and others.
    pub verb: String,
    /// Who asked.
    #[serde(default)]
    pub user: User,
    /// How the program calls itself.
    #[serde(default)]
    pub user_agent: String,
    /// What was asked about.
    #[serde(default)]
    pub object_ref: ObjectRef,
    /// How it was answered.
    #[serde(default)]
    pub response_status: ResponseStatus,
    /// `Null` where the policy records metadata only.
    #[serde(default)]
    pub request_object: Body,
    /// `Null` where the policy records metadata only.
    #[serde(default)]
    pub response_object: Body,
    /// When the API server got the request.
    pub request_received_timestamp: Timestamp,
    /// When this stage of the request was reached.
    pub stage_timestamp: Timestamp,
    /// What the API server adds.
    #[serde(default)]
    pub annotations: Annotations,
}

/// Who asked.
#[derive(Debug, Default, Deserialize)]
pub struct User {
    /// As the API server knows it: `system:serviceaccount:NAMESPACE:NAME`.
    #[serde(default)]
    pub username: String,
}

/// What was asked about; all empty where that is no resource.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ObjectRef {
    /// Empty for the core group.
    pub api_group: String,
    /// Plural name.
    pub resource: String,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// Empty for requests about no object in particular.
    pub name: String,
}

/// How it was answered.
#[derive(Debug, Default, Deserialize)]
pub struct ResponseStatus {
    /// HTTP status of the answer.
    #[serde(default)]
    pub code: u16,
}

/// What the API server adds.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Annotations {
    /// `allow` or `forbid`; empty when the request was not let in at all.
    #[serde(rename = "authorization.k8s.io/decision")]
    pub decision: String,
}
