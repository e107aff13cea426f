//! Errors of libraries as one safe line for a person.

use std::error::Error;

/// How long text from elsewhere may be, in characters.
const MAX_LENGTH: usize = 512;
/// A cause that names itself as its cause must not hang its reader.
const MAX_DEPTH: usize = 16;

/// The error and its causes, outermost first.
pub(crate) fn chain<'a>(error: &'a (dyn Error + 'static)) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |error| (*error).source()).take(MAX_DEPTH)
}

/// How the HTTP client's layer names itself (`hyper_util::client::legacy::Error`): what failed is below it.
const HTTP_LAYER: &str = "client error (";

/// The causes below the outermost error, which only says that something failed; each once, because libraries repeat
/// what they wrap.
pub(crate) fn causes(error: &(dyn Error + 'static)) -> String {
    let mut text = String::new();
    let is_layer = |error: &dyn Error| error.source().is_some() && error.to_string().starts_with(HTTP_LAYER);
    for cause in chain(error).skip(1).filter(|cause| !is_layer(*cause)).map(ToString::to_string) {
        if text.is_empty() {
            text = cause;
        } else if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    one_line(if text.is_empty() { error.to_string() } else { text }.as_str())
}

/// The error with everything below it, for a reader who has not been told yet what failed.
pub(crate) fn whole(error: &(dyn Error + 'static)) -> String {
    let outermost = error.to_string();
    if error.source().is_none() {
        return one_line(&outermost);
    }
    one_line(&format!("{outermost}: {}", causes(error)))
}

/// What a TLS library tells its programmers: the manual's page about a connection that was cut, and the form of a name.
const MANUAL: &str = ": https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof";
const NAME: [&str; 2] = ["DnsName(\"", "\")"];

fn for_people(text: &str) -> String {
    let text = text.replace(MANUAL, "");
    let mut parts = text.split(NAME[0]);
    let first = parts.next().unwrap_or_default().to_owned();
    parts.fold(first, |told, part| format!("{told}\"{}", part.replacen(NAME[1], "\"", 1)))
}

/// Text from elsewhere, made safe to print: one line of limited length without control characters.
pub(crate) fn one_line(text: &str) -> String {
    let text = for_people(text);
    text.chars().map(|character| if character.is_control() { ' ' } else { character }).take(MAX_LENGTH).collect()
}

#[cfg(test)]
mod tests {
    use thiserror::Error;

    use super::*;

    #[derive(Debug, Error)]
    #[error("{text}")]
    struct Layer {
        text: &'static str,
        #[source]
        source: Option<Box<Layer>>,
    }

    fn layers(texts: &[&'static str]) -> Layer {
        let (text, below) = texts.split_first().unwrap();
        Layer { text, source: (!below.is_empty()).then(|| Box::new(layers(below))) }
    }

    #[test]
    fn causes_are_told_once_and_without_the_outermost() {
        assert_eq!(causes(&layers(&["request failed", "connect: refused", "refused"])), "connect: refused");
        assert_eq!(causes(&layers(&["outer", "connect", "refused\n(111)"])), "connect: refused (111)");
        assert_eq!(causes(&layers(&["alone"])), "alone");
        assert_eq!(causes(&layers(&["outer", "client error (Connect)", "refused"])), "refused");
        assert_eq!(causes(&layers(&["outer", "client error (Connect)"])), "client error (Connect)");
        assert_eq!(whole(&layers(&["outer", "connect", "refused\n(111)"])), "outer: connect: refused (111)");
        assert_eq!(whole(&layers(&["alone"])), "alone");
    }

    #[test]
    fn a_tls_librarys_words_for_programmers_are_taken_out() {
        let cut = "peer closed connection without sending TLS close_notify: https://docs.rs/rustls/latest/rustls/manual/_03_howto/index.html#unexpected-eof";
        assert_eq!(one_line(cut), "peer closed connection without sending TLS close_notify");
        let names = "only valid for DnsName(\"a.example\") or DnsName(\"b.example\") (found \"c\")";
        assert_eq!(one_line(names), "only valid for \"a.example\" or \"b.example\" (found \"c\")");
    }

    #[test]
    fn a_line_is_one_line_and_short() {
        let line = one_line(&format!("a\nb\u{1b}{}", "é".repeat(600)));
        assert!(line.starts_with("a b é") && line.chars().count() == MAX_LENGTH, "{line}");
    }
}
