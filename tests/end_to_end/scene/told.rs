//! What status has said so far, from the recording: every word of it, with its time.

use std::time::SystemTime;

use anyhow::{Context as _, Result};
use jiff::{SignedDuration, Timestamp};
use namespace_migration::api::status::{NamespaceMigrationStatus, StepPhase};
use namespace_migration::api::{DurationText, NamespaceMigration, Stage};
use rig::recorder::Write;
use rig::weights::Approval;

use super::Migration;
use super::promises::is_by_operator;

/// A status as the operator wrote it.
#[derive(Clone, Debug)]
pub struct Told {
    /// When it was written.
    pub at: Timestamp,
    /// What it says.
    pub status: NamespaceMigrationStatus,
}

impl Migration<'_> {
    /// Since when each step was approved: the first one since the shift began, every other one since the one before it has been held for
    /// as long as the spec says, and none before `spec.traffic.upTo` allowed it.
    pub async fn approved(&self) -> Result<Vec<Approval>> {
        let writes = self.writes_here().await?;
        let (told, ceilings, steps) = (self.told_in(&writes)?, self.ceilings(&writes)?, self.spec_steps()?);
        let approved = steps.iter().enumerate().filter_map(|(index, (percent, _))| {
            let ready = match index.checked_sub(1) {
                None => began(&told)?,
                Some(before) => held(&told, before, steps[before].1)?,
            };
            let (allowed, _) = ceilings.iter().find(|(_, ceiling)| ceiling >= percent)?;
            Some(Approval { since: SystemTime::from(ready.max(*allowed)), percent: *percent })
        });
        Ok(approved.collect())
    }

    /// Every status among these writes that is the operator's, the oldest first. The home must be the source.
    pub fn told_in(&self, writes: &[Write]) -> Result<Vec<Told>> {
        let ours =
            self.writes_of_the_object(writes).filter(|write| write.subresource == "status" && is_by_operator(write));
        let told = ours.map(|write| {
            let status = serde_json::from_value(write.response_object["status"].clone());
            Ok(Told { at: write.time, status: status.with_context(|| write.summary())? })
        });
        told.collect()
    }

    /// Every value of `spec.traffic.upTo`, and since when.
    fn ceilings(&self, writes: &[Write]) -> Result<Vec<(Timestamp, i32)>> {
        let ceilings = self.writes_of_the_object(writes).filter(|write| write.subresource.is_empty()).map(|write| {
            let object = serde_json::from_value::<NamespaceMigration>(write.response_object.clone());
            Ok((write.time, object.with_context(|| write.summary())?.spec.traffic.up_to))
        });
        ceilings.collect()
    }

    fn writes_of_the_object<'a>(&self, writes: &'a [Write]) -> impl Iterator<Item = &'a Write> {
        writes.iter().filter(move |write| {
            let of_object = write.resource == "namespacemigrations" && write.namespace == self.object_namespace();
            of_object && write.name == self.name() && write.succeeded()
        })
    }

    /// Weight and hold of each step of the spec.
    fn spec_steps(&self) -> Result<Vec<(i32, SignedDuration)>> {
        let steps = self.spec["traffic"]["steps"].as_array().into_iter().flatten();
        let holds = steps.map(|step| DurationText::from(step["hold"].as_str().unwrap_or_default()).span());
        let holds: Vec<_> = holds.collect::<Result<_, _>>().context("the holds of the spec")?;
        Ok(self.steps().into_iter().zip(holds).collect())
    }
}

/// When the shift began.
fn began(told: &[Told]) -> Option<Timestamp> {
    let shift = told.iter().find(|told| told.status.stage == Stage::ShiftTraffic)?;
    shift.status.stage_started_at.as_ref().map(|began| began.0)
}

/// When the step of this index had been held for so long, at the earliest.
fn held(told: &[Told], index: usize, hold: SignedDuration) -> Option<Timestamp> {
    let holds = told.iter().filter_map(|told| told.status.step.as_ref()).find(|step| {
        let is_this = usize::try_from(step.index).is_ok_and(|found| found == index);
        is_this && step.phase == StepPhase::Holding
    });
    holds?.since.0.checked_add(hold).ok()
}
