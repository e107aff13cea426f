//! Whose the records are: an external-dns leaves alone what is not its own, and removes what it takes for its own.

use super::{Cause, is_of, listed};
use crate::machine::external_dns::{self, ExternalDnsView};
use crate::machine::gate::{self, Place};
use crate::machine::observed::Side;
use crate::machine::records::{ListedRecord, Owner, Routing};
use crate::machine::run::Run;

/// Each of the two takes the other's records for its own orphans, and removes them. The owner ids are those that the Deployments
/// or the ClusterPair say, else those that the ownership records name.
pub(super) fn one_owner(run: &Run<'_>) -> Option<Cause> {
    let dns = &run.observed.dns;
    let said = |side: Side| external_dns::owner(run.order, dns.external_dns(side), side).map(String::as_str);
    let ids = |side: Side| said(side).map(|owner| (owner, String::new())).or_else(|| noted(run, side));
    let ((source, by_source), (target, by_target)) = (ids(Side::Source)?, ids(Side::Target)?);
    (source == target).then(|| {
        Cause::new(
            format!(
                "Both external-dns have the owner id {source}{by_source}{by_target}: each takes the other's records for its own, and removes \
                 them."
            ),
            external_dns::one_owner_fix(&run.order.pair),
        )
    })
}

/// The owner that the ownership record of a side's own record names, and where it was found.
fn noted<'a>(run: &'a Run<'_>, side: Side) -> Option<(&'a str, String)> {
    gate::places(run).into_iter().find_map(|place| {
        let own = listed(run, place.host).iter().find(|record| is_own(run, record, place, side))?;
        let owner = own.set.owner.named()?;
        Some((owner, format!(" (the {side}'s by the ownership record of {})", place.host)))
    })
}

/// Whether a record is a side's: by its identifier, or a simple one by where it leads.
fn is_own(run: &Run<'_>, record: &ListedRecord, place: Place<'_>, side: Side) -> bool {
    let leads_there = || {
        let facts = run.ingress(side, place.planned);
        facts.is_some_and(|facts| record.set.leads_to.iter().any(|address| facts.addresses.contains(address)))
    };
    is_of(record, place, side) || (record.set.routing == Routing::Simple && leads_there())
}

/// A record that the side's external-dns does not take for its own.
pub(super) fn foreign(run: &Run<'_>, side: Side, view: &ExternalDnsView) -> Option<Cause> {
    gate::places(run).into_iter().find_map(|place| {
        let record = listed(run, place.host).iter().find(|record| {
            let simple = side == Side::Source && record.set.routing == Routing::Simple;
            simple || is_of(record, place, side)
        })?;
        match &record.set.owner {
            Owner::Named(owner) => another(run, side, view, place.host, record, owner),
            Owner::Absent { sought } if view.notes_owners_in_txt() => {
                Some(nobodys(run, side, view, place, record, sought))
            }
            // Where nobody has looked, or notes are kept elsewhere, nothing is known.
            Owner::Absent { .. } | Owner::Unread => None,
        }
    })
}

fn another(
    run: &Run<'_>,
    side: Side,
    view: &ExternalDnsView,
    host: &str,
    record: &ListedRecord,
    owner: &str,
) -> Option<Cause> {
    let expected = external_dns::owner(run.order, view, side).filter(|expected| *expected != owner)?;
    let kind = record.set.kind.name();
    Some(Cause::new(
        format!(
            "The {kind} record of {host} belongs to the external-dns {owner}; the {side}'s is {expected} and leaves it alone."
        ),
        format!(
            "Let {owner} give the record up (--txt-owner-id), or mend spec.{side}.externalDNS.ownerID of ClusterPair {}.",
            run.order.pair
        ),
    ))
}

/// A live record is never taken away to cure it: the note that is missing can be added beside it.
fn nobodys(
    run: &Run<'_>,
    side: Side,
    view: &ExternalDnsView,
    place: Place<'_>,
    record: &ListedRecord,
    sought: &[String],
) -> Cause {
    let (host, kind, pair) = (place.host, record.set.kind.name(), &run.order.pair);
    let owner = external_dns::owner(run.order, view, side).map_or("OWNER", String::as_str);
    let (namespace, ingress) = (&run.order.namespace, &place.planned.name);
    let first = sought.first().map_or("", String::as_str);
    Cause::new(
        format!(
            "The {kind} record of {host} has no ownership record at {}, so that no external-dns touches it.",
            sought.join(" or ")
        ),
        format!(
            "If --txt-prefix or --txt-suffix of the {side}'s external-dns are others, mend them in spec.{side}.externalDNS of ClusterPair \
             {pair}. Else give it the record: create the TXT record {first} \
             \"heritage=external-dns,external-dns/owner={owner},external-dns/resource=ingress/{namespace}/{ingress}\" with the same set \
             identifier and weight, if it has them. The record itself serves users and stays."
        ),
    )
}
