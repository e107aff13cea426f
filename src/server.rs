//! `/livez`, `/readyz` and `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::metrics::Metrics;
use crate::mutex::locked;

/// What `prometheus-client` writes.
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// How long requests that are there when the process ends may still take. Nobody may hold it back by asking slowly.
const LAST_ANSWERS: Duration = Duration::from_secs(2);

/// Why the endpoints are not served.
#[derive(Debug, Error)]
pub enum ServerError {
    /// The address cannot be used.
    #[error("cannot listen on {address}; give another address with --listen, or end the process that uses this one")]
    Bind {
        /// What was asked for.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The listener broke while it was in use.
    #[error("serving /livez, /readyz and /metrics on {address} ended")]
    Serve {
        /// Where it listened.
        address: SocketAddr,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

#[derive(Debug)]
struct Heartbeat {
    longest_silence: Option<Duration>,
    last: Option<Instant>,
}

/// The parts of the process that must be at work. Clones share their state.
///
/// A part that has not beaten yet makes the process not ready. A part that has beaten and then stays silent for longer
/// than it may makes it not alive: a watch that ended without an error must not look healthy for ever. A part that
/// never started does not make it not alive, because restarting would not bring back an API server that is away.
#[derive(Clone, Debug, Default)]
pub struct Health {
    parts: Arc<Mutex<BTreeMap<&'static str, Heartbeat>>>,
}

impl Health {
    /// Names a part that must beat once before the process is ready and then, where `longest_silence` is given, at
    /// least that often. Naming it again changes the limit and keeps what it has beaten.
    pub fn expect(&self, part: &'static str, longest_silence: Option<Duration>) {
        let mut parts = self.lock();
        let last = parts.get(part).and_then(|known| known.last);
        parts.insert(part, Heartbeat { longest_silence, last });
    }

    /// The part is at work now. A part that nobody expects is ignored.
    pub fn beat(&self, part: &'static str) {
        if let Some(heartbeat) = self.lock().get_mut(part) {
            heartbeat.last = Some(Instant::now());
        }
    }

    /// The parts that have not started yet, in the order of their names.
    pub fn missing(&self) -> Vec<&'static str> {
        self.lock().iter().filter(|(_, heartbeat)| heartbeat.last.is_none()).map(|(part, _)| *part).collect()
    }

    /// The parts that fell silent, each with how long ago it was last at work.
    pub fn silent(&self) -> Vec<(&'static str, Duration)> {
        let now = Instant::now();
        self.lock().iter().filter_map(|(part, heartbeat)| Some((*part, silence(heartbeat, now)?))).collect()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<&'static str, Heartbeat>> {
        // Each change is one assignment, so that a panic elsewhere cannot have left half of one behind.
        locked(&self.parts)
    }
}

fn silence(heartbeat: &Heartbeat, now: Instant) -> Option<Duration> {
    let silent = now.saturating_duration_since(heartbeat.last?);
    (silent > heartbeat.longest_silence?).then_some(silent)
}

/// A bound address, not served yet: binding early makes a port that is taken a failure at the start.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    listener: TcpListener,
    router: Router,
}

impl Server {
    /// Binds `address`; port 0 takes a free one, which [`Server::address`] tells.
    pub async fn bind(address: SocketAddr, health: Health, metrics: Metrics) -> Result<Self, ServerError> {
        let failed = |source| ServerError::Bind { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let bound = listener.local_addr().map_err(failed)?;
        let router = Router::new()
            .route("/livez", get(livez))
            .route("/readyz", get(readyz))
            .with_state(health)
            .merge(Router::new().route("/metrics", get(exposition)).with_state(metrics));
        Ok(Self { address: bound, listener, router })
    }

    /// Where the endpoints are.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `stop` is cancelled, then answers the requests that were already there, within 2 s, and returns.
    pub async fn serve(self, stop: CancellationToken) -> Result<(), ServerError> {
        let address = self.address;
        let serving = axum::serve(self.listener, self.router).with_graceful_shutdown(stop.clone().cancelled_owned());
        let too_long = async {
            stop.cancelled().await;
            tokio::time::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            ended = serving.into_future() => ended.map_err(|source| ServerError::Serve { address, source }),
            () = too_long => Ok(()),
        }
    }
}

async fn livez(State(health): State<Health>) -> Response {
    verdict(health.silent(), |text, (part, silent)| writeln!(text, "{part}: silent for {} s", silent.as_secs()))
}

async fn readyz(State(health): State<Health>) -> Response {
    verdict(health.missing(), |text, part| writeln!(text, "{part}: not there yet"))
}

fn verdict<T>(faults: Vec<T>, describe: impl Fn(&mut String, T) -> std::fmt::Result) -> Response {
    if faults.is_empty() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    let mut text = String::new();
    match faults.into_iter().try_for_each(|fault| describe(&mut text, fault)) {
        Ok(()) => (StatusCode::SERVICE_UNAVAILABLE, text).into_response(),
        Err(std::fmt::Error) => StatusCode::SERVICE_UNAVAILABLE.into_response(),
    }
}

async fn exposition(State(metrics): State<Metrics>) -> Response {
    match metrics.encode() {
        Ok(text) => ([(header::CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(std::fmt::Error) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(address: SocketAddr, path: &str) -> (u16, String) {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let mut stream = tokio::net::TcpStream::connect(address).await.unwrap();
        let request = format!("GET {path} HTTP/1.1\r\nHost: local\r\nConnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        (answer[9..12].parse().unwrap(), answer)
    }

    async fn running(health: &Health) -> (SocketAddr, CancellationToken, tokio::task::JoinHandle<()>) {
        let server = Server::bind("127.0.0.1:0".parse().unwrap(), health.clone(), Metrics::default()).await.unwrap();
        let (address, stop) = (server.address(), CancellationToken::new());
        let task = tokio::spawn({
            let stop = stop.clone();
            async move { server.serve(stop).await.unwrap() }
        });
        (address, stop, task)
    }

    #[tokio::test]
    async fn readiness_names_what_is_missing_and_the_server_stops_on_request() {
        let health = Health::default();
        health.expect("home cluster", None);
        let (address, stop, task) = running(&health).await;
        let (status, text) = get(address, "/readyz").await;
        assert_eq!(status, 503);
        assert!(text.contains("home cluster: not there yet"), "{text}");
        assert_eq!(get(address, "/livez").await.0, 200, "what never started is no reason to restart");
        health.beat("home cluster");
        assert_eq!(get(address, "/readyz").await.0, 200);
        let (status, text) = get(address, "/metrics").await;
        assert!(status == 200 && text.contains("nsmig_panics_total 0") && text.contains(OPEN_METRICS), "{text}");
        assert_eq!(get(address, "/secrets").await.0, 404);
        stop.cancel();
        task.await.unwrap();
    }

    #[tokio::test]
    async fn a_client_that_never_finishes_its_request_does_not_hold_the_process_back() {
        use tokio::io::AsyncWriteExt as _;
        let (address, stop, task) = running(&Health::default()).await;
        let mut slow = tokio::net::TcpStream::connect(address).await.unwrap();
        slow.write_all(b"GET /livez HTTP/1.1\r\n").await.unwrap();
        assert_eq!(get(address, "/livez").await.0, 200, "the slow one was accepted before");
        stop.cancel();
        task.await.unwrap();
    }

    #[test]
    fn a_part_that_falls_silent_is_not_alive() {
        let (start, limit) = (Instant::now(), Duration::from_secs(60));
        let after = |longest_silence, last| {
            let heartbeat = Heartbeat { longest_silence, last };
            move |seconds| silence(&heartbeat, start + Duration::from_secs(seconds))
        };
        assert_eq!(after(Some(limit), Some(start))(60), None);
        assert_eq!(after(Some(limit), Some(start))(61), Some(Duration::from_secs(61)));
        assert_eq!(after(Some(limit), None)(61), None, "it never started");
        assert_eq!(after(None, Some(start))(61), None, "it may be silent");
    }

    #[test]
    fn naming_a_part_again_keeps_what_it_has_beaten_and_strangers_are_ignored() {
        let health = Health::default();
        health.expect("watch", Some(Duration::ZERO));
        health.beat("watch");
        health.expect("watch", None);
        health.beat("stranger");
        assert_eq!((health.missing(), health.silent()), (vec![], vec![]));
    }

    #[tokio::test]
    async fn a_port_that_is_taken_is_named() {
        let (address, stop, task) = running(&Health::default()).await;
        let error = Server::bind(address, Health::default(), Metrics::default()).await.unwrap_err();
        assert!(error.to_string().contains(&address.to_string()), "{error}");
        stop.cancel();
        task.await.unwrap();
    }
}
