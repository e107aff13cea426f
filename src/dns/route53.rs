//! Route 53 as it is read: the zones of the account, and the record sets at a name. Nothing is ever changed.
//!
//! The official SDK signs the requests and finds the credentials; its own retries are off, because the reader's pace and its
//! order of urgency are what decides.

mod client;
mod credentials;
mod failure;
mod listing;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use aws_sdk_route53::Client;
use aws_sdk_route53::config::http::HttpResponse;
use aws_sdk_route53::error::{ProvideErrorMetadata, SdkError};
use aws_sdk_route53::types::ResourceRecordSet;
use tokio::time::Instant;

use super::book::Reading;
use super::interest::Account;
use super::pace::Pace;
use super::schedule::{Place, Within};
use super::trouble::ReadError;
use super::zones::{Zone, zone_of};
use crate::cluster::connection::HomeAccess;
use crate::metrics::{DnsAction, DnsOutcome, DnsRequestLabels};
use crate::mutex::locked;

/// A call ends after this time, credentials included.
const LONGEST_CALL: Duration = Duration::from_secs(10);
/// Record sets in one answer: a host of two clusters has at most six.
const SETS_PER_PAGE: i32 = 20;
/// A name has at most 100 record sets of each kind, so that more pages than this are no answer to what was asked.
const MOST_PAGES: usize = 50;
/// Zones are listed anew after this time.
const ZONES_LAST: Duration = Duration::from_secs(3600);
/// A zone that is not known may be new: zones are listed anew for it, but not more often than this.
const ZONES_AGAIN: Duration = Duration::from_secs(60);

const LIST_ZONES: &str = "ListHostedZonesByName";
const LIST_SETS: &str = "ListResourceRecordSets";

/// One AWS account, as it is reached with one set of credentials.
pub(super) struct Route53 {
    account: Account,
    home: HomeAccess,
    pace: Arc<Mutex<Pace>>,
    client: tokio::sync::Mutex<Option<Client>>,
    zones: Mutex<Option<(Instant, Vec<Zone>)>>,
}

impl Route53 {
    /// `pace` is shared by all readers of one API: two sets of credentials may be of one account, whose requests are counted together.
    pub(super) fn new(account: Account, home: HomeAccess, pace: Arc<Mutex<Pace>>) -> Self {
        Self { account, home, pace, client: tokio::sync::Mutex::default(), zones: Mutex::default() }
    }

    /// The time from one request of this reader to its next when all goes well: each of those who share the pace has its turn.
    pub(super) fn gap(&self) -> Duration {
        let sharers = u32::try_from(Arc::strong_count(&self.pace)).unwrap_or(u32::MAX);
        locked(&self.pace).shortest().saturating_mul(sharers)
    }

    /// When the next request may be made.
    pub(super) fn ready_at(&self) -> Instant {
        locked(&self.pace).ready_at()
    }

    /// Everything that is listed at a name.
    pub(super) async fn read(&self, place: &Place) -> Result<Reading, ReadError> {
        let zone = match &place.within {
            Within::Zone(zone) => zone.clone(),
            Within::BestZone | Within::Resolvers => self.zone(&place.name).await?,
        };
        let sets = self.sets(&zone, &place.name).await.inspect_err(|error| self.forget(place, error))?;
        Ok(listing::reading(&sets))
    }

    /// What has turned out to be wrong is not used again: a zone that is gone, credentials that are refused.
    fn forget(&self, place: &Place, error: &ReadError) {
        if place.within == Within::BestZone && matches!(error, ReadError::NoSuchZone { .. }) {
            *locked(&self.zones) = None;
        }
    }

    async fn zone(&self, host: &str) -> Result<String, ReadError> {
        let known = |not_older: Duration| {
            let zones = locked(&self.zones);
            let fresh = zones.as_ref().filter(|(read, _)| read.elapsed() < not_older);
            fresh.map(|(_, zones)| zone_of(host, zones).map(|zone| zone.id.clone()))
        };
        match known(ZONES_LAST) {
            Some(Ok(zone)) => return Ok(zone),
            Some(Err(error)) if known(ZONES_AGAIN).is_some() => return Err(error),
            Some(Err(_)) | None => {}
        }
        let zones = self.list_zones().await?;
        let found = zone_of(host, &zones).map(|zone| zone.id.clone());
        *locked(&self.zones) = Some((Instant::now(), zones));
        found
    }

    /// Every zone of the account, page by page.
    async fn list_zones(&self) -> Result<Vec<Zone>, ReadError> {
        let (mut zones, mut from) = (vec![], None::<(String, String)>);
        for _ in 0..MOST_PAGES {
            let (name, id) = from.take().unzip();
            let call = |client: Client| async move {
                client.list_hosted_zones_by_name().set_dns_name(name).set_hosted_zone_id(id).send().await
            };
            let page = self.call(DnsAction::ListZones, "of the account", call).await?;
            zones.extend(page.hosted_zones().iter().map(listing::zone));
            from = page.next_dns_name().map(str::to_owned).zip(page.next_hosted_zone_id().map(str::to_owned));
            if !page.is_truncated() || from.is_none() {
                return Ok(zones);
            }
        }
        Err(ReadError::TooLong { action: LIST_ZONES, about: "of the account".to_owned(), limit: MOST_PAGES })
    }

    /// The record sets at a name: the listing begins there and is read until another name comes.
    async fn sets(&self, zone: &str, name: &str) -> Result<Vec<ResourceRecordSet>, ReadError> {
        let about = format!("of {name} in zone {zone}");
        let mut sets = vec![];
        let mut from = (name.to_owned(), None, None);
        for _ in 0..MOST_PAGES {
            let (start, kind, identifier) = from.clone();
            let call = |client: Client| async move {
                let request = client.list_resource_record_sets().hosted_zone_id(zone).max_items(SETS_PER_PAGE);
                let request = request.start_record_name(start).set_start_record_type(kind);
                request.set_start_record_identifier(identifier).send().await
            };
            let page = self.call(DnsAction::ListRecords, &about, call).await?;
            let at_name = page.resource_record_sets().iter().take_while(|set| listing::is_at(set, name));
            let before = sets.len();
            sets.extend(at_name.cloned());
            let another_name = sets.len() - before < page.resource_record_sets().len();
            let Some(next) = page.next_record_name().filter(|_| page.is_truncated() && !another_name) else {
                return Ok(sets);
            };
            from =
                (next.to_owned(), page.next_record_type().cloned(), page.next_record_identifier().map(str::to_owned));
        }
        Err(ReadError::TooLong { action: LIST_SETS, about, limit: MOST_PAGES })
    }

    /// One request, at its turn. It ends, is counted, and changes the pace.
    async fn call<T, E, F>(
        &self,
        action: DnsAction,
        about: &str,
        call: impl FnOnce(Client) -> F,
    ) -> Result<T, ReadError>
    where
        F: Future<Output = Result<T, SdkError<E, HttpResponse>>>,
        E: ProvideErrorMetadata + std::error::Error + 'static,
    {
        let turn = locked(&self.pace).take(Instant::now());
        tokio::time::sleep_until(turn).await;
        let word = if action == DnsAction::ListZones { LIST_ZONES } else { LIST_SETS };
        let answer = tokio::time::timeout(LONGEST_CALL, async { call(self.client().await).await }).await;
        let result = match answer {
            Ok(answer) => answer.map_err(|error| failure::explained(word, about, &error)),
            Err(_) => Err(ReadError::Timeout { action: word, about: about.to_owned(), after: LONGEST_CALL }),
        };
        self.learn(action, result.as_ref().err()).await;
        result
    }

    /// The client; made anew after credentials were refused, so that new ones are found.
    async fn client(&self) -> Client {
        let mut client = self.client.lock().await;
        match &*client {
            Some(client) => client.clone(),
            None => client.insert(client::build(&self.account, &self.home).await).clone(),
        }
    }

    async fn learn(&self, action: DnsAction, error: Option<&ReadError>) {
        let outcome = error.map_or(DnsOutcome::Success, ReadError::outcome);
        self.home.metrics.dns.requests.get_or_create(&DnsRequestLabels { action, outcome }).inc();
        if error.is_some_and(ReadError::is_about_credentials) {
            *self.client.lock().await = None;
        }
        let mut pace = locked(&self.pace);
        match error {
            Some(error) if error.is_throttling() => pace.throttled(Instant::now(), crate::random::bytes::<1>()[0]),
            _ => pace.eased(),
        }
    }
}
