//! What the operators asked the API servers for: read from the audit logs that a run of the tests has kept.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail, ensure};
use rig::audit::Event;
use rig::deploy::OPERATOR_NAMESPACE;

use crate::deploy::resource_in_words;

/// How the operator calls itself; the tests use its accounts as well, by other programs.
const OPERATOR_AGENT: &str = "namespace-migration/";

/// What was asked for, by whom, where.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// `source`, `target` or `home`.
    pub cluster: String,
    /// Name of the `ServiceAccount`.
    pub account: String,
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, with the subresource; the path, where it is no resource.
    pub resource: String,
    /// Empty for cluster-scoped objects and requests across namespaces.
    pub namespace: String,
    /// Empty where a request is about no object in particular.
    pub name: String,
}

impl fmt::Display for Request {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cluster, account, verb, resource, namespace, name, .. } = self;
        let resource = resource_in_words(&self.group, resource);
        write!(formatter, "{account} on the {cluster}: {verb} {resource} {namespace}/{name}")
    }
}

/// The requests of one run of the tests.
#[derive(Debug, Default)]
pub struct Requests {
    /// Those that were allowed, and how often.
    pub allowed: BTreeMap<Request, usize>,
    /// Those that were refused for want of a right, and how often.
    pub refused: BTreeMap<Request, usize>,
    /// The API servers that were recorded.
    pub logs: usize,
}

impl Requests {
    /// Reads what a run has kept in `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut requests = Self::default();
        for log in logs(folder)? {
            requests.read_log(&log)?;
        }
        ensure!(
            !requests.allowed.is_empty(),
            "{} holds {} audit logs and not one request of an operator: run `make test`, which records its end-to-end tests",
            folder.display(),
            requests.logs
        );
        Ok(requests)
    }

    fn read_log(&mut self, log: &Path) -> Result<()> {
        let cluster = cluster(log)?;
        self.logs += 1;
        for line in BufReader::new(File::open(log).with_context(|| format!("opening {}", log.display()))?).lines() {
            let line = line.with_context(|| format!("reading {}", log.display()))?;
            let Some(event) = parse(&line).with_context(|| format!("{}: a line is no audit Event", log.display()))?
            else {
                continue;
            };
            let counts = if is_allowed(&event) { &mut self.allowed } else { &mut self.refused };
            *counts.entry(request(event, &cluster)).or_default() += 1;
        }
        Ok(())
    }
}

fn logs(folder: &Path) -> Result<Vec<PathBuf>> {
    let Ok(entries) = fs::read_dir(folder) else {
        bail!("there is no recording in {}: run `make test`, which records its end-to-end tests", folder.display());
    };
    let paths = entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    Ok(paths.into_iter().filter(|path| path.extension().is_some_and(|end| end == "log")).collect())
}

/// The cluster of `<world>-<cluster>.log`.
fn cluster(log: &Path) -> Result<String> {
    let name = log.file_stem().and_then(|name| name.to_str()).unwrap_or_default();
    let (_, cluster) = name.rsplit_once('-').with_context(|| format!("{} names no cluster", log.display()))?;
    Ok(cluster.to_owned())
}

/// A request of an operator, once: a watch when it begins, because one that lasts until the API server is killed never ends;
/// all else when it is answered. The last line may be half written, when the API server was killed.
fn parse(line: &str) -> Result<Option<Event>> {
    if !line.contains(OPERATOR_AGENT) || !line.ends_with('}') {
        return Ok(None);
    }
    let event: Event = serde_json::from_str(line)?;
    let counted = if event.verb == "watch" && is_allowed(&event) { "ResponseStarted" } else { "ResponseComplete" };
    let counts = event.stage == counted && account(&event).is_some() && event.user_agent.starts_with(OPERATOR_AGENT);
    // A request that was answered without a decision was not let in at all: its token had expired.
    Ok(Some(event).filter(|event| counts && !event.annotations.decision.is_empty()))
}

/// The operator's account, if it is one.
fn account(event: &Event) -> Option<&str> {
    let (namespace, name) = event.user.username.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    (namespace == OPERATOR_NAMESPACE).then_some(name)
}

fn is_allowed(event: &Event) -> bool {
    event.annotations.decision == "allow"
}

fn request(event: Event, cluster: &str) -> Request {
    let account = account(&event).unwrap_or_default().to_owned();
    let object = event.object_ref;
    let resource = match (object.resource, object.subresource) {
        (resource, _) if resource.is_empty() => event.request_uri,
        (resource, subresource) if subresource.is_empty() => resource,
        (resource, subresource) => format!("{resource}/{subresource}"),
    };
    Request {
        cluster: cluster.to_owned(),
        account,
        verb: event.verb,
        group: object.api_group,
        resource,
        namespace: object.namespace,
        name: object.name,
    }
}
