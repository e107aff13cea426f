//! Asks the home cluster what the operator may do there: for all namespaces at first, and only where that is refused for the
//! migration's own namespace or for the Secrets of its pair by their names.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use k8s_openapi::api::authorization::v1::ResourceAttributes;
use kube::Client;

use super::call::CallError;
use super::rights::{account, is_allowed};
use crate::machine::right::{Place, Right, Rights};
use crate::mutex::locked;

/// An answer without a gap is good for this long: a right that is taken away later is met where it is needed.
const GOOD_FOR: Duration = Duration::from_secs(300);
/// One with a gap: somebody is about to mend it.
const GAP_STANDS: Duration = Duration::from_secs(5);

/// What the operator may do on its home cluster, asked once for all migrations.
pub struct HomeRights {
    client: Client,
    operator_namespace: String,
    lease: Option<String>,
    last: Mutex<Option<Answer>>,
}

#[derive(Clone)]
struct Answer {
    at: Instant,
    refused: BTreeSet<Right>,
    account: String,
}

/// What one migration needs at home.
pub struct Asked<'a> {
    /// The namespace of the migration object.
    pub namespace: &'a str,
    /// The Secrets with the kubeconfigs of its pair.
    pub kubeconfigs: BTreeSet<String>,
    /// The Secret with the AWS keys of its pair. It is read, not watched.
    pub keys: Option<String>,
}

impl HomeRights {
    /// Nothing is asked yet. Without a `lease` none is needed.
    pub fn new(client: Client, operator_namespace: String, lease: Option<String>) -> Self {
        Self { client, operator_namespace, lease, last: Mutex::default() }
    }

    /// The operator's own namespace.
    pub fn operator_namespace(&self) -> &str {
        &self.operator_namespace
    }

    /// What is refused for all namespaces. A narrower grant may be enough for each migration.
    pub async fn everywhere(&self) -> Rights {
        known(self.answer().await.map(|answer| (answer.refused, answer.account)))
    }

    /// What is refused of what one migration needs.
    pub async fn of(&self, asked: &Asked<'_>) -> Rights {
        known(self.refused_to(asked).await)
    }

    async fn refused_to(&self, asked: &Asked<'_>) -> Result<(BTreeSet<Right>, String), CallError> {
        let answer = self.answer().await?;
        let mut refused = BTreeSet::new();
        for right in answer.refused {
            if !self.is_granted_narrowly(right, asked).await? {
                refused.insert(right);
            }
        }
        Ok((refused, answer.account))
    }

    async fn answer(&self) -> Result<Answer, CallError> {
        let last = locked(&self.last).clone().filter(Answer::is_good);
        if let Some(answer) = last {
            return Ok(answer);
        }
        let rights = Right::at_home(self.lease.is_some());
        let questions = rights.into_iter().map(|right| async move {
            let allowed = is_allowed(&self.client, self.attributes(right, "", self.lease_name(right))).await?;
            Ok::<_, CallError>((!allowed).then_some(right))
        });
        let (refused, account) = futures::join!(futures::future::try_join_all(questions), account(&self.client));
        let answer = Answer { at: Instant::now(), refused: refused?.into_iter().flatten().collect(), account };
        *locked(&self.last) = Some(answer.clone());
        Ok(answer)
    }

    async fn is_granted_narrowly(&self, right: Right, asked: &Asked<'_>) -> Result<bool, CallError> {
        match right.place_at_home() {
            Place::Migrations if !right.is_collection() => {
                is_allowed(&self.client, self.attributes(right, asked.namespace, "")).await
            }
            Place::Operators if right.is_by_name() => {
                let keys = asked.keys.iter().filter(|_| right.verb == "get");
                for name in asked.kubeconfigs.iter().chain(keys) {
                    if !is_allowed(&self.client, self.attributes(right, "", name)).await? {
                        return Ok(false);
                    }
                }
                Ok(true)
            }
            Place::Migrations | Place::Operators | Place::Cluster => Ok(false),
        }
    }

    /// A name cannot be given for what does not exist yet.
    fn lease_name(&self, right: Right) -> &str {
        let named = right.resource == "leases" && right.verb != "create";
        self.lease.as_deref().filter(|_| named).unwrap_or_default()
    }

    fn attributes(&self, right: Right, namespace: &str, name: &str) -> ResourceAttributes {
        let within = if right.place_at_home() == Place::Operators { &self.operator_namespace } else { namespace };
        let (resource, subresource) = right.resource.split_once('/').unwrap_or((right.resource, ""));
        ResourceAttributes {
            group: Some(right.group.to_owned()),
            resource: Some(resource.to_owned()),
            subresource: Some(subresource.to_owned()),
            verb: Some(right.verb.to_owned()),
            namespace: Some(within.to_owned()),
            name: Some(name.to_owned()),
            ..ResourceAttributes::default()
        }
    }
}

impl Answer {
    fn is_good(&self) -> bool {
        self.at.elapsed() < if self.refused.is_empty() { GOOD_FOR } else { GAP_STANDS }
    }
}

fn known(answer: Result<(BTreeSet<Right>, String), CallError>) -> Rights {
    match answer {
        Ok((refused, account)) => Rights::Known { refused, account },
        Err(error) => Rights::Unknown { why: error.to_string() },
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::cluster::local_api::Reviews;

    async fn refused(reviews: &Reviews, namespace: &str, kubeconfigs: &[&str]) -> Vec<String> {
        let home = HomeRights::new(reviews.client.clone(), "ops".into(), Some("one".into()));
        let kubeconfigs = kubeconfigs.iter().map(ToString::to_string).collect();
        match home.of(&Asked { namespace, kubeconfigs, keys: Some("aws".to_owned()) }).await {
            Rights::Known { refused, .. } => {
                refused.iter().map(|right| format!("{} {}", right.verb, right.resource)).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn everything_is_asked_once_for_all_namespaces_and_then_known() {
        let reviews = Reviews::start(|_| true).await;
        let home = HomeRights::new(reviews.client.clone(), "ops".into(), Some("one".into()));
        for namespace in ["shop", "shop", "tea"] {
            let rights = home.of(&Asked { namespace, kubeconfigs: ["green".to_owned()].into(), keys: None }).await;
            assert_eq!(rights, Rights::Known { refused: BTreeSet::new(), account: "mover".into() });
        }
        let asked = reviews.asked();
        assert_eq!(asked.len(), Right::at_home(true).len());
        let of = |verb: &str, resource: &str, field: &str| {
            let found = asked.iter().find(|asked| asked["verb"] == verb && asked["resource"] == resource);
            found.unwrap()[field].as_str().unwrap_or_default().to_owned()
        };
        assert_eq!((of("update", "leases", "name"), of("update", "leases", "namespace")), ("one".into(), "ops".into()));
        assert_eq!(of("create", "leases", "name"), "");
        assert_eq!(
            (of("get", "secrets", "namespace"), of("create", "events", "namespace")),
            ("ops".into(), String::new())
        );
        let subresources: Vec<_> = asked
            .iter()
            .filter(|asked| asked["verb"] == "patch" && asked["resource"] == "clusterpairs")
            .map(|asked| asked["subresource"].as_str().unwrap_or_default())
            .collect();
        assert_eq!(subresources.len(), 2, "its finalizer and its status");
        assert!(subresources.contains(&"") && subresources.contains(&"status"), "{subresources:?}");
    }

    #[tokio::test]
    async fn aws_keys_that_the_role_does_not_name_are_a_gap_for_reading_alone() {
        let reviews = Reviews::start(|asked| asked["resource"] != "secrets" || asked["name"] == "green").await;
        assert_eq!(refused(&reviews, "shop", &["green"]).await, ["get secrets"]);
    }

    #[tokio::test]
    async fn what_is_granted_in_the_migrations_namespace_or_by_name_is_no_gap() {
        fn narrow(asked: &Value) -> bool {
            asked["namespace"] == "shop"
                || ["green", "aws"].contains(&asked["name"].as_str().unwrap_or_default())
                || asked["resource"] == "clusterpairs"
        }
        let reviews = Reviews::start(narrow).await;
        let lease = ["create leases", "get leases", "update leases"].map(str::to_owned);
        let listed = ["list namespacemigrations", "watch namespacemigrations"].map(str::to_owned);
        let told = refused(&reviews, "shop", &["green"]).await;
        assert!(lease.iter().chain(&listed).all(|gap| told.contains(gap)) && told.len() == 5, "{told:?}");
        let told = refused(&reviews, "tea", &["green", "blue"]).await;
        for gap in ["create events", "patch namespacemigrations/status", "get secrets", "watch secrets"] {
            assert!(told.contains(&gap.to_owned()), "{gap} is not in {told:?}");
        }
        assert!(!refused(&reviews, "shop", &[]).await.contains(&"get secrets".to_owned()), "no kubeconfig is needed");
    }
}
