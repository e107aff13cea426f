//! PURE. The checks before the move: an ordered chain of small questions about what was observed.

mod both;
mod capacity;
mod certificates;
mod checks;
mod dying;
mod external_dns;
mod identity;
mod images;
mod ownership;
mod permissions;
mod quantity;
mod references;
mod routing;
mod running_twice;
mod state;
mod told;
mod unread;
mod versions;

use both::Both;

use crate::api::status::{Finding, Severity};
use crate::machine::neighbours::Neighbours;
use crate::machine::observed::{IngressFacts, Observed, Side};
use crate::machine::order::Order;

pub use permissions::{home_gap, lacks_rights};

/// The name of the check of the operator's rights.
pub const PERMISSIONS: &str = "Permissions";

/// The name of the check of the hosts that the pair lets move.
pub const HOST_NOT_ALLOWED: &str = "HostNotAllowed";

/// The name of what is told where the operator lives on the target.
const HOME_ON_TARGET: &str = "HomeOnTarget";

/// The name of what is told where the Ingresses of other namespaces may not be listed.
pub const OTHER_NAMESPACES_UNSEEN: &str = "OtherNamespacesUnseen";

/// What every check may look at.
#[derive(Clone, Copy, Debug)]
struct Facts<'a> {
    order: &'a Order,
    observed: &'a Observed,
}

/// What a check found, before it is known whether it was acknowledged.
struct Found {
    message: String,
    fix: String,
    /// Whether a person may accept it by name. What would hurt users cannot be accepted.
    acceptable: bool,
    /// The objects that it speaks of.
    objects: Vec<String>,
}

/// A check: its name, as it is acknowledged, what it finds, in a sentence, and its question.
type Check = (&'static str, &'static str, fn(Facts<'_>) -> Option<Found>);

/// A question about what is in the namespace on both sides: its name, how grave it is, what it finds, in a sentence, and the question.
/// Whatever it finds may be accepted by name, because only people know the application.
type Question = (&'static str, Severity, &'static str, fn(&Both<'_>) -> Option<Found>);

/// The questions about the inventory. What could not be read comes first, because it limits all others.
const QUESTIONS: [&[Question]; 12] = [
    &unread::QUESTIONS,
    &dying::QUESTIONS,
    &versions::QUESTIONS,
    &state::QUESTIONS,
    &identity::QUESTIONS,
    &references::QUESTIONS,
    &images::QUESTIONS,
    &capacity::QUESTIONS,
    &routing::QUESTIONS,
    &certificates::QUESTIONS,
    &running_twice::QUESTIONS,
    &ownership::QUESTIONS,
];

/// What is told besides, which nothing waits for.
const HINTS: [(&str, &str); 5] = [
    (
        "ExternalDNSVersion",
        "The version of an external-dns is not known, and an old one would not follow weights as the move needs it.",
    ),
    ("ExternalDNSNeverDeletes", "The external-dns of the target never takes a record away, also not after a rollback."),
    (HOME_ON_TARGET, "The operator and the migration live on the target, and would die with it."),
    (
        OTHER_NAMESPACES_UNSEEN,
        "The Ingresses of other namespaces may not be listed, so that who moves them is not seen.",
    ),
    (
        "ExternalDNS",
        "The Deployment of an external-dns is gone, may not be read, or says otherwise than the ClusterPair.",
    ),
];

/// Everything that can be told without an inventory, in its order: name, severity, and what it finds.
pub fn catalogue() -> impl Iterator<Item = (&'static str, Severity, &'static str)> {
    let first =
        checks::CHAIN.iter().chain(&external_dns::CHECKS).map(|(name, finds, _)| (*name, Severity::Blocker, *finds));
    let hints = HINTS.iter().map(|(name, finds)| (*name, Severity::Info, *finds));
    first.chain(hints)
}

/// What can be told besides where an inventory was taken.
pub fn catalogue_of_inventory() -> impl Iterator<Item = (&'static str, Severity, &'static str)> {
    questions().map(|(name, severity, finds, _)| (*name, *severity, *finds))
}

fn questions() -> impl Iterator<Item = &'static Question> {
    QUESTIONS.into_iter().flatten()
}

/// Everything that the checks found, in the order in which it should be read.
pub fn findings(order: &Order, observed: &Observed) -> Vec<Finding> {
    let facts = Facts { order, observed };
    // What cannot be seen is no finding: of a side that shows nothing, only the missing right is told.
    let (chain, publishers) = if is_seen(observed) {
        (checks::CHAIN.as_slice(), external_dns::CHECKS.as_slice())
    } else {
        (checks::BLIND, [].as_slice())
    };
    let found = chain
        .iter()
        .chain(publishers)
        .filter_map(|(name, _, check)| Some(finding(order, name, Severity::Blocker, check(facts)?)));
    let hints = [external_dns::unknown_version(order, observed), external_dns::never_deletes(order, observed)];
    let hints = hints.into_iter().flatten().filter(|_| is_seen(observed));
    let infos = unknown_acknowledgements(order, observed).chain(hints).chain(home_on_target(order));
    let infos = infos.chain(unseen_neighbours(observed));
    found.chain(asked(order, observed)).chain(infos).chain(external_dns::told(order, observed)).collect()
}

fn is_seen(observed: &Observed) -> bool {
    [&observed.source, &observed.target].into_iter().all(|view| view.synced && view.unwatchable.is_none())
}

/// Whether it speaks of the weights that a move begins with; afterwards the weights are the move's own.
pub fn is_of_the_beginning(finding: &Finding) -> bool {
    checks::OF_THE_BEGINNING.contains(&finding.check.as_str())
}

/// What the questions about the inventory find, the gravest first.
fn asked(order: &Order, observed: &Observed) -> Vec<Finding> {
    let Some(inventory) = observed.inventory.as_deref().filter(|_| is_seen(observed)) else { return vec![] };
    let both = Both::new(order, inventory);
    let mut findings: Vec<_> =
        questions().filter_map(|(name, severity, _, ask)| Some(answer(order, name, *severity, ask(&both)?))).collect();
    findings.sort_by_key(|finding| rank(finding.severity));
    findings
}

fn rank(severity: Severity) -> u8 {
    match severity {
        Severity::Blocker => 0,
        Severity::Warning => 1,
        Severity::Acknowledged => 2,
        Severity::Info => 3,
    }
}

/// Where it waits for a person, it says how to accept it.
fn answer(order: &Order, name: &str, severity: Severity, found: Found) -> Finding {
    let accept = format!(" If that is right, name {name} with a reason in spec.preflight.acknowledge.");
    let accept = if severity == Severity::Blocker { accept } else { String::new() };
    finding(order, name, severity, Found { fix: format!("{}{accept}", found.fix), ..found })
}

/// What waits for nobody and warns of nothing needs no acknowledgement.
fn finding(order: &Order, name: &str, severity: Severity, found: Found) -> Finding {
    let reason = order.acknowledged.get(name).filter(|_| found.acceptable && severity != Severity::Info);
    let (severity, fix) = match reason {
        Some(reason) => (Severity::Acknowledged, format!("Acknowledged: {reason}")),
        None => (severity, found.fix),
    };
    Finding { check: name.to_owned(), severity, message: found.message, fix, objects: found.objects }
}

/// An acknowledgement of a check that does not exist is a typing error that would hide the real one.
fn unknown_acknowledgements(order: &Order, observed: &Observed) -> impl Iterator<Item = Finding> {
    let taken = observed.inventory.is_some();
    let known = move |name: &str| {
        catalogue().chain(catalogue_of_inventory().filter(move |_| taken)).any(|(check, ..)| check == name)
    };
    order.acknowledged.keys().filter(move |name| !known(name)).map(|name| Finding {
        check: name.clone(),
        severity: Severity::Info,
        objects: vec![],
        message: format!("There is no check named {name}; the acknowledgement does nothing."),
        fix: "Take it out of spec.preflight.acknowledge, or mend the name.".to_owned(),
    })
}

/// Allowed, but a person must know what is lost.
fn home_on_target(order: &Order) -> Option<Finding> {
    (order.home == order.target.identity).then(|| Finding {
        check: HOME_ON_TARGET.to_owned(),
        severity: Severity::Info,
        objects: vec![],
        message: "The operator and this object live on the target. If the target dies, the operator dies with it: nothing rolls back by \
                  itself, and this object cannot be read."
            .to_owned(),
        fix: "Install the operator on the source or on a third cluster. If the target dies before, take the traffic back by hand: \
              weight 100 on the source's Ingresses."
            .to_owned(),
    })
}

/// Where rights are granted for single namespaces, nobody sees what moves in the others.
fn unseen_neighbours(observed: &Observed) -> Option<Finding> {
    let is_refused = |side: &Side| matches!(observed.side(*side).neighbours, Neighbours::Refused { .. });
    let refused: Vec<_> = [Side::Source, Side::Target].into_iter().filter(is_refused).collect();
    let (first, all) = match refused.as_slice() {
        [] => return None,
        [side] => (side, format!("the {side}")),
        [first, ..] => (first, "both sides".to_owned()),
    };
    Some(Finding {
        check: OTHER_NAMESPACES_UNSEEN.to_owned(),
        severity: Severity::Info,
        objects: vec![],
        message: format!(
            "The operator may not list the Ingresses of all namespaces on {all}: a migration of another operator that moves one of these \
             hosts in another namespace would not be seen."
        ),
        fix: format!(
            "Bind the ClusterRole namespace-migration-{first} of deploy/{first} there for all namespaces, or let one operator move all of \
             them."
        ),
    })
}

/// The Ingresses that move: every one of the source that has a host and is not excluded.
pub fn moving_ingresses<'a>(order: &'a Order, observed: &'a Observed) -> impl Iterator<Item = &'a str> {
    moving(order, observed).map(|(name, _)| name.as_str())
}

fn moving<'a>(order: &'a Order, observed: &'a Observed) -> impl Iterator<Item = (&'a String, &'a IngressFacts)> {
    let ingresses = observed.source.ingresses.iter();
    ingresses.filter(|(name, facts)| !facts.hosts.is_empty() && !order.excluded_ingresses.contains(*name))
}

/// The DNS set identifier of an Ingress: the one that it has, because a live one must never change, or the template's.
pub fn identifier(order: &Order, observed: &Observed, side: Side, name: &str) -> String {
    let existing = observed.side(side).ingresses.get(name).and_then(|facts| facts.identifier.clone());
    existing.filter(|text| !text.is_empty()).unwrap_or_else(|| order.identifier(side, name))
}
