//! The lock on a host across operators that do not know each other: the running stamps of other migrations on Ingresses of other
//! namespaces.
//!
//! Whoever comes later sees the first one's stamp in Preflight, and waits. Two that came at one moment have both stamped before either
//! looks once more, so that at least one sees the other: the one whose owner comes later in the alphabet goes back, the other waits for
//! that. Nobody has moved a user by then.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::by_hand;
use super::gate;
use super::observed::Side;
use super::reason::Reason;
use super::run::{Move, Run, Wait};
use crate::preflight;

/// Nothing tells when another migration has ended: it is looked for again after this time.
pub const LOOKED_FOR_AGAIN: SignedDuration = SignedDuration::from_secs(30);

/// What is known of the Ingresses of all namespaces of one cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Neighbours {
    /// They were not listed.
    #[default]
    NotAsked,
    /// The operator may not list them.
    Refused {
        /// When they were asked for.
        at: Timestamp,
    },
    /// They could not be listed.
    Unknown {
        /// When it was tried.
        at: Timestamp,
        /// What happened.
        why: String,
    },
    /// They were listed.
    Known {
        /// When the listing began.
        read_at: Timestamp,
        /// Those that a migration moves.
        moving: Vec<Neighbour>,
    },
}

/// An Ingress with a running stamp.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Neighbour {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The hosts of its rules.
    pub hosts: BTreeSet<String>,
    /// Who moves it.
    pub owner: String,
}

/// A wait while another migration moves one of our hosts, or nobody knows yet whether one does.
pub(super) fn in_front(run: &Run<'_>) -> Option<Wait> {
    rival(run).map(|rival| rival.wait(run)).or_else(|| unlisted(run, Timestamp::MIN))
}

/// The answer to another migration that has come to one of our hosts at the same moment. Asked when our own stamps are there.
pub(super) fn yields(run: &Run<'_>) -> Option<Move> {
    let rival = rival(run)?;
    if rival.neighbour.owner > run.order.owner {
        return Some(rival.wait(run).into());
    }
    let message = format!("{} Both have begun at one moment, and this one gives way.", rival.said());
    Some(Move::RollBack { reason: Reason::OwnedByAnother, message })
}

/// A wait until both sides have been listed, at this time or later. Where the operator may not look, Preflight has said so.
pub(super) fn unlisted(run: &Run<'_>, since: Timestamp) -> Option<Wait> {
    [Side::Source, Side::Target].into_iter().find_map(|side| unlisted_side(run, side, since))
}

fn unlisted_side(run: &Run<'_>, side: Side, since: Timestamp) -> Option<Wait> {
    let view = run.view(side);
    let said = format!("The Ingresses of the {side} are being listed, for other migrations at the hosts that move");
    match &view.neighbours {
        Neighbours::Refused { .. } => None,
        Neighbours::Known { read_at, .. } if *read_at >= since => None,
        Neighbours::Unknown { why, .. } => {
            let message = format!("{said}, which failed: {why}.");
            let wait = Wait::new(Reason::ConnectingToClusters, message)
                .unblocked_by(format!("Look at the {side}'s API server; they are listed again by themselves."));
            Some(wait.looking_again_at(again(run)))
        }
        Neighbours::NotAsked if !view.synced || view.unwatchable.is_some() => None,
        older => {
            // A clock that was set back makes what is listed now older than what was written.
            let at = if *older == Neighbours::NotAsked { run.now } else { gate::soon(run) };
            Some(Wait::new(Reason::ConnectingToClusters, format!("{said}.")).looking_again_at(at))
        }
    }
}

fn again(run: &Run<'_>) -> Timestamp {
    run.now.saturating_add(LOOKED_FOR_AGAIN).unwrap_or(run.now)
}

/// Another migration at one of our hosts.
struct Rival<'a> {
    side: Side,
    host: &'a str,
    neighbour: &'a Neighbour,
}

fn rival<'a>(run: &'a Run<'_>) -> Option<Rival<'a>> {
    let source = &run.view(Side::Source).ingresses;
    let moving = preflight::moving_ingresses(run.order, run.observed).filter_map(|name| source.get(name));
    let ours: BTreeSet<&str> = moving.flat_map(|facts| facts.hosts.iter().map(String::as_str)).collect();
    [Side::Source, Side::Target].into_iter().find_map(|side| {
        let Neighbours::Known { moving, .. } = &run.view(side).neighbours else { return None };
        moving.iter().filter(|other| other.namespace != run.order.namespace && other.owner != run.order.owner).find_map(
            |neighbour| {
                let host = neighbour.hosts.iter().map(String::as_str).find(|host| ours.contains(host))?;
                Some(Rival { side, host, neighbour })
            },
        )
    })
}

impl Rival<'_> {
    fn said(&self) -> String {
        let Self { side, host, neighbour: Neighbour { namespace, name, owner, .. } } = self;
        format!(
            "The host {host} is moved by another migration, {owner}: Ingress {name} in namespace {namespace} on the {side}."
        )
    }

    fn wait(&self, run: &Run<'_>) -> Wait {
        let Self { side, neighbour: Neighbour { namespace, name, .. }, .. } = self;
        let fix = format!(
            "Wait for the other migration to end: this one then goes on by itself. Or delete one of the two. {}",
            by_hand::without_owner(*side, namespace, name)
        );
        Wait::new(Reason::OwnedByAnother, self.said()).unblocked_by(fix).looking_again_at(again(run))
    }
}
