//! Whether the source could take the users back after the end: its Ingresses, and what runs behind them. What serves nothing of
//! what has moved is not asked for.

use std::collections::BTreeSet;

use super::observed::{ClusterView, Reach, Side, WorkloadFacts};
use super::run::Run;

/// What keeps the source from taking the users back.
pub(super) enum Missing {
    /// Nothing.
    Nothing,
    /// The clusters have not been listed yet.
    NotKnownYet,
    /// This, in a sentence without its full stop.
    This(String),
}

/// Looks for what is missing.
pub(super) fn missing(run: &Run<'_>) -> Missing {
    let view = run.view(Side::Source);
    match &view.reach {
        Reach::Unknown => return Missing::NotKnownYet,
        Reach::Reachable if view.synced => {}
        Reach::Reachable => {
            let why = view.unwatchable.as_ref();
            let refused = |why| Missing::This(format!("the namespace on the source cannot be watched: {why}"));
            return why.map_or(Missing::NotKnownYet, refused);
        }
        trouble => return Missing::This(format!("the source cluster {}", trouble.trouble())),
    }
    let target = run.view(Side::Target);
    let is_coming = target.unwatchable.is_none() && matches!(target.reach, Reach::Unknown | Reach::Reachable);
    if !target.synced && is_coming {
        return Missing::NotKnownYet;
    }
    let found = another_owner(run).or_else(|| missing_ingress(run)).or_else(|| missing_workload(run));
    found.map_or(Missing::Nothing, Missing::This)
}

fn another_owner(run: &Run<'_>) -> Option<String> {
    [Side::Source, Side::Target].into_iter().find_map(|side| {
        run.ingresses().iter().find_map(|planned| {
            let owner = &run.taken_by(side, planned)?.owner;
            Some(format!("Ingress {} on the {side} belongs to another migration by now, {owner}", planned.name))
        })
    })
}

fn missing_ingress(run: &Run<'_>) -> Option<String> {
    let view = run.view(Side::Source);
    let dying = view.namespace.as_ref().is_none_or(|namespace| namespace.terminating);
    if dying {
        return Some(format!("the namespace {} is gone from the source or being deleted", run.order.namespace));
    }
    run.ingresses().iter().find_map(|planned| {
        let name = &planned.name;
        match run.ingress(Side::Source, planned) {
            None => Some(format!("Ingress {name} is gone from the source")),
            Some(facts) if facts.deleting => Some(format!("Ingress {name} on the source is being deleted")),
            Some(facts) if facts.addresses.is_empty() => {
                Some(format!("Ingress {name} on the source has no load balancer address"))
            }
            Some(_) => None,
        }
    })
}

/// What serves the Ingresses on either side must run and be ready on the source.
fn missing_workload(run: &Run<'_>) -> Option<String> {
    let services = services(run);
    let (source, target) = (run.view(Side::Source), run.view(Side::Target));
    let gone = services.iter().find(|(_, service)| !source.services.contains_key(*service));
    if let Some((ingress, service)) = gone {
        return Some(format!(
            "Service {service}, to which Ingress {ingress} sends its requests, is gone from the source"
        ));
    }
    let here: Vec<_> = services.iter().flat_map(|(_, service)| behind(source, service)).collect();
    let there = services.iter().flat_map(|(_, service)| behind(target, service));
    let runs = |name: &str| source.workloads.get(name).is_some_and(|facts| facts.desired > 0);
    if let Some((name, _)) = there.filter(|(_, facts)| facts.desired > 0).find(|(name, _)| !runs(name)) {
        return Some(format!("{name} does not run on the source any more"));
    }
    let unready = here.iter().find(|(_, facts)| facts.desired > 0 && !facts.is_ready());
    if let Some((name, facts)) = unready {
        return Some(format!("{name} on the source has {} of {} Pods ready", facts.ready, facts.desired));
    }
    if here.is_empty() { nothing_is_ready(source) } else { scaled_to_zero(run, source) }
}

/// The Ingresses that moved, each with the Services that it sends requests to.
fn services<'a>(run: &'a Run<'_>) -> BTreeSet<(&'a str, &'a str)> {
    let known = run.ingresses().iter().filter_map(|planned| Some((&planned.name, run.ingress(Side::Source, planned)?)));
    known.flat_map(|(name, facts)| facts.services.iter().map(|service| (name.as_str(), service.as_str()))).collect()
}

/// The workloads whose Pods a Service selects. None where that cannot be told: a Service without a selector, Pods that something
/// else makes.
fn behind<'a>(view: &'a ClusterView, service: &str) -> Vec<(&'a str, &'a WorkloadFacts)> {
    let Some(selector) = view.services.get(service).map(|facts| &facts.selector).filter(|one| !one.is_empty()) else {
        return vec![];
    };
    let selects = |facts: &WorkloadFacts| selector.iter().all(|(key, value)| facts.labels.get(key) == Some(value));
    view.workloads.iter().filter(|(_, facts)| selects(facts)).map(|(name, facts)| (name.as_str(), facts)).collect()
}

/// A Service of which every workload is scaled to 0 serves nobody.
fn scaled_to_zero(run: &Run<'_>, source: &ClusterView) -> Option<String> {
    services(run).into_iter().find_map(|(ingress, service)| {
        let behind = behind(source, service);
        let stopped = !behind.is_empty() && behind.iter().all(|(_, facts)| facts.desired == 0);
        let (name, _) = behind.first().filter(|_| stopped)?;
        Some(format!("{name}, which serves Ingress {ingress}, is scaled to 0 on the source"))
    })
}

/// Where it cannot be told what serves an Ingress, one ready Pod of whatever workload tells that the source is not empty.
fn nothing_is_ready(source: &ClusterView) -> Option<String> {
    let workloads = &source.workloads;
    let (name, facts) = workloads.first_key_value().filter(|_| workloads.values().all(|facts| facts.ready == 0))?;
    Some(format!("no workload on the source has a ready Pod: {name} has 0 of {}", facts.desired))
}
