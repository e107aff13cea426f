//! Two clusters as data, the time, and the operator's memory. One `pass` is what the operator does when it is woken.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use namespace_migration::api::status::NamespaceMigrationStatus;
use namespace_migration::api::{ClusterPair, NamespaceMigration, Stage};
use namespace_migration::machine::debt::Debts;
use namespace_migration::machine::deletion::Deletion;
use namespace_migration::machine::gate::Verification;
use namespace_migration::machine::health::{CheckReport, HealthView, Verdict};
use namespace_migration::machine::inventory::Inventory;
use namespace_migration::machine::neighbours::{Neighbour, Neighbours};
use namespace_migration::machine::observed::{
    ClusterView, IngressFacts, NamespaceFacts, Reach, SecretFacts, SecretPresence, SecretView, ServiceFacts,
    WorkloadFacts,
};
use namespace_migration::machine::order::{Home, owed_epoch};
use namespace_migration::machine::records::DnsView;
use namespace_migration::machine::right::Rights;
use namespace_migration::machine::run::seconds;
use namespace_migration::machine::traffic::Weight;
use namespace_migration::machine::{Decision, Needs, Observed, Order, Side, decide, needs, rest};
use serde_json::{Value, json};

use crate::dns::Dns;
use crate::dns::only_a;
use crate::executor::{Bug, Faults, InFlight};
use crate::recording::{Weights, Write};
use crate::served::Served;

pub const SOURCE: &str = "11111111-1111-4111-8111-111111111111";
pub const TARGET: &str = "22222222-2222-4222-8222-222222222222";
/// Interval, propagation and TTL of the pair: one minute each, by default.
pub const SETTLE: SignedDuration = SignedDuration::from_mins(3);
/// Old views of the clusters that are kept, to be seen again by a stale observation.
const SNAPSHOTS: usize = 8;

/// One cluster.
#[derive(Clone, Debug)]
pub struct Cluster {
    pub identity: String,
    pub reach: Reach,
    /// Whether calls to it end badly, though it is thought to answer.
    pub hung: bool,
    /// Whether a new process has listed it.
    pub synced: bool,
    pub namespace: Option<NamespaceFacts>,
    pub ingresses: BTreeMap<String, IngressFacts>,
    pub services: BTreeMap<String, ServiceFacts>,
    pub workloads: BTreeMap<String, WorkloadFacts>,
    pub secrets: BTreeMap<String, SecretFacts>,
    /// What it says of the operator's rights.
    pub rights: Rights,
}

impl Cluster {
    fn new(identity: &str) -> Self {
        let labels = BTreeMap::from([("app".to_owned(), "web".to_owned())]);
        let web = WorkloadFacts { desired: 2, ready: 2, current: true, labels: labels.clone() };
        Self {
            identity: identity.to_owned(),
            reach: Reach::Reachable,
            hung: false,
            synced: true,
            namespace: Some(NamespaceFacts { uid: format!("namespace-{identity}"), terminating: false }),
            ingresses: BTreeMap::new(),
            services: [("web".to_owned(), ServiceFacts { selector: labels })].into(),
            workloads: [("Deployment/web".to_owned(), web)].into(),
            secrets: BTreeMap::new(),
            rights: Rights::Known { refused: BTreeSet::new(), account: String::new() },
        }
    }

    /// Whether a call to it would end well.
    pub fn answers(&self) -> bool {
        self.reach.is_reachable() && !self.hung
    }

    fn view(&self) -> ClusterView {
        if !self.synced {
            let (reach, rights) = (self.reach.clone(), self.rights.clone());
            return ClusterView { reach, rights, ..ClusterView::default() };
        }
        ClusterView {
            reach: self.reach.clone(),
            synced: true,
            unwatchable: None,
            rights: self.rights.clone(),
            neighbours: Neighbours::NotAsked,
            namespace: self.namespace.clone(),
            ingresses: self.ingresses.clone(),
            services: self.services.clone(),
            workloads: self.workloads.clone(),
        }
    }

    /// The weight of an Ingress in DNS: without an identifier its record is a simple one, whatever the annotation says.
    pub fn weighted(&self, ingress: &str) -> Option<i32> {
        self.ingresses.get(ingress)?.identifier.as_ref()?;
        self.weight(ingress)
    }

    /// The weight on an Ingress.
    pub fn weight(&self, ingress: &str) -> Option<i32> {
        self.ingresses.get(ingress)?.weight().map(Weight::get)
    }
}

/// Everything that a test can look at or change.
#[derive(Clone, Debug)]
#[allow(clippy::struct_excessive_bools, reason = "each is a fault of its own that a test turns on")]
pub struct World {
    pub now: Timestamp,
    spec: Value,
    /// The migration's annotations, each with the field manager that the API server would name.
    annotations: BTreeMap<String, String>,
    /// When the last of them, or the spec, was written.
    annotated: Timestamp,
    /// Who edits the spec from now on, as the API server would name them. Empty: it names nobody.
    editor: &'static str,
    /// What the spec and the pair ask for.
    pub order: Order,
    pub source: Cluster,
    pub target: Cluster,
    /// What the home cluster says of the operator's rights.
    pub home_rights: Rights,
    /// Ingresses of other namespaces that somebody moves, on both sides.
    pub neighbours: Vec<Neighbour>,
    /// What comes instead of a list of them.
    pub unlisted: Option<Neighbours>,
    /// What the probes of each side say.
    pub verdicts: BTreeMap<Side, Verdict>,
    /// The status as the home cluster has it.
    pub status: NamespaceMigrationStatus,
    /// Every change of an Ingress, a Secret or an object, in its order.
    pub writes: Vec<Write>,
    /// Writes that were permitted and sent, but have not arrived.
    pub in_flight: Vec<InFlight>,
    /// What was found in the namespace on both sides.
    pub inventory: Option<Arc<Inventory>>,
    /// The zone, where DNS is verified.
    pub dns: Option<Dns>,
    /// What DNS has served so far.
    pub served: Served,
    /// Whether the target's load balancer gives addresses.
    pub load_balancer: bool,
    /// What it gives an Ingress that has none.
    pub target_addresses: BTreeSet<String>,
    /// What a source Ingress gets back.
    pub source_addresses: BTreeSet<String>,
    pub serial: u64,
    /// What deleted migrations left over, as the ClusterPair has it.
    pub debts: Debts,
    /// Whether the pair's status cannot be written.
    pub pair_refuses: bool,
    /// Whether an effect of the pass before failed.
    pub failed_before: bool,
    /// Whether the migration object is not there any more.
    pub gone: bool,
    snapshots: Vec<(Cluster, Cluster)>,
    watched_since: Option<Timestamp>,
    /// Until when the process before this one is known to have watched.
    pub watched_before: Option<Timestamp>,
    last_round: Option<Timestamp>,
}

impl World {
    /// A service with one Ingress on the source, deployed to the target as well, except for the Ingress.
    pub fn new() -> Self {
        let spec = json!({
            "clusterPair": "old-to-new",
            "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "a test"}]},
        });
        let now: Timestamp = "2026-11-21T08:00:00Z".parse().unwrap();
        let mut world = Self {
            now,
            order: order(&spec, &BTreeMap::new(), now, ""),
            spec,
            annotations: BTreeMap::new(),
            annotated: now,
            editor: "",
            source: Cluster::new(SOURCE),
            target: Cluster::new(TARGET),
            home_rights: Rights::Known { refused: BTreeSet::new(), account: "home".into() },
            neighbours: vec![],
            unlisted: None,
            verdicts: [(Side::Source, Verdict::Pass), (Side::Target, Verdict::Pass)].into(),
            status: NamespaceMigrationStatus::default(),
            writes: vec![],
            in_flight: vec![],
            inventory: None,
            dns: None,
            served: Served::default(),
            load_balancer: true,
            target_addresses: [address(Side::Target)].into(),
            source_addresses: [address(Side::Source)].into(),
            serial: 0,
            debts: Debts::default(),
            pair_refuses: false,
            failed_before: false,
            gone: false,
            snapshots: vec![],
            watched_since: None,
            watched_before: None,
            last_round: None,
        };
        world.add_ingress(Side::Source, "web", "shop.example");
        world
    }

    /// The same with other values at the top of the spec.
    pub fn with(spec: Value) -> Self {
        let mut world = Self::new();
        world.edit(&spec);
        world
    }

    /// The same with another status: lost, or forged.
    pub fn with_status(&self, status: NamespaceMigrationStatus) -> Self {
        Self { status, ..self.clone() }
    }

    /// An Ingress as CI deploys it: without identifier, weight and stamp.
    pub fn add_ingress(&mut self, side: Side, name: &str, host: &str) {
        let facts = IngressFacts {
            uid: self.next("uid"),
            resource_version: self.next(""),
            hosts: [host.to_owned()].into(),
            tls_hosts: [host.to_owned()].into(),
            services: ["web".to_owned()].into(),
            addresses: [address(side)].into(),
            ..IngressFacts::default()
        };
        self.side_mut(side).ingresses.insert(name.to_owned(), facts);
    }

    /// The load balancer of an Ingress loses its address, or has it again, and external-dns follows. Nothing happens where the
    /// Ingress is not there.
    pub fn lose_address(&mut self, side: Side, name: &str, lost: bool) {
        self.load_balancer &= side == Side::Source || !lost;
        self.load_balancer |= side == Side::Target && !lost;
        let addresses = side.pick(&self.source_addresses, &self.target_addresses).clone();
        if let Some(facts) = self.side_mut(side).ingresses.get_mut(name) {
            facts.addresses = if lost { BTreeSet::new() } else { addresses };
        }
        self.served.meddled |= lost;
        self.follow();
    }

    /// A number that was never used before, behind a word.
    pub fn next(&mut self, word: &str) -> String {
        self.serial += 1;
        format!("{word}{}", self.serial)
    }

    pub fn side(&self, side: Side) -> &Cluster {
        if side == Side::Source { &self.source } else { &self.target }
    }

    pub fn side_mut(&mut self, side: Side) -> &mut Cluster {
        if side == Side::Source { &mut self.source } else { &mut self.target }
    }

    pub fn ingress_mut(&mut self, side: Side, name: &str) -> &mut IngressFacts {
        self.side_mut(side).ingresses.get_mut(name).unwrap()
    }

    /// A person edits fields at the top of the spec.
    pub fn edit(&mut self, fields: &Value) {
        for (field, value) in fields.as_object().unwrap() {
            self.spec[field] = value.clone();
        }
        self.reorder();
    }

    /// Somebody with this name edits fields at the top of the spec.
    pub fn edit_as(&mut self, editor: &'static str, fields: &Value) {
        (self.editor, self.annotated) = (editor, self.now);
        self.edit(fields);
    }

    /// A person edits one field of `spec.traffic`.
    pub fn edit_traffic(&mut self, field: &str, value: Value) {
        self.spec["traffic"][field] = value;
        self.reorder();
    }

    /// A person annotates the migration; None takes the annotation away.
    pub fn annotate(&mut self, name: &str, value: Option<&str>) {
        match value {
            Some(value) => drop(self.annotations.insert(name.to_owned(), value.to_owned())),
            None => drop(self.annotations.remove(name)),
        }
        self.annotated = self.now;
        self.reorder();
    }

    /// Reads spec and annotations again; what somebody did to the object itself, or to the pair's clusters, stays.
    pub fn reorder(&mut self) {
        let Deletion { asked_at, held, .. } = self.order.deletion;
        let (source, target) = (self.order.source.clone(), self.order.target.clone());
        self.order = order(&self.spec, &self.annotations, self.annotated, self.editor);
        (self.order.source, self.order.target) = (source, target);
        (self.order.deletion.asked_at, self.order.deletion.held) = (asked_at, held);
        self.order.owed_epoch = owed_epoch(&self.debts.weights, &self.order.namespace);
        if let Some(dns) = &self.dns {
            let asks = dns.answers.is_some();
            self.order.dns.verification = if asks { Verification::AuthoritativeDns } else { Verification::Route53 };
        }
    }

    /// What the operator sees, `stale` changes late.
    pub fn observe(&self, needs: &Needs, stale: usize) -> Observed {
        if !needs.clusters {
            return Observed::default();
        }
        let oldest = self.snapshots.len().checked_sub(stale).filter(|_| stale > 0);
        let (mut source, mut target) = match oldest.and_then(|index| self.snapshots.get(index)) {
            Some((source, target)) => (source.view(), target.view()),
            None => (self.source.view(), self.target.view()),
        };
        if !needs.rights {
            (source.rights, target.rights) = (Rights::NotAsked, Rights::NotAsked);
        }
        let known = || Neighbours::Known { read_at: self.now, moving: self.neighbours.clone() };
        let listed = || self.unlisted.clone().unwrap_or_else(known);
        for view in [&mut source, &mut target] {
            view.neighbours = needs.neighbours.map_or(Neighbours::NotAsked, |_| listed());
        }
        let secrets = (!needs.secrets.is_empty()).then(|| self.secret_views(&needs.secrets));
        let home_rights = if needs.rights { self.home_rights.clone() } else { Rights::NotAsked };
        Observed {
            source,
            target,
            secrets,
            home_rights,
            health: self.health(needs.probes),
            dns: self.dns_view(needs),
            in_front: None,
            inventory: self.inventory.clone(),
        }
    }

    fn dns_view(&self, needs: &Needs) -> DnsView {
        let Some(dns) = &self.dns else { return DnsView::default() };
        let view = dns.view(self.now);
        // What Deployments tell is watched as the clusters are, whether or not somebody reads DNS.
        if needs.dns.is_some() {
            view
        } else {
            DnsView { source: view.source, target: view.target, ..DnsView::default() }
        }
    }

    fn secret_views(&self, names: &[String]) -> BTreeMap<String, SecretView> {
        let presence = |side: Side, name: &String| {
            let cluster = self.side(side);
            if !cluster.answers() {
                return SecretPresence::Unknown { why: cluster.reach.trouble() };
            }
            cluster.secrets.get(name).cloned().map_or(SecretPresence::Absent, SecretPresence::Present)
        };
        let view =
            |name: &String| SecretView { source: presence(Side::Source, name), target: presence(Side::Target, name) };
        names.iter().map(|name| (name.clone(), view(name))).collect()
    }

    fn health(&self, probes: bool) -> HealthView {
        if !probes {
            return HealthView::default();
        }
        let watched_since = self.watched_since.or(Some(self.now));
        let report = |side: Side| {
            let (verdict, message) = match (self.last_round, self.verdicts[&side]) {
                (None, _) => (Verdict::Inconclusive, "it has not been asked yet"),
                (_, Verdict::Pass) => (Verdict::Pass, "it answered 200"),
                (_, Verdict::Inconclusive) => (Verdict::Inconclusive, "the address is not known"),
                (_, Verdict::Fail) => (Verdict::Fail, "it answered 503, expected 200"),
            };
            let name = "https shop.example /".to_owned();
            CheckReport { name, side, verdict, message: message.to_owned() }
        };
        let checks = [Side::Source, Side::Target].map(report).into();
        HealthView { watched_since, watched_before: self.watched_before, last_round: self.last_round, checks }
    }

    fn watch(&mut self, probes: bool) {
        if probes {
            self.watched_since.get_or_insert(self.now);
        } else {
            (self.watched_since, self.last_round) = (None, None);
        }
    }

    /// A new process: nothing is remembered but the status, and only what can be reached is listed again.
    pub fn restart(&mut self) {
        (self.watched_since, self.last_round, self.watched_before) = (None, None, None);
        if let Some(answers) = self.dns.as_mut().and_then(|dns| dns.answers.as_mut()) {
            answers.forget();
        }
        for side in [Side::Source, Side::Target] {
            let cluster = self.side_mut(side);
            cluster.synced = cluster.reach.is_reachable();
        }
    }

    /// The process dies, and the Lease tells the next one until when it lived.
    pub fn crash_with_a_lease(&mut self, lived_until: Timestamp) {
        self.restart();
        self.watched_before = Some(lived_until);
    }

    /// The process ends as it should, and another begins.
    pub fn end_in_order(&mut self) {
        let health = self.health(true);
        if let Some(status) = rest(&self.status, &health, self.now) {
            self.save(&status);
        }
        self.restart();
    }

    /// Time passes. Whoever watches has probed meanwhile.
    pub fn advance(&mut self, span: SignedDuration) {
        self.now = self.now.checked_add(span).unwrap();
        self.follow();
        if self.watched_since.is_some() {
            self.last_round = Some(self.now);
        }
    }

    /// Remembers the clusters as they are, before they change.
    pub fn snapshot(&mut self) {
        self.snapshots.push((self.source.clone(), self.target.clone()));
        if self.snapshots.len() > SNAPSHOTS {
            self.snapshots.remove(0);
        }
    }

    /// The weights of an Ingress before the last change.
    pub fn weights_before(&self, name: &str) -> Weights {
        let last = self.snapshots.last();
        last.map_or((None, None), |(source, target)| (source.weighted(name), target.weighted(name)))
    }

    /// One pass without any trouble.
    pub fn pass(&mut self) -> Decision {
        self.pass_with(&Faults::default())
    }

    /// What would be decided now, without doing it.
    pub fn look(&self) -> Decision {
        let observed = self.observe(&needs(&self.order, &self.status), 0);
        decide(&self.order, &self.status, &observed, self.now)
    }

    pub fn pass_with(&mut self, faults: &Faults) -> Decision {
        if self.gone {
            return Decision { effects: vec![], status: self.status.clone(), events: vec![], wake_at: None };
        }
        self.give_addresses();
        let before = self.status.stage;
        let needs = needs(&self.order, &self.status);
        self.watch(needs.probes);
        let mut observed = self.observe(&needs, faults.stale);
        if faults.bug == Some(Bug::LooksAtOneKind) {
            only_a(&mut observed.dns);
        }
        let decision = decide(&self.order, &self.status, &observed, self.now);
        let crashed = self.execute(&decision, faults);
        if crashed || faults.crash_before_save {
            self.restart();
        } else {
            self.save(&decision.status);
        }
        self.note_served(before, &decision.status);
        decision
    }

    /// The status as it comes back from an API server.
    pub fn save(&mut self, status: &NamespaceMigrationStatus) {
        self.status = serde_json::from_value(serde_json::to_value(status).unwrap()).unwrap();
    }

    fn give_addresses(&mut self) {
        if self.load_balancer {
            for facts in self.target.ingresses.values_mut().filter(|facts| facts.addresses.is_empty()) {
                facts.addresses.clone_from(&self.target_addresses);
            }
        }
    }

    /// Passes and time, until the stage is reached. Stops the test when it is not.
    pub fn run_until(&mut self, stage: Stage) {
        self.run_while(|status| status.stage != stage);
    }

    /// Passes and time, until a pass has left this behind. Stops the test when none does.
    pub fn run_while(&mut self, still: impl Fn(&NamespaceMigrationStatus) -> bool) {
        for _ in 0..500 {
            let before = self.status.stage;
            let decision = self.pass();
            if !still(&self.status) {
                return;
            }
            self.sleep(before, &decision);
        }
        panic!("it goes on for ever: {} {}: {}", self.status.stage, self.status.reason, self.status.message);
    }

    /// A pass, and the time until it is woken again.
    pub fn step(&mut self) {
        let before = self.status.stage;
        let decision = self.pass();
        self.sleep(before, &decision);
    }

    fn sleep(&mut self, before: Stage, decision: &Decision) {
        // A new stage and the first round of probes wake it, whatever else is waited for.
        let probing = self.watched_since.is_some() && self.last_round.is_none();
        let idle = decision.effects.is_empty() && !probing && self.status.stage == before;
        let wake = decision.wake_at.filter(|at| *at > self.now && idle);
        let soon = SignedDuration::from_secs(10);
        self.advance(wake.map_or(soon, |at| at.duration_since(self.now)));
    }

    /// Passes without time passing, until there is nothing more to write.
    pub fn settle(&mut self) {
        for _ in 0..20 {
            if self.pass().effects.is_empty() {
                return;
            }
        }
        panic!("it never stops writing: {:?}", self.look().effects);
    }

    pub fn unreachable(&mut self, side: Side) {
        let since = self.now;
        self.side_mut(side).reach = Reach::Unreachable { since, why: "connection refused".into() };
    }

    pub fn reachable(&mut self, side: Side) {
        let cluster = self.side_mut(side);
        (cluster.reach, cluster.synced) = (Reach::Reachable, true);
    }
}

fn address(side: Side) -> String {
    if side == Side::Source { "192.0.2.10" } else { "192.0.2.20" }.to_owned()
}

fn order(spec: &Value, annotations: &BTreeMap<String, String>, written: Timestamp, editor: &str) -> Order {
    let fields: serde_json::Map<String, Value> =
        annotations.keys().map(|name| (format!("f:{name}"), json!({}))).collect();
    let entry = |manager: &str, fields: Value| json!({"manager": manager, "operation": "Update", "time": seconds(written), "fieldsV1": fields});
    let mut managed = vec![entry("kubectl-annotate", json!({"f:metadata": {"f:annotations": fields}}))];
    if !editor.is_empty() {
        managed.push(entry(editor, json!({ "f:spec": owned(spec) })));
    }
    let migration: NamespaceMigration = serde_json::from_value(json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
        "metadata": {
            "name": "shop", "namespace": "shop", "generation": 1, "annotations": annotations, "managedFields": managed,
        },
        "spec": spec,
    }))
    .unwrap();
    let pair: ClusterPair = serde_json::from_value(pair()).unwrap();
    let home = Home { identity: SOURCE.into(), operator_namespace: "namespace-migration".into() };
    Order::parse(&migration, &pair, &home).unwrap()
}

/// The fields of a spec as `managedFields` has them. Lists are owned as a whole.
fn owned(spec: &Value) -> Value {
    let fields = spec.as_object().into_iter().flatten();
    let fields: serde_json::Map<_, _> = fields.map(|(name, value)| (format!("f:{name}"), owned(value))).collect();
    Value::Object(fields)
}

pub fn pair() -> Value {
    let side = |identity: &str, colour: &str, prefix: &str| {
        json!({
            "connection": {"kubeconfig": {"secretName": colour}}, "identity": identity, "colour": colour,
            "externalDNS": {"annotationPrefix": prefix},
        })
    };
    json!({
        "apiVersion": "namespacemigration.io/v1alpha1", "kind": "ClusterPair", "metadata": {"name": "old-to-new"},
        "spec": {
            "source": side(SOURCE, "blue", "external-dns.alpha.kubernetes.io/"),
            "target": side(TARGET, "green", "external-dns.kubernetes.io/"),
        },
    })
}
