//! What Route 53's name servers answer, from the zones that they serve.

use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use fastrand::Rng;
use hickory_proto::rr::rdata::{A, AAAA, CNAME, SOA};
use hickory_proto::rr::{Name, RData, Record, RecordType};

use super::choice::{Candidate, choose};
use super::journal::Outcome;
use super::surroundings::{Surroundings, is_balancer_name};
use crate::route53::record::{Kind, Policy, RecordSet, Routing, ServedZone, Target, absolute};

/// More names than this in one answer are a circle.
const MOST_NAMES: usize = 8;
/// The SOA that a new hosted zone gets, and its TTL:
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/SOA-NSrecords.html>.
const DEFAULT_SOA: &str = "ns-2048.awsdns-64.net. hostmaster.example.com. 1 7200 900 1209600 86400";
const DEFAULT_SOA_TTL: u32 = 900;

/// A question, once it is understood.
#[derive(Clone, Debug)]
pub(super) struct Question {
    /// As it was asked: the answer repeats its upper and lower case.
    pub name: Name,
    /// The type in the query.
    pub record_type: RecordType,
    /// Whether names outside of the zone are followed too, as a resolver would do for its user.
    pub recursive: bool,
}

impl Question {
    /// In lower case, with a final dot, a star as `\052`.
    pub fn key(&self) -> String {
        key(&self.name)
    }

    /// The type, if Route 53 has it.
    pub fn kind(&self) -> Option<Kind> {
        self.record_type.to_string().parse().ok()
    }
}

/// An answer before it is put on the wire.
#[derive(Clone, Debug)]
pub(super) struct Answer {
    pub outcome: Outcome,
    pub records: Vec<Record>,
    /// What a negative answer carries, so that it can be remembered (RFC 2308 section 3).
    pub soa: Option<Record>,
    /// The identifier of the set chosen last.
    pub identifier: Option<String>,
}

impl Answer {
    fn new() -> Self {
        Self { outcome: Outcome::Answered, records: vec![], soa: None, identifier: None }
    }

    fn ended(mut self, outcome: Outcome) -> Self {
        self.outcome = outcome;
        self
    }

    /// The addresses in it.
    pub fn addresses(&self) -> Vec<IpAddr> {
        self.records.iter().filter_map(|record| record.data.ip_addr()).collect()
    }
}

/// Something in a record that cannot be answered.
struct Unanswerable;

/// What is served, and the dice.
pub(super) struct Answers {
    zones: Mutex<Vec<Arc<dyn ServedZone>>>,
    surroundings: Surroundings,
    dice: Mutex<Rng>,
    /// TTL of answers from load balancers' names, in seconds.
    alias_ttl: Mutex<u32>,
}

impl Answers {
    pub fn new(surroundings: Surroundings, seed: u64, alias_ttl: u32) -> Self {
        let (dice, alias_ttl) = (Mutex::new(Rng::with_seed(seed)), Mutex::new(alias_ttl));
        Self { zones: Mutex::default(), surroundings, dice, alias_ttl }
    }

    pub fn surroundings(&self) -> &Surroundings {
        &self.surroundings
    }

    pub fn serve(&self, zone: Arc<dyn ServedZone>) {
        self.zones.lock().unwrap_or_else(PoisonError::into_inner).push(zone);
    }

    pub fn set_alias_ttl(&self, seconds: u32) {
        *self.alias_ttl.lock().unwrap_or_else(PoisonError::into_inner) = seconds;
    }

    fn alias_ttl(&self) -> u32 {
        *self.alias_ttl.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The answer to a question, now.
    pub fn answer(&self, question: &Question) -> Answer {
        let name = question.key();
        match self.zone_of(&name) {
            Some(zone) => self.answer_in_zone(&*zone, question),
            None if is_balancer_name(&name) => self.answer_for_balancer(question, question.name.clone(), Answer::new()),
            None => Answer::new().ended(Outcome::NotOurs),
        }
    }

    /// The zone with the longest name of those that the name is in.
    fn zone_of(&self, name: &str) -> Option<Arc<dyn ServedZone>> {
        let zones = self.zones.lock().unwrap_or_else(PoisonError::into_inner);
        let holders = zones.iter().filter(|zone| is_in(name, &zone.origin()));
        holders.max_by_key(|zone| zone.origin().len()).map(Arc::clone)
    }

    /// Follows CNAMEs as far as the zone goes; for a user that asks for recursion to the load balancers' names too.
    fn answer_in_zone(&self, zone: &dyn ServedZone, question: &Question) -> Answer {
        let (mut answer, mut owner) = (Answer::new(), question.name.clone());
        for _ in 0..MOST_NAMES {
            let name = key(&owner);
            if !is_in(&name, &zone.origin()) {
                let goes_on = question.recursive && is_balancer_name(&name);
                return if goes_on { self.answer_for_balancer(question, owner, answer) } else { answer };
            }
            let Some(sets) = sets_at(zone, &name) else {
                answer.soa = soa(zone);
                return answer.ended(Outcome::NoSuchName);
            };
            match self.add_from_sets(zone, question, &owner, &sets, &mut answer) {
                Ok(Some(next)) => owner = next,
                Ok(None) => return answer,
                Err(Unanswerable) => return answer.ended(Outcome::Failed),
            }
        }
        answer.ended(Outcome::Failed)
    }

    /// Adds what the sets of one name say; returns the name to go on with, if there is one.
    fn add_from_sets(
        &self,
        zone: &dyn ServedZone,
        question: &Question,
        owner: &Name,
        sets: &[RecordSet],
        answer: &mut Answer,
    ) -> Result<Option<Name>, Unanswerable> {
        let wanted = question.kind();
        if let Some(set) = wanted.and_then(|kind| self.choose_of(zone, sets, kind)) {
            answer.identifier.clone_from(&set.identifier);
            answer.records.extend(self.records(zone, owner, set, 0)?);
        } else if let Some(set) = self.choose_of(zone, sets, Kind::Cname) {
            answer.identifier.clone_from(&set.identifier);
            let records = self.records(zone, owner, set, 0)?;
            let next = records.iter().find_map(|record| match &record.data {
                RData::CNAME(CNAME(next)) => Some(next.clone()),
                _ => None,
            });
            answer.records.extend(records);
            return next.map(Some).ok_or(Unanswerable);
        }
        let is_answered = wanted.is_some_and(|kind| answer.records.iter().any(|record| is_of(record, kind)));
        if !is_answered {
            answer.soa = soa(zone);
            answer.outcome = Outcome::NoData;
        }
        Ok(None)
    }

    /// What AWS's own name servers say about a load balancer's name.
    fn answer_for_balancer(&self, question: &Question, owner: Name, mut answer: Answer) -> Answer {
        let Some(addresses) = self.surroundings.addresses(&key(&owner)) else {
            return answer.ended(Outcome::NoSuchName);
        };
        let records = balancer_records(&owner, question.kind(), &addresses, self.alias_ttl());
        let outcome = if records.is_empty() { Outcome::NoData } else { Outcome::Answered };
        answer.records.extend(records);
        answer.ended(outcome)
    }

    /// The set that is answered with, of those of a type.
    fn choose_of<'s>(&self, zone: &dyn ServedZone, sets: &'s [RecordSet], kind: Kind) -> Option<&'s RecordSet> {
        let group: Vec<&RecordSet> = sets.iter().filter(|set| set.kind == kind).collect();
        let candidates: Vec<Candidate> = group.iter().map(|set| self.candidate(zone, set)).collect();
        let mut dice = self.dice.lock().unwrap_or_else(PoisonError::into_inner);
        choose(&candidates, &mut dice).map(|chosen| group[chosen])
    }

    /// Failover is a weight of 0 for the secondary; where users are and how far away is the same for all of them here.
    fn candidate(&self, zone: &dyn ServedZone, set: &RecordSet) -> Candidate {
        let weight = match &set.routing {
            Routing::Weighted(weight) => *weight,
            Routing::Other(Policy::Failover(place)) if place == "SECONDARY" => 0,
            Routing::Simple | Routing::Other(_) => 1,
        };
        Candidate { weight, healthy: self.is_healthy(zone, set, 0) }
    }

    fn is_healthy(&self, zone: &dyn ServedZone, set: &RecordSet, depth: usize) -> bool {
        if set.health_check.as_deref().is_some_and(|check| !self.surroundings.does_check_pass(check)) {
            return false;
        }
        match &set.target {
            Target::Alias { dns_name, evaluate_target_health: true, .. } if is_in(dns_name, &zone.origin()) => {
                let targets = sets_at(zone, dns_name).unwrap_or_default();
                let mut group = targets.iter().filter(|target| target.kind == set.kind);
                depth < MOST_NAMES && group.any(|target| self.is_healthy(zone, target, depth + 1))
            }
            Target::Alias { dns_name, evaluate_target_health: true, .. } => {
                self.surroundings.is_balancer_healthy(dns_name)
            }
            Target::Alias { .. } | Target::Values(_) => true,
        }
    }

    /// The records of a set under the name that was asked for. An alias answers what its target answers.
    fn records(
        &self,
        zone: &dyn ServedZone,
        owner: &Name,
        set: &RecordSet,
        depth: usize,
    ) -> Result<Vec<Record>, Unanswerable> {
        match &set.target {
            Target::Values(values) => {
                let record = |value: &String| {
                    let data = data(set.kind, value)?;
                    Ok(Record::from_rdata(owner.clone(), set.ttl.unwrap_or_default(), data))
                };
                values.iter().map(record).collect()
            }
            Target::Alias { .. } if depth >= MOST_NAMES => Err(Unanswerable),
            Target::Alias { dns_name, .. } if is_in(dns_name, &zone.origin()) => {
                let targets = sets_at(zone, dns_name).unwrap_or_default();
                let chosen = self.choose_of(zone, &targets, set.kind);
                chosen.map_or_else(|| Ok(vec![]), |target| self.records(zone, owner, target, depth + 1))
            }
            Target::Alias { dns_name, .. } => {
                let addresses = self.surroundings.addresses(dns_name).unwrap_or_default();
                Ok(balancer_records(owner, Some(set.kind), &addresses, self.alias_ttl()))
            }
        }
    }
}

fn balancer_records(owner: &Name, kind: Option<Kind>, addresses: &[IpAddr], ttl: u32) -> Vec<Record> {
    let data = |address: &IpAddr| match (address, kind) {
        (IpAddr::V4(address), Some(Kind::A)) => Some(RData::A(A(*address))),
        (IpAddr::V6(address), Some(Kind::Aaaa)) => Some(RData::AAAA(AAAA(*address))),
        _ => None,
    };
    addresses.iter().filter_map(data).map(|data| Record::from_rdata(owner.clone(), ttl, data)).collect()
}

/// The sets of a name, or those of the wildcard that covers it. None: the name does not exist.
fn sets_at(zone: &dyn ServedZone, name: &str) -> Option<Vec<RecordSet>> {
    if zone.exists(name) {
        return Some(zone.served_at(name));
    }
    let origin = zone.origin();
    let mut rest = name;
    while let Some((_, parent)) = rest.split_once('.').filter(|(_, parent)| is_in(parent, &origin)) {
        let sets = zone.served_at(&format!("\\052.{parent}"));
        if !sets.is_empty() {
            return Some(sets);
        }
        // A name that exists hides the wildcards above it (RFC 4592 section 2.2.1).
        if zone.exists(parent) {
            return None;
        }
        rest = parent;
    }
    None
}

fn soa(zone: &dyn ServedZone) -> Option<Record> {
    let origin = zone.origin();
    let sets = zone.served_at(&origin);
    let set = sets.iter().find(|set| set.kind == Kind::Soa);
    let value = set.and_then(|set| match &set.target {
        Target::Values(values) => values.first().cloned(),
        Target::Alias { .. } => None,
    });
    let ttl = set.and_then(|set| set.ttl).unwrap_or(DEFAULT_SOA_TTL);
    let data = data(Kind::Soa, value.as_deref().unwrap_or(DEFAULT_SOA)).ok()?;
    let RData::SOA(SOA { minimum, .. }) = &data else { return None };
    // The time that a negative answer may be remembered is the smaller of the two (RFC 2308 section 5).
    let ttl = ttl.min(*minimum);
    Some(Record::from_rdata(Name::from_ascii(&origin).ok()?, ttl, data))
}

fn data(kind: Kind, value: &str) -> Result<RData, Unanswerable> {
    let record_type: RecordType = kind.name().parse().map_err(|_| Unanswerable)?;
    // Route 53 takes a name without its final dot for an absolute one all the same.
    let value = if kind == Kind::Cname { absolute(value) } else { value.to_owned() };
    RData::try_from_str(record_type, &value).map_err(|_| Unanswerable)
}

fn is_of(record: &Record, kind: Kind) -> bool {
    record.record_type().to_string() == kind.name()
}

/// Whether a name is the origin or below it.
fn is_in(name: &str, origin: &str) -> bool {
    name == origin || name.strip_suffix(origin).is_some_and(|rest| rest.ends_with('.'))
}

fn key(name: &Name) -> String {
    absolute(&name.to_ascii())
}

#[cfg(test)]
mod tests;
