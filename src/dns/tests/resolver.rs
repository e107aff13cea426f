//! Against name servers of the rig, which know load balancers that nobody else knows.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::sync::Arc;

use rig::dns_server::{DnsServer, Options, Surroundings};
use rig::route53::record::{Kind, RecordSet};
use rig::route53::zone::Zone;
use rig::route53::{self, Route53, balancers::elb_name};

use crate::dns::Resolver;
use crate::dns::resolver::ResolveError;

fn addresses(texts: &[&str]) -> BTreeSet<IpAddr> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}

/// A name server that knows a load balancer `blue` with these addresses.
async fn knowing(known: &[&str]) -> DnsServer {
    let surroundings = Surroundings::new();
    surroundings.name_balancer(&elb_name("blue"), addresses(known));
    DnsServer::start(Options { surroundings, ..Options::default() }).await.unwrap()
}

/// The address of a server that never answers; it does while the socket lives.
fn silent() -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let address = socket.local_addr().unwrap();
    (socket, address)
}

/// CNAMEs in two zones of one server, which follows none that leads out of its zone.
async fn publish(server: &DnsServer, names: &[(&str, &str)]) -> Route53 {
    let route53 = Route53::start(route53::Options::default()).await.unwrap();
    for origin in ["example.org", "example.net"] {
        let zone = route53.create_zone(origin);
        server.serve(Arc::new(zone.clone()));
        for (name, value) in names.iter().filter(|(name, _)| name.ends_with(origin)) {
            zone.create("somebody", RecordSet::simple(name, Kind::Cname, 60, [*value])).unwrap();
            let served = |zone: &Zone| zone.served().group(name, Kind::Cname).next().map(drop);
            zone.wait("the name", super::LIMIT, served).await.unwrap();
        }
    }
    route53
}

#[tokio::test]
async fn a_name_that_only_the_given_server_knows_has_its_addresses_of_both_kinds() {
    let server = knowing(&["192.0.2.1", "2001:db8::1"]).await;
    let name = elb_name("blue");
    let found = Resolver::new(&[server.address()]).addresses(&name).await.unwrap();
    assert_eq!(found, addresses(&["192.0.2.1", "2001:db8::1"]));
    let (none, unknown) = (Resolver::new(&[server.address()]), elb_name("green"));
    assert_eq!(none.addresses(&unknown).await.unwrap(), BTreeSet::new(), "there is no such name");
    let system = Resolver::default().addresses("127.0.0.1").await.unwrap();
    assert_eq!(system, addresses(&["127.0.0.1"]));
}

#[tokio::test]
async fn of_several_servers_one_that_is_silent_delays_nothing_and_when_all_fail_one_is_named() {
    let (server, (_socket, nobody)) = (knowing(&["192.0.2.1"]).await, silent());
    let resolver = Resolver::new(&[nobody, server.address()]);
    let began = std::time::Instant::now();
    assert_eq!(resolver.addresses(&elb_name("blue")).await.unwrap(), addresses(&["192.0.2.1"]));
    assert!(began.elapsed().as_secs_f32() < 1.5, "a silent server is given 2 s for each of two tries");
    let alone = Resolver::new(&[nobody]).addresses(&elb_name("blue")).await.unwrap_err();
    assert!(alone.to_string().contains(&nobody.to_string()), "{alone}");
}

#[tokio::test]
async fn a_name_is_followed_from_zone_to_zone_and_not_in_circles() {
    let server = knowing(&["192.0.2.1"]).await;
    let balancer = elb_name("blue");
    let names = [
        ("www.example.org", "front.example.net"),
        ("front.example.net", balancer.as_str()),
        ("here.example.org", "there.example.net"),
        ("there.example.net", "here.example.org"),
    ];
    let _route53 = publish(&server, &names).await;
    let resolver = Resolver::new(&[server.address()]);
    assert_eq!(resolver.addresses("www.example.org").await.unwrap(), addresses(&["192.0.2.1"]));
    let circle = resolver.addresses("here.example.org").await.unwrap_err();
    assert!(matches!(circle, ResolveError::Circle { .. }), "{circle}");
}
