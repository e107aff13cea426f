//! From every state there is a way back: nothing goes wrong any more, a rollback is asked for, and everything is on the source.

use std::collections::HashSet;

use namespace_migration::api::Stage;
use namespace_migration::machine::Side;

use crate::action::Action;
use crate::known::Known;
use crate::promises::{is_back, source_is_raised};
use crate::state::{Process, State};

/// More actions than any way back takes.
const LONGEST: usize = 120;

/// The states from which the way back was seen to lead to its end.
#[derive(Debug, Default)]
pub struct WaysBack {
    with_both: HashSet<State>,
    with_dead_target: HashSet<State>,
}

impl WaysBack {
    /// Why there is no way back from a state.
    pub fn missing(&mut self, known: &mut Known, state: &State) -> Option<String> {
        let both = walk(known, &mut self.with_both, begin(state, true), true);
        both.or_else(|| walk(known, &mut self.with_dead_target, begin(state, false), false))
    }

    /// How many states lie on the ways.
    pub fn states(&self) -> usize {
        self.with_both.len() + self.with_dead_target.len()
    }
}

/// The first operator goes on, alone and with everything in reach but a dead target.
fn begin(state: &State, target_lives: bool) -> State {
    let mut state = *state;
    state.reach = [true, target_lives];
    state.addressed = [true; 2];
    state.processes[1] = None;
    state.flights = [None; 2];
    state.asked += 1;
    if !target_lives {
        state.readings[1] = None;
    }
    if let Some(process) = &mut state.processes[0] {
        let work = process.work.map(|work| crate::state::Work { sent: false, ..work });
        *process = Process { work, ..*process };
    }
    state
}

fn walk(known: &mut Known, good: &mut HashSet<State>, mut state: State, both: bool) -> Option<String> {
    let mut way = vec![];
    let trouble = loop {
        if good.contains(&state) {
            break None;
        }
        if is_there(known, &state, both) || is_left_alone(known, &state) {
            good.insert(state);
            break None;
        }
        if way.len() > LONGEST {
            break Some(stuck(known, &state, both));
        }
        way.push(state);
        match next(known, &state, both) {
            Some(Ok(next)) => state = next,
            Some(Err(broken)) => break Some(format!("on the way back: {broken}")),
            None => break Some(stuck(known, &state, both)),
        }
    };
    if trouble.is_none() {
        good.extend(way);
    }
    trouble
}

fn is_there(known: &Known, state: &State, both: bool) -> bool {
    let idle = state.processes[0].is_some_and(|process| process.work.is_none());
    let written = (0..known.setup.ingresses).all(|host| source_is_raised(state, host));
    idle && written && (!both || (is_back(known, state) && known.has_ended(state.home)))
}

/// What somebody does after the end of a rollback is not this attempt's work.
fn is_left_alone(known: &Known, state: &State) -> bool {
    state.past.disturbed && known.stage(state.home) == Stage::RolledBack
}

/// The operator first, then who is alive of the two external-dns, then time.
fn next(known: &mut Known, state: &State, both: bool) -> Option<Result<State, String>> {
    let ours =
        [Action::Watch(Side::Source), Action::Watch(Side::Target), Action::Reload, Action::Arrive(0), Action::Send(0)];
    let saves = [
        Action::Save(0),
        Action::Begin(0),
        Action::Apply(Side::Source, 0),
        Action::Apply(Side::Source, 1),
        Action::Sync(Side::Source),
    ];
    let theirs = [Action::Apply(Side::Target, 0), Action::Apply(Side::Target, 1), Action::Sync(Side::Target)];
    let theirs = theirs.into_iter().filter(|_| both);
    let order = ours.into_iter().chain(saves).chain(theirs).chain([Action::Tick]);
    order.into_iter().find_map(|action| state.after(known, action))
}

fn stuck(known: &Known, state: &State, both: bool) -> String {
    let status = known.status(state.home);
    let target = if both { "alive" } else { "dead" };
    format!("there is no way back with the target {target}: it stays in {} with {:?}", status.stage, state.live)
}
