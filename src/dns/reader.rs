//! Where migrations ask: whoever asks the same backend with the same credentials shares one reader.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, Weak};
use std::time::Duration;

use super::account::Account;
use super::asks::Asks;
use super::interest::{Backend, Interest};
use crate::cluster::connection::HomeAccess;
use crate::machine::records::DnsView;
use crate::mutex::locked;
use crate::site::Wake;

/// Reads DNS in the background for every migration that asks.
pub struct DnsReader {
    home: HomeAccess,
    route53_gap: Duration,
    accounts: Mutex<HashMap<Backend, Weak<Account>>>,
}

/// A migration that wants to know what DNS serves. Dropped, it wants to know nothing any more.
pub struct Asking {
    account: Arc<Account>,
    backend: Backend,
    number: u64,
}

impl DnsReader {
    /// A reader that nobody asks yet: it makes no request.
    pub fn new(home: HomeAccess, route53_gap: Duration) -> Self {
        Self { home, route53_gap, accounts: Mutex::default() }
    }

    /// Begins to read what the migration wants to know. `wake` is called when there is news; while something is waited for, also
    /// when a reading shows nothing new.
    pub fn ask(&self, interest: Interest, wake: Wake) -> Asking {
        let (account, backend) = (self.account(&interest.backend), interest.backend.clone());
        let number = account.add(interest, wake);
        Asking { account, backend, number }
    }

    fn account(&self, backend: &Backend) -> Arc<Account> {
        let mut accounts = locked(&self.accounts);
        accounts.retain(|_, known| known.strong_count() > 0);
        let known = accounts.get(backend).and_then(Weak::upgrade).filter(|known| !known.is_broken());
        known.unwrap_or_else(|| {
            let account =
                Arc::new(Account::start(Asks::new(backend, &self.home, self.route53_gap), self.home.metrics.clone()));
            accounts.insert(backend.clone(), Arc::downgrade(&account));
            account
        })
    }
}

impl Asking {
    /// Whether this interest can be followed without asking somebody else.
    pub fn fits(&self, interest: &Interest) -> bool {
        self.backend == interest.backend && !self.account.is_broken()
    }

    /// Wants to know this from now on. What became more urgent is asked at once.
    pub fn change(&self, interest: Interest) {
        self.account.change(self.number, interest);
    }

    /// What is known. Never waits.
    pub fn view(&self) -> DnsView {
        self.account.view(self.number)
    }
}

impl Drop for Asking {
    fn drop(&mut self) {
        self.account.remove(self.number);
    }
}
