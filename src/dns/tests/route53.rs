//! Against the strict Route 53 of the rig.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use rig::control_plane::wait_until;
use rig::route53::faults::Scope;
use rig::route53::journal::{Action, Change};
use rig::route53::record::{Kind, RecordSet};
use rig::route53::refusal::Refusal;
use rig::route53::zone::Zone;
use rig::route53::{Options, Route53};

use super::{Asker, Interest, LIMIT, SECRET, interest, reader};
use crate::dns::interest::{Account, Backend};
use crate::machine::records::{DnsView, Evidence, ListedRecord, RecordKind, Routing};
use crate::machine::traffic::Weight;
use crate::machine::urgency::Urgency;

const HOST: &str = "shop.example.org";

async fn service() -> (Route53, Zone) {
    let route53 = Route53::start(Options::default()).await.unwrap();
    let zone = route53.create_zone("example.org");
    zone.create("external-dns", weighted(HOST, "blue", 100)).unwrap();
    (route53, zone)
}

fn weighted(host: &str, identifier: &str, weight: u8) -> RecordSet {
    RecordSet::simple(host, Kind::A, 60, ["192.0.2.1"]).weighted(identifier, weight)
}

fn asks(route53: &Route53, hosts: &[&str]) -> Interest {
    let secret = Some(SECRET.to_owned());
    interest(Backend::Route53(Account { endpoint: route53.url(), secret, ..Account::default() }), hosts)
}

fn listed(view: &DnsView, host: &str) -> Option<Vec<ListedRecord>> {
    match &view.hosts.get(host)?.evidence {
        Evidence::Listed(records) => Some(records.clone()),
        Evidence::Answered { .. } => panic!("nobody was asked for answers"),
    }
}

fn upsert(set: RecordSet) -> Vec<Change> {
    vec![Change { action: Action::Upsert, set }]
}

fn requests(route53: &Route53, action: &str) -> usize {
    route53.requests().iter().filter(|request| request.action == action).count()
}

fn never_more_than_two_in_a_second(route53: &Route53) {
    let times: Vec<_> = route53.requests().iter().map(|request| request.at).collect();
    for three in times.windows(3) {
        let span = three[2].duration_since(three[0]).unwrap();
        assert!(span > Duration::from_millis(900), "{span:?}");
    }
}

#[tokio::test]
async fn a_host_is_read_with_weights_and_owners_by_two_read_only_actions() {
    let (route53, zone) = service().await;
    route53.create_zone("shop.example.com");
    let text = "\"heritage=external-dns,external-dns/owner=live-1,external-dns/resource=ingress/shop/web\"";
    let note = RecordSet::simple(&format!("a-{HOST}"), Kind::Txt, 300, [text]).weighted("blue", 100);
    zone.create("external-dns", note).unwrap();
    zone.create("external-dns", weighted(HOST, "green", 0)).unwrap();
    let asker = Asker::ask(&reader().await, asks(&route53, &[HOST]));
    let records = asker
        .sees("the owner of blue", |view| {
            let records = listed(view, HOST)?;
            records.iter().any(|record| record.set.owner.named().is_some()).then_some(records)
        })
        .await;
    let shown: Vec<_> = records
        .iter()
        .map(|record| (record.set.identifier.as_deref().unwrap(), record.set.routing.clone(), record.set.owner.named()))
        .collect();
    let weight = |percent| Routing::Weighted(Weight::percent(percent));
    assert_eq!(shown, [("blue", weight(100), Some("live-1")), ("green", weight(0), None)]);
    assert_eq!((records[0].set.kind, records[0].set.ttl), (RecordKind::A, Some(SignedDuration::from_secs(60))));
    assert_eq!(records[0].set.leads_to, ["192.0.2.1"]);
    let read_only = ["ListHostedZonesByName", "ListResourceRecordSets"];
    for request in route53.requests() {
        assert!(read_only.contains(&request.action.as_str()) && request.caller == "reader", "{request:?}");
        assert_eq!(request.error, None, "{request:?}");
    }
}

#[tokio::test]
async fn a_change_wakes_the_migration_and_only_what_changed_begins_anew() {
    let (route53, zone) = service().await;
    zone.create("external-dns", weighted(HOST, "green", 0)).unwrap();
    let asker = Asker::ask(&reader().await, Interest { urgency: Urgency::Rollback, ..asks(&route53, &[HOST]) });
    let before = asker.sees("both", |view| listed(view, HOST)).await;
    zone.change("external-dns", upsert(weighted(HOST, "green", 10))).unwrap();
    let ten = Routing::Weighted(Weight::percent(10));
    let after = asker.sees("10", |view| listed(view, HOST).filter(|records| records[1].set.routing == ten)).await;
    assert_eq!((&after[0].set.routing, after[0].since), (&before[0].set.routing, before[0].since));
    assert!(after[1].since > before[1].since);
}

#[tokio::test]
async fn one_reading_serves_everybody_who_asks() {
    let (route53, _zone) = service().await;
    let reader = reader().await;
    let askers: Vec<_> = (0..20).map(|_| Asker::ask(&reader, asks(&route53, &[HOST]))).collect();
    for asker in &askers {
        asker.sees("the host", |view| listed(view, HOST)).await;
    }
    assert_eq!(requests(&route53, "ListHostedZonesByName"), 1);
    // The host, the owner of its record, and the host again if this took longer than an interval.
    assert!(requests(&route53, "ListResourceRecordSets") <= 3, "{:?}", route53.request_counts());
}

#[tokio::test]
async fn what_is_urgent_is_read_first_and_never_faster_than_two_in_a_second() {
    let (route53, zone) = service().await;
    let hosts: Vec<_> = (0..8).map(|number| format!("{number}.example.org")).collect();
    for host in hosts.iter().map(String::as_str).chain(["urgent.example.org"]) {
        zone.create("external-dns", weighted(host, "blue", 100)).unwrap();
    }
    let (reader, names) = (reader().await, hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let calm = Interest { urgency: Urgency::Monitoring, ..asks(&route53, &names) };
    let waiting = Asker::ask(&reader, calm);
    let urgent = Interest { urgency: Urgency::Rollback, ..asks(&route53, &["urgent.example.org"]) };
    let urgent = Asker::ask(&reader, urgent);
    urgent.sees("the urgent one", |view| listed(view, "urgent.example.org")).await;
    assert!(waiting.asking.view().hosts.len() <= 1, "{:?}", waiting.asking.view());
    waiting.sees("all", |view| (view.hosts.len() == 8).then_some(())).await;
    never_more_than_two_in_a_second(&route53);
}

/// Two Secrets may hold keys of one account, whose requests are counted together.
#[tokio::test]
async fn readers_with_other_credentials_share_the_pace() {
    let (route53, zone) = service().await;
    let hosts: Vec<_> = (0..4).map(|number| format!("{number}.example.org")).collect();
    for host in &hosts {
        zone.create("external-dns", weighted(host, "blue", 100)).unwrap();
    }
    let (reader, names) = (reader().await, hosts.iter().map(String::as_str).collect::<Vec<_>>());
    let other_region = |interest: Interest| {
        let Backend::Route53(account) = interest.backend else { panic!("another backend") };
        let account = Account { region: "eu-west-2".to_owned(), ..account };
        Interest { backend: Backend::Route53(account), ..interest }
    };
    let askers = [asks(&route53, &names), other_region(asks(&route53, &names))].map(|asks| Asker::ask(&reader, asks));
    assert_eq!(reader.accounts(), 2);
    for asker in &askers {
        asker.sees("all", |view| (view.hosts.len() == 4).then_some(())).await;
    }
    never_more_than_two_in_a_second(&route53);
}

#[tokio::test]
async fn a_host_with_more_records_than_a_page_is_read_whole() {
    let (route53, zone) = service().await;
    for number in 0..45 {
        zone.create("external-dns", weighted(HOST, &format!("set-{number:02}"), 1)).unwrap();
    }
    let asker = Asker::ask(&reader().await, Interest { zone: Some(zone.id().to_owned()), ..asks(&route53, &[HOST]) });
    let records = asker.sees("the host", |view| listed(view, HOST)).await;
    assert_eq!(records.len(), 46);
    assert_eq!(requests(&route53, "ListHostedZonesByName"), 0, "the zone was named");
}

#[tokio::test]
async fn missing_rights_are_named_with_what_to_do_and_never_with_the_key() {
    let (route53, _zone) = service().await;
    for action in ["ListHostedZonesByName", "ListResourceRecordSets"] {
        let denied = Refusal::access_denied("reader", action);
        let fault = route53.faults().refuse(Scope::everything().action(action), denied);
        let asker = Asker::ask(&reader().await, asks(&route53, &[HOST]));
        let trouble = asker.sees_trouble(HOST, action).await;
        for part in ["AccessDenied", "is not authorized to perform", "give the operator's AWS identity"] {
            assert!(trouble.contains(part), "{part} is not in {trouble}");
        }
        assert!(!trouble.contains("0b71c9"), "{trouble}");
        drop(fault);
        let records = asker.sees("the rights are back", |view| listed(view, HOST).filter(|_| view.trouble.is_empty()));
        assert_eq!(records.await.len(), 1);
    }
}

#[tokio::test]
async fn a_throttled_reading_is_made_up_for_and_breaks_no_history() {
    let (route53, _zone) = service().await;
    let asker = Asker::ask(&reader().await, Interest { urgency: Urgency::Rollback, ..asks(&route53, &[HOST]) });
    let since = asker.sees("the host", |view| listed(view, HOST)).await[0].since;
    let fault = route53.faults().throttle(Scope::everything());
    let refused = || route53.requests().iter().filter(|request| request.error.is_some()).count();
    let two = wait_until("two refusals", LIMIT, || std::future::ready(refused() >= 2));
    two.await.unwrap();
    let read_at = |view: &DnsView| view.hosts.get(HOST).map(|host| host.read_at);
    let last = read_at(&asker.asking.view()).unwrap();
    assert_eq!(asker.asking.view().trouble.get(HOST), None, "what was read a moment ago still counts");
    drop(fault);
    asker.sees("it goes on", |view| read_at(view).filter(|read_at| *read_at > last)).await;
    assert_eq!(listed(&asker.asking.view(), HOST).unwrap()[0].since, since);
}

#[tokio::test]
async fn throttling_that_hides_a_host_for_long_is_told_and_its_history_begins_anew() {
    let (route53, _zone) = service().await;
    let asker = Asker::ask(&reader().await, Interest { urgency: Urgency::Rollback, ..asks(&route53, &[HOST]) });
    let since = asker.sees("the host", |view| listed(view, HOST)).await[0].since;
    let fault = route53.faults().throttle(Scope::everything());
    let trouble = asker.sees_trouble(HOST, "throttles").await;
    assert!(trouble.contains("Throttling"), "{trouble}");
    drop(fault);
    let after = asker.sees("it goes on", |view| listed(view, HOST).filter(|_| view.trouble.is_empty())).await;
    assert!(after[0].since > since, "nobody knows what was listed meanwhile");
}

#[tokio::test]
async fn a_service_that_does_not_answer_is_told_and_its_silence_is_old_news_afterwards() {
    let (route53, _zone) = service().await;
    let asker = Asker::ask(&reader().await, asks(&route53, &[HOST]));
    let read_at = |view: &DnsView| view.hosts.get(HOST).map(|host| host.read_at);
    let first: Timestamp = asker.sees("the host", read_at).await;
    let fault = route53.faults().stall(Scope::everything());
    let trouble = asker.sees_trouble(HOST, "no answer to ListResourceRecordSets").await;
    assert!(trouble.contains(HOST), "{trouble}");
    assert_eq!(read_at(&asker.asking.view()), Some(first));
    drop(fault);
    asker.sees("it goes on", |view| read_at(view).filter(|read| *read > first && view.trouble.is_empty())).await;
}

#[tokio::test]
async fn a_host_without_a_zone_is_told() {
    let (route53, _zone) = service().await;
    let asker = Asker::ask(&reader().await, asks(&route53, &["shop.example.net"]));
    let trouble = asker.sees_trouble("shop.example.net", "none of the account's 1 hosted zones").await;
    assert!(trouble.contains("hostedZoneID"), "{trouble}");
    let gone = Interest { zone: Some("ZGONE".to_owned()), ..asks(&route53, &[HOST]) };
    let trouble = Asker::ask(&reader().await, gone).sees_trouble(HOST, "no hosted zone ZGONE").await;
    assert!(trouble.contains("hostedZoneID"), "{trouble}");
}

#[tokio::test]
async fn a_secret_that_is_not_there_is_named() {
    let (route53, _zone) = service().await;
    let secret = Some("other".to_owned());
    let account = Account { endpoint: route53.url(), secret, ..Account::default() };
    let asker = Asker::ask(&reader().await, interest(Backend::Route53(account), &[HOST]));
    let trouble = asker.sees_trouble(HOST, "no AWS credentials").await;
    assert!(trouble.contains("operator/other"), "{trouble}");
    assert_eq!(route53.requests(), []);
}
