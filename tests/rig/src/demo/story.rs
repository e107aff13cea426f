//! Tells what happens to one migration while it happens, in the operator's own sentences.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;

use super::scene::Scene;
use super::screen::{Colour, Screen};
use super::visitors::Counts;
use super::weights::Weights;

/// Much longer than any part of the demo takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// A wait that is over sooner is not worth a line.
const WORTH_TELLING: Duration = Duration::from_millis(400);

/// What the operator says that it waits for.
struct Wait {
    message: String,
    since: Instant,
    told: bool,
}

/// Who tells it, and what was told already.
pub struct Story<'a> {
    screen: &'a Screen,
    scene: &'a mut Scene,
    ended: BTreeSet<String>,
    health: String,
    wait: Wait,
    weights: Weights,
}

impl<'a> Story<'a> {
    /// Nothing has been told yet.
    pub fn of(scene: &'a mut Scene, screen: &'a Screen) -> Self {
        Self {
            screen,
            scene,
            ended: BTreeSet::new(),
            health: String::new(),
            wait: Wait { message: String::new(), since: Instant::now(), told: true },
            weights: Weights::default(),
        }
    }

    /// Tells until `reached` is true of the status. Fails when it ends in another way, or when nothing happens any more.
    pub async fn tell_until(&mut self, what: &str, reached: impl Fn(&Value) -> bool) -> Result<()> {
        loop {
            let status = self.scene.status.borrow_and_update().clone();
            let weights = *self.scene.weights.borrow_and_update();
            self.tell_weights(weights)?;
            self.tell_status(&status)?;
            if reached(&status) {
                return self.tell_wait();
            }
            if is(&status, "Finished") {
                bail!("{} ended as {}, expected {what}: {}", self.scene.name, stage(&status), status["message"]);
            }
            self.watch_on(what).await?;
        }
    }

    /// Until something changes, or a wait has become worth a line.
    async fn watch_on(&mut self, what: &str) -> Result<()> {
        let next_line = self.wait.since + if self.wait.told { PATIENCE } else { WORTH_TELLING };
        tokio::select! {
            changed = self.scene.status.changed() => return Ok(changed?),
            changed = self.scene.weights.changed() => return Ok(changed?),
            () = tokio::time::sleep_until(next_line) => {}
        }
        if self.wait.told {
            let (name, limit) = (&self.scene.name, PATIENCE.as_secs());
            bail!("{name} did not reach {what}: for {limit} s it says {:?}", self.wait.message);
        }
        self.tell_wait()
    }

    fn tell_wait(&mut self) -> Result<()> {
        if std::mem::replace(&mut self.wait.told, true) {
            return Ok(());
        }
        self.say("waits", &self.wait.message)
    }

    fn tell_status(&mut self, status: &Value) -> Result<()> {
        self.tell_ended_stages(status)?;
        self.tell_health(status)?;
        let message = text(status, "message");
        if message != self.wait.message {
            self.wait = Wait { message: message.to_owned(), since: Instant::now(), told: is(status, "Finished") };
        }
        Ok(())
    }

    /// Each stage that has ended, once, with what it found.
    fn tell_ended_stages(&mut self, status: &Value) -> Result<()> {
        for entry in status["pipeline"].as_array().into_iter().flatten() {
            let (name, state) = (text(entry, "name"), text(entry, "state"));
            // The last stage says again what the one before it has said.
            let ended = matches!(state, "Done" | "Failed") && !matches!(name, "Completed" | "RolledBack");
            if !ended || !self.ended.insert(name.to_owned()) {
                continue;
            }
            let line = format!("{name}: {}", text(entry, "message"));
            match state {
                "Done" => self.say("done", &self.screen.paint(Colour::Green, &line))?,
                _ => self.say("FAILED", &self.screen.paint(Colour::Red, &line))?,
            }
        }
        Ok(())
    }

    fn tell_health(&mut self, status: &Value) -> Result<()> {
        let health = text(status, "health");
        if health == self.health {
            return Ok(());
        }
        health.clone_into(&mut self.health);
        match health {
            "Pass" => self.say("health", &self.screen.paint(Colour::Green, "the target answers as the source does")),
            "Fail" => self.say("health", &self.screen.paint(Colour::Red, "the target fails its checks")),
            _ => Ok(()),
        }
    }

    fn tell_weights(&mut self, weights: Weights) -> Result<()> {
        if weights == self.weights {
            return Ok(());
        }
        self.weights = weights;
        let served = in_words(self.scene.visitors.counts());
        let line = format!("{}   {}", self.screen.bar(weights), self.screen.paint(Colour::Grey, &served));
        self.say("weights", &line)
    }

    fn say(&self, kind: &str, line: &str) -> Result<()> {
        self.screen.event(&self.scene.name, kind, line)
    }
}

/// The requests so far, by side.
pub fn in_words(counts: Counts) -> String {
    let Counts { source, target } = counts;
    let failed = match source.badly + target.badly {
        0 => "none failed".to_owned(),
        failed => format!("{failed} failed"),
    };
    format!(
        "users so far: {} on source, {} on target, {failed}",
        source.well + source.badly,
        target.well + target.badly
    )
}

/// The stage, as the column shows it.
pub fn stage(status: &Value) -> &str {
    text(status, "stage")
}

/// A text of the status; empty when it is not there.
pub fn text<'v>(status: &'v Value, field: &str) -> &'v str {
    status[field].as_str().unwrap_or_default()
}

/// Whether a condition is True.
fn is(status: &Value, condition: &str) -> bool {
    let conditions = status["conditions"].as_array();
    conditions.is_some_and(|all| all.iter().any(|one| one["type"] == condition && one["status"] == "True"))
}
