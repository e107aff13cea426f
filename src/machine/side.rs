//! The two clusters of a move.

use crate::api::status::PlannedIngress;

/// One of the two clusters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Side {
    /// The cluster that serves now.
    Source,
    /// The cluster that will serve.
    Target,
}

impl Side {
    /// What belongs to this cluster.
    pub fn pick<T>(self, source: T, target: T) -> T {
        match self {
            Self::Source => source,
            Self::Target => target,
        }
    }

    /// The other cluster.
    #[must_use]
    pub fn other(self) -> Self {
        match self {
            Self::Source => Self::Target,
            Self::Target => Self::Source,
        }
    }

    /// As written in sentences.
    pub fn name(self) -> &'static str {
        match self {
            Self::Source => "source",
            Self::Target => "target",
        }
    }
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

impl PlannedIngress {
    /// The DNS set identifier of one side.
    pub fn identifier(&self, side: Side) -> &String {
        side.pick(&self.source_identifier, &self.target_identifier)
    }
}
