//! AWS credentials from a Secret in the operator's namespace.

use std::fmt;
use std::time::{Duration, SystemTime};

use aws_credential_types::Credentials;
use aws_credential_types::provider::error::CredentialsError;
use aws_credential_types::provider::{ProvideCredentials, Result, future};

use crate::cluster::connection::HomeAccess;
use crate::cluster::secret::{self, OpaqueSecret};

/// The Secret is read again after this time: one that is replaced or taken away counts then at the latest.
const LAST: Duration = Duration::from_secs(300);

const KEY_ID: &str = "AWS_ACCESS_KEY_ID";
const KEY: &str = "AWS_SECRET_ACCESS_KEY";
const TOKEN: &str = "AWS_SESSION_TOKEN";

/// Why a Secret brings no credentials. Never a value.
#[derive(Debug, thiserror::Error)]
enum NoCredentials {
    #[error("there is no Secret {namespace}/{name}; create it with {KEY_ID} and {KEY}")]
    NoSecret { namespace: String, name: String },
    #[error("Secret {namespace}/{name} has no text under {key}; add it")]
    NoKey { namespace: String, name: String, key: &'static str },
}

/// Reads the credentials from a Secret.
pub(super) struct FromSecret {
    name: String,
    home: HomeAccess,
}

impl FromSecret {
    pub(super) fn new(name: String, home: HomeAccess) -> Self {
        Self { name, home }
    }

    async fn read(&self) -> Result {
        let (namespace, name) = (&self.home.namespace, &self.name);
        let found = secret::get(&self.home.clients.requests, namespace, name).await;
        let Some(found) = found.map_err(CredentialsError::provider_error)? else {
            let missing = NoCredentials::NoSecret { namespace: namespace.clone(), name: name.clone() };
            return Err(CredentialsError::provider_error(missing));
        };
        let needed = |key| {
            let missing = || NoCredentials::NoKey { namespace: namespace.clone(), name: name.clone(), key };
            text(&found, key).ok_or_else(|| CredentialsError::provider_error(missing()))
        };
        let token = text(&found, TOKEN).map(str::to_owned);
        let expires = SystemTime::from(crate::cluster::now()) + LAST;
        Ok(Credentials::new(needed(KEY_ID)?, needed(KEY)?, token, Some(expires), "Secret"))
    }
}

/// The text under a key, without the line end that editors add.
fn text<'a>(secret: &'a OpaqueSecret, key: &str) -> Option<&'a str> {
    let text = std::str::from_utf8(secret.reveal(key)?).ok()?.trim();
    (!text.is_empty()).then_some(text)
}

impl fmt::Debug for FromSecret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("FromSecret").field("name", &self.name).finish_non_exhaustive()
    }
}

impl ProvideCredentials for FromSecret {
    fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
    where
        Self: 'a,
    {
        future::ProvideCredentials::new(self.read())
    }
}

#[cfg(test)]
mod tests {
    use std::error::Error as _;
    use std::path::PathBuf;

    use axum::Router;
    use axum::http::StatusCode;
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::client::{HomeSource, connect};
    use crate::cluster::local_api::serve;
    use crate::metrics::{ClusterSide, Metrics};

    /// A home cluster whose only Secret is `operator/aws`, with this data; None: it has none.
    async fn home(data: Option<Value>) -> HomeAccess {
        let secret = data.map(|data| {
            let metadata = json!({"name": "aws", "namespace": "operator"});
            json!({"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}).to_string()
        });
        let status = if secret.is_some() { StatusCode::OK } else { StatusCode::NOT_FOUND };
        let answer = (status, secret.unwrap_or_default());
        let router = Router::new().fallback(async move || answer);
        let config = kube::Config::new(format!("http://{}", serve(router).await).parse().unwrap());
        let metrics = Metrics::default();
        let clients = connect(&config, ClusterSide::Home, &metrics).unwrap();
        HomeAccess { source: HomeSource::File(PathBuf::new()), clients, namespace: "operator".to_owned(), metrics }
    }

    #[tokio::test]
    async fn a_secret_that_brings_no_credentials_is_named_with_what_it_lacks() {
        let cases = [
            (None, "there is no Secret operator/aws; create it with AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
            (
                Some(json!({"AWS_SECRET_ACCESS_KEY": "a2V5"})),
                "Secret operator/aws has no text under AWS_ACCESS_KEY_ID; add it",
            ),
            (
                Some(json!({"AWS_ACCESS_KEY_ID": "cmVhZGVy", "AWS_SECRET_ACCESS_KEY": "Cg=="})),
                "Secret operator/aws has no text under AWS_SECRET_ACCESS_KEY; add it",
            ),
        ];
        for (data, said) in cases {
            let error = FromSecret::new("aws".to_owned(), home(data).await).read().await.unwrap_err();
            assert_eq!(error.source().map(ToString::to_string).as_deref(), Some(said));
        }
    }
}
