//! Logs: text for people, JSON for machines, both on standard error.
//!
//! kube-client logs whole response bodies below its ERROR level when an answer does not have the expected shape, and a
//! body may be a Secret. Those lines are cut off here whatever `RUST_LOG` says.

use std::env::{self, VarError};
use std::io;

use thiserror::Error;
use tracing::Metadata;
use tracing_subscriber::filter::{EnvFilter, FilterExt as _, ParseError, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::{Layer, SubscriberExt as _};
use tracing_subscriber::util::{SubscriberInitExt as _, TryInitError};
use tracing_subscriber::{Registry, fmt};

const FILTER_VARIABLE: &str = "RUST_LOG";
const DEFAULT_FILTER: &str = "info";

/// The form of a log line.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum LogFormat {
    /// One line for a person.
    #[default]
    Text,
    /// One JSON object per line.
    Json,
}

/// Why logging could not start.
#[derive(Debug, Error)]
pub enum TelemetryError {
    /// The filter in the environment is not readable text.
    #[error("the environment variable RUST_LOG is not UTF-8; set it to a filter such as info, or unset it")]
    NotText,
    /// The filter in the environment is not a filter.
    #[error("the environment variable RUST_LOG is not a log filter; set it to one such as info, or unset it")]
    Filter(#[source] ParseError),
    /// Logging was started before.
    #[error("logs were already being written when logging was to start")]
    AlreadyStarted(#[source] TryInitError),
}

/// Starts logging for the whole process. Call it once, before anything else.
pub fn start(format: LogFormat) -> Result<(), TelemetryError> {
    let filter = match env::var(FILTER_VARIABLE) {
        Ok(filter) => filter,
        Err(VarError::NotPresent) => DEFAULT_FILTER.to_owned(),
        Err(VarError::NotUnicode(_)) => return Err(TelemetryError::NotText),
    };
    let lines = lines(format, &filter, io::stderr)?;
    tracing_subscriber::registry().with(lines).try_init().map_err(TelemetryError::AlreadyStarted)
}

fn lines<W>(
    format: LogFormat,
    filter: &str,
    writer: W,
) -> Result<Box<dyn Layer<Registry> + Send + Sync>, TelemetryError>
where
    W: for<'a> MakeWriter<'a> + Send + Sync + 'static,
{
    let wanted = EnvFilter::try_new(filter)
        .map_err(TelemetryError::Filter)?
        .and(filter_fn(is_not_of_the_client))
        .and(filter_fn(is_no_foreign_span));
    let lines = fmt::layer().with_writer(writer).with_ansi(false);
    Ok(match format {
        LogFormat::Text => lines.with_filter(wanted).boxed(),
        LogFormat::Json => lines.json().flatten_event(true).with_span_list(false).with_filter(wanted).boxed(),
    })
}

/// The client library's lines can carry bodies, and its errors name no cluster: one that is away, or that refuses a watch, would
/// fill the log with them. What a call or a watch met is told where it was made.
fn is_not_of_the_client(line: &Metadata<'_>) -> bool {
    !["kube_client", "kube_runtime::watcher"].iter().any(|library| line.target().starts_with(library))
}

/// The controller's own span says which object a line is about; the runtime's says the same at four times the length.
fn is_no_foreign_span(line: &Metadata<'_>) -> bool {
    !line.is_span() || !line.target().starts_with("kube_runtime")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, log: impl FnOnce()) -> String {
        let sink = Sink::default();
        let writer = sink.clone();
        let layer = lines(format, filter, move || writer.clone()).unwrap();
        tracing::subscriber::with_default(tracing_subscriber::registry().with(layer), log);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn the_client_librarys_lines_stay_out_of_the_log_whatever_the_filter_says() {
        for filter in ["info", "trace", "kube_client=trace", "kube_client::client=debug"] {
            let text = logged(LogFormat::Text, filter, || {
                tracing::warn!(target: "kube_client::client", "canary-7f3a");
                tracing::debug!(target: "kube_client::client", "canary-7f3a");
                tracing::error!(target: "kube_client::client::builder", "failed with status 500");
                tracing::warn!(target: "kube_runtime::watcher", "canary-7f3a");
            });
            assert!(!text.contains("canary-7f3a"), "{filter}: {text}");
            assert!(!text.contains("failed with status 500"), "{filter}: {text}");
        }
    }

    #[test]
    fn the_default_shows_info_and_hides_debug() {
        let text = logged(LogFormat::Text, DEFAULT_FILTER, || {
            tracing::info!("seen");
            tracing::debug!("hidden");
        });
        assert!(text.contains("seen") && !text.contains("hidden"), "{text}");
    }

    #[test]
    fn a_json_line_is_one_object_even_when_a_name_holds_a_line_break() {
        let text = logged(LogFormat::Json, "info", || tracing::info!(name = "a\nb\u{1b}[31m", "moved"));
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!((line["message"].as_str(), line["level"].as_str()), (Some("moved"), Some("INFO")));
        assert_eq!(text.lines().count(), 1);
    }

    #[test]
    fn a_line_says_which_migration_it_is_about_and_says_it_once() {
        let text = logged(LogFormat::Json, "info", || {
            let runtime = tracing::info_span!(target: "kube_runtime::controller", "reconciling object");
            let pass = runtime.in_scope(|| tracing::info_span!("pass", migration = "shop/shop"));
            pass.in_scope(|| tracing::info!("weight written"));
        });
        let line: serde_json::Value = serde_json::from_str(text.trim_end()).unwrap();
        assert_eq!(line["span"]["migration"].as_str(), Some("shop/shop"));
        assert!(!text.contains("reconciling") && line.get("spans").is_none(), "{text}");
    }

    #[test]
    fn a_filter_that_cannot_be_read_is_refused() {
        assert!(matches!(lines(LogFormat::Text, "info=,=", io::stderr), Err(TelemetryError::Filter(_))));
    }
}
