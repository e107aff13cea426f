//! Whose an object is, and what follows for its copy. Each answer says by what it was found out.

mod generated;
mod owned;
mod refused;
mod unowned;

use std::collections::{BTreeMap, BTreeSet};

use crate::machine::inventory::Item;

/// Characters of a sentence; names and annotations in it may be anything.
const LONGEST_EVIDENCE: usize = 400;

/// What is done with an object.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Class {
    /// It is created on the target where it is absent there.
    Copy,
    /// Somebody else brings it to the target: it is waited for and compared.
    Verify,
    /// It cannot move, and the move may be wrong because of it: a blocker until a person acknowledges it.
    Refuse,
    /// It means nothing on another cluster, or is made there by itself.
    Never,
    /// Nobody can tell whose it is: a person is asked.
    Unknown,
}

/// The class of an object, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Classified {
    /// The class.
    pub class: Class,
    /// What it was found out by, as one sentence for people.
    pub evidence: String,
}

/// What decides beside the object itself: `spec.resources.mode`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// A pipeline or a GitOps tool deploys the target; only Secrets and ConfigMaps that nobody owns are copied.
    #[default]
    Verify,
    /// Whatever nobody owns is copied.
    Copy,
}

/// What is known beside the object.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Context {
    /// The namespace that moves.
    pub namespace: String,
    /// Who brings objects to the target.
    pub mode: Mode,
    /// Kind and name of what is needed on the target and absent there, and by whom: [`super::needed`].
    pub needed: BTreeMap<(String, String), String>,
    /// Kind and name of what people have said to be theirs to copy: the answer to [`Class::Unknown`].
    pub asked_for: BTreeSet<(String, String)>,
    /// The source's own addresses, in lower case: of its load balancers, its API server, its Services and Nodes.
    pub source_addresses: BTreeSet<String>,
}

/// A question to an object. None: the next one is asked.
type Question = fn(&Item, &Context) -> Option<Classified>;

/// In this order: what no owner can move is refused before anybody asks whose it is, and only what nobody owns is copied.
const QUESTIONS: [Question; 5] =
    [generated::by_kind, refused::cannot_move, owned::by_others, refused::raises_rights, unowned::by_kind];

/// The class of one object of the source.
pub fn classify(item: &Item, context: &Context) -> Classified {
    let answer = QUESTIONS.iter().find_map(|question| question(item, context));
    let Classified { class, evidence } = answer.unwrap_or_else(|| unowned::without_rule(item, context));
    Classified { class, evidence: one_line(&evidence) }
}

fn answer(class: Class, evidence: impl Into<String>) -> Option<Classified> {
    Some(Classified { class, evidence: evidence.into() })
}

/// A phrase as a sentence. `cert-manager` is a name that its makers write small.
fn sentence(phrase: &str) -> String {
    let mut characters = phrase.chars();
    let small = phrase.starts_with("cert-manager");
    let first: String = characters.next().into_iter().flat_map(char::to_uppercase).collect();
    if small { format!("{phrase}.") } else { format!("{first}{}.", characters.as_str()) }
}

fn one_line(text: &str) -> String {
    let plain = text.chars().map(|character| if character.is_control() { ' ' } else { character });
    let mut line: String = plain.take(LONGEST_EVIDENCE).collect();
    if text.chars().nth(LONGEST_EVIDENCE).is_some() {
        line.push('…');
    }
    line
}

#[cfg(test)]
mod tests;
