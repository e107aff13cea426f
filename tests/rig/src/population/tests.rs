use std::collections::BTreeMap;
use std::future::pending;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU16, Ordering};

use hyper::http::StatusCode;
use rustls::sign::SingleCertAndKey;
use tokio::net::TcpListener;

use super::*;
use crate::certificate_authority::{CertificateAuthority, server_config};
use crate::dns_server::{self, DnsServer, Outcome};
use crate::http_server::{Server, text};
use crate::route53::record::{Kind, RecordSet, ServedZone};

const HOST: &str = "shop.example.com";
const LIMIT: Duration = Duration::from_secs(30);
/// A load balancer that answers 200 with a page of something else.
const WRONG_PAGE: u16 = 1;
/// A load balancer that does not answer.
const SILENT: u16 = 2;

/// A zone that a test rewrites.
#[derive(Default)]
struct Zone(Mutex<Vec<RecordSet>>);

impl ServedZone for Zone {
    fn origin(&self) -> String {
        "example.com.".to_owned()
    }

    fn served_at(&self, name: &str) -> Vec<RecordSet> {
        self.0.lock().unwrap().iter().filter(|set| set.name == name).cloned().collect()
    }

    fn exists(&self, name: &str) -> bool {
        name == self.origin() || !self.served_at(name).is_empty()
    }
}

impl Zone {
    fn set(&self, sets: impl IntoIterator<Item = RecordSet>) {
        *self.0.lock().unwrap() = sets.into_iter().collect();
    }

    /// Blue and green with these weights; answers may be remembered for a second.
    fn weights(&self, source: u8, target: u8) {
        let set = |address: &str, identifier, weight| {
            RecordSet::simple(HOST, Kind::A, 1, [address]).weighted(identifier, weight)
        };
        let sets = [set("127.0.1.1", "blue", source), set("127.0.1.2", "green", target)];
        let soa = "ns-1.example.com. hostmaster.example.com. 1 7200 900 1209600 1";
        self.set(sets.into_iter().chain([RecordSet::simple("example.com", Kind::Soa, 1, [soa])]));
    }
}

/// Two load balancers, a zone, and a name server.
struct Town {
    authority: CertificateAuthority,
    zone: Arc<Zone>,
    dns: DnsServer,
    balancers: [Server; 2],
    /// What the target answers.
    target_status: Arc<AtomicU16>,
}

impl Town {
    async fn build() -> Self {
        let authority = CertificateAuthority::new("root of a town").unwrap();
        let zone = Arc::new(Zone::default());
        zone.weights(100, 0);
        let dns = DnsServer::start(dns_server::Options::default()).await.unwrap();
        dns.serve(Arc::clone(&zone) as Arc<dyn ServedZone>);
        let target_status = Arc::new(AtomicU16::new(200));
        let source = balancer("127.0.1.1", "source", &authority, Arc::new(AtomicU16::new(200))).await;
        let target = balancer("127.0.1.2", "target", &authority, Arc::clone(&target_status)).await;
        Self { authority, zone, dns, balancers: [source, target], target_status }
    }

    fn streets(&self) -> Streets {
        let door = |server: &Server, side| (server.address().ip(), Door { side, port: server.address().port() });
        let doors = [door(&self.balancers[0], Side::Source), door(&self.balancers[1], Side::Target)];
        Streets { name_server: self.dns.address(), doors: BTreeMap::from(doors) }
    }

    fn people(&self, options: &Options) -> Population {
        Population::arrive(options, self.streets(), &self.authority.pem()).unwrap()
    }
}

async fn balancer(
    address: &str,
    cluster: &'static str,
    authority: &CertificateAuthority,
    answer: Arc<AtomicU16>,
) -> Server {
    let certificate = authority.issue(&[HOST]).unwrap().certified_key;
    let config = server_config(Arc::new(SingleCertAndKey::from(certificate))).unwrap();
    let listener = TcpListener::bind((address.parse::<IpAddr>().unwrap(), 0)).await.unwrap();
    Server::start(listener, Some(config), move |_| {
        let status = answer.load(Ordering::Relaxed);
        async move {
            match status {
                SILENT => pending().await,
                WRONG_PAGE => Ok(text(StatusCode::OK, "It works!")),
                200 => Ok(text(StatusCode::OK, format!("Hello from {HOST} on the {cluster} cluster\n"))),
                status => Ok(text(StatusCode::from_u16(status)?, "no page")),
            }
        }
    })
    .unwrap()
}

/// Ten users with twenty requests a second each, of one habit.
fn ten(habit: Habit) -> Options {
    let pace = Duration::from_millis(50);
    Options { clients: 10, pace, habits: vec![(habit, 100)], ..Options::new(HOST) }
}

#[tokio::test]
async fn users_follow_dns_from_one_side_to_the_other_and_nobody_is_lost() {
    let town = Town::build().await;
    let people = town.people(&ten(Habit::HonoursTtl));
    people.wait_until_all_are_at(Side::Source, LIMIT).await.unwrap();
    town.zone.weights(50, 50);
    people
        .wait_until("some are on the target", LIMIT, |visits| visits.last().unwrap().side == Some(Side::Target))
        .await
        .unwrap();
    town.zone.weights(0, 100);
    people.wait_until_all_are_at(Side::Target, LIMIT).await.unwrap();
    let report = people.report(&[], Duration::from_millis(100));
    assert_eq!((report.lost(), report.badly_answered()), (0, 0), "{report}");
    assert_eq!(people.counts().failed(), 0);
    assert_eq!(people.counts().total(), report.by_side.source + report.by_side.target);
}

/// What is remembered is not asked for: ten users, some hundred requests, and hardly more questions than users and seconds.
#[tokio::test]
async fn answers_are_remembered_for_their_ttl() {
    let town = Town::build().await;
    let people = town.people(&ten(Habit::RemembersFor(Duration::from_secs(3600))));
    people.wait_until("200 requests", LIMIT, |visits| visits.len() >= 200).await.unwrap();
    assert_eq!(town.dns.journal().counts(HOST)[&(Some(Kind::A), Outcome::Answered)], 10);
}

#[tokio::test]
async fn who_keeps_a_connection_or_never_forgets_stays_where_he_is() {
    for habit in [Habit::KeepsConnection, Habit::NeverForgets] {
        let town = Town::build().await;
        let people = town.people(&ten(habit));
        people.wait_until_all_are_at(Side::Source, LIMIT).await.unwrap();
        town.zone.weights(0, 100);
        let changed = SystemTime::now();
        // Twice the time that the answers may be remembered.
        let later = changed + Duration::from_secs(2);
        people.wait_until("2 s", LIMIT, |visits| visits.last().is_some_and(|visit| visit.at > later)).await.unwrap();
        assert_eq!(people.counts_since(changed).sides.target, Served::default(), "{habit:?}");
    }
}

#[tokio::test]
async fn a_kept_connection_that_breaks_leads_back_to_dns() {
    let mut town = Town::build().await;
    let people = town.people(&ten(Habit::KeepsConnection));
    people.wait_until_all_are_at(Side::Source, LIMIT).await.unwrap();
    town.zone.weights(0, 100);
    // TTLs are over, and the source closes what is open.
    let later = SystemTime::now() + Duration::from_secs(1);
    people.wait_until("1 s", LIMIT, |visits| visits.last().is_some_and(|visit| visit.at > later)).await.unwrap();
    let port = town.balancers[0].address().port();
    town.balancers[0] = balancer("127.0.1.1", "source", &town.authority, Arc::new(AtomicU16::new(200))).await;
    assert_ne!(town.balancers[0].address().port(), port, "the old connections are gone with the old server");
    people.wait_until_all_are_at(Side::Target, LIMIT).await.unwrap();
}

#[tokio::test]
async fn every_failure_has_its_cause() {
    let town = Town::build().await;
    town.zone.weights(0, 100);
    let people = town.people(&Options { patience: Duration::from_millis(300), ..ten(Habit::HonoursTtl) });
    let met = async |cause: Cause| {
        let met = |visits: &[Visit]| visits.iter().any(|visit| visit.failure == Some(cause));
        people.wait_until(&cause.to_string(), LIMIT, met).await.unwrap();
    };
    for (answer, cause) in
        [(503, Cause::Status(503)), (302, Cause::Status(302)), (WRONG_PAGE, Cause::WrongPage), (SILENT, Cause::Timeout)]
    {
        town.target_status.store(answer, Ordering::Relaxed);
        met(cause).await;
    }
    town.target_status.store(200, Ordering::Relaxed);
    let at = |kind, value: &str| RecordSet::simple(HOST, kind, 1, [value.to_owned()]);
    for (record, cause) in [
        (at(Kind::A, "127.0.1.9"), Cause::StrangeAddress),
        (at(Kind::A, "no address"), Cause::DnsFailed(2)),
        (at(Kind::Txt, "\"no address\""), Cause::NoAddress),
    ] {
        let soa = "ns-1.example.com. hostmaster.example.com. 1 7200 900 1209600 1";
        town.zone.set([record, RecordSet::simple("example.com", Kind::Soa, 1, [soa])]);
        met(cause).await;
    }
    town.zone.set([]);
    met(Cause::NoSuchName).await;
}

#[tokio::test]
async fn a_closed_port_a_wrong_certificate_and_a_silent_name_server_are_told_apart() {
    let town = Town::build().await;
    let closed = TcpListener::bind("127.0.1.1:0").await.unwrap();
    let mut streets = town.streets();
    streets
        .doors
        .insert("127.0.1.1".parse().unwrap(), Door { side: Side::Source, port: closed.local_addr().unwrap().port() });
    drop(closed);
    let one = Options { clients: 1, ..ten(Habit::HonoursTtl) };
    let first_cause = async |streets: Streets, roots: &str| {
        let people = Population::arrive(&one, streets, roots).unwrap();
        people.wait_until("a request", LIMIT, |visits| !visits.is_empty()).await.unwrap();
        people.visits()[0].failure
    };
    assert_eq!(first_cause(streets, &town.authority.pem()).await, Some(Cause::Refused));
    let stranger = CertificateAuthority::new("root of another town").unwrap();
    assert_eq!(first_cause(town.streets(), &stranger.pem()).await, Some(Cause::Tls));
    let silent = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let streets = Streets { name_server: silent.local_addr().unwrap(), ..town.streets() };
    assert_eq!(first_cause(streets, &town.authority.pem()).await, Some(Cause::DnsTimeout));
}

#[tokio::test]
async fn users_with_ipv6_take_ipv4_where_there_is_nothing_else() {
    let town = Town::build().await;
    let people = town.people(&Options { family: Family::Both, ..ten(Habit::HonoursTtl) });
    people.wait_until_all_are_at(Side::Source, LIMIT).await.unwrap();
    let counts = town.dns.journal().counts(HOST);
    assert!(counts[&(Some(Kind::Aaaa), Outcome::NoData)] >= 10, "{counts:?}");
    assert_eq!(people.counts().failed(), 0);
}

/// The rig's load: fifty users with ten requests a second each.
#[tokio::test]
async fn five_hundred_requests_a_second_are_no_trouble() {
    let town = Town::build().await;
    town.zone.weights(50, 50);
    let people = town.people(&Options { clients: 50, pace: Duration::from_millis(100), ..Options::new(HOST) });
    people.wait_until("1500 requests", LIMIT, |visits| visits.len() >= 1500).await.unwrap();
    let report = people.report(&[], Duration::from_secs(1));
    assert_eq!(report.lost(), 0, "{report}");
    assert!(report.by_side.source > 300 && report.by_side.target > 300, "{report}");
}

#[test]
fn habits_are_shared_out_by_percent() {
    let options = Options { clients: 40, ..Options::new(HOST) };
    let habits: Vec<Habit> = (0..40).map(|number| options.habit(number)).collect();
    let count = |wanted: fn(&Habit) -> bool| habits.iter().filter(|habit| wanted(habit)).count();
    assert_eq!(count(|habit| matches!(habit, Habit::RemembersFor(_))), 4);
    assert_eq!(count(|habit| *habit == Habit::KeepsConnection), 2);
    assert_eq!(count(|habit| *habit == Habit::HonoursTtl), 34);
}
