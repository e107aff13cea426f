//! What a run was like for its users, from the journal of their requests. Pure.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, SystemTime};

use super::visit::{BySide, Cause, Side, Visit};

/// A time in which a side was made to answer badly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sickness {
    /// Which side.
    pub side: Side,
    /// Since when.
    pub from: SystemTime,
    /// Until when; None: it still is.
    pub until: Option<SystemTime>,
}

impl Sickness {
    /// From now on.
    pub fn of(side: Side) -> Self {
        Self { side, from: SystemTime::now(), until: None }
    }

    /// Whether a request met the sick side.
    fn met(&self, visit: &Visit) -> bool {
        visit.side == Some(self.side) && visit.ended() >= self.from && self.until.is_none_or(|until| visit.at < until)
    }
}

/// A user on a sick side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stay {
    /// Which user.
    pub client: usize,
    /// From its first request there, or the beginning of the sickness, to the end of the last one before it was elsewhere.
    pub lasted: Duration,
}

/// Where requests went in a piece of time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bucket {
    /// Its beginning; it ends where the next one begins.
    pub from: SystemTime,
    /// Requests by side, however they ended.
    pub requests: BySide<u64>,
    /// Failed requests of both sides and of neither.
    pub failed: u64,
}

impl Bucket {
    /// The target's part of the requests that reached a side, from 0 to 1. None: there was none.
    pub fn target_share(&self) -> Option<f64> {
        share(self.requests)
    }
}

/// The target's part, from 0 to 1. None: there was no request.
#[allow(clippy::cast_precision_loss, reason = "far fewer requests than 2^52")]
pub fn share(requests: BySide<u64>) -> Option<f64> {
    let sum = requests.source + requests.target;
    (sum > 0).then(|| requests.target as f64 / sum as f64)
}

/// What a run was like for its users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// All requests.
    pub requests: u64,
    /// Requests that reached a side, however they ended.
    pub by_side: BySide<u64>,
    /// Failures of a sick side, while it was sick: what the faults of a test did.
    pub badly_answered: BTreeMap<Cause, u64>,
    /// All other failures: what a migration must never cause.
    pub lost: BTreeMap<Cause, u64>,
    /// Where requests went over time.
    pub over_time: Vec<Bucket>,
    /// Who was longest on a sick side.
    pub longest_on_sick_side: Option<Stay>,
    /// The end of the first request that a sick side answered badly.
    pub first_badly_answered: Option<SystemTime>,
    /// The end of the last request at each side: from then on everybody had left it.
    pub last_at: BySide<Option<SystemTime>>,
}

impl Report {
    /// Of these requests, in pieces of time of this length. `sick` says what was broken on purpose.
    pub fn of(visits: &[Visit], sick: &[Sickness], piece: Duration) -> Self {
        let mut report = Self {
            requests: visits.len().try_into().unwrap_or(u64::MAX),
            by_side: BySide::default(),
            badly_answered: BTreeMap::new(),
            lost: BTreeMap::new(),
            over_time: over_time(visits, piece),
            longest_on_sick_side: sick.iter().filter_map(|sick| longest(visits, sick)).max_by_key(|stay| stay.lasted),
            first_badly_answered: None,
            last_at: BySide::default(),
        };
        for visit in visits {
            report.add(visit, sick);
        }
        report
    }

    fn add(&mut self, visit: &Visit, sick: &[Sickness]) {
        if let Some(side) = visit.side {
            *self.by_side.of_mut(side) += 1;
            let last = self.last_at.of_mut(side);
            *last = (*last).max(Some(visit.ended()));
        }
        let Some(cause) = visit.failure else { return };
        if !sick.iter().any(|sick| sick.met(visit)) {
            *self.lost.entry(cause).or_default() += 1;
            return;
        }
        *self.badly_answered.entry(cause).or_default() += 1;
        let first = self.first_badly_answered.get_or_insert(visit.ended());
        *first = (*first).min(visit.ended());
    }

    /// The number of failures that no fault of the test explains.
    pub fn lost(&self) -> u64 {
        self.lost.values().sum()
    }

    /// The number of requests that a sick side answered badly.
    pub fn badly_answered(&self) -> u64 {
        self.badly_answered.values().sum()
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BySide { source, target } = self.by_side;
        write!(f, "{} requests: {source} on source, {target} on target; ", self.requests)?;
        write!(f, "{} lost{}", self.lost(), causes(&self.lost))?;
        if self.badly_answered() > 0 {
            write!(f, "; {} answered badly by a sick side{}", self.badly_answered(), causes(&self.badly_answered))?;
        }
        if let Some(stay) = self.longest_on_sick_side {
            write!(f, "; longest on it: {:.1} s", stay.lasted.as_secs_f32())?;
        }
        write!(f, "; the target's share over time in percent: {}", shares(&self.over_time))
    }
}

/// At most so many shares are told.
const MOST_SHARES: usize = 24;

/// The target's share over time, in percent, each of as many pieces of time as needed: `0 0 12 50 100`. `-` where nobody asked.
fn shares(over_time: &[Bucket]) -> String {
    let pieces = over_time.len().div_ceil(MOST_SHARES).max(1);
    let of = |pieces: &[Bucket]| {
        let sum = |side: fn(&Bucket) -> u64| pieces.iter().map(side).sum();
        let requests =
            BySide { source: sum(|piece| piece.requests.source), target: sum(|piece| piece.requests.target) };
        share(requests).map_or("-".to_owned(), |share| format!("{:.0}", share * 100.0))
    };
    over_time.chunks(pieces).map(of).collect::<Vec<_>>().join(" ")
}

/// ` (2 x HTTP 503, 1 x no answer in time)`, or nothing.
fn causes(counts: &BTreeMap<Cause, u64>) -> String {
    let counts: Vec<String> = counts.iter().map(|(cause, count)| format!("{count} x {cause}")).collect();
    if counts.is_empty() { String::new() } else { format!(" ({})", counts.join(", ")) }
}

/// Pieces without a request are there too, so that a silence is seen.
fn over_time(visits: &[Visit], piece: Duration) -> Vec<Bucket> {
    let (Some(first), false) = (visits.iter().map(|visit| visit.at).min(), piece.is_zero()) else { return vec![] };
    let mut buckets: Vec<Bucket> = Vec::new();
    for visit in visits {
        let age = visit.at.duration_since(first).unwrap_or_default();
        let index = usize::try_from(age.as_nanos() / piece.as_nanos()).unwrap_or(usize::MAX);
        while buckets.len() <= index {
            let from = buckets.last().map_or(first, |last| last.from + piece);
            buckets.push(Bucket { from, requests: BySide::default(), failed: 0 });
        }
        let bucket = &mut buckets[index];
        if let Some(side) = visit.side {
            *bucket.requests.of_mut(side) += 1;
        }
        bucket.failed += u64::from(visit.failure.is_some());
    }
    buckets
}

/// The longest stay of a user on a sick side.
fn longest(visits: &[Visit], sick: &Sickness) -> Option<Stay> {
    let mut ordered: Vec<&Visit> = visits.iter().filter(|visit| visit.side.is_some()).collect();
    ordered.sort_by_key(|visit| (visit.client, visit.at));
    let mut longest: Option<Stay> = None;
    let mut began: Option<(usize, SystemTime)> = None;
    for visit in ordered {
        if !sick.met(visit) {
            began = None;
            continue;
        }
        let since = match began {
            Some((client, since)) if client == visit.client => since,
            _ => visit.at.max(sick.from),
        };
        began = Some((visit.client, since));
        let lasted = visit.ended().duration_since(since).unwrap_or_default();
        if longest.is_none_or(|longest| lasted > longest.lasted) {
            longest = Some(Stay { client: visit.client, lasted });
        }
    }
    longest
}

#[cfg(test)]
mod tests {
    use super::*;

    fn time(millis: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
    }

    /// A visit that takes 10 ms.
    fn visit(client: usize, millis: u64, side: Side, failure: Option<Cause>) -> Visit {
        let (at, took) = (time(millis), Duration::from_millis(10));
        Visit { at, took, client, address: None, side: Some(side), failure }
    }

    fn well(client: usize, millis: u64, side: Side) -> Visit {
        visit(client, millis, side, None)
    }

    fn badly(client: usize, millis: u64, side: Side) -> Visit {
        visit(client, millis, side, Some(Cause::Status(503)))
    }

    fn sick(side: Side, from: u64, until: Option<u64>) -> Sickness {
        Sickness { side, from: time(from), until: until.map(time) }
    }

    use Side::{Source, Target};

    #[test]
    fn what_a_sick_side_answered_badly_is_counted_apart_from_what_was_lost() {
        let nowhere = Visit { side: None, failure: Some(Cause::NoSuchName), ..well(1, 300, Source) };
        let visits = [
            badly(1, 50, Target),
            badly(2, 120, Target),
            badly(2, 200, Source),
            badly(3, 140, Target),
            nowhere,
            well(1, 310, Source),
        ];
        let report = Report::of(&visits, &[sick(Target, 100, None)], Duration::from_secs(1));
        assert_eq!((report.requests, report.by_side), (6, BySide { source: 2, target: 3 }));
        assert_eq!(report.badly_answered, BTreeMap::from([(Cause::Status(503), 2)]));
        assert_eq!(report.lost, BTreeMap::from([(Cause::NoSuchName, 1), (Cause::Status(503), 2)]));
        assert_eq!(report.first_badly_answered, Some(time(130)));
    }

    #[test]
    fn a_request_under_way_when_the_sickness_begins_or_ends_has_met_it() {
        let visits = [badly(1, 95, Target), badly(1, 150, Target), badly(1, 200, Target)];
        let report = Report::of(&visits, &[sick(Target, 100, Some(200))], Duration::from_secs(1));
        assert_eq!((report.badly_answered(), report.lost()), (2, 1));
    }

    #[test]
    fn everybody_has_left_a_side_when_the_last_request_there_has_ended() {
        let visits = [well(1, 100, Target), well(2, 400, Source), well(3, 300, Target)];
        let report = Report::of(&visits, &[], Duration::from_secs(1));
        assert_eq!(report.last_at, BySide { source: Some(time(410)), target: Some(time(310)) });
        assert_eq!(Report::of(&visits[1..2], &[], Duration::from_secs(1)).last_at.target, None);
    }

    #[test]
    fn the_longest_stay_on_a_sick_side_begins_with_the_sickness_and_ends_with_leaving() {
        let visits = [
            // 1 was there before, and leaves after 210 ms.
            well(1, 50, Target),
            badly(1, 200, Target),
            badly(1, 300, Target),
            well(1, 400, Source),
            // 2 comes, goes and comes back: two short stays.
            badly(2, 150, Target),
            well(2, 250, Source),
            badly(2, 400, Target),
        ];
        let report = Report::of(&visits, &[sick(Target, 100, None)], Duration::from_secs(1));
        assert_eq!(report.longest_on_sick_side, Some(Stay { client: 1, lasted: Duration::from_millis(110) }));
        assert_eq!(Report::of(&visits, &[], Duration::from_secs(1)).longest_on_sick_side, None);
    }

    #[test]
    fn shares_over_time_show_silence_too() {
        let visits = [well(1, 0, Source), well(2, 99, Target), badly(3, 350, Target)];
        let report = Report::of(&visits, &[], Duration::from_millis(100));
        let shares: Vec<_> = report.over_time.iter().map(Bucket::target_share).collect();
        assert_eq!(shares, [Some(0.5), None, None, Some(1.0)]);
        assert_eq!(report.over_time.iter().map(|bucket| bucket.failed).collect::<Vec<_>>(), [0, 0, 0, 1]);
        assert_eq!(report.over_time[3].from, time(300));
    }

    #[test]
    fn a_report_is_one_sentence() {
        let visits = [well(1, 0, Source), badly(1, 100, Target), badly(1, 200, Source)];
        let report = Report::of(&visits, &[sick(Target, 50, None)], Duration::from_secs(1));
        assert_eq!(
            report.to_string(),
            "3 requests: 2 on source, 1 on target; 1 lost (1 x HTTP 503); 1 answered badly by a sick side (1 x HTTP 503); \
             longest on it: 0.0 s; the target's share over time in percent: 33"
        );
    }

    #[test]
    fn the_share_over_time_is_told_in_few_numbers_and_a_silence_as_well() {
        let visits: Vec<_> = (0..100).map(|at| well(1, at * 100, if at < 50 { Source } else { Target })).collect();
        let told = Report::of(&visits, &[], Duration::from_millis(100)).to_string();
        assert!(told.ends_with("percent: 0 0 0 0 0 0 0 0 0 0 100 100 100 100 100 100 100 100 100 100"), "{told}");
        let silent = [well(1, 0, Source), well(1, 250, Target)];
        let told = Report::of(&silent, &[], Duration::from_millis(100)).to_string();
        assert!(told.ends_with("percent: 0 - 100"), "{told}");
    }
}
