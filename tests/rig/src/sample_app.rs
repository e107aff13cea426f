//! The application behind both load balancers: healthy until a test says otherwise, per cluster and host.

mod control;
mod fault;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use futures::{StreamExt as _, stream};
use http_body_util::{BodyExt as _, StreamBody};
use hyper::Response;
use hyper::body::{Bytes, Frame};
use hyper::http::StatusCode;

pub use fault::Fault;

use crate::http_server::{Body, redirect, text};

/// In place of a host: the fault holds for every host of the cluster that has none of its own.
pub const EVERY_HOST: &str = "*";

const HUGE_BODY_CHUNK: usize = 64 * 1024;
const HUGE_BODY_CHUNKS: usize = 1024;

/// A cheap handle on the one sample application; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Application {
    sites: Arc<Mutex<HashMap<Site, Behaviour>>>,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, PartialOrd, Ord)]
struct Site {
    cluster: String,
    host: String,
}

#[derive(Debug, Default)]
struct Behaviour {
    fault: Option<Fault>,
    /// Requests that reached the application here, answered or not: what `Flap` counts.
    arrived: u64,
    requests: Requests,
    /// When a request was answered with a server error.
    failed_at: Vec<SystemTime>,
}

/// How the requests for one host at one cluster ended.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct Requests {
    /// Answered requests by status code.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that were given no answer: `DropConnection` and `Hang`.
    pub unanswered: u64,
}

impl Requests {
    /// All requests, however they ended.
    pub fn total(&self) -> u64 {
        self.by_status.values().sum::<u64>() + self.unanswered
    }
}

impl Application {
    /// An application that is healthy everywhere.
    pub fn new() -> Self {
        Self::default()
    }

    /// From now on requests for `host` (or [`EVERY_HOST`]) at `cluster` meet this fault instead of an earlier one.
    pub fn set(&self, cluster: &str, host: &str, fault: Fault) {
        self.lock().entry(site(cluster, host)).or_default().fault = Some(fault);
    }

    /// Takes back what [`Application::set`] did for exactly this cluster and host.
    pub fn heal(&self, cluster: &str, host: &str) {
        if let Some(behaviour) = self.lock().get_mut(&site(cluster, host)) {
            behaviour.fault = None;
        }
    }

    /// The fault in force for a host: its own, else the cluster's, else `Healthy`.
    pub fn fault(&self, cluster: &str, host: &str) -> Fault {
        let sites = self.lock();
        let set = |host| sites.get(&site(cluster, host)).and_then(|behaviour| behaviour.fault.clone());
        set(host).or_else(|| set(EVERY_HOST)).unwrap_or(Fault::Healthy)
    }

    /// Every fault that was set and not taken back: (cluster, host, fault), sorted.
    pub fn faults(&self) -> Vec<(String, String, Fault)> {
        let sites = self.lock();
        let mut faults: Vec<_> = sites
            .iter()
            .filter_map(|(site, behaviour)| Some((site.cluster.clone(), site.host.clone(), behaviour.fault.clone()?)))
            .collect();
        faults.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        faults
    }

    /// The requests for a host at a cluster since the start, with those that the load balancer answered itself.
    pub fn requests(&self, cluster: &str, host: &str) -> Requests {
        self.lock().get(&site(cluster, host)).map(|behaviour| behaviour.requests.clone()).unwrap_or_default()
    }

    /// When requests for a host at a cluster were answered with a server error, oldest first.
    pub fn failed_at(&self, cluster: &str, host: &str) -> Vec<SystemTime> {
        self.lock().get(&site(cluster, host)).map(|behaviour| behaviour.failed_at.clone()).unwrap_or_default()
    }

    /// The requests of every host that ever had one: (cluster, host, requests), sorted.
    pub fn all_requests(&self) -> Vec<(String, String, Requests)> {
        let sites = self.lock();
        let mut seen: Vec<_> = sites
            .iter()
            .filter(|(_, behaviour)| behaviour.requests.total() > 0)
            .map(|(site, behaviour)| (site.cluster.clone(), site.host.clone(), behaviour.requests.clone()))
            .collect();
        seen.sort_by(|a, b| (&a.0, &a.1).cmp(&(&b.0, &b.1)));
        seen
    }

    /// Answers one request for `path` as the fault in force demands. An error means: close the connection unanswered.
    pub async fn answer(&self, cluster: &str, host: &str, path: &str) -> anyhow::Result<Response<Body>> {
        let arrived = self.arrive(cluster, host);
        let response = match self.fault(cluster, host) {
            Fault::DropConnection => return Err(self.unanswered(cluster, host)),
            Fault::Hang => {
                self.unanswered(cluster, host);
                return std::future::pending().await;
            }
            Fault::Delay(pause) => {
                tokio::time::sleep(pause).await;
                page(cluster, host, path)
            }
            Fault::Status(code) => text(StatusCode::from_u16(code)?, format!("{code} on demand\n")),
            Fault::StatusAt { path: at, code } if at == path => {
                text(StatusCode::from_u16(code)?, format!("{code} on demand\n"))
            }
            Fault::Redirect(location) => redirect(StatusCode::FOUND, &location)?,
            Fault::Flap { every } if arrived.is_multiple_of(u64::from(every)) => {
                text(StatusCode::INTERNAL_SERVER_ERROR, format!("every {every}. request fails on demand\n"))
            }
            Fault::HugeBody => huge(),
            // Certificates go wrong in the TLS handshake, before a request reaches the application.
            Fault::Healthy
            | Fault::Flap { .. }
            | Fault::StatusAt { .. }
            | Fault::WrongCertificate
            | Fault::ExpiredCertificate => page(cluster, host, path),
        };
        self.count(cluster, host, response.status());
        Ok(response)
    }

    /// Counts a request that the load balancer answered without asking the application.
    pub fn count(&self, cluster: &str, host: &str, status: StatusCode) {
        let mut sites = self.lock();
        let behaviour = sites.entry(site(cluster, host)).or_default();
        *behaviour.requests.by_status.entry(status.as_u16()).or_default() += 1;
        if status.is_server_error() {
            behaviour.failed_at.push(SystemTime::now());
        }
    }

    fn arrive(&self, cluster: &str, host: &str) -> u64 {
        let mut sites = self.lock();
        let behaviour = sites.entry(site(cluster, host)).or_default();
        behaviour.arrived += 1;
        behaviour.arrived
    }

    fn unanswered(&self, cluster: &str, host: &str) -> anyhow::Error {
        self.lock().entry(site(cluster, host)).or_default().requests.unanswered += 1;
        anyhow::anyhow!("{cluster}/{host}: connection dropped on demand")
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Site, Behaviour>> {
        // Each change of the map is a single step, so that a panic elsewhere leaves nothing half done.
        self.sites.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn site(cluster: &str, host: &str) -> Site {
    Site { cluster: cluster.to_owned(), host: host.to_ascii_lowercase() }
}

fn page(cluster: &str, host: &str, path: &str) -> Response<Body> {
    match path {
        "/" => text(StatusCode::OK, format!("Hello from {host} on the {cluster} cluster\n")),
        "/login" => text(StatusCode::OK, format!("Log in to {host} on the {cluster} cluster\n")),
        _ => text(StatusCode::NOT_FOUND, format!("{host} has no page {path}\n")),
    }
}

fn huge() -> Response<Body> {
    let chunk = Bytes::from(vec![b'x'; HUGE_BODY_CHUNK]);
    let chunks = stream::repeat_with(move || Ok(Frame::data(chunk.clone()))).take(HUGE_BODY_CHUNKS);
    Response::new(StreamBody::new(chunks).boxed_unsync())
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use futures::FutureExt as _;

    use super::*;

    async fn status(application: &Application, cluster: &str, path: &str) -> u16 {
        application.answer(cluster, "shop.example.com", path).await.unwrap().status().as_u16()
    }

    #[tokio::test]
    async fn a_healthy_application_names_its_cluster_and_counts_by_status() {
        let application = Application::new();
        let home = application.answer("source", "shop.example.com", "/").await.unwrap();
        let body = home.into_body().collect().await.unwrap().to_bytes();
        assert!(String::from_utf8_lossy(&body).contains("source cluster"));
        assert_eq!(status(&application, "source", "/login").await, 200);
        assert_eq!(status(&application, "source", "/nothing").await, 404);
        let requests = application.requests("source", "shop.example.com");
        assert_eq!(requests.by_status, BTreeMap::from([(200, 2), (404, 1)]));
        assert_eq!(application.requests("target", "shop.example.com").total(), 0);
    }

    #[tokio::test]
    async fn a_fault_holds_on_its_own_cluster_and_host_until_it_is_healed() {
        let application = Application::new();
        application.set("target", "shop.example.com", Fault::Status(503));
        assert_eq!(status(&application, "target", "/").await, 503);
        assert_eq!(status(&application, "source", "/").await, 200);
        application.heal("target", "shop.example.com");
        assert_eq!(status(&application, "target", "/").await, 200);
    }

    #[tokio::test]
    async fn a_fault_of_every_host_gives_way_to_one_of_the_host_itself() {
        let application = Application::new();
        application.set("target", EVERY_HOST, Fault::Status(500));
        assert_eq!(status(&application, "target", "/").await, 500);
        application.set("target", "shop.example.com", Fault::Redirect("/login".to_owned()));
        let response = application.answer("target", "shop.example.com", "/").await.unwrap();
        assert_eq!(response.status(), StatusCode::FOUND);
        assert_eq!(response.headers()["location"], "/login");
    }

    #[tokio::test]
    async fn a_flapping_application_fails_every_nth_request() {
        let application = Application::new();
        application.set("target", "shop.example.com", Fault::Flap { every: 3 });
        let mut seen = Vec::new();
        for _ in 0..6 {
            seen.push(status(&application, "target", "/").await);
        }
        assert_eq!(seen, [200, 200, 500, 200, 200, 500]);
    }

    #[tokio::test]
    async fn a_hanging_application_never_answers_and_a_dropping_one_closes_the_connection() {
        let application = Application::new();
        application.set("target", "shop.example.com", Fault::Hang);
        assert!(application.answer("target", "shop.example.com", "/").now_or_never().is_none());
        application.set("target", "shop.example.com", Fault::DropConnection);
        assert!(application.answer("target", "shop.example.com", "/").await.is_err());
        assert_eq!(application.requests("target", "shop.example.com").unanswered, 2);
    }

    #[tokio::test]
    async fn a_slow_application_answers_after_its_delay() {
        let application = Application::new();
        application.set("target", "shop.example.com", Fault::Delay(Duration::from_secs(3600)));
        assert!(application.answer("target", "shop.example.com", "/").now_or_never().is_none());
        application.set("target", "shop.example.com", Fault::Delay(Duration::from_millis(1)));
        assert_eq!(status(&application, "target", "/").await, 200);
    }

    #[tokio::test]
    async fn a_huge_body_is_64_mebibytes() {
        let application = Application::new();
        application.set("target", "shop.example.com", Fault::HugeBody);
        let response = application.answer("target", "shop.example.com", "/").await.unwrap();
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes().len(), 64 * 1024 * 1024);
    }
}
