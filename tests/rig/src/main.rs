//! `rig`: builds the programs, brings the rig up and down.

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::{Parser, Subcommand};
use rig::guard;
use rig::tools::Tools;

/// Two real Kubernetes control planes on one machine, and the world around them.
#[derive(Parser)]
#[command(name = "rig")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the real programs into the user's cache folder.
    Tools,
    /// Run a program that must not outlive whoever holds this command's standard input.
    #[command(hide = true)]
    Guard {
        /// The program and its arguments.
        #[arg(required = true, last = true)]
        program: Vec<OsString>,
    },
}

fn main() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Guard { program } => guarded(&program),
        Command::Tools => in_runtime(tools()),
    }
}

fn guarded(program: &[OsString]) -> Result<ExitCode> {
    let (path, args) = program.split_first().context("no program given to guard")?;
    let code = guard::run(&PathBuf::from(path), args)?;
    Ok(u8::try_from(code).map_or(ExitCode::FAILURE, ExitCode::from))
}

/// Only commands that need one get a runtime: a guard stays small, and there is one for each program.
fn in_runtime(work: impl Future<Output = Result<()>>) -> Result<ExitCode> {
    let runtime = tokio::runtime::Runtime::new().context("starting the async runtime")?;
    runtime.block_on(work).map(|()| ExitCode::SUCCESS)
}

async fn tools() -> Result<()> {
    let tools = Tools::prepare().await?;
    for reason in tools.not_run() {
        rig::progress::say(reason);
    }
    rig::progress::say("the programs are ready");
    Ok(())
}
