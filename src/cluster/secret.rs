//! Secrets, read and written without kube's typed objects: those can be printed, and kube logs an answer that does not
//! fit a type. Here a value is only ever compared by a keyed hash or copied to the other cluster.
//!
//! Values and request bodies are wiped when they are dropped. What the HTTP and TLS libraries buffered is not.

mod opaque;

#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::BodyExt as _;
use kube::Client;
use kube::client::Body;
use kube::core::Status;
use serde::Deserialize;
use thiserror::Error;
use zeroize::Zeroizing;

use super::call::{CallError, timed};
use super::client::{CALL_TIMEOUT, WRITE_TIMEOUT};
use crate::api::FIELD_MANAGER;
pub use opaque::{Digest, NotASecret, OpaqueSecret, Owner};

/// Why a Secret was not read, created or deleted. Never holds a value, nor text that the API server wrote.
#[derive(Debug, Error)]
pub enum SecretError {
    /// A name that no Secret or namespace can have.
    #[error(
        "{namespace:?}/{name:?} cannot be the name of a Secret: expected lower-case letters, digits, '-' and '.'; \
         correct it"
    )]
    Name {
        /// The namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
    /// Another Secret of that name was there first.
    #[error(
        "Secret {namespace}/{name} exists already and was not created by this call; compare the two, then delete or \
         exclude one"
    )]
    AlreadyExists {
        /// The namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
    /// The Secret that was to be deleted is gone and another has its name.
    #[error("Secret {namespace}/{name} was replaced by another since it was created here; it was left alone")]
    Replaced {
        /// The namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
    },
    /// The call failed.
    #[error("cannot {action} Secret {namespace}/{name}")]
    Call {
        /// What was to be done: get, create or delete.
        action: &'static str,
        /// The namespace.
        namespace: String,
        /// The Secret's name.
        name: String,
        /// Why, without the server's own words.
        #[source]
        source: CallError,
    },
}

impl SecretError {
    /// What the API server or the connection said, where that is the trouble.
    pub fn call(&self) -> Option<&CallError> {
        match self {
            Self::Call { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// What a creation brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Created {
    /// The new object's UID: what a later deletion must name.
    pub uid: String,
}

/// Reads one Secret; `None` when there is no such Secret.
pub async fn get(client: &Client, namespace: &str, name: &str) -> Result<Option<OpaqueSecret>, SecretError> {
    let call = Call::new("get", namespace, name)?;
    let body = match call.exchange(client, Method::GET, &call.object(), Bytes::new()).await {
        Ok(body) => body,
        Err(error) if error.not_found() => return Ok(None),
        Err(error) => return Err(call.failed(error)),
    };
    let secret = OpaqueSecret::from_json(&body).map_err(|error| call.failed(error.into()))?;
    if (secret.namespace(), secret.name()) != (namespace, name) {
        return Err(call.failed(CallError::Unreadable { line: 1, column: 1 }));
    }
    Ok(Some(secret))
}

/// Creates the Secret in `namespace` under its own name. Never changes one that is there.
pub async fn create(client: &Client, namespace: &str, secret: &OpaqueSecret) -> Result<Created, SecretError> {
    let call = Call::new("create", namespace, secret.name())?;
    let path = format!("{}?fieldManager={FIELD_MANAGER}", call.collection());
    let body = Bytes::from_owner(secret.body(namespace));
    match call.exchange(client, Method::POST, &path, body).await {
        Ok(body) => Ok(Created { uid: uid(&body).map_err(|error| call.failed(error.into()))? }),
        Err(error) if error.already_exists() => {
            Err(SecretError::AlreadyExists { namespace: namespace.into(), name: secret.name().into() })
        }
        Err(error) => Err(call.failed(error)),
    }
}

/// Deletes the Secret if it still has this UID. One that is gone already is a success.
pub async fn delete(client: &Client, namespace: &str, name: &str, uid: &str) -> Result<(), SecretError> {
    let call = Call::new("delete", namespace, name)?;
    let options = serde_json::json!({
        "apiVersion": "v1", "kind": "DeleteOptions", "preconditions": {"uid": uid},
    });
    match call.exchange(client, Method::DELETE, &call.object(), options.to_string().into()).await {
        Ok(_) => Ok(()),
        Err(error) if error.not_found() => Ok(()),
        Err(error) if error.is_conflict() => {
            Err(SecretError::Replaced { namespace: namespace.into(), name: name.into() })
        }
        Err(error) => Err(call.failed(error)),
    }
}

#[derive(Deserialize)]
struct CreatedObject {
    metadata: CreatedMetadata,
}

#[derive(Deserialize)]
struct CreatedMetadata {
    uid: String,
}

fn uid(body: &[u8]) -> Result<String, NotASecret> {
    let created: CreatedObject = serde_json::from_slice(body).map_err(|error| NotASecret::at(&error))?;
    Ok(created.metadata.uid)
}

/// One call about one Secret.
struct Call<'a> {
    action: &'static str,
    namespace: &'a str,
    name: &'a str,
}

impl<'a> Call<'a> {
    fn new(action: &'static str, namespace: &'a str, name: &'a str) -> Result<Self, SecretError> {
        if is_name(namespace) && is_name(name) {
            return Ok(Self { action, namespace, name });
        }
        Err(SecretError::Name { namespace: namespace.into(), name: name.into() })
    }

    fn collection(&self) -> String {
        format!("/api/v1/namespaces/{}/secrets", self.namespace)
    }

    fn object(&self) -> String {
        format!("{}/{}", self.collection(), self.name)
    }

    /// The answer's body, or an error without the server's own words: those could repeat a value.
    async fn exchange(
        &self,
        client: &Client,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<Zeroizing<Vec<u8>>, CallError> {
        // A webhook may stand before a write.
        let limit = if method == Method::GET { CALL_TIMEOUT } else { WRITE_TIMEOUT };
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("accept", "application/json")
            .header("content-type", "application/json")
            .body(Body::from(body))
            .map_err(|error| CallError::from(kube::Error::HttpError(error)))?;
        let (status, body) = timed(limit, answer(client, request)).await?;
        if status.is_success() { Ok(body) } else { Err(refusal(status, &body)) }
    }

    fn failed(&self, source: CallError) -> SecretError {
        let Self { action, namespace, name } = *self;
        SecretError::Call { action, namespace: namespace.into(), name: name.into(), source }
    }
}

async fn answer(client: &Client, request: Request<Body>) -> kube::Result<(StatusCode, Zeroizing<Vec<u8>>)> {
    let answer = client.send(request).await?;
    let status = answer.status();
    let body = answer.into_body().collect().await?.to_bytes();
    Ok((status, Zeroizing::new(body.into())))
}

fn refusal(status: StatusCode, body: &[u8]) -> CallError {
    // A gateway's page has no reason; the status code alone has to do.
    let reason = serde_json::from_slice::<Status>(body).map(|status| status.reason).unwrap_or_default();
    let silent = Status::failure("", &reason).with_code(status.as_u16());
    CallError::from(kube::Error::Api(silent.boxed()))
}

/// RFC 1123 subdomain, what Kubernetes asks of a Secret's name. It becomes a part of a path.
fn is_name(text: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let ends = |byte: Option<u8>| byte.is_some_and(inner);
    let bytes = text.as_bytes();
    bytes.len() <= 253
        && ends(bytes.first().copied())
        && ends(bytes.last().copied())
        && bytes.iter().all(|byte| inner(*byte) || matches!(byte, b'-' | b'.'))
}
