//! What a container is told: flags as kingpin reads them, in its command, its arguments and its environment.
//!
//! `--flag=value` or `--flag value`, the last one counts, and each may be given as `EXTERNAL_DNS_FLAG` instead, several values one a
//! line. What is said where only other objects could tell is not known, and is not guessed.

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use serde_json::Value;

use crate::api::DurationText;

/// What a container is told.
pub(super) struct Arguments {
    /// Each flag with its values in their order. None: one that is not known.
    flags: BTreeMap<String, Vec<Option<String>>>,
    /// Each variable with its value, where it is said here.
    environment: BTreeMap<String, Option<String>>,
    /// Whether more may be said elsewhere.
    is_open: bool,
}

/// What is known of a flag.
enum Told {
    /// These are its values.
    Values(Vec<String>),
    /// It is not given.
    Not,
    /// It may be given where nobody looks.
    Unknown,
}

impl Arguments {
    pub(super) fn of(container: &Value) -> Self {
        let environment = environment(container);
        let words = ["command", "args"].into_iter().flat_map(|field| array(&container[field]));
        let words: Vec<_> = words.filter_map(Value::as_str).map(|word| Word::of(word, &environment)).collect();
        let has_sources = !array(&container["envFrom"]).is_empty();
        // A shell's one word has the flags in it; one that begins with @ is a file with more of them.
        let hides_flags = |word: &Word| matches!(word, Word::Plain(Some(text)) if text.starts_with('@') || text.contains("external-dns "));
        let is_open = has_sources || words.iter().any(hides_flags);
        Self { flags: flags(words), environment, is_open }
    }

    fn told(&self, flag: &str) -> Told {
        if let Some(values) = self.flags.get(flag) {
            let known: Option<Vec<_>> = values.iter().cloned().collect();
            return known.map_or(Told::Unknown, Told::Values);
        }
        let variable = format!("EXTERNAL_DNS_{}", flag.to_uppercase().replace('-', "_"));
        match self.environment.get(&variable) {
            Some(Some(value)) if !value.is_empty() => {
                Told::Values(value.trim_end().lines().map(str::to_owned).collect())
            }
            Some(None) => Told::Unknown,
            _ if self.is_open => Told::Unknown,
            _ => Told::Not,
        }
    }

    /// The value of a flag that has one. None where it is not known, or not given and without a default.
    pub(super) fn one(&self, flag: &str, default: Option<String>) -> Option<String> {
        match self.told(flag) {
            Told::Values(values) => values.into_iter().next_back(),
            Told::Not => default,
            Told::Unknown => None,
        }
    }

    pub(super) fn time(&self, flag: &str, default: SignedDuration) -> Option<SignedDuration> {
        match self.told(flag) {
            Told::Values(values) => duration(values.last()?),
            Told::Not => Some(default),
            Told::Unknown => None,
        }
    }

    pub(super) fn all(&self, flag: &str) -> BTreeSet<String> {
        let Told::Values(values) = self.told(flag) else { return BTreeSet::new() };
        values.into_iter().filter(|value| !value.is_empty()).collect()
    }
}

/// The variables that a container is given one by one. None: the value is in another object.
fn environment(container: &Value) -> BTreeMap<String, Option<String>> {
    let mut known = BTreeMap::new();
    for variable in array(&container["env"]) {
        let Some(name) = variable["name"].as_str() else { continue };
        let elsewhere = !variable["valueFrom"].is_null();
        let value = variable["value"].as_str().unwrap_or_default();
        let value = if elsewhere { None } else { expanded(value, &known) };
        known.insert(name.to_owned(), value);
    }
    known
}

/// A text with the variables that it names, as the kubelet puts them in: `$(NAME)`, and `$$` for one `$`. A name that is not
/// there stays as it is. None where a value is not known.
/// <https://kubernetes.io/docs/tasks/inject-data-application/define-interdependent-environment-variables/>
fn expanded(text: &str, environment: &BTreeMap<String, Option<String>>) -> Option<String> {
    let (mut out, mut rest) = (String::new(), text);
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
            continue;
        }
        let named = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
        if let Some((value, tail)) = named.and_then(|(name, tail)| Some((environment.get(name)?, tail))) {
            out.push_str(value.as_ref()?);
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    Some(out)
}

/// One word of a command. None stands for a text that is not known.
enum Word {
    /// `--flag`.
    Flag(String),
    /// `--flag=value`.
    Full(String, Option<String>),
    /// Anything else.
    Plain(Option<String>),
}

impl Word {
    fn of(word: &str, environment: &BTreeMap<String, Option<String>>) -> Self {
        let whole = expanded(word, environment);
        let text = whole.as_deref().unwrap_or(word);
        match text.strip_prefix("--").map(|flag| flag.split_once('=').ok_or(flag)) {
            Some(Ok((name, value))) => Self::Full(name.to_owned(), whole.is_some().then(|| value.to_owned())),
            Some(Err(name)) => Self::Flag(name.to_owned()),
            None => Self::Plain(whole),
        }
    }
}

/// external-dns takes no word that is not a flag, so that one behind a flag is its value. A flag without a value is a switch that
/// is on.
fn flags(words: Vec<Word>) -> BTreeMap<String, Vec<Option<String>>> {
    let mut flags = BTreeMap::<String, Vec<Option<String>>>::new();
    let mut give = |name: String, value| flags.entry(name).or_default().push(value);
    let mut words = words.into_iter().peekable();
    while let Some(word) = words.next() {
        match word {
            Word::Full(name, value) => give(name, value),
            Word::Flag(name) => match words.next_if(|next| matches!(next, Word::Plain(_))) {
                Some(Word::Plain(value)) => give(name, value),
                _ => give(name, Some("true".to_owned())),
            },
            Word::Plain(_) => {}
        }
    }
    flags
}

/// As Go writes durations; a number alone is seconds.
fn duration(text: &str) -> Option<SignedDuration> {
    text.parse().map(SignedDuration::from_secs).ok().or_else(|| DurationText::from(text).span().ok())
}

fn array(value: &Value) -> &[Value] {
    value.as_array().map(Vec::as_slice).unwrap_or_default()
}
