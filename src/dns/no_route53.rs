//! What stands for Route 53 in an operator that was built without it: whoever asks is told so in words.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::time::Instant;

use super::book::Reading;
use super::interest::Account;
use super::pace::Pace;
use super::schedule::Place;
use super::trouble::ReadError;
use crate::cluster::connection::HomeAccess;

/// Nobody.
pub(super) struct Route53 {
    since: Instant,
}

impl Route53 {
    pub(super) fn new(_: Account, _: HomeAccess, _: Arc<Mutex<Pace>>) -> Self {
        Self { since: Instant::now() }
    }

    /// None.
    #[allow(clippy::unused_self, reason = "the one that asks Route 53 has one")]
    pub(super) fn gap(&self) -> Duration {
        Duration::ZERO
    }

    /// At any time.
    pub(super) fn ready_at(&self) -> Instant {
        self.since
    }

    /// Refuses.
    #[allow(clippy::unused_async, reason = "the one that asks Route 53 is async")]
    pub(super) async fn read(&self, _: &Place) -> Result<Reading, ReadError> {
        Err(ReadError::NotBuilt)
    }
}
