//! Since when users get what is listed: the provider serves it a little later everywhere, and resolvers keep the answer of before.

use jiff::{SignedDuration, Timestamp};

use super::{Verification, at_or_soon, places};
use crate::machine::reason::Reason;
use crate::machine::records::{Evidence, HostView};
use crate::machine::run::{Run, Wait};

/// Whether the records of a host have been listed exactly so for as long as it takes to serve them everywhere.
pub fn is_served(run: &Run<'_>, host: &str) -> bool {
    run.observed.dns.hosts.get(host).is_some_and(|view| view.read_at >= served_from(run, view))
}

/// The same, and resolvers have forgotten what was before.
pub fn is_forgotten(run: &Run<'_>, host: &str) -> bool {
    let Some(view) = run.observed.dns.hosts.get(host) else { return false };
    let forgotten = served_from(run, view).saturating_add(longest_ttl(run, view)).unwrap_or(Timestamp::MAX);
    is_served(run, host) && run.now >= forgotten
}

/// When what is listed of a host is served everywhere. None where nobody has read.
pub fn is_served_at(run: &Run<'_>, host: &str) -> Option<Timestamp> {
    run.observed.dns.hosts.get(host).map(|view| served_from(run, view))
}

/// A wait until what is listed is served, at every host: a record that was gone is listed again before it is.
pub fn unserved(run: &Run<'_>) -> Option<Wait> {
    let listed = run.order.dns.verification == Verification::Route53;
    let host = places(run).into_iter().map(|place| place.host).find(|host| listed && !is_served(run, host))?;
    let message = format!("{host} is listed as the step says; the provider needs time to serve it.");
    let at = is_served_at(run, host).unwrap_or(run.now);
    Some(at_or_soon(run, Wait::new(Reason::WaitingForDns, message), at))
}

fn served_from(run: &Run<'_>, view: &HostView) -> Timestamp {
    view.since.saturating_add(run.order.dns.follow.propagation).unwrap_or(Timestamp::MAX)
}

/// A record that is gone may have had another one: that of the pair counts as well.
fn longest_ttl(run: &Run<'_>, view: &HostView) -> SignedDuration {
    let Evidence::Listed(records) = &view.evidence else { return run.order.dns.follow.record_ttl };
    let listed = records.iter().filter_map(|record| record.set.ttl);
    listed.chain([run.order.dns.follow.record_ttl]).max().unwrap_or_default()
}
