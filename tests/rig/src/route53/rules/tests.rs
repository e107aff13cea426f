//! Each rule of Route 53, with the page that states it.

use super::*;
use crate::dns_server::Surroundings;
use crate::route53::balancers::elb_name;
use crate::route53::record::Policy;

const HOST: &str = "shop.example.com.";
const ID: &str = "Z1";

/// A zone in which batches are tried.
struct Tried {
    records: Records,
    surroundings: Surroundings,
}

impl Tried {
    fn new() -> Self {
        let mut records = Records::default();
        let apex = [
            RecordSet::simple("example.com", Kind::Ns, 172_800, ["ns-1.example.net."]),
            RecordSet::simple("example.com", Kind::Soa, 900, ["ns-1.example.net. admin.example.net. 1 1 1 1 1"]),
        ];
        for set in apex {
            records.apply(&create(set));
        }
        let surroundings = Surroundings::new();
        surroundings.name_balancer(&elb_name("blue"), ["127.0.1.1".parse().unwrap()]);
        Self { records, surroundings }
    }

    /// A zone in which these sets stand.
    fn with(sets: impl IntoIterator<Item = RecordSet>) -> Self {
        let mut tried = Self::new();
        tried.change(&sets.into_iter().map(create).collect::<Vec<_>>()).unwrap();
        tried
    }

    fn change(&mut self, changes: &[Change]) -> Result<(), Vec<String>> {
        let place = Place { id: ID, origin: "example.com.", surroundings: &self.surroundings };
        self.records = accept(&place, &self.records, changes)?;
        Ok(())
    }

    /// The one message with which a batch is refused; nothing may have changed.
    fn refused(&mut self, changes: &[Change]) -> String {
        let before = self.records.clone();
        let messages = self.change(changes).expect_err("the batch was accepted");
        assert_eq!(format!("{before:?}"), format!("{:?}", self.records), "something of a refused batch happened");
        assert_eq!(messages.len(), 1, "{messages:?}");
        messages.into_iter().next().unwrap()
    }
}

fn create(set: RecordSet) -> Change {
    Change { action: Action::Create, set }
}

fn upsert(set: RecordSet) -> Change {
    Change { action: Action::Upsert, set }
}

fn delete(set: RecordSet) -> Change {
    Change { action: Action::Delete, set }
}

fn address(ip: &str) -> RecordSet {
    RecordSet::simple(HOST, Kind::A, 60, [ip])
}

fn blue(weight: u8) -> RecordSet {
    address("192.0.2.1").weighted("blue", weight)
}

fn green(weight: u8) -> RecordSet {
    address("192.0.2.2").weighted("green", weight)
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>: "change batches are
/// considered transactional changes": all or nothing.
#[test]
fn of_a_batch_with_one_bad_change_nothing_happens() {
    let mut tried = Tried::new();
    let message =
        tried.refused(&[create(address("192.0.2.1")), create(RecordSet::simple("a.b", Kind::A, 60, ["192.0.2.1"]))]);
    assert_eq!(message, "RRSet with DNS name a.b. is not permitted in zone example.com.");
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>: "might contain one or more
/// error messages", one for each thing that is wrong.
#[test]
fn every_broken_rule_has_its_message() {
    let mut tried = Tried::new();
    let outside = |name| create(RecordSet::simple(name, Kind::A, 60, ["192.0.2.1"]));
    assert_eq!(tried.change(&[outside("a.b"), outside("c.d")]).unwrap_err().len(), 2);
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `Weight`: "You can't create weighted
/// resource record sets that have the same values for the Name and Type elements as non-weighted" ones.
/// The text: kubernetes-sigs/external-dns#3141.
#[test]
fn a_weighted_set_beside_a_simple_one_is_refused() {
    let mut tried = Tried::with([address("192.0.2.1")]);
    for change in [create(green(0)), upsert(green(0))] {
        assert_eq!(
            tried.refused(&[change]),
            "RRSet with DNS name shop.example.com., type A, SetIdentifier green cannot be created as a non-weighted set \
             exists with the same name and type."
        );
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `Weight`: "You can't create
/// non-weighted records that have the same values for the Name and Type elements as weighted" ones.
/// The text: chef-boneyard/route53#100.
#[test]
fn a_simple_set_beside_a_weighted_one_is_refused() {
    let mut tried = Tried::with([blue(100)]);
    for change in [create(address("192.0.2.1")), upsert(address("192.0.2.1"))] {
        assert_eq!(
            tried.refused(&[change]),
            "RRSet with DNS name shop.example.com., type A cannot be created as other RRSets exist with the same name and type."
        );
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_Change.html>: a deletion and a creation of one name in one
/// batch replace a simple set by a weighted one, without a moment in between.
#[test]
fn one_batch_makes_a_simple_set_weighted_and_back() {
    let mut tried = Tried::with([address("192.0.2.1")]);
    tried.change(&[delete(address("192.0.2.1")), create(blue(100))]).unwrap();
    tried.change(&[create(address("192.0.2.1")), delete(blue(100))]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>: all sets of a name and type have the
/// same routing policy. The text: kubernetes-sigs/external-dns#4345.
#[test]
fn a_weighted_set_beside_one_of_another_policy_is_refused() {
    let mut latency = address("192.0.2.1");
    (latency.identifier, latency.routing) =
        (Some("east".to_owned()), Routing::Other(Policy::Latency("us-east-1".to_owned())));
    let mut tried = Tried::with([latency]);
    assert!(tried.refused(&[create(blue(1))]).ends_with("a non-weighted set exists with the same name and type."));
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `TTL`: one for all of a group of
/// weighted sets. The text: aws/aws-sdk-go-v2#518.
#[test]
fn weighted_sets_of_a_name_and_type_have_one_ttl() {
    let mut tried = Tried::with([blue(100)]);
    let slower = RecordSet { ttl: Some(300), ..green(0) };
    assert_eq!(
        tried.refused(&[create(slower)]),
        "RRSet with DNS name shop.example.com., type A, SetIdentifier green cannot be created as weighted sets must contain \
         the same TTL."
    );
    tried.change(&[create(green(0))]).unwrap();
    let faster = |set: RecordSet| upsert(RecordSet { ttl: Some(5), ..set });
    let messages = tried.change(&[faster(blue(100))]).unwrap_err();
    assert_eq!(messages.len(), 1, "{messages:?}");
    tried.change(&[faster(blue(100)), faster(green(0))]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `TTL`: aliases have none, so that one
/// may stand beside a set of any TTL.
#[test]
fn a_weighted_alias_beside_a_weighted_address_is_accepted() {
    let alias = RecordSet::alias(HOST, Kind::A, "ZD4D7Y8KGAS4G", &elb_name("blue")).weighted("blue", 100);
    let mut tried = Tried::with([alias]);
    tried.change(&[create(green(0))]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html#CNAMEFormat>: "if you create a CNAME
/// record for a subdomain, you cannot create any other records for that subdomain". The text: aws/aws-sdk-java#1996.
#[test]
fn a_cname_beside_other_types_is_refused() {
    let mut tried = Tried::with([address("192.0.2.1")]);
    assert_eq!(
        tried.refused(&[create(RecordSet::simple(HOST, Kind::Cname, 60, ["a.example.net"]))]),
        "RRSet of type CNAME with DNS name shop.example.com. is not permitted as it conflicts with other records with the \
         same DNS name in zone example.com."
    );
}

/// The same page. The text: hashicorp/terraform#9732.
#[test]
fn another_type_beside_a_cname_is_refused() {
    let mut tried = Tried::with([RecordSet::simple(HOST, Kind::Cname, 60, ["a.example.net"])]);
    assert_eq!(
        tried.refused(&[create(address("192.0.2.1"))]),
        "RRSet of type A with DNS name shop.example.com. is not permitted because a conflicting RRSet of type CNAME with \
         the same DNS name already exists in zone example.com."
    );
}

/// The same page: no CNAME "for the top node of a DNS namespace, also known as the zone apex".
#[test]
fn a_cname_at_the_apex_is_refused() {
    let cname = RecordSet::simple("example.com", Kind::Cname, 60, ["a.example.net"]);
    assert_eq!(
        Tried::new().refused(&[create(cname)]),
        "RRSet of type CNAME with DNS name example.com. is not permitted at apex in zone example.com."
    );
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_Change.html>, `CREATE`. The text of a weighted set names its
/// identifier (<https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>: "must be unique").
#[test]
fn a_set_that_exists_cannot_be_created_again() {
    let mut tried = Tried::with([blue(100)]);
    let text = "Tried to create resource record set [name='shop.example.com.', type='A', set-identifier='blue'] but it already exists";
    assert_eq!(tried.refused(&[create(blue(50))]), text);
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_Change.html>, `DELETE`: "you must specify the values of the
/// existing resource record set", all of them.
#[test]
fn a_deletion_must_say_exactly_what_stands_there() {
    let mut tried = Tried::with([blue(100)]);
    let text = "Tried to delete resource record set [name='shop.example.com.', type='A', set-identifier='blue']";
    let other_ttl = RecordSet { ttl: Some(61), ..blue(100) };
    for other in [blue(99), other_ttl, address("192.0.2.9").weighted("blue", 100)] {
        let expected = format!("{text} but the values provided do not match the current values");
        assert_eq!(tried.refused(&[delete(other)]), expected);
    }
    assert_eq!(
        tried.refused(&[delete(address("192.0.2.1"))]),
        "Tried to delete resource record set [name='shop.example.com.', type='A'] but it was not found"
    );
    tried.change(&[delete(blue(100))]).unwrap();
}

/// The same page: values are a set.
#[test]
fn the_order_of_values_does_not_matter_to_a_deletion() {
    let two = |values: [&str; 2]| RecordSet::simple(HOST, Kind::A, 60, values);
    let mut tried = Tried::with([two(["192.0.2.1", "192.0.2.2"])]);
    tried.change(&[delete(two(["192.0.2.2", "192.0.2.1"]))]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>: "you cannot delete the same
/// resource record set more than once in a single change batch".
#[test]
fn a_set_is_changed_once_in_a_batch() {
    let mut tried = Tried::with([blue(100)]);
    let expected = "The request contains an invalid set of changes for a resource record set 'A shop.example.com.'";
    let messages = tried.change(&[delete(blue(100)), delete(blue(100))]).unwrap_err();
    assert!(messages.contains(&expected.to_owned()), "{messages:?}");
    assert_eq!(tried.refused(&[upsert(blue(1)), upsert(blue(2))]), expected);
    tried.change(&[delete(blue(100)), create(blue(2))]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `Weight`: "You can only specify one
/// ResourceRecord per weighted resource record set."
#[test]
fn a_weighted_set_has_one_value() {
    let two = RecordSet::simple(HOST, Kind::A, 60, ["192.0.2.1", "192.0.2.2"]);
    assert!(Tried::new().refused(&[create(two.clone().weighted("blue", 1))]).contains("exactly one record"));
    Tried::new().change(&[create(two)]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-entities-records>: 100 weighted
/// sets of the same name and type.
#[test]
fn a_name_and_type_has_a_hundred_weighted_sets_at_most() {
    let weighted = |number: usize| address("192.0.2.1").weighted(&format!("set-{number}"), 1);
    let mut tried = Tried::with((0..100).map(weighted));
    assert!(tried.refused(&[create(weighted(100))]).contains("limit of weighted sets"));
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests-changeresourcerecordsets>:
/// 1,000 ResourceRecord elements, those of an UPSERT twice. The text: kubernetes-sigs/external-dns#2537.
#[test]
fn a_batch_has_a_thousand_records_at_most_and_an_upsert_counts_twice() {
    let set = |number: usize| RecordSet::simple(&format!("n{number}.example.com"), Kind::A, 60, ["192.0.2.1"]);
    let text = "Number of records limit of 1000 exceeded.";
    assert_eq!(Tried::new().refused(&(0..1001).map(|number| create(set(number))).collect::<Vec<_>>()), text);
    assert_eq!(Tried::new().refused(&(0..501).map(|number| upsert(set(number))).collect::<Vec<_>>()), text);
    Tried::new().change(&(0..500).map(|number| upsert(set(number))).collect::<Vec<_>>()).unwrap();
}

/// The same page: 32,000 characters in all values, those of an UPSERT twice. The text: kubernetes-sigs/external-dns#515.
#[test]
fn a_batch_has_32000_characters_of_values_at_most() {
    let long = |number: usize| {
        let value = format!("\"{}\"", "x".repeat(1598));
        RecordSet::simple(&format!("n{number}.example.com"), Kind::Txt, 60, [value])
    };
    Tried::new().change(&(0..20).map(|number| create(long(number))).collect::<Vec<_>>()).unwrap();
    for changes in
        [(0..21).map(|number| create(long(number))).collect::<Vec<_>>(), (0..11).map(|n| upsert(long(n))).collect()]
    {
        assert_eq!(Tried::new().refused(&changes), "RDATA character limit of 32000 exceeded.");
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_AliasTarget.html>: the target exists, in the zone that is
/// given.
#[test]
fn an_alias_points_to_a_load_balancer_that_exists_in_its_regions_zone() {
    let mut tried = Tried::new();
    let alias = |zone, name: &str| create(RecordSet::alias(HOST, Kind::A, zone, name));
    let refused = tried.refused(&[alias("ZHURV8PSTC4K8", &elb_name("blue"))]);
    assert!(refused.ends_with("the alias target name does not lie within the target zone"), "{refused}");
    let refused = tried.refused(&[alias("ZD4D7Y8KGAS4G", &elb_name("gone"))]);
    assert!(refused.ends_with("but that target was not found"), "{refused}");
    let aaaa = create(RecordSet::alias(HOST, Kind::Aaaa, "ZD4D7Y8KGAS4G", &elb_name("blue")));
    tried.change(&[alias("ZD4D7Y8KGAS4G", &elb_name("blue")), aaaa]).unwrap();
}

/// The same page: within a zone an alias points to a set of the same type.
#[test]
fn an_alias_within_the_zone_points_to_a_set_of_its_type() {
    let mut tried = Tried::with([RecordSet::simple("lb.example.com", Kind::A, 60, ["192.0.2.1"])]);
    let alias = |kind| create(RecordSet::alias(HOST, kind, ID, "lb.example.com"));
    assert!(tried.refused(&[alias(Kind::Aaaa)]).ends_with("but that target was not found"));
    tried.change(&[alias(Kind::A)]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html>: the format of each type's values.
#[test]
fn values_have_the_format_of_their_type() {
    let refused = |kind, value: &str| Tried::new().refused(&[create(RecordSet::simple(HOST, kind, 60, [value]))]);
    assert!(refused(Kind::A, "192.0.2").contains("ARRDATAIllegalIPv4Address"));
    assert!(refused(Kind::Aaaa, "192.0.2.1").contains("AAAARRDATAIllegalIPv6Address"));
    assert!(refused(Kind::Txt, "heritage").contains("Value should be enclosed in quotation marks"));
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html>: labels have 63 characters at most, which
/// a prefix of ownership records may exceed.
#[test]
fn a_label_has_63_characters_at_most() {
    let set =
        |length: usize| RecordSet::simple(&format!("{}.example.com", "a".repeat(length)), Kind::A, 60, ["192.0.2.1"]);
    assert!(Tried::new().refused(&[create(set(64))]).contains("DomainLabelTooLong"));
    Tried::new().change(&[create(set(63))]).unwrap();
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html>: a zone keeps both.
#[test]
fn the_apex_keeps_its_name_servers() {
    let ns = RecordSet::simple("example.com", Kind::Ns, 172_800, ["ns-1.example.net."]);
    let expected = "A HostedZone must contain at least one NS record for the zone itself.";
    assert_eq!(Tried::new().refused(&[delete(ns)]), expected);
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-entities-hosted-zones>: 10,000
/// records in a zone. The text: DNSControl/dnscontrol#908.
#[test]
fn a_zone_has_10000_sets_at_most() {
    let set = |number: usize| RecordSet::simple(&format!("n{number}.example.com"), Kind::A, 60, ["192.0.2.1"]);
    let mut tried = Tried::new();
    (0..9_998).for_each(|number| tried.records.apply(&create(set(number))));
    assert_eq!(tried.refused(&[create(set(9_998))]), "Exceeded limit MAX_RRSETS_BY_ZONE for zone: Z1");
}
