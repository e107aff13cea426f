//! What a person sees of a migration, kept to be read: with `LOOKS=FOLDER` in the environment every state that a test waits for
//! leaves a file there with `kubectl get -o wide`, `describe` and so the events. One run of all tests shows every stage and failure.
//! kubectl takes its time: a test whose migration holds a step only for seconds may find the next one.

use std::path::PathBuf;

use anyhow::{Context as _, Result};
use namespace_migration::api::NamespaceMigration;

use super::{Migration, reason_of, stage_of};

/// Names the folder.
const LOOKS: &str = "LOOKS";

impl Migration<'_> {
    /// Writes what kubectl shows now, under the name of the state that was found: the first of each kind is kept.
    pub(super) async fn keep_looks(&self, found: &NamespaceMigration) -> Result<()> {
        let Some(folder) = std::env::var_os(LOOKS).map(PathBuf::from) else { return Ok(()) };
        let name = format!("{}-{}-{}.txt", stage_of(found), reason_of(found), self.name());
        let file = folder.join(name);
        if file.exists() {
            return Ok(());
        }
        let kubectl = self.scene.kubectl().await?;
        let object = ["migration", self.name(), "-n", self.object_namespace()];
        let [list, all] = [["get"].as_slice(), &["describe"]].map(|verb| [verb, object.as_slice()].concat());
        let list = kubectl.run(&[list.as_slice(), &["-o", "wide"]].concat()).await?;
        let all = kubectl.run(&all).await?;
        std::fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        std::fs::write(&file, format!("{list}\n{all}")).with_context(|| format!("writing {}", file.display()))
    }
}
