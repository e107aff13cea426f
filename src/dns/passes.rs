//! PURE. What external-dns's own metrics say of its passes: when the last one began, when the last one succeeded, what failed.
//!
//! Series of 0.22 and before: <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/controller/metrics.go>

use jiff::Timestamp;

use crate::machine::external_dns::{Count, ExternalDnsView, PassErrors};
use crate::machine::version::Version;

/// Set after a pass without an error only; 0 until there was one.
pub const LAST_SYNC: &str = "external_dns_controller_last_sync_timestamp_seconds";
/// Set when a pass begins.
const LAST_ATTEMPT: &str = "external_dns_controller_last_reconcile_timestamp_seconds";
/// How many passes in a row have failed. Since 0.18.
const FAILED_IN_A_ROW: &str = "external_dns_controller_consecutive_soft_errors";
/// Reading records or changing them failed.
const RECORD_ERRORS: &str = "external_dns_registry_errors_total";
/// Reading the cluster failed.
const CLUSTER_ERRORS: &str = "external_dns_source_errors_total";
/// Always 1; its labels say the version.
const BUILD: &str = "external_dns_build_info";

/// One page of metrics.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Passes {
    /// When the last pass without an error ended. None: there was none since it began to run.
    pub last_sync: Option<Timestamp>,
    /// When the last pass began.
    pub last_attempt: Option<Timestamp>,
    /// How many passes in a row have failed.
    pub failed_in_a_row: Option<u64>,
    /// How often reading or changing records has failed.
    pub record_errors: Option<u64>,
    /// How often reading the cluster has failed.
    pub cluster_errors: Option<u64>,
    /// The version.
    pub version: Option<Version>,
}

impl Passes {
    /// Reads a page in the text format of Prometheus.
    ///
    /// # Errors
    /// When it is not one of external-dns.
    pub fn read(page: &str) -> Result<Self, String> {
        if series(page, LAST_SYNC).is_none() {
            return Err(format!("{LAST_SYNC} is not among them: it is no external-dns that answers there"));
        }
        Ok(Self {
            last_sync: time(page, LAST_SYNC),
            last_attempt: time(page, LAST_ATTEMPT),
            failed_in_a_row: count(page, FAILED_IN_A_ROW),
            record_errors: count(page, RECORD_ERRORS),
            cluster_errors: count(page, CLUSTER_ERRORS),
            version: version(page),
        })
    }
}

/// What is known after one more reading at this time. What was known stays known when a reading fails: only so it can be told that
/// an external-dns that does not answer has not had a pass since.
pub fn noted(known: &ExternalDnsView, reading: Result<Passes, String>, at: Timestamp) -> ExternalDnsView {
    let known = ExternalDnsView { asked_at: Some(at), ..known.clone() };
    match reading {
        Err(why) => ExternalDnsView { trouble: Some(why), trouble_since: known.trouble_since.or(Some(at)), ..known },
        Ok(passes) => ExternalDnsView {
            // One that has just begun to run says nothing of the passes of the one before it.
            last_sync: passes.last_sync.max(known.last_sync),
            last_attempt: passes.last_attempt.max(known.last_attempt),
            errors: PassErrors {
                in_a_row: passes.failed_in_a_row,
                records: counted(known.errors.records, passes.record_errors, at),
                cluster: counted(known.errors.cluster, passes.cluster_errors, at),
            },
            version: passes.version.or(known.version),
            trouble: None,
            trouble_since: None,
            asked_at: known.asked_at,
            ..ExternalDnsView::default()
        },
    }
}

/// A number that was not read before says nothing of when it grew; one that is lower began anew.
fn counted(known: Count, number: Option<u64>, at: Timestamp) -> Count {
    let grew = match (known.number, number) {
        (Some(before), Some(now)) => now > before || (now < before && now > 0),
        _ => false,
    };
    Count { number, grew_at: if grew { Some(at) } else { known.grew_at } }
}

/// The value of a series without labels.
fn series<'a>(page: &'a str, name: &str) -> Option<&'a str> {
    let value = page.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '))?;
    value.split_whitespace().next()
}

/// 0 is what a time has that was never set.
fn time(page: &str, name: &str) -> Option<Timestamp> {
    let seconds = series(page, name)?.parse::<f64>().ok().filter(|seconds| *seconds > 0.0)?;
    #[allow(
        clippy::cast_possible_truncation,
        reason = "a time in whole seconds; what is out of range is refused below"
    )]
    let seconds = seconds as i64;
    Timestamp::from_second(seconds).ok()
}

fn count(page: &str, name: &str) -> Option<u64> {
    let number = series(page, name)?.parse::<f64>().ok().filter(|number| *number >= 0.0)?;
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a whole number that is not negative")]
    let number = number as u64;
    Some(number)
}

fn version(page: &str) -> Option<Version> {
    let labels = page.lines().find_map(|line| line.strip_prefix(BUILD)?.strip_prefix('{'))?;
    let version = labels.split(',').find_map(|label| label.strip_prefix("version=\""))?;
    Version::parse(version.split_once('"')?.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "# HELP external_dns_controller_last_sync_timestamp_seconds Timestamp of last successful sync\n\
        external_dns_build_info{arch=\"amd64\",go_version=\"go1.26.0\",os=\"linux\",revision=\"x\",version=\"v0.22.0\"} 1\n\
        external_dns_controller_consecutive_soft_errors 3\n\
        external_dns_controller_last_reconcile_timestamp_seconds 1.7952571e+09\n\
        external_dns_controller_last_sync_timestamp_seconds 1.795257e+09\n\
        external_dns_registry_errors_total 3\n\
        external_dns_source_errors_total 0\n";

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_page_is_read_as_go_writes_it() {
        let expected = Passes {
            last_sync: Some(at(1_795_257_000)),
            last_attempt: Some(at(1_795_257_100)),
            failed_in_a_row: Some(3),
            record_errors: Some(3),
            cluster_errors: Some(0),
            version: Some(Version::of(0, 22, 0)),
        };
        assert_eq!(Passes::read(PAGE), Ok(expected));
    }

    #[test]
    fn what_an_older_version_does_not_tell_is_not_known_and_another_program_is_told() {
        let first = Passes::read(&format!("{LAST_SYNC} 0\n")).unwrap();
        assert_eq!(first, Passes::default(), "it has had no pass yet");
        for other in ["", "other 1", "#external_dns_controller_last_sync_timestamp_seconds 1"] {
            assert!(Passes::read(other).unwrap_err().contains("no external-dns"), "{other}");
        }
        let unnamed = PAGE.replace(",version=\"v0.22.0\"", "");
        assert_eq!(Passes::read(&unnamed).unwrap().version, None, "the version of Go is another one");
    }

    #[test]
    fn what_was_known_stays_known_while_it_cannot_be_read() {
        let known = noted(&ExternalDnsView::default(), Passes::read(PAGE), at(10));
        assert_eq!((known.last_sync, known.asked_at), (Some(at(1_795_257_000)), Some(at(10))));
        let silent = noted(&known, Err("connection refused".to_owned()), at(20));
        let silent = noted(&silent, Err("timed out".to_owned()), at(30));
        assert_eq!((silent.last_sync, silent.trouble.as_deref()), (known.last_sync, Some("timed out")));
        assert_eq!((silent.trouble_since, silent.asked_at), (Some(at(20)), Some(at(30))));
        let again = noted(&silent, Passes::read(&format!("{LAST_SYNC} 0\n")), at(40));
        assert_eq!((again.last_sync, again.trouble, again.trouble_since), (known.last_sync, None, None));
    }

    #[test]
    fn errors_that_are_added_are_told_from_those_of_long_ago() {
        let with = |errors: u64| Passes { record_errors: Some(errors), ..Passes::default() };
        let mut known = noted(&ExternalDnsView::default(), Ok(with(7)), at(1));
        assert_eq!(known.errors.records.grew_at, None, "whenever they were");
        for (errors, second, grew_at) in
            [(7, 2, None), (8, 3, Some(3)), (8, 4, Some(3)), (0, 5, Some(3)), (1, 6, Some(6))]
        {
            known = noted(&known, Ok(with(errors)), at(second));
            assert_eq!(known.errors.records.grew_at, grew_at.map(at), "at {second}");
        }
    }
}
