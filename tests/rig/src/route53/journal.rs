//! What happened to a zone: every batch of changes with its time, its sender and its fate.

use std::fmt;
use std::time::SystemTime;

use super::history::shown;
use super::record::{Kind, RecordSet, Routing, absolute};

/// What a change does to a record set:
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_Change.html>.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// Fails when the set exists.
    Create,
    /// Fails when no set exists with exactly these values.
    Delete,
    /// Creates or replaces.
    Upsert,
}

impl Action {
    /// The name in the API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Create => "CREATE",
            Self::Delete => "DELETE",
            Self::Upsert => "UPSERT",
        }
    }
}

/// One change of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// What is done.
    pub action: Action,
    /// To what; for a deletion the whole set as it stands.
    pub set: RecordSet,
}

/// What became of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// It is in the zone; name servers show it from `insync` on (None: they do not yet).
    Accepted {
        /// The id that `GetChange` asks for, without `/change/`.
        id: String,
        /// Since when name servers show it.
        insync: Option<SystemTime>,
    },
    /// Nothing of it happened.
    Refused {
        /// The error's code, such as `InvalidChangeBatch`.
        code: String,
        /// What the caller was told.
        message: String,
    },
}

/// One request to change records.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Position in the zone's journal, from 0.
    pub number: usize,
    /// When it came in; an accepted batch is PENDING from here on.
    pub at: SystemTime,
    /// Who sent it: the access key id of its signature.
    pub caller: String,
    /// All of it.
    pub changes: Vec<Change>,
    /// What became of it.
    pub fate: Fate,
}

impl Entry {
    /// Whether it is in the zone.
    pub fn accepted(&self) -> bool {
        matches!(self.fate, Fate::Accepted { .. })
    }

    /// What the caller was told, where it was refused.
    pub fn refusal(&self) -> Option<&str> {
        match &self.fate {
            Fate::Refused { message, .. } => Some(message),
            Fate::Accepted { .. } => None,
        }
    }

    /// Since when name servers show it.
    pub fn insync(&self) -> Option<SystemTime> {
        match self.fate {
            Fate::Accepted { insync, .. } => insync,
            Fate::Refused { .. } => None,
        }
    }

    /// Whether a change of it is about this name.
    pub fn is_about(&self, name: &str) -> bool {
        let name = absolute(name);
        self.changes.iter().any(|change| change.set.name == name)
    }

    /// The changes in short, in their order: action, type and weight, such as `DELETE A`, `CREATE A 100`.
    pub fn actions(&self) -> Vec<String> {
        self.changes.iter().map(Change::short).collect()
    }

    /// The change of this type at this name.
    pub fn change(&self, action: Action, name: &str, kind: Kind) -> Option<&RecordSet> {
        let name = absolute(name);
        let fits = |change: &&Change| change.action == action && change.set.name == name && change.set.kind == kind;
        self.changes.iter().find(fits).map(|change| &change.set)
    }
}

impl Change {
    fn short(&self) -> String {
        let weight = match &self.set.routing {
            Routing::Simple => String::new(),
            Routing::Weighted(weight) => format!(" {weight}"),
            Routing::Other(policy) => format!(" {policy:?}"),
        };
        format!("{} {}{weight}", self.action.name(), self.set.kind)
    }
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fate = match &self.fate {
            Fate::Accepted { insync: Some(_), .. } => "INSYNC".to_owned(),
            Fate::Accepted { insync: None, .. } => "PENDING".to_owned(),
            Fate::Refused { code, message } => format!("refused: {code}: {message}"),
        };
        write!(f, "{} {} {fate}", self.number, self.caller)?;
        for change in &self.changes {
            let RecordSet { name, identifier, target, .. } = &change.set;
            let identifier = identifier.as_deref().unwrap_or("-");
            write!(f, "\n    {} {name} {identifier} {}", change.short(), shown(target))?;
        }
        Ok(())
    }
}

/// The weights that name servers showed for a name and type, from `at` until the next one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Since when.
    pub at: SystemTime,
    /// Identifier and weight of each set, by identifier; empty: nothing was served. A simple record is shown as `""` with
    /// weight None.
    pub weights: Vec<(String, Option<u8>)>,
}
