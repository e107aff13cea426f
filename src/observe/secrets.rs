//! Secrets on both sides, by name: presence, type and keyed hashes. No value leaves this module.

use std::collections::BTreeMap;

use futures::StreamExt as _;
use ring::hmac;

use crate::api::OWNER_LABEL;
use crate::cluster::namespace_watch::NamespaceWatch;
use crate::cluster::secret::{self, OpaqueSecret};
use crate::machine::observed::{SecretFacts, SecretPresence, SecretView};
use crate::replicate;
use crate::site::Site;

/// Reads at a time: enough to be quick, not enough to be a burden.
const AT_A_TIME: usize = 8;

pub(super) async fn read(
    site: &Site,
    namespace: &str,
    names: &[String],
    key: &hmac::Key,
) -> BTreeMap<String, SecretView> {
    let reads = names.iter().map(|name| async move {
        let (source, target) =
            futures::join!(presence(&site.source, namespace, name, key), presence(&site.target, namespace, name, key));
        (name.clone(), SecretView { source, target })
    });
    let reads: Vec<_> = reads.collect();
    futures::stream::iter(reads).buffer_unordered(AT_A_TIME).collect().await
}

async fn presence(side: &NamespaceWatch, namespace: &str, name: &str, key: &hmac::Key) -> SecretPresence {
    let state = side.connection().state();
    let Some(clients) = state.clients.filter(|_| state.reach.is_reachable()) else {
        return SecretPresence::Unknown { why: format!("the cluster {}", state.reach.trouble()) };
    };
    match secret::get(&clients.requests, namespace, name).await {
        Ok(None) => SecretPresence::Absent,
        Ok(Some(found)) => SecretPresence::Present(facts(&found, key)),
        Err(error) => {
            if let Some(call) = error.call() {
                side.connection().report(call);
            }
            SecretPresence::Unknown { why: crate::causes::whole(&error) }
        }
    }
}

fn facts(secret: &OpaqueSecret, key: &hmac::Key) -> SecretFacts {
    SecretFacts {
        uid: secret.uid().to_owned(),
        kind: secret.secret_type().to_owned(),
        refusal: replicate::refusal(secret.name(), secret.secret_type(), !secret.owners().is_empty()),
        digests: secret.digest(key).into_iter().map(|(name, digest)| (name, digest.to_string())).collect(),
        created_by: secret.label(OWNER_LABEL).map(str::to_owned),
    }
}
