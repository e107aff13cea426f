//! The users of a service: a small crowd that asks for its page all the time.
//!
//! Nobody runs a DNS here. Each request goes to the side that Route 53 would have answered with, by the weights that are
//! written at that moment; real users follow later, when external-dns, Route 53 and their resolvers have.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;

use super::weights::Weights;
use crate::user::User;

/// Time between two requests.
const PACE: Duration = Duration::from_millis(50);
/// A user who waits longer goes away.
const PATIENCE: Duration = Duration::from_secs(2);
/// Multiples of the golden ratio are spread evenly however few they are: 1 percent of 100 requests is one request.
const GOLDEN_RATIO: f64 = 0.618_033_988_749_894_9;

/// What a user knocks at.
#[derive(Clone)]
pub struct Door {
    /// Somebody who trusts the load balancers' certificates.
    pub user: User,
    /// The host that is asked for.
    pub host: String,
}

/// How the requests of one side ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Served {
    /// With a page.
    pub well: u64,
    /// With an error, or not at all.
    pub badly: u64,
}

/// How all requests ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// At the source.
    pub source: Served,
    /// At the target.
    pub target: Served,
}

/// The users of one service. Dropping it sends them home.
pub struct Visitors {
    counts: Arc<Mutex<Counts>>,
    _crowd: JoinSet<()>,
}

impl Visitors {
    /// They arrive, and stay. `sides` are the addresses of source and target.
    pub fn arrive(door: Door, sides: [SocketAddr; 2], weights: watch::Receiver<Weights>) -> Self {
        let counts = Arc::default();
        let mut crowd = JoinSet::new();
        crowd.spawn(keep_asking(door, sides, weights, Arc::clone(&counts)));
        Self { counts, _crowd: crowd }
    }

    /// How their requests ended so far.
    pub fn counts(&self) -> Counts {
        *self.counts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

async fn keep_asking(
    door: Door,
    [source, target]: [SocketAddr; 2],
    weights: watch::Receiver<Weights>,
    counts: Arc<Mutex<Counts>>,
) {
    let mut pace = tokio::time::interval(PACE);
    let mut requests = JoinSet::new();
    let mut lot = 0.0_f64;
    loop {
        pace.tick().await;
        lot = (lot + GOLDEN_RATIO).fract();
        let to_target = lot < weights.borrow().target_share();
        let address = if to_target { target } else { source };
        requests.spawn(ask(door.clone(), address, to_target, Arc::clone(&counts)));
        while requests.try_join_next().is_some() {}
    }
}

async fn ask(door: Door, address: SocketAddr, to_target: bool, counts: Arc<Mutex<Counts>>) {
    let page = tokio::time::timeout(PATIENCE, door.user.get_securely(address, &door.host, "/")).await;
    let well = page.is_ok_and(|page| page.is_ok_and(|page| page.status == 200));
    let mut counts = counts.lock().unwrap_or_else(PoisonError::into_inner);
    let served = if to_target { &mut counts.target } else { &mut counts.source };
    if well { served.well += 1 } else { served.badly += 1 }
}
