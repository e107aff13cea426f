//! Telling a stuck DNS from a sick application: what stands at a host that can never be shifted, and why external-dns may not
//! follow. Causes are told from what Route 53 lists, the ownership records and what is known of external-dns; what is only
//! likely says so.
//!
//! | Question | Module |
//! |---|---|
//! | What stands at a host that can never be shifted? | `at_host` |
//! | Whose are the records? | `owners` |
//! | How does the side's external-dns run? | `publisher` |
//! | What would Route 53 refuse beside the source's record? | `refused` |
//! | What do external-dns's metrics say of its passes? | `passes` |

mod at_host;
mod owners;
mod passes;
mod publisher;
mod refused;

use jiff::Timestamp;

use super::external_dns::{DeploymentSight, ExternalDnsView};
use super::gate::{self, Goal, Place};
use super::observed::{IngressFacts, Side};
use super::records::{Evidence, ListedRecord, Routing};
use super::run::Run;
use super::traffic::Weight;

pub(super) use at_host::unshiftable;
pub(super) use publisher::unread;

/// Why DNS does not follow, and what to do.
pub(super) struct Cause {
    pub found: String,
    pub fix: String,
}

impl Cause {
    fn new(found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { found: found.into(), fix: fix.into() }
    }
}

/// Why a gate that is late stays closed, as far as it can be told.
pub(super) fn explain(run: &Run<'_>, goal: Goal, written: Timestamp) -> Cause {
    let side = side_of(run, goal);
    let view = run.observed.dns.external_dns(side);
    publisher::told(run, side, goal, view)
        .or_else(|| owners::one_owner(run))
        .or_else(|| owners::foreign(run, side, view))
        .or_else(|| refused::told(run, goal))
        .or_else(|| passes::told(side, view, written))
        .unwrap_or_else(|| likely(run, side, goal, view))
}

/// The side whose external-dns has not followed.
fn side_of(run: &Run<'_>, goal: Goal) -> Side {
    match goal {
        Goal::SourceWeighted(_) => Side::Source,
        Goal::TargetPublished => Side::Target,
        Goal::Receives(side, _) | Goal::Gives(side, _) => side,
        Goal::AsWritten => edited(run),
        Goal::SourceServesAll => {
            let target_has = |place: &Place<'_>| {
                listed(run, place.host).iter().any(|record| {
                    is_of(record, *place, Side::Target) && record.set.routing != Routing::Weighted(Weight::ZERO)
                })
            };
            if gate::places(run).iter().any(target_has) { Side::Target } else { Side::Source }
        }
    }
}

/// The side of which a record differs from what is written.
fn edited(run: &Run<'_>) -> Side {
    let differs = |side: Side| {
        gate::places(run).into_iter().any(|place| {
            let written = run.ingress(side, place.planned).and_then(IngressFacts::weight).map(Routing::Weighted);
            let mut of_side = listed(run, place.host)
                .iter()
                .filter(|record| record.set.identifier.as_ref() == Some(place.planned.identifier(side)));
            of_side.any(|record| Some(&record.set.routing) != written.as_ref())
        })
    };
    if differs(Side::Source) { Side::Source } else { Side::Target }
}

/// The records of a host as last listed. Empty where nobody has.
fn listed<'a>(run: &'a Run<'_>, host: &str) -> &'a [ListedRecord] {
    match run.observed.dns.hosts.get(host).map(|view| &view.evidence) {
        Some(Evidence::Listed(records)) => records,
        _ => &[],
    }
}

/// Whether a record has the identifier of a side.
fn is_of(record: &ListedRecord, place: Place<'_>, side: Side) -> bool {
    record.set.identifier.as_ref() == Some(place.planned.identifier(side))
}

/// Nobody tells: the most frequent causes, as such.
fn likely(run: &Run<'_>, side: Side, goal: Goal, view: &ExternalDnsView) -> Cause {
    let prefix = &run.order.rules(side).annotation_prefix;
    let pair = &run.order.pair;
    let mut causes = vec![
        format!("the external-dns of the {side} is down or behind"),
        "it fails because of somebody's record (its log says InvalidChangeBatch)".to_owned(),
        format!("it does not read {prefix}, or a filter leaves this Ingress out"),
    ];
    match goal {
        Goal::SourceWeighted(_) => {
            causes.push("it does not run with --policy=sync, or the record is another owner's".to_owned());
        }
        Goal::AsWritten => causes.insert(0, "somebody has changed the record in the zone itself".to_owned()),
        Goal::TargetPublished => {
            causes.push("its record differs in TTL or kind from the source's, and Route 53 refuses it".to_owned());
        }
        _ => {}
    }
    let (mut more, mut fix) = (String::new(), String::new());
    match &view.deployment {
        DeploymentSight::Gone { name } => causes.insert(
            0,
            format!("its Deployment {name} is not there: it was removed, or ClusterPair {pair} names another one"),
        ),
        DeploymentSight::Refused { name, why } => {
            more = format!(" Its Deployment {name} could tell more, but may not be read: {why}.");
            fix = format!(" Let the operator list and watch the Deployment {name} on the {side}.");
        }
        DeploymentSight::NotNamed | DeploymentSight::Unread | DeploymentSight::Seen { .. } => {}
    }
    Cause::new(
        format!("Likely causes (inferred, the most likely first): {}.{more}", causes.join("; ")),
        format!(
            "Look at the log of the {side}'s external-dns. Weights stay until DNS follows, and it goes on by itself.{fix}"
        ),
    )
}
