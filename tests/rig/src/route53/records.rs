//! The record sets of a zone, in the order in which the API lists them.

use std::collections::BTreeMap;
use std::ops::Bound;

use super::journal::{Action, Change};
use super::record::{Key, Kind, RecordSet, absolute};

/// Record sets by position: <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html>.
#[derive(Clone, Debug, Default)]
pub struct Records(BTreeMap<Position, RecordSet>);

/// Where a set stands in a listing: by name with its labels reversed (`com.example.www.`), by type, by identifier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Position {
    labels: String,
    kind: Kind,
    identifier: Option<String>,
}

impl Position {
    fn of(key: &Key) -> Self {
        Self { labels: reversed(&key.name), kind: key.kind, identifier: key.identifier.clone() }
    }
}

/// `www.example.com.` becomes `com.example.www.`
fn reversed(name: &str) -> String {
    let labels: Vec<&str> = name.trim_end_matches('.').rsplit('.').collect();
    format!("{}.", labels.join("."))
}

impl Records {
    /// The set with this name, type and identifier.
    pub fn get(&self, key: &Key) -> Option<&RecordSet> {
        self.0.get(&Position::of(key))
    }

    /// Every set, in the order of a listing.
    pub fn iter(&self) -> impl Iterator<Item = &RecordSet> {
        self.0.values()
    }

    /// How many sets there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Every set of one name.
    pub fn at(&self, name: &str) -> impl Iterator<Item = &RecordSet> {
        let labels = reversed(&absolute(name));
        let from = Position { labels: labels.clone(), kind: Kind::A, identifier: None };
        self.0.range(from..).take_while(move |(position, _)| position.labels == labels).map(|(_, set)| set)
    }

    /// Every set of one name and type.
    pub fn group(&self, name: &str, kind: Kind) -> impl Iterator<Item = &RecordSet> {
        self.at(name).filter(move |set| set.kind == kind)
    }

    /// Whether a set has this name or one below it.
    pub fn exists(&self, name: &str) -> bool {
        let labels = reversed(&absolute(name));
        let from = Position { labels: labels.clone(), kind: Kind::A, identifier: None };
        self.0.range(from..).next().is_some_and(|(position, _)| position.labels.starts_with(&labels))
    }

    /// The sets of a listing from this position on.
    pub fn from(&self, start: Option<&Key>) -> impl Iterator<Item = &RecordSet> {
        let from = start.map_or(Bound::Unbounded, |key| Bound::Included(Position::of(key)));
        self.0.range((from, Bound::Unbounded)).map(|(_, set)| set)
    }

    /// Does what a change says, without any rule.
    pub fn apply(&mut self, change: &Change) {
        let position = Position::of(&change.set.key());
        match change.action {
            Action::Create | Action::Upsert => self.0.insert(position, change.set.clone()),
            Action::Delete => self.0.remove(&position),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records(names: &[(&str, Kind)]) -> Records {
        let mut records = Records::default();
        for (name, kind) in names {
            records.apply(&Change { action: Action::Create, set: RecordSet::simple(name, *kind, 60, ["x"]) });
        }
        records
    }

    /// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html>: by name with the labels
    /// reversed and a trailing dot, then by type.
    #[test]
    fn a_listing_is_in_the_order_of_reversed_labels_and_then_of_types() {
        let records = records(&[
            ("www.example.com", Kind::Txt),
            ("www.example.com", Kind::A),
            ("example.com", Kind::Soa),
            ("a.www.example.com", Kind::A),
            ("www-2.example.com", Kind::A),
            ("*.example.com", Kind::A),
        ]);
        let listed: Vec<String> = records.iter().map(|set| format!("{} {}", set.name, set.kind)).collect();
        let expected = [
            "example.com. SOA",
            "\\052.example.com. A",
            // A hyphen sorts before the trailing dot.
            "www-2.example.com. A",
            "www.example.com. A",
            "www.example.com. TXT",
            "a.www.example.com. A",
        ];
        assert_eq!(listed, expected);
    }

    #[test]
    fn a_name_exists_when_something_is_at_it_or_below_it() {
        let records = records(&[("a.shop.example.com", Kind::A)]);
        assert!(records.exists("a.shop.example.com."));
        assert!(records.exists("shop.example.com."), "an empty non-terminal");
        assert!(!records.exists("hop.example.com."));
        assert!(!records.exists("b.shop.example.com."));
        assert_eq!(records.at("shop.example.com.").count(), 0);
    }
}
