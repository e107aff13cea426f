//! The prober of one migration: a task that asks both sides in rounds and keeps the verdicts in memory.
//!
//! It runs outside of any reconcile, writes nothing, and wakes the reconcile when a verdict changes.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::sync::watch;

use super::asker::Asker;
use super::failing::Failing;
use super::http::Answer;
use super::judge::{Expectation, Opinion, Question, Tally, judge};
use super::plan::{ProbePlan, ProbeTarget};
use super::workloads;
use crate::cluster::namespace_watch::NamespaceWatch;
use crate::dns::Resolver;
use crate::machine::Side;
use crate::machine::health::{CheckReport, HealthView, Verdict};
use crate::metrics::Metrics;
use crate::mutex::locked;
use crate::task::Tasks;

/// A prober begins at a random moment within this time, so that migrations that start together do not begin together; from the second
/// round on they are spread over the whole interval.
const LONGEST_DELAY: Duration = Duration::from_secs(1);

/// A running prober. Dropped, it ends.
pub struct Prober {
    plan: watch::Sender<ProbePlan>,
    shared: Arc<Shared>,
    tasks: Tasks,
}

#[derive(Default)]
struct Shared {
    health: Mutex<HealthView>,
    announce: Mutex<bool>,
}

/// What a prober needs besides its plan.
#[derive(Clone)]
pub struct Surroundings {
    /// The namespace on the source, for its workloads.
    pub source: Arc<NamespaceWatch>,
    /// The namespace on the target, for its workloads.
    pub target: Arc<NamespaceWatch>,
    /// Who knows where load balancers are.
    pub resolver: Resolver,
    /// Where probes are counted.
    pub metrics: Metrics,
    /// Where it is noted since when the target fails.
    pub failing: Arc<Failing>,
}

impl Prober {
    /// Starts to probe. `changed` is called whenever a verdict has changed.
    pub fn start(plan: ProbePlan, surroundings: Surroundings, changed: impl Fn() + Send + Sync + 'static) -> Self {
        let (tasks, metrics) = (Tasks::default(), surroundings.metrics.clone());
        let shared = Arc::new(Shared::default());
        let (sender, plans) = watch::channel(plan);
        let task = Task {
            plans,
            shared: Arc::clone(&shared),
            surroundings,
            changed: Box::new(changed),
            tallies: BTreeMap::new(),
            expected: BTreeMap::new(),
            asker: None,
        };
        tasks.spawn("prober of a migration", metrics, task.run());
        Self { plan: sender, shared, tasks }
    }

    /// Whether it has panicked: another one is needed.
    pub fn is_broken(&self) -> bool {
        self.tasks.are_broken()
    }

    /// Probes by another plan from the next round on. Counts of questions that stay are kept.
    pub fn follow(&self, plan: ProbePlan) {
        self.plan.send_if_modified(|known| {
            let plan = plan.after(known);
            let changed = *known != plan;
            *known = plan;
            changed
        });
    }

    /// The verdicts so far. When no round has ended for too long, nothing is known any more.
    pub fn health(&self) -> HealthView {
        let mut health = locked(&self.shared.health).clone();
        let plan = self.plan.borrow();
        let patience = plan.interval * 3 + plan.longest_round() * 2;
        let late = health
            .last_round
            .is_some_and(|round| crate::cluster::now().duration_since(round).unsigned_abs() > patience);
        if late {
            for check in &mut health.checks {
                check.verdict = Verdict::Inconclusive;
                "no round of probes has ended lately".clone_into(&mut check.message);
            }
        }
        health
    }

    /// The end of the next round is told, even if no verdict changes: somebody waits for fresh answers.
    pub fn announce_next_round(&self) {
        *locked(&self.shared.announce) = true;
    }
}

struct Task {
    plans: watch::Receiver<ProbePlan>,
    shared: Arc<Shared>,
    surroundings: Surroundings,
    changed: Box<dyn Fn() + Send + Sync>,
    tallies: BTreeMap<(String, Side), Tally>,
    expected: BTreeMap<String, Expectation>,
    asker: Option<Asker>,
}

impl Task {
    async fn run(mut self) {
        locked(&self.shared.health).watched_since = Some(crate::cluster::now());
        let longest = self.plans.borrow().interval.min(LONGEST_DELAY);
        tokio::time::sleep(longest.mul_f64(spread())).await;
        let mut pause = first_pause(spread());
        loop {
            let plan = self.plans.borrow_and_update().clone();
            let began = tokio::time::Instant::now();
            self.round(&plan).await;
            self.wait_for_next(began, std::mem::replace(&mut pause, 1.0)).await;
        }
    }

    /// Waits until so many intervals are over, as long as they are by then: an edit may have made them shorter.
    async fn wait_for_next(&mut self, began: tokio::time::Instant, intervals: f64) {
        loop {
            let next = began + self.plans.borrow_and_update().interval.mul_f64(intervals);
            tokio::select! {
                () = tokio::time::sleep_until(next) => return,
                changed = self.plans.changed() => if changed.is_err() { return tokio::time::sleep_until(next).await },
            }
        }
    }

    async fn round(&mut self, plan: &ProbePlan) {
        let opinions = match self.ask(plan).await {
            Ok(opinions) => opinions,
            Err(message) => plan.targets.iter().flat_map(|target| nothing_known(target, &message)).collect(),
        };
        let workloads = workloads::opinions(&self.surroundings.source.view(), &self.surroundings.target.view());
        // Without a question the Pods alone would speak for what users see.
        let workloads = workloads.into_iter().filter(|_| !plan.targets.is_empty());
        let rounds: BTreeMap<_, _> = opinions.into_iter().chain(workloads).collect();
        self.tallies.retain(|key, _| rounds.contains_key(key));
        self.expected.retain(|name, _| plan.targets.iter().any(|target| target.name == *name));
        for (key, opinion) in rounds {
            self.tallies.entry(key).or_default().count(opinion, plan.thresholds);
        }
        self.publish();
    }

    async fn ask(&mut self, plan: &ProbePlan) -> Result<Vec<((String, Side), Opinion)>, String> {
        let asker = match self.asker.take().filter(|asker| asker.fits(plan)) {
            Some(asker) => asker,
            None => Asker::new(plan, &self.surroundings.resolver, &self.surroundings.metrics)?,
        };
        let answers = self.asker.insert(asker).round(plan).await?;
        let both: Vec<_> = plan.targets.iter().zip(answers).collect();
        let answered = both.iter().filter(|(_, (source, _))| matches!(source, Answer::Response { .. }));
        let there: BTreeSet<&str> = answered.map(|(target, _)| target.host.as_str()).collect();
        let opinions = both.iter().flat_map(|(target, (source, answer))| {
            self.opinions(target, there.contains(target.host.as_str()), source, answer)
        });
        Ok(opinions.collect())
    }

    fn opinions(
        &mut self,
        target: &ProbeTarget,
        source_is_there: bool,
        source: &Answer,
        answer: &Answer,
    ) -> [((String, Side), Opinion); 2] {
        let question = Question {
            scheme: target.scheme,
            has_certificate: target.has_certificate,
            source_is_there,
            statuses: &target.statuses,
            remembered: self.expected.get(&target.name),
        };
        let (of_source, of_target, expected) = judge(&question, source, answer);
        if let Some(expected) = expected {
            self.expected.insert(target.name.clone(), expected);
        }
        [((target.name.clone(), Side::Source), of_source), ((target.name.clone(), Side::Target), of_target)]
    }

    fn publish(&self) {
        let reports: Vec<_> = self
            .tallies
            .iter()
            .map(|((name, side), tally)| CheckReport {
                name: name.clone(),
                side: *side,
                verdict: tally.verdict(),
                message: tally.message().to_owned(),
            })
            .collect();
        let changed = {
            let mut health = locked(&self.shared.health);
            let changed = health.checks != reports;
            health.checks = reports;
            health.last_round = Some(crate::cluster::now());
            self.surroundings.failing.note(health.verdict(Side::Target), tokio::time::Instant::now());
            changed
        };
        if std::mem::take(&mut *locked(&self.shared.announce)) || changed {
            (self.changed)();
        }
    }
}

/// The intervals between the first two rounds: one on average. They differ by a whole one, so that the rounds of many probers that begin
/// together, as after a restart, are spread evenly; and the second never follows at once, which would count one bad moment twice.
fn first_pause(spread: f64) -> f64 {
    0.5 + spread
}

/// A number from 0 to 1 that differs from prober to prober.
fn spread() -> f64 {
    f64::from(crate::random::bytes::<1>()[0]) / 255.0
}

fn nothing_known(target: &ProbeTarget, message: &str) -> [((String, Side), Opinion); 2] {
    [Side::Source, Side::Target].map(|side| {
        ((target.name.clone(), side), Opinion { verdict: Verdict::Inconclusive, message: message.to_owned() })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probers_that_begin_together_are_spread_over_one_interval_from_the_second_round_on() {
        let pauses: Vec<f64> = (0..=4).map(|quarter| first_pause(f64::from(quarter) / 4.0)).collect();
        assert_eq!(pauses, [0.5, 0.75, 1.0, 1.25, 1.5]);
    }
}
