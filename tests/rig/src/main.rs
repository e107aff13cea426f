//! `rig`: builds the programs, brings the rig up and down, plays the demo.

use std::ffi::OsString;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result};
use clap::{Args, Parser, Subcommand};
use rig::background::{self, Content, Files};
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
    /// Start source and target, load balancers, the operator and two sample namespaces, and leave them running.
    Up {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        content: Bare,
    },
    /// End what `rig up` started.
    Down(Place),
    /// Watch one namespace move and a second one come back by itself; exit code 0 only if both ended as they must.
    Demo,
    /// Write what kubectl shows of migrations that wait, as Markdown.
    Transcript {
        /// The file.
        file: PathBuf,
    },
    /// Measure how fast users come back and what the operator costs, and print the figures as Markdown.
    Bench(Bench),
    /// Run in the foreground what `rig up` runs in the background.
    Supervise {
        #[command(flatten)]
        place: Place,
        #[command(flatten)]
        content: Bare,
        /// Leave the terminal's session.
        #[arg(long, hide = true)]
        detach: bool,
    },
    /// Run a program that must not outlive whoever holds this command's standard input.
    #[command(hide = true)]
    Guard {
        /// The program and its arguments.
        #[arg(required = true, last = true)]
        program: Vec<OsString>,
    },
}

/// Where a background world has its files.
#[derive(Args)]
struct Place {
    /// The folder of the world's files; target/rig of the checkout when absent.
    #[arg(long)]
    folder: Option<PathBuf>,
}

/// How large the run is.
#[derive(Args)]
struct Bench {
    /// How many migrations are active at a time at most.
    #[arg(long, default_value_t = 200)]
    migrations: usize,
    /// How many seconds a steady state is watched.
    #[arg(long, default_value_t = 60)]
    window: u64,
    /// The page whose figures are replaced; without it they are only printed.
    page: Option<PathBuf>,
}

impl Bench {
    fn options(self) -> rig::bench::Options {
        let Self { migrations, window, page } = self;
        rig::bench::Options { migrations, window: Duration::from_secs(window), page }
    }
}

#[derive(Args)]
struct Bare {
    /// Only the two clusters: no load balancers, no sample namespaces, no operator.
    #[arg(long)]
    bare: bool,
}

impl Bare {
    fn content(&self) -> Content {
        if self.bare { Content::Clusters } else { Content::Everything }
    }
}

impl Place {
    fn files(&self) -> Result<Files> {
        match &self.folder {
            Some(folder) => Ok(Files::in_folder(std::path::absolute(folder)?)),
            None => Files::of_checkout(),
        }
    }
}

fn main() -> ExitCode {
    log_to_standard_error();
    run().unwrap_or_else(|error| {
        // Without `Debug`, which would add a backtrace of the rig to what the person has to read.
        let _closed = writeln!(std::io::stderr(), "rig: {error:#}");
        ExitCode::FAILURE
    })
}

fn run() -> Result<ExitCode> {
    match Arguments::parse().command {
        Command::Guard { program } => guarded(&program),
        Command::Tools => in_runtime(tools()),
        Command::Up { place, content } => in_runtime(background::up(&place.files()?, content.content())),
        Command::Demo => in_runtime(rig::demo::run()),
        Command::Transcript { file } => in_runtime(rig::transcript::write(&file)),
        Command::Bench(bench) => in_runtime(rig::bench::run(&bench.options())),
        Command::Down(place) => in_runtime(background::down(&place.files()?)),
        Command::Supervise { place, content, detach } => {
            in_runtime(background::supervise(&place.files()?, content.content(), detach))
        }
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

/// Progress goes there by itself; this is for what the libraries say, which `RUST_LOG` asks for.
fn log_to_standard_error() {
    let filter = tracing_subscriber::EnvFilter::builder().from_env_lossy();
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_demo_takes_no_options_and_every_command_is_consistent() {
        Arguments::command().debug_assert();
        let demo = Arguments::try_parse_from(["rig", "demo"]).map(|parsed| parsed.command);
        assert!(matches!(demo, Ok(Command::Demo)));
        assert!(Arguments::try_parse_from(["rig", "demo", "--bare"]).is_err());
    }
}
