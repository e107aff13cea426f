//! The recording of a whole run of the tests: the audit logs of all its worlds in one folder, for what is judged when the
//! last test is over.
//!
//! Each log is there under a second name from the moment its cluster is ready. So nothing has to be written at the end: what
//! a test recorded that crashed, or that was killed, is there like all the rest.
//!
//! A test that takes rights away does so from an account of its own: refusals of the accounts of `deploy/` are failures.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::control_plane::ControlPlane;
use crate::deploy::checkout;
use crate::world::worlds_folder;

/// Names the folder, from the top of the checkout. Without it, nothing is kept. `tests/run` makes a fresh one.
pub const FOLDER: &str = "RECORDING_FOLDER";
/// Where `tests/run` has it.
pub const USUAL_FOLDER: &str = "target/recording";

/// Keeps the audit log of one cluster of the world in `world`, if this run records. A world in a folder of somebody's choice
/// is no test's, and is not kept.
pub fn keep(world: &Path, cluster: &ControlPlane) -> Result<()> {
    let Some(folder) = folder_for(world)? else { return Ok(()) };
    let kept = folder.join(format!("{}-{}.log", world_name(world), cluster.name()));
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let log = cluster.audit_log();
    fs::hard_link(&log, &kept).with_context(|| {
        format!(
            "naming {} also {}: both must be on one file system, and the second must be new",
            log.display(),
            kept.display()
        )
    })
}

fn folder_for(world: &Path) -> Result<Option<PathBuf>> {
    let is_of_a_test = world.parent() == Some(&worlds_folder()?);
    let named = std::env::var_os(FOLDER).filter(|_| is_of_a_test);
    named.map(|name| Ok(checkout()?.join(name))).transpose()
}

fn world_name(world: &Path) -> String {
    world.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default()
}
