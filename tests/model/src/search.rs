//! Breadth-first search: every state that can be reached, nearest first, so that the first broken promise has the shortest story.

use std::collections::{BTreeSet, HashMap};
use std::fmt::Write as _;
use std::time::{Duration, Instant};

use namespace_migration::api::Stage;
use namespace_migration::machine::Side;

use crate::action::{Action, all};
use crate::known::Known;
use crate::promises;
use crate::setup::Setup;
use crate::state::{Ingress, NAMES, Process, Record, Shown, State};
use crate::way_back::WaysBack;
use crate::zone::wanted;

/// What a search has found.
#[derive(Debug)]
pub struct Found {
    /// How many states there are.
    pub states: usize,
    /// How many actions the farthest of them is away from the beginning.
    pub depth: usize,
    /// How long it took.
    pub took: Duration,
    /// The stages that were reached.
    pub stages: BTreeSet<Stage>,
    /// The story of the first broken promise.
    pub broken: Option<String>,
}

/// Explores a configuration to its end, or to the first broken promise.
pub fn explore(setup: Setup) -> Found {
    let started = Instant::now();
    let mut search = Search::new(setup);
    let broken = search.run();
    let found = Found {
        states: search.trail.len(),
        depth: search.depth,
        took: started.elapsed(),
        stages: search.stages.clone(),
        broken,
    };
    eprintln!(
        "{}: {} states, {} deep, {} decisions, {} on ways back, {:.1} s",
        setup.name,
        found.states,
        found.depth,
        search.known.questions(),
        search.ways_back.states(),
        found.took.as_secs_f32(),
    );
    found
}

struct Search {
    known: Known,
    actions: Vec<Action>,
    numbers: HashMap<State, u32>,
    /// How each state was first reached: from which one, by what.
    trail: Vec<(u32, Action)>,
    depth: usize,
    ways_back: WaysBack,
    stages: BTreeSet<Stage>,
    start: State,
}

impl Search {
    fn new(setup: Setup) -> Self {
        let mut known = Known::new(setup);
        let start = beginning(&mut known);
        let actions = all(&known);
        Self {
            known,
            actions,
            numbers: [(start, 0)].into(),
            trail: vec![(0, Action::Tick)],
            depth: 0,
            ways_back: WaysBack::default(),
            stages: BTreeSet::new(),
            start,
        }
    }

    fn run(&mut self) -> Option<String> {
        let mut edge = vec![(self.start, 0_u32)];
        while !edge.is_empty() {
            let mut beyond = vec![];
            for (state, number) in edge {
                for action in self.actions.clone() {
                    match state.after(&mut self.known, action) {
                        None => {}
                        Some(Err(broken)) => return Some(self.story(number, Some(action), &broken)),
                        Some(Ok(next)) => {
                            let Some(new) = self.enter(next, number, action) else { continue };
                            if let Some(broken) = self.broken(&next) {
                                return Some(self.story(new, None, &broken));
                            }
                            beyond.push((next, new));
                        }
                    }
                }
            }
            self.depth += usize::from(!beyond.is_empty());
            edge = beyond;
        }
        None
    }

    /// The number of a state that was not reached before.
    fn enter(&mut self, state: State, from: u32, by: Action) -> Option<u32> {
        let number = u32::try_from(self.trail.len()).unwrap();
        if *self.numbers.entry(state).or_insert(number) != number {
            return None;
        }
        self.trail.push((from, by));
        self.stages.insert(self.known.stage(state.home));
        Some(number)
    }

    fn broken(&mut self, state: &State) -> Option<String> {
        promises::of_state(&self.known, state).or_else(|| self.ways_back.missing(&mut self.known, state))
    }

    /// What happened, from the beginning.
    fn story(&mut self, mut number: u32, last: Option<Action>, broken: &str) -> String {
        let mut actions: Vec<_> = last.into_iter().collect();
        while number != 0 {
            let (from, by) = self.trail[number as usize];
            actions.push(by);
            number = from;
        }
        let mut text = format!("{}: {broken}\n", self.known.setup.name);
        let mut state = self.start;
        for (index, action) in actions.into_iter().rev().enumerate() {
            let after = state.after(&mut self.known, action).and_then(Result::ok);
            state = after.unwrap_or(state);
            writeln!(text, "{:3}. {action:<60} {}", index + 1, line(&self.known, &state)).unwrap();
        }
        text
    }
}

/// The weights as written and served, source first, and where it stands.
fn line(known: &Known, state: &State) -> String {
    let weight = |ingress: &Ingress| ingress.weight.map_or("-".to_owned(), |weight| weight.to_string());
    let served = |record: &Record| match record.served {
        Shown::Nothing => "-".to_owned(),
        Shown::Simple => "simple".to_owned(),
        Shown::Weighted(weight) => weight.to_string(),
    };
    let hosts = (0..known.setup.ingresses).map(|host| {
        let [source, target] = [0, 1].map(|side| (weight(&state.live[side][host]), served(&state.records[side][host])));
        format!("{} written {}/{} served {}/{}", NAMES[host], source.0, target.0, source.1, target.1)
    });
    let status = known.status(state.home);
    let phase = status.step.as_ref().map(|step| format!(" {}:{:?}", step.index, step.phase)).unwrap_or_default();
    format!("{}; {}{phase}", hosts.collect::<Vec<_>>().join(", "), status.stage)
}

/// The state in which things begin to go wrong: up to the setup's stage nothing does.
fn beginning(known: &mut Known) -> State {
    let mut state = untouched(&known.setup);
    state.look(known);
    while known.stage(state.home) < known.setup.from {
        let next = IN_ORDER.into_iter().find_map(|action| state.after(known, action));
        state = next.unwrap_or_else(|| panic!("it does not begin: {:?} {state:?}", known.status(state.home))).unwrap();
    }
    state
}

/// What happens first when nothing goes wrong.
const IN_ORDER: [Action; 10] = [
    Action::Watch(Side::Source),
    Action::Watch(Side::Target),
    Action::Reload,
    Action::Arrive(0),
    Action::Send(0),
    Action::Save(0),
    Action::Begin(0),
    Action::Sync(Side::Source),
    Action::Sync(Side::Target),
    Action::Tick,
];

/// The source serves with simple records, and nobody has begun anything.
fn untouched(setup: &Setup) -> State {
    let mut live = [[Ingress::default(); 2]; 2];
    let mut records = [[Record::default(); 2]; 2];
    for host in 0..setup.ingresses {
        live[0][host].there = true;
        live[1][host].there = setup.target_is_there;
        let simple = wanted(live[0][host], true);
        records[0][host] = Record { listed: simple, served: simple, age: setup.old() };
    }
    let process = Process { status: 0, current: true, seen: live.map(Some), work: None, passes: 0 };
    State {
        live,
        reach: [true; 2],
        addressed: [true; 2],
        records,
        readings: [None; 2],
        home: 0,
        processes: [Some(process), None],
        flights: [None; 2],
        asked: 0,
        sick: false,
        left: setup.left(),
        past: <_>::default(),
    }
}

/// Where nothing has gone wrong, the way forward leads to its end.
pub fn goes_well(setup: Setup) -> bool {
    let mut known = Known::new(Setup { from: Stage::Completed, ..setup });
    promises::of_state(&known, &untouched(&setup)).is_none() && {
        let end = beginning(&mut known);
        known.stage(end.home) == Stage::Completed && setup.hosts().all(|host| end.served_share(host) == 100)
    }
}
