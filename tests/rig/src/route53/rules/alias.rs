//! What an alias may point to: <https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html>.

use super::Place;
use crate::route53::balancers::canonical_zone;
use crate::route53::record::{Kind, RecordSet, Target};
use crate::route53::records::Records;

/// A message when the target does not exist, or lies in another zone than the alias says.
pub(super) fn target(place: &Place<'_>, after: &Records, set: &RecordSet) -> Option<String> {
    let Target::Alias { zone_id, dns_name, .. } = &set.target else { return None };
    let tried = format!("Tried to create an alias that targets {dns_name}, type {} in zone {zone_id}, but", set.kind);
    if zone_id == place.id {
        let lies_within = dns_name == place.origin || dns_name.ends_with(&format!(".{}", place.origin));
        return match (lies_within, after.group(dns_name, set.kind).count()) {
            (false, _) => Some(format!("{tried} the alias target name does not lie within the target zone")),
            (true, 0) => Some(format!("{tried} that target was not found")),
            (true, _) => None,
        };
    }
    if canonical_zone(dns_name) != Some(zone_id) {
        return Some(format!("{tried} the alias target name does not lie within the target zone"));
    }
    // A load balancer has both types of name, whatever it answers to the one that it does not serve.
    let found = matches!(set.kind, Kind::A | Kind::Aaaa) && place.surroundings.addresses(dns_name).is_some();
    (!found).then(|| format!("{tried} that target was not found"))
}
