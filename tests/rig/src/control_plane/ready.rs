//! Waiting for a condition, and for a program that might end instead.

use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use hyper::Request;
use kube::Client;
use tokio::net::TcpStream;

use crate::child::Child;

/// How often a condition that cannot be watched is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Looks until `condition` is true; after `limit` says what never became true.
pub async fn wait_until<F>(what: &str, limit: Duration, mut condition: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = bool>,
{
    let deadline = Instant::now() + limit;
    while !condition().await {
        if Instant::now() > deadline {
            bail!("{what} did not happen within {} s", limit.as_secs());
        }
        tokio::time::sleep(LOOK_EVERY).await;
    }
    Ok(())
}

/// Waits for `condition`, but no longer than the program lives; a failure shows the end of the program's log.
pub async fn while_alive<F>(child: &Child, limit: Duration, condition: impl FnMut() -> F) -> Result<()>
where
    F: Future<Output = bool>,
{
    let what = format!("{} being ready", child.name());
    tokio::select! {
        ready = wait_until(&what, limit, condition) => ready.with_context(|| child.program().explain("is not ready")),
        status = child.wait() => bail!(child.program().explain(&format!("ended with {}", status?))),
    }
}

/// Whether something accepts connections there.
pub(super) async fn accepts(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).await.is_ok()
}

/// Whether the API server says that it is ready: <https://kubernetes.io/docs/reference/using-api/health-checks/>.
pub(super) async fn api_server_is_ready(client: &Client) -> bool {
    let Ok(request) = Request::get("/readyz").body(Vec::new()) else { return false };
    matches!(tokio::time::timeout(Duration::from_secs(2), client.request_text(request)).await, Ok(Ok(_)))
}
