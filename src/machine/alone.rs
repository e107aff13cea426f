//! Kinds of records that only the target has. Shares are computed within a kind, so that such a record gets every answer, also at
//! weight 0: users are on the target before anybody approved, and no weight brings them back.
//!
//! Before the first write it holds. Afterwards everything goes back, and the rollback withholds the target's Ingress from external-dns
//! (`WeightWrite::withheld`): its records go, and the Ingress serves whoever still has its address. Removing it would lose them.

use std::collections::{BTreeMap, BTreeSet};

use super::external_dns;
use super::gate::{self, Place};
use super::health::Verdict;
use super::observed::{IngressFacts, Side};
use super::published::{self, Aliases};
use super::reason::Reason;
use super::records::{Evidence, ListedRecord, RecordKind, ServerAnswers};
use super::run::{Move, Run, Wait};
use super::stuck::Cause;
use super::version::Version;
use crate::api::Stage;
use crate::api::status::PlannedIngress;

/// A source with any weight that we give it would have been among so many answers, whatever the target's weight is.
const ENOUGH_ANSWERS: u32 = 17;

/// Annotations by which an Ingress is published otherwise than by the addresses of its load balancer.
const SAY_OTHERWISE: [&str; 3] = ["alias", "record-type", "target"];

/// A kind that only the target has at a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Alone {
    /// It is in DNS.
    Served(RecordKind),
    /// It will be, by the addresses of the target's load balancer.
    Coming(RecordKind),
    /// The same, but a CNAME is refused beside other kinds.
    Refused(RecordKind),
}

/// Why the kinds at a host do not fit each other, if they do not.
pub(super) fn cause(run: &Run<'_>, place: Place<'_>) -> Option<Cause> {
    at(run, place).map(|alone| alone.cause(run, place))
}

/// Whether the target's Ingress gets, or would get, answers that no weight can take away.
pub(super) fn is_alone(run: &Run<'_>, planned: &PlannedIngress) -> bool {
    let places = gate::places(run).into_iter().filter(|place| place.planned.name == planned.name);
    places.into_iter().any(|place| at(run, place).is_some_and(Alone::gets_users))
}

/// What becomes of a target that we have written and that is alone in a kind.
pub(super) fn respond(run: &Run<'_>) -> Option<Move> {
    if !(Stage::WeightSource..=Stage::Bake).contains(&run.status.stage) {
        return None;
    }
    let ours = gate::places(run).into_iter().filter(|place| run.is_under_way(Side::Target, place.planned));
    let (place, alone) =
        ours.into_iter().find_map(|place| Some((place, at(run, place).filter(|it| it.gets_users())?)))?;
    let Cause { found, fix } = alone.cause(run, place);
    if run.observed.health.verdict(Side::Source) == Verdict::Fail {
        let message = format!("{found} The source fails too, so that nobody is moved.");
        return Some(Wait::new(Reason::DnsBlocked, message).unblocked_by(fix).stalled().into());
    }
    let name = &place.planned.name;
    let controller = format!("{}controller", run.order.target.annotation_prefix);
    let message = format!(
        "{found} Weights cannot help: Ingress {name} on the target is taken away from external-dns by the annotation {controller}, and \
         serves whoever still has its address. The next attempt takes that annotation off. Before it: {fix}"
    );
    Some(Move::RollBack { reason: Reason::DnsBlocked, message })
}

impl Alone {
    fn gets_users(self) -> bool {
        !matches!(self, Self::Refused(_))
    }

    fn cause(self, run: &Run<'_>, place: Place<'_>) -> Cause {
        let host = place.host;
        let (Self::Served(kind) | Self::Coming(kind) | Self::Refused(kind)) = self;
        let kind = kind.name();
        let addresses = run.ingress(Side::Target, place.planned).map(|facts| &facts.addresses);
        let addresses = addresses.into_iter().flatten().cloned().collect::<Vec<_>>().join(", ");
        let found = match self {
            Self::Served(_) => format!(
                "Only the target has records of kind {kind} at {host}: alone in its kind it gets every {kind} answer, also with weight 0."
            ),
            Self::Coming(_) => format!(
                "Only the target would have records of kind {kind} at {host}, by its load balancer {addresses}: alone in its kind it would \
                 get every {kind} answer, also with weight 0."
            ),
            Self::Refused(_) => format!(
                "The target would have a record of kind {kind} at {host}, by its load balancer {addresses}, which Route 53 refuses beside \
                 the source's records of another kind."
            ),
        };
        let fix = format!(
            "Make both external-dns publish the same kinds of records: --exclude-record-types={kind} on the target's, which \
             spec.target.externalDNS.recordTypes of ClusterPair {} then says, or the annotation alias on both Ingresses {}.",
            run.order.pair, place.planned.name
        );
        Cause { found, fix }
    }
}

fn at(run: &Run<'_>, place: Place<'_>) -> Option<Alone> {
    let evidence = run.observed.dns.hosts.get(place.host).map(|view| &view.evidence);
    let served = match evidence {
        Some(Evidence::Listed(records)) => listed_alone(run, place, records),
        Some(Evidence::Answered { servers, .. }) => {
            servers.keys().find(|at| answered_alone(run, place, servers, at)).map(|(_, kind)| *kind)
        }
        None if run.order.dns.is_verified() => return None,
        None => None,
    };
    served.map(Alone::Served).or_else(|| coming(run, place, evidence))
}

/// A kind in which a record of this Ingress is listed and none that is not the target's, beside other kinds that the source has.
fn listed_alone(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> Option<RecordKind> {
    let here = records.iter().filter(|record| gate::is_of_target(run, place, record));
    let kinds: BTreeSet<_> = here.map(|record| record.set.kind).collect();
    kinds.into_iter().find(|kind| gate::is_only_targets(run, place.host, records, *kind))
}

fn kinds_of_others(run: &Run<'_>, place: Place<'_>, records: &[ListedRecord]) -> BTreeSet<RecordKind> {
    let others = records.iter().filter(|record| !gate::is_targets(run, place.host, record));
    others.map(|record| record.set.kind).collect()
}

type Servers = BTreeMap<(String, RecordKind), ServerAnswers>;

/// Whether it is a kind in which a server has answered with the target and never with the source, while the target is to have nobody.
fn answered_alone(run: &Run<'_>, place: Place<'_>, servers: &Servers, (server, kind): &(String, RecordKind)) -> bool {
    let begins = matches!(run.status.stage, Stage::PublishTarget | Stage::SmokeTest);
    let has = |answers: &ServerAnswers, side: Side| {
        let addresses = gate::addresses(run, place, side);
        answers.seen.iter().any(|(address, seen)| addresses.contains(address) && seen.last >= run.stage_since())
    };
    let of_server = || servers.iter().filter(|((at, _), _)| at == server);
    let is_alone = |answers: &ServerAnswers| {
        has(answers, Side::Target) && !has(answers, Side::Source) && answers.answers >= ENOUGH_ANSWERS
    };
    begins
        && of_server().any(|(_, answers)| has(answers, Side::Source))
        && of_server().any(|((_, of), answers)| of == kind && is_alone(answers))
}

/// A kind that the target's load balancer will be published with and that the source does not have. Where it is not known which kinds
/// the target's external-dns publishes, it leaves out what the source's leaves out.
fn coming(run: &Run<'_>, place: Place<'_>, evidence: Option<&Evidence>) -> Option<Alone> {
    let target = expected(run, Side::Target, place.planned)?;
    let by_address = expected(run, Side::Source, place.planned);
    let (source, left_out) = match evidence {
        Some(Evidence::Listed(records)) => {
            // What the source has lost it still is expected to have.
            let listed = &kinds_of_others(run, place, records) | &gate::remembered(run, place.host);
            let left_out = by_address
                .filter(|_| {
                    external_dns::kinds(run.order, run.observed.dns.external_dns(Side::Target), Side::Target).is_none()
                })
                .unwrap_or_default();
            (listed.clone(), left_out.difference(&listed).copied().collect())
        }
        _ => (by_address?, BTreeSet::new()),
    };
    if may_be_names(run, place.planned, &source) {
        return None;
    }
    let mut only = target.into_iter().filter(|kind| !source.contains(kind) && !left_out.contains(kind));
    let kind = only.next().filter(|_| !source.is_empty())?;
    let clashes = kind == RecordKind::Cname || source.contains(&RecordKind::Cname);
    Some(if clashes { Alone::Refused(kind) } else { Alone::Coming(kind) })
}

/// Whether both may publish the names of their load balancers as CNAME: nobody says that the target's external-dns does not.
fn may_be_names(run: &Run<'_>, planned: &PlannedIngress, source: &BTreeSet<RecordKind>) -> bool {
    let by_name = run.ingress(Side::Target, planned).map(|facts| published::kinds(&facts.addresses, Aliases::Never));
    let is_told = run.observed.dns.target.prefers_cname.is_some();
    !is_told && source.contains(&RecordKind::Cname) && by_name.is_some_and(|kinds| kinds.is_subset(source))
}

/// The kinds of records that an Ingress is published with. None where that is not known: it has no address yet, or says otherwise.
fn expected(run: &Run<'_>, side: Side, planned: &PlannedIngress) -> Option<BTreeSet<RecordKind>> {
    let facts = run.ingress(side, planned).filter(|facts| !facts.addresses.is_empty())?;
    if says_otherwise(facts, &run.order.rules(side).annotation_prefix) {
        return None;
    }
    let told = external_dns::kinds(run.order, run.observed.dns.external_dns(side), side);
    let kinds = published::kinds(&facts.addresses, aliases(run, side)).into_iter();
    Some(kinds.filter(|kind| told.as_ref().is_none_or(|told| told.contains(kind))).collect())
}

fn aliases(run: &Run<'_>, side: Side) -> Aliases {
    let view = run.observed.dns.external_dns(side);
    let version = view.version.or(run.order.rules(side).version);
    match view.prefers_cname {
        Some(true) => Aliases::Never,
        _ if version.is_none_or(|version| version >= Version::HAS_AAAA_TWINS) => Aliases::OfBoth,
        _ => Aliases::OfA,
    }
}

fn says_otherwise(facts: &IngressFacts, prefix: &str) -> bool {
    SAY_OTHERWISE.iter().any(|name| facts.annotation_names.contains(&format!("{prefix}{name}")))
}
