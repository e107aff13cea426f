//! Every request that the service answered, and how many an account may send.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// One answered request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// When it came in.
    pub at: SystemTime,
    /// The access key id of its signature.
    pub caller: String,
    /// The action, such as `ListResourceRecordSets`.
    pub action: String,
    /// The zone that it is about, by name.
    pub zone: Option<String>,
    /// The error's code; None: it succeeded.
    pub error: Option<String>,
}

/// The account's requests; clones share them.
#[derive(Clone, Debug, Default)]
pub(super) struct Requests(Arc<Mutex<Log>>);

#[derive(Debug, Default)]
struct Log {
    answered: Vec<Request>,
    per_second: Option<usize>,
    lately: VecDeque<Instant>,
}

impl Requests {
    /// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests>: an account may
    /// send so many a second, all callers together; None: any number.
    pub(super) fn limit(&self, per_second: Option<usize>) {
        self.log().per_second = per_second;
    }

    /// Whether the account may send one more now. Those that it may not send do not count.
    pub(super) fn admit(&self) -> bool {
        let (mut log, now) = (self.log(), Instant::now());
        while log.lately.front().is_some_and(|at| now.duration_since(*at) >= Duration::from_secs(1)) {
            log.lately.pop_front();
        }
        if log.per_second.is_some_and(|limit| log.lately.len() >= limit) {
            return false;
        }
        log.lately.push_back(now);
        true
    }

    pub(super) fn record(&self, request: Request) {
        self.log().answered.push(request);
    }

    pub(super) fn all(&self) -> Vec<Request> {
        self.log().answered.clone()
    }

    /// How many there were of each caller and action.
    pub(super) fn counts(&self) -> BTreeMap<(String, String), usize> {
        let mut counts = BTreeMap::new();
        for request in &self.log().answered {
            *counts.entry((request.caller.clone(), request.action.clone())).or_default() += 1;
        }
        counts
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
