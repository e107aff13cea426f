//! Against the name server of the rig, which answers what its Route 53 serves.

use std::collections::BTreeSet;
use std::net::UdpSocket;
use std::sync::Arc;

use rig::dns_server::{DnsServer, Options};
use rig::route53::record::{Kind, RecordSet};
use rig::route53::zone::Zone;
use rig::route53::{self, Route53, balancers::elb_name};

use super::{Asker, interest, reader, reader_with};
use crate::dns::Resolver;
use crate::dns::interest::Backend;
use crate::machine::records::{DnsView, Evidence, RecordKind, ServerAnswers};

const HOST: &str = "shop.example.org";

struct World {
    _route53: Route53,
    zone: Zone,
    server: DnsServer,
}

impl World {
    async fn start() -> Self {
        let route53 = Route53::start(route53::Options::default()).await.unwrap();
        let zone = route53.create_zone("example.org");
        let server = DnsServer::start(Options::default()).await.unwrap();
        server.serve(Arc::new(zone.clone()));
        Self { _route53: route53, zone, server }
    }

    fn backend(&self) -> Backend {
        Backend::NameServers(vec![self.server.address().to_string()])
    }

    /// As soon as it is served.
    async fn publish(&self, set: RecordSet) {
        let (name, kind) = (set.name.clone(), set.kind);
        self.zone.create("external-dns", set).unwrap();
        let served = |zone: &Zone| zone.served().group(&name, kind).next().map(drop);
        self.zone.wait("the record", super::LIMIT, served).await.unwrap();
    }
}

fn answers(view: &DnsView, kind: RecordKind) -> Option<ServerAnswers> {
    match &view.hosts.get(HOST)?.evidence {
        Evidence::Answered { servers, .. } => {
            servers.iter().find(|((_, found), _)| *found == kind).map(|(_, answers)| answers.clone())
        }
        Evidence::Listed(_) => panic!("nothing was listed"),
    }
}

#[tokio::test]
async fn answers_are_counted_by_address_and_kind() {
    let world = World::start().await;
    world.publish(RecordSet::simple(HOST, Kind::A, 30, ["192.0.2.1"]).weighted("blue", 100)).await;
    let asker = Asker::ask(&reader().await, interest(world.backend(), &[HOST]));
    let three = |view: &DnsView| answers(view, RecordKind::A).filter(|answers| answers.answers >= 3);
    let known = asker.sees("three answers", three).await;
    assert_eq!(known.seen["192.0.2.1"].answers_since, 0);
    assert_eq!((known.ttl.unwrap().as_secs(), known.empty), (30, None));
    let view = asker.asking.view();
    assert!(answers(&view, RecordKind::Aaaa).unwrap().empty.is_some(), "there is no AAAA record");
    assert_eq!(answers(&view, RecordKind::Cname), None);
}

#[tokio::test]
async fn another_name_is_told_as_such_and_a_name_that_is_not_there_as_empty() {
    let world = World::start().await;
    let asker = Asker::ask(&reader().await, interest(world.backend(), &[HOST]));
    let empty = |view: &DnsView| answers(view, RecordKind::A).filter(|answers| answers.empty.is_some());
    asker.sees("no such name", empty).await;
    world.publish(RecordSet::simple(HOST, Kind::Cname, 60, ["lb.example.net"]).weighted("blue", 100)).await;
    let named = asker.sees("the other name", |view| answers(view, RecordKind::Cname)).await;
    assert!(named.seen.contains_key("lb.example.net"), "{named:?}");
}

#[tokio::test]
async fn a_server_that_is_silent_is_told_beside_the_answers_of_the_others() {
    let world = World::start().await;
    world.publish(RecordSet::simple(HOST, Kind::A, 30, ["192.0.2.1"])).await;
    let silent = UdpSocket::bind("127.0.0.1:0").unwrap();
    let silent = silent.local_addr().unwrap().to_string();
    // The port is free again, or nobody answers there: either way there is no answer.
    let both = Backend::NameServers(vec![world.server.address().to_string(), silent.clone()]);
    let asker = Asker::ask(&reader().await, interest(both, &[HOST]));
    asker.sees_trouble(HOST, &silent).await;
    assert!(answers(&asker.asking.view(), RecordKind::A).is_some());
}

#[tokio::test]
async fn a_server_of_another_zone_is_no_evidence() {
    let world = World::start().await;
    let asker = Asker::ask(&reader().await, interest(world.backend(), &["shop.example.net"]));
    let trouble = asker.sees_trouble("shop.example.net", "the DNS query for shop.example.net").await;
    assert!(asker.asking.view().hosts.is_empty(), "{trouble}");
}

#[tokio::test]
async fn an_address_that_is_none_is_named() {
    let asker = Asker::ask(&reader().await, interest(Backend::NameServers(vec!["ns1".to_owned()]), &[HOST]));
    let trouble = asker.sees_trouble(HOST, "ns1").await;
    assert!(trouble.contains("not an address with a port"), "{trouble}");
}

/// The addresses of the one load balancer, which the host's record leads to.
async fn addresses_of(balancer: &str, world: &World, resolver: Resolver) -> BTreeSet<String> {
    world.publish(RecordSet::simple(HOST, Kind::Cname, 60, [balancer])).await;
    let mut interest = interest(world.backend(), &[HOST]);
    interest.balancers = [balancer.to_owned()].into();
    let asker = Asker::ask(&reader_with(resolver).await, interest);
    let known = |view: &DnsView| match &view.hosts.get(HOST)?.evidence {
        Evidence::Answered { balancers, .. } => balancers.get(balancer).filter(|known| !known.is_empty()).cloned(),
        Evidence::Listed(_) => None,
    };
    asker.sees("the addresses", known).await
}

#[tokio::test]
async fn the_addresses_of_a_load_balancer_are_looked_up() {
    let addresses = addresses_of("localhost", &World::start().await, Resolver::default()).await;
    assert!(addresses.contains("127.0.0.1") || addresses.contains("::1"), "{addresses:?}");
}

#[tokio::test]
async fn the_addresses_of_a_load_balancer_are_those_that_the_given_resolver_knows() {
    let (world, balancer) = (World::start().await, elb_name("blue"));
    world.server.surroundings().name_balancer(&balancer, ["192.0.2.7".parse().unwrap()]);
    let addresses = addresses_of(&balancer, &world, Resolver::new(&[world.server.address()])).await;
    assert_eq!(addresses, ["192.0.2.7".to_owned()].into());
}
