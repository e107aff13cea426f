//! From a failing verdict to the source's weight 100: by the operator's own clock, and from outside.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use jiff::Timestamp;

use super::board::is_in;
use super::deciding::{Rollback, rollbacks};
use super::fleet::Fleet;
use super::spread::Spread;
use super::traffic::Moment;
use crate::operator::Operator;
use crate::recorder::Request;
use crate::sample_app::{EVERY_HOST, Fault};

/// Three rounds of probes, and what a busy machine takes.
const LIMIT: Duration = Duration::from_secs(120);
const TARGET: &str = "target";

/// What is broken on the target.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Broken {
    /// Everything.
    Everything,
    /// What the migrations that are measured are about.
    TheirHosts,
}

/// How migrations came back.
#[derive(Clone, Debug)]
pub struct Rollbacks {
    /// From the verdict to the answer to the source's write, by the operator's own clock.
    pub by_the_operator: Spread,
    /// From the last bad answer before the write, by the application's clock, to the end of the write in the API server's audit log.
    pub from_outside: Spread,
    /// When each verdict fell, after the first one.
    pub verdicts: BTreeMap<String, Duration>,
    /// From the fault to the last write, in milliseconds.
    pub fault_to_last: f64,
    /// Requests of the operator about the migration between verdict and write, for each migration.
    pub requests: Vec<usize>,
    /// Those of them that asked the target.
    pub to_target: usize,
    /// Writes of the source's Ingress until one was accepted, for each migration; each is a read and a write, one after the other.
    pub tries: Vec<usize>,
}

impl Rollbacks {
    /// How many round trips followed each other in so many percent of them at most, if one try is so many.
    pub fn round_trips(&self, of_one_try: usize, percent: usize) -> usize {
        let mut tries = self.tries.clone();
        tries.sort_unstable();
        let rank = (tries.len() * percent).div_ceil(100).max(1);
        tries.get(rank - 1).copied().unwrap_or_default() * of_one_try
    }
}

/// Breaks the target, waits until every source has 100 again, and reads how that went.
pub async fn provoke(fleet: &Fleet<'_>, operator: &Operator, names: &[String], broken: Broken) -> Result<Rollbacks> {
    let (world, began) = (fleet.world(), Moment::now(fleet.world()).await?);
    let fault = SystemTime::now();
    for host in hosts(fleet, names, broken) {
        fleet.setup().application().set(TARGET, &host, Fault::Status(503));
    }
    let back = |status: &serde_json::Value| is_in(status, "RollingBack") || is_in(status, "RolledBack");
    fleet.board.until(names, "rolled back", LIMIT, back).await?;
    let told = rollbacks(&operator.log()?, Timestamp::try_from(fault)?);
    let found = Recordings { fleet, fault, told, requests: began.requests(world).await? };
    names.iter().map(|name| found.one(name)).collect::<Result<Vec<_>>>().map(|all| Recordings::together(&all))
}

fn hosts(fleet: &Fleet<'_>, names: &[String], broken: Broken) -> Vec<String> {
    match broken {
        Broken::Everything => vec![EVERY_HOST.to_owned()],
        Broken::TheirHosts => names.iter().map(|name| fleet.host(name)).collect(),
    }
}

/// What is known afterwards.
struct Recordings<'a> {
    fleet: &'a Fleet<'a>,
    fault: SystemTime,
    told: BTreeMap<String, Rollback>,
    requests: Vec<Request>,
}

/// How one migration came back.
struct One {
    name: String,
    told: Rollback,
    outside: f64,
    after_fault: f64,
    tries: usize,
    requests: usize,
    to_target: usize,
}

impl Recordings<'_> {
    fn one(&self, name: &str) -> Result<One> {
        let told = *self.told.get(name).with_context(|| format!("{name}: no line of the log says how long it took"))?;
        let about: Vec<_> = self.requests.iter().filter(|request| request.namespace == name).collect();
        let writes = about.iter().filter(|request| request.is_write() && request.resource == "ingresses");
        let writes: Vec<_> = writes.filter(|request| request.cluster == "source").collect();
        let accepted = writes.iter().position(|write| write.code < 300);
        let accepted =
            accepted.with_context(|| format!("{name}: the source's audit log has no write that succeeded"))?;
        let written = writes[accepted].answered;
        let bad = self.fleet.setup().application().failed_at(TARGET, &self.fleet.host(name));
        let bad = bad.into_iter().rev().find(|at| *at < SystemTime::from(written));
        let bad = bad.with_context(|| format!("{name}: the target gave no bad answer before the write"))?;
        let between = |request: &&&Request| request.received >= told.verdict && request.answered <= written;
        let between: Vec<_> = about.iter().filter(between).collect();
        Ok(One {
            name: name.to_owned(),
            told,
            outside: millis(bad, written.into()),
            after_fault: millis(self.fault, written.into()),
            tries: accepted + 1,
            requests: between.len(),
            to_target: between.iter().filter(|request| request.cluster == TARGET).count(),
        })
    }

    fn together(all: &[One]) -> Rollbacks {
        let first = all.iter().map(|one| one.told.verdict).min().unwrap_or_default();
        let after = |one: &One| Duration::try_from(one.told.verdict.duration_since(first)).unwrap_or_default();
        Rollbacks {
            by_the_operator: Spread::of(all.iter().map(|one| one.told.millis)),
            from_outside: Spread::of(all.iter().map(|one| one.outside)),
            fault_to_last: all.iter().map(|one| one.after_fault).fold(0.0, f64::max),
            requests: all.iter().map(|one| one.requests).collect(),
            to_target: all.iter().map(|one| one.to_target).sum(),
            tries: all.iter().map(|one| one.tries).collect(),
            verdicts: all.iter().map(|one| (one.name.clone(), after(one))).collect(),
        }
    }
}

/// From one to the other; 0 when the other was earlier.
fn millis(from: SystemTime, to: SystemTime) -> f64 {
    to.duration_since(from).unwrap_or_default().as_secs_f64() * 1000.0
}

/// Everything that came back one after the other, as one.
pub fn joined(all: Vec<Rollbacks>) -> Rollbacks {
    let each = |spread: fn(&Rollbacks) -> &Spread| Spread::of(all.iter().map(|one| spread(one).max()));
    Rollbacks {
        by_the_operator: each(|one| &one.by_the_operator),
        from_outside: each(|one| &one.from_outside),
        verdicts: BTreeMap::new(),
        fault_to_last: all.iter().map(|one| one.fault_to_last).fold(0.0, f64::max),
        requests: all.iter().flat_map(|one| one.requests.clone()).collect(),
        to_target: all.iter().map(|one| one.to_target).sum(),
        tries: all.iter().flat_map(|one| one.tries.clone()).collect(),
    }
}
