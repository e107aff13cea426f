use std::collections::BTreeMap;
use std::net::IpAddr;

use super::*;

const BLUE: &str = "blue.elb.eu-west-2.amazonaws.com";
const GREEN: &str = "green.elb.eu-west-2.amazonaws.com";
const ELB_ZONE: &str = "ZD4D7Y8KGAS4G";

/// A zone as it stands.
struct Zone(Vec<RecordSet>);

impl ServedZone for Zone {
    fn origin(&self) -> String {
        "example.com.".to_owned()
    }

    fn served_at(&self, name: &str) -> Vec<RecordSet> {
        self.0.iter().filter(|set| set.name == name).cloned().collect()
    }

    fn exists(&self, name: &str) -> bool {
        name == self.origin() || self.0.iter().any(|set| is_in(&set.name, name))
    }
}

fn answers(sets: impl Into<Vec<RecordSet>>) -> Answers {
    let surroundings = Surroundings::new();
    surroundings.name_balancer(BLUE, [ip("127.0.1.1")]);
    surroundings.name_balancer(GREEN, [ip("127.0.1.2"), ip("::1")]);
    let answers = Answers::new(surroundings, 7, 60);
    answers.serve(Arc::new(Zone(sets.into())));
    answers
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ask(answers: &Answers, name: &str, kind: Kind, recursive: bool) -> Answer {
    let name = Name::from_ascii(name).unwrap();
    answers.answer(&Question { name, record_type: kind.name().parse().unwrap(), recursive })
}

/// How often each address comes in 1000 answers.
fn spread(answers: &Answers, name: &str, kind: Kind) -> BTreeMap<IpAddr, usize> {
    let mut counts = BTreeMap::new();
    for _ in 0..1000 {
        for address in ask(answers, name, kind, true).addresses() {
            *counts.entry(address).or_default() += 1;
        }
    }
    counts
}

fn ttls(answer: &Answer) -> Vec<u32> {
    answer.records.iter().map(|record| record.ttl).collect()
}

fn shop(kind: Kind, balancer: &str) -> RecordSet {
    RecordSet::alias("shop.example.com", kind, ELB_ZONE, balancer)
}

/// Blue and green aliases of one type with these weights.
fn pair(kind: Kind, weights: [u8; 2]) -> [RecordSet; 2] {
    [shop(kind, BLUE).weighted("shop-blue", weights[0]), shop(kind, GREEN).weighted("shop-green", weights[1])]
}

#[test]
fn a_simple_record_is_answered_with_all_its_values_and_its_ttl() {
    let answers = answers([RecordSet::simple("shop.example.com", Kind::A, 30, ["127.0.1.1", "127.0.1.2"])]);
    let answer = ask(&answers, "Shop.Example.com.", Kind::A, false);
    assert_eq!((answer.outcome, answer.addresses()), (Outcome::Answered, vec![ip("127.0.1.1"), ip("127.0.1.2")]));
    assert_eq!(ttls(&answer), [30, 30]);
    assert!(answer.records.iter().all(|record| record.name.to_ascii() == "Shop.Example.com."));
}

/// "Route 53 responds with the values from the AWS resource", and "you can't set the TTL: Route 53 uses the default TTL for the
/// resource":
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html>.
#[test]
fn an_alias_answers_the_load_balancers_addresses_with_the_load_balancers_ttl() {
    let answers = answers([shop(Kind::A, BLUE)]);
    let answer = ask(&answers, "shop.example.com.", Kind::A, false);
    assert_eq!((answer.addresses(), ttls(&answer)), (vec![ip("127.0.1.1")], vec![60]));
    assert_eq!(answer.records[0].name.to_ascii(), "shop.example.com.");
    answers.set_alias_ttl(2);
    assert_eq!(ttls(&ask(&answers, "shop.example.com.", Kind::A, false)), [2]);
}

/// "An alias record can redirect to another record in the same hosted zone", and answers with that record's TTL:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/resource-record-sets-choosing-alias-non-alias.html>.
#[test]
fn an_alias_to_another_record_of_the_zone_answers_what_that_one_answers() {
    let origin = RecordSet::simple("origin.example.com", Kind::A, 45, ["127.0.1.9"]);
    let answers = answers([origin, RecordSet::alias("shop.example.com", Kind::A, "Z1", "origin.example.com")]);
    let answer = ask(&answers, "shop.example.com.", Kind::A, false);
    assert_eq!((answer.addresses(), ttls(&answer)), (vec![ip("127.0.1.9")], vec![45]));
}

/// A and AAAA are groups of their own: "records that have the same name and type",
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>.
#[test]
fn weights_count_among_the_records_of_one_type_only() {
    let mut sets = pair(Kind::A, [100, 0]).to_vec();
    sets.push(shop(Kind::Aaaa, GREEN).weighted("shop-green", 0));
    let answers = answers(sets);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.1"), 1000)]));
    // Alone in its group, weight 0 is all there is.
    assert_eq!(spread(&answers, "shop.example.com.", Kind::Aaaa), BTreeMap::from([(ip("::1"), 1000)]));
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-weighted.html>
#[test]
fn answers_are_spread_by_weight_and_name_the_identifier() {
    let answers = answers(pair(Kind::A, [90, 10]));
    let counts = spread(&answers, "shop.example.com.", Kind::A);
    assert!(counts[&ip("127.0.1.2")].abs_diff(100) < 40, "{counts:?}");
    let answer = ask(&answers, "shop.example.com.", Kind::A, false);
    assert!(answer.identifier.is_some_and(|identifier| identifier.starts_with("shop-")));
}

/// "Evaluate target health: Yes", and zero-weighted records are considered when all the others are unhealthy:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html>.
#[test]
fn an_unhealthy_load_balancer_is_not_answered_where_its_health_is_evaluated() {
    let answers = answers(pair(Kind::A, [100, 0]));
    answers.surroundings().set_balancer_health(BLUE, false);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.2"), 1000)]));
    answers.surroundings().set_balancer_health(GREEN, false);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.1"), 1000)]));
}

/// "Records without a health check are always healthy", and so are aliases that do not evaluate their target's health:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html>.
#[test]
fn health_that_is_not_evaluated_changes_nothing() {
    let mut sets = pair(Kind::A, [100, 0]);
    for set in &mut sets {
        if let Target::Alias { evaluate_target_health, .. } = &mut set.target {
            *evaluate_target_health = false;
        }
    }
    let answers = answers(sets);
    answers.surroundings().set_balancer_health(BLUE, false);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.1"), 1000)]));
}

/// "Non-alias record with an associated health check: Route 53 checks the current status of the health check":
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/health-checks-how-route-53-chooses-records.html>.
#[test]
fn a_record_whose_health_check_fails_is_left_out() {
    let value = |address: &str, identifier, weight| {
        RecordSet::simple("shop.example.com", Kind::A, 60, [address]).weighted(identifier, weight)
    };
    let checked = RecordSet { health_check: Some("check-1".to_owned()), ..value("127.0.1.1", "blue", 50) };
    let answers = answers([checked, value("127.0.1.2", "green", 50)]);
    answers.surroundings().set_health_check("check-1", false);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.2"), 1000)]));
    answers.surroundings().set_health_check("check-1", true);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A).len(), 2);
}

/// Failover: "primary when it is healthy, otherwise secondary":
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/routing-policy-failover.html>.
#[test]
fn a_failover_pair_answers_the_secondary_only_when_the_primary_is_unhealthy() {
    let place = |set: RecordSet, place: &str| RecordSet {
        identifier: Some(place.to_owned()),
        routing: Routing::Other(Policy::Failover(place.to_owned())),
        ..set
    };
    let answers = answers([place(shop(Kind::A, BLUE), "PRIMARY"), place(shop(Kind::A, GREEN), "SECONDARY")]);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.1"), 1000)]));
    answers.surroundings().set_balancer_health(BLUE, false);
    assert_eq!(spread(&answers, "shop.example.com.", Kind::A), BTreeMap::from([(ip("127.0.1.2"), 1000)]));
}

/// RFC 2308 section 2, and the SOA that a hosted zone has:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html>.
#[test]
fn negative_answers_tell_no_data_from_no_such_name_and_carry_the_soa() {
    let answers = answers(pair(Kind::A, [100, 0]));
    let no_data = ask(&answers, "shop.example.com.", Kind::Aaaa, false);
    let no_name = ask(&answers, "shopping.example.com.", Kind::A, false);
    let between = ask(&answers, "example.com.", Kind::A, false);
    assert_eq!(
        [&no_data, &no_name, &between].map(|answer| answer.outcome),
        [Outcome::NoData, Outcome::NoSuchName, Outcome::NoData]
    );
    for answer in [no_data, no_name, between] {
        let soa = answer.soa.unwrap();
        assert_eq!((soa.ttl, soa.name.to_ascii()), (900, "example.com.".to_owned()));
    }
    assert_eq!(ask(&answers, "shop.example.net.", Kind::A, false).outcome, Outcome::NotOurs);
}

/// "The minimum time to live is 86400, the TTL of the SOA 900"; the smaller one counts (RFC 2308 section 5):
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html>.
#[test]
fn the_zones_own_soa_says_how_long_a_negative_answer_may_be_remembered() {
    let value = "ns-1.example.com. hostmaster.example.com. 1 7200 900 1209600 3";
    let answers = answers([RecordSet::simple("example.com", Kind::Soa, 900, [value])]);
    assert_eq!(ask(&answers, "nothing.example.com.", Kind::A, false).soa.unwrap().ttl, 3);
}

/// An alias to a load balancer without IPv6 exists, and answers nothing for AAAA.
#[test]
fn an_alias_without_addresses_of_its_type_is_no_data() {
    let answers = answers([shop(Kind::A, BLUE), shop(Kind::Aaaa, BLUE)]);
    let answer = ask(&answers, "shop.example.com.", Kind::Aaaa, false);
    assert_eq!((answer.outcome, answer.soa.is_some()), (Outcome::NoData, true));
}

/// A CNAME is followed within the zone; what is outside is a resolver's work (RFC 1034 section 4.3.2).
#[test]
fn a_cname_is_followed_within_the_zone_and_to_load_balancers_for_those_who_ask_for_recursion() {
    let answers = answers([
        RecordSet::simple("www.example.com", Kind::Cname, 300, ["shop.example.com"]),
        RecordSet::simple("shop.example.com", Kind::Cname, 300, [BLUE]),
    ]);
    let types = |answer: &Answer| answer.records.iter().map(Record::record_type).collect::<Vec<_>>();
    let as_resolver = ask(&answers, "www.example.com.", Kind::A, false);
    assert_eq!(types(&as_resolver), [RecordType::CNAME, RecordType::CNAME]);
    let as_user = ask(&answers, "www.example.com.", Kind::A, true);
    assert_eq!(types(&as_user), [RecordType::CNAME, RecordType::CNAME, RecordType::A]);
    assert_eq!((as_user.addresses(), ttls(&as_user)), (vec![ip("127.0.1.1")], vec![300, 300, 60]));
    assert_eq!(types(&ask(&answers, "www.example.com.", Kind::Cname, true)), [RecordType::CNAME]);
}

#[test]
fn load_balancers_answer_to_their_own_names() {
    let answers = answers([]);
    assert_eq!(ask(&answers, &format!("{GREEN}."), Kind::A, true).addresses(), [ip("127.0.1.2")]);
    assert_eq!(ask(&answers, &format!("dualstack.{GREEN}."), Kind::Aaaa, true).addresses(), [ip("::1")]);
    assert_eq!(ask(&answers, &format!("{BLUE}."), Kind::Aaaa, true).outcome, Outcome::NoData);
    assert_eq!(ask(&answers, "red.elb.eu-west-2.amazonaws.com.", Kind::A, true).outcome, Outcome::NoSuchName);
}

/// "You can use the * wildcard to create a record for any subdomain", which names that exist are not:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html#domain-name-format-asterisk>.
#[test]
fn a_wildcard_answers_for_names_that_do_not_exist() {
    let wildcard = RecordSet::simple("*.example.com", Kind::A, 60, ["127.0.1.7"]);
    let answers = answers([wildcard, RecordSet::simple("shop.example.com", Kind::Txt, 60, ["\"a text\""])]);
    assert_eq!(ask(&answers, "any.example.com.", Kind::A, false).addresses(), [ip("127.0.1.7")]);
    assert_eq!(ask(&answers, "shop.example.com.", Kind::A, false).outcome, Outcome::NoData);
    assert_eq!(ask(&answers, "below.shop.example.com.", Kind::A, false).outcome, Outcome::NoSuchName);
}

#[test]
fn text_is_answered_as_it_is_quoted() {
    let value = "\"heritage=external-dns,external-dns/owner=source\"";
    let answers = answers([RecordSet::simple("a-shop.example.com", Kind::Txt, 300, [value])]);
    let answer = ask(&answers, "a-shop.example.com.", Kind::Txt, false);
    let RData::TXT(text) = &answer.records[0].data else { panic!("{answer:?}") };
    assert_eq!(&*text.txt_data[0], b"heritage=external-dns,external-dns/owner=source");
}

#[test]
fn what_cannot_be_answered_fails_instead_of_answering_something_else() {
    let answers = answers([
        RecordSet::alias("one.example.com", Kind::A, "Z1", "two.example.com"),
        RecordSet::alias("two.example.com", Kind::A, "Z1", "one.example.com"),
        RecordSet::simple("red.example.com", Kind::Cname, 60, ["blue.example.com"]),
        RecordSet::simple("blue.example.com", Kind::Cname, 60, ["red.example.com"]),
    ]);
    assert_eq!(ask(&answers, "one.example.com.", Kind::A, false).outcome, Outcome::Failed);
    assert_eq!(ask(&answers, "red.example.com.", Kind::A, false).outcome, Outcome::Failed);
}
