//! The figures as Markdown, and their place in a page.

use std::fmt::Write as _;
use std::io::Write as _;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context as _, Result};

use super::busy::Busy;
use super::load::{Doing, Load};
use super::machine::Machine;
use super::rollback::Rollbacks;
use super::round_trips::RoundTrips;
use super::spread::{Spread, millis};
use super::traffic::{self, WATCHES};
use super::writes::{Writes, Written};
use crate::progress::say;

/// Between these lines of a page, everything is replaced.
const BEGIN: &str = "<!-- figures: `make bench` writes what is between these two lines -->";
const END: &str = "<!-- end of figures -->";

/// Everything that was measured.
pub struct Report {
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
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _never = self.write(&mut text, took);
        text
    }

    fn write(&self, text: &mut String, took: Duration) -> std::fmt::Result {
        let (machine, minutes) = (&self.machine, took.as_secs_f64() / 60.0);
        writeln!(
            text,
            "Measured on {machine}, with control planes, external-dns, load balancers and operator on that one machine; {minutes:.0} minutes.\n"
        )?;
        self.budgets(text)?;
        self.verdict_to_write(text)?;
        self.route53(text)?;
        self.api_writes(text)?;
        self.process(text)
    }

    fn budgets(&self, text: &mut String) -> std::fmt::Result {
        let Self { round_trips, writes, busy, .. } = self;
        let trips = busy.rollbacks.most_round_trips(round_trips.whole());
        let soaking = || busy.loads.iter().filter(|load| load.doing == Doing::Soaking);
        let polls: usize = soaking().map(|load| load.requests.get(traffic::READS) + load.requests.writes()).sum();
        let most_reads = busy.loads.iter().map(|load| load.reads / 60.0).fold(0.0, f64::max);
        let resident = busy.loads.iter().map(|load| load.resident_mib).fold(0.0, f64::max);
        let (ready, idle) = (
            busy.starts.iter().map(|(_, [ready, _])| *ready).fold(0.0, f64::max),
            writes.healthy.idle_statuses + writes.rolled_back.idle_statuses,
        );
        let rows = [
            (
                "Sequential API round trips from verdict to weight 100, slowest of all",
                "3".to_owned(),
                trips.to_string(),
                trips <= 3,
            ),
            (
                "Requests of soaking migrations to the API servers, watches apart",
                "0".to_owned(),
                polls.to_string(),
                polls == 0,
            ),
            (
                "Route 53 requests by the operator, most in any stretch",
                "2 per second".to_owned(),
                format!("{most_reads:.2} per second"),
                most_reads < 2.0,
            ),
            ("Status writes that tell nothing new", "0".to_owned(), idle.to_string(), idle == 0),
            ("Resident memory, most", "200 MiB".to_owned(), format!("{resident:.0} MiB"), resident <= 200.0),
            (
                "The program's size",
                "25 MiB".to_owned(),
                format!("{:.1} MiB", busy.program_mib),
                busy.program_mib <= 25.0,
            ),
            (
                "From the start of the process to readiness, longest",
                "1 s".to_owned(),
                format!("{ready:.2} s"),
                ready < 1.0,
            ),
        ];
        writeln!(text, "### Budgets\n\n| What | Budget | Found | |\n|---|---|---|---|")?;
        rows.iter().try_for_each(|(what, budget, found, kept)| {
            writeln!(text, "| {what} | {budget} | {found} | {} |", if *kept { "kept" } else { "**over**" })
        })
    }

    fn verdict_to_write(&self, text: &mut String) -> std::fmt::Result {
        let Self { round_trips, writes, busy, .. } = self;
        let (all, alone) = (&busy.rollbacks, &writes.alone);
        writeln!(text, "\n### From a failing verdict to weight 100 on the source\n")?;
        writeln!(text, "| What | n | p50 | p99 | max |\n|---|---|---|---|---|")?;
        let mut row = |what: &str, spread: &Spread| writeln!(text, "| {what} | {} | {spread} |", spread.count());
        row("One alone: verdict to answer, the operator's clock", &alone.by_the_operator)?;
        row("One alone: last bad answer of the target to the end of the write in the audit log", &alone.from_outside)?;
        row("One alone: a bare client, GET and PATCH", &writes.bare)?;
        row("All at once: verdict to answer, the operator's clock", &all.by_the_operator)?;
        row("All at once: last bad answer of the target to the end of the write in the audit log", &all.from_outside)?;
        row("A bare client that begins each when its verdict fell", &busy.bare)?;
        row("A bare client that begins all at the same moment", &busy.bare_at_once)?;
        let ratios =
            |operator: &Spread, bare: &Spread| operator.ratio(bare).map(|ratio| format!("{ratio:.1}")).join(" | ");
        writeln!(
            text,
            "| **One alone, operator / bare client** | | {} |",
            ratios(&alone.by_the_operator, &writes.bare)
        )?;
        writeln!(text, "| **All at once, operator / bare client** | | {} |", ratios(&all.by_the_operator, &busy.bare))?;
        writeln!(
            text,
            "\nOver a way on which each request takes 400 ms, one rollback took {:.2} round trips from verdict to answer: {} that follow each other.",
            round_trips.measured,
            round_trips.whole()
        )?;
        writeln!(text, "{}", told_of_all(all))
    }

    fn route53(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n### Requests to Route 53\n")?;
        writeln!(
            text,
            "| Active | Doing | Operator, per minute | most in one second | questions waiting, mean / most | both external-dns, per minute | all, per minute | refused for the quota: operator / external-dns |\n|---|---|---|---|---|---|---|---|"
        )?;
        self.busy.loads.iter().try_for_each(|load| {
            let Load { reads, most_reads, queue: [mean, most], writers, throttled: [ours, theirs], .. } = load;
            let (migrations, doing, all) = (load.migrations, words(load.doing), reads + writers);
            writeln!(text, "| {migrations} | {doing} | {reads:.0} | {most_reads} | {mean:.0} / {most:.0} | {writers:.0} | {all:.0} | {ours} / {theirs} |")
        })
    }

    fn api_writes(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n### API writes of one migration\n")?;
        writeln!(text, "| Kind | Healthy, by 1, 10, 50 and 100 percent | Back from 10 percent |\n|---|---|---|")?;
        let Writes { healthy, rolled_back, .. } = &self.writes;
        for kind in [
            traffic::INGRESSES,
            traffic::FINALIZERS,
            traffic::STATUSES,
            traffic::EVENTS,
            traffic::SECRETS,
            traffic::OTHERS,
        ] {
            writeln!(text, "| {kind} | {} | {} |", healthy.tally.get(kind), rolled_back.tally.get(kind))?;
        }
        let without = |written: &Written| written.tally.writes() - written.tally.get(traffic::EVENTS);
        writeln!(text, "| **all but events** | {} | {} |", without(healthy), without(rolled_back))?;
        writeln!(text, "| **all** | {} | {} |", healthy.tally.writes(), rolled_back.tally.writes())
    }

    fn process(&self, text: &mut String) -> std::fmt::Result {
        writeln!(text, "\n### What the operator uses\n")?;
        writeln!(
            text,
            "| Active | Doing | Resident memory | Processor seconds per minute | of both API servers | API requests per minute, watches and Lease apart | watches begun per minute |\n|---|---|---|---|---|---|---|"
        )?;
        for load in &self.busy.loads {
            let (migrations, doing, [own, servers]) = (load.migrations, words(load.doing), load.cpu);
            let requests =
                load.requests.get(traffic::READS) + load.requests.get(traffic::REVIEWS) + load.requests.writes();
            let (requests, watches) = (load.per_minute(requests), load.per_minute(load.requests.get(WATCHES)));
            writeln!(
                text,
                "| {migrations} | {doing} | {:.0} MiB | {own:.1} | {servers:.1} | {requests:.0} | {watches:.0} |",
                load.resident_mib
            )?;
        }
        writeln!(text, "\n| Active | Started and ready | then, until each was probed |\n|---|---|---|")?;
        self.busy.starts.iter().try_for_each(|(migrations, [ready, probed])| {
            writeln!(text, "| {migrations} | {ready:.2} s | {probed:.1} s |")
        })
    }
}

fn told_of_all(all: &Rollbacks) -> String {
    let requests = Spread::of(all.requests.iter().map(|count| f64::from(u32::try_from(*count).unwrap_or(u32::MAX))));
    let verdicts = Spread::of(all.verdicts.values().map(|after| after.as_secs_f64() * 1000.0));
    let more = all.tries.iter().filter(|tries| **tries > 1).count();
    format!(
        "All at once: the verdicts fell within {}; the last source had 100 again {} after the fault. Between verdict and write the operator \
         asked the API servers {} times about each migration (median; {} at most), the target's {} times in all; {more} writes of \
         {} had to be tried again.",
        millis(verdicts.width()),
        millis(all.fault_to_last),
        requests.percentile(50),
        requests.max(),
        all.to_target,
        all.tries.len(),
    )
}

fn words(doing: Doing) -> &'static str {
    match doing {
        Doing::Soaking => "soaking",
        Doing::WaitingForDns => "waiting for DNS",
        Doing::ComingBack => "coming back",
    }
}

/// Shows the figures.
pub fn print(text: &str) -> Result<()> {
    std::io::stdout().write_all(text.as_bytes()).context("printing the figures")
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
}
