//! Route 53 and two external-dns: what each applies, what is refused, and what is served in the end.

use namespace_migration::machine::Side;
use namespace_migration::machine::traffic::{Weight, target_share};

use crate::state::{Ingress, Reading, Record, Shown, State, at};

/// What an external-dns makes of an Ingress.
pub fn wanted(ingress: Ingress) -> Shown {
    match (ingress.there, ingress.identified) {
        (false, _) => Shown::Nothing,
        (true, false) => Shown::Simple,
        (true, true) => Shown::Weighted(ingress.weight.unwrap_or(0)),
    }
}

impl State {
    /// An external-dns begins a pass, if there is anything to apply.
    pub fn read(&mut self, side: Side) -> bool {
        let side = at(side);
        if self.readings[side].is_some() {
            return false;
        }
        let mut wishes = [None; 2];
        for (host, wish) in wishes.iter_mut().enumerate() {
            let wanted = wanted(self.live[side][host]);
            *wish = (wanted != self.records[side][host].listed).then_some(wanted);
        }
        self.readings[side] = wishes.iter().any(Option::is_some).then_some(Reading { wishes, aged: false });
        self.readings[side].is_some()
    }

    /// It applies one host. A change that is refused is gone until the next pass.
    pub fn apply(&mut self, side: Side, host: usize) -> bool {
        let side = at(side);
        let reading = self.readings[side].as_mut();
        let Some(wanted) = reading.and_then(|reading| reading.wishes[host].take()) else { return false };
        if self.readings[side].is_some_and(|reading| reading.wishes.iter().all(Option::is_none)) {
            self.readings[side] = None;
        }
        let other = self.records[1 - side][host].listed;
        let simple = wanted == Shown::Simple || other == Shown::Simple;
        if !(simple && wanted != Shown::Nothing && other != Shown::Nothing) {
            let record = &mut self.records[side][host];
            *record = Record { listed: wanted, served: record.served, age: 0 };
        }
        true
    }

    /// A tick passes, in which everything that is listed comes to be served. Not while a pass would take longer than two.
    pub fn propagate(&mut self, old: u8) -> bool {
        for record in self.records.iter_mut().flatten() {
            (record.served, record.age) = (record.listed, old.min(record.age + 1));
        }
        let readings = self.readings.iter_mut().flatten();
        readings.fold(true, |in_time, reading| in_time & !std::mem::replace(&mut reading.aged, true))
    }

    /// The target's share of the answers at a host, in percent. A simple record is alone.
    pub fn served_share(&self, host: usize) -> i32 {
        let [source, target] = [self.records[0][host].served, self.records[1][host].served];
        if source == Shown::Simple {
            return 0;
        }
        target_share(&weights(source), &weights(target))
    }

    /// Whether DNS answers with weight 0 on both sides, which is an even split.
    pub fn serves_two_zeros(&self, host: usize) -> bool {
        self.records.iter().all(|side| side[host].served == Shown::Weighted(0))
    }
}

fn weights(shown: Shown) -> Vec<Weight> {
    match shown {
        Shown::Nothing => vec![],
        Shown::Simple => vec![Weight::FULL],
        Shown::Weighted(weight) => vec![Weight::percent(i32::from(weight))],
    }
}
