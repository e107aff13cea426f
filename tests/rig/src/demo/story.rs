//! Tells what happens to one migration while it happens, in the operator's own sentences.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use anyhow::{Result, bail};
use serde_json::Value;

use super::bar::Traffic;
use super::scene::Scene;
use super::screen::{Colour, Screen};
use crate::population::Side;
use crate::weights::Weights;

/// Much longer than any part of the demo takes.
const PATIENCE: Duration = Duration::from_secs(90);
/// A wait that is over sooner is not worth a line: that DNS follows shows beside the bar.
const WORTH_TELLING: Duration = Duration::from_millis(1500);
/// How often the users are looked at.
const GLANCE: Duration = Duration::from_millis(250);
/// Where nothing can move, a bar that changes without a change of weights is shown again after this time.
const BAR_EVERY: Duration = Duration::from_secs(2);

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
    shown: Shown,
}

/// The traffic that was shown last.
#[derive(Default)]
struct Shown {
    weights: [Weights; 2],
    cells: [usize; 3],
    at: Option<Instant>,
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
            shown: Shown::default(),
        }
    }

    /// Tells until `reached` is true of the status. Fails when it ends in another way, or when nothing happens any more.
    pub async fn tell_until(&mut self, what: &str, reached: impl Fn(&Value) -> bool) -> Result<()> {
        loop {
            let status = self.scene.status.borrow_and_update().clone();
            self.scene.written.borrow_and_update();
            self.tell_status(&status)?;
            self.tell_traffic()?;
            if reached(&status) {
                self.screen.end_live()?;
                return self.tell_wait();
            }
            if is(&status, "Finished") {
                bail!("{} ended as {}, expected {what}: {}", self.scene.name, stage(&status), status["message"]);
            }
            self.watch_on(what).await?;
        }
    }

    /// Shows the users until the latest requests are all at this side.
    pub async fn follow_users_to(&mut self, side: Side) -> Result<()> {
        let (began, other) = (Instant::now(), side.other());
        while *self.scene.traffic().requests.by_side().of(other) > 0 {
            if began.elapsed() > PATIENCE {
                let limit = PATIENCE.as_secs();
                bail!("{}: after {limit} s some users are still at the {}", self.scene.name, other.name());
            }
            self.tell_traffic()?;
            tokio::time::sleep(GLANCE).await;
        }
        self.screen.end_live()?;
        self.screen.traffic(&self.scene.name, &self.scene.traffic())
    }

    /// Until something changes, or it is time to look at the users again.
    async fn watch_on(&mut self, what: &str) -> Result<()> {
        tokio::select! {
            changed = self.scene.status.changed() => return Ok(changed?),
            changed = self.scene.written.changed() => return Ok(changed?),
            () = tokio::time::sleep(GLANCE) => {}
        }
        let waiting = self.wait.since.elapsed();
        if self.wait.told && waiting > PATIENCE {
            let (name, limit) = (&self.scene.name, PATIENCE.as_secs());
            bail!("{name} did not reach {what}: for {limit} s it says {:?}", self.wait.message);
        }
        if waiting > WORTH_TELLING { self.tell_wait() } else { Ok(()) }
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
                "Done" => self.say_in(Colour::Green, "done", &line)?,
                _ => self.say_in(Colour::Red, "FAILED", &line)?,
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
            "Pass" => self.say_in(Colour::Green, "health", "the target answers as the source does"),
            "Fail" => self.say_in(Colour::Red, "health", "the target fails its checks"),
            _ => Ok(()),
        }
    }

    /// Each new weight, written or served, has a line that stays; in between the bar moves, if it can.
    fn tell_traffic(&mut self) -> Result<()> {
        let traffic = self.scene.traffic();
        if self.is_news(&traffic) {
            let (weights, at) = ([traffic.written, traffic.served], Some(Instant::now()));
            self.shown = Shown { weights, cells: traffic.cells(), at };
            self.screen.traffic(&self.scene.name, &traffic)?;
        }
        self.screen.live(&self.scene.name, &traffic)
    }

    fn is_news(&self, traffic: &Traffic) -> bool {
        let Shown { weights, cells, at } = &self.shown;
        let is_due = at.is_none_or(|at| at.elapsed() >= BAR_EVERY);
        let moved = !self.screen.is_terminal() && *cells != traffic.cells();
        *weights != [traffic.written, traffic.served] || (moved && is_due)
    }

    fn say(&self, kind: &str, line: &str) -> Result<()> {
        self.screen.event(&self.scene.name, kind, line, None)
    }

    fn say_in(&self, colour: Colour, kind: &str, line: &str) -> Result<()> {
        self.screen.event(&self.scene.name, kind, line, Some(colour))
    }
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
