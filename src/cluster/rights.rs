//! Asks a cluster what the operator may do in a namespace, without doing it: `SelfSubjectAccessReview`, which is decided by
//! whatever authorizes requests there, and which every identity may create (ClusterRole `system:basic-user`).
//! <https://kubernetes.io/docs/reference/access-authn-authz/authorization/#checking-api-access>

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use futures::{StreamExt as _, TryStreamExt as _};
use k8s_openapi::api::authentication::v1::SelfSubjectReview;
use k8s_openapi::api::authorization::v1::{ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};

use super::call::{CallError, timed};
use super::client::CALL_TIMEOUT;
use crate::machine::right::{Right, Rights};
use crate::mutex::locked;

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
        let account = if refused.is_empty() { String::new() } else { account(self.client).await };
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
        is_allowed(self.client, self.attributes(right, name)).await
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
}

/// Whether the client's identity may do this.
pub(super) async fn is_allowed(client: &Client, attributes: ResourceAttributes) -> Result<bool, CallError> {
    let spec =
        SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..SelfSubjectAccessReviewSpec::default() };
    let review = SelfSubjectAccessReview { spec, ..SelfSubjectAccessReview::default() };
    let reviews: Api<SelfSubjectAccessReview> = Api::all(client.clone());
    let answer = timed(CALL_TIMEOUT, reviews.create(&PostParams::default(), &review)).await?;
    Ok(answer.status.is_some_and(|status| status.allowed))
}

/// Who the cluster takes the client for: whom to give a right to. Empty when it does not say: the gaps are told all the same.
pub(super) async fn account(client: &Client) -> String {
    let reviews: Api<SelfSubjectReview> = Api::all(client.clone());
    let (params, review) = (PostParams::default(), SelfSubjectReview::default());
    match timed(CALL_TIMEOUT, reviews.create(&params, &review)).await {
        Ok(answer) => answer.status.and_then(|status| status.user_info?.username).unwrap_or_default(),
        Err(error) => {
            tracing::debug!(%error, "a cluster does not say who the operator is there");
            String::new()
        }
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
    pub fn get(&self, about: &About, now: Instant) -> Option<[Rights; 2]> {
        let answer = locked(&self.0);
        let good = answer.as_ref().filter(|answer| answer.about == *about && now.duration_since(answer.at) < GOOD_FOR);
        good.map(|answer| answer.rights.clone())
    }

    /// Remembers an answer that is complete, and returns it.
    pub fn remember(&self, about: About, at: Instant, rights: [Rights; 2]) -> [Rights; 2] {
        let is_complete = rights.iter().all(|rights| matches!(rights, Rights::Known { .. }));
        let answer = is_complete.then(|| Answer { at, about, rights: rights.clone() });
        *locked(&self.0) = answer;
        rights
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::cluster::local_api::Reviews;
    use crate::machine::Side;

    async fn asked_of(reviews: &Reviews, secrets: &[&str]) -> Rights {
        let secrets = secrets.iter().map(|name| (*name).to_owned()).collect();
        let asker = Asker { client: &reviews.client, namespace: "shop", secrets: &secrets };
        asker.ask(Right::all(Side::Target)).await.unwrap()
    }

    async fn asked(allows: fn(&Value) -> bool, secrets: &[&str]) -> (Rights, Vec<Value>) {
        let reviews = Reviews::start(allows).await;
        (asked_of(&reviews, secrets).await, reviews.asked())
    }

    #[tokio::test]
    async fn gaps_are_told_although_the_cluster_does_not_say_who_the_operator_is() {
        let reviews = Reviews::nameless(|asked| asked["verb"] != "patch").await;
        let refused = Right::all(Side::Target).into_iter().filter(|right| right.verb == "patch").collect();
        assert_eq!(asked_of(&reviews, &[]).await, Rights::Known { refused, account: String::new() });
    }

    #[tokio::test]
    async fn each_right_is_asked_for_once_as_the_request_itself_will_be_seen() {
        let (rights, questions) = asked(|_| true, &["a"]).await;
        assert_eq!(rights, Rights::Known { refused: BTreeSet::new(), account: String::new() });
        assert_eq!(questions.len(), Right::all(Side::Target).len());
        let about = |verb: &str, resource: &str| {
            let found = questions.iter().find(|asked| asked["verb"] == verb && asked["resource"] == resource);
            let asked = found.unwrap();
            (asked["group"].clone(), asked["namespace"].clone(), asked["name"].clone())
        };
        assert_eq!(about("get", "namespaces"), (json!(""), json!("shop"), json!("shop")));
        assert_eq!(about("watch", "namespaces"), (json!(""), json!(""), json!("shop")));
        assert_eq!(about("patch", "ingresses"), (json!("networking.k8s.io"), json!("shop"), json!("")));
    }

    #[tokio::test]
    async fn a_secret_may_be_granted_by_name_and_what_is_refused_comes_with_the_account() {
        let by_name =
            |asked: &Value| asked["resource"] != "secrets" || (asked["verb"] == "get" && asked["name"] == "a");
        let refused_to = |rights: Rights| match rights {
            Rights::Known { refused, account } => (refused.iter().map(|right| right.verb).collect::<Vec<_>>(), account),
            other => panic!("{other:?}"),
        };
        assert_eq!(refused_to(asked(by_name, &["a"]).await.0), (vec!["create", "delete"], "mover".to_owned()));
        assert_eq!(
            refused_to(asked(by_name, &["a", "b"]).await.0),
            (vec!["create", "delete", "get"], "mover".to_owned())
        );
        assert_eq!(refused_to(asked(by_name, &[]).await.0), (vec!["create", "delete", "get"], "mover".to_owned()));
    }

    #[test]
    fn an_answer_is_good_for_its_question_and_for_a_short_time() {
        let about = About { generations: [1, 1], secrets: BTreeSet::new() };
        let known = Rights::Known { refused: BTreeSet::new(), account: String::new() };
        let (last, now) = (LastAnswer::default(), Instant::now());
        last.remember(about.clone(), now, [known.clone(), Rights::Unknown { why: "it hung".into() }]);
        assert_eq!(last.get(&about, now), None, "what is not known is asked again");
        last.remember(about.clone(), now, [known.clone(), known.clone()]);
        assert!(last.get(&about, now).is_some());
        assert_eq!(last.get(&About { generations: [1, 2], ..about.clone() }, now), None, "the credentials are others");
        assert_eq!(last.get(&about, now + GOOD_FOR), None);
    }
}
