//! How both external-dns run, by their Deployments where the ClusterPair names them, else as it says: what would hold a move half way,
//! or take its records away, is refused before.

use jiff::SignedDuration;

use super::{Check, Facts, Found, moving};
use crate::api::status::{Finding, Severity};
use crate::machine::external_dns::{self, DeploymentSight, ExternalDnsView};
use crate::machine::observed::{IngressFacts, Observed, Side};
use crate::machine::order::Order;
use crate::machine::published::{self, Aliases};
use crate::machine::run::words;
use crate::machine::version::Version;

pub(super) const CHECKS: [Check; 7] = [
    ("ExternalDNSOwner", "Both external-dns have one owner id, or one notes no owners.", owner),
    ("ExternalDNSPolicy", "An external-dns does not change records, or not from simple to weighted.", policy),
    ("ExternalDNSPrefix", "An external-dns reads other annotations than the ClusterPair says.", prefix),
    ("ExternalDNSProvider", "An external-dns writes to another provider than AWS.", provider),
    ("ExternalDNSInterval", "An external-dns looks less often than the ClusterPair says.", interval),
    ("ExternalDNSFilters", "An external-dns leaves out an Ingress or a host that moves.", filters),
    ("ExternalDNSKinds", "One external-dns publishes a kind of record that the other leaves out.", record_kinds),
];

const SIDES: [Side; 2] = [Side::Source, Side::Target];

fn blocker(message: String, fix: String) -> Option<Found> {
    Some(Found { message, fix, acceptable: false, objects: vec![] })
}

fn view(facts: Facts<'_>, side: Side) -> &ExternalDnsView {
    facts.observed.dns.external_dns(side)
}

/// Where both have one owner id, or one keeps no owners at all, each takes the other's records for its own and removes them.
fn owner(facts: Facts<'_>) -> Option<Found> {
    if let Some(side) = SIDES.into_iter().find(|side| view(facts, *side).registry.as_deref() == Some("noop")) {
        return blocker(
            format!(
                "The external-dns of the {side} notes no owners (--registry=noop): it takes every record for its own, also the other side's."
            ),
            format!("Run the {side}'s external-dns with --registry=txt and a --txt-owner-id of its own."),
        );
    }
    let owner = |side: Side| external_dns::owner(facts.order, view(facts, side), side);
    let same = owner(Side::Source).filter(|source| owner(Side::Target) == Some(*source))?;
    let by = |side: Side| if view(facts, side).owner.is_some() { "its Deployment" } else { "the ClusterPair" };
    let message = format!(
        "Both external-dns have the owner id {same} (the source's by {}, the target's by {}): each takes the other's records for its own, and \
         removes them.",
        by(Side::Source),
        by(Side::Target)
    );
    blocker(message, external_dns::one_owner_fix(&facts.order.pair))
}

/// Who only creates follows no weight. Who does not delete makes no simple record weighted.
fn policy(facts: Facts<'_>) -> Option<Found> {
    SIDES.into_iter().find_map(|side| {
        let view = view(facts, side);
        if view.dry_run {
            let message =
                format!("The external-dns of the {side} runs with --dry-run: it prints changes instead of making them.");
            return blocker(message, format!("Run the {side}'s external-dns without --dry-run."));
        }
        let why = match external_dns::policy(facts.order, view, side)?.as_str() {
            "create-only" => "it never changes a record that is there, so no weight would reach DNS",
            "upsert-only" if side == Side::Source && has_simple_records(facts) => {
                "it never makes a simple record weighted, so the move would stop at its first step"
            }
            _ => return None,
        };
        let policy = external_dns::policy(facts.order, view, side)?;
        let by = if view.policy.is_some() { "by its Deployment" } else { "by the ClusterPair" };
        let message = format!("The external-dns of the {side} runs with --policy={policy} ({by}): {why}.");
        let pair = &facts.order.pair;
        blocker(
            message,
            format!(
                "Run the {side}'s external-dns with --policy=sync, and say so in spec.{side}.externalDNS.policy of ClusterPair {pair}."
            ),
        )
    })
}

/// Weights reach DNS all the same; what a rollback has to take out of it does not. A hint: nobody is moved by it.
pub(super) fn never_deletes(order: &Order, observed: &Observed) -> Option<Finding> {
    let view = observed.dns.external_dns(Side::Target);
    external_dns::policy(order, view, Side::Target).filter(|policy| *policy == "upsert-only")?;
    Some(Finding {
        check: "ExternalDNSNeverDeletes".to_owned(),
        severity: Severity::Info,
        objects: vec![],
        message: "The external-dns of the target runs with --policy=upsert-only: weights reach DNS, but no record is ever taken away. After a \
                  rollback the target's records stay, with weight 0; one that were alone in its kind would keep its users."
            .to_owned(),
        fix: "Run the target's external-dns with --policy=sync; or remove such records by hand after a rollback.".to_owned(),
    })
}

/// An Ingress with identifier and weight has a weighted record already.
fn has_simple_records(facts: Facts<'_>) -> bool {
    moving(facts.order, facts.observed).any(|(_, ingress)| ingress.identifier.is_none() || ingress.weight().is_none())
}

/// A target Ingress that is there already is published before the source's record is weighted. Route 53 refuses it until then, which an
/// old external-dns does not keep apart from the other records of the zone.
pub(super) fn version(facts: Facts<'_>) -> Option<Found> {
    let name = refused_at_first(facts.order, facts.observed)?;
    let found =
        known_version(facts.order, facts.observed).filter(|version| *version < Version::KEEPS_REFUSALS_APART)?;
    let (first, pair) = (Version::KEEPS_REFUSALS_APART, &facts.order.pair);
    let message = format!(
        "The external-dns of the target is {found}. Ingress {name} is on the target already, and Route 53 refuses its record until the \
         source's is weighted; before {first} one refusal can keep every other record of the zone from being changed."
    );
    let fix = format!(
        "Run {first} or newer on the target and say so in spec.target.externalDNS.version of ClusterPair {pair}; or take Ingress {name} off \
         the target until the source's record is weighted."
    );
    blocker(message, fix)
}

/// A hint where that cannot be told.
pub(super) fn unknown_version(order: &Order, observed: &Observed) -> Option<Finding> {
    let name = refused_at_first(order, observed).filter(|_| known_version(order, observed).is_none())?;
    let first = Version::KEEPS_REFUSALS_APART;
    Some(Finding {
        check: "ExternalDNSVersion".to_owned(),
        severity: Severity::Info,
        objects: vec![],
        message: format!(
            "Ingress {name} is on the target already, and Route 53 refuses its record until the source's is weighted. Before {first} one \
             refusal can keep every other record of the zone from being changed; the version of the target's external-dns is not known."
        ),
        fix: format!(
            "See that it is {first} or newer, and say it in spec.target.externalDNS.version of ClusterPair {}.",
            order.pair
        ),
    })
}

fn known_version(order: &Order, observed: &Observed) -> Option<Version> {
    observed.dns.target.version.or(order.target.version)
}

/// An Ingress of the target that is there before the source's record is a weighted one.
fn refused_at_first<'a>(order: &'a Order, observed: &'a Observed) -> Option<&'a String> {
    let simple = moving(order, observed).filter(|(_, source)| source.identifier.is_none());
    simple.map(|(name, _)| name).find(|name| observed.target.ingresses.contains_key(*name))
}

fn prefix(facts: Facts<'_>) -> Option<Found> {
    let (side, seen) = SIDES.into_iter().find_map(|side| {
        let seen = view(facts, side).annotation_prefix.as_ref()?;
        (*seen != facts.order.rules(side).annotation_prefix).then_some((side, seen))
    })?;
    let (declared, pair) = (&facts.order.rules(side).annotation_prefix, &facts.order.pair);
    let message = format!(
        "The external-dns of the {side} reads annotations that begin with {seen}, by its Deployment; ClusterPair {pair} says {declared}, and \
         weights that are written under it would never reach DNS."
    );
    blocker(
        message,
        format!(
            "Mend spec.{side}.externalDNS.annotationPrefix of ClusterPair {pair}, or --annotation-prefix of the {side}'s external-dns."
        ),
    )
}

fn provider(facts: Facts<'_>) -> Option<Found> {
    let (side, provider) = SIDES.into_iter().find_map(|side| {
        let provider = view(facts, side).provider.as_ref().filter(|provider| *provider != "aws")?;
        Some((side, provider))
    })?;
    let message = format!(
        "The external-dns of the {side} publishes to {provider} (--provider), by its Deployment. Other providers than AWS treat weights by \
         other rules, and are not supported."
    );
    let pair = &facts.order.pair;
    blocker(
        message,
        format!(
            "Name the Deployment that publishes to Route 53 in spec.{side}.externalDNS.deployment of ClusterPair {pair}."
        ),
    )
}

/// How long a pass may take that has read an older weight is reckoned by the interval.
fn interval(facts: Facts<'_>) -> Option<Found> {
    let (side, seen) = SIDES.into_iter().find_map(|side| {
        let seen = view(facts, side).interval.filter(|seen| *seen > facts.order.dns.follow.interval)?;
        Some((side, seen))
    })?;
    let (pair, declared) = (&facts.order.pair, facts.order.rules(side).interval);
    let message = format!(
        "The external-dns of the {side} looks every {} (--interval), by its Deployment; ClusterPair {pair} says {}, which is too short to \
         wait for DNS by.",
        words(seen),
        words(declared)
    );
    let fix = format!(
        "Set spec.{side}.externalDNS.interval of ClusterPair {pair} to {}, or acknowledge ExternalDNSInterval if it looks at events \
         (--events).",
        words(seen)
    );
    Some(Found { message, fix, acceptable: true, objects: vec![] })
}

/// What an external-dns leaves out has no record that a weight could move.
fn filters(facts: Facts<'_>) -> Option<Found> {
    let order = facts.order;
    let (side, name, why) = SIDES.into_iter().find_map(|side| {
        let filters = &view(facts, side).filters;
        moving(order, facts.observed).find_map(|(name, source)| {
            let of_side = facts.observed.side(side).ingresses.get(name);
            // Of an Ingress that is not on the target yet only the hosts are known.
            let why = match of_side {
                Some(ingress) => filters.leave_out(&order.namespace, name, ingress),
                None => source.hosts.iter().find_map(|host| filters.leave_out_host(host)),
            };
            Some((side, name, why?))
        })
    })?;
    let message = format!(
        "The external-dns of the {side} leaves Ingress {name} out, by its Deployment: {why}. A host that it does not publish cannot be \
         shifted."
    );
    let fix = format!(
        "Mend the filter of the {side}'s external-dns, or leave the Ingress out (spec.ingresses.exclude). If another external-dns \
         publishes it, name that one in spec.{side}.externalDNS.deployment of ClusterPair {}; or acknowledge ExternalDNSFilters.",
        order.pair
    );
    Some(Found { message, fix, acceptable: true, objects: vec![] })
}

/// Shares are computed within a kind of record: one that only one side has gets every answer of its kind, whatever its weight.
fn record_kinds(facts: Facts<'_>) -> Option<Found> {
    let known = |side: Side| external_dns::kinds(facts.order, view(facts, side), side);
    let (of_source, of_target) = (known(Side::Source)?, known(Side::Target)?);
    let (name, kind) = moving(facts.order, facts.observed).find_map(|(name, source)| {
        let at = |ingress: &IngressFacts| published::kinds(&ingress.addresses, Aliases::OfBoth);
        let on_target = facts.observed.target.ingresses.get(name).map(at).unwrap_or_default();
        // Of a target that is not there yet it is supposed that its load balancer is like the source's.
        let mut kinds = at(source).into_iter().chain(on_target);
        Some((name, kinds.find(|kind| of_source.contains(kind) != of_target.contains(kind))?))
    })?;
    let has = if of_source.contains(&kind) { Side::Source } else { Side::Target };
    let (lacks, kind, pair) = (has.other(), kind.name(), &facts.order.pair);
    let message = format!(
        "The external-dns of the {has} publishes {kind} records and that of the {lacks} does not (--exclude-record-types, \
         --managed-record-types). At a host of Ingress {name} the {has}'s would be alone in its kind, and get every {kind} answer at any \
         weight."
    );
    let fix = format!(
        "Let both publish the same kinds, and say so in externalDNS.recordTypes of both sides of ClusterPair {pair} where it names no \
         Deployment; or acknowledge ExternalDNSKinds if Ingress {name} has no {kind} record."
    );
    Some(Found { message, fix, acceptable: true, objects: vec![] })
}

/// What is good to know: where the ClusterPair says otherwise than a Deployment, which then counts, and a Deployment that tells nothing.
pub(super) fn told(order: &Order, observed: &Observed) -> impl Iterator<Item = Finding> {
    let infos: Vec<_> = SIDES
        .into_iter()
        .filter_map(|side| {
            let view = observed.dns.external_dns(side);
            unread(order, side, view).or_else(|| differs(order, side, view))
        })
        .collect();
    let (messages, fixes): (Vec<_>, Vec<_>) = infos.into_iter().unzip();
    let finding = || Finding {
        check: "ExternalDNS".to_owned(),
        severity: Severity::Info,
        objects: vec![],
        message: messages.join(" "),
        fix: fixes.join(" "),
    };
    (!messages.is_empty()).then(finding).into_iter()
}

fn unread(order: &Order, side: Side, view: &ExternalDnsView) -> Option<(String, String)> {
    let pair = &order.pair;
    match &view.deployment {
        DeploymentSight::Gone { name } => Some((
            format!("The Deployment {name} that ClusterPair {pair} names as the {side}'s external-dns is not there."),
            format!("Mend spec.{side}.externalDNS.deployment of ClusterPair {pair}."),
        )),
        DeploymentSight::Refused { name, why } => Some((
            format!(
                "The Deployment {name} of the {side}'s external-dns may not be read, so that less can be told if DNS does not follow: {why}."
            ),
            format!("Let the operator list and watch the Deployment {name} on the {side}."),
        )),
        DeploymentSight::NotNamed | DeploymentSight::Unread | DeploymentSight::Seen { .. } => None,
    }
}

fn differs(order: &Order, side: Side, view: &ExternalDnsView) -> Option<(String, String)> {
    let (rules, pair) = (order.rules(side), &order.pair);
    let differ = |field: &str, declared: Option<&String>, seen: Option<&String>| {
        let (declared, seen) = (declared?, seen?);
        (declared != seen).then(|| format!("{field} is {declared}, by its Deployment {seen}"))
    };
    let shorter = |declared: SignedDuration| view.interval.filter(|seen| *seen < declared);
    let declared = rules.interval;
    let all = [
        differ("ownerID", rules.owner_id.as_ref(), view.owner.as_ref()),
        differ("policy", rules.policy.as_ref(), view.policy.as_ref()),
        differ("txtPrefix", rules.txt_prefix.as_ref(), view.txt_prefix.as_ref()),
        differ("txtSuffix", rules.txt_suffix.as_ref(), view.txt_suffix.as_ref()),
        shorter(declared).map(|seen| format!("interval is {}, by its Deployment {}", words(declared), words(seen))),
    ];
    let all: Vec<_> = all.into_iter().flatten().collect();
    (!all.is_empty()).then(|| {
        (
            format!(
                "ClusterPair {pair} says otherwise of the {side}'s external-dns than its Deployment, which counts: {}.",
                all.join("; ")
            ),
            format!("Mend spec.{side}.externalDNS of ClusterPair {pair}."),
        )
    })
}
