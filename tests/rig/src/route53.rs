//! A strict Route 53: its API, its rules and its error texts, with faults on demand and a journal of every change.
//!
//! What it holds is seen in two ways, as in the original: the API lists what was written, name servers show what has had
//! the time to reach them ([`record::ServedZone`]).

mod api;
pub mod balancers;
pub mod faults;
mod history;
mod input;
pub mod journal;
pub mod record;
pub mod records;
pub mod refusal;
pub mod requests;
mod rules;
mod xml;
pub mod zone;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::net::TcpListener;

use self::faults::Faults;
use self::requests::{Request, Requests};
use self::zone::Zone;
use crate::dns_server::Surroundings;
use crate::http_server::Server;

/// The real account's quota: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html>.
pub const REQUESTS_PER_SECOND: usize = 5;
/// The region that clients are told; Route 53 has only this one.
pub const REGION: &str = "us-east-1";

/// How the service behaves where the original leaves room.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Requests a second that the account may send, all callers together; None: any number.
    pub requests_per_second: Option<usize>,
    /// The time from the acceptance of a change to its being served, for zones that are created from now on; about 60 s in
    /// the original.
    pub propagation: Duration,
    /// The time that a batch is processed; another one for the same zone is refused meanwhile.
    pub processing: Duration,
}

impl Default for Options {
    /// As strict as the original, but quick.
    fn default() -> Self {
        Self {
            requests_per_second: Some(REQUESTS_PER_SECOND),
            propagation: Duration::from_millis(300),
            processing: Duration::from_millis(20),
        }
    }
}

/// A running service. Dropping it closes its port.
pub struct Route53 {
    server: Server,
    account: Account,
}

/// What every connection shares.
#[derive(Clone)]
struct Account {
    zones: Arc<Mutex<Vec<Zone>>>,
    options: Arc<Mutex<Options>>,
    requests: Requests,
    faults: Faults,
    surroundings: Surroundings,
}

impl Account {
    fn zones(&self) -> Vec<Zone> {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn zone_with_id(&self, id: &str) -> Option<Zone> {
        self.zones().into_iter().find(|zone| zone.id() == id)
    }

    fn options(&self) -> MutexGuard<'_, Options> {
        self.options.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn processing(&self) -> Duration {
        self.options().processing
    }
}

impl Route53 {
    /// Starts it on a free port of 127.0.0.1, without zones.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_in(Surroundings::new(), options).await
    }

    /// Another account, with a quota and faults of its own; its aliases lead to the same load balancers.
    pub async fn start_another(&self, options: Options) -> Result<Self> {
        Self::start_in(self.surroundings().clone(), options).await
    }

    async fn start_in(surroundings: Surroundings, options: Options) -> Result<Self> {
        let account = Account {
            zones: Arc::default(),
            options: Arc::new(Mutex::new(options)),
            requests: Requests::default(),
            faults: Faults::default(),
            surroundings,
        };
        account.requests.limit(options.requests_per_second);
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.context("Route 53: listen on a free port")?;
        let shared = account.clone();
        let server = Server::start(listener, None, move |request| api::answer(shared.clone(), request))?;
        Ok(Self { server, account })
    }

    /// A new hosted zone; names may repeat, as in the original.
    pub fn create_zone(&self, origin: &str) -> Zone {
        let propagation = self.account.options().propagation;
        let mut zones = self.account.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let id = format!("Z{:013}RIG", zones.len() + 1);
        let zone = Zone::new(id, origin, self.account.surroundings.clone(), propagation);
        zones.push(zone.clone());
        zone
    }

    /// Every zone, oldest first.
    pub fn zones(&self) -> Vec<Zone> {
        self.account.zones()
    }

    /// The load balancers that aliases may point to, by name; name servers of these zones take them from here too.
    pub fn surroundings(&self) -> &Surroundings {
        &self.account.surroundings
    }

    /// What it does wrong on demand.
    pub fn faults(&self) -> &Faults {
        &self.account.faults
    }

    /// Every request so far, in the order of the answers.
    pub fn requests(&self) -> Vec<Request> {
        self.account.requests.all()
    }

    /// How many requests there were of each caller and action.
    pub fn request_counts(&self) -> BTreeMap<(String, String), usize> {
        self.account.requests.counts()
    }

    /// From now on the account may send so many requests a second; None: any number.
    pub fn set_requests_per_second(&self, limit: Option<usize>) {
        self.account.requests.limit(limit);
    }

    /// From now on a batch is processed for this time.
    pub fn set_processing(&self, time: Duration) {
        self.account.options().processing = time;
    }

    /// The address for an SDK's endpoint override.
    pub fn url(&self) -> String {
        format!("http://{}", self.server.address())
    }

    /// The environment that makes an AWS SDK talk to this service as `caller`, whose name is its access key id.
    pub fn environment(&self, caller: &str) -> Vec<(String, String)> {
        let variables = [
            ("AWS_ENDPOINT_URL", self.url()),
            ("AWS_ACCESS_KEY_ID", caller.to_owned()),
            ("AWS_SECRET_ACCESS_KEY", "no-secret".to_owned()),
            ("AWS_REGION", REGION.to_owned()),
            // Nothing may be asked of the machine's metadata service.
            ("AWS_EC2_METADATA_DISABLED", "true".to_owned()),
        ];
        variables.map(|(name, value)| (name.to_owned(), value)).into()
    }
}
