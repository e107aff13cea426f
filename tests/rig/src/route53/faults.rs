//! What the service does wrong on demand, for one caller, one zone or everybody.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::record::absolute;
use super::refusal::Refusal;

/// Whose requests a fault meets; what is not said is everybody and everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scope {
    caller: Option<String>,
    zone: Option<String>,
    action: Option<String>,
}

impl Scope {
    /// Every request.
    pub fn everything() -> Self {
        Self::default()
    }

    /// Requests signed with this access key id.
    #[must_use]
    pub fn caller(mut self, caller: &str) -> Self {
        self.caller = Some(caller.to_owned());
        self
    }

    /// Requests about this zone. Those that list zones are about none.
    #[must_use]
    pub fn zone(mut self, origin: &str) -> Self {
        self.zone = Some(absolute(origin));
        self
    }

    /// Requests of this action, such as `ListResourceRecordSets`.
    #[must_use]
    pub fn action(mut self, action: &str) -> Self {
        self.action = Some(action.to_owned());
        self
    }

    fn meets(&self, request: &About<'_>) -> bool {
        let fits = |wanted: &Option<String>, found: Option<&str>| match wanted {
            Some(wanted) => found == Some(wanted.as_str()),
            None => true,
        };
        fits(&self.caller, Some(request.caller))
            && fits(&self.zone, request.zone)
            && fits(&self.action, Some(request.action))
    }
}

/// What a request is about.
pub(super) struct About<'a> {
    pub(super) caller: &'a str,
    pub(super) action: &'a str,
    pub(super) zone: Option<&'a str>,
}

#[derive(Clone, Debug)]
enum Fault {
    Refuse(Refusal),
    Hang(watch::Receiver<()>),
}

/// The faults that are on; clones share them.
#[derive(Clone, Debug, Default)]
pub struct Faults(Arc<Mutex<Vec<(u64, Scope, Fault)>>>);

/// A fault that is on until this is dropped.
#[must_use = "the fault ends when this is dropped"]
#[derive(Debug)]
pub struct Active {
    number: u64,
    faults: Faults,
    _hang: Option<watch::Sender<()>>,
}

impl Drop for Active {
    fn drop(&mut self) {
        self.faults.list().retain(|(number, ..)| *number != self.number);
    }
}

impl Faults {
    /// Every request of this scope is answered with this error.
    pub fn refuse(&self, scope: Scope, refusal: Refusal) -> Active {
        self.add(scope, Fault::Refuse(refusal), None)
    }

    /// Every request of this scope exceeds the rate.
    pub fn throttle(&self, scope: Scope) -> Active {
        self.refuse(scope, Refusal::throttling())
    }

    /// Every batch of this scope is refused as if it broke a rule, with this message.
    pub fn refuse_batches(&self, scope: Scope, message: &str) -> Active {
        let refusal = Refusal::invalid_change_batch(&[message.to_owned()]);
        self.refuse(scope.action("ChangeResourceRecordSets"), refusal)
    }

    /// Requests of this scope get no answer before the fault ends.
    pub fn stall(&self, scope: Scope) -> Active {
        let (end, ended) = watch::channel(());
        self.add(scope, Fault::Hang(ended), Some(end))
    }

    fn add(&self, scope: Scope, fault: Fault, hang: Option<watch::Sender<()>>) -> Active {
        let mut list = self.list();
        let number = list.last().map_or(0, |(last, ..)| last + 1);
        list.push((number, scope, fault));
        drop(list);
        Active { number, faults: self.clone(), _hang: hang }
    }

    /// Waits as long as a stall lasts, and says with what the request is refused, if it is.
    pub(super) async fn met_by(&self, request: &About<'_>) -> Result<(), Refusal> {
        while let Some(mut ended) = self.find(request, |fault| match fault {
            Fault::Hang(ended) => Some(ended.clone()),
            Fault::Refuse(_) => None,
        }) {
            // The sender lives in the fault's handle: an error is the fault's end.
            while ended.changed().await.is_ok() {}
        }
        let refusal = self.find(request, |fault| match fault {
            Fault::Refuse(refusal) => Some(refusal.clone()),
            Fault::Hang(_) => None,
        });
        refusal.map_or(Ok(()), Err)
    }

    fn find<T>(&self, request: &About<'_>, choose: impl Fn(&Fault) -> Option<T>) -> Option<T> {
        self.list().iter().filter(|(_, scope, _)| scope.meets(request)).find_map(|(.., fault)| choose(fault))
    }

    fn list(&self) -> MutexGuard<'_, Vec<(u64, Scope, Fault)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
