//! What DNS served while the operator worked, and the promises about that which a story may break.

use jiff::Timestamp;
use namespace_migration::api::Stage;
use namespace_migration::api::status::{NamespaceMigrationStatus, PipelineStage};
use namespace_migration::machine::Side;
use namespace_migration::machine::records::RecordKind;
use namespace_migration::machine::traffic::Weight;

use crate::answers::NameServers;
use crate::dns::Dns;
use crate::recording::allowed_share;
use crate::world::{Cluster, World};

/// What is remembered of DNS over a whole story.
#[derive(Clone, Debug, Default)]
pub struct Served {
    /// The highest share of a step that was entered, in percent.
    pub entered: i32,
    /// Whether somebody edited the zone, or a load balancer lost its address: what is served then is not blamed on us.
    pub meddled: bool,
    /// The promises that were broken, in words.
    pub broken: Vec<String>,
}

impl World {
    /// The same with a zone, two external-dns that follow at once, and a pair that has Route 53 read.
    pub fn with_dns() -> Self {
        Self::new().in_a_zone()
    }

    /// The same in a zone.
    pub fn in_a_zone(mut self) -> Self {
        self.dns = Some(Dns::default());
        self.reorder();
        self.follow();
        self
    }

    /// The same with a pair that has the zone's name servers asked.
    pub fn with_name_servers() -> Self {
        let mut world = Self::with_dns();
        world.dns.as_mut().unwrap().answers = Some(NameServers::default());
        world.reorder();
        world
    }

    /// Both external-dns follow, as far as they run.
    pub fn follow(&mut self) {
        self.watching_dns(Dns::follow);
    }

    /// One external-dns follows once, also one that is stopped: it lags.
    pub fn follow_once(&mut self, side: Side) {
        self.watching_dns(|dns, source, target, now| dns.sync(side, side.pick(source, target), now));
    }

    /// One external-dns stops, or starts again.
    pub fn stop_dns(&mut self, side: Side, stopped: bool) {
        if let Some(dns) = &mut self.dns {
            if stopped {
                dns.stopped.insert(side)
            } else {
                dns.stopped.remove(&side)
            };
        }
    }

    /// Somebody edits the record of a side in the zone, or takes it away.
    pub fn edit_record(&mut self, host: &str, side: Side, weight: Option<i32>) {
        if let Some(dns) = &mut self.dns {
            self.served.meddled = true;
            dns.edit(side, host, weight, self.now);
        }
    }

    /// One external-dns does not follow with one kind of record, or does again.
    pub fn lag(&mut self, side: Side, kind: RecordKind, lags: bool) {
        if let Some(dns) = &mut self.dns {
            if lags {
                dns.lagging.insert((side, kind))
            } else {
                dns.lagging.remove(&(side, kind))
            };
        }
    }

    /// The load balancers of both sides have an IPv6 address as well.
    pub fn give_both_kinds(&mut self) {
        for (side, address) in [(Side::Source, "2001:db8::10"), (Side::Target, "2001:db8::20")] {
            for facts in self.side_mut(side).ingresses.values_mut() {
                facts.addresses.insert(address.to_owned());
            }
        }
        self.source_addresses.insert("2001:db8::10".to_owned());
        self.target_addresses.insert("2001:db8::20".to_owned());
    }

    /// DNS cannot be read, or can be again.
    pub fn hide_dns(&mut self, hidden: bool) {
        if let Some(dns) = &mut self.dns {
            dns.unreadable = hidden.then(|| "AccessDenied: route53:ListResourceRecordSets".into());
        }
    }

    fn watching_dns(&mut self, change: impl FnOnce(&mut Dns, &Cluster, &Cluster, Timestamp)) {
        let Some(mut dns) = self.dns.take() else { return };
        let before = dns.clone();
        change(&mut dns, &self.source, &self.target, self.now);
        let hosts: Vec<_> = dns.records.keys().cloned().collect();
        for host in hosts {
            let broken = self.broken_by(&host, &before, &dns);
            self.served.broken.extend(broken);
        }
        self.dns = Some(dns);
    }

    /// What somebody else wrote, or took away, is not blamed on us.
    fn broken_by(&self, host: &str, before: &Dns, after: &Dns) -> Option<String> {
        let foreign = self.writes.iter().any(|write| !write.ours);
        let (was, is) = (before.share(host), after.share(host));
        if foreign || self.served.meddled || is <= was {
            return None;
        }
        let status = &self.status;
        let back = matches!(status.stage, Stage::RollingBack | Stage::RollbackBlocked | Stage::RolledBack);
        if back && status.written_since.is_some() {
            return Some(format!("after a rollback was written the share of {host} rose from {was} to {is}"));
        }
        if !back && after.all_zero(host) {
            return Some(format!("DNS serves only zeros at {host}"));
        }
        let entered = self.served.entered;
        (is > entered).then(|| format!("DNS serves {is} percent at {host}; {entered} were the most that was entered"))
    }

    /// Looks at the status that a pass has left behind.
    pub fn note_served(&mut self, before: Stage, after: &NamespaceMigrationStatus) {
        self.served.entered = self.served.entered.max(allowed_share(after, 100));
        let Some(dns) = &self.dns else { return };
        let began = |entry: &PipelineStage| entry.name == Stage::RollingBack && entry.started.is_some();
        if before == Stage::RolledBack || after.stage != Stage::RolledBack || !after.pipeline.iter().any(began) {
            return;
        }
        let exposed = dns.records.keys().map(|host| (host, dns.share(host))).find(|(_, share)| *share > 0);
        let said = exposed.map(|(host, share)| format!("RolledBack, and DNS serves {share} percent at {host}"));
        // Where the operator has seen a record, somebody must be answered.
        let seen = |host: &&String| after.dns.iter().any(|row| row.host == **host && row.kind == "A");
        let silent = dns.records.keys().filter(seen).find(|host| !dns.has_record(host, Side::Source));
        let unanswered = silent.map(|host| format!("RolledBack, and the source has no record at {host}"));
        self.served.broken.extend(said.into_iter().chain(unanswered));
    }

    /// Whether DNS shows what receives users as it is written, so that the other side may give. Where nothing receives, or nobody
    /// looks, it may.
    pub fn receiver_is_served(&self, giver: Side, name: &str) -> bool {
        let receiver = self.side(giver.other());
        let (Some(dns), Some(facts)) = (&self.dns, receiver.ingresses.get(name)) else { return true };
        let Some(weight) = facts.weight().filter(|weight| *weight > Weight::ZERO) else { return true };
        facts.hosts.iter().all(|host| dns.has_weight(giver.other(), host, facts.identifier.as_ref(), weight))
    }
}
