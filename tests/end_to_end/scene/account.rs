//! What a person needs to see when a wait was in vain.

use anyhow::{Error, Result};

use super::Migration;

const LOG_LINES: usize = 60;

impl Migration<'_> {
    /// An error with the migration's status, the weights that were written and the end of the operator's log.
    pub async fn account(&self, what: &str) -> Error {
        let status = self.status_text().await.unwrap_or_else(|error| format!("unreadable: {error:#}"));
        let weights = self.weights_text().await.unwrap_or_else(|error| format!("unreadable: {error:#}"));
        let log = self.scene.log().await.unwrap_or_else(|error| format!("unreadable: {error:#}"));
        let lines: Vec<_> = log.lines().collect();
        let tail = lines[lines.len().saturating_sub(LOG_LINES)..].join("\n");
        let name = self.name();
        Error::msg(format!("{name}: {what}\n--- status\n{status}\n--- writes\n{weights}\n--- operator's log\n{tail}\n"))
    }

    async fn status_text(&self) -> Result<String> {
        self.scene
            .kubectl()
            .await?
            .run(&["get", "migration", self.name(), "-n", self.object_namespace(), "-o", "yaml"])
            .await
    }

    async fn weights_text(&self) -> Result<String> {
        let history = self.history().await?;
        let lines = history.iter().map(|point| format!("{} {:?} {:?}", point.write, point.source, point.target));
        Ok(lines.collect::<Vec<_>>().join("\n"))
    }
}
