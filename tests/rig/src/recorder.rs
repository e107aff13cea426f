//! What was written to, and read from, an API server: read back from its audit log.
//!
//! The API server writes one `audit.k8s.io/v1` Event per line. Its policy has to record `ResponseComplete` at level
//! `RequestResponse` for writes of Ingresses and `NamespaceMigrations`, and `Metadata` for all else, and the log must not
//! be rotated while somebody records.

mod index;

use std::collections::BTreeMap;
use std::io::{ErrorKind, SeekFrom};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, bail};
use jiff::Timestamp;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::Value;
use tokio::fs::File;
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};

use self::index::Index;
use crate::audit::Event;

const POLL: Duration = Duration::from_millis(50);
const WRITES: [&str; 5] = ["create", "update", "patch", "delete", "deletecollection"];
const READS: [&str; 3] = ["get", "list", "watch"];

/// Groups whose objects are answers, and are kept nowhere.
const QUESTIONS: [&str; 2] = ["authorization.k8s.io", "authentication.k8s.io"];

/// Reads the audit log of one cluster's API server. Clones read the same log, and what was read once serves them all.
#[derive(Clone, Debug)]
pub struct Recorder {
    cluster: String,
    path: PathBuf,
    index: Arc<Mutex<Index>>,
}

/// A position in the recording of one cluster: what was complete before it is left out by `since`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mark(u64);

/// One write that the API server answered, refused ones included.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// The recorder's cluster.
    pub cluster: String,
    /// When the answer was complete.
    pub time: Timestamp,
    /// Who wrote.
    pub user: String,
    /// The program that wrote.
    pub user_agent: String,
    /// `create`, `update`, `patch`, `delete` or `deletecollection`.
    pub verb: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural resource name.
    pub resource: String,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects.
    pub namespace: String,
    /// The object's name, of a created one too; empty for `deletecollection`.
    pub name: String,
    /// Asked with `dryRun=All`: answered like a write, and changes nothing.
    pub dry_run: bool,
    /// HTTP status of the answer.
    pub code: u16,
    /// The request's body, `Null` where the policy records metadata only.
    pub request_object: Value,
    /// The answer's body, `Null` where the policy records metadata only.
    pub response_object: Value,
}

/// One read request, as far as the audit policy records it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// When the answer was complete; for a watch, when it ended.
    pub time: Timestamp,
    /// Who read.
    pub user: String,
    /// The program that read.
    pub user_agent: String,
    /// `get`, `list` or `watch`.
    pub verb: String,
    /// Plural resource name.
    pub resource: String,
    /// Empty for cluster-scoped objects and reads across namespaces.
    pub namespace: String,
}

/// One answered request of any kind; a watch is there when it begins.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// The recorder's cluster.
    pub cluster: String,
    /// When the API server got it.
    pub received: Timestamp,
    /// When the answer was complete, or the watch began.
    pub answered: Timestamp,
    /// `get`, `create` and others.
    pub verb: String,
    /// Plural resource name.
    pub resource: String,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects and reads across namespaces.
    pub namespace: String,
    /// Empty for requests about no object in particular.
    pub name: String,
    /// HTTP status of the answer.
    pub code: u16,
}

impl Request {
    /// Whether it changes something, if it succeeds.
    pub fn is_write(&self) -> bool {
        WRITES.contains(&self.verb.as_str())
    }
}

impl Write {
    /// Did the API server carry it out?
    pub fn succeeded(&self) -> bool {
        (200..300).contains(&self.code)
    }

    /// `source: patch ingresses/status shop-dev/shop by NAME -> 200`, for messages.
    pub fn summary(&self) -> String {
        let subresource = if self.subresource.is_empty() { String::new() } else { format!("/{}", self.subresource) };
        format!(
            "{} {}: {} {}{subresource} {}/{} by {} ({}) -> {}",
            self.time,
            self.cluster,
            self.verb,
            self.resource,
            self.namespace,
            self.name,
            self.user,
            self.user_agent,
            self.code
        )
    }
}

impl Recorder {
    /// A recorder for the cluster that is called `cluster`, from the API server's audit log at `path`. The log may not exist
    /// yet: then nothing was written.
    pub fn open(cluster: &str, path: impl AsRef<Path>) -> Self {
        Self { cluster: cluster.to_owned(), path: path.as_ref().to_owned(), index: Arc::default() }
    }

    /// The end of the recording now.
    pub async fn mark(&self) -> anyhow::Result<Mark> {
        let context = || format!("audit log {}: find its end", self.path.display());
        loop {
            let mut file = match File::open(&self.path).await {
                Ok(file) => file,
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Mark(0)),
                Err(error) => return Err(error).with_context(context),
            };
            let end = file.seek(SeekFrom::End(0)).await.with_context(context)?;
            if end == 0 {
                return Ok(Mark(0));
            }
            file.seek(SeekFrom::Start(end - 1)).await.with_context(context)?;
            if file.read_u8().await.with_context(context)? == b'\n' {
                return Ok(Mark(end));
            }
            // The API server is in the middle of a line, which its next write completes.
            tokio::time::sleep(POLL).await;
        }
    }

    /// The writes after `mark`, oldest answer first.
    pub async fn since(&self, mark: Mark) -> anyhow::Result<Vec<Write>> {
        let (events, _) = self.events(mark, &WRITES).await?;
        Ok(self.writes(events))
    }

    /// The same of those in a namespace of this name, or to an object of this name: all others cost next to nothing.
    pub async fn about(&self, mark: Mark, name: &str) -> anyhow::Result<Vec<Write>> {
        let name = name.to_owned();
        let lines = self.indexed(move |index| index.about(mark.0, &name)).await?;
        let events = lines.iter().map(|line| self.parsed(line)).collect::<anyhow::Result<_>>()?;
        Ok(self.writes(events))
    }

    fn writes(&self, events: Vec<Event>) -> Vec<Write> {
        events.into_iter().filter(Event::is_complete_write).map(|event| event.into_write(&self.cluster)).collect()
    }

    async fn indexed<T: Send + 'static>(&self, find: impl FnOnce(&Index) -> T + Send + 'static) -> anyhow::Result<T> {
        let (index, path) = (Arc::clone(&self.index), self.path.clone());
        // It reads a file, and holds others up who want to read the same.
        let look = tokio::task::spawn_blocking(move || {
            let mut index = index.lock().unwrap_or_else(PoisonError::into_inner);
            index.catch_up(&path).with_context(|| format!("audit log {}: read it", path.display()))?;
            Ok(find(&index))
        });
        look.await.context("reading an audit log")?
    }

    fn parsed<Body: Default + DeserializeOwned>(&self, line: &str) -> anyhow::Result<Event<Body>> {
        serde_json::from_str(line)
            .with_context(|| format!("audit log {}: a line is no audit Event", self.path.display()))
    }

    /// The number of reads after `mark` that `filter` accepts, by (verb, resource). A watch counts when it ends.
    pub async fn reads(
        &self,
        mark: Mark,
        filter: impl Fn(&Read) -> bool,
    ) -> anyhow::Result<BTreeMap<(String, String), usize>> {
        let mut counts = BTreeMap::new();
        for read in self.events(mark, &READS).await?.0.into_iter().filter_map(Event::into_read).filter(filter) {
            *counts.entry((read.verb, read.resource)).or_default() += 1;
        }
        Ok(counts)
    }

    /// Every request after `mark` of users whose name begins with `user`; a watch counts when it begins.
    pub async fn requests(&self, mark: Mark, user: &str) -> anyhow::Result<Vec<Request>> {
        let text = self.read_from(mark).await?;
        let named = format!(r#""username":"{user}"#);
        // Parsing is what takes time.
        self.asked_by(user, text.lines().filter(|line| line.contains(&named)))
    }

    /// Those of them that change something, if they succeed.
    pub async fn writes_by(&self, mark: Mark, user: &str) -> anyhow::Result<Vec<Request>> {
        let prefix = user.to_owned();
        let lines = self.indexed(move |index| index.by(mark.0, &prefix)).await?;
        let writes = self.asked_by(user, lines.iter().map(|line| &**line))?;
        Ok(writes.into_iter().filter(Request::is_write).collect())
    }

    fn asked_by<'a>(&self, user: &str, lines: impl Iterator<Item = &'a str>) -> anyhow::Result<Vec<Request>> {
        let mut requests = Vec::new();
        for line in lines {
            let event = self.parsed::<IgnoredAny>(line)?;
            if event.user.username.starts_with(user) && event.is_answer() {
                requests.push(event.into_request(&self.cluster));
            }
        }
        Ok(requests)
    }

    /// Follows the recording from `mark` until `predicate` accepts a write, and returns that one.
    pub async fn wait_for(
        &self,
        mark: Mark,
        timeout: Duration,
        predicate: impl Fn(&Write) -> bool,
    ) -> anyhow::Result<Write> {
        tokio::time::timeout(timeout, self.follow(mark, predicate))
            .await
            .with_context(|| format!("{}: the expected write did not come within {timeout:?}", self.cluster))?
    }

    async fn follow(&self, mut mark: Mark, predicate: impl Fn(&Write) -> bool) -> anyhow::Result<Write> {
        loop {
            let (events, end) = self.events(mark, &WRITES).await?;
            let writes = events.into_iter().filter(Event::is_complete_write);
            if let Some(write) = writes.map(|event| event.into_write(&self.cluster)).find(&predicate) {
                return Ok(write);
            }
            mark = end;
            tokio::time::sleep(POLL).await;
        }
    }

    /// The events with one of these verbs in all complete lines after `mark`, and where the lines end.
    async fn events(&self, mark: Mark, verbs: &[&str]) -> anyhow::Result<(Vec<Event>, Mark)> {
        let text = self.read_from(mark).await?;
        let Some(end) = text.rfind('\n') else { return Ok((Vec::new(), mark)) };
        // Most lines are of no interest, and parsing is what takes time.
        let of_verbs = |line: &&str| verb(line).is_none_or(|verb| verbs.contains(&verb));
        let events = text[..end].lines().filter(of_verbs).map(|line| self.parsed(line));
        Ok((events.collect::<anyhow::Result<_>>()?, Mark(mark.0 + end as u64 + 1)))
    }

    async fn read_from(&self, mark: Mark) -> anyhow::Result<String> {
        let context = || format!("audit log {}: read it", self.path.display());
        let mut file = match File::open(&self.path).await {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && mark == Mark(0) => return Ok(String::new()),
            Err(error) => return Err(error).with_context(context),
        };
        let length = file.metadata().await.with_context(context)?.len();
        if length < mark.0 {
            bail!("audit log {}: {length} bytes, expected at least {}; was it rotated?", self.path.display(), mark.0);
        }
        file.seek(SeekFrom::Start(mark.0)).await.with_context(context)?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes).await.with_context(context)?;
        // The API server may be in the middle of a line, and of a character.
        let complete = bytes.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        bytes.truncate(complete);
        String::from_utf8(bytes).with_context(context)
    }
}

/// The recordings of several clusters as one: by time, except that writes of the same object stay in the order in which the
/// API server committed them, since an older commit's answer can be complete later.
pub fn merge(recordings: impl IntoIterator<Item = Vec<Write>>) -> Vec<Write> {
    let mut writes: Vec<Write> = recordings.into_iter().flatten().collect();
    writes.sort_by_key(|write| write.time);
    let mut places: BTreeMap<_, Vec<usize>> = BTreeMap::new();
    for (place, write) in writes.iter().enumerate().filter(|(_, write)| resource_version(write).is_some()) {
        let object = (write.cluster.clone(), write.resource.clone(), write.namespace.clone(), write.name.clone());
        places.entry(object).or_default().push(place);
    }
    let mut order: Vec<usize> = (0..writes.len()).collect();
    for places in places.into_values() {
        let mut committed = places.clone();
        committed.sort_by_key(|place| resource_version(&writes[*place]));
        places.into_iter().zip(committed).for_each(|(place, from)| order[place] = from);
    }
    let mut writes: Vec<_> = writes.into_iter().map(Some).collect();
    order.into_iter().filter_map(|from| writes[from].take()).collect()
}

/// The verb of a line without parsing it: it stands before everything that a client has sent, its URI apart, which has no
/// quotation marks.
fn verb(line: &str) -> Option<&str> {
    line.split_once(r#""verb":""#)?.1.split('"').next()
}

fn resource_version(write: &Write) -> Option<u64> {
    write.response_object.pointer("/metadata/resourceVersion")?.as_str()?.parse().ok()
}

impl Event {
    /// Questions that are asked by POST, such as access reviews, are no writes.
    fn is_complete_write(&self) -> bool {
        let question = QUESTIONS.contains(&self.object_ref.api_group.as_str());
        self.stage == "ResponseComplete" && WRITES.contains(&self.verb.as_str()) && !question
    }

    fn into_write(self, cluster: &str) -> Write {
        let named_by = |object: &Value| Some(object.pointer("/metadata/name")?.as_str()?.to_owned());
        let name = match self.object_ref.name {
            name if !name.is_empty() => name,
            _ => named_by(&self.response_object).or_else(|| named_by(&self.request_object)).unwrap_or_default(),
        };
        Write {
            cluster: cluster.to_owned(),
            time: self.stage_timestamp,
            user: self.user.username,
            user_agent: self.user_agent,
            verb: self.verb,
            group: self.object_ref.api_group,
            resource: self.object_ref.resource,
            subresource: self.object_ref.subresource,
            namespace: self.object_ref.namespace,
            name,
            dry_run: self.request_uri.contains("dryRun=All"),
            code: self.response_status.code,
            request_object: self.request_object,
            response_object: self.response_object,
        }
    }

    fn into_read(self) -> Option<Read> {
        let is_read = self.stage == "ResponseComplete" && READS.contains(&self.verb.as_str());
        is_read.then_some(Read {
            time: self.stage_timestamp,
            user: self.user.username,
            user_agent: self.user_agent,
            verb: self.verb,
            resource: self.object_ref.resource,
            namespace: self.object_ref.namespace,
        })
    }
}

impl<Body> Event<Body> {
    /// A question that is asked by POST, such as an access review, has a verb of its own here: `review`.
    fn into_request(self, cluster: &str) -> Request {
        let is_question = QUESTIONS.contains(&self.object_ref.api_group.as_str());
        Request {
            cluster: cluster.to_owned(),
            received: self.request_received_timestamp,
            answered: self.stage_timestamp,
            verb: if is_question { "review".to_owned() } else { self.verb },
            resource: self.object_ref.resource,
            subresource: self.object_ref.subresource,
            namespace: self.object_ref.namespace,
            name: self.object_ref.name,
            code: self.response_status.code,
        }
    }

    fn is_answer(&self) -> bool {
        let last = if self.verb == "watch" { "ResponseStarted" } else { "ResponseComplete" };
        self.stage == last
    }
}

#[cfg(test)]
mod tests;
