//! The layer around every client: counts each request by how it ended, and caps how long an answer may take to begin and
//! what it may bring.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures::StreamExt as _;
use http::{Method, Request, Response, StatusCode};
use http_body_util::{BodyStream, StreamBody};
use kube::client::{Body, DynBody};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use thiserror::Error;
use tower::{BoxError, Layer, Service};

use crate::metrics::{CallLabels, CallOutcome, ClusterSide, Verb};

/// The largest answer that is read, in bytes; of a watch, the largest single event.
pub(super) const MAX_ANSWER: usize = 8 * 1024 * 1024;

/// How long the head of an answer may take. Watches have it at once; a large list has it after a moment.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);

/// The request was sent, and nothing came back: a connection that died in silence, or a server that hangs.
#[derive(Debug, Error)]
#[error("no answer within {after:?}")]
struct NoAnswer {
    after: Duration,
}

/// More came than [`MAX_ANSWER`].
#[derive(Debug, Error)]
#[error("the answer is larger than {limit} bytes")]
pub(super) struct AnswerTooLarge {
    pub(super) limit: usize,
}

/// Adds the counting and the cap to a client's stack.
#[derive(Clone)]
pub(super) struct LimitsLayer {
    head_timeout: Duration,
    side: ClusterSide,
    calls: Family<CallLabels, Counter>,
}

impl LimitsLayer {
    pub(super) fn new(side: ClusterSide, calls: Family<CallLabels, Counter>) -> Self {
        Self { head_timeout: HEAD_TIMEOUT, side, calls }
    }
}

impl<S> Layer<S> for LimitsLayer {
    type Service = Limits<S>;

    fn layer(&self, inner: S) -> Limits<S> {
        Limits { inner, layer: self.clone() }
    }
}

/// A client's stack with the counting and the cap.
pub(super) struct Limits<S> {
    inner: S,
    layer: LimitsLayer,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl<S> Service<Request<Body>> for Limits<S>
where
    S: Service<Request<Body>, Response = Response<Box<DynBody>>, Error = BoxError>,
    S::Future: Send + 'static,
{
    type Response = Response<Box<DynBody>>;
    type Error = BoxError;
    type Future = BoxFuture<Result<Self::Response, BoxError>>;

    fn poll_ready(&mut self, context: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        self.inner.poll_ready(context)
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let verb = verb(&request);
        let counted = Counted { layer: self.layer.clone(), verb, outcome: CallOutcome::Abandoned };
        let (answer, after) = (self.inner.call(request), self.layer.head_timeout);
        Box::pin(async move {
            // The watcher's idle time-out begins with the answer: without this, a list would wait for ever.
            let answer = tokio::time::timeout(after, answer).await.unwrap_or_else(|_| Err(NoAnswer { after }.into()));
            counted.ended(answer.as_ref().ok().map(Response::status));
            Ok(answer?.map(|body| capped(body, verb)))
        })
    }
}

/// Counts when it is dropped, so that a caller that stops waiting is counted as well.
struct Counted {
    layer: LimitsLayer,
    verb: Verb,
    outcome: CallOutcome,
}

impl Counted {
    fn ended(mut self, status: Option<StatusCode>) {
        self.outcome = status.map_or(CallOutcome::Unreachable, outcome);
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        let labels = CallLabels { side: self.layer.side, verb: self.verb, outcome: self.outcome };
        self.layer.calls.get_or_create(&labels).inc();
    }
}

fn outcome(status: StatusCode) -> CallOutcome {
    match status.as_u16() {
        401 | 403 => CallOutcome::Denied,
        404 => CallOutcome::NotFound,
        409 => CallOutcome::Conflict,
        429 => CallOutcome::Throttled,
        400..=499 => CallOutcome::Rejected,
        500.. => CallOutcome::ServerError,
        _ => CallOutcome::Success,
    }
}

fn verb(request: &Request<Body>) -> Verb {
    match *request.method() {
        Method::POST => Verb::Create,
        Method::PUT => Verb::Update,
        Method::DELETE => Verb::Delete,
        Method::PATCH if is_apply(request) => Verb::Apply,
        Method::PATCH => Verb::Patch,
        _ if is_watch(request) => Verb::Watch,
        _ if names_a_collection(request.uri().path()) => Verb::List,
        _ => Verb::Get,
    }
}

fn is_apply(request: &Request<Body>) -> bool {
    let media_type = request.headers().get(http::header::CONTENT_TYPE);
    media_type.is_some_and(|media_type| media_type.as_bytes().starts_with(b"application/apply-patch"))
}

fn is_watch(request: &Request<Body>) -> bool {
    let query = request.uri().query().unwrap_or_default();
    query.split('&').any(|pair| matches!(pair, "watch=true" | "watch=1"))
}

/// Whether a path such as `/apis/apps/v1/namespaces/shop/deployments` ends in a plural rather than in an object's name.
fn names_a_collection(path: &str) -> bool {
    let segments: Vec<&str> = path.split('/').filter(|segment| !segment.is_empty()).collect();
    let (["api", _, resource @ ..] | ["apis", _, _, resource @ ..]) = segments.as_slice() else { return false };
    matches!(resource, [_] | ["namespaces", _, _])
}

/// How much more may come.
struct Allowance {
    left: usize,
    per_line: bool,
}

impl Allowance {
    fn spend(&mut self, data: &[u8]) -> Result<(), AnswerTooLarge> {
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            self.left = self.left.checked_sub(line.len()).ok_or(AnswerTooLarge { limit: MAX_ANSWER })?;
            if self.per_line && line.ends_with(b"\n") {
                self.left = MAX_ANSWER;
            }
        }
        Ok(())
    }
}

/// A watch is endless and has one event per line; any other answer is collected whole.
fn capped(body: Box<DynBody>, verb: Verb) -> Box<DynBody> {
    let mut allowance = Allowance { left: MAX_ANSWER, per_line: verb == Verb::Watch };
    let frames = BodyStream::new(body).map(move |frame| {
        let frame = frame?;
        if let Some(data) = frame.data_ref() {
            allowance.spend(data)?;
        }
        Ok::<_, BoxError>(frame)
    });
    Box::new(StreamBody::new(frames))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verb_of(method: &str, uri: &str, media_type: &str) -> Verb {
        let request = Request::builder().method(method).uri(uri).header("content-type", media_type);
        verb(&request.body(Body::empty()).unwrap())
    }

    #[test]
    fn verbs_are_those_of_rbac() {
        let json = "application/json";
        for (method, uri, media_type, expected) in [
            ("GET", "/api/v1/namespaces/shop", json, Verb::Get),
            ("GET", "/api/v1/namespaces?limit=500", json, Verb::List),
            ("GET", "/api/v1/namespaces/shop/secrets", json, Verb::List),
            ("GET", "/api/v1/namespaces/shop/secrets/a", json, Verb::Get),
            ("GET", "/apis/networking.k8s.io/v1/ingresses?&watch=true&timeoutSeconds=1", json, Verb::Watch),
            ("GET", "/apis/apps/v1/namespaces/shop/deployments/a/status", json, Verb::Get),
            ("GET", "/version", json, Verb::Get),
            ("POST", "/api/v1/namespaces/shop/secrets", json, Verb::Create),
            ("PUT", "/api/v1/namespaces/shop/secrets/a", json, Verb::Update),
            ("PATCH", "/api/v1/namespaces/shop/secrets/a", "application/apply-patch+yaml", Verb::Apply),
            ("PATCH", "/api/v1/namespaces/shop/secrets/a", "application/merge-patch+json", Verb::Patch),
            ("DELETE", "/api/v1/namespaces/shop/secrets/a", json, Verb::Delete),
        ] {
            assert_eq!(verb_of(method, uri, media_type), expected, "{method} {uri}");
        }
    }

    #[tokio::test]
    async fn a_list_that_is_never_answered_ends() {
        let silent = tower::service_fn(|_: Request<Body>| std::future::pending::<Result<_, BoxError>>());
        let calls = Family::default();
        let mut layer = LimitsLayer::new(ClusterSide::Target, calls.clone());
        layer.head_timeout = Duration::from_millis(1);
        let mut limits = layer.layer(silent);
        let list = Request::get("/api/v1/namespaces").body(Body::empty()).unwrap();
        let error = limits.call(list).await.err().unwrap();
        assert!(error.is::<NoAnswer>(), "{error}");
        let labels = CallLabels { side: ClusterSide::Target, verb: Verb::List, outcome: CallOutcome::Unreachable };
        assert_eq!(calls.get_or_create(&labels).get(), 1);
    }

    #[test]
    fn a_watch_may_be_endless_but_no_event_may_be() {
        let mut watch = Allowance { left: MAX_ANSWER, per_line: true };
        let event = [vec![b'a'; MAX_ANSWER - 1], vec![b'\n']].concat();
        for _ in 0..3 {
            watch.spend(&event).unwrap();
        }
        watch.spend(&event[..MAX_ANSWER - 1]).unwrap();
        watch.spend(b"aa").unwrap_err();
        let mut list = Allowance { left: MAX_ANSWER, per_line: false };
        list.spend(&event).unwrap();
        list.spend(b"a").unwrap_err();
    }
}
