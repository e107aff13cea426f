//! What works by itself, without requests: no weight of DNS keeps it from working on both sides at once.

use std::collections::{BTreeMap, BTreeSet};

use super::both::{Both, Sight};
use super::told::{found, noted};
use super::{Found, Question};
use crate::api::status::Severity;
use crate::machine::inventory::{Content, Item, Workload};

pub(super) const QUESTIONS: [Question; 4] = [
    ("CronJobTwice", Severity::Blocker, "A CronJob is active on both sides. Can be acknowledged.", cron_job_twice),
    (
        "CronJobToCome",
        Severity::Warning,
        "A CronJob is active on the source and not yet on the target, where it must come suspended.",
        cron_job_to_come,
    ),
    (
        "Worker",
        Severity::Warning,
        "A workload gets no requests by a Service: it would work on both sides at once.",
        worker,
    ),
    ("RunningJob", Severity::Warning, "A Job is not finished: it stays on the source, or runs twice.", running_job),
];

fn schedules<'a>(both: &Both<'a>) -> impl Iterator<Item = (&'a Item, &'a str)> {
    both.workloads().filter_map(|(item, workload)| {
        workload.schedule.as_deref().filter(|_| !workload.suspended).map(|schedule| (item, schedule))
    })
}

fn cron_job_twice(both: &Both<'_>) -> Option<Found> {
    let runs = |item: &Item| both.target.workload(item).is_some_and(|workload| !workload.suspended);
    let told = schedules(both).filter(|(item, _)| runs(item)).map(|(item, schedule)| noted(item, schedule));
    let meaning = "Each run would be made twice: mails sent twice, payments made twice.";
    let fix = "Suspend them on the target until users have moved (spec.suspend: true), then change over.";
    found(told, "CronJobs that are active on both sides", meaning, fix)
}

fn cron_job_to_come(both: &Both<'_>) -> Option<Found> {
    let lacks = |item: &Item| both.target.lacks(&item.kind.group, &item.kind.kind, &item.name);
    let told = schedules(both).filter(|(item, _)| lacks(item)).map(|(item, schedule)| noted(item, schedule));
    let meaning = "Deployed to the target as they are, they would run on both sides.";
    found(
        told,
        "CronJobs that are active on the source",
        meaning,
        "Deploy them to the target with spec.suspend: true, and change over when users have moved.",
    )
}

/// The selectors of the source's Services, by one of their labels: a Pod's labels then find those that may select it.
fn selectors<'a>(sight: &Sight<'a>) -> BTreeMap<(&'a String, &'a String), Vec<&'a BTreeMap<String, String>>> {
    let mut all: BTreeMap<_, Vec<_>> = BTreeMap::new();
    for item in sight.all.items.values() {
        let Content::Service(service) = &item.content else { continue };
        // Those of one selector are one, however many Services there are.
        if let Some(first) = service.selector.iter().next() {
            all.entry(first).or_default().push(&service.selector);
        }
    }
    for same in all.values_mut() {
        *same = same.drain(..).collect::<BTreeSet<_>>().into_iter().collect();
    }
    all
}

fn worker(both: &Both<'_>) -> Option<Found> {
    let selectors = selectors(&both.source);
    let holds = |labels: &BTreeMap<String, String>, selector: &BTreeMap<String, String>| {
        selector.iter().all(|(key, value)| labels.get(key) == Some(value))
    };
    let is_served = |workload: &Workload| {
        let labels = &workload.pod_labels;
        labels.iter().filter_map(|label| selectors.get(&label)).flatten().any(|selector| holds(labels, selector))
    };
    let lasts = |item: &Item| ["Deployment", "StatefulSet", "DaemonSet"].contains(&item.kind.kind.as_str());
    let told =
        both.workloads().filter(|(item, workload)| lasts(item) && workload.replicas != Some(0) && !is_served(workload));
    let meaning = "No Service sends them requests, so they take work from elsewhere, as queues and schedules: on both sides at once.";
    let fix = "See that two of them at work are no harm, or keep them at 0 on one side and change over when users have moved.";
    found(told.map(|(item, _)| noted(item, "")), "Workloads that work by themselves", meaning, fix)
}

fn running_job(both: &Both<'_>) -> Option<Found> {
    let told = both.workloads().filter(|(item, workload)| item.kind.kind == "Job" && !workload.suspended);
    let meaning = "They are not copied: a run belongs to the side that began it.";
    let fix = "Wait until they have ended, and see that the pipeline does not run them on both sides.";
    found(told.map(|(item, _)| noted(item, "")), "Jobs that have not ended", meaning, fix)
}
