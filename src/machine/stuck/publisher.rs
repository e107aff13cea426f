//! How a side's external-dns runs, by its Deployment, or as the ClusterPair says it.

use super::{Cause, listed};
use crate::machine::external_dns::{self, DeploymentSight, ExternalDnsView};
use crate::machine::gate::{self, Goal};
use crate::machine::observed::Side;
use crate::machine::reason::Reason;
use crate::machine::records::Routing;
use crate::machine::run::{Run, Wait};

/// A wait until the Deployments have been read that the ClusterPair names: what they say may forbid the beginning.
pub(in crate::machine) fn unread(run: &Run<'_>) -> Option<Wait> {
    let is_unread = |side: &Side| run.observed.dns.external_dns(*side).deployment == DeploymentSight::Unread;
    let side = [Side::Source, Side::Target].into_iter().find(is_unread)?;
    let message = format!("The Deployment of external-dns on the {side} is being read.");
    Some(Wait::new(Reason::ConnectingToClusters, message))
}

/// What its Deployment and the ClusterPair say outright.
pub(super) fn told(run: &Run<'_>, side: Side, goal: Goal, view: &ExternalDnsView) -> Option<Cause> {
    does_not_run(side, view)
        .or_else(|| does_not_change(run, side, goal, view))
        .or_else(|| reads_others(run, side, view))
        .or_else(|| leaves_out(run, side, view))
}

fn does_not_run(side: Side, view: &ExternalDnsView) -> Option<Cause> {
    let name = format!("external-dns of the {side}");
    let at = match &view.deployment {
        DeploymentSight::Seen { name } => format!(" (Deployment {name})"),
        _ => String::new(),
    };
    match (view.wanted, view.ready) {
        (Some(0), _) => Some(Cause::new(
            format!("The {name} is scaled to 0{at}: it does not run."),
            format!("Scale the {name} up again; it goes on by itself."),
        )),
        (wanted, Some(0)) => {
            let wanted = wanted.map(|wanted| format!(" of {wanted}")).unwrap_or_default();
            Some(Cause::new(
                format!("The {name} has no ready Pod{wanted}{at}."),
                format!("Bring the {name} back: look at its Pods and their log. It goes on by itself."),
            ))
        }
        _ => None,
    }
}

/// An UPSERT changes a weight, but makes no simple record weighted; and who only creates changes nothing.
fn does_not_change(run: &Run<'_>, side: Side, goal: Goal, view: &ExternalDnsView) -> Option<Cause> {
    let name = format!("external-dns of the {side}");
    if view.dry_run {
        return Some(Cause::new(
            format!("The {name} runs with --dry-run: it prints changes instead of making them."),
            format!("Run the {name} without --dry-run."),
        ));
    }
    let policy = external_dns::policy(run.order, view, side)?.as_str();
    let why = match (policy, goal) {
        ("create-only", goal) if goal != Goal::TargetPublished => "which never changes a record that is there",
        ("upsert-only", Goal::SourceWeighted(_)) if is_simple_somewhere(run) => {
            "which never turns a simple record into a weighted one"
        }
        _ => return None,
    };
    Some(Cause::new(
        format!("The {name} runs with --policy={policy}, {why}."),
        format!("Run the {name} with --policy=sync."),
    ))
}

fn is_simple_somewhere(run: &Run<'_>) -> bool {
    let mut places = gate::places(run).into_iter();
    places.any(|place| listed(run, place.host).iter().any(|record| record.set.routing == Routing::Simple))
}

fn reads_others(run: &Run<'_>, side: Side, view: &ExternalDnsView) -> Option<Cause> {
    let (pair, expected) = (&run.order.pair, &run.order.rules(side).annotation_prefix);
    let prefix = view.annotation_prefix.as_ref().filter(|prefix| *prefix != expected)?;
    Some(Cause::new(
        format!(
            "The external-dns of the {side} reads annotations that begin with {prefix}, the ClusterPair says {expected}."
        ),
        format!("Mend spec.{side}.externalDNS.annotationPrefix of ClusterPair {pair}, or --annotation-prefix."),
    ))
}

fn leaves_out(run: &Run<'_>, side: Side, view: &ExternalDnsView) -> Option<Cause> {
    let (name, why) = run.ingresses().iter().find_map(|planned| {
        let facts = run.ingress(side, planned)?;
        Some((&planned.name, view.filters.leave_out(&run.order.namespace, &planned.name, facts)?))
    })?;
    Some(Cause::new(
        format!("The external-dns of the {side} leaves Ingress {name} out: {why}."),
        format!("Mend the filter of the {side}'s external-dns, or leave the Ingress out (spec.ingresses.exclude)."),
    ))
}
