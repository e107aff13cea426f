//! What Route 53 accepts: a batch of changes happens as a whole, or not at all with one message for each broken rule.
//!
//! <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html> and
//! <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>. The texts are those that the real
//! service is reported to give; where none is known, that is said beside it.

mod alias;
mod value;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use super::journal::{Action, Change};
use super::record::{Key, Kind, Policy, RecordSet, Routing, Target};
use super::records::Records;
use crate::dns_server::Surroundings;

/// `ResourceRecord` elements in one request; those of an UPSERT count twice.
const RECORDS_OF_A_BATCH: usize = 1000;
/// Characters in all `Value` elements of one request; those of an UPSERT count twice.
const CHARACTERS_OF_A_BATCH: usize = 32_000;
/// Weighted sets of one name and type.
const WEIGHTED_SETS: usize = 100;
/// Values of one set.
const VALUES_OF_A_SET: usize = 400;

/// Sets of one zone.
const SETS_OF_A_ZONE: usize = 10_000;

/// The zone that a batch is about.
pub(super) struct Place<'a> {
    /// The zone's id, without `/hostedzone/`.
    pub(super) id: &'a str,
    /// The zone's name.
    pub(super) origin: &'a str,
    /// The load balancers that an alias may point to.
    pub(super) surroundings: &'a Surroundings,
}

/// What the zone holds after the batch; or every broken rule, and nothing has happened.
pub(super) fn accept(place: &Place<'_>, before: &Records, changes: &[Change]) -> Result<Records, Vec<String>> {
    let limits = batch_limits(changes);
    if !limits.is_empty() {
        return Err(limits);
    }
    let mut broken = repeated(changes);
    let mut after = before.clone();
    for change in changes {
        broken.extend(against_present(&after, change));
        after.apply(change);
    }
    for change in changes.iter().filter(|change| change.action != Action::Delete) {
        broken.extend(against_result(place, &after, &change.set));
    }
    broken.extend(apex(place, &after));
    broken.extend(zone_size(place, &after));
    broken.sort();
    broken.dedup();
    if broken.is_empty() { Ok(after) } else { Err(broken) }
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests-changeresourcerecordsets>
fn batch_limits(changes: &[Change]) -> Vec<String> {
    let twice = |change: &Change| if change.action == Action::Upsert { 2 } else { 1 };
    let records: usize = changes.iter().map(|change| twice(change) * values(&change.set).len()).sum();
    let characters: usize = changes.iter().map(|change| twice(change) * characters(&change.set)).sum();
    let mut broken = Vec::new();
    if records > RECORDS_OF_A_BATCH {
        broken.push(format!("Number of records limit of {RECORDS_OF_A_BATCH} exceeded."));
    }
    if characters > CHARACTERS_OF_A_BATCH {
        broken.push(format!("RDATA character limit of {CHARACTERS_OF_A_BATCH} exceeded."));
    }
    broken
}

/// The values of a set that is no alias.
fn values(set: &RecordSet) -> &[String] {
    match &set.target {
        Target::Values(values) => values,
        Target::Alias { .. } => &[],
    }
}

fn characters(set: &RecordSet) -> usize {
    values(set).iter().map(|value| value.chars().count()).sum()
}

/// A set is changed once in a batch; only a deletion may be followed by a creation.
fn repeated(changes: &[Change]) -> Vec<String> {
    let mut seen: BTreeMap<Key, Vec<Action>> = BTreeMap::new();
    for change in changes {
        seen.entry(change.set.key()).or_default().push(change.action);
    }
    let allowed = |actions: &[Action]| matches!(actions, [_] | [Action::Delete, Action::Create]);
    let repeated = seen.iter().filter(|(_, actions)| !allowed(actions));
    repeated
        .map(|(key, _)| {
            let Key { name, kind, .. } = key;
            format!("The request contains an invalid set of changes for a resource record set '{kind} {name}'")
        })
        .collect()
}

/// A creation needs that nothing is there, a deletion that exactly this is there.
fn against_present(present: &Records, change: &Change) -> Option<String> {
    let found = present.get(&change.set.key());
    let set = described(&change.set);
    match (change.action, found) {
        (Action::Create, Some(_)) => Some(format!("Tried to create resource record set {set} but it already exists")),
        (Action::Delete, None) => Some(format!("Tried to delete resource record set {set} but it was not found")),
        (Action::Delete, Some(found)) if !same(found, &change.set) => Some(format!(
            "Tried to delete resource record set {set} but the values provided do not match the current values"
        )),
        _ => None,
    }
}

fn described(set: &RecordSet) -> String {
    let identifier = set.identifier.as_ref().map(|identifier| format!(", set-identifier='{identifier}'"));
    format!("[name='{}', type='{}'{}]", set.name, set.kind, identifier.unwrap_or_default())
}

/// Values are a set: their order does not matter.
fn same(one: &RecordSet, other: &RecordSet) -> bool {
    sorted(one) == sorted(other)
}

fn sorted(set: &RecordSet) -> RecordSet {
    let mut set = set.clone();
    if let Target::Values(values) = &mut set.target {
        values.sort();
    }
    set
}

/// The rules about a set as it stands after the whole batch.
fn against_result(place: &Place<'_>, after: &Records, set: &RecordSet) -> Vec<String> {
    let checks = [
        outside(place, set),
        value::too_long_label(set),
        cname(place, after, set),
        routing(after, set),
        weighted_ttl(after, set),
        weighted_count(after, set),
        value_count(set),
        alias::target(place, after, set),
    ];
    checks.into_iter().flatten().chain(value::invalid(set)).collect()
}

fn outside(place: &Place<'_>, set: &RecordSet) -> Option<String> {
    let Place { origin, .. } = place;
    let inside = set.name == *origin || set.name.ends_with(&format!(".{origin}"));
    (!inside).then(|| format!("RRSet with DNS name {} is not permitted in zone {origin}", set.name))
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#CNAMEFormat>: no CNAME at the apex,
/// and nothing beside one.
fn cname(place: &Place<'_>, after: &Records, set: &RecordSet) -> Option<String> {
    let (Place { origin, .. }, RecordSet { name, kind, .. }) = (place, set);
    if *kind == Kind::Cname && name == origin {
        return Some(format!("RRSet of type CNAME with DNS name {name} is not permitted at apex in zone {origin}"));
    }
    let others = after.at(name).filter(|other| (other.kind == Kind::Cname) != (*kind == Kind::Cname)).count();
    match (others, *kind) {
        (0, _) => None,
        (_, Kind::Cname) => Some(format!(
            "RRSet of type CNAME with DNS name {name} is not permitted as it conflicts with other records with the same \
             DNS name in zone {origin}"
        )),
        _ => Some(format!(
            "RRSet of type {kind} with DNS name {name} is not permitted because a conflicting RRSet of type CNAME with \
             the same DNS name already exists in zone {origin}"
        )),
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>: "You can't create non-weighted
/// records that have the same values for Name and Type as weighted records", and the same for the other policies.
fn routing(after: &Records, set: &RecordSet) -> Option<String> {
    let other = |other: &&RecordSet| policy(&other.routing) != policy(&set.routing);
    after.group(&set.name, set.kind).find(other)?;
    let subject = subject(set);
    Some(match &set.routing {
        Routing::Simple => {
            format!("{subject} cannot be created as other RRSets exist with the same name and type.")
        }
        Routing::Other(Policy::Multivalue) => format!(
            "{subject} cannot be created because a non multivalue answer rrset exists with the same name and type."
        ),
        routing => {
            let policy = policy(routing);
            format!("{subject} cannot be created as a non-{policy} set exists with the same name and type.")
        }
    })
}

fn subject(set: &RecordSet) -> String {
    let identifier = set.identifier.as_ref().map(|identifier| format!(", SetIdentifier {identifier}"));
    format!("RRSet with DNS name {}, type {}{}", set.name, set.kind, identifier.unwrap_or_default())
}

fn policy(routing: &Routing) -> &'static str {
    match routing {
        Routing::Simple => "simple",
        Routing::Weighted(_) => "weighted",
        Routing::Other(Policy::Latency(_)) => "latency",
        Routing::Other(Policy::Failover(_)) => "failover",
        Routing::Other(Policy::Geolocation(_)) => "geolocation",
        Routing::Other(Policy::Geoproximity(_)) => "geoproximity",
        Routing::Other(Policy::Multivalue) => "multivalue",
        Routing::Other(Policy::Cidr(_)) => "cidr",
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-values-weighted.html>: one TTL for all
/// weighted sets of a name and type. Aliases have none.
fn weighted_ttl(after: &Records, set: &RecordSet) -> Option<String> {
    set.routing.weight()?;
    let ttl = set.ttl?;
    let differs = |other: &&RecordSet| other.ttl.is_some_and(|other| other != ttl);
    after.group(&set.name, set.kind).find(differs)?;
    Some(format!("{} cannot be created as weighted sets must contain the same TTL.", subject(set)))
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html>. The real text is not known.
fn weighted_count(after: &Records, set: &RecordSet) -> Option<String> {
    set.routing.weight()?;
    let count = after.group(&set.name, set.kind).count();
    let text = "cannot be created as the limit of weighted sets with the same name and type is";
    (count > WEIGHTED_SETS).then(|| format!("{} {text} {WEIGHTED_SETS}.", subject(set)))
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `Weight`: "You can only specify one
/// ResourceRecord per weighted resource record set" (its real text is not known).
fn value_count(set: &RecordSet) -> Option<String> {
    let count = values(set).len();
    if set.routing.weight().is_some() && count > 1 {
        return Some(format!("{} cannot be created as a weighted set has exactly one record.", subject(set)));
    }
    (count > VALUES_OF_A_SET).then(|| format!("Cannot have more than {VALUES_OF_A_SET} records in a RRSet."))
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html>
fn apex(place: &Place<'_>, after: &Records) -> Vec<String> {
    let count = |kind| after.group(place.origin, kind).count();
    let mut broken = Vec::new();
    if count(Kind::Ns) == 0 {
        broken.push("A HostedZone must contain at least one NS record for the zone itself.".to_owned());
    }
    if count(Kind::Soa) != 1 {
        broken.push("A HostedZone must contain exactly one SOA record.".to_owned());
    }
    broken
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-entities-hosted-zones>
fn zone_size(place: &Place<'_>, after: &Records) -> Option<String> {
    (after.len() > SETS_OF_A_ZONE).then(|| format!("Exceeded limit MAX_RRSETS_BY_ZONE for zone: {}", place.id))
}
