//! One hosted zone: what was written, what name servers show of it, and the journal of how it came to that.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use anyhow::{Result, bail};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use super::history;
use super::journal::{Action, Change, Entry, Fate, Served};
use super::record::{Key, Kind, RecordSet, ServedZone, absolute};
use super::records::Records;
use super::refusal::Refusal;
use super::rules::{Place, accept};
use crate::dns_server::Surroundings;

/// What a real zone has from its beginning: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html>.
const APEX_TTL: u32 = 172_800;
const SOA_TTL: u32 = 900;
/// Entries that a message about something that did not happen shows.
const SHOWN: usize = 8;

/// A hosted zone; clones are the same zone.
#[derive(Clone)]
pub struct Zone(Arc<Shared>);

struct Shared {
    id: String,
    origin: String,
    surroundings: Surroundings,
    state: Mutex<State>,
    /// A batch is being processed; the API refuses another one meanwhile.
    busy: AtomicBool,
    changed: watch::Sender<()>,
}

struct State {
    first: Records,
    written: Arc<Records>,
    served: Records,
    journal: Vec<Entry>,
    pending: VecDeque<Pending>,
    propagation: Duration,
    held: bool,
    tags: BTreeMap<String, String>,
}

/// A batch that is on its way to the name servers.
struct Pending {
    number: usize,
    due: SystemTime,
}

/// Ends the processing of a batch when it is dropped.
pub(super) struct Turn(Arc<Shared>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Release);
    }
}

impl Zone {
    pub(super) fn new(id: String, origin: &str, surroundings: Surroundings, propagation: Duration) -> Self {
        let origin = absolute(origin);
        let first = apex(&origin);
        let state = State {
            written: Arc::new(first.clone()),
            served: first.clone(),
            first,
            journal: Vec::new(),
            pending: VecDeque::new(),
            propagation,
            held: false,
            tags: BTreeMap::new(),
        };
        let (changed, _) = watch::channel(());
        let busy = AtomicBool::new(false);
        Self(Arc::new(Shared { id, origin, surroundings, state: Mutex::new(state), busy, changed }))
    }

    /// The id that the API uses, without `/hostedzone/`.
    pub fn id(&self) -> &str {
        &self.0.id
    }

    /// The zone's name, in lower case with a final dot.
    pub fn name(&self) -> &str {
        &self.0.origin
    }

    /// What the API lists: every set as written, PENDING ones too.
    pub fn written(&self) -> Arc<Records> {
        Arc::clone(&self.state().written)
    }

    /// What name servers show.
    pub fn served(&self) -> Records {
        self.state().served.clone()
    }

    /// Every batch so far, in the order in which they came in.
    pub fn journal(&self) -> Vec<Entry> {
        self.state().journal.clone()
    }

    /// The number that the next entry of the journal gets: what comes from here on is `journal()[mark..]`.
    pub fn mark(&self) -> usize {
        self.state().journal.len()
    }

    /// The weights of a name and type that name servers showed, in the order of time, from the zone's beginning.
    pub fn weights(&self, name: &str, kind: Kind) -> Vec<Served> {
        let state = self.state();
        history::weights(&state.first, &state.journal, &absolute(name), kind)
    }

    /// Changes that come in from now on reach the name servers after this time.
    pub fn set_propagation(&self, time: Duration) {
        self.state().propagation = time;
    }

    /// While held, changes are accepted and stay PENDING: nothing reaches the name servers. Afterwards what waits takes the
    /// usual time.
    pub fn hold_propagation(&self, held: bool) {
        let mut state = self.state();
        state.held = held;
        let due = SystemTime::now() + state.propagation;
        state.pending.iter_mut().for_each(|pending| pending.due = due);
        drop(state);
        self.0.changed.send_replace(());
    }

    /// Gives the zone a tag.
    pub fn tag(&self, key: &str, value: &str) {
        self.state().tags.insert(key.to_owned(), value.to_owned());
    }

    /// The zone's tags.
    pub fn tags(&self) -> BTreeMap<String, String> {
        self.state().tags.clone()
    }

    /// Changes the zone as somebody with an access of their own does; every rule holds. Returns the journal's entry.
    pub fn change(&self, caller: &str, changes: Vec<Change>) -> Result<Entry, Refusal> {
        let mut state = self.state();
        let place = Place { id: &self.0.id, origin: &self.0.origin, surroundings: &self.0.surroundings };
        let accepted =
            accept(&place, &state.written, &changes).map_err(|broken| Refusal::invalid_change_batch(&broken));
        let fate = match &accepted {
            Ok(_) => Fate::Accepted { id: change_id(&self.0.id, state.journal.len()), insync: None },
            Err(refusal) => refused(refusal),
        };
        let entry = state.enter(caller, changes, fate);
        if let Ok(written) = accepted {
            state.written = Arc::new(written);
            let due = entry.at + state.propagation;
            state.pending.push_back(Pending { number: entry.number, due });
            state.settle();
            drop(state);
            self.0.changed.send_replace(());
            return Ok(entry);
        }
        drop(state);
        self.0.changed.send_replace(());
        accepted.map(|_| entry)
    }

    /// Enters a batch that is refused for another reason than its content.
    pub(super) fn refuse(&self, caller: &str, changes: Vec<Change>, refusal: &Refusal) {
        self.state().enter(caller, changes, refused(refusal));
        self.0.changed.send_replace(());
    }

    /// Begins to process a batch; None: another one is being processed.
    pub(super) fn turn(&self) -> Option<Turn> {
        let begun = self.0.busy.compare_exchange(false, true, Ordering::AcqRel, Ordering::Acquire).is_ok();
        begun.then(|| Turn(Arc::clone(&self.0)))
    }

    /// Shorthand for one change by [`Self::change`].
    pub fn create(&self, caller: &str, set: RecordSet) -> Result<Entry, Refusal> {
        self.change(caller, vec![Change { action: Action::Create, set }])
    }

    /// The sets of one name and type as written.
    pub fn group(&self, name: &str, kind: Kind) -> Vec<RecordSet> {
        self.state().written.group(name, kind).cloned().collect()
    }

    /// The set with this name, type and identifier, as written.
    pub fn get(&self, name: &str, kind: Kind, identifier: Option<&str>) -> Option<RecordSet> {
        let key = Key { name: absolute(name), kind, identifier: identifier.map(str::to_owned) };
        self.state().written.get(&key).cloned()
    }

    /// Waits until `look` finds something in the zone. It is asked again at each change and each time when name servers show
    /// more; after `limit` the error says what never happened and what did.
    pub async fn wait<T>(&self, what: &str, limit: Duration, mut look: impl FnMut(&Self) -> Option<T>) -> Result<T> {
        let mut changed = self.0.changed.subscribe();
        let deadline = Instant::now() + limit;
        loop {
            changed.borrow_and_update();
            if let Some(found) = look(self) {
                return Ok(found);
            }
            tokio::select! {
                alive = changed.changed() => alive?,
                () = self.next_due() => {}
                () = sleep_until(deadline) => bail!("zone {}: {what} did not happen within {} s; {}", self.name(),
                    limit.as_secs(), self.last_entries()),
            }
        }
    }

    /// Waits for an entry of the journal, from number `mark` on.
    pub async fn wait_for(
        &self,
        what: &str,
        mark: usize,
        limit: Duration,
        mut fits: impl FnMut(&Entry) -> bool,
    ) -> Result<Entry> {
        let mut look = |zone: &Self| zone.state().journal.iter().skip(mark).find(|entry| fits(entry)).cloned();
        self.wait(what, limit, &mut look).await
    }

    /// Waits until name servers show these weights for a name and type: pairs of identifier and weight, in any order.
    pub async fn wait_served(&self, name: &str, kind: Kind, weights: &[(&str, u8)], limit: Duration) -> Result<()> {
        let mut wanted: Vec<(String, Option<u8>)> =
            weights.iter().map(|(identifier, weight)| ((*identifier).to_owned(), Some(*weight))).collect();
        wanted.sort();
        let what = format!("{name} {kind} being served as {weights:?}");
        let name = absolute(name);
        self.wait(&what, limit, |zone| (history::group(&zone.state().served, &name, kind) == wanted).then_some(()))
            .await
    }

    async fn next_due(&self) {
        let due = {
            let state = self.state();
            state.pending.front().filter(|_| !state.held).map(|pending| pending.due)
        };
        match due {
            Some(due) => sleep(due.duration_since(SystemTime::now()).unwrap_or_default()).await,
            None => std::future::pending().await,
        }
    }

    fn last_entries(&self) -> String {
        let journal = self.journal();
        let from = journal.len().saturating_sub(SHOWN);
        let lines: Vec<String> = journal[from..].iter().map(ToString::to_string).collect();
        format!("the last of {} entries in its journal:\n{}", journal.len(), lines.join("\n"))
    }

    /// Everything that is due by now has happened when this returns.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.0.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.settle();
        state
    }

    /// A batch by its id.
    pub(super) fn entry_of_change(&self, change: &str) -> Option<Entry> {
        let has_id = |entry: &&Entry| matches!(&entry.fate, Fate::Accepted { id, .. } if id == change);
        self.state().journal.iter().find(has_id).cloned()
    }
}

impl State {
    fn enter(&mut self, caller: &str, changes: Vec<Change>, fate: Fate) -> Entry {
        let (number, at) = (self.journal.len(), SystemTime::now());
        let entry = Entry { number, at, caller: caller.to_owned(), changes, fate };
        self.journal.push(entry.clone());
        entry
    }

    /// Batches reach the name servers in the order in which they were accepted.
    fn settle(&mut self) {
        let now = SystemTime::now();
        while let Some(Pending { number, due }) = self.pending.front().filter(|next| !self.held && next.due <= now) {
            let (number, due) = (*number, *due);
            self.pending.pop_front();
            self.journal[number].changes.iter().for_each(|change| self.served.apply(change));
            let before = self.journal[..number].iter().filter_map(Entry::insync).max();
            if let Fate::Accepted { insync, .. } = &mut self.journal[number].fate {
                *insync = Some(before.map_or(due, |before| before.max(due)));
            }
        }
    }
}

impl ServedZone for Zone {
    fn origin(&self) -> String {
        self.0.origin.clone()
    }

    fn served_at(&self, name: &str) -> Vec<RecordSet> {
        self.state().served.at(name).cloned().collect()
    }

    fn exists(&self, name: &str) -> bool {
        self.state().served.exists(name)
    }
}

fn refused(refusal: &Refusal) -> Fate {
    Fate::Refused { code: refusal.code.clone(), message: refusal.message.clone() }
}

/// Ids of changes are `C` and up to 31 capitals and digits.
fn change_id(zone: &str, number: usize) -> String {
    format!("C{}{number:08}", zone.trim_start_matches('Z'))
}

fn apex(origin: &str) -> Records {
    let servers = [1, 2, 3, 4].map(|number| format!("ns-{number}.awsdns.invalid."));
    let soa = "ns-1.awsdns.invalid. awsdns-hostmaster.amazon.com. 1 7200 900 1209600 86400";
    let sets =
        [RecordSet::simple(origin, Kind::Ns, APEX_TTL, servers), RecordSet::simple(origin, Kind::Soa, SOA_TTL, [soa])];
    let mut records = Records::default();
    for set in sets {
        records.apply(&Change { action: Action::Create, set });
    }
    records
}
