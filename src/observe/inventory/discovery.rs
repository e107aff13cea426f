//! What an API server serves: each group asked for itself, so that one that fails does not hide the others
//! (<https://kubernetes.io/docs/concepts/overview/kubernetes-api/#discovery-api>).

use std::collections::{BTreeMap, BTreeSet};

use http::Request;
use http::header::DATE;
use http_body_util::BodyExt as _;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{APIGroup, APIResourceList};
use k8s_openapi::apimachinery::pkg::version::Info;
use kube::Client;
use kube::client::Body;

use super::unread;
use crate::cluster::call::{CallError, timed};
use crate::cluster::client::CALL_TIMEOUT;
use crate::machine::inventory::{Kind, Unread};

/// Never copied, whoever made them: only that they are there may matter. Of Pods it also matters what was put into them.
const METADATA_ONLY: [&str; 4] = ["ReplicaSet", "ControllerRevision", "EndpointSlice", "Endpoints"];

/// Not looked at: values that a list would bring, what happened, what is measured, and our own.
const LEFT_OUT: [(&str, &str); 8] = [
    ("", "Secret"),
    ("", "Event"),
    ("events.k8s.io", "Event"),
    ("metrics.k8s.io", "PodMetrics"),
    ("authorization.k8s.io", "LocalSubjectAccessReview"),
    ("", "Binding"),
    ("namespacemigration.io", "NamespaceMigration"),
    ("coordination.k8s.io", "LeaseCandidate"),
];

/// Groups that served kinds which another group serves by now.
const OLD_GROUPS: [(&str, &str); 1] = [("extensions", "networking.k8s.io")];

/// What an API server serves and says of itself.
#[derive(Debug, Default)]
pub(super) struct Discovered {
    pub(super) version: Option<(u32, u32)>,
    pub(super) clock_ahead_millis: Option<i64>,
    pub(super) unread: Vec<Unread>,
    /// In the server's order of preference: groups as it lists them, the preferred version first.
    kinds: Vec<Listable>,
}

/// A kind that can be listed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listable {
    pub(super) kind: Kind,
    /// Its plural name.
    pub(super) plural: String,
    pub(super) metadata_only: bool,
    namespaced: bool,
}

impl Listable {
    /// As people and roles name it: `deployments.apps`.
    pub(super) fn name(&self) -> String {
        if self.kind.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.kind.group) }
    }

    fn is(&self, (group, kind): (&str, &str)) -> bool {
        self.kind.is(group, kind)
    }
}

impl Discovered {
    /// Every kind at every version.
    pub(super) fn served(&self) -> BTreeSet<Kind> {
        self.kinds.iter().map(|known| known.kind.clone()).collect()
    }

    /// What is listed in a namespace: each kind once, at a version that the `other` side serves too, or at the preferred one.
    pub(super) fn inside(&self, other: &BTreeSet<Kind>) -> Vec<Listable> {
        let replaced = |known: &Listable| {
            let group = OLD_GROUPS.into_iter().find(|(old, _)| *old == known.kind.group);
            group.is_some_and(|(_, new)| self.kinds.iter().any(|kind| kind.is((new, &known.kind.kind))))
        };
        let wanted = self.kinds.iter().filter(|known| {
            known.namespaced && !replaced(known) && !LEFT_OUT.into_iter().any(|left_out| known.is(left_out))
        });
        each_once(wanted, other)
    }

    /// What is listed of the cluster's own kinds.
    pub(super) fn of_the_cluster(&self, wanted: &[(&str, &str)]) -> Vec<Listable> {
        let wanted = self.kinds.iter().filter(|known| wanted.iter().any(|kind| known.is(*kind)));
        each_once(wanted, &BTreeSet::new())
    }
}

fn each_once<'a>(kinds: impl Iterator<Item = &'a Listable>, other: &BTreeSet<Kind>) -> Vec<Listable> {
    let mut chosen: BTreeMap<(&str, &str), &Listable> = BTreeMap::new();
    for known in kinds {
        let best = chosen.entry((&known.kind.group, &known.kind.kind)).or_insert(known);
        if !other.contains(&best.kind) && other.contains(&known.kind) {
            *best = known;
        }
    }
    chosen.into_values().cloned().collect()
}

/// Asks a server for everything that it serves.
pub(super) async fn discover(client: &Client) -> Discovered {
    let mut found = Discovered::default();
    match introduction(client).await {
        Ok((version, ahead)) => (found.version, found.clock_ahead_millis) = (version, ahead),
        Err(error) => found.unread.push(unread("the version of the API server".to_owned(), &error)),
    }
    let core = timed(CALL_TIMEOUT, client.list_core_api_resources("v1")).await;
    found.add("v1", core);
    match timed(CALL_TIMEOUT, client.list_api_groups()).await {
        Ok(groups) => found.add_groups(client, groups.groups).await,
        Err(error) => found.unread.push(unread("the list of API groups".to_owned(), &error)),
    }
    found
}

impl Discovered {
    async fn add_groups(&mut self, client: &Client, groups: Vec<APIGroup>) {
        let versions: Vec<_> = groups.iter().flat_map(versions).collect();
        let asked = versions.iter().map(|version| timed(CALL_TIMEOUT, client.list_api_group_resources(version)));
        let answers = futures::future::join_all(asked).await;
        for (version, answer) in versions.iter().zip(answers) {
            self.add(version, answer);
        }
    }

    fn add(&mut self, group_version: &str, answer: Result<APIResourceList, CallError>) {
        let resources = match answer {
            Ok(answer) => answer.resources,
            Err(error) => return self.unread.push(unread(format!("API group {group_version}"), &error)),
        };
        let (group, version) = group_version.rsplit_once('/').unwrap_or(("", group_version));
        // A subresource has a slash in its name and is of no kind of its own.
        let objects = resources.into_iter().filter(|known| !known.name.contains('/'));
        let listable = objects.filter(|known| known.verbs.iter().any(|verb| verb == "list"));
        self.kinds.extend(listable.map(|known| Listable {
            metadata_only: METADATA_ONLY.contains(&known.kind.as_str()),
            kind: Kind::new(group, version, &known.kind),
            plural: known.name,
            namespaced: known.namespaced,
        }));
    }
}

/// The versions of a group, the preferred one first.
fn versions(group: &APIGroup) -> Vec<String> {
    let preferred = group.preferred_version.iter().map(|version| version.group_version.clone());
    let all = group.versions.iter().map(|version| version.group_version.clone());
    let mut versions: Vec<String> = vec![];
    for version in preferred.chain(all) {
        if !versions.contains(&version) {
            versions.push(version);
        }
    }
    versions
}

type Introduction = (Option<(u32, u32)>, Option<i64>);

/// The server's version, and how far its clock is ahead of ours: the header says it to the second.
async fn introduction(client: &Client) -> Result<Introduction, CallError> {
    let request = Request::get("/version").body(Body::empty()).map_err(kube::Error::HttpError)?;
    let asked_at = crate::cluster::now();
    let (date, body) = timed(CALL_TIMEOUT, async {
        let answer = client.send(request).await?;
        let date = answer.headers().get(DATE).and_then(|date| date.to_str().ok()).map(str::to_owned);
        Ok::<_, kube::Error>((date, answer.into_body().collect().await?.to_bytes()))
    })
    .await?;
    let version = serde_json::from_slice::<Info>(&body).ok().and_then(|info| numbers(&info));
    let date = date.and_then(|date| jiff::fmt::rfc2822::parse(&date).ok());
    let ahead = date.map(|date| date.timestamp().duration_since(asked_at).as_millis());
    Ok((version, ahead.and_then(|millis| i64::try_from(millis).ok())))
}

/// Providers write a plus behind the minor version.
fn numbers(info: &Info) -> Option<(u32, u32)> {
    let number = |text: &str| text.trim_end_matches(|c: char| !c.is_ascii_digit()).parse().ok();
    Some((number(&info.major)?, number(&info.minor)?))
}
