//! What must be true at the end, checked on the recordings of both API servers, and the summary for the viewer.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::{Context as _, Result, bail};
use jiff::Timestamp;

use super::scene::Scene;
use super::screen::{Colour, Screen, say};
use super::script::{BOOKS, SHOP, Script};
use super::story::stage;
use super::visitors::Served;
use super::weights::Weights;
use crate::deploy::OPERATOR_NAMESPACE;
use crate::operator::Operator;
use crate::recorder::{Mark, Recorder, Write, merge};
use crate::sample_namespace::SampleNamespace;
use crate::setup::{ANNOTATION_PREFIX, Setup};
use crate::weight_history::{self, Direction, WeightPoint, weight_history};
use crate::world::World;

/// One thing that must be true, and what was found.
type Finding = (String, Result<(), String>);

/// What the demo leaves behind, to be looked at.
pub struct Outcome<'a> {
    shop: &'a Scene,
    books: &'a Scene,
    writes: Vec<Write>,
    log: String,
    canaries: [String; 2],
    fault: SystemTime,
}

impl<'a> Outcome<'a> {
    /// Reads the recordings and the operator's log. `fault` is when the target of `books` broke.
    pub async fn collect(
        world: &World,
        setup: &Setup,
        operator: &Operator,
        [shop, books]: [&'a Scene; 2],
        fault: SystemTime,
    ) -> Result<Self> {
        let record = |name, cluster: &crate::control_plane::ControlPlane| Recorder::open(name, cluster.audit_log());
        let source = record(weight_history::SOURCE, world.source()).since(Mark::default()).await?;
        let target = record(weight_history::TARGET, world.target()).since(Mark::default()).await?;
        let canaries = [SHOP.name, BOOKS.name].map(|name| SampleNamespace::canary(&setup.sample(name)));
        Ok(Self { shop, books, writes: merge([source, target]), log: operator.log()?, canaries, fault })
    }

    /// Shows every finding; fails when one is not as it must be.
    pub fn check(&self, screen: &Screen) -> Result<()> {
        let findings = self.findings();
        say("\nWhat the recordings of both API servers show:")?;
        for (what, found) in &findings {
            match found {
                Ok(()) => say(&format!("  {}  {what}", screen.paint(Colour::Green, "yes")))?,
                Err(found) => say(&format!("  {}  {what}: {found}", screen.paint(Colour::Red, "NO ")))?,
            }
        }
        match findings.iter().filter(|(_, found)| found.is_err()).count() {
            0 => Ok(()),
            broken => bail!("{broken} of {} expectations are not met", findings.len()),
        }
    }

    fn findings(&self) -> Vec<Finding> {
        let ended = |scene: &Scene, expected: &str| {
            let status = scene.status.borrow();
            (stage(&status) == expected).then_some(()).ok_or_else(|| format!("it is {}", stage(&status)))
        };
        let weights = |scene: &Scene, source, target| {
            let (found, expected) = (*scene.weights.borrow(), Weights { source: Some(source), target: Some(target) });
            (found == expected).then_some(()).ok_or_else(|| format!("found {found:?}"))
        };
        let lost = self.shop.visitors.counts();
        let nobody = match lost.source.badly + lost.target.badly {
            0 => Ok(()),
            lost => Err(format!("{lost} requests failed")),
        };
        let mut findings = vec![
            (
                "shop is Completed, with the target at 100 and the source at 0".to_owned(),
                ended(self.shop, "Completed").and(weights(self.shop, 0, 100)),
            ),
            (
                "books is RolledBack, with the source at 100 and the target at 0".to_owned(),
                ended(self.books, "RolledBack").and(weights(self.books, 100, 0)),
            ),
            ("no request of shop's users failed".to_owned(), nobody),
        ];
        findings.extend(self.promises(SHOP));
        findings.extend(self.promises(BOOKS));
        let secret = self
            .canaries
            .iter()
            .try_for_each(|canary| weight_history::contains_text([("the operator's log", &self.log)], canary));
        findings.push(("no value of a Secret is in the operator's log".to_owned(), secret));
        findings
    }

    fn promises(&self, script: Script) -> Vec<Finding> {
        let (name, history) = (script.name, self.history(script));
        vec![
            (format!("{name}: never were both weights 0"), weight_history::never_both_zero(&history)),
            (
                format!("{name}: never had the target more users than its step allows"),
                weight_history::share_never_above(&history, script.steps),
            ),
            (
                format!("{name}: the share only rose on the way there, and only fell on the way back"),
                weight_history::share_follows_direction(&history),
            ),
            (
                format!("{name}: after a rollback began, the target was never raised"),
                weight_history::target_never_raised_after_rollback(&history),
            ),
        ]
    }

    fn history(&self, script: Script) -> Vec<WeightPoint> {
        weight_history(&self.writes, script.name, ANNOTATION_PREFIX)
    }

    /// What happened, for somebody who has not seen it before.
    pub fn tell(&self) -> Result<()> {
        let cause = self.books.status.borrow()["cause"]["message"].as_str().unwrap_or_default().to_owned();
        let (shop, books) = (self.shop.visitors.counts(), self.books.visitors.counts());
        say(&format!(
            "\nWhat happened:
  shop   moved: all its users are served by the target cluster now. In {} steps, tested before the first user came.
         Requests: {}.
  books  came back by itself: all its users are served by the source cluster, as before.
         Why: {cause}
         From the fault to weight 100 on the source: {}. No person did anything.
         Requests: {}.
         (With a real DNS a user follows once external-dns, Route 53 and their resolver have: some minutes at most.)

Writes made by the operator, from the audit logs of both API servers:
{}",
            SHOP.steps.len(),
            requests(shop.source, shop.target),
            self.time_to_return()?,
            requests(books.source, books.target),
            self.written(),
        ))
    }

    /// The time from the fault to the write that sends everybody to the source again.
    fn time_to_return(&self) -> Result<String> {
        let fault = Timestamp::try_from(self.fault).context("the time of the fault")?;
        let history = self.history(BOOKS);
        let back = |point: &&WeightPoint| {
            let stamp = point.source_stamps.get(BOOKS.name);
            point.source.get(BOOKS.name) == Some(&100)
                && stamp.is_some_and(|stamp| stamp.direction == Direction::RollingBack)
        };
        let point = history.iter().find(back).context("no write of the source's weight 100 in the recording")?;
        let millis = point.time.duration_since(fault).as_millis();
        Ok(format!("{}.{} s", millis / 1000, millis % 1000 / 100))
    }

    /// Successful writes of the operator's accounts by cluster and resource.
    fn written(&self) -> String {
        let account = format!("system:serviceaccount:{OPERATOR_NAMESPACE}:");
        let mut counts: BTreeMap<&str, BTreeMap<String, usize>> = BTreeMap::new();
        for write in self.writes.iter().filter(|write| write.user.starts_with(&account) && write.succeeded()) {
            let what = if write.subresource.is_empty() {
                write.resource.clone()
            } else {
                format!("{}/{}", write.resource, write.subresource)
            };
            *counts.entry(&write.cluster).or_default().entry(what).or_default() += 1;
        }
        let line = |(cluster, counts): (&str, BTreeMap<String, usize>)| {
            let counts: Vec<_> = counts.into_iter().map(|(what, count)| format!("{count} {what}")).collect();
            format!("  {cluster}  {}", counts.join(", "))
        };
        counts.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn requests(source: Served, target: Served) -> String {
    let side = |served: Served| format!("{} ({} failed)", served.well + served.badly, served.badly);
    format!("source {}, target {}", side(source), side(target))
}
