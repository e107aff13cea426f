//! Where migrations ask: whoever asks the same backend with the same credentials shares one reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::account::Account;
use super::asks::Asks;
use super::interest::{Backend, Interest};
use super::last_sync::LastSync;
use super::pace::Paces;
use super::resolver::Resolver;
use crate::cluster::connection::HomeAccess;
use crate::machine::records::DnsView;
use crate::mutex::locked;
use crate::site::Wake;

/// Reads DNS in the background for every migration that asks.
pub struct DnsReader {
    home: HomeAccess,
    paces: Paces,
    resolver: Resolver,
    accounts: Mutex<HashMap<Backend, Weak<Account>>>,
    /// Readers of the metrics of external-dns, by their address.
    last_syncs: Mutex<HashMap<String, Weak<LastSync>>>,
}

/// A migration that wants to know what DNS serves. Dropped, it wants to know nothing any more.
pub struct Asking {
    account: Arc<Account>,
    backend: Backend,
    number: u64,
    /// Those of the source and of the target, where the pair says where they are.
    last_syncs: [Option<Arc<LastSync>>; 2],
    metrics_urls: [Option<String>; 2],
}

impl DnsReader {
    /// A reader that nobody asks yet: it makes no request. Names that are not of a migration's zone are the resolver's.
    pub fn new(home: HomeAccess, route53_gap: Duration, resolver: Resolver) -> Self {
        let paces = Paces::new(route53_gap);
        Self { home, paces, resolver, accounts: Mutex::default(), last_syncs: Mutex::default() }
    }

    /// Who knows the addresses of load balancers.
    pub fn resolver(&self) -> &Resolver {
        &self.resolver
    }

    /// Begins to read what the migration wants to know. `wake` is called when there is news; while something is waited for, also
    /// when a reading shows nothing new.
    pub fn ask(&self, interest: Interest, wake: Wake) -> Asking {
        let (account, backend) = (self.account(&interest.backend), interest.backend.clone());
        let metrics_urls = interest.metrics_urls.clone();
        let last_syncs = metrics_urls.clone().map(|url| url.map(|url| self.last_sync(url)));
        let number = account.add(interest, wake);
        Asking { account, backend, number, last_syncs, metrics_urls }
    }

    fn last_sync(&self, url: String) -> Arc<LastSync> {
        let mut known = locked(&self.last_syncs);
        known.retain(|_, reader| reader.strong_count() > 0);
        let running = known.get(&url).and_then(Weak::upgrade).filter(|reader| !reader.is_broken());
        running.unwrap_or_else(|| {
            let reader = Arc::new(LastSync::follow(url.clone(), self.home.metrics.clone()));
            known.insert(url, Arc::downgrade(&reader));
            reader
        })
    }

    /// How many readers there are.
    #[cfg(test)]
    pub(super) fn accounts(&self) -> usize {
        locked(&self.accounts).values().filter(|known| known.strong_count() > 0).count()
    }

    fn account(&self, backend: &Backend) -> Arc<Account> {
        let mut accounts = locked(&self.accounts);
        accounts.retain(|_, known| known.strong_count() > 0);
        let known = accounts.get(backend).and_then(Weak::upgrade).filter(|known| !known.is_broken());
        known.unwrap_or_else(|| {
            let asks = Asks::new(backend, &self.home, &self.paces, &self.resolver);
            let account = Arc::new(Account::start(asks, self.home.metrics.clone()));
            accounts.insert(backend.clone(), Arc::downgrade(&account));
            account
        })
    }
}

impl Asking {
    /// Whether this interest can be followed without asking somebody else.
    pub fn fits(&self, interest: &Interest) -> bool {
        let is_broken = self.account.is_broken() || self.last_syncs.iter().flatten().any(|reader| reader.is_broken());
        self.backend == interest.backend && self.metrics_urls == interest.metrics_urls && !is_broken
    }

    /// Wants to know this from now on. What became more urgent is asked at once.
    pub fn change(&self, interest: Interest) {
        self.account.change(self.number, interest);
    }

    /// What is known. Never waits.
    pub fn view(&self) -> DnsView {
        let [source, target] = self.last_syncs.each_ref().map(|reader| {
            let view = reader.as_ref().map(|reader| reader.view());
            view.unwrap_or_default()
        });
        DnsView { source, target, ..self.account.view(self.number) }
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.account.remove(self.number);
    }
}
