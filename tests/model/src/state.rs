//! Everything that the protocol can tell apart, as small as it goes: two states that are equal here have the same future.
//!
//! Times are ages in ticks, and what is older than the longest wait of a gate is as old as that.

use namespace_migration::machine::Side;
use namespace_migration::machine::stamp::Direction;

/// The sides in the order of every pair below.
pub const SIDES: [Side; 2] = [Side::Source, Side::Target];
/// The Ingresses, each with a host of its own, or both at one.
pub const NAMES: [&str; 2] = ["web", "api"];

/// A side's place in a pair.
pub fn at(side: Side) -> usize {
    usize::from(side == Side::Target)
}

/// One Ingress on one side.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ingress {
    pub there: bool,
    pub weight: Option<u8>,
    pub identified: bool,
    /// Whether nobody has written the weight since we did.
    pub ours: bool,
    pub stamp: Option<Mark>,
}

/// Our stamp. There is one attempt only.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Mark {
    pub epoch: u8,
    direction: u8,
}

const DIRECTIONS: [Direction; 4] =
    [Direction::Forward, Direction::RollingBack, Direction::RolledBack, Direction::Completed];

impl Mark {
    pub fn new(epoch: i64, direction: Direction) -> Self {
        let direction = DIRECTIONS.iter().position(|known| *known == direction).unwrap();
        Self { epoch: u8::try_from(epoch).unwrap(), direction: u8::try_from(direction).unwrap() }
    }

    pub fn direction(self) -> Direction {
        DIRECTIONS[usize::from(self.direction)]
    }
}

/// A record as one reader sees it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Shown {
    #[default]
    Nothing,
    Simple,
    Weighted(u8),
}

/// The record of one side at one host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    /// What the provider lists.
    pub listed: Shown,
    /// What it answers: after a tick at the latest, what it lists.
    pub served: Shown,
    /// How many ticks ago it was changed.
    pub age: u8,
}

/// The age of everything that no gate waits for any more, in any configuration.
pub const OLD: u8 = 2;

/// What an external-dns has read of its cluster and not applied yet. A pass may take as long as its interval, and so be over a
/// tick later than it began; not later than that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Reading {
    /// By host. None: applied, or nothing to apply.
    pub wishes: [Option<Shown>; 2],
    /// Whether a tick has passed since it was read.
    pub aged: bool,
}

/// The Ingresses of one side as a process sees them. None: not listed yet.
pub type Seen = Option<[Ingress; 2]>;

/// A process of the operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Process {
    /// The status that it knows.
    pub status: u32,
    /// Whether that is the status as it was saved last.
    pub current: bool,
    pub seen: [Seen; 2],
    pub work: Option<Work>,
    /// How many passes it still makes. The first operator makes as many as it likes.
    pub passes: u8,
}

/// A write that nobody waits for any more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Flight {
    pub write: u32,
    pub unaware: Unaware,
}

/// What a process could not know.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Unaware {
    /// Somebody else has written, or an address was lost, since it decided.
    pub since_decided: bool,
    /// Somebody else has written since it read live for the write that it sent.
    pub since_sent: bool,
}

/// A pass that has been decided and is being carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Work {
    pub decision: u32,
    /// The next effect, or the one that was sent.
    pub next: u8,
    /// Whether that effect was read for, permitted and sent.
    pub sent: bool,
    /// Whether an effect of the current batch has failed.
    pub failed: bool,
    pub source_failed: bool,
    /// How many ticks have passed since it was decided.
    pub age: u8,
    pub unaware: Unaware,
}

/// Everything.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    /// By side and Ingress.
    pub live: [[Ingress; 2]; 2],
    /// Whether the operator reaches a side's API server.
    pub reach: [bool; 2],
    /// Whether a side's load balancer has an address: without one its external-dns publishes nothing.
    pub addressed: [bool; 2],
    pub records: [[Record; 2]; 2],
    /// None between two passes.
    pub readings: [Option<Reading>; 2],
    /// The status as it was saved last.
    pub home: u32,
    /// The operator, and a second one that does not know of it.
    pub processes: [Option<Process>; 2],
    /// Writes that nobody waits for any more and that may still arrive.
    pub flights: [Option<Flight>; 2],
    /// The token of the rollback that was asked for. 0: none was.
    pub asked: u8,
    /// Whether the target fails.
    pub sick: bool,
    /// How often each may still happen. Without an end to them epochs would grow for ever.
    pub left: Left,
    pub past: Past,
}

/// How often something may still happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Left {
    pub crashes: u8,
    pub delays: u8,
    pub seconds: u8,
    pub foreign: u8,
}

/// What the promises have to remember of the past.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Past {
    /// By side and Ingress: a rollback has written it.
    pub fenced: [[bool; 2]; 2],
    /// The highest share of the target that was ever approved, in percent.
    pub approved: u8,
    /// Somebody else has written, or an address was lost, and what DNS serves may still be of that.
    pub disturbed: bool,
    /// The target has failed, somebody else has written, or an address was lost: a rollback may have begun.
    pub excused: bool,
}

impl Past {
    /// Whether a rollback has written anything.
    pub fn rolling(self) -> bool {
        self.fenced.iter().flatten().any(|fenced| *fenced)
    }
}
