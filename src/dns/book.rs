//! PURE. What has been read, by place, and the view of it that a migration gets.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::answers::{self, Answer};
use super::external_dns::Affixes;
use super::history::History;
use super::interest::{Backend, Interest};
use super::schedule::Place;
use crate::machine::records::{DnsView, Evidence, HostView, ListedRecord, Owner, RecordKind, RecordSet, ServerAnswers};

/// An address that was not among a load balancer's for this long is not its own any more.
const ADDRESSES_LAST: SignedDuration = SignedDuration::from_mins(10);

/// Who owns the record set with this identifier, by the ownership record that was found.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ownership {
    /// The set identifier; None for that of a simple record.
    pub identifier: Option<String>,
    /// The owner id. None where the note cannot be read, as an encrypted one.
    pub owner: Option<String>,
}

/// What one reading of one place brought.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reading {
    /// Everything that is listed at the name.
    Listed {
        /// The record sets that lead somewhere.
        sets: Vec<RecordSet>,
        /// What its TXT records say of owners.
        owners: Vec<Ownership>,
    },
    /// One answer of each name server for each kind, and what became of those that gave none.
    Answered {
        /// The answers.
        answers: Vec<(String, RecordKind, Answer)>,
        /// Which servers did not answer, and why.
        trouble: Option<String>,
    },
    /// The addresses behind the name of a load balancer.
    Resolved(BTreeSet<String>),
}

/// Everything that was read for one account.
#[derive(Debug, Default)]
pub struct Book {
    pages: BTreeMap<Place, Page>,
}

#[derive(Debug, Default)]
struct Page {
    read_at: Option<Timestamp>,
    history: History,
    owners: Vec<Ownership>,
    answered: BTreeMap<(String, RecordKind), ServerAnswers>,
    /// Addresses behind a name, and when each was last among them.
    addresses: BTreeMap<String, Timestamp>,
    trouble: Option<String>,
}

/// Whether a reading brought news.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct News {
    /// Something is different from before.
    pub changed: bool,
    /// Other record sets than before are listed, apart from their weights: their owners are to be read anew.
    pub other_sets: bool,
}

impl Book {
    /// Takes in a reading that began and ended at these times. What was listed counts from the end on: only then had it
    /// certainly been listed. After a gap longer than `blind` between two readings it counts anew.
    pub fn note(
        &mut self,
        place: &Place,
        reading: Result<Reading, String>,
        (began, ended): (Timestamp, Timestamp),
        blind: SignedDuration,
    ) -> News {
        let page = self.pages.entry(place.clone()).or_default();
        let (before, trouble) = (page.sets(), page.trouble.take());
        let changed = match reading {
            Err(why) => {
                page.trouble = Some(why);
                false
            }
            Ok(reading) => {
                page.read_at = Some(began);
                page.take_in(reading, ended, blind)
            }
        };
        News { changed: changed || page.trouble != trouble, other_sets: page.sets() != before }
    }

    /// What is known of an asker's hosts, with the owners that ownership records name.
    pub fn view(&self, interest: &Interest) -> DnsView {
        let mut view = DnsView::default();
        for host in &interest.hosts {
            let Some(page) = self.pages.get(&interest.place(host)) else { continue };
            if let Some(why) = &page.trouble {
                view.trouble.insert(host.clone(), why.clone());
            }
            if let Some(read_at) = page.read_at {
                let (since, evidence) = (page.history.since().unwrap_or(read_at), self.evidence(interest, host, page));
                view.hosts.insert(host.clone(), HostView { read_at, since, evidence });
            }
        }
        view
    }

    /// Where the owners of what is listed at this place may be noted.
    pub fn ownership_places(&self, place: &Place, affixes: &BTreeSet<Affixes>) -> BTreeSet<Place> {
        let listed = self.pages.get(place).map(|page| page.history.listed()).unwrap_or_default();
        let names = listed.iter().flat_map(|record| names(affixes, &place.name, &record.set));
        names.map(|name| Place { within: place.within.clone(), name }).collect()
    }

    /// Forgets every other place.
    pub fn keep_only<V>(&mut self, places: &BTreeMap<Place, V>) {
        self.pages.retain(|place, _| places.contains_key(place));
    }

    fn evidence(&self, interest: &Interest, host: &str, page: &Page) -> Evidence {
        if matches!(interest.backend, Backend::NameServers(_)) {
            return Evidence::Answered { servers: page.answered.clone(), balancers: self.balancers(interest) };
        }
        let with_owner = |record: &ListedRecord| {
            let owner = self.owner(interest, host, record);
            ListedRecord { set: RecordSet { owner, ..record.set.clone() }, since: record.since }
        };
        Evidence::Listed(page.history.listed().iter().map(with_owner).collect())
    }

    /// What the ownership records say of a record set. That there is none is known only from a reading that began after the set
    /// was seen to be listed: both are written in one batch.
    fn owner(&self, interest: &Interest, host: &str, record: &ListedRecord) -> Owner {
        let names: Vec<_> = names(&interest.affixes, host, &record.set).collect();
        let pages: Vec<_> = names.iter().filter_map(|name| self.pages.get(&interest.place(name))).collect();
        let noted = pages.iter().flat_map(|page| &page.owners);
        let of_set: Vec<_> = noted.filter(|noted| noted.identifier == record.set.identifier).collect();
        if let Some(owner) = of_set.iter().find_map(|noted| noted.owner.clone()) {
            return Owner::Named(owner);
        }
        let is_read = |page: &&Page| page.read_at.is_some_and(|read_at| read_at >= record.since);
        if of_set.is_empty() && pages.len() == names.len() && pages.iter().all(is_read) {
            return Owner::Absent { sought: names };
        }
        Owner::Unread
    }

    fn balancers(&self, interest: &Interest) -> BTreeMap<String, BTreeSet<String>> {
        let known = interest.balancers.iter().filter_map(|name| {
            let page = self.pages.get(&Interest::balancer(name))?;
            Some((name.clone(), page.addresses.keys().cloned().collect()))
        });
        known.collect()
    }
}

fn names<'a>(affixes: &'a BTreeSet<Affixes>, host: &'a str, set: &'a RecordSet) -> impl Iterator<Item = String> + 'a {
    affixes.iter().flat_map(move |affixes| affixes.ownership_names(host, set.kind, set.ttl.is_none()))
}

impl Page {
    fn take_in(&mut self, reading: Reading, at: Timestamp, blind: SignedDuration) -> bool {
        match reading {
            Reading::Listed { sets, mut owners } => {
                owners.sort();
                let other_owners = std::mem::replace(&mut self.owners, owners) != self.owners;
                self.history.read(sets, at, blind) || other_owners
            }
            Reading::Resolved(addresses) => self.resolved(addresses, at),
            Reading::Answered { answers, trouble } => {
                self.trouble = trouble;
                let others = self.not_answered_any_more(&answers);
                let all = answers.into_iter().chain(others);
                all.fold(false, |changed, (server, kind, answer)| {
                    answers::count(self.answered.entry((server, kind)).or_default(), &answer, at) || changed
                })
            }
        }
    }

    /// A load balancer answers with some of its addresses only: what was among them lately still is.
    fn resolved(&mut self, addresses: BTreeSet<String>, at: Timestamp) -> bool {
        let before = self.addresses.len();
        self.addresses.retain(|_, seen| at.duration_since(*seen) < ADDRESSES_LAST);
        let fewer = self.addresses.len() < before;
        addresses.into_iter().fold(fewer, |changed, address| self.addresses.insert(address, at).is_none() || changed)
    }

    /// Where a server gave an address it does not give a name any more, and the other way round.
    fn not_answered_any_more(&self, answers: &[(String, RecordKind, Answer)]) -> Vec<(String, RecordKind, Answer)> {
        let other = answers.iter().filter_map(|(server, kind, _)| match kind {
            RecordKind::A => Some((server.clone(), RecordKind::Cname)),
            RecordKind::Cname => Some((server.clone(), RecordKind::A)),
            RecordKind::Aaaa => None,
        });
        let known = other.filter(|key| self.answered.contains_key(key));
        known.map(|(server, kind)| (server, kind, Answer::default())).collect()
    }

    /// The record sets without what changes all the time.
    fn sets(&self) -> BTreeSet<(RecordKind, Option<String>)> {
        self.history.listed().iter().map(|record| (record.set.kind, record.set.identifier.clone())).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dns::interest::Account;
    use crate::dns::schedule::Within;
    use crate::machine::records::Routing;
    use crate::machine::traffic::Weight;
    use crate::machine::urgency::Urgency;

    const BLIND: SignedDuration = SignedDuration::from_secs(30);

    fn at(seconds: i64) -> Timestamp {
        Timestamp::UNIX_EPOCH + SignedDuration::from_secs(seconds)
    }

    fn place(name: &str) -> Place {
        Place { within: Within::BestZone, name: name.to_owned() }
    }

    fn listed(weight: i32) -> Reading {
        let set = RecordSet {
            kind: RecordKind::A,
            identifier: Some("web-blue".to_owned()),
            routing: Routing::Weighted(Weight::percent(weight)),
            ttl: None,
            leads_to: vec!["lb.example".to_owned()],
            owner: Owner::Unread,
        };
        Reading::Listed { sets: vec![set], owners: vec![] }
    }

    fn owned_by(owner: &str) -> Reading {
        let noted = Ownership { identifier: Some("web-blue".to_owned()), owner: Some(owner.to_owned()) };
        Reading::Listed { sets: vec![], owners: vec![noted] }
    }

    fn interest() -> Interest {
        Interest {
            propagation: std::time::Duration::from_secs(60),
            pair: "old-to-new".to_owned(),
            backend: Backend::Route53(Account::default()),
            zone: None,
            hosts: ["shop.example".to_owned()].into(),
            balancers: BTreeSet::new(),
            affixes: [Affixes::default()].into(),
            metrics_urls: [None, None],
            urgency: Urgency::Raising,
        }
    }

    fn view(book: &Book) -> DnsView {
        book.view(&interest())
    }

    fn record(view: &DnsView) -> ListedRecord {
        match &view.hosts["shop.example"].evidence {
            Evidence::Listed(listed) => listed[0].clone(),
            Evidence::Answered { .. } => panic!("it was listed"),
        }
    }

    #[test]
    fn what_is_listed_counts_from_the_end_of_the_first_reading_that_had_it() {
        let mut book = Book::default();
        let news = book.note(&place("shop.example"), Ok(listed(100)), (at(1), at(2)), BLIND);
        assert_eq!(news, News { changed: true, other_sets: true });
        assert_eq!(book.note(&place("shop.example"), Ok(listed(100)), (at(10), at(11)), BLIND), News::default());
        let view = view(&book);
        assert_eq!((record(&view).since, view.hosts["shop.example"].read_at), (at(2), at(10)));
    }

    #[test]
    fn a_reading_that_failed_is_told_and_breaks_no_history() {
        let mut book = Book::default();
        book.note(&place("shop.example"), Ok(listed(100)), (at(1), at(2)), BLIND);
        let news = book.note(&place("shop.example"), Err("throttled".to_owned()), (at(3), at(4)), BLIND);
        assert_eq!(news, News { changed: true, other_sets: false });
        let failed = view(&book);
        assert_eq!(failed.trouble["shop.example"], "throttled");
        assert_eq!(failed.hosts["shop.example"].read_at, at(1));
        book.note(&place("shop.example"), Ok(listed(100)), (at(5), at(6)), BLIND);
        assert_eq!((record(&view(&book)).since, view(&book).trouble.len()), (at(2), 0));
    }

    #[test]
    fn a_change_of_weight_is_news_but_no_other_set() {
        let mut book = Book::default();
        book.note(&place("shop.example"), Ok(listed(100)), (at(1), at(2)), BLIND);
        let news = book.note(&place("shop.example"), Ok(listed(99)), (at(3), at(4)), BLIND);
        assert_eq!(news, News { changed: true, other_sets: false });
    }

    #[test]
    fn the_owner_is_found_where_either_generation_of_external_dns_notes_it() {
        let mut book = Book::default();
        book.note(&place("shop.example"), Ok(listed(100)), (at(1), at(2)), BLIND);
        assert_eq!(record(&view(&book)).set.owner, Owner::Unread);
        let places = book.ownership_places(&place("shop.example"), &[Affixes::default()].into());
        assert_eq!(places, ["a-shop.example", "cname-shop.example"].map(place).into());
        assert!(book.note(&place("cname-shop.example"), Ok(owned_by("old")), (at(3), at(4)), BLIND).changed);
        assert_eq!(record(&view(&book)).set.owner.named(), Some("old"));
        book.note(&place("a-shop.example"), Ok(owned_by("new")), (at(3), at(4)), BLIND);
        assert_eq!(record(&view(&book)).set.owner.named(), Some("new"));
    }

    #[test]
    fn that_there_is_no_ownership_record_is_known_only_after_all_names_were_read_since_the_set_is_listed() {
        let mut book = Book::default();
        let nothing = || Ok(Reading::Listed { sets: vec![], owners: vec![] });
        let names = ["a-shop.example", "cname-shop.example"];
        for name in names {
            book.note(&place(name), nothing(), (at(1), at(1)), BLIND);
        }
        book.note(&place("shop.example"), Ok(listed(100)), (at(2), at(2)), BLIND);
        assert_eq!(record(&view(&book)).set.owner, Owner::Unread, "both were read before it was listed");
        book.note(&place(names[0]), nothing(), (at(3), at(3)), BLIND);
        assert_eq!(record(&view(&book)).set.owner, Owner::Unread, "one of two names has been read since");
        book.note(&place(names[1]), Err("throttled".to_owned()), (at(3), at(3)), BLIND);
        assert_eq!(record(&view(&book)).set.owner, Owner::Unread, "what was not answered is not known");
        book.note(&place(names[1]), nothing(), (at(4), at(4)), BLIND);
        assert_eq!(record(&view(&book)).set.owner, Owner::Absent { sought: names.map(str::to_owned).into() });
        let encrypted = Ownership { identifier: Some("web-blue".to_owned()), owner: None };
        book.note(
            &place(names[1]),
            Ok(Reading::Listed { sets: vec![], owners: vec![encrypted] }),
            (at(5), at(5)),
            BLIND,
        );
        assert_eq!(record(&view(&book)).set.owner, Owner::Unread, "there is one, and nobody can read it");
    }

    #[test]
    fn answers_come_with_the_addresses_behind_the_load_balancers_lately() {
        let mut book = Book::default();
        let (backend, balancers) = (Backend::NameServers(vec![]), ["lb.example".to_owned()].into());
        let interest = Interest { backend, balancers, ..interest() };
        let to = |name: &str| Answer { leads_to: [name.to_owned()].into(), ttl: None };
        let answered = |kind, name| Reading::Answered {
            answers: vec![("192.0.2.53:53".to_owned(), kind, to(name))],
            trouble: Some("another one is silent".to_owned()),
        };
        book.note(&place("shop.example"), Ok(answered(RecordKind::Cname, "lb.example")), (at(1), at(1)), BLIND);
        book.note(&place("shop.example"), Ok(answered(RecordKind::A, "192.0.2.1")), (at(2), at(2)), BLIND);
        for (second, address) in [(1, "192.0.2.1"), (500, "192.0.2.2"), (700, "192.0.2.3")] {
            let resolved = Reading::Resolved([address.to_owned()].into());
            book.note(&Interest::balancer("lb.example"), Ok(resolved), (at(second), at(second)), BLIND);
        }
        let view = book.view(&interest);
        assert_eq!(view.trouble["shop.example"], "another one is silent");
        let Evidence::Answered { servers, balancers } = &view.hosts["shop.example"].evidence else { panic!("asked") };
        let name = &servers[&("192.0.2.53:53".to_owned(), RecordKind::Cname)];
        assert_eq!(name.seen["lb.example"].answers_since, 1, "an address is no name");
        assert_eq!(balancers["lb.example"], ["192.0.2.2".to_owned(), "192.0.2.3".to_owned()].into());
    }
}
