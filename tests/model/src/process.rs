//! What a process of the operator does, one step at a time: decide, read and send, hear of it, save. It may die in between.

use namespace_migration::machine::{Effect, Side};

use crate::facts::{View, listed};
use crate::known::{Answer, Known};
use crate::planted;
use crate::promises;
use crate::setup::Trouble;
use crate::state::{Flight, Ingress, Mark, Process, SIDES, Seen, State, Unaware, Work, at};

/// What a step broke, if anything. None in the place of the state: the step cannot be done.
pub type Step = Option<Result<State, String>>;

impl State {
    /// It decides on what it knows and sees. What changes only the status is saved at once.
    pub fn begin(mut self, known: &mut Known, who: usize) -> Step {
        let process = self.processes[who].filter(|process| process.work.is_none())?;
        let mut view = View {
            token: self.asked,
            sick: self.sick,
            reach: self.reach,
            addressed: self.addressed,
            seen: process.seen,
            listed: listed(&self.records),
        };
        planted::misread(&known.setup, &self, known.status(process.status), &mut view);
        let decision = known.decide(process.status, &view);
        let decided = known.decided(decision).clone();
        if decided.writes.is_empty() && decided.status == process.status {
            return None;
        }
        if known.has_ended(process.status)
            && !decided.writes.is_empty()
            && !promises::may_wake(known, &self, process.status)
        {
            return Some(Err("an ended migration acts".into()));
        }
        let approved = crate::known::approved(known.status(decided.status));
        self.past.approved = self.past.approved.max(approved);
        let unaware = Unaware { since_decided: self.has_missed(process.seen), since_sent: false };
        let work = Work { decision, next: 0, sent: false, failed: false, source_failed: false, age: 0, unaware };
        self.processes[who] = Some(Process { work: Some(work), ..process });
        if decided.writes.is_empty() {
            return self.save(known, who);
        }
        self.pass_over(known, who);
        Some(Ok(self))
    }

    /// It reads what its next write needs, and sends it if that is permitted.
    pub fn send(mut self, known: &mut Known, who: usize) -> Step {
        let work = self.processes[who]?.work.filter(|work| !work.sent)?;
        let number = *known.decided(work.decision).writes.get(usize::from(work.next))?;
        let write = known.write(number).clone();
        let (own, other) = (at(write.side), at(write.side.other()));
        let reached = self.reach[own] && (!write.needs_other() || self.reach[other]);
        if !reached || (write.is_back() && planted::is_kept_back(&known.setup, write.side, self.reach)) {
            self.go_on(known, who, false);
            return Some(Ok(self));
        }
        match known.permit(number, self.live[own][write.host], self.live[other][write.host]) {
            Answer::Send => {
                if let Some(broken) = promises::of_sending(&write, &self, work.unaware) {
                    return Some(Err(broken));
                }
                let work = self.work_mut(who);
                (work.sent, work.unaware.since_sent) = (true, false);
            }
            Answer::Done => self.go_on(known, who, true),
            Answer::Refused => self.go_on(known, who, false),
        }
        Some(Ok(self))
    }

    /// Its write arrives, and the answer comes back.
    pub fn arrive(mut self, known: &mut Known, who: usize) -> Step {
        let work = self.processes[who]?.work.filter(|work| work.sent)?;
        let number = known.decided(work.decision).writes[usize::from(work.next)];
        if !self.reach[at(known.write(number).side)] {
            return None;
        }
        self.work_mut(who).sent = false;
        let landed = self.land(known, Flight { write: number, unaware: work.unaware });
        self.go_on(known, who, landed.is_ok());
        Some(landed.map(|()| self))
    }

    /// It does not wait any longer: the write may still arrive.
    pub fn give_up(mut self, known: &mut Known, who: usize) -> Step {
        let work = self.processes[who]?.work.filter(|work| work.sent)?;
        let number = known.decided(work.decision).writes[usize::from(work.next)];
        let dead = !self.reach[at(known.write(number).side)];
        if !self.take_off(Flight { write: number, unaware: work.unaware }) && !dead {
            return None;
        }
        self.go_on(known, who, false);
        Some(Ok(self))
    }

    /// A write that nobody waits for arrives.
    pub fn land_late(mut self, known: &Known, index: usize) -> Step {
        let flight = self.flights[index].take()?;
        self.flights.sort_unstable();
        Some(self.land(known, flight).map(|()| self))
    }

    /// What was decided is saved, if nobody has saved anything since. The second process ends with its last pass.
    pub fn save(mut self, known: &mut Known, who: usize) -> Step {
        let process = self.processes[who]?;
        let work = process.work.filter(|work| !work.sent)?;
        let decided = known.decided(work.decision);
        if usize::from(work.next) < decided.writes.len() {
            return None;
        }
        let mut status = decided.status;
        for _ in 0..work.age {
            status = known.aged(status);
        }
        let before = known.stage(self.home);
        if process.current && status != self.home {
            self.home = status;
            for other in self.processes.iter_mut().flatten() {
                other.current = false;
            }
        }
        let passes = process.passes.saturating_sub(u8::from(who == 1));
        let idle = Process { status: self.home, current: true, work: None, passes, ..process };
        self.processes[who] = Some(idle).filter(|idle| who == 0 || idle.passes > 0);
        Some(promises::of_saved(known, before, &self, work.unaware).map_or(Ok(self), Err))
    }

    /// It dies. A new one knows what was saved, and lists what it reaches.
    pub fn crash(mut self, known: &Known) -> Step {
        let process = self.processes[0]?;
        self.left.crashes = self.left.crashes.checked_sub(1)?;
        if let Some(work) = process.work.filter(|work| work.sent) {
            let write = known.decided(work.decision).writes[usize::from(work.next)];
            self.take_off(Flight { write, unaware: work.unaware });
        }
        let seen = [0, 1].map(|side| self.reach[side].then_some(self.live[side]));
        self.processes[0] = Some(Process { status: self.home, current: true, seen, work: None, passes: 0 });
        Some(Ok(self))
    }

    /// Whether somebody else has written what a process with old watches does not see: only a second operator has such.
    fn has_missed(&self, seen: [Seen; 2]) -> bool {
        let missed = |side: usize| {
            let pairs = seen[side].iter().flatten().zip(&self.live[side]);
            pairs.into_iter().any(|(seen, live)| !live.ours && seen != live)
        };
        [0, 1].into_iter().any(missed)
    }

    fn work_mut(&mut self, who: usize) -> &mut Work {
        self.processes[who].as_mut().unwrap().work.as_mut().unwrap()
    }

    /// A write stays on its way. False when no more may, so that it never arrives.
    fn take_off(&mut self, flight: Flight) -> bool {
        let free = self.flights.iter_mut().find(|flight| flight.is_none());
        let (Some(free), Some(left)) = (free, self.left.delays.checked_sub(1)) else { return false };
        (*free, self.left.delays) = (Some(flight), left);
        self.flights.sort_unstable();
        true
    }

    /// The executor's order: a forward batch that fails ends the pass; a rollback's batches do not wait for each other,
    /// but for a target's write that must not come before the source's.
    fn go_on(&mut self, known: &Known, who: usize, well: bool) {
        let work = self.work_mut(who);
        let writes = &known.decided(work.decision).writes;
        let write = known.write(writes[usize::from(work.next)]);
        (work.sent, work.failed) = (false, work.failed || !well);
        work.next += 1;
        let next = writes.get(usize::from(work.next)).map(|number| known.write(*number));
        if next.is_some_and(|next| write.is_beside(next)) {
            return;
        }
        work.source_failed |= work.failed && write.side == Side::Source && !planted::forgets(&known.setup);
        if work.failed && !write.effect.stands_alone() {
            work.next = u8::try_from(writes.len()).unwrap();
        }
        work.failed = false;
        self.pass_over(known, who);
    }

    fn pass_over(&mut self, known: &Known, who: usize) {
        let work = self.work_mut(who);
        let writes = &known.decided(work.decision).writes;
        let waits = |number: &u32| known.write(*number).waits_for_source();
        while work.source_failed && writes.get(usize::from(work.next)).is_some_and(waits) {
            work.next += 1;
        }
    }

    /// A write arrives that fits: uid and resourceVersion are what they were when it was read for.
    fn land(&mut self, known: &Known, flight: Flight) -> Result<(), String> {
        let (before, write) = (*self, known.write(flight.write));
        let (side, host) = (at(write.side), write.host);
        let old = self.live[side][host];
        let (weight, stamp) = match &write.effect {
            Effect::WriteWeight(it) => (u8::try_from(it.weight.get()).unwrap(), &it.stamp),
            Effect::CreateIngress(it) => (0, &it.stamp),
            _ => return Ok(()),
        };
        if old.there == matches!(write.effect, Effect::CreateIngress(_)) {
            return Ok(());
        }
        let stamp = Some(Mark::new(stamp.epoch, stamp.direction));
        let new = Ingress { there: true, weight: Some(weight), identified: true, ours: true, stamp };
        self.live[side][host] = new;
        self.past.fenced[side][host] |= write.is_back();
        self.outdate(known, write.side, host, old.weight != new.weight);
        promises::of_write(known, &before, self, flight).map_or(Ok(()), Err)
    }

    /// The object has changed: what was read before does not fit any more, and fails where it arrives.
    pub fn outdate(&mut self, known: &Known, side: Side, host: usize, changes_weight: bool) {
        if planted::keeps_version(&known.setup, changes_weight) {
            return;
        }
        let is_old = |number: u32| {
            let write = known.write(number);
            write.side == side && write.host == host
        };
        for flight in &mut self.flights {
            *flight = flight.filter(|flight| !is_old(flight.write));
        }
        self.flights.sort_unstable();
        for who in 0..2 {
            let Some(work) = self.processes[who].and_then(|process| process.work).filter(|work| work.sent) else {
                continue;
            };
            if is_old(known.decided(work.decision).writes[usize::from(work.next)]) {
                self.go_on(known, who, false);
            }
        }
    }

    /// What watches have brought meanwhile. The second process sees what it saw in the beginning, until it catches up.
    pub fn look(&mut self, known: &Known) {
        self.past.disturbed &= !promises::is_quiet(known, self);
        let (live, reach, home) = (self.live, self.reach, self.home);
        let Some(process) = self.processes[0].as_mut().filter(|_| !known.setup.may(Trouble::Lag)) else { return };
        if process.work.is_none() {
            (process.status, process.current) = (home, true);
        }
        for side in SIDES.map(at).into_iter().filter(|side| reach[*side]) {
            process.seen[side] = Some(live[side]);
        }
    }
}
