//! Everything that may happen next in a state.

use std::fmt;

use namespace_migration::machine::Side;

use crate::known::Known;
use crate::process::Step;
use crate::setup::Trouble;
use crate::state::{Ingress, NAMES, Process, SIDES, State, Unaware, at};

/// One thing that happens.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Begin(usize),
    Send(usize),
    Arrive(usize),
    GiveUp(usize),
    Save(usize),
    Crash,
    Fork,
    CatchUp,
    Watch(Side),
    Reload,
    Land(usize),
    Read(Side),
    Apply(Side, usize),
    Forget(Side),
    Sync(Side),
    Tick,
    Ask,
    Sicken,
    Heal,
    Die(Side),
    Revive(Side),
    Foreign(Side, usize, Option<u8>),
    Lose(Side),
    Regain(Side),
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = |who: &usize| if *who == 0 { "the operator" } else { "the second operator" };
        match self {
            Self::Begin(it) => write!(f, "{} decides", who(it)),
            Self::Send(it) => write!(f, "{} reads live and sends, if it may", who(it)),
            Self::Arrive(it) => write!(f, "the write of {} arrives", who(it)),
            Self::GiveUp(it) => write!(f, "{} does not wait for its write any more", who(it)),
            Self::Save(it) => write!(f, "{} saves the status", who(it)),
            Self::Crash => f.write_str("the operator dies and begins anew"),
            Self::Fork => f.write_str("a second operator begins"),
            Self::CatchUp => f.write_str("the second operator comes to know what is live"),
            Self::Watch(side) => write!(f, "the watch brings what is on the {side}"),
            Self::Reload => f.write_str("the watch brings the saved status"),
            Self::Land(_) => f.write_str("a write that nobody waits for arrives"),
            Self::Read(side) => write!(f, "external-dns of the {side} reads its Ingresses"),
            Self::Apply(side, host) => write!(f, "external-dns of the {side} applies {}", NAMES[*host]),
            Self::Forget(side) => write!(f, "external-dns of the {side} dies in its pass"),
            Self::Sync(side) => write!(f, "external-dns of the {side} applies what is written"),
            Self::Tick => f.write_str("time passes, everything listed is served"),
            Self::Ask => f.write_str("a rollback is asked for"),
            Self::Sicken => f.write_str("the target fails"),
            Self::Heal => f.write_str("the target is healthy again"),
            Self::Die(side) => write!(f, "the {side} is out of reach"),
            Self::Revive(side) => write!(f, "the {side} is back"),
            Self::Lose(side) => write!(f, "the load balancer of the {side} loses its address"),
            Self::Regain(side) => write!(f, "the load balancer of the {side} has its address again"),
            Self::Foreign(side, host, Some(weight)) => {
                write!(f, "somebody writes {weight} on {} of the {side}", NAMES[*host])
            }
            Self::Foreign(side, host, None) => {
                write!(f, "somebody removes the annotations of {} of the {side}", NAMES[*host])
            }
        }
    }
}

/// Every action of a configuration, whether or not it can be done now.
pub fn all(known: &Known) -> Vec<Action> {
    let setup = &known.setup;
    let mut all = vec![Action::Tick, Action::Ask];
    for who in 0..=usize::from(setup.may(Trouble::Second)) {
        let steps = [Action::Begin, Action::Send, Action::Arrive, Action::GiveUp, Action::Save];
        all.extend(steps.map(|step| step(who)));
    }
    let ingresses = || 0..setup.ingresses;
    for side in SIDES {
        if setup.may(Trouble::Batches) {
            all.extend([Action::Read(side), Action::Forget(side)]);
            all.extend(setup.hosts().map(|host| Action::Apply(side, host.start)));
        } else {
            all.push(Action::Sync(side));
        }
    }
    for trouble in setup.troubles {
        match *trouble {
            Trouble::Crash => all.push(Action::Crash),
            Trouble::Delay => all.extend([0, 1].map(Action::Land)),
            Trouble::Second => all.extend([Action::Fork, Action::CatchUp]),
            Trouble::Dead(side) => all.extend([Action::Die(side), Action::Revive(side)]),
            Trouble::Foreign(side, weight) => {
                all.extend(ingresses().map(|ingress| Action::Foreign(side, ingress, weight)));
            }
            Trouble::Lag => all.extend([Action::Watch(Side::Source), Action::Watch(Side::Target), Action::Reload]),
            Trouble::Address(side) => all.extend([Action::Lose(side), Action::Regain(side)]),
            Trouble::Sick => all.extend([Action::Sicken, Action::Heal]),
            Trouble::Batches => {}
        }
    }
    all
}

impl State {
    /// What comes of it. None when it cannot be done or changes nothing.
    pub fn after(&self, known: &mut Known, action: Action) -> Step {
        let step = match action {
            Action::Begin(who) => self.begin(known, who),
            Action::Send(who) => self.send(known, who),
            Action::Arrive(who) => self.arrive(known, who),
            Action::GiveUp(who) => self.give_up(known, who),
            Action::Save(who) => self.save(known, who),
            Action::Crash => self.crash(known),
            Action::Land(index) => self.land_late(known, index),
            other => self.of_the_world(known, other).map(Ok),
        };
        let next = step.map(|next| {
            next.map(|mut next| {
                next.look(known);
                next
            })
        });
        next.filter(|next| next.as_ref() != Ok(self))
    }

    /// What nobody of ours does.
    fn of_the_world(&self, known: &mut Known, action: Action) -> Option<Self> {
        let mut next = *self;
        match action {
            Action::Fork => next.fork(known.setup.passes())?,
            Action::CatchUp => next.catch_up()?,
            Action::Watch(side) if next.reach[at(side)] => {
                next.processes[0].as_mut()?.seen[at(side)] = Some(self.live[at(side)]);
            }
            Action::Reload => {
                let process = next.processes[0].as_mut().filter(|process| process.work.is_none())?;
                (process.status, process.current) = (self.home, true);
            }
            Action::Read(side) => next.read(side).then_some(())?,
            Action::Apply(side, first) => {
                let host = known.setup.hosts().find(|host| host.start == first)?;
                next.apply(side, host).then_some(())?;
            }
            Action::Sync(side) => {
                next.read(side).then_some(())?;
                for host in known.setup.hosts() {
                    next.apply(side, host);
                }
            }
            Action::Tick => next.tick(known).then_some(())?,
            Action::Forget(side) => drop(next.readings[at(side)].take()?),
            Action::Ask => next.asked = next.asked.max(1),
            Action::Sicken => (next.sick, next.past.excused) = (true, true),
            Action::Heal => next.sick = false,
            Action::Die(side) => next.reach[at(side)] = false,
            Action::Revive(side) => next.reach[at(side)] = true,
            Action::Lose(side) if next.addressed[at(side)] => {
                next.addressed[at(side)] = false;
                next.disturb(Unaware { since_decided: true, since_sent: false });
            }
            Action::Regain(side) => next.addressed[at(side)] = true,
            Action::Foreign(side, host, weight) => next.foreign(known, side, host, weight)?,
            _ => return None,
        }
        Some(next)
    }

    /// It knows what the first one knows.
    fn fork(&mut self, passes: u8) -> Option<()> {
        let process = self.processes[0].filter(|_| self.processes[1].is_none())?;
        self.left.seconds = self.left.seconds.checked_sub(1)?;
        self.processes[1] = Some(Process { work: None, passes, ..process });
        Some(())
    }

    /// Between two of its passes the second operator comes to know what is live.
    fn catch_up(&mut self) -> Option<()> {
        let (live, reach, home) = (self.live, self.reach, self.home);
        let process = self.processes[1].as_mut().filter(|process| process.work.is_none())?;
        (process.status, process.current) = (home, true);
        for side in SIDES.map(at).into_iter().filter(|side| reach[*side]) {
            process.seen[side] = Some(live[side]);
        }
        Some(())
    }

    /// A tick passes. False where it cannot yet.
    fn tick(&mut self, known: &mut Known) -> bool {
        let old = known.setup.old();
        let in_time = self.propagate(old);
        self.home = known.aged(self.home);
        for process in self.processes.iter_mut().flatten() {
            process.status = known.aged(process.status);
            if let Some(work) = &mut process.work {
                work.age = old.min(work.age + 1);
            }
        }
        in_time
    }

    /// Somebody else writes a weight, or takes all annotations away.
    fn foreign(&mut self, known: &Known, side: Side, host: usize, weight: Option<u8>) -> Option<()> {
        self.left.foreign = self.left.foreign.checked_sub(1)?;
        let old = self.live[at(side)][host];
        let new = match weight {
            Some(_) => Ingress { weight, ours: false, ..old },
            None => Ingress { there: true, ..Ingress::default() },
        };
        (old.there && old.identified && old != new).then_some(())?;
        self.live[at(side)][host] = new;
        self.disturb(Unaware { since_decided: true, since_sent: true });
        self.outdate(known, side, host, true);
        Some(())
    }

    /// What happens that is not ours: whoever has decided or sent something does not know of it.
    pub fn disturb(&mut self, what: Unaware) {
        (self.past.disturbed, self.past.excused) = (true, true);
        let works = self.processes.iter_mut().flatten().filter_map(|process| process.work.as_mut());
        let flights = self.flights.iter_mut().flatten().map(|flight| &mut flight.unaware);
        for unaware in works.map(|work| &mut work.unaware).chain(flights) {
            unaware.since_decided |= what.since_decided;
            unaware.since_sent |= what.since_sent;
        }
        self.flights.sort_unstable();
    }
}
