//! What must be true at the end, checked on the recordings of both API servers, and the summary for the viewer.

use std::collections::BTreeMap;
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};

use super::scene::Scene;
use super::screen::{Colour, Screen, WIDTH, say, wrapped};
use super::script::{BOOKS, SHOP, Script};
use super::story::stage;
use super::way_back::{WayBack, decided};
use crate::deploy::OPERATOR_NAMESPACE;
use crate::dns_server::{Journal, Outcome as Answer};
use crate::operator::Operator;
use crate::population::{Report, Sickness};
use crate::recorder::{Mark, Recorder, Write, merge};
use crate::route53::journal::Served;
use crate::route53::record::Kind;
use crate::sample_namespace::SampleNamespace;
use crate::setup::{ANNOTATION_PREFIX, Setup};
use crate::weight_history::{self, Direction, WeightPoint, weight_history};
use crate::weights::{
    Approval, Weights, share_never_above_approved, share_rose_then_fell, somebody_always_answered, source_alone_since,
};
use crate::world::World;

/// The length of the pieces of time in the users' reports.
const PIECE: Duration = Duration::from_secs(1);

/// One thing that must be true, and what was found.
type Finding = (String, Result<(), String>);

/// What the demo leaves behind, to be looked at.
pub struct Outcome<'a> {
    shop: &'a Scene,
    books: &'a Scene,
    writes: Vec<Write>,
    log: String,
    canaries: [String; 2],
    answers: Journal,
    reports: [Report; 2],
    fault: Sickness,
}

impl<'a> Outcome<'a> {
    /// Reads the recordings and the operator's log. `fault` is what the target of `books` got.
    pub async fn collect(
        world: &World,
        setup: &Setup,
        operator: &Operator,
        [shop, books]: [&'a Scene; 2],
        fault: Sickness,
    ) -> Result<Self> {
        let record = |name, cluster: &crate::control_plane::ControlPlane| Recorder::open(name, cluster.audit_log());
        let source = record(weight_history::SOURCE, world.source()).since(Mark::default()).await?;
        let target = record(weight_history::TARGET, world.target()).since(Mark::default()).await?;
        let canaries = [SHOP.name, BOOKS.name].map(|name| SampleNamespace::canary(&setup.sample(name)));
        let reports = [shop.people.report(&[], PIECE), books.people.report(&[fault], PIECE)];
        let (writes, log, answers) = (merge([source, target]), operator.log()?, world.name_server().journal().clone());
        Ok(Self { shop, books, writes, log, canaries, answers, reports, fault })
    }

    /// Shows every finding; fails when one is not as it must be.
    pub fn check(&self, screen: &Screen) -> Result<()> {
        let findings = self.findings();
        say("\nWhat the recordings of API servers, DNS and users show:")?;
        for (what, found) in &findings {
            match found {
                Ok(()) => say(&format!("  {}  {}", screen.paint(Colour::Green, "yes"), below(7, what)))?,
                Err(found) => {
                    let told = below(7, &format!("{what}: {found}"));
                    say(&format!("  {}  {told}", screen.paint(Colour::Red, "NO ")))?;
                }
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
            let (traffic, expected) = (scene.traffic(), Weights { source: Some(source), target: Some(target) });
            let found = [traffic.written, traffic.served];
            (found == [expected; 2]).then_some(()).ok_or_else(|| format!("written {}, served {}", found[0], found[1]))
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
            ("no request of shop's users failed".to_owned(), nobody_lost(&self.reports[0])),
            (
                "no request of books' users failed but those that the sick target answered badly".to_owned(),
                nobody_lost(&self.reports[1]),
            ),
            ("books: each part of the way back happened".to_owned(), self.way_back().complete()),
        ];
        findings.extend(self.served(self.shop, SHOP));
        findings.extend(self.served(self.books, BOOKS));
        findings.extend(self.promises(SHOP));
        findings.extend(self.promises(BOOKS));
        let secret = self
            .canaries
            .iter()
            .try_for_each(|canary| weight_history::contains_text([("the operator's log", &self.log)], canary));
        findings.push(("no value of a Secret is in the operator's log".to_owned(), secret));
        findings
    }

    /// What name servers showed and answered.
    fn served(&self, scene: &Scene, script: Script) -> Vec<Finding> {
        let (name, approved) = (&scene.name, self.approved(script));
        let in_each = |check: &dyn Fn(&[Served]) -> Result<(), String>| {
            [Kind::A, Kind::Aaaa].into_iter().try_for_each(|kind| check(&scene.served(kind)))
        };
        vec![
            (format!("{name}: in DNS there was always somebody with a weight"), in_each(&somebody_always_answered)),
            (
                format!("{name}: in DNS the target's share only rose on the way there, and only fell on the way back"),
                in_each(&share_rose_then_fell),
            ),
            (
                format!("{name}: in DNS the target never had more than the step that was written by then"),
                in_each(&|served| share_never_above_approved(served, &approved)),
            ),
            (
                format!("{name}: no user got an empty or negative answer from DNS"),
                never_empty(&self.answers, &scene.host),
            ),
        ]
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

    /// The target's weights, each from when it was written on.
    fn approved(&self, script: Script) -> Vec<Approval> {
        let steps = self.history(script).into_iter().filter_map(|point| {
            let percent = point.target.values().copied().max()?;
            Some(Approval { since: point.time.into(), percent })
        });
        steps.collect()
    }

    fn history(&self, script: Script) -> Vec<WeightPoint> {
        weight_history(&self.writes, script.name, ANNOTATION_PREFIX)
    }

    /// What happened, for somebody who has not seen it before.
    pub fn tell(&self) -> Result<()> {
        let cause = self.books.status.borrow()["cause"]["message"].as_str().unwrap_or_default().to_owned();
        let [shop, books] = &self.reports;
        say(&format!(
            "\nWhat happened:
  shop   moved: all its users are served by the target cluster now. In {} steps,
         tested before the first user came.
         {}
  books  came back by itself: all its users are served by the source cluster, as
         before. No person did anything. Why:
         {}
         {}

         The way back, from the first bad answer on:
{}
Writes made by the operator, from the audit logs of both API servers:
{}",
            SHOP.steps.len(),
            below(9, &shop.to_string()),
            below(9, &cause),
            below(9, &books.to_string()),
            self.way_back(),
            self.written(),
        ))
    }

    fn way_back(&self) -> WayBack {
        let fault = self.fault.from;
        WayBack {
            fault,
            answered_badly: self.reports[1].first_badly_answered,
            decided: decided(&self.log, BOOKS.name, fault),
            written: self.back_at_100(),
            served: source_alone_since(&self.books.served(Kind::A), fault),
            left: self.reports[1].last_at.target.filter(|left| *left >= fault),
        }
    }

    /// The write that sends everybody to the source again.
    fn back_at_100(&self) -> Option<SystemTime> {
        let history = self.history(BOOKS);
        let back = |point: &&WeightPoint| {
            let stamp = point.source_stamps.get(BOOKS.name);
            point.source.get(BOOKS.name) == Some(&100)
                && stamp.is_some_and(|stamp| stamp.direction == Direction::RollingBack)
        };
        history.iter().find(back).map(|point| SystemTime::from(point.time))
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
            format!("  {cluster}  {}", below(10, &counts.join(", ")))
        };
        counts.into_iter().map(line).collect::<Vec<_>>().join("\n")
    }
}

fn nobody_lost(report: &Report) -> Result<(), String> {
    if report.lost() == 0 { Ok(()) } else { Err(report.to_string()) }
}

fn never_empty(answers: &Journal, host: &str) -> Result<(), String> {
    let counts = answers.counts(host);
    let bad: Vec<_> = counts.iter().filter(|((_, outcome), _)| *outcome != Answer::Answered).collect();
    if bad.is_empty() { Ok(()) } else { Err(format!("{bad:?}")) }
}

/// Broken into lines that begin in this column.
fn below(column: usize, text: &str) -> String {
    wrapped(text, WIDTH - column).join(&format!("\n{}", " ".repeat(column)))
}
