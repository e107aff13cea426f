//! A Secret that cannot be printed.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::hmac;
use serde::Deserialize;
use serde::de::{self, Deserializer, Visitor};
use serde_json::{Value as Json, json};
use thiserror::Error;
use zeroize::Zeroizing;

use crate::cluster::call::CallError;
use crate::replicate::is_tracking_key;

/// Something is not a Secret as the API server writes it. Says where; the text itself may be a value.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("not a Secret as the API server writes it (line {line}, column {column})")]
pub struct NotASecret {
    line: usize,
    column: usize,
}

impl NotASecret {
    pub(super) fn at(error: &serde_json::Error) -> Self {
        Self { line: error.line(), column: error.column() }
    }
}

impl From<NotASecret> for CallError {
    fn from(NotASecret { line, column }: NotASecret) -> Self {
        Self::Unreadable { line, column }
    }
}

/// A keyed hash of one value, in hexadecimal. Equal under one key only where key name and value are equal; without the
/// key it says nothing, so it may be shown.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest(String);

impl fmt::Display for Digest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

/// An object that a Secret belongs to.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Owner {
    /// Such as `SealedSecret`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// A Secret with its values. Has neither `Debug` nor `Serialize`; values are wiped when dropped.
#[derive(Clone)]
pub struct OpaqueSecret {
    metadata: Metadata,
    secret_type: String,
    immutable: Option<bool>,
    data: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct Wire {
    kind: String,
    metadata: Metadata,
    #[serde(rename = "type", default)]
    secret_type: String,
    #[serde(default)]
    immutable: Option<bool>,
    #[serde(default)]
    data: Option<BTreeMap<String, Value>>,
}

#[derive(Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Metadata {
    name: String,
    namespace: String,
    uid: String,
    resource_version: String,
    deletion_timestamp: Option<String>,
    labels: Option<BTreeMap<String, String>>,
    annotations: Option<BTreeMap<String, String>>,
    owner_references: Option<Vec<Owner>>,
}

#[derive(Clone)]
struct Value(Zeroizing<Vec<u8>>);

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(Base64)
    }
}

struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Value;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("base64")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Value, E> {
        STANDARD.decode(text).map(|bytes| Value(Zeroizing::new(bytes))).map_err(|_| E::custom("not base64"))
    }
}

impl OpaqueSecret {
    /// Reads a Secret as the API server writes it. The error never repeats any of it.
    pub fn from_json(json: &[u8]) -> Result<Self, NotASecret> {
        let wire: Wire = serde_json::from_slice(json).map_err(|error| NotASecret::at(&error))?;
        if wire.kind != "Secret" || wire.metadata.name.is_empty() {
            return Err(NotASecret { line: 1, column: 1 });
        }
        let Wire { metadata, secret_type, immutable, data, .. } = wire;
        Ok(Self { metadata, secret_type, immutable, data: data.unwrap_or_default() })
    }

    /// `metadata.name`.
    pub fn name(&self) -> &str {
        &self.metadata.name
    }

    /// `metadata.namespace`.
    pub fn namespace(&self) -> &str {
        &self.metadata.namespace
    }

    /// `metadata.uid`; empty on a sanitised copy.
    pub fn uid(&self) -> &str {
        &self.metadata.uid
    }

    /// `metadata.resourceVersion`; empty on a sanitised copy.
    pub fn resource_version(&self) -> &str {
        &self.metadata.resource_version
    }

    /// `type`, such as `Opaque` or `kubernetes.io/tls`.
    pub fn secret_type(&self) -> &str {
        &self.secret_type
    }

    /// Whether the Secret can never be changed.
    pub fn is_immutable(&self) -> bool {
        self.immutable == Some(true)
    }

    /// Whether the Secret is being deleted.
    pub fn is_terminating(&self) -> bool {
        self.metadata.deletion_timestamp.is_some()
    }

    /// The value of a label.
    pub fn label(&self, key: &str) -> Option<&str> {
        self.metadata.labels.as_ref()?.get(key).map(String::as_str)
    }

    /// The value of an annotation. Mind that kubectl's last-applied configuration holds all the Secret's values.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.metadata.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The objects that it belongs to, and that will delete or rewrite it.
    pub fn owners(&self) -> &[Owner] {
        self.metadata.owner_references.as_deref().unwrap_or_default()
    }

    /// The keys of `data`.
    pub fn data_keys(&self) -> impl Iterator<Item = &str> {
        self.data.keys().map(String::as_str)
    }

    /// One value of `data`. It must not be shown, logged or stored.
    pub fn reveal(&self, key: &str) -> Option<&[u8]> {
        self.data.get(key).map(|value| value.0.as_slice())
    }

    /// A hash of each value under `key`, by the data key it stands at. Draw a new `key` at each start: short values
    /// could be guessed from a hash whose key is known.
    pub fn digest(&self, key: &hmac::Key) -> BTreeMap<String, Digest> {
        self.data.iter().map(|(name, value)| (name.clone(), hash(key, name, &value.0))).collect()
    }

    /// The copy for the other cluster: name, namespace, type, `immutable` and data stay; labels and annotations stay
    /// but for what tools track their own by; `labels` and `annotations` are added and win; everything else is dropped,
    /// finalizers, owners and UID included.
    #[must_use]
    pub fn sanitised(&self, labels: &BTreeMap<String, String>, annotations: &BTreeMap<String, String>) -> OpaqueSecret {
        let metadata = Metadata {
            name: self.metadata.name.clone(),
            namespace: self.metadata.namespace.clone(),
            labels: Some(kept(self.metadata.labels.as_ref(), labels)),
            annotations: Some(kept(self.metadata.annotations.as_ref(), annotations)),
            ..Metadata::default()
        };
        Self { metadata, secret_type: self.secret_type.clone(), immutable: self.immutable, data: self.data.clone() }
    }

    /// The body of the POST that creates it, in a buffer that is wiped and never grows, so that no copy stays behind.
    pub(super) fn body(&self, namespace: &str) -> Zeroizing<String> {
        let head = self.head(namespace);
        let entries: Vec<(String, &Value)> =
            self.data.iter().map(|(key, value)| (format!("{}:\"", Json::from(key.as_str())), value)).collect();
        let length = |(key, value): &(String, &Value)| key.len() + base64_length(value) + 2;
        let capacity = head.len() + entries.iter().map(length).sum::<usize>() + DATA.len() + END.len();
        let mut body = Zeroizing::new(String::with_capacity(capacity));
        body.push_str(&head);
        body.push_str(DATA);
        for (index, (key, value)) in entries.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            body.push_str(key);
            STANDARD.encode_string(value.0.as_slice(), &mut body);
            body.push('"');
        }
        body.push_str(END);
        body
    }

    /// Everything but the data, without the closing brace.
    fn head(&self, namespace: &str) -> String {
        let mut head = json!({
            "apiVersion": "v1",
            "kind": "Secret",
            "metadata": {
                "name": self.metadata.name,
                "namespace": namespace,
                "labels": self.metadata.labels.clone().unwrap_or_default(),
                "annotations": self.metadata.annotations.clone().unwrap_or_default(),
            },
            "type": self.secret_type,
        });
        if let Some(immutable) = self.immutable {
            head["immutable"] = immutable.into();
        }
        let mut head = head.to_string();
        head.pop();
        head
    }
}

const DATA: &str = ",\"data\":{";
const END: &str = "}}";

fn base64_length(value: &Value) -> usize {
    value.0.len().div_ceil(3).saturating_mul(4)
}

fn hash(key: &hmac::Key, name: &str, value: &[u8]) -> Digest {
    let mut context = hmac::Context::with_key(key);
    // The length keeps a key that ends like a value begins apart from another pair with the same bytes.
    context.update(&(name.len() as u64).to_be_bytes());
    context.update(name.as_bytes());
    context.update(value);
    let hexadecimal = |nibble: u8| char::from_digit(nibble.into(), 16);
    Digest(context.sign().as_ref().iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(hexadecimal).collect())
}

fn kept(theirs: Option<&BTreeMap<String, String>>, ours: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    let mut kept: BTreeMap<String, String> = theirs.cloned().unwrap_or_default();
    kept.retain(|key, _| !is_tracking_key(key));
    kept.extend(ours.clone());
    kept
}
