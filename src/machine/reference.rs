//! The reference of everything that status says, as Markdown: `docs/status.md` is this text.

use jiff::SignedDuration;

use super::deadline::allowance;
use super::pair;
use super::reason::Reason;
use super::run::words;
use super::stages::{FORWARD, is_terminal};
use super::summary::CONDITIONS;
use crate::api::Stage;
use crate::api::status::Severity;
use crate::preflight;

/// Stages off the way forward.
const OTHER_STAGES: [Stage; 4] = [Stage::RollingBack, Stage::RollbackBlocked, Stage::RolledBack, Stage::Failed];

/// The whole reference.
pub fn markdown() -> String {
    let stages = FORWARD.into_iter().chain(OTHER_STAGES);
    let stages = stages.map(|stage| [stage.as_str().to_owned(), stage.meaning().to_owned(), deadline(stage)]);
    let owned = |(name, meaning): (&str, &str)| [name.to_owned(), meaning.to_owned()];
    let conditions = CONDITIONS.into_iter().map(owned);
    let reasons = Reason::ALL.iter().map(|reason| [reason.as_str().to_owned(), reason.meaning().to_owned()]);
    format!(
        "# What status says\n\n\
         `make reference` writes this page from the code; a test fails when it is stale.\n\n\
         `status.stage` says where a migration is, `status.reason` what it waits for in one word, `status.message` the same in a\n\
         sentence with the objects' names, `status.waitingSince` since when, and `status.unblock` what a person can do about it.\n\n\
         ## Stages\n\n{}\n\
         Where external-dns is waited for, the time after which DNS counts as late (twice what it usually takes, as measured) comes on top of\n\
         the deadline. In ShiftTraffic it is the time of one write and its settling: holds, and the bake, take what the spec says. A stage that takes longer leads to a rollback, with `onFailure: Hold` to a wait for a person, in Preflight to Failed. DNS that is looked at and does not follow never does: a person is called (Stalled), and it goes on when DNS follows.\n\n\
         ## Conditions\n\n{}\n\
         ## Checks before the move\n\n\
         A Blocker waits until what it finds is mended, or, where that is said, is acknowledged by name in spec.preflight.acknowledge. A Warning\n\
         does not wait: people judge it, and may acknowledge it as well. An Info is good to know. Only what applies to the namespace is told.\n\n{}\n\
         ## Conditions of a ClusterPair\n\n{}\n\
         ## Reasons\n\n{}",
        table(["Stage", "What it means", "Deadline"], stages),
        table(["Condition", "True when"], conditions),
        table(["Check", "Severity", "What it finds"], preflight::catalogue().map(check)),
        table(["Condition", "True when"], pair::CONDITIONS.into_iter().map(owned)),
        table(["Reason", "What it means"], reasons),
    )
}

fn check((name, severity, finds): (&str, Severity, &str)) -> [String; 3] {
    [name.to_owned(), format!("{severity:?}"), finds.to_owned()]
}

fn deadline(stage: Stage) -> String {
    match allowance(stage, SignedDuration::ZERO) {
        Some(allowance) => words(allowance),
        None if is_terminal(stage) => "ended".to_owned(),
        None => "none".to_owned(),
    }
}

fn table<const N: usize>(head: [&str; N], rows: impl Iterator<Item = [String; N]>) -> String {
    let line = |cells: &[&str]| format!("| {} |\n", cells.join(" | "));
    let rows = rows.map(|cells| line(&cells.iter().map(String::as_str).collect::<Vec<_>>()));
    [line(&head), line(&["---"; N])].into_iter().chain(rows).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_reference_is_that_of_the_code() {
        let committed = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/status.md"));
        assert!(committed.unwrap_or_default() == markdown(), "docs/status.md is stale: run `make reference`");
    }
}
