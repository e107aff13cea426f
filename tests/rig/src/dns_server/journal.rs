//! Every answer that was given, in order.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use crate::route53::record::Kind;

/// How an answer ended: the response code, with the empty answer apart (RFC 2308 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// Records.
    Answered,
    /// The name exists, but not with this type (NOERROR without an answer).
    NoData,
    /// The name does not exist (NXDOMAIN).
    NoSuchName,
    /// The name is in none of the zones (REFUSED).
    NotOurs,
    /// A record could not be answered as it stands (SERVFAIL): a value that is none, aliases that run in a circle.
    Failed,
}

/// One answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// When it was given.
    pub at: SystemTime,
    /// What was asked for, in lower case with a final dot.
    pub name: String,
    /// The type that was asked for; None is one that Route 53 does not have.
    pub kind: Option<Kind>,
    /// How it ended.
    pub outcome: Outcome,
    /// The addresses in the answer.
    pub addresses: Vec<IpAddr>,
    /// The identifier of the record set that was chosen; None where it has none, or none was chosen.
    pub identifier: Option<String>,
}

/// A handle on the answers; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Journal {
    answers: Arc<Mutex<Vec<Answered>>>,
}

impl Journal {
    /// All answers so far.
    pub fn answers(&self) -> Vec<Answered> {
        self.lock().clone()
    }

    /// The number of answers so far; those that come later are [`Self::since`] this.
    pub fn mark(&self) -> usize {
        self.lock().len()
    }

    /// The answers after a mark.
    pub fn since(&self, mark: usize) -> Vec<Answered> {
        self.lock().get(mark..).unwrap_or_default().to_vec()
    }

    /// How the questions for a name ended so far, by type and outcome.
    pub fn counts(&self, name: &str) -> BTreeMap<(Option<Kind>, Outcome), u64> {
        let mut counts = BTreeMap::new();
        let name = crate::route53::record::absolute(name);
        for answer in self.lock().iter().filter(|answer| answer.name == name) {
            *counts.entry((answer.kind, answer.outcome)).or_default() += 1;
        }
        counts
    }

    pub(super) fn add(&self, answer: Answered) {
        self.lock().push(answer);
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Answered>> {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
