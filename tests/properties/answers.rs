//! Name servers as data: each answers what the zone lists, by weight, once a second, and the shipped code counts the answers.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use namespace_migration::dns::answers::{Answer, count};
use namespace_migration::machine::records::{Evidence, HostView, ListedRecord, RecordKind, Routing, ServerAnswers};

/// More answers than this are not given at a time: they would show nothing new.
const MOST: i64 = 1200;
/// Successive fractions of it are spread evenly, so that every share is seen soon, whenever one begins to look.
const GOLDEN: f64 = 0.618_033_988_749_894_9;

/// The answers so far of two name servers.
#[derive(Clone, Debug, Default)]
pub struct NameServers {
    answered: BTreeMap<String, BTreeMap<(String, RecordKind), ServerAnswers>>,
    asked_at: Option<Timestamp>,
    drawn: u32,
    /// A server that answers that there is nothing.
    pub silent: Option<String>,
}

impl NameServers {
    /// Every host is asked about both kinds, each second since it was asked last.
    pub fn ask(&mut self, records: &BTreeMap<String, Vec<ListedRecord>>, now: Timestamp) {
        let since = self.asked_at.map_or(1, |at| now.duration_since(at).as_secs());
        let first = now - SignedDuration::from_secs(since.min(MOST));
        self.asked_at = Some(now);
        for second in 1..=since.min(MOST) {
            let at = first + SignedDuration::from_secs(second);
            for (host, records) in records {
                for server in ["192.0.2.53:53", "192.0.2.54:53"] {
                    self.ask_one(host, server, records, at);
                }
            }
        }
    }

    fn ask_one(&mut self, host: &str, server: &str, records: &[ListedRecord], at: Timestamp) {
        for kind in [RecordKind::A, RecordKind::Aaaa] {
            self.drawn += 1;
            let drawn = (f64::from(self.drawn) * GOLDEN).fract();
            let is_silent = self.silent.as_deref() == Some(server);
            let known = records.iter().filter(|record| record.set.kind == kind && !is_silent);
            let leads_to = chosen(known, drawn);
            let answer = Answer { leads_to, ttl: Some(SignedDuration::from_mins(1)) };
            let known = self.answered.entry(host.to_owned()).or_default();
            count(known.entry((server.to_owned(), kind)).or_default(), &answer, at);
        }
    }

    /// A new process has counted nothing.
    pub fn forget(&mut self) {
        (self.answered, self.asked_at) = (BTreeMap::new(), None);
    }

    /// What is known of a host.
    pub fn view(&self, host: &str) -> Option<HostView> {
        let servers = self.answered.get(host)?.clone();
        let evidence = Evidence::Answered { servers, balancers: BTreeMap::new() };
        Some(HostView { read_at: self.asked_at?, since: Timestamp::MIN, evidence })
    }
}

/// Where the record leads that a server chooses: by weight, and each alike when all are 0.
fn chosen<'a>(records: impl Iterator<Item = &'a ListedRecord>, drawn: f64) -> BTreeSet<String> {
    let weight = |record: &ListedRecord| match record.set.routing {
        Routing::Weighted(weight) => f64::from(weight.get()),
        Routing::Simple | Routing::Other(_) => 1.0,
    };
    let records: Vec<_> = records.map(|record| (record, weight(record))).collect();
    let all: f64 = records.iter().map(|(_, weight)| weight).sum();
    let weight = |weight: f64| if all > 0.0 { weight / all } else { 1.0 };
    let mut left = if all > 0.0 { drawn } else { drawn * f64::from(u32::try_from(records.len()).unwrap()) };
    for (record, share) in &records {
        left -= weight(*share);
        if left < 0.0 {
            return record.set.leads_to.iter().cloned().collect();
        }
    }
    BTreeSet::new()
}
