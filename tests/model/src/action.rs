//! Everything that may happen next in a state.

use std::fmt;

use namespace_migration::machine::Side;

use crate::known::Known;
use crate::process::Step;
use crate::setup::Trouble;
use crate::state::{Ingress, NAMES, Past, Process, SIDES, State, at};

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
    let hosts = || 0..setup.ingresses;
    for side in SIDES {
        if setup.may(Trouble::Batches) {
            all.extend([Action::Read(side), Action::Forget(side)]);
            all.extend(hosts().map(|host| Action::Apply(side, host)));
        } else {
            all.push(Action::Sync(side));
        }
    }
    for trouble in setup.troubles {
        match *trouble {
            Trouble::Crash => all.push(Action::Crash),
            Trouble::Delay => all.extend([0, 1].map(Action::Land)),
            Trouble::Second => all.push(Action::Fork),
            Trouble::Dead(side) => all.extend([Action::Die(side), Action::Revive(side)]),
            Trouble::Foreign(side, weight) => all.extend(hosts().map(|host| Action::Foreign(side, host, weight))),
            Trouble::Lag => all.extend([Action::Watch(Side::Source), Action::Watch(Side::Target), Action::Reload]),
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
            Action::Fork => next.fork()?,
            Action::Watch(side) if next.reach[at(side)] => {
                next.processes[0].as_mut()?.seen[at(side)] = Some(self.live[at(side)]);
            }
            Action::Reload => {
                let process = next.processes[0].as_mut().filter(|process| process.work.is_none())?;
                (process.status, process.current) = (self.home, true);
            }
            Action::Read(side) => next.read(side).then_some(())?,
            Action::Apply(side, host) => next.apply(side, host).then_some(())?,
            Action::Sync(side) => {
                next.read(side).then_some(())?;
                for host in 0..known.setup.ingresses {
                    next.apply(side, host);
                }
            }
            Action::Tick => next.tick(known).then_some(())?,
            Action::Forget(side) => drop(next.readings[at(side)].take()?),
            Action::Ask => next.asked = next.asked.max(1),
            Action::Sicken => next.sick = true,
            Action::Heal => next.sick = false,
            Action::Die(side) => next.reach[at(side)] = false,
            Action::Revive(side) => next.reach[at(side)] = true,
            Action::Foreign(side, host, weight) => next.foreign(known, side, host, weight)?,
            _ => return None,
        }
        Some(next)
    }

    /// It knows what the first one knows.
    fn fork(&mut self) -> Option<()> {
        let process = self.processes[0].filter(|_| self.processes[1].is_none())?;
        self.left.seconds = self.left.seconds.checked_sub(1)?;
        self.processes[1] = Some(Process { work: None, ..process });
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
        let is_sent = |process: &Process| process.work.is_some_and(|work| work.sent);
        let on_the_way = self.processes.iter().flatten().any(is_sent) || self.flights != [None; 2];
        self.past = Past { disturbed: true, crossed: self.past.crossed || on_the_way, ..self.past };
        self.outdate(known, side, host, true);
        Some(())
    }
}
