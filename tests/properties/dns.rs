//! A zone with an external-dns on each side, as data: each follows when it runs, and Route 53 refuses what it refuses.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use namespace_migration::machine::Side;
use namespace_migration::machine::observed::IngressFacts;
use namespace_migration::machine::published::{Aliases, kinds};
use namespace_migration::machine::records::{
    DnsView, Evidence, ExternalDnsView, HostView, ListedRecord, Owner, RecordKind, RecordSet, Routing,
};
use namespace_migration::machine::traffic::{Weight, target_share};

use crate::answers::NameServers;
use crate::world::Cluster;

const KINDS: [RecordKind; 3] = [RecordKind::A, RecordKind::Aaaa, RecordKind::Cname];

/// The zone.
#[derive(Clone, Debug, Default)]
pub struct Dns {
    /// Records by host.
    pub records: BTreeMap<String, Vec<ListedRecord>>,
    /// Sides whose external-dns does not run.
    pub stopped: BTreeSet<Side>,
    /// Kinds of records that a side's external-dns does not follow with, though it runs.
    pub lagging: BTreeSet<(Side, RecordKind)>,
    /// Kinds that a side's external-dns does not publish at all.
    pub left_out: BTreeSet<(Side, RecordKind)>,
    /// Why nothing can be read, if so.
    pub unreadable: Option<String>,
    /// What is known of each external-dns.
    pub known: BTreeMap<Side, ExternalDnsView>,
    /// When it was last read, if that was not just now.
    pub read_at: Option<Timestamp>,
    /// TTLs of each side's records. None: they are aliases.
    pub ttls: BTreeMap<Side, SignedDuration>,
    /// What is seen at each host instead of its list.
    pub seen: Option<Evidence>,
    /// When the records of a host were last changed, as the whole of them.
    pub changed_at: BTreeMap<String, Timestamp>,
    /// The zone's name servers, where those are asked instead of its list.
    pub answers: Option<NameServers>,
}

impl Dns {
    /// Both external-dns look at their clusters, as far as they run. What they change is answered from now on.
    pub fn follow(&mut self, source: &Cluster, target: &Cluster, now: Timestamp) {
        if let Some(answers) = &mut self.answers {
            answers.ask(&self.records, now);
        }
        for (side, cluster) in [(Side::Source, source), (Side::Target, target)] {
            if !self.stopped.contains(&side) {
                self.sync(side, cluster, now);
            }
        }
    }

    /// One external-dns makes its records what its Ingresses say; a host and kind whose change is refused stays as it is.
    pub fn sync(&mut self, side: Side, cluster: &Cluster, now: Timestamp) {
        let published = cluster.ingresses.values().filter(|facts| !facts.withheld);
        let mut wanted: BTreeMap<String, Vec<RecordSet>> = BTreeMap::new();
        for facts in published {
            let kinds = kinds(&facts.addresses, Aliases::OfBoth)
                .into_iter()
                .filter(|kind| !self.left_out.contains(&(side, *kind)));
            let records: Vec<_> = kinds.map(|kind| record(side, facts, kind, self.ttls.get(&side).copied())).collect();
            for host in &facts.hosts {
                merge(wanted.entry(host.clone()).or_default(), &records);
            }
        }
        let hosts: BTreeSet<_> = wanted.keys().chain(self.records.keys()).cloned().collect();
        for host in hosts {
            let wanted = wanted.remove(&host).unwrap_or_default();
            for kind in KINDS {
                if self.lagging.contains(&(side, kind)) {
                    continue;
                }
                let of_kind = wanted.iter().filter(|set| set.kind == kind).cloned().collect();
                self.change(side, &host, kind, of_kind, now);
            }
        }
    }

    fn change(&mut self, side: Side, host: &str, kind: RecordKind, wanted: Vec<RecordSet>, now: Timestamp) {
        let old = self.records.get(host).cloned().unwrap_or_default();
        let (old, mut kept): (Vec<_>, Vec<_>) = old.into_iter().partition(|record| record.set.kind == kind);
        let (mine, others): (Vec<_>, Vec<_>) = old.into_iter().partition(|record| record.set.owner == owner(side));
        let since = |set: &RecordSet| mine.iter().find(|old| old.set == *set).map_or(now, |old| old.since);
        let new: Vec<_> = wanted.into_iter().map(|set| ListedRecord { since: since(&set), set }).collect();
        let all: Vec<_> = others.into_iter().chain(new).collect();
        let simple = all.iter().filter(|record| record.set.routing == Routing::Simple).count();
        let ttls: BTreeSet<_> = all.iter().filter_map(|record| record.set.ttl).collect();
        if (simple == 0 && ttls.len() < 2) || all.len() == 1 {
            kept.extend(all);
            let place =
                |record: &ListedRecord| (record.set.kind, record.set.owner.clone(), record.set.identifier.clone());
            kept.sort_by_key(place);
            let before = self.records.insert(host.to_owned(), kept);
            if before.as_ref() != self.records.get(host) {
                self.changed_at.insert(host.to_owned(), now);
            }
        }
    }

    /// Somebody gives a side's record another weight in the zone, or deletes it.
    pub fn edit(&mut self, side: Side, host: &str, weight: Option<i32>, now: Timestamp) {
        let Some(records) = self.records.get_mut(host) else { return };
        let is_meant = |record: &ListedRecord| record.set.owner == owner(side) && record.set.identifier.is_some();
        match weight {
            None => records.retain(|record| !is_meant(record)),
            Some(weight) => {
                for record in records.iter_mut().filter(|record| is_meant(record)) {
                    (record.set.routing, record.since) = (Routing::Weighted(Weight::percent(weight)), now);
                }
            }
        }
        self.changed_at.insert(host.to_owned(), now);
    }

    /// What a reading shows.
    pub fn view(&self, now: Timestamp) -> DnsView {
        let trouble =
            self.unreadable.iter().flat_map(|why| self.records.keys().map(|host| (host.clone(), why.clone())));
        let listed = |host: &String, records: &Vec<ListedRecord>| HostView {
            read_at: self.read_at.unwrap_or(now),
            since: self.changed_at.get(host).copied().unwrap_or(Timestamp::MIN),
            evidence: self.seen.clone().unwrap_or_else(|| Evidence::Listed(records.clone())),
        };
        let seen = |host: &String, records| match &self.answers {
            Some(answers) => answers.view(host),
            None => Some(listed(host, records)),
        };
        DnsView {
            hosts: self.records.iter().filter_map(|(host, it)| Some((host.clone(), seen(host, it)?))).collect(),
            trouble: trouble.collect(),
            source: self.known.get(&Side::Source).cloned().unwrap_or_default(),
            target: self.known.get(&Side::Target).cloned().unwrap_or_default(),
        }
    }

    /// Whether a side has a record at a host.
    pub fn has_record(&self, host: &str, side: Side) -> bool {
        self.records.get(host).is_some_and(|records| records.iter().any(|record| record.set.owner == owner(side)))
    }

    /// Whether every record of a side with this identifier has this weight, and there is one.
    pub fn has_weight(&self, side: Side, host: &str, identifier: Option<&String>, weight: Weight) -> bool {
        let of_side = self.records.get(host).into_iter().flatten().filter(|record| record.set.owner == owner(side));
        let mut found = of_side.filter(|record| record.set.identifier.as_ref() == identifier).peekable();
        found.peek().is_some() && found.all(|record| record_weight(record) == Some(weight))
    }

    /// Whether a host has a kind of which all records are weighted, and all are 0.
    pub fn all_zero(&self, host: &str) -> bool {
        KINDS.into_iter().any(|kind| {
            let records: Vec<_> = self.of_kind(host, kind).collect();
            !records.is_empty() && records.iter().all(|record| record_weight(record) == Some(Weight::ZERO))
        })
    }

    /// The share of a host's answers, in percent, that leads to the target: the highest of all kinds.
    pub fn share(&self, host: &str) -> i32 {
        KINDS.into_iter().map(|kind| self.share_of(host, kind)).max().unwrap_or(0)
    }

    fn share_of(&self, host: &str, kind: RecordKind) -> i32 {
        let weights = |side: Side| -> Vec<Weight> {
            let of_side = self.of_kind(host, kind).filter(|record| record.set.owner == owner(side));
            of_side
                .map(|record| match record.set.routing {
                    Routing::Weighted(weight) => weight,
                    Routing::Simple | Routing::Other(_) => Weight::FULL,
                })
                .collect()
        };
        target_share(&weights(Side::Source), &weights(Side::Target))
    }

    fn of_kind(&self, host: &str, kind: RecordKind) -> impl Iterator<Item = &ListedRecord> {
        self.records.get(host).into_iter().flatten().filter(move |record| record.set.kind == kind)
    }
}

/// external-dns makes one record of what two Ingresses say of one name, kind and identifier.
fn merge(wanted: &mut Vec<RecordSet>, records: &[RecordSet]) {
    for record in records {
        let is_same = |known: &&mut RecordSet| (known.kind, &known.identifier) == (record.kind, &record.identifier);
        match wanted.iter_mut().find(is_same) {
            Some(known) => {
                known.leads_to.extend(record.leads_to.iter().cloned());
                known.leads_to.sort();
                known.leads_to.dedup();
            }
            None => wanted.push(record.clone()),
        }
    }
}

/// What somebody sees who looks at A records only.
pub fn only_a(view: &mut DnsView) {
    for host in view.hosts.values_mut() {
        if let Evidence::Listed(records) = &mut host.evidence {
            records.retain(|record| record.set.kind == RecordKind::A);
        }
    }
}

fn record_weight(record: &ListedRecord) -> Option<Weight> {
    match record.set.routing {
        Routing::Weighted(weight) => Some(weight),
        Routing::Simple | Routing::Other(_) => None,
    }
}

fn owner(side: Side) -> Owner {
    Owner::Named(format!("{side}-owner"))
}

fn record(side: Side, facts: &IngressFacts, kind: RecordKind, ttl: Option<SignedDuration>) -> RecordSet {
    let routing = match &facts.identifier {
        Some(_) => Routing::Weighted(facts.weight().unwrap_or_default()),
        None => Routing::Simple,
    };
    let leads_to =
        facts.addresses.iter().filter(|address| kinds(&[(*address).clone()].into(), Aliases::OfBoth).contains(&kind));
    RecordSet {
        kind,
        identifier: facts.identifier.clone(),
        routing,
        ttl,
        leads_to: leads_to.cloned().collect(),
        owner: owner(side),
    }
}
