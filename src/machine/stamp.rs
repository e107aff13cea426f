//! The stamp: our annotation on both Ingresses that says who moves them. It is the fence against old writes.

use serde::{Deserialize, Serialize};

/// Who moves an Ingress, in which attempt, epoch and direction.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stamp {
    /// The migration: UID of its home cluster, its namespace and its name.
    pub owner: String,
    /// The attempt that wrote it.
    pub attempt: i32,
    /// Raised whenever every older write in flight must fail.
    pub epoch: i64,
    /// Where the attempt is going.
    pub direction: Direction,
}

/// Where an attempt is going.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Direction {
    /// To the target.
    Forward,
    /// Back to the source.
    RollingBack,
    /// Back on the source: ended.
    RolledBack,
    /// On the target: ended.
    Completed,
}

impl Direction {
    /// Whether the attempt goes back or went back.
    pub fn is_back(self) -> bool {
        matches!(self, Self::RollingBack | Self::RolledBack)
    }

    /// Whether the attempt has ended: another migration may take the Ingress over.
    pub fn is_final(self) -> bool {
        matches!(self, Self::RolledBack | Self::Completed)
    }
}

impl Stamp {
    /// The annotation's text.
    pub fn text(&self) -> String {
        serde_json::json!({
            "owner": self.owner, "attempt": self.attempt, "epoch": self.epoch, "direction": self.direction,
        })
        .to_string()
    }

    /// Reads an annotation. Text that is not a stamp is none: somebody else's, or damaged, and never ours to trust.
    pub fn parse(text: &str) -> Option<Self> {
        serde_json::from_str(text).ok()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stamp_is_read_back_as_it_was_written() {
        let stamp = Stamp { owner: "u/ns/n".into(), attempt: 2, epoch: 7, direction: Direction::RollingBack };
        assert_eq!(Stamp::parse(&stamp.text()), Some(stamp));
        assert_eq!(Stamp::parse("{\"owner\":1}"), None);
    }
}
