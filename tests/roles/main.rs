//! The rights that `deploy/` grants are those that the operator uses: none is missing, and none is there for nothing.
//!
//! Runs after the end-to-end tests and reads what the API servers recorded of them; without that recording it fails.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test that cannot go on has failed; the table is printed"
)]

mod comparison;
mod deploy;
mod exceptions;
mod planted;
mod requests;

use std::path::Path;

use anyhow::{Result, bail};
use comparison::{Exceptions, compare};
use deploy::Deploy;
use requests::Requests;
use rig::recording;

#[test]
fn every_right_in_deploy_is_used_and_every_request_is_granted() -> Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let named = std::env::var(recording::FOLDER).unwrap_or_else(|_| recording::USUAL_FOLDER.to_owned());
    let requests = Requests::read(&root.join(&named))?;
    let deploy = Deploy::read(&root.join("deploy"))?;
    let exceptions = Exceptions {
        everybodys: &exceptions::EVERYBODYS,
        other_names: &exceptions::OTHER_NAMES,
        unused: &exceptions::UNUSED,
    };
    let comparison = compare(&deploy, &requests, exceptions)?;
    println!("\nwhat operators asked {} API servers for, recorded in {named}\n\n{comparison}", requests.logs);
    if comparison.problems.is_empty() {
        return Ok(());
    }
    let problems: Vec<_> = comparison.problems.into_iter().collect();
    bail!("deploy/ and what the tests used differ (a run of only some tests uses less):\n{}", problems.join("\n"))
}
