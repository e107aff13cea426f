//! Asks a cluster what the operator may do in a namespace, without doing it: `SelfSubjectAccessReview`, which is decided by
//! whatever authorizes requests there, and which every identity may create (ClusterRole `system:basic-user`).
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use tokio::time::Instant;

use super::call::{CallError, timed};
use super::client::CALL_TIMEOUT;
use crate::machine::right::{Right, Rights};

/// Questions at a time: enough to be quick, not enough to be a burden.
const AT_A_TIME: usize = 8;
/// An answer is good for this long: whatever else changes meanwhile, nobody is asked again.
const GOOD_FOR: Duration = Duration::from_secs(5);

/// The operator's identity in one cluster, and the namespace that it asks about.
pub struct Asker<'a> {
    /// The cluster.
    pub client: &'a Client,
    /// The namespace that moves.
    pub namespace: &'a str,
    /// The Secrets that move: rights on them may be granted for each by its name.
    pub secrets: &'a BTreeSet<String>,
}

impl Asker<'_> {
    /// Asks about each of these rights. The first question that is not answered ends it.
    pub async fn ask(&self, rights: BTreeSet<Right>) -> Result<Rights, CallError> {
        let questions: Vec<_> = rights.into_iter().map(|right| self.refused(right)).collect();
        let answers = futures::stream::iter(questions).buffer_unordered(AT_A_TIME);
        let refused: BTreeSet<Right> =
            answers.try_filter_map(|refused| std::future::ready(Ok(refused))).try_collect().await?;
        let account = if refused.is_empty() { String::new() } else { self.account().await? };
        Ok(Rights::Known { refused, account })
    }

    /// The right again, if it is refused.
    async fn refused(&self, right: Right) -> Result<Option<Right>, CallError> {
        if self.is_allowed(right, "").await? {
            return Ok(None);
        }
        let names = self.secrets.iter().filter(|_| right.is_by_name());
        let mut granted_by_name = right.is_by_name() && !self.secrets.is_empty();
        for name in names {
            granted_by_name = granted_by_name && self.is_allowed(right, name).await?;
        }
        Ok(Some(right).filter(|_| !granted_by_name))
    }

    async fn is_allowed(&self, right: Right, name: &str) -> Result<bool, CallError> {
        let spec = SelfSubjectAccessReviewSpec {
            resource_attributes: Some(self.attributes(right, name)),
            ..SelfSubjectAccessReviewSpec::default()
        };
        let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
        let reviews: Api<SelfSubjectAccessReview> = Api::all(self.client.clone());
        let answer = timed(CALL_TIMEOUT, reviews.create(&PostParams::default(), &review)).await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }

    /// As the API server will see the request itself: of all namespaces only this one is read, by its name, and listed by a
    /// field selector, which counts as its name in no namespace.
    fn attributes(&self, right: Right, name: &str) -> ResourceAttributes {
        let is_namespace = right.resource == "namespaces";
        let within = if is_namespace && right.verb != "get" { "" } else { self.namespace };
        let name = if is_namespace { self.namespace } else { name };
        ResourceAttributes {
            group: Some(right.group.to_owned()),
            resource: Some(right.resource.to_owned()),
            verb: Some(right.verb.to_owned()),
            namespace: Some(within.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        }
    }

    /// Who the cluster takes the operator for: whom to give the right to.
    async fn account(&self) -> Result<String, CallError> {
        let reviews: Api<SelfSubjectReview> = Api::all(self.client.clone());
        let (params, review) = (PostParams::default(), SelfSubjectReview::default());
        let answer = timed(CALL_TIMEOUT, reviews.create(&params, &review)).await?;
        Ok(answer.status.and_then(|status| status.user_info?.username).unwrap_or_default())
    }
}

/// The last complete answer of both sides.
#[derive(Default)]
pub struct LastAnswer(Mutex<Option<Answer>>);

#[derive(Clone)]
struct Answer {
    at: Instant,
    about: About,
    rights: [Rights; 2],
}

/// What an answer is about: other credentials and other Secrets are another question.
#[derive(Clone, PartialEq, Eq)]
pub struct About {
    /// The credentials of source and target; see [`State`](super::connection::State).
    pub generations: [u64; 2],
    /// The Secrets that move.
    pub secrets: BTreeSet<String>,
}

impl LastAnswer {
    /// The answer to this question, if it is a fresh one.
    pub fn get(&self, about: &About) -> Option<[Rights; 2]> {
        let answer = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let good = answer.as_ref().filter(|answer| answer.about == *about && answer.at.elapsed() < GOOD_FOR);
        good.map(|answer| answer.rights.clone())
    }

    /// Remembers an answer that is complete, and returns it.
    pub fn remember(&self, about: About, rights: [Rights; 2]) -> [Rights; 2] {
        let is_complete = rights.iter().all(|rights| matches!(rights, Rights::Known { .. }));
        let answer = is_complete.then(|| Answer { at: Instant::now(), about, rights: rights.clone() });
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = answer;
        rights
    }
}
