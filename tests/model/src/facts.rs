//! What the shipped code is shown of a state: its own facts, made of the few that differ.

use std::collections::BTreeSet;
use std::ops::Range;

use jiff::Timestamp;
use namespace_migration::api::FIELD_MANAGER;
use namespace_migration::machine::health::{CheckReport, HealthView, Verdict};
use namespace_migration::machine::neighbours::Neighbours;
use namespace_migration::machine::observed::{ClusterView, IngressFacts, NamespaceFacts, Reach, ServiceFacts};
use namespace_migration::machine::records::{
    DnsView, Evidence, HostView, ListedRecord, Owner, RecordKind, RecordSet, Routing,
};
use namespace_migration::machine::right::Rights;
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Needs, Observed, Order, Side};

use crate::setup::{Setup, TICK, now};
use crate::state::{Ingress, NAMES, OLD, Record, SIDES, Seen, Shown, at};

/// What a process sees. Where it is equal, it decides alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct View {
    pub token: u8,
    pub sick: bool,
    pub reach: [bool; 2],
    pub addressed: [bool; 2],
    pub seen: [Seen; 2],
    /// What is listed and for how many ticks. Nothing where nobody needs it.
    pub listed: [[(Shown, u8); 2]; 2],
}

/// What DNS lists, without what it serves: nobody sees that.
pub fn listed(records: &[[Record; 2]; 2]) -> [[(Shown, u8); 2]; 2] {
    records.map(|side| side.map(|record| (record.listed, record.age)))
}

impl View {
    pub fn observed(&self, order: &Order, needs: &Needs, setup: &Setup) -> Observed {
        if !needs.clusters {
            return Observed::default();
        }
        let [source, target] = SIDES.map(|side| self.cluster(order, needs, setup, side));
        let dns = if needs.dns.is_some() { self.dns(order, setup) } else { DnsView::default() };
        let health = if needs.probes { self.health() } else { HealthView::default() };
        let home_rights = rights(needs);
        Observed { source, target, health, dns, home_rights, ..Observed::default() }
    }

    fn cluster(&self, order: &Order, needs: &Needs, setup: &Setup, side: Side) -> ClusterView {
        let unreachable = || Reach::Unreachable { since: now(), why: "connection refused".into() };
        let view = ClusterView {
            reach: if self.reach[at(side)] { Reach::Reachable } else { unreachable() },
            rights: rights(needs),
            neighbours: neighbours(needs),
            ..ClusterView::default()
        };
        let Some(seen) = self.seen[at(side)] else { return view };
        let there = seen.iter().enumerate().filter(|(_, ingress)| ingress.there);
        let addresses: BTreeSet<_> = self.addressed[at(side)].then(|| address(side)).into_iter().collect();
        let facts = |(number, it): (usize, &Ingress)| {
            let facts = IngressFacts { addresses: addresses.clone(), ..ingress(order, setup, side, number, *it) };
            (NAMES[number].to_owned(), facts)
        };
        ClusterView {
            synced: true,
            namespace: Some(namespace()),
            ingresses: there.map(facts).collect(),
            services: [("web".to_owned(), ServiceFacts::default())].into(),
            ..view
        }
    }

    fn health(&self) -> HealthView {
        let target = if self.sick { Verdict::Fail } else { Verdict::Pass };
        let report = |side, verdict| CheckReport { name: "https".into(), side, verdict, message: String::new() };
        let checks = vec![report(Side::Source, Verdict::Pass), report(Side::Target, target)];
        HealthView { watched_since: Some(ago(OLD)), last_round: Some(now()), checks, ..HealthView::default() }
    }

    fn dns(&self, order: &Order, setup: &Setup) -> DnsView {
        let view = |host: Range<usize>| {
            let places = SIDES.into_iter().flat_map(|side| host.clone().map(move |ingress| (side, ingress)));
            let changed = places.clone().map(|(side, ingress)| self.listed[at(side)][ingress].1).min().unwrap();
            let mut records: Vec<_> = places.filter_map(|(side, ingress)| self.record(order, side, ingress)).collect();
            // Two Ingresses of one cluster at one host have one simple record.
            records.dedup_by(|one, other| one.set.identifier.is_none() && one.set == other.set);
            let evidence = Evidence::Listed(records);
            (host_name(setup, host.start), HostView { read_at: now(), since: ago(changed), evidence })
        };
        DnsView { hosts: setup.hosts().map(view).collect(), ..DnsView::default() }
    }

    fn record(&self, order: &Order, side: Side, ingress: usize) -> Option<ListedRecord> {
        let (shown, age) = self.listed[at(side)][ingress];
        let identifier = order.identifier(side, NAMES[ingress]);
        let (identifier, routing) = match shown {
            Shown::Nothing => return None,
            Shown::Simple => (None, Routing::Simple),
            Shown::Weighted(weight) => (Some(identifier), Routing::Weighted(Weight::percent(i32::from(weight)))),
        };
        let (leads_to, owner) = (vec![address(side)], Owner::Unread);
        let set = RecordSet { kind: RecordKind::A, identifier, routing, ttl: None, leads_to, owner };
        Some(ListedRecord { set, since: ago(age) })
    }
}

/// Nobody else moves anything.
fn neighbours(needs: &Needs) -> Neighbours {
    needs.neighbours.map_or(Neighbours::NotAsked, |_| Neighbours::Known { read_at: Timestamp::MAX, moving: vec![] })
}

/// Nothing is refused, where it is asked.
fn rights(needs: &Needs) -> Rights {
    if needs.rights { Rights::Known { refused: [].into(), account: String::new() } } else { Rights::NotAsked }
}

/// So many ticks before now.
pub fn ago(age: u8) -> Timestamp {
    now() - TICK * i32::from(age)
}

pub fn namespace() -> NamespaceFacts {
    NamespaceFacts { uid: "namespace".into(), terminating: false }
}

pub fn ingress(order: &Order, setup: &Setup, side: Side, number: usize, it: Ingress) -> IngressFacts {
    let manager = if it.ours { FIELD_MANAGER } else { "helm" };
    IngressFacts {
        uid: format!("{side}-{number}"),
        resource_version: "1".into(),
        hosts: [host_name(setup, number)].into(),
        services: ["web".to_owned()].into(),
        addresses: [address(side)].into(),
        identifier: it.identified.then(|| order.identifier(side, NAMES[number])),
        weight_text: it.weight.map(|weight| weight.to_string()),
        stamp: it.stamp.map(|mark| order.stamp(1, i64::from(mark.epoch), mark.direction())),
        weight_managers: it.weight.iter().map(|_| manager.to_owned()).collect(),
        ..IngressFacts::default()
    }
}

fn host_name(setup: &Setup, ingress: usize) -> String {
    let name = if setup.one_host { NAMES[0] } else { NAMES[ingress] };
    format!("{name}.example")
}

fn address(side: Side) -> String {
    if side == Side::Source { "192.0.2.10" } else { "192.0.2.20" }.to_owned()
}
