//! Events for `kubectl describe`, with reasons from the one catalogue. Told after the status was written; logged as decided.

use std::time::Duration;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::{Client, ResourceExt as _};
use kube_runtime::events::{Event, EventType, Recorder, Reporter};
use tokio::time::Instant;

use crate::api::NamespaceMigration;
use crate::cluster::call::{CallError, timed};
use crate::machine::run::Event as Happened;
use crate::machine::{Decision, Reason};

/// The events of one pass are not worth a longer wait, together: status and log have said the same.
const EVENTS_TIMEOUT: Duration = Duration::from_secs(5);
/// The API's limit of a note, in bytes.
const LONGEST_NOTE: usize = 1024;
/// The end of a note that was cut.
const REST: &str = " ... (the rest is in the log of the operator)";

/// Tells events about migrations and pairs.
#[derive(Clone)]
pub struct Teller {
    client: Client,
    reporter: Reporter,
}

impl Teller {
    /// Tells them to the home cluster.
    pub fn new(client: Client) -> Self {
        Self { client, reporter: Reporter { controller: "namespace-migration".into(), instance: None } }
    }

    /// Tells what happened. What cannot be told is logged: it must not hold up a migration. A namespace that is being deleted takes no
    /// event any more: those are told about `instead`, where somebody can still read them.
    pub async fn tell(&self, about: &ObjectReference, instead: Option<&ObjectReference>, happened: &[Happened]) {
        let until = Instant::now() + EVENTS_TIMEOUT;
        for event in happened {
            if event.note.len() > LONGEST_NOTE {
                tracing::warn!(reason = event.reason.as_str(), "{}", event.note);
            }
            let mut told = self.publish(about, &worded(event, &event.note), until).await;
            if let (Err(error), Some(instead)) = (&told, instead)
                && error.forbidden()
            {
                let note = format!("{} {}", name_of(about), event.note);
                told = self.publish(instead, &worded(event, &note), until).await;
            }
            if let Err(error) = told {
                tracing::warn!(reason = event.reason.as_str(), %error, "an event could not be told");
            }
        }
    }

    async fn publish(&self, about: &ObjectReference, event: &Event, until: Instant) -> Result<(), CallError> {
        // A recorder folds what it has told before by reason alone: the second stage would only count up the first.
        let recorder = Recorder::new(self.client.clone(), self.reporter.clone());
        timed(until.saturating_duration_since(Instant::now()), recorder.publish(event, about)).await
    }
}

fn worded(happened: &Happened, note: &str) -> Event {
    Event {
        type_: if happened.warning { EventType::Warning } else { EventType::Normal },
        reason: happened.reason.as_str().to_owned(),
        note: Some(cut(note)),
        action: "Migrate".to_owned(),
        secondary: None,
    }
}

/// Whom an event is about, in front of its sentence.
fn name_of(about: &ObjectReference) -> String {
    let part = |part: &Option<String>| part.clone().unwrap_or_default();
    format!("{} {}/{}:", part(&about.kind), part(&about.namespace), part(&about.name))
}

/// Logs what was decided, before it is carried out: what happened, and a reason to wait that is a new one.
pub fn log(migration: &NamespaceMigration, reason_before: &str, decision: &Decision) {
    let (namespace, name) = (migration.namespace().unwrap_or_default(), migration.name_any());
    for event in &decision.events {
        let reason = event.reason.as_str();
        if event.warning {
            tracing::warn!(namespace, name, reason, "{}", event.note);
        } else {
            tracing::info!(namespace, name, reason, "{}", event.note);
        }
    }
    let status = &decision.status;
    let told = decision.events.iter().any(|event| event.reason.as_str() == status.reason);
    // A refused write is decided again and again: each time it is the same news.
    let same = status.reason == reason_before || reason_before == Reason::WriteRefused.as_str();
    if !same && !told {
        tracing::info!(namespace, name, reason = status.reason, "{}", status.message);
    }
}

/// A note that is too long ends with the last sentence or command that fits, and says where the rest is: whoever tells it logs the whole.
fn cut(note: &str) -> String {
    if note.len() <= LONGEST_NOTE {
        return note.to_owned();
    }
    let longest = LONGEST_NOTE - REST.len();
    let end = (0..=longest).rev().find(|at| note.is_char_boundary(*at)).unwrap_or(0);
    let whole = [". ", "; "].into_iter().filter_map(|stop| note[..end].rfind(stop)).max().map_or(end, |stop| stop + 1);
    format!("{}{REST}", &note[..whole])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_note_that_is_too_long_keeps_whole_commands_and_says_where_the_rest_is() {
        let command = |number: usize| {
            format!("kubectl annotate --overwrite ingress web-{number} -n {} prefix/aws-weight=0", "é".repeat(60))
        };
        let note = format!("Do it by hand. In this order: {}.", (0..20).map(command).collect::<Vec<_>>().join("; "));
        let told = cut(&note);
        assert!(told.len() <= LONGEST_NOTE && told.ends_with(REST), "{told}");
        let kept = told.strip_suffix(REST).unwrap();
        assert!(kept.ends_with("aws-weight=0;") && kept.contains(&command(0)) && kept.contains(&command(3)), "{kept}");
        assert_eq!(cut("short"), "short");
    }
}
