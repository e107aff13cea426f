//! Reads external-dns's own metrics. They name the cause of a stuck record, and prove nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use reqwest::{Client, redirect, retry};

use super::passes::{self, Passes};
use crate::causes::causes;
use crate::machine::records::ExternalDnsView;
use crate::metrics::Metrics;
use crate::mutex::locked;
use crate::task::Tasks;

/// Time between two readings.
const AGAIN: Duration = Duration::from_secs(15);
/// Time for one answer.
const ANSWER: Duration = Duration::from_secs(5);
/// The largest page that is read, in bytes.
const LARGEST: usize = 4 * 1024 * 1024;

/// Reads the metrics of one external-dns again and again. Dropped, it ends.
pub(super) struct LastSync {
    seen: Arc<Mutex<ExternalDnsView>>,
    tasks: Tasks,
}

impl LastSync {
    /// Starts to read the metrics at this address.
    pub(super) fn follow(url: String, metrics: Metrics) -> Self {
        let (seen, tasks) = (Arc::<Mutex<ExternalDnsView>>::default(), Tasks::default());
        tasks.spawn("reader of an external-dns's metrics", metrics, run(url, Arc::clone(&seen)));
        Self { seen, tasks }
    }

    /// Whether it has panicked: another one is needed.
    pub(super) fn is_broken(&self) -> bool {
        self.tasks.are_broken()
    }

    /// What was read last.
    pub(super) fn view(&self) -> ExternalDnsView {
        locked(&self.seen).clone()
    }
}

async fn run(url: String, seen: Arc<Mutex<ExternalDnsView>>) {
    loop {
        let reading = read(&url).await.map_err(|why| format!("its metrics at {url} cannot be read: {why}"));
        note(&seen, reading);
        tokio::time::sleep(AGAIN).await;
    }
}

fn note(seen: &Mutex<ExternalDnsView>, reading: Result<Passes, String>) {
    let mut seen = locked(seen);
    *seen = passes::noted(&seen, reading, crate::cluster::now());
}

async fn read(url: &str) -> Result<Passes, String> {
    let tls = crate::probe::http::tls(None).map_err(|error| error.to_string())?;
    let client = Client::builder()
        .tls_backend_preconfigured(tls)
        .redirect(redirect::Policy::none())
        .retry(retry::never())
        .no_proxy()
        .timeout(ANSWER)
        .build()
        .map_err(|error| causes(&error))?;
    let mut answer = client.get(url).send().await.map_err(|error| causes(&error))?;
    if !answer.status().is_success() {
        return Err(format!("it answers {}", answer.status()));
    }
    let mut page = Vec::new();
    while let Some(chunk) = answer.chunk().await.map_err(|error| causes(&error))? {
        page.extend_from_slice(&chunk);
        if page.len() > LARGEST {
            return Err(format!("it is larger than {LARGEST} bytes"));
        }
    }
    Passes::read(&String::from_utf8_lossy(&page))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_page_is_read_and_one_that_is_not_there_is_told() {
        let page = format!("{} 1.7e+09\n", passes::LAST_SYNC);
        let router = axum::Router::new().route("/metrics", axum::routing::get(async move || page));
        let address = crate::cluster::local_api::serve(router).await;
        let found = read(&format!("http://{address}/metrics")).await.unwrap();
        assert_eq!(found.last_sync.unwrap().as_second(), 1_700_000_000);
        assert!(read(&format!("http://{address}/other")).await.unwrap_err().contains("404"));
    }
}
