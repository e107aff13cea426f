//! The weights of a service: as they are written on the Ingresses of both clusters, and as Route 53 serves them.

use std::fmt;
use std::time::SystemTime;

use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;

use crate::population::Side;
use crate::route53::journal::Served;
use crate::route53::record::Kind;
use crate::route53::zone::Zone;
use crate::setup::ANNOTATION_PREFIX;

/// The weights of one service. A side without a weight has none: no annotation, or a simple record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// Of the source.
    pub source: Option<i32>,
    /// Of the target.
    pub target: Option<i32>,
}

impl Weights {
    /// What name servers show for a host now.
    pub fn served(zone: &Zone, host: &str) -> Self {
        let sets = zone.served();
        let sets =
            sets.group(host, Kind::A).map(|set| (set.identifier.clone().unwrap_or_default(), set.routing.weight()));
        Self::of_sets(sets)
    }

    /// Of record sets, by identifier and weight.
    fn of_sets(sets: impl IntoIterator<Item = (String, Option<u8>)>) -> Self {
        let mut weights = Self::default();
        for (identifier, weight) in sets {
            match side_of(&identifier) {
                Some(Side::Source) => weights.source = weight.map(i32::from),
                Some(Side::Target) => weights.target = weight.map(i32::from),
                None => {}
            }
        }
        weights
    }

    /// The part of the answers, from 0 to 1, that are the target's. A source without a weight has a simple record, which is
    /// every answer; all weights 0 is an even split.
    pub fn target_share(self) -> f64 {
        match (self.source, self.target) {
            (_, None) => 0.0,
            (None, Some(_)) => 1.0,
            (Some(0), Some(0)) => 0.5,
            (Some(source), Some(target)) => f64::from(target) / f64::from(source + target),
        }
    }
}

impl fmt::Display for Weights {
    /// Source and target, such as `90:10`; `-` is no weight.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = |weight: Option<i32>| weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string());
        f.pad(&format!("{}:{}", number(self.source), number(self.target)))
    }
}

/// The side that an identifier of this pair of clusters belongs to.
fn side_of(identifier: &str) -> Option<Side> {
    match identifier.rsplit('-').next() {
        Some("blue") => Some(Side::Source),
        Some("green") => Some(Side::Target),
        _ => None,
    }
}

/// The weight that is written on an Ingress; None where there is none.
pub fn weight(ingress: &Ingress) -> Option<i32> {
    ingress.annotations().get(&format!("{ANNOTATION_PREFIX}aws-weight"))?.parse().ok()
}

/// Fails with the first moment in which name servers showed nothing, or a weight of 0 for both sides. On the way back from a target
/// that had everything, two zeros may pass by: they are an even split, which is less than what they replace.
pub fn somebody_always_answered(history: &[Served]) -> Result<(), String> {
    let is_zero =
        |served: &Served| Weights::of_sets(served.weights.clone()) == Weights { source: Some(0), target: Some(0) };
    let mut everything_before = false;
    for served in history {
        if served.weights.is_empty() || (is_zero(served) && !everything_before) {
            return Err(format!("{:?} at {:?}", served.weights, served.at));
        }
        everything_before = is_zero(served) || share(served) >= 1.0;
    }
    Ok(())
}

/// From when on the target may have this share of the answers, in percent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Approval {
    /// Since when.
    pub since: SystemTime,
    /// The share, in percent.
    pub percent: i32,
}

impl Approval {
    /// A share that the target may have all the time.
    pub fn from_the_start(percent: i32) -> Self {
        Self { since: SystemTime::UNIX_EPOCH, percent }
    }
}

/// Fails with the first moment in which the target's share of the answers was above the highest one that was approved by then; before
/// the first approval it may have none.
pub fn share_never_above_approved(history: &[Served], approved: &[Approval]) -> Result<(), String> {
    for served in history {
        let by_then = approved.iter().filter(|approval| approval.since <= served.at);
        let allowed = by_then.map(|approval| approval.percent).max().unwrap_or(0);
        let percent = share(served) * 100.0;
        if percent > f64::from(allowed) + f64::EPSILON * 100.0 {
            let Served { weights, at } = served;
            return Err(format!("{weights:?} at {at:?} is a share of {percent:.1} %, where {allowed} % were approved"));
        }
    }
    Ok(())
}

/// Fails unless the target's share of the answers only rose, up to its highest value, and only fell after that.
pub fn share_rose_then_fell(history: &[Served]) -> Result<(), String> {
    let shares: Vec<f64> = history.iter().map(share).collect();
    let top = shares.iter().copied().fold(0.0, f64::max);
    let turn = shares.iter().rposition(|share| *share >= top).unwrap_or_default();
    let (way_up, way_down) = shares.split_at(turn);
    let goes_well = way_up.is_sorted() && way_down.is_sorted_by(|earlier, later| earlier >= later);
    if goes_well { Ok(()) } else { Err(format!("{shares:?}")) }
}

/// The first moment from `after` on in which the source alone was answered.
pub fn source_alone_since(history: &[Served], after: SystemTime) -> Option<SystemTime> {
    let alone = |served: &&Served| share(served) <= 0.0;
    history.iter().find(|served| served.at >= after && alone(served)).map(|served| served.at)
}

/// The target's part of the answers, from 0 to 1.
fn share(served: &Served) -> f64 {
    Weights::of_sets(served.weights.clone()).target_share()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn history(weights: &[[u8; 2]]) -> Vec<Served> {
        let at = |index: usize| SystemTime::UNIX_EPOCH + Duration::from_secs(index as u64);
        let sets = |[source, target]: [u8; 2]| {
            vec![("shop-shop-blue".to_owned(), Some(source)), ("shop-shop-green".to_owned(), Some(target))]
        };
        weights.iter().enumerate().map(|(index, pair)| Served { at: at(index), weights: sets(*pair) }).collect()
    }

    #[test]
    fn shares_are_those_of_route_53() {
        let share = |source, target| Weights { source, target }.target_share();
        assert!(share(None, None) < f64::EPSILON && share(Some(100), None) < f64::EPSILON);
        assert!((share(Some(100), Some(100)) - 0.5).abs() < f64::EPSILON);
        assert!((share(Some(0), Some(0)) - 0.5).abs() < f64::EPSILON);
        assert!((share(Some(0), Some(100)) - 1.0).abs() < f64::EPSILON);
    }

    #[test]
    fn weights_are_shown_as_a_pair() {
        assert_eq!(Weights { source: Some(90), target: Some(10) }.to_string(), "90:10");
        assert_eq!(format!("[{:<7}]", Weights::default()), "[-:-    ]");
    }

    #[test]
    fn two_zeros_in_dns_are_found() {
        assert!(somebody_always_answered(&history(&[[100, 0], [0, 100]])).is_ok());
        assert!(somebody_always_answered(&history(&[[100, 0], [0, 0]])).unwrap_err().contains("Some(0)"));
        assert!(somebody_always_answered(&history(&[[50, 50], [0, 0]])).is_err());
        assert!(
            somebody_always_answered(&history(&[[0, 100], [0, 0], [100, 0]])).is_ok(),
            "the way back from everything"
        );
        let nothing = Served { at: SystemTime::UNIX_EPOCH, weights: vec![] };
        assert!(somebody_always_answered(&[nothing]).is_err());
    }

    #[test]
    fn a_share_that_goes_down_on_the_way_up_is_found() {
        assert!(share_rose_then_fell(&history(&[[100, 0], [90, 10], [50, 50], [100, 50], [100, 0]])).is_ok());
        assert!(share_rose_then_fell(&history(&[[100, 0], [90, 10], [100, 0], [50, 50]])).is_err());
        assert!(share_rose_then_fell(&history(&[[100, 0], [50, 50], [90, 10], [80, 20]])).is_err());
        assert!(share_rose_then_fell(&[]).is_ok());
    }

    #[test]
    fn a_share_above_the_one_that_was_approved_by_then_is_found() {
        let history = history(&[[100, 0], [100, 10], [90, 10], [90, 50], [50, 50], [100, 0]]);
        let approval = |second, percent| {
            let since = SystemTime::UNIX_EPOCH + Duration::from_secs(second);
            Approval { since, percent }
        };
        assert!(share_never_above_approved(&history, &[approval(1, 10), approval(3, 50)]).is_ok());
        // The last step allows everything, but came too late for what was served before.
        let late = share_never_above_approved(&history, &[approval(1, 10), approval(4, 100)]).unwrap_err();
        assert!(late.contains("35.7 %, where 10 % were approved"), "{late}");
        let early = share_never_above_approved(&history, &[approval(2, 100)]).unwrap_err();
        assert!(early.contains("9.1 %, where 0 % were approved"), "{early}");
        assert!(share_never_above_approved(&history[..1], &[]).is_ok());
    }

    #[test]
    fn the_source_is_alone_again_when_the_target_has_no_share() {
        let history = history(&[[100, 0], [50, 50], [100, 50], [100, 0]]);
        assert_eq!(source_alone_since(&history, history[1].at), Some(history[3].at));
        assert_eq!(source_alone_since(&history[..3], history[1].at), None);
    }
}
