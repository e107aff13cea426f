//! What a fault proxy does to requests, changed by tests while it runs.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use futures::future::BoxFuture;
use hyper::http::StatusCode;
use tokio::sync::{oneshot, watch};

use super::request::ApiRequest;

type Predicate = Box<dyn Fn(&ApiRequest) -> bool + Send + Sync>;
type Callback = Box<dyn FnOnce(ApiRequest) -> BoxFuture<'static, ()> + Send>;

/// A cheap handle on one proxy's behaviour; clones share everything.
#[derive(Clone)]
pub struct Faults {
    shared: Arc<Shared>,
}

struct Shared {
    line: watch::Sender<Line>,
    latency: Mutex<Duration>,
    rules: Mutex<Rules>,
}

#[derive(Default)]
struct Rules {
    hooks: Vec<Hook>,
    answers: Vec<Answer>,
    holds: Vec<Hold>,
    requests: BTreeMap<(String, String), u64>,
    writes: u64,
}

/// The state of the line between the client and the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Line {
    Healthy,
    Refused,
    Hung,
}

/// The moment of a write at which a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The API server has not seen it, and never will.
    BeforeForward,
    /// The API server has answered it, and the client will never hear of that.
    AfterCommit,
}

struct Hook {
    matches: Predicate,
    remaining: u64,
    phase: Phase,
    callback: Callback,
}

struct Answer {
    matches: Predicate,
    status: StatusCode,
    remaining: u64,
}

/// The proxy's end of a held request.
pub(super) struct Hold {
    matches: Predicate,
    reads: bool,
    pub(super) caught: watch::Sender<Option<ApiRequest>>,
    pub(super) released: oneshot::Receiver<()>,
    pub(super) result: watch::Sender<Option<Result<StatusCode, String>>>,
}

/// What becomes of one request.
pub(super) enum Action {
    Forward,
    Answer(StatusCode),
    Hold(Hold),
    Hook(Phase, Callback),
}

impl Faults {
    pub(super) fn new() -> Self {
        let (line, latency, rules) = (watch::Sender::new(Line::Healthy), Mutex::default(), Mutex::default());
        Self { shared: Arc::new(Shared { line, latency, rules }) }
    }

    /// Everything passes again; requests that hung go on. Rules for single requests stay.
    pub fn healthy(&self) {
        self.shared.line.send_replace(Line::Healthy);
    }

    /// A dead API server: existing connections are cut, new ones are closed at once.
    pub fn refuse(&self) {
        self.shared.line.send_replace(Line::Refused);
    }

    /// A hung API server: connections are accepted and never answered, existing streams stall.
    pub fn hang(&self) {
        self.shared.line.send_replace(Line::Hung);
    }

    /// A long way: each request, reads and watches included, is on its way for so long before the API server sees it.
    pub fn slow_down(&self, latency: Duration) {
        *self.shared.latency.lock().unwrap_or_else(PoisonError::into_inner) = latency;
    }

    pub(super) fn latency(&self) -> Duration {
        *self.shared.latency.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Answers the next `times` matching requests with `status` and a Kubernetes Status, without asking the API server.
    pub fn answer(
        &self,
        matches: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static,
        status: StatusCode,
        times: u64,
    ) {
        self.rules().answers.push(Answer { matches: Box::new(matches), status, remaining: times });
    }

    /// Holds the first matching write before the API server sees it. After its release it is forwarded even if the client
    /// went away meanwhile: an old write in flight.
    pub fn delay_matching(&self, matches: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static) -> Held {
        self.delay(Box::new(matches), false)
    }

    /// Holds the first matching read before the API server sees it.
    pub fn delay_matching_read(&self, matches: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static) -> Held {
        self.delay(Box::new(matches), true)
    }

    fn delay(&self, matches: Predicate, reads: bool) -> Held {
        let (caught, caught_end) = watch::channel(None);
        let (release, released) = oneshot::channel();
        let (result, result_end) = watch::channel(None);
        self.rules().holds.push(Hold { matches, reads, caught, released, result });
        Held { caught: caught_end, release: Some(release), result: result_end }
    }

    /// Runs `callback` at the `n`-th write from now on (1 is the next), typically to kill the operator. `BeforeForward` loses
    /// the write, `AfterCommit` loses its answer; in both cases the connection is then closed.
    pub fn on_write<C, F>(&self, n: u64, phase: Phase, callback: C)
    where
        C: FnOnce(ApiRequest) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        self.on_matching_write(|_| true, n, phase, callback);
    }

    /// As [`Faults::on_write`], counting only the writes that match.
    pub fn on_matching_write<C, F>(
        &self,
        matches: impl Fn(&ApiRequest) -> bool + Send + Sync + 'static,
        n: u64,
        phase: Phase,
        callback: C,
    ) where
        C: FnOnce(ApiRequest) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let callback: Callback = Box::new(move |request| Box::pin(callback(request)));
        self.rules().hooks.push(Hook { matches: Box::new(matches), remaining: n.max(1), phase, callback });
    }

    /// Forgets all answers, hooks and holds that have not met their request.
    pub fn clear(&self) {
        let mut rules = self.rules();
        rules.hooks.clear();
        rules.answers.clear();
        rules.holds.clear();
    }

    /// Requests that arrived since the start, by (verb, resource).
    pub fn requests(&self) -> BTreeMap<(String, String), u64> {
        self.rules().requests.clone()
    }

    /// Writes that arrived since the start: the number of the last one.
    pub fn writes(&self) -> u64 {
        self.rules().writes
    }

    pub(super) fn line(&self) -> watch::Receiver<Line> {
        self.shared.line.subscribe()
    }

    /// Counts a request and says what becomes of it.
    pub(super) fn decide(&self, request: &ApiRequest) -> Action {
        let mut rules = self.rules();
        *rules.requests.entry((request.verb.clone(), request.resource.clone())).or_default() += 1;
        if request.is_write() {
            rules.writes += 1;
            if let Some(hook) = rules.due_hook(request) {
                return Action::Hook(hook.phase, hook.callback);
            }
        }
        if let Some(status) = rules.due_answer(request) {
            return Action::Answer(status);
        }
        let is_meant = |hold: &Hold| if hold.reads { !request.changes_by_verb() } else { request.is_write() };
        match rules.holds.iter().position(|hold| is_meant(hold) && (hold.matches)(request)) {
            Some(found) => Action::Hold(rules.holds.remove(found)),
            None => Action::Forward,
        }
    }

    fn rules(&self) -> MutexGuard<'_, Rules> {
        self.shared.rules.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Rules {
    /// Counts the write for every hook; the first whose turn has come is taken out.
    fn due_hook(&mut self, request: &ApiRequest) -> Option<Hook> {
        for hook in self.hooks.iter_mut().filter(|hook| (hook.matches)(request)) {
            hook.remaining = hook.remaining.saturating_sub(1);
        }
        let due = self.hooks.iter().position(|hook| hook.remaining == 0)?;
        Some(self.hooks.remove(due))
    }

    fn due_answer(&mut self, request: &ApiRequest) -> Option<StatusCode> {
        let answer = self.answers.iter_mut().find(|answer| answer.remaining > 0 && (answer.matches)(request))?;
        answer.remaining -= 1;
        Some(answer.status)
    }
}

/// The test's end of a held request. Dropping it releases the request.
#[derive(Debug)]
pub struct Held {
    caught: watch::Receiver<Option<ApiRequest>>,
    release: Option<oneshot::Sender<()>>,
    result: watch::Receiver<Option<Result<StatusCode, String>>>,
}

impl Held {
    /// Waits until a write is held, and returns it.
    pub async fn caught(&mut self, timeout: Duration) -> anyhow::Result<ApiRequest> {
        let caught = tokio::time::timeout(timeout, self.caught.wait_for(Option::is_some))
            .await
            .with_context(|| format!("no matching write came within {timeout:?}"))?
            .context("the proxy ended, or the rule was cleared, before a matching write came")?;
        caught.clone().context("a held write was expected, none found")
    }

    /// Lets the write go to the API server. A second call does nothing.
    pub fn release(&mut self) {
        if let Some(release) = self.release.take() {
            // Without a receiver the write is gone with its proxy, and `status` says so.
            let _ = release.send(());
        }
    }

    /// How the API server answered the write after its release.
    pub async fn status(&mut self, timeout: Duration) -> anyhow::Result<StatusCode> {
        let result = tokio::time::timeout(timeout, self.result.wait_for(Option::is_some))
            .await
            .with_context(|| format!("the held write was not answered within {timeout:?}"))?
            .context("the proxy ended before the held write was answered")?;
        let result = result.clone().context("the answer of a held write was expected, none found")?;
        result.map_err(|error| anyhow::anyhow!("the held write could not be forwarded: {error}"))
    }
}

impl fmt::Debug for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line = *self.shared.line.borrow();
        f.debug_struct("Faults").field("line", &line).field("writes", &self.writes()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(resource: &str) -> ApiRequest {
        ApiRequest { verb: "patch".to_owned(), resource: resource.to_owned(), ..ApiRequest::default() }
    }

    fn read() -> ApiRequest {
        ApiRequest { verb: "get".to_owned(), resource: "ingresses".to_owned(), ..ApiRequest::default() }
    }

    #[test]
    fn a_hook_meets_the_nth_matching_write_and_no_other() {
        let faults = Faults::new();
        faults.on_matching_write(|r| r.resource == "ingresses", 2, Phase::AfterCommit, |_| std::future::ready(()));
        let mut met = Vec::new();
        for request in [write("ingresses"), read(), write("secrets"), write("ingresses"), write("ingresses")] {
            met.push(matches!(faults.decide(&request), Action::Hook(Phase::AfterCommit, _)));
        }
        assert_eq!(met, [false, false, false, true, false]);
        assert_eq!(faults.writes(), 4);
        assert_eq!(faults.requests()[&("patch".to_owned(), "ingresses".to_owned())], 3);
    }

    #[test]
    fn an_answer_is_given_as_often_as_asked() {
        let faults = Faults::new();
        faults.answer(|r| r.verb == "get", StatusCode::GONE, 2);
        let answered = [read(), write("ingresses"), read(), read()]
            .map(|request| matches!(faults.decide(&request), Action::Answer(StatusCode::GONE)));
        assert_eq!(answered, [true, false, true, false]);
    }

    #[test]
    fn a_hold_takes_one_request_of_its_kind_and_never_another() {
        let requests = [read(), write("ingresses"), write("ingresses"), read()];
        let holds = |faults: Faults| requests.clone().map(|request| matches!(faults.decide(&request), Action::Hold(_)));
        let (writes, reads) = (Faults::new(), Faults::new());
        let _held = (writes.delay_matching(|_| true), reads.delay_matching_read(|_| true));
        assert_eq!(holds(writes), [false, true, false, false]);
        assert_eq!(holds(reads), [true, false, false, false]);
    }
}
