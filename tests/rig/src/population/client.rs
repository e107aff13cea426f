//! One user: asks for the page again and again, wherever DNS says that it is.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use fastrand::Rng;

use super::browser::Browser;
use super::memory::{Found, Habit, Memory, Missing};
use super::resolver::{Family, resolve};
use super::visit::{Cause, Side, Visit};
use crate::dns_server::DnsServer;
use crate::load_balancer::LoadBalancer;
use crate::setup::{Setup, in_ipv6};

/// Where the sides are, for users whose DNS knows addresses only.
#[derive(Clone, Debug)]
pub struct Streets {
    /// The name server that everybody asks.
    pub name_server: SocketAddr,
    /// The HTTPS port at each address, and the side that it belongs to.
    pub doors: BTreeMap<IpAddr, Door>,
}

impl Streets {
    /// Where the load balancers of a setup are, by addresses of both kinds.
    pub fn of(setup: &Setup, name_server: &DnsServer) -> Self {
        let doors = |balancer: &LoadBalancer, side| {
            let (address, door) = (balancer.https().ip(), Door { side, port: balancer.https().port() });
            [(address, door), (in_ipv6(address), door)]
        };
        let doors = [doors(setup.source_balancer(), Side::Source), doors(setup.target_balancer(), Side::Target)];
        Self { name_server: name_server.address(), doors: doors.into_iter().flatten().collect() }
    }
}

/// A load balancer's way in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Door {
    /// Whose it is.
    pub side: Side,
    /// The port for HTTPS.
    pub port: u16,
}

/// One user with a machine.
pub(super) struct Client {
    pub number: usize,
    pub host: String,
    pub family: Family,
    pub habit: Habit,
    pub patience: Duration,
    pub streets: Arc<Streets>,
    pub memory: Memory,
    pub browser: Browser,
    pub dice: Rng,
}

impl Client {
    /// One request from the beginning to the end.
    pub async fn visit(&mut self) -> Visit {
        let (at, began) = (SystemTime::now(), Instant::now());
        let (address, side, failure) = match self.find().await {
            Err(cause) => (None, None, Some(cause)),
            Ok(address) => match self.streets.doors.get(&address).copied() {
                Some(door) => (Some(address), Some(door.side), self.enter(address, door).await.err()),
                None => (Some(address), None, Some(Cause::StrangeAddress)),
            },
        };
        Visit { at, took: began.elapsed(), client: self.number, address, side, failure }
    }

    /// The address that is asked next. A connection that is kept spares the question.
    async fn find(&mut self) -> Result<IpAddr, Cause> {
        let peer = self.browser.peer().map(|peer| peer.ip());
        if let (Habit::KeepsConnection, Some(peer)) = (self.habit, peer) {
            return Ok(peer);
        }
        let known = match self.memory.recall(Instant::now()) {
            Some(known) => known.clone(),
            None => self.ask_dns().await,
        };
        let found = known.map_err(|missing| missing.cause)?;
        let is_connected = |address: &&IpAddr| peer == Some(address.to_canonical());
        let connected = found.addresses.iter().find(is_connected).copied();
        connected.or_else(|| self.dice.choice(found.addresses)).ok_or(Cause::NoAddress)
    }

    /// A new answer is a new beginning: users do not hang on to a connection that an older answer led to.
    async fn ask_dns(&mut self) -> Result<Found, Missing> {
        self.browser.disconnect();
        let answer = resolve(self.streets.name_server, &self.host, self.family).await;
        self.memory.learn(answer.clone(), Instant::now());
        answer
    }

    async fn enter(&mut self, address: IpAddr, door: Door) -> Result<(), Cause> {
        // An IPv4 address in IPv6 form leads there also on a machine without IPv6.
        let page = self.browser.home_page(SocketAddr::new(address.to_canonical(), door.port));
        let page = tokio::time::timeout(self.patience, page).await.unwrap_or(Err(Cause::Timeout))?;
        let expected = format!("Hello from {} on the {} cluster", self.host, door.side.name());
        if page.starts_with(&expected) { Ok(()) } else { Err(Cause::WrongPage) }
    }
}
