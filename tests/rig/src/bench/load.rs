//! A stretch of time in which nothing is begun: what is asked of Route 53 and of the API servers, and what the operator uses.

use std::time::{Duration, SystemTime};

use anyhow::{Context as _, Result};
use tokio::time::Instant;

use super::process::usage;
use super::spread::number;
use super::traffic::{Moment, Tally};
use crate::operator::Operator;
use crate::route53::requests::Request;
use crate::world::World;

const SAMPLE_EVERY: Duration = Duration::from_secs(1);
/// The access key of the operator at Route 53.
const OPERATOR: &str = "operator";

/// What migrations do meanwhile.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    /// They soak: healthy, and nothing is to be changed.
    Soaking,
    /// The target's weight has been raised, and DNS is to show it.
    WaitingForDns,
    /// The target is sick, and they have just been sent back.
    ComingBack,
}

/// The figures of one stretch, by the minute.
#[derive(Clone, Debug)]
pub struct Load {
    /// How many are active.
    pub migrations: usize,
    /// What they do.
    pub doing: Doing,
    /// Requests of the operator to Route 53.
    pub reads: f64,
    /// The most of them that began within one second.
    pub most_reads: usize,
    /// Requests of the two external-dns.
    pub writers: f64,
    /// Requests that the account was refused for its quota: of the operator, and of the others.
    pub throttled: [usize; 2],
    /// Questions about DNS that wait for their turn: on average, and at most.
    pub queue: [f64; 2],
    /// Requests to both API servers, not by the minute.
    pub requests: Tally,
    /// Processor seconds of the operator, and of both API servers.
    pub cpu: [f64; 2],
    /// Resident memory of the operator at the end, in MiB.
    pub resident_mib: f64,
    /// How long it was.
    pub length: Duration,
}

impl Load {
    /// So many by the minute.
    pub fn per_minute(&self, count: usize) -> f64 {
        per_minute(number(count), self.length)
    }
}

/// Nothing that is counted here comes to more than a `u32` holds.
fn per_minute(count: f64, length: Duration) -> f64 {
    count * 60.0 / length.as_secs_f64()
}

/// Watches for this long.
pub async fn watch(
    world: &World,
    operator: &Operator,
    (migrations, doing): (usize, Doing),
    length: Duration,
) -> Result<Load> {
    let (began, since, moment) = (Instant::now(), SystemTime::now(), Moment::now(world).await?);
    let cpu_before = cpu(world, operator).await?;
    let mut queue = Vec::new();
    while began.elapsed() < length {
        tokio::time::sleep(SAMPLE_EVERY).await;
        queue.push(waiting(&operator.metrics().await?));
    }
    let (length, until) = (began.elapsed(), SystemTime::now());
    let cpu_after = cpu(world, operator).await?;
    let requests = Tally::of(&moment.requests(world).await?);
    let asked: Vec<_> =
        world.route53().requests().into_iter().filter(|request| request.at >= since && request.at < until).collect();
    let (reads, writers): (Vec<_>, Vec<_>) = asked.into_iter().partition(|request| request.caller == OPERATOR);
    let refused =
        |requests: &[Request]| requests.iter().filter(|request| request.error.as_deref() == Some("Throttling")).count();
    let average = queue.iter().sum::<f64>() / number(queue.len().max(1));
    Ok(Load {
        migrations,
        doing,
        reads: per_minute(number(reads.len()), length),
        most_reads: most_in_a_second(&reads),
        writers: per_minute(number(writers.len()), length),
        throttled: [refused(&reads), refused(&writers)],
        queue: [average, queue.iter().copied().fold(0.0, f64::max)],
        requests,
        cpu: [0, 1].map(|of| per_minute(cpu_after[of] - cpu_before[of], length)),
        resident_mib: usage(operator.pid())?.resident_mib,
        length,
    })
}

async fn cpu(world: &World, operator: &Operator) -> Result<[f64; 2]> {
    let mut servers = 0.0;
    for cluster in [world.source(), world.target()] {
        servers += usage(cluster.api_server_pid().await)?.cpu_seconds;
    }
    Ok([usage(operator.pid())?.cpu_seconds, servers])
}

/// The gauge of questions that wait for their turn; 0 while nothing is asked.
fn waiting(metrics: &str) -> f64 {
    let queues = metrics.lines().filter(|line| line.starts_with("nsmig_dns_queue{"));
    queues.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn most_in_a_second(requests: &[Request]) -> usize {
    let mut times: Vec<_> = requests.iter().map(|request| request.at).collect();
    times.sort();
    let within = |from: &SystemTime| {
        times
            .iter()
            .filter(|at| *at >= from && at.duration_since(*from).is_ok_and(|after| after < Duration::from_secs(1)))
            .count()
    };
    times.iter().map(within).max().unwrap_or_default()
}

/// The size of the program that runs, in MiB.
pub fn program_mib(operator: &Operator) -> Result<f64> {
    let path = format!("/proc/{}/exe", operator.pid());
    let size = std::fs::metadata(&path).with_context(|| format!("looking at {path}"))?.len();
    let kib = usize::try_from(size >> 10).context("the size of a program")?;
    Ok(number(kib) / 1024.0)
}
