//! The site of one migration: its namespace watched in both clusters, its prober, what it asks of DNS, and the external-dns of both
//! clusters. Ended migrations have none.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use jiff::Timestamp;

use crate::api::ClusterPair;
use crate::cluster::connection::Connection;
use crate::cluster::external_dns_watch::{ExternalDnsWatch, ExternalDnsWatches};
use crate::cluster::namespace_watch::{NamespaceWatch, Scope};
use crate::cluster::rights::LastAnswer;
use crate::dns::{Asking, DnsReader, Interest, Resolver};
use crate::machine::Side;
use crate::machine::health::HealthView;
use crate::machine::order::Order;
use crate::machine::records::DnsView;
use crate::metrics::Metrics;
use crate::mutex::locked;
use crate::probe::failing::Failing;
use crate::probe::plan::ProbePlan;
use crate::probe::prober::{Prober, Surroundings};

/// Wakes the reconcile of one migration. It cannot fail and never waits.
pub type Wake = Arc<dyn Fn() + Send + Sync>;

/// One migration's namespace in both clusters, and its prober.
pub struct Site {
    /// UID of the migration: one that is created anew under the same name gets a site of its own.
    uid: String,
    /// The namespace on the source.
    pub source: Arc<NamespaceWatch>,
    /// The namespace on the target.
    pub target: Arc<NamespaceWatch>,
    /// What both sides have last said of the operator's rights.
    pub rights: LastAnswer,
    watched_before: Option<Timestamp>,
    prober: Mutex<Option<Prober>>,
    dns: Mutex<Option<Asking>>,
    /// Those of source and target, where the pair names their Deployments.
    external_dns: Mutex<[Option<Arc<ExternalDnsWatch>>; 2]>,
    failing: Arc<Failing>,
    wake: Wake,
    metrics: Metrics,
}

impl Site {
    /// Starts to watch the namespace in both clusters. An earlier watch is known to have lasted until `watched_before`.
    pub fn open(
        uid: String,
        order: &Order,
        source: Arc<Connection>,
        target: Arc<Connection>,
        wake: Wake,
        metrics: Metrics,
        watched_before: Option<Timestamp>,
    ) -> Self {
        let watch = |side: Side, connection: Arc<Connection>| {
            let scope = scope(order, side);
            let wake = Arc::clone(&wake);
            Arc::new(NamespaceWatch::start(connection, scope, &metrics, move || wake()))
        };
        let (source, target) = (watch(Side::Source, source), watch(Side::Target, target));
        let (rights, prober, dns) = (LastAnswer::default(), Mutex::default(), Mutex::default());
        let (external_dns, failing) = (Mutex::default(), Arc::default());
        Self { uid, source, target, rights, watched_before, prober, dns, external_dns, failing, wake, metrics }
    }

    /// Whether it is the site of this migration, watched through these connections and by these rules. The rules of a pair may
    /// be edited: facts that were read by older ones would never show what is written by the new.
    pub fn fits(&self, uid: &str, order: &Order, source: &Arc<Connection>, target: &Arc<Connection>) -> bool {
        let watched = |side: Side, connection: &Arc<Connection>| {
            let watch = self.side(side);
            Arc::ptr_eq(watch.connection(), connection) && *watch.scope() == scope(order, side) && !watch.is_broken()
        };
        self.uid == uid && watched(Side::Source, source) && watched(Side::Target, target)
    }

    /// The namespace on one side.
    pub fn side(&self, side: Side) -> &NamespaceWatch {
        match side {
            Side::Source => &self.source,
            Side::Target => &self.target,
        }
    }

    /// What the prober says. Nothing, while there is none.
    pub fn health(&self) -> HealthView {
        let health = self.prober().as_ref().map(Prober::health).unwrap_or_default();
        HealthView { watched_before: self.watched_before, ..health }
    }

    /// Probes by this plan, or not at all. The resolver knows where load balancers are.
    pub fn probe(&self, resolver: &Resolver, plan: Option<ProbePlan>) {
        let mut prober = self.prober();
        match (prober.as_ref(), plan) {
            (Some(running), Some(plan)) if !running.is_broken() => running.follow(plan),
            (_, Some(plan)) => *prober = Some(self.start(resolver, plan)),
            (_, None) => *prober = None,
        }
    }

    /// The end of the next round wakes the reconcile, even if no verdict changes.
    pub fn announce_next_round(&self) {
        if let Some(prober) = self.prober().as_ref() {
            prober.announce_next_round();
        }
    }

    /// The target fails, and nothing goes back because of that.
    pub fn overlook_failure(&self) {
        self.failing.overlook();
    }

    /// The source has weight 100 again. Returns how long that took since the verdict; None when no verdict was the cause.
    pub fn note_source_is_back(&self) -> Option<Duration> {
        let took = self.failing.answered()?.elapsed();
        self.metrics.rollback_write.observe(took.as_secs_f64());
        Some(took)
    }

    /// What DNS was last seen to serve, and what the external-dns of both clusters tell of themselves. Nothing, while nobody asks.
    pub fn dns(&self) -> DnsView {
        let view = locked(&self.dns).as_ref().map(Asking::view).unwrap_or_default();
        let watched = locked(&self.external_dns);
        let [source, target] = watched.each_ref().map(|watch| watch.as_ref().map(|watch| watch.view()));
        let (source, target) = (source.unwrap_or_default(), target.unwrap_or_default());
        DnsView { source: source.beside(view.source), target: target.beside(view.target), ..view }
    }

    /// Has the Deployments of external-dns watched that the pair names, and no others.
    pub fn follow_external_dns(&self, watches: &ExternalDnsWatches, pair: &ClusterPair) {
        let mut watched = locked(&self.external_dns);
        let sides = [(&self.source, &pair.spec.source), (&self.target, &pair.spec.target)];
        for (known, (side, rules)) in watched.iter_mut().zip(sides) {
            let Some(named) = &rules.external_dns.deployment else {
                *known = None;
                continue;
            };
            let connection = side.connection();
            if !known.as_ref().is_some_and(|watch| watch.fits(connection, named)) {
                *known = Some(watches.of(connection, named, &self.wake, &self.metrics));
            }
        }
    }

    /// Has DNS read for this interest, or not at all.
    pub fn follow_dns(&self, reader: &DnsReader, interest: Option<Interest>) {
        let mut dns = locked(&self.dns);
        match (dns.as_ref(), interest) {
            (Some(asking), Some(interest)) if asking.fits(&interest) => asking.change(interest),
            (_, Some(interest)) => *dns = Some(reader.ask(interest, Arc::clone(&self.wake))),
            (_, None) => *dns = None,
        }
    }

    fn start(&self, resolver: &Resolver, plan: ProbePlan) -> Prober {
        let surroundings = Surroundings {
            source: Arc::clone(&self.source),
            target: Arc::clone(&self.target),
            resolver: resolver.clone(),
            metrics: self.metrics.clone(),
            failing: Arc::clone(&self.failing),
        };
        let wake = Arc::clone(&self.wake);
        Prober::start(plan, surroundings, move || wake())
    }

    fn prober(&self) -> std::sync::MutexGuard<'_, Option<Prober>> {
        // Each change is one assignment, so a panic elsewhere leaves nothing half done.
        locked(&self.prober)
    }
}

fn scope(order: &Order, side: Side) -> Scope {
    Scope { namespace: order.namespace.clone(), annotation_prefix: order.rules(side).annotation_prefix.clone() }
}
