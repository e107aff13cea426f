//! Globs of a ClusterPair's allow-lists: `*` stands for any characters, also for none; everything else for itself.

/// Whether one of the globs matches the whole text.
pub fn any_matches(globs: &[String], text: &str) -> bool {
    globs.iter().any(|glob| matches(glob, text))
}

/// Whether the glob matches the whole text. Takes time in proportion to the product of both lengths at most.
fn matches(glob: &str, text: &str) -> bool {
    let Some((head, rest)) = glob.split_once('*') else { return glob == text };
    let Some(mut left) = text.strip_prefix(head) else { return false };
    let mut parts: Vec<&str> = rest.split('*').collect();
    let tail = parts.pop().unwrap_or_default();
    for part in parts {
        // The first place is the best: it leaves most for the parts behind it.
        let Some(at) = left.find(part) else { return false };
        left = left.get(at + part.len()..).unwrap_or_default();
    }
    left.ends_with(tail)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_star_stands_for_anything_and_the_rest_for_itself() {
        for (glob, text) in [("*", ""), ("*", "a.b"), ("team-*", "team-"), ("*.example.com", "a.b.example.com")] {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in
            [("", "a"), ("shop", "shop-dev"), ("*.example.com", "example.com"), ("a*a", "a"), ("?", "a")]
        {
            assert!(!matches(glob, text), "{glob} {text}");
        }
        assert!(matches("a*b*a", "abba") && !matches("*bb*b", "abba"));
        assert!(!any_matches(&[], "a"), "an empty list allows something");
    }

    /// The definition of a glob, slow and plain.
    fn plainly(glob: &[u8], text: &[u8]) -> bool {
        match (glob, text) {
            ([], []) => true,
            ([b'*', rest @ ..], _) => plainly(rest, text) || (!text.is_empty() && plainly(glob, &text[1..])),
            ([one, rest @ ..], [first, others @ ..]) => one == first && plainly(rest, others),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_matches_what_the_definition_matches(glob in "[ab*.]{0,8}", text in "[ab.]{0,10}") {
            prop_assert_eq!(matches(&glob, &text), plainly(glob.as_bytes(), text.as_bytes()));
        }

        #[test]
        fn a_text_with_any_stretch_replaced_by_a_star_is_matched(head in "[a-z.-]{0,9}", middle in "[a-z.-]{0,9}", tail in "[a-z.-]{0,9}") {
            let (text, glob) = (format!("{head}{middle}{tail}"), format!("{head}*{tail}"));
            prop_assert!(matches(&glob, &text));
        }
    }
}
