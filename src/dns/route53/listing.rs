//! PURE. The SDK's record sets as ours.

use aws_sdk_route53::types::{HostedZone, ResourceRecordSet, RrType};
use jiff::SignedDuration;

use crate::dns::book::{Ownership, Reading};
use crate::dns::external_dns::{self, plain_name};
use crate::dns::zones::{Zone, decoded};
use crate::machine::records::{Owner, RecordKind, RecordSet, Routing};
use crate::machine::traffic::Weight;

/// Whether a record set is at this name.
pub(super) fn is_at(set: &ResourceRecordSet, name: &str) -> bool {
    decoded(set.name()) == name
}

/// A hosted zone.
pub(super) fn zone(zone: &HostedZone) -> Zone {
    Zone {
        id: zone.id().trim_start_matches("/hostedzone/").to_owned(),
        name: decoded(zone.name()),
        is_private: zone.config().is_some_and(aws_sdk_route53::types::HostedZoneConfig::private_zone),
    }
}

/// What the record sets at one name say. Kinds that lead no user anywhere are left out.
pub(super) fn reading(sets: &[ResourceRecordSet]) -> Reading {
    let notes = sets.iter().filter(|set| *set.r#type() == RrType::Txt);
    let owners = notes.map(|set| {
        let owner = set.resource_records().iter().find_map(|record| external_dns::owner(record.value()));
        Ownership { identifier: set.set_identifier().map(str::to_owned), owner }
    });
    Reading::Listed { sets: sets.iter().filter_map(record_set).collect(), owners: owners.collect() }
}

fn record_set(set: &ResourceRecordSet) -> Option<RecordSet> {
    let kind = match set.r#type() {
        RrType::A => RecordKind::A,
        RrType::Aaaa => RecordKind::Aaaa,
        RrType::Cname => RecordKind::Cname,
        _ => return None,
    };
    let alias = set.alias_target().map(|alias| decoded(alias.dns_name()));
    let plain = set.resource_records().iter().map(|record| plain_name(record.value()));
    let mut leads_to: Vec<_> = alias.into_iter().chain(plain).collect();
    leads_to.sort();
    Some(RecordSet {
        kind,
        identifier: set.set_identifier().map(str::to_owned),
        routing: routing(set),
        ttl: set.ttl().map(SignedDuration::from_secs),
        leads_to,
        owner: Owner::Unread,
    })
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>
fn routing(set: &ResourceRecordSet) -> Routing {
    let others = [
        (set.region().is_some(), "latency"),
        (set.failover().is_some(), "failover"),
        (set.geo_location().is_some(), "geolocation"),
        (set.geo_proximity_location().is_some(), "geoproximity"),
        (set.multi_value_answer() == Some(true), "multivalue answer"),
        (set.cidr_routing_config().is_some(), "IP-based"),
    ];
    if let Some((_, word)) = others.iter().find(|(is, _)| *is) {
        return Routing::Other((*word).to_owned());
    }
    match set.weight() {
        None => Routing::Simple,
        // Route 53 accepts 0 to 255 only.
        Some(weight) => Weight::parse(&weight.to_string())
            .map_or_else(|| Routing::Other(format!("a weight of {weight}")), Routing::Weighted),
    }
}

#[cfg(test)]
mod tests {
    use aws_sdk_route53::types::builders::ResourceRecordSetBuilder;
    use aws_sdk_route53::types::{AliasTarget, ResourceRecord, ResourceRecordSetRegion};

    use super::*;

    fn set(kind: RrType) -> ResourceRecordSetBuilder {
        ResourceRecordSet::builder().name("\\052.Shop.example.").r#type(kind)
    }

    fn record(value: &str) -> ResourceRecord {
        ResourceRecord::builder().value(value).build().unwrap()
    }

    fn only(set: ResourceRecordSetBuilder) -> RecordSet {
        let Reading::Listed { sets, .. } = reading(&[set.build().unwrap()]) else { panic!("it was listed") };
        sets[0].clone()
    }

    #[test]
    fn a_weighted_alias_has_a_weight_and_no_ttl() {
        let alias = AliasTarget::builder().hosted_zone_id("Z9").dns_name("LB.eu-west-2.elb.amazonaws.com.");
        let alias = alias.evaluate_target_health(true).build().unwrap();
        let found = only(set(RrType::A).set_identifier("web-blue").weight(100).alias_target(alias));
        assert_eq!(found.routing, Routing::Weighted(Weight::FULL));
        assert_eq!((found.ttl, found.leads_to), (None, vec!["lb.eu-west-2.elb.amazonaws.com".to_owned()]));
        assert_eq!(found.identifier.as_deref(), Some("web-blue"));
    }

    #[test]
    fn a_simple_record_has_its_values_sorted_and_its_ttl() {
        let found =
            only(set(RrType::A).ttl(300).resource_records(record("192.0.2.2")).resource_records(record("192.0.2.1")));
        assert_eq!(found.routing, Routing::Simple);
        assert_eq!(found.ttl, Some(SignedDuration::from_secs(300)));
        assert_eq!(found.leads_to, ["192.0.2.1", "192.0.2.2"]);
    }

    #[test]
    fn a_policy_that_cannot_be_shifted_is_named() {
        let found = only(set(RrType::Aaaa).set_identifier("eu").region(ResourceRecordSetRegion::EuWest2));
        assert_eq!(found.routing, Routing::Other("latency".to_owned()));
    }

    #[test]
    fn ownership_is_read_by_identifier_and_other_kinds_lead_nowhere() {
        let text = "\"heritage=external-dns,external-dns/owner=live-1\"";
        let note = set(RrType::Txt).set_identifier("web-blue").weight(100).ttl(300).resource_records(record(text));
        let unreadable = set(RrType::Txt).ttl(300).resource_records(record("\"kWIiQeT6lFOb\""));
        let mail = set(RrType::Mx).ttl(300).resource_records(record("10 mail.example"));
        let found = reading(&[note, unreadable, mail].map(|set| set.build().unwrap()));
        let named = Ownership { identifier: Some("web-blue".into()), owner: Some("live-1".into()) };
        let owners = vec![named, Ownership { identifier: None, owner: None }];
        assert_eq!(found, Reading::Listed { sets: vec![], owners });
    }

    #[test]
    fn names_are_compared_as_they_are_meant() {
        assert!(is_at(&set(RrType::A).build().unwrap(), "*.shop.example"));
        assert!(!is_at(&set(RrType::A).build().unwrap(), "shop.example"));
    }
}
