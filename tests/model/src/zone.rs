//! Route 53 and two external-dns: what each applies, what is refused, and what is served in the end.

use std::ops::Range;

use namespace_migration::machine::Side;
use namespace_migration::machine::traffic::{Weight, target_share};

use crate::state::{Ingress, Reading, Record, Shown, State, Unaware, at};

/// What an external-dns makes of an Ingress whose load balancer has an address, or none.
pub fn wanted(ingress: Ingress, addressed: bool) -> Shown {
    match (ingress.there && addressed, ingress.identified) {
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
        for (ingress, wish) in wishes.iter_mut().enumerate() {
            let wanted = wanted(self.live[side][ingress], self.addressed[side]);
            *wish = (wanted != self.records[side][ingress].listed).then_some(wanted);
        }
        self.readings[side] = wishes.iter().any(Option::is_some).then_some(Reading { wishes, aged: false });
        self.readings[side].is_some()
    }

    /// It applies one host, which is that of these Ingresses, in one batch. A batch that is refused is gone until the next pass.
    pub fn apply(&mut self, side: Side, host: Range<usize>) -> bool {
        let side = at(side);
        let Some(reading) = self.readings[side].as_mut() else { return false };
        let mut batch = [None; 2];
        for ingress in host.clone() {
            batch[ingress] = reading.wishes[ingress].take();
        }
        if reading.wishes.iter().all(Option::is_none) {
            self.readings[side] = None;
        }
        if batch == [None; 2] {
            return false;
        }
        let mut after = self.records;
        for (ingress, wanted) in batch.into_iter().enumerate() {
            if let Some(listed) = wanted {
                after[side][ingress] = Record { listed, served: after[side][ingress].served, age: 0 };
            }
        }
        if is_accepted(&after, host) {
            self.records = after;
            if batch.contains(&Some(Shown::Nothing)) {
                // Of the address that was lost the operator may have known, but not of the record.
                self.disturb(Unaware { since_decided: true, since_sent: false });
            }
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

    /// The target's share of the answers at the host of these Ingresses, in percent. A simple record is alone.
    pub fn served_share(&self, host: Range<usize>) -> i32 {
        if self.serves(0, host.clone()).any(|served| served == Shown::Simple) {
            return 0;
        }
        let [source, target] = [0, 1].map(|side| self.serves(side, host.clone()).flat_map(weights).collect::<Vec<_>>());
        target_share(&source, &target)
    }

    /// Whether DNS answers with weight 0 on both sides, which is an even split.
    pub fn serves_two_zeros(&self, host: &Range<usize>) -> bool {
        [0, 1].into_iter().all(|side| self.serves(side, host.clone()).all(|served| served == Shown::Weighted(0)))
    }

    /// Whether DNS answers with the source, if anybody is answered with anything else.
    pub fn serves_source(&self, host: Range<usize>) -> bool {
        self.serves(0, host).any(|served| served != Shown::Nothing)
    }

    fn serves(&self, side: usize, host: Range<usize>) -> impl Iterator<Item = Shown> + '_ {
        host.map(move |ingress| self.records[side][ingress].served)
    }
}

/// Weighted and simple records of one name are refused beside each other, and so are two simple ones. Those of two Ingresses of one
/// cluster are one.
fn is_accepted(records: &[[Record; 2]; 2], host: Range<usize>) -> bool {
    let listed = |side: usize| host.clone().map(move |ingress| records[side][ingress].listed);
    let simple = |side: usize| listed(side).any(|listed| listed == Shown::Simple);
    let weighted = listed(0).chain(listed(1)).any(|listed| matches!(listed, Shown::Weighted(_)));
    match (simple(0), simple(1)) {
        (true, true) => false,
        (false, false) => true,
        _ => !weighted,
    }
}

fn weights(shown: Shown) -> Vec<Weight> {
    match shown {
        Shown::Nothing => vec![],
        Shown::Simple => vec![Weight::FULL],
        Shown::Weighted(weight) => vec![Weight::percent(i32::from(weight))],
    }
}
