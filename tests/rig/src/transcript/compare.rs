//! Whether two transcripts say the same. What differs from run to run is left out: times, ages, UIDs, versions, the order of
//! events of one second and which of two failing checks was seen first.

use anyhow::{Result, bail};

/// Lines of what differs that are shown.
const SHOWN: usize = 20;

/// What only counts, of whatever length the number is.
const COUNTED: [&str; 2] = ["Resource Version:", "Held Millis:"];

/// Fails with the lines that only one of the two has.
pub(super) fn same_words(written: &str, found: &str) -> Result<()> {
    let (written, found) = (words(written), words(found));
    if written == found {
        return Ok(());
    }
    let only = |mark: &str, these: &[String], those: &[String]| {
        let lines = these.iter().filter(|line| !those.contains(line)).take(SHOWN);
        lines.map(|line| format!("{mark} {line}")).collect::<Vec<_>>()
    };
    let differences = [only("-", &written, &found), only("+", &found, &written)].concat();
    bail!("written (-) and found (+) differ:\n{}", differences.join("\n"));
}

/// The lines without what differs from run to run; the events of each object in the order of their texts.
fn words(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    let mut events = None;
    for line in text.lines() {
        match (line, events) {
            ("Events:", _) => events = Some(lines.len() + 1),
            ("```", Some(first)) => {
                lines[first..].sort();
                events = None;
            }
            _ => {}
        }
        let line = line.trim();
        let counted = COUNTED.into_iter().find(|name| line.starts_with(name));
        lines.push(counted.map_or_else(
            || line.split_whitespace().map(word).collect::<Vec<_>>().join(" "),
            |name| format!("{name} ~"),
        ));
    }
    lines
}

fn word(word: &str) -> String {
    let bare = word.trim_end_matches([':', ',', '.']);
    let differs = is_time(bare) || is_age(bare) || is_number_of_an_object(bare);
    if differs { "~".to_owned() } else { word.replace("https://", "http://") }
}

/// As in RFC 3339.
fn is_time(word: &str) -> bool {
    word.parse::<jiff::Timestamp>().is_ok()
}

/// As kubectl prints ages: `11s`, `2m5s`.
fn is_age(word: &str) -> bool {
    let rest = word.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let units = rest.trim_matches(|letter: char| letter.is_ascii_digit() || letter == 'm' || letter == 's');
    rest.len() < word.len() && !rest.is_empty() && units.is_empty()
}

/// UIDs, hashes, versions, milliseconds.
fn is_number_of_an_object(word: &str) -> bool {
    let hex = word.chars().all(|letter| letter.is_ascii_hexdigit() || letter == '-');
    let uid = word.len() >= 32 && hex;
    uid || (word.len() > 3 && word.chars().all(|letter| letter.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_ages_and_numbers_of_objects_do_not_matter_and_words_do() {
        let one =
            "shop  Pass  11s  Paused since 2026-11-21T08:11:03Z: weights\nUID: a80f4aaa-8634-4a3b-843f-8473e1c1346b";
        let other =
            "shop Pass 2m5s Paused since 2026-11-22T09:00:00Z: weights\nUID: 11111111-8634-4a3b-843f-8473e1c1346b";
        same_words(one, other).unwrap();
        let error = same_words(one, &other.replace("Pass", "Fail")).unwrap_err().to_string();
        assert!(error.contains("- shop Pass") && error.contains("+ shop Fail"), "{error}");
        assert!(same_words("hold 10 percent", "hold 50 percent").is_err());
    }

    #[test]
    fn the_order_of_events_does_not_matter() {
        let events = |lines: &str| format!("Name: shop\nEvents:\n{lines}\n```\nName: other");
        same_words(&events("Normal a\nNormal b"), &events("Normal b\nNormal a")).unwrap();
        assert!(same_words("a\nb", "b\na").is_err());
    }
}
