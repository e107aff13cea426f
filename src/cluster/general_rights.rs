//! What a cluster lets the operator do in all namespaces, for the status of the pair: asked when it is connected, and seldom again. What
//! a migration may do in its own namespace is asked before it begins, by [`rights`](super::rights).

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use super::client::Clients;
use super::connection::Connection;
use super::rights::Asker;
use crate::machine::right::{Right, Rights};
use crate::mutex::locked;

/// An answer without a gap is good for this long.
const GOOD_FOR: Duration = Duration::from_secs(600);
/// One with a gap: somebody may be about to mend it; but where rights are given for some namespaces alone there is always one.
const GAP_STANDS: Duration = Duration::from_secs(300);

/// The last answer of a connection.
#[derive(Default)]
pub struct GeneralRights(Mutex<Option<Answer>>);

#[derive(Clone)]
struct Answer {
    at: Instant,
    /// Of the clients that it was asked with.
    generation: u64,
    rights: Rights,
}

/// What is known now, and how long that is good. A cluster that cannot be reached is not asked.
pub async fn of(connection: &Connection) -> (Rights, Option<Duration>) {
    let state = connection.state();
    let Some(clients) = state.clients.filter(|_| state.reach.is_reachable()) else { return (Rights::NotAsked, None) };
    let answer = match connection.rights.known(state.generation) {
        Some(answer) => answer,
        None => ask(connection, &clients, state.generation).await,
    };
    let left = answer.good_for().saturating_sub(answer.at.elapsed());
    (answer.rights, Some(left))
}

async fn ask(connection: &Connection, clients: &Clients, generation: u64) -> Answer {
    let asker = Asker { client: &clients.requests, namespace: "", secrets: &BTreeSet::new() };
    let rights = asker.ask(Right::all(connection.address.side)).await.unwrap_or_else(|error| {
        connection.report(&error);
        // That it is away is told as that; of its rights it has said nothing.
        if error.unreachable() { Rights::NotAsked } else { Rights::Unknown { why: error.to_string() } }
    });
    connection.rights.remember(Answer { at: Instant::now(), generation, rights })
}

impl GeneralRights {
    fn known(&self, generation: u64) -> Option<Answer> {
        let known = locked(&self.0).clone();
        known.filter(|answer| answer.generation == generation && answer.at.elapsed() < answer.good_for())
    }

    fn remember(&self, answer: Answer) -> Answer {
        *locked(&self.0) = Some(answer.clone());
        answer
    }
}

impl Answer {
    fn good_for(&self) -> Duration {
        match &self.rights {
            Rights::Known { refused, .. } if refused.is_empty() => GOOD_FOR,
            _ => GAP_STANDS,
        }
    }
}
