//! How a finding is worded: the objects by name, a few in the sentence and more beside it, whatever strangers have written into them.

use super::Found;
use crate::machine::inventory::Item;

/// Objects in the sentence.
const IN_WORDS: usize = 5;
/// Objects beside it.
const BESIDE: usize = 20;
/// Characters of a text that others wrote. The longest name of an object has 253.
const LONGEST: usize = 300;

/// An object, and what is said of it in brackets; nothing where that is empty.
pub(super) struct Noted {
    object: String,
    detail: String,
}

/// An object of the namespace, and what is said of it.
pub(super) fn noted(item: &Item, detail: impl AsRef<str>) -> Noted {
    named(&object(item), detail)
}

/// Something that has a name, and what is said of it.
pub(super) fn named(object: &str, detail: impl AsRef<str>) -> Noted {
    Noted { object: line(object), detail: line(detail.as_ref()) }
}

/// An object as status names it: `Deployment/web`.
pub(super) fn object(item: &Item) -> String {
    format!("{}/{}", item.kind.kind, item.name)
}

/// A finding of the form "lead: objects. Meaning." None when there is nothing to name.
pub(super) fn found(noted: impl IntoIterator<Item = Noted>, lead: &str, meaning: &str, fix: &str) -> Option<Found> {
    let noted: Vec<_> = noted.into_iter().collect();
    let mut objects: Vec<_> = noted.iter().map(|noted| noted.object.clone()).collect();
    objects.dedup();
    (!noted.is_empty()).then(|| Found {
        message: format!("{lead}: {}. {meaning}", some(noted.iter().map(Noted::words).collect(), IN_WORDS).join(", ")),
        fix: fix.to_owned(),
        acceptable: true,
        objects: some(objects, BESIDE),
    })
}

impl Noted {
    fn words(&self) -> String {
        if self.detail.is_empty() { self.object.clone() } else { format!("{} ({})", self.object, self.detail) }
    }
}

/// The first of them, and how many more there are.
fn some(mut all: Vec<String>, most: usize) -> Vec<String> {
    let more = all.len().saturating_sub(most);
    all.truncate(most);
    all.extend((more > 0).then(|| format!("and {more} more")));
    all
}

/// What others wrote, in one line of bounded length: a name, an annotation or an API server's words may hold anything.
fn line(text: &str) -> String {
    let plain = text.chars().map(|letter| if letter.is_control() { ' ' } else { letter });
    if text.chars().nth(LONGEST).is_none() { plain.collect() } else { plain.take(LONGEST).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn five_objects_stand_in_the_sentence_and_twenty_beside_it() {
        let all = (1..=30).map(|number| named(&format!("Secret/s{number}"), "x"));
        let told = found(all, "Lead", "Meaning.", "Fix.").unwrap();
        let said =
            "Lead: Secret/s1 (x), Secret/s2 (x), Secret/s3 (x), Secret/s4 (x), Secret/s5 (x), and 25 more. Meaning.";
        assert_eq!(told.message, said);
        assert_eq!(told.objects.len(), 21);
        assert_eq!(told.objects.last().map(String::as_str), Some("and 10 more"));
    }

    #[test]
    fn what_others_wrote_stays_in_one_line_of_bounded_length() {
        assert_eq!(line("a\nb\u{7}\"c\""), "a b \"c\"");
        assert_eq!(line(&"ü".repeat(1000)).chars().count(), LONGEST + 1);
    }

    #[test]
    fn nothing_to_name_is_no_finding() {
        assert!(found([], "Lead", "Meaning.", "Fix.").is_none());
    }
}
