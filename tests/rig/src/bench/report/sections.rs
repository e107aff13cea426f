//! One section for each question.

use super::Report;
use super::table::Table;
use crate::bench::busy::Busy;
use crate::bench::load::{Doing, Load};
use crate::bench::rollback::Rollbacks;
use crate::bench::spread::{Spread, millis, number};
use crate::bench::traffic::{EVENTS, FINALIZERS, INGRESSES, OTHERS, READS, REVIEWS, SECRETS, STATUSES, WATCHES};
use crate::bench::writes::{Writes, Written};

pub(super) fn verdict_to_write(report: &Report) -> String {
    let Report { round_trips, writes: Writes { alone, bare, .. }, busy, .. } = report;
    let all = &busy.rollbacks;
    let mut table = Table::of(&["What", "n", "p50", "p99", "max"]);
    for (what, spread) in [
        ("One alone: verdict to answer, by the operator's clock", &alone.by_the_operator),
        ("One alone: last bad answer of the target to the end of the write, from outside", &alone.from_outside),
        ("One alone: a bare client, GET and PATCH", bare),
        ("All: verdict to answer, by the operator's clock", &all.by_the_operator),
        ("All: last bad answer of the target to the end of the write, from outside", &all.from_outside),
        ("A bare client that begins each when its verdict fell", &busy.bare),
        ("A bare client that begins all at the same moment", &busy.bare_at_once),
    ] {
        table.row([what.to_owned(), spread.count().to_string()].into_iter().chain(spread.cells()));
    }
    for (what, operator, bare) in [
        ("**One alone: operator / bare client**", &alone.by_the_operator, bare),
        ("**All: operator / bare client**", &all.by_the_operator, &busy.bare),
    ] {
        let ratios = operator.ratio(bare).map(|ratio| format!("{ratio:.1}"));
        table.row([what.to_owned(), String::new()].into_iter().chain(ratios));
    }
    let (measured, whole) = (round_trips.measured, round_trips.whole());
    format!(
        "### From a failing verdict to weight 100 on the source\n\n{table}\n\nOver a way on which each request takes 400 ms, one rollback took \
         {measured:.2} round trips from verdict to answer: {whole} that follow each other. {}",
        told_of_all(all)
    )
}

fn told_of_all(all: &Rollbacks) -> String {
    let requests = Spread::of(all.requests.iter().map(|count| number(*count)));
    let verdicts = Spread::of(all.verdicts.values().map(|after| after.as_secs_f64() * 1000.0));
    let again = all.tries.iter().filter(|tries| **tries > 1).count();
    format!(
        "Of all {}: the verdicts fell within {}, and the last source had 100 again {} after the fault. Between verdict and write the operator \
         asked the API servers {:.0} times about each (median; {:.0} at most), the target's {} times in all; {again} writes had to be tried again.",
        all.tries.len(),
        millis(verdicts.width()),
        millis(all.fault_to_last),
        requests.percentile(50),
        requests.max(),
        all.to_target,
    )
}

pub(super) fn route53(loads: &[Load]) -> String {
    let mut table = Table::of(&[
        "Active",
        "Doing",
        "Operator, per minute",
        "Most in one second",
        "Waiting, mean / most",
        "Both external-dns, per minute",
        "All, per minute",
        "Refused for the quota: operator / external-dns",
    ]);
    for load in loads {
        let Load { reads, most_reads, queue: [mean, most], writers, throttled: [ours, theirs], .. } = load;
        let [migrations, doing] = what(load);
        let asked = [format!("{reads:.0}"), most_reads.to_string(), format!("{mean:.0} / {most:.0}")];
        let others = [format!("{writers:.0}"), format!("{:.0}", reads + writers), format!("{ours} / {theirs}")];
        table.row([migrations, doing].into_iter().chain(asked).chain(others));
    }
    format!("### Requests to Route 53\n\n{table}")
}

pub(super) fn api_writes(writes: &Writes) -> String {
    let Writes { healthy, rolled_back, .. } = writes;
    let mut table = Table::of(&["Kind", "Healthy, by 1, 10, 50 and 100 percent", "Back from 10 percent"]);
    let mut both = |what: &str, of: &dyn Fn(&Written) -> usize| {
        table.row([what.to_owned(), of(healthy).to_string(), of(rolled_back).to_string()]);
    };
    for kind in [INGRESSES, FINALIZERS, STATUSES, EVENTS, SECRETS, OTHERS] {
        both(kind, &|written| written.tally.get(kind));
    }
    both("**all but events**", &|written| written.tally.writes() - written.tally.get(EVENTS));
    both("**all**", &|written| written.tally.writes());
    format!("### API writes of one migration\n\n{table}")
}

pub(super) fn process(busy: &Busy) -> String {
    let mut table = Table::of(&[
        "Active",
        "Doing",
        "Resident memory",
        "Processor seconds per minute",
        "of both API servers",
        "API requests per minute, but watches and Lease",
        "Watches begun per minute",
    ]);
    for load in &busy.loads {
        let Load { resident_mib, cpu: [own, servers], requests, .. } = load;
        let asked = requests.get(READS) + requests.get(REVIEWS) + requests.writes();
        let counts = [asked, requests.get(WATCHES)].map(|count| format!("{:.0}", load.per_minute(count)));
        let used = [format!("{resident_mib:.0} MiB"), format!("{own:.1}"), format!("{servers:.1}")];
        table.row(what(load).into_iter().chain(used).chain(counts));
    }
    let mut starts = Table::of(&["Active", "Started and ready after", "Then, until each was probed"]);
    for start in &busy.starts {
        let times = [start.ready, start.probed].map(|seconds| format!("{seconds:.1} s"));
        starts.row([start.migrations.to_string()].into_iter().chain(times));
    }
    format!("### What the operator uses\n\n{table}\n\n{starts}")
}

fn what(load: &Load) -> [String; 2] {
    let doing = match load.doing {
        Doing::Soaking => "soaking",
        Doing::WaitingForDns => "waiting for DNS",
        Doing::ComingBack => "coming back",
    };
    [load.migrations.to_string(), doing.to_owned()]
}
