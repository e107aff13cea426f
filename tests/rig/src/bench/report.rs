//! The figures as Markdown, and their place in a page.

mod budgets;
mod sections;
mod table;

use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::Options;
use super::busy::Busy;
use super::machine::Machine;
use super::round_trips::RoundTrips;
use super::writes::Writes;
use crate::progress::say;

/// Between these lines of a page, everything is replaced.
const BEGIN: &str = "<!-- figures: `make bench` writes what is between these two lines -->";
const END: &str = "<!-- end of figures -->";

/// Everything that was measured.
pub struct Report {
    /// How large the run was.
    pub options: Options,
    /// Where.
    pub machine: Machine,
    /// Of one rollback.
    pub round_trips: RoundTrips,
    /// Of single migrations.
    pub writes: Writes,
    /// Of many.
    pub busy: Busy,
}

impl Report {
    /// The tables.
    pub fn markdown(&self, took: Duration) -> String {
        let sections = [
            self.introduction(took),
            budgets::section(self),
            sections::verdict_to_write(self),
            sections::route53(&self.busy.loads),
            sections::api_writes(&self.writes),
            sections::process(&self.busy),
        ];
        sections.join("\n\n")
    }

    fn introduction(&self, took: Duration) -> String {
        let (Self { machine, options, .. }, minutes) = (self, took.as_secs_f64() / 60.0);
        format!(
            "Up to {} migrations; each stretch was watched for {} s. The machine: {machine}. Control planes, external-dns, load balancers, \
             Route 53 and the operator shared it. The run took {minutes:.0} minutes.",
            options.migrations,
            options.window.as_secs()
        )
    }
}

/// Shows the figures.
pub fn print(text: &str) -> Result<()> {
    writeln!(std::io::stdout(), "{text}").context("printing the figures")
}

/// Replaces the figures in a page.
pub fn put_into(page: &Path, figures: &str) -> Result<()> {
    let name = page.display();
    let old = std::fs::read_to_string(page).with_context(|| format!("reading {name}"))?;
    let new = replaced(&old, figures).with_context(|| format!("{name}: expected the lines {BEGIN:?} and {END:?}"))?;
    std::fs::write(page, new).with_context(|| format!("writing {name}"))?;
    say(format!("written: {name}"));
    Ok(())
}

fn replaced(page: &str, figures: &str) -> Option<String> {
    let (before, rest) = page.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n\n{}\n\n{END}{after}", figures.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_lines_is_replaced() {
        let page = format!("# Speed\n\n{BEGIN}\n\nold\n\n{END}\n\nThe end.\n");
        let new = replaced(&page, "\n| new |\n").unwrap();
        assert_eq!(new, format!("# Speed\n\n{BEGIN}\n\n| new |\n\n{END}\n\nThe end.\n"));
        assert_eq!(replaced(&new, "| new |").unwrap(), new);
        assert_eq!(replaced("# Speed\n", "new"), None);
    }

    #[test]
    fn the_page_in_the_repository_has_a_place_for_the_figures() {
        let page = crate::deploy::checkout().unwrap().join("docs/performance.md");
        assert!(replaced(&std::fs::read_to_string(page).unwrap(), "new").is_some());
    }
}
