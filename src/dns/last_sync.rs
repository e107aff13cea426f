//! external-dns's own metrics: when it last had a pass without an error. They name the cause of a stuck record, and prove nothing.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;
use reqwest::{Client, redirect, retry};

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
/// Set after a pass without an error only.
/// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/docs/monitoring/metrics.md>
const SERIES: &str = "external_dns_controller_last_sync_timestamp_seconds";

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
        let result = read(&url).await;
        let asked_at = Some(crate::cluster::now());
        let view = match result {
            Ok(last_sync) => ExternalDnsView { last_sync: Some(last_sync), asked_at, ..ExternalDnsView::default() },
            Err(why) => {
                let trouble = Some(format!("its metrics at {url} cannot be read: {why}"));
                ExternalDnsView { asked_at, trouble, ..ExternalDnsView::default() }
            }
        };
        *locked(&seen) = view;
        tokio::time::sleep(AGAIN).await;
    }
}

async fn read(url: &str) -> Result<Timestamp, String> {
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
    last_sync(&String::from_utf8_lossy(&page)).ok_or_else(|| format!("{SERIES} is not among them, or 0"))
}

/// The series in the text format of Prometheus. 0 is that of an external-dns that has not had such a pass yet.
fn last_sync(page: &str) -> Option<Timestamp> {
    let value = page.lines().find_map(|line| line.strip_prefix(SERIES)?.strip_prefix(' '))?;
    let seconds = value.split_whitespace().next()?.parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a time in whole seconds; what is out of range is refused below"
    )]
    let seconds = seconds as i64;
    Timestamp::from_second(seconds).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_as_go_writes_it() {
        let page = "# HELP x\nexternal_dns_controller_last_sync_timestamp_seconds 1.795257e+09\nother 1\n";
        assert_eq!(last_sync(page).unwrap().as_second(), 1_795_257_000);
        for none in ["", "external_dns_controller_last_sync_timestamp_seconds 0", "other 1", "#external_dns"] {
            assert_eq!(last_sync(none), None, "{none}");
        }
    }

    #[tokio::test]
    async fn a_page_is_read_and_one_that_is_not_there_is_told() {
        let page = format!("{SERIES} 1.7e+09\n");
        let router = axum::Router::new().route("/metrics", axum::routing::get(async move || page));
        let address = crate::cluster::local_api::serve(router).await;
        assert_eq!(read(&format!("http://{address}/metrics")).await.unwrap().as_second(), 1_700_000_000);
        assert!(read(&format!("http://{address}/other")).await.unwrap_err().contains("404"));
    }
}
