//! Asks one round of questions: each load balancer's name is resolved once, then everything is asked at its address.

use std::collections::{BTreeMap, BTreeSet};

use futures::StreamExt as _;

use super::address::{AddressError, AddressPolicy, PinnedAddress};
use super::entrance::Entrance;
use super::http::{Answer, FailureKind, HttpProber, Probe, Scheme};
use super::plan::{AT_A_TIME, ProbePlan, ProbeTarget};
use crate::causes::whole;
use crate::cluster::connection::cluster_side;
use crate::dns::Resolver;
use crate::machine::Side;
use crate::metrics::{Metrics, ProbeLabels};

/// Asks by one plan. It is kept from round to round: roots are not read again for each.
pub(super) struct Asker {
    roots: String,
    timeout: std::time::Duration,
    prober: HttpProber,
    resolver: Resolver,
    metrics: Metrics,
}

impl Asker {
    /// Reads the roots. The error is a sentence for a person.
    pub(super) fn new(plan: &ProbePlan, resolver: &Resolver, metrics: &Metrics) -> Result<Self, String> {
        let roots = Some(plan.roots.as_str()).filter(|roots| !roots.trim().is_empty());
        let prober = HttpProber::new(roots, plan.timeout).map_err(|error| whole(&error))?;
        let (resolver, metrics) = (resolver.clone(), metrics.clone());
        Ok(Self { roots: plan.roots.clone(), timeout: plan.timeout, prober, resolver, metrics })
    }

    /// Whether it still asks as the plan wants it.
    pub(super) fn fits(&self, plan: &ProbePlan) -> bool {
        self.roots == plan.roots && self.timeout == plan.timeout
    }

    /// The answers of the source and the target to each question of the plan, in its order.
    pub(super) async fn round(&self, plan: &ProbePlan) -> Result<Vec<(Answer, Answer)>, String> {
        let pins = Pins::resolve(plan, &self.resolver).await?;
        let questions: Vec<_> = plan.targets.iter().map(|target| self.both(plan, &pins, target)).collect();
        Ok(futures::stream::iter(questions).buffered(AT_A_TIME).collect().await)
    }

    async fn both(&self, plan: &ProbePlan, pins: &Pins, target: &ProbeTarget) -> (Answer, Answer) {
        futures::join!(self.one(plan, pins, target, Side::Source), self.one(plan, pins, target, Side::Target))
    }

    async fn one(&self, plan: &ProbePlan, pins: &Pins, target: &ProbeTarget, side: Side) -> Answer {
        let address = match pins.of(target, side) {
            Ok(address) => address,
            Err(answer) => return answer,
        };
        let ports = plan.ports(side);
        let port = if target.scheme == Scheme::Https { ports.https } else { ports.http };
        let probe =
            Probe { scheme: target.scheme, host: target.host.clone(), port, path: target.path.clone(), address };
        let answer = where_it_was(self.prober.probe(&probe).await, target, side);
        self.metrics.probes.get_or_create(&ProbeLabels { side: cluster_side(side), outcome: answer.outcome() }).inc();
        answer
    }
}

/// A failure at an address that the Ingress does not name any more says so.
fn where_it_was(answer: Answer, target: &ProbeTarget, side: Side) -> Answer {
    match (answer, side.pick(&target.source, &target.target)) {
        (Answer::Failed { kind, message }, entrance @ Entrance::Last(_)) => {
            let gone = entrance.trouble(&target.ingress, side);
            failed(kind, format!("{message}; {gone} any more, so that it was asked where it was last"))
        }
        (answer, _) => answer,
    }
}

/// Where each load balancer is in this round, or why it cannot be asked.
struct Pins(BTreeMap<String, Result<PinnedAddress, Answer>>);

impl Pins {
    async fn resolve(plan: &ProbePlan, resolver: &Resolver) -> Result<Self, String> {
        let policy = policy(plan)?;
        let sides = plan.targets.iter().flat_map(|target| [&target.source, &target.target]);
        let names: BTreeSet<_> = sides.filter_map(Entrance::chosen).collect();
        let lookups: Vec<_> = names.into_iter().map(|name| pin(&policy, resolver, name, plan.timeout)).collect();
        Ok(Self(futures::stream::iter(lookups).buffer_unordered(AT_A_TIME).collect().await))
    }

    fn of(&self, target: &ProbeTarget, side: Side) -> Result<PinnedAddress, Answer> {
        let entrance = side.pick(&target.source, &target.target);
        let Some(name) = entrance.chosen() else {
            let kind = if *entrance == Entrance::NotSeen { FailureKind::NotAsked } else { FailureKind::Other };
            return Err(failed(kind, entrance.trouble(&target.ingress, side)));
        };
        self.0
            .get(name)
            .cloned()
            .unwrap_or_else(|| Err(failed(FailureKind::NotAsked, format!("{name} was not resolved in this round"))))
    }
}

fn policy(plan: &ProbePlan) -> Result<AddressPolicy, String> {
    let allowed = plan.allowed.iter().map(|range| {
        range.parse().map_err(|_| format!("{range} in probes.allowedAddresses of the ClusterPair is not a CIDR range"))
    });
    Ok(AddressPolicy::new(allowed.collect::<Result<_, _>>()?))
}

async fn pin(
    policy: &AddressPolicy,
    resolver: &Resolver,
    name: &str,
    within: std::time::Duration,
) -> (String, Result<PinnedAddress, Answer>) {
    let found = policy.resolve(resolver, name, within).await;
    (name.to_owned(), found.map_err(|error| failed(kind(&error), whole(&error))))
}

/// What may not be asked says nothing of the service: an administrator's edit must not send users back.
fn kind(error: &AddressError) -> FailureKind {
    match error {
        AddressError::Restricted { .. } | AddressError::Never { .. } => FailureKind::NotAsked,
        AddressError::Unresolved { .. } | AddressError::Timeout { .. } | AddressError::Empty { .. } => {
            FailureKind::Other
        }
    }
}

fn failed(kind: FailureKind, message: String) -> Answer {
    Answer::Failed { kind, message }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rig::dns_server::DnsServer;
    use rig::route53::balancers::elb_name;

    use super::*;
    use crate::probe::judge::Thresholds;
    use crate::probe::plan::Ports;

    fn plan(allowed: &[&str], source: Option<&[&str]>, target: Option<&[&str]>) -> ProbePlan {
        let at = |names: Option<&[&str]>| {
            names.map_or(Entrance::NotSeen, |names| Entrance::At(names.iter().map(ToString::to_string).collect()))
        };
        ProbePlan {
            interval: Duration::from_secs(10),
            timeout: Duration::from_secs(5),
            thresholds: Thresholds { success: 1, failure: 1 },
            roots: String::new(),
            allowed: allowed.iter().map(ToString::to_string).collect(),
            source_ports: Ports { http: 1, https: 1 },
            target_ports: Ports { http: 1, https: 1 },
            targets: vec![ProbeTarget {
                name: "http://a.example/".into(),
                ingress: "web".into(),
                scheme: Scheme::Http,
                host: "a.example".into(),
                path: "/".into(),
                has_certificate: false,
                statuses: vec![],
                source: at(source),
                target: at(target),
            }],
        }
    }

    async fn kinds(plan: ProbePlan) -> (FailureKind, FailureKind) {
        kinds_by(&Resolver::default(), plan).await
    }

    async fn kinds_by(resolver: &Resolver, plan: ProbePlan) -> (FailureKind, FailureKind) {
        let asker = Asker::new(&plan, resolver, &Metrics::default()).unwrap();
        match asker.round(&plan).await.unwrap().remove(0) {
            (Answer::Failed { kind: source, .. }, Answer::Failed { kind: target, .. }) => (source, target),
            other => panic!("{other:?}"),
        }
    }

    #[tokio::test]
    async fn only_what_was_asked_may_fail() {
        use FailureKind::{NotAsked, Other, Refused};
        let loopback = &["127.0.0.0/8"][..];
        assert_eq!(kinds(plan(loopback, Some(&["127.0.0.1"]), None)).await, (Refused, NotAsked));
        assert_eq!(kinds(plan(loopback, Some(&["127.0.0.1"]), Some(&[]))).await, (Refused, Other));
        assert_eq!(kinds(plan(&[], Some(&["127.0.0.1"]), Some(&["169.254.169.254"]))).await, (NotAsked, NotAsked));
    }

    /// A name server of the rig that knows these load balancers.
    async fn knowing(balancers: &[(&str, &[&str])]) -> DnsServer {
        let server = DnsServer::start(rig::dns_server::Options::default()).await.unwrap();
        for (name, addresses) in balancers {
            let addresses = addresses.iter().map(|address| address.parse().unwrap());
            server.surroundings().name_balancer(&elb_name(name), addresses);
        }
        server
    }

    #[tokio::test]
    async fn names_that_the_given_resolver_knows_are_asked_at_addresses_that_the_rules_allow() {
        use FailureKind::{NotAsked, Other, Refused};
        let server =
            knowing(&[("good", &["127.0.0.1"]), ("mixed", &["127.0.0.1", "169.254.169.254"]), ("gone", &[])]).await;
        let resolver = Resolver::new(&[server.address()]);
        let [good, mixed, gone] = ["good", "mixed", "gone"].map(elb_name);
        let asked = async |source: &str, target: &str| {
            kinds_by(&resolver, plan(&["127.0.0.0/8"], Some(&[source]), Some(&[target]))).await
        };
        assert_eq!(asked(&good, &mixed).await, (Refused, NotAsked), "one address that is forbidden refuses all");
        assert_eq!(asked(&gone, "nobody.elb.eu-west-2.amazonaws.com").await, (Other, Other));
        assert_eq!(kinds_by(&resolver, plan(&[], Some(&[&good]), None)).await, (NotAsked, NotAsked));
    }

    #[tokio::test]
    async fn while_a_status_names_no_address_the_load_balancer_is_asked_where_it_was() {
        let (loopback, here) = (&["127.0.0.0/8"][..], Some(&["127.0.0.1"][..]));
        let before = plan(loopback, here, here);
        let blinks = plan(loopback, here, Some(&[])).after(&before);
        assert_eq!(kinds(blinks.clone()).await, (FailureKind::Refused, FailureKind::Refused));
        let asker = Asker::new(&blinks, &Resolver::default(), &Metrics::default()).unwrap();
        let (_, target) = asker.round(&blinks).await.unwrap().remove(0);
        let Answer::Failed { message, .. } = target else { panic!("{target:?}") };
        let told =
            "Ingress web has no load balancer address on the target any more, so that it was asked where it was last";
        assert!(message.ends_with(told), "{message}");
    }
}
