//! Tells when the Secret with a kubeconfig may have changed. Only its metadata comes this way; who is told reads it.
//!
//! The watch names the one Secret, and it begins without a list. So the role needs `get` and `watch`, never `list`, and
//! both can be narrowed to names of Secrets: a watch of one name is authorised like a read of that name.

use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::core::v1::Secret;
use kube::api::{WatchEvent, WatchParams};
use kube::{Api, Client};
use tokio::sync::Notify;

use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;

/// First wait between two watches; doubled up to [`LONGEST_WAIT`] while they fail.
const FIRST_WAIT: Duration = Duration::from_millis(500);
/// Longest wait between two watches that fail.
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// Watches one Secret for ever. `changed` is notified after each change and each time that the watch begins anew: nobody
/// knows what happened before.
pub(super) async fn follow(home: Client, namespace: String, name: String, changed: Arc<Notify>) {
    let secrets: Api<Secret> = Api::namespaced(home, &namespace);
    let mut wait = FIRST_WAIT;
    let mut told = None;
    loop {
        match watch(&secrets, &name, &changed).await {
            Ok(()) => (wait, told) = (FIRST_WAIT, None),
            Err(error) => {
                let trouble = Some(error.kind_and_words().0);
                if told != trouble {
                    tracing::warn!(secret = name, %error, "the Secret cannot be watched: a change of it is noticed only when a call fails");
                }
                (wait, told) = ((wait * 2).min(LONGEST_WAIT), trouble);
            }
        }
        tokio::time::sleep(wait).await;
    }
}

/// One watch, until the API server ends it.
async fn watch(secrets: &Api<Secret>, name: &str, changed: &Notify) -> Result<(), CallError> {
    let one = WatchParams::default().fields(&format!("metadata.name={name}"));
    // From any version: the object as it is comes first.
    let mut events = timed(CALL_TIMEOUT, secrets.watch_metadata(&one, "0")).await?.boxed();
    changed.notify_one();
    while let Some(event) = events.try_next().await? {
        match event {
            WatchEvent::Bookmark(_) => {}
            WatchEvent::Error(status) => return Err(kube::Error::Api(status).into()),
            WatchEvent::Added(_) | WatchEvent::Modified(_) | WatchEvent::Deleted(_) => changed.notify_one(),
        }
    }
    Ok(())
}
