//! What may be spent, and whether it was kept. Over is told, and is no failure: a figure of a busy machine proves nothing.

use super::Report;
use super::table::Table;
use crate::bench::load::{Doing, Load};
use crate::bench::traffic::{INGRESSES, READS, REVIEWS};
use crate::bench::writes::STEPS;

const MOST_ROUND_TRIPS: usize = 3;
const MOST_READS_PER_SECOND: f64 = 2.0;
const MOST_MIB: f64 = 200.0;
const LARGEST_PROGRAM_MIB: f64 = 25.0;
const READY_WITHIN: f64 = 1.0;

/// One line of the table.
struct Budget {
    what: &'static str,
    limit: String,
    found: String,
    kept: bool,
}

/// The table of budgets.
pub(super) fn section(report: &Report) -> String {
    let mut table = Table::of(&["What", "Budget", "Found", ""]);
    for Budget { what, limit, found, kept } in of_writes(report).into_iter().chain(of_process(report)) {
        table.row([what, &limit, &found, if kept { "kept" } else { "**over**" }]);
    }
    format!("### Budgets\n\n{table}")
}

fn of_writes(report: &Report) -> [Budget; 5] {
    let (loads, writes) = (&report.busy.loads, &report.writes);
    let trips = report.busy.rollbacks.round_trips(report.round_trips.whole(), 99);
    let beyond = |found: usize, needed: usize| found.saturating_sub(needed);
    let ingresses = beyond(writes.healthy.tally.get(INGRESSES), needed(STEPS, false))
        + beyond(writes.rolled_back.tally.get(INGRESSES), needed(2, true));
    let reads = largest(loads, |load| load.reads / 60.0);
    [
        Budget {
            what: "API round trips that follow each other, from the verdict to weight 100, in 99 of 100 rollbacks",
            limit: MOST_ROUND_TRIPS.to_string(),
            found: trips.to_string(),
            kept: trips <= MOST_ROUND_TRIPS,
        },
        requests_of_soaking(loads),
        none("Writes of Ingresses beyond those that the protocol needs", ingresses),
        none(
            "Writes of a status that tell nothing new",
            writes.healthy.idle_statuses + writes.rolled_back.idle_statuses,
        ),
        Budget {
            what: "Requests of the operator to Route 53, per second, in the busiest stretch",
            limit: format!("below {MOST_READS_PER_SECOND:.0}"),
            found: format!("{reads:.2}"),
            kept: reads < MOST_READS_PER_SECOND,
        },
    ]
}

fn of_process(report: &Report) -> [Budget; 3] {
    let busy = &report.busy;
    let ready = busy.starts.iter().map(|start| start.ready).fold(0.0, f64::max);
    let at_most = |what, limit: f64, found: f64, unit| Budget {
        what,
        limit: format!("{limit:.0} {unit}"),
        found: format!("{found:.1} {unit}"),
        kept: found <= limit,
    };
    [
        at_most("Resident memory, most", MOST_MIB, largest(&busy.loads, |load| load.resident_mib), "MiB"),
        at_most("Size of the program", LARGEST_PROGRAM_MIB, busy.program_mib, "MiB"),
        at_most("From the start of the process to readiness, longest", READY_WITHIN, ready, "s"),
    ]
}

fn none(what: &'static str, found: usize) -> Budget {
    Budget { what, limit: "0".to_owned(), found: found.to_string(), kept: found == 0 }
}

/// The writes of Ingresses that the protocol needs: identifier and weight on the source, the rehearsal's two, the target's Ingress,
/// receiver and giver of each step, what goes back on both sides, and the last stamp on both.
fn needed(steps: usize, goes_back: bool) -> usize {
    1 + 2 + 1 + 2 * steps + if goes_back { 2 } else { 0 } + 2
}

fn soaking(loads: &[Load]) -> impl Iterator<Item = &Load> {
    loads.iter().filter(|load| load.doing == Doing::Soaking)
}

/// By what they are for: the questions about rights are the pair's, whatever the number of its migrations.
fn requests_of_soaking(loads: &[Load]) -> Budget {
    let of = |purpose: &str| soaking(loads).map(|load| load.requests.get(purpose)).sum::<usize>();
    let writes: usize = soaking(loads).map(|load| load.requests.writes()).sum();
    let (reads, reviews) = (of(READS), of(REVIEWS));
    Budget {
        what: "Requests of soaking migrations to the API servers, but watches",
        limit: "0".to_owned(),
        found: format!("{reads} reads, {writes} writes; and {reviews} questions about rights of the pair"),
        kept: reads + writes == 0,
    }
}

fn largest(loads: &[Load], of: impl Fn(&Load) -> f64) -> f64 {
    loads.iter().map(of).fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn four_steps_need_14_writes_and_a_way_back_from_the_second_12() {
        assert_eq!((needed(4, false), needed(2, true)), (14, 12));
    }
}
