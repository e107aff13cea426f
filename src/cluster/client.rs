//! Clients for API servers: no retry of their own, no proxy, limits on time and size, every request counted.
//!
//! kube's own retry repeats any method blindly for minutes and obeys any `Retry-After`; a write that was decided on an
//! older view must not be repeated, and a dead target must not hold up a rollback. So it is off, and what failed is
//! decided again.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::{HeaderValue, USER_AGENT};
use kube::Client;
use kube::client::ClientBuilder;
use thiserror::Error;

use super::kubeconfig::{self, KubeconfigError};
use super::limits::LimitsLayer;
use crate::metrics::{ClusterSide, Metrics};

/// How long a connection may take to come about, TLS included.
pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The usual limit of one request, from being sent to its last byte.
pub const CALL_TIMEOUT: Duration = Duration::from_secs(10);
/// The limit of a write that admission webhooks may look at: each may take 10 s before the API server goes on without it
/// (`timeoutSeconds`), and a request that is cut off before has no effect.
pub const WRITE_TIMEOUT: Duration = Duration::from_secs(15);
/// No connection for watches is silent for longer: the API server ends a watch after 290 s, and sends bookmarks before.
const LONGEST_SILENCE: Duration = Duration::from_secs(320);

const PRODUCT: &str = concat!("namespace-migration/", env!("CARGO_PKG_VERSION"));

/// Why there is no client.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The kubeconfig file cannot be read.
    #[error("cannot read the kubeconfig {}; check --home-kubeconfig and the file's permissions", path.display())]
    ReadKubeconfig {
        /// The file.
        path: PathBuf,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
    /// The kubeconfig file is refused.
    #[error("cannot use the kubeconfig {}", path.display())]
    Kubeconfig {
        /// The file.
        path: PathBuf,
        /// Why.
        #[source]
        source: KubeconfigError,
    },
    /// The process does not run in a Pod with a `ServiceAccount`.
    #[error(
        "cannot use the Pod's ServiceAccount to reach the home cluster; outside of a cluster give --home-kubeconfig"
    )]
    InCluster {
        /// Why.
        #[source]
        source: kube::config::InClusterError,
    },
    /// The connection's parts do not fit together, for example a certificate and its key.
    #[error("cannot build a client for the {} cluster; check its certificates and its key", side.as_str())]
    Client {
        /// The cluster.
        side: ClusterSide,
        /// Why.
        #[source]
        source: Box<kube::Error>,
    },
}

/// The two clients of one cluster. Clones share their connections.
#[derive(Clone)]
pub struct Clients {
    /// For everything that is answered at once: reads and writes.
    pub requests: Client,
    /// For watches alone: its connections may be silent for as long as a watch lives.
    pub watches: Client,
}

/// Where the operator's own objects live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HomeSource {
    /// The cluster that the operator runs in, with its Pod's `ServiceAccount`.
    InCluster,
    /// A kubeconfig file, held to the same rules as one from a Secret.
    File(PathBuf),
}

/// Connects to the cluster that holds the operator's own objects, which may also be one `side` of a pair. Makes no request yet.
pub fn home_clients(home: &HomeSource, side: ClusterSide, metrics: &Metrics) -> Result<Clients, ConnectError> {
    let config = match home {
        HomeSource::InCluster => kube::Config::incluster().map_err(|source| ConnectError::InCluster { source })?,
        HomeSource::File(path) => file_config(path)?,
    };
    connect(&config, side, metrics)
}

/// Makes the clients of one cluster from a connection that [`kubeconfig::parse`] or the Pod gave. Makes no request yet.
///
/// Must be called within a tokio runtime: each client has a task of its own.
pub fn connect(config: &kube::Config, side: ClusterSide, metrics: &Metrics) -> Result<Clients, ConnectError> {
    let mut watches = config.clone();
    watches.default_retry = false;
    watches.proxy_url = None;
    watches.headers.push((USER_AGENT, HeaderValue::from_static(PRODUCT)));
    watches.connect_timeout = Some(CONNECT_TIMEOUT);
    watches.write_timeout = Some(CALL_TIMEOUT);
    watches.read_timeout = Some(LONGEST_SILENCE);
    // Else the time that a pooled connection was idle would count.
    watches.reset_reader_on_write = true;
    let mut requests = watches.clone();
    requests.read_timeout = Some(WRITE_TIMEOUT);
    Ok(Clients { requests: client(requests, side, metrics)?, watches: client(watches, side, metrics)? })
}

fn client(config: kube::Config, side: ClusterSide, metrics: &Metrics) -> Result<Client, ConnectError> {
    let builder =
        ClientBuilder::try_from(config).map_err(|source| ConnectError::Client { side, source: Box::new(source) })?;
    Ok(builder.with_layer(&LimitsLayer::new(side, metrics.remote_calls.clone())).build())
}

fn file_config(path: &Path) -> Result<kube::Config, ConnectError> {
    let bytes = read_limited(path).map_err(|source| ConnectError::ReadKubeconfig { path: path.into(), source })?;
    let kubeconfig =
        kubeconfig::parse(&bytes).map_err(|source| ConnectError::Kubeconfig { path: path.into(), source })?;
    Ok(kubeconfig.config())
}

/// Reads one byte more than is allowed, so that the parser can tell a file that is too large.
fn read_limited(path: &Path) -> std::io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(kubeconfig::MAX_BYTES as u64 + 1).read_to_end(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use axum::Router;
    use axum::body::Body;
    use axum::http::{HeaderMap, StatusCode};
    use axum::routing::get;
    use futures::{StreamExt as _, TryStreamExt as _};
    use k8s_openapi::api::core::v1::ConfigMap;
    use kube::Api;
    use kube::api::WatchParams;

    use super::*;
    use crate::cluster::call::{CallError, timed};
    use crate::cluster::limits::MAX_ANSWER;
    use crate::cluster::local_api::serve;

    const CONFIG_MAP: &str = "/api/v1/namespaces/shop/configmaps/a";

    async fn clients(router: Router) -> (Clients, Metrics) {
        let metrics = Metrics::default();
        let address = serve(router).await;
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        (connect(&config, ClusterSide::Target, &metrics).unwrap(), metrics)
    }

    async fn read(clients: &Clients, after: Duration) -> CallError {
        let api: Api<ConfigMap> = Api::namespaced(clients.requests.clone(), "shop");
        timed(after, api.get("a")).await.unwrap_err()
    }

    fn counted(metrics: &Metrics, verb: &str, outcome: &str) -> bool {
        let series = format!(r#"nsmig_remote_calls_total{{side="target",verb="{verb}",outcome="{outcome}"}} 1"#);
        metrics.encode().unwrap().lines().any(|line| line == series)
    }

    #[tokio::test]
    async fn a_failure_is_not_repeated_by_the_client() {
        let asked = Arc::new(AtomicUsize::new(0));
        let router = Router::new().route(CONFIG_MAP, {
            let asked = Arc::clone(&asked);
            get(move || async move {
                asked.fetch_add(1, Ordering::SeqCst);
                (StatusCode::SERVICE_UNAVAILABLE, [("retry-after", "1000000000")], "busy")
            })
        });
        let (clients, metrics) = clients(router).await;
        let error = read(&clients, CALL_TIMEOUT).await;
        assert!(matches!(error, CallError::Api { code: 503, .. }) && error.unreachable(), "{error:?}");
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(counted(&metrics, "get", "server_error"), "{:?}", metrics.encode());
    }

    #[tokio::test]
    async fn a_server_that_hangs_is_left_in_time_and_counted() {
        let router = Router::new().route(CONFIG_MAP, get(std::future::pending::<StatusCode>));
        let (clients, metrics) = clients(router).await;
        let after = Duration::from_millis(50);
        assert_eq!(read(&clients, after).await, CallError::Timeout { after });
        assert!(counted(&metrics, "get", "abandoned"), "{:?}", metrics.encode());
    }

    #[tokio::test]
    async fn a_server_that_is_not_there_is_unreachable() {
        let metrics = Metrics::default();
        let config = kube::Config::new("http://127.0.0.1:1".parse().unwrap());
        let clients = connect(&config, ClusterSide::Target, &metrics).unwrap();
        let error = read(&clients, CALL_TIMEOUT).await;
        assert!(error.unreachable() && error.to_string().contains("refused"), "{error}");
        assert!(counted(&metrics, "get", "unreachable"), "{:?}", metrics.encode());
    }

    #[tokio::test]
    async fn an_answer_without_end_is_cut_off() {
        let flood =
            || Body::from_stream(futures::stream::repeat(Ok::<_, std::convert::Infallible>(vec![b' '; 1 << 16])));
        let router = Router::new()
            .route(CONFIG_MAP, get(move || async move { flood() }))
            .route("/api/v1/namespaces/shop/configmaps", get(move || async move { flood() }));
        let (clients, _) = clients(router).await;
        assert_eq!(read(&clients, CALL_TIMEOUT).await, CallError::TooLarge { limit: MAX_ANSWER });
        let api: Api<ConfigMap> = Api::namespaced(clients.watches, "shop");
        let first = async {
            let events = api.watch(&WatchParams::default(), "0").await?;
            events.boxed().try_next().await
        };
        let error = timed(CALL_TIMEOUT, first).await.unwrap_err();
        assert_eq!(error, CallError::TooLarge { limit: MAX_ANSWER });
    }

    #[tokio::test]
    async fn requests_say_who_asks() {
        let router = Router::new().route(
            CONFIG_MAP,
            get(|headers: HeaderMap| async move { (StatusCode::FORBIDDEN, format!("{:?}", headers["user-agent"])) }),
        );
        let (clients, metrics) = clients(router).await;
        let error = read(&clients, CALL_TIMEOUT).await;
        assert!(error.forbidden() && error.to_string().contains(PRODUCT), "{error}");
        assert!(counted(&metrics, "get", "denied"), "{:?}", metrics.encode());
    }

    #[tokio::test]
    async fn a_home_that_cannot_be_used_is_named() {
        let metrics = Metrics::default();
        let missing = HomeSource::File("/nowhere/kubeconfig".into());
        let error = home_clients(&missing, ClusterSide::Home, &metrics).err().unwrap();
        assert!(matches!(&error, ConnectError::ReadKubeconfig { .. }), "{error}");
        assert!(error.to_string().contains("/nowhere/kubeconfig"), "{error}");
        let endless = HomeSource::File("/dev/zero".into());
        let error = home_clients(&endless, ClusterSide::Home, &metrics).err().unwrap();
        assert!(matches!(error, ConnectError::Kubeconfig { source: KubeconfigError::TooLarge { .. }, .. }), "{error}");
    }
}
