//! What is granted beside what was used: every right that nothing needs, and every need without a right.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::Result;

use crate::deploy::{Deploy, Grant};
use crate::exceptions::{Everybodys, OtherNames, Unused};
use crate::requests::{Request, Requests};

/// How often a right was used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Uses {
    /// Requests that it allows.
    pub all: usize,
    /// Those among them that nothing else allows: without this right they are refused. Only these prove that it is needed.
    pub needed: usize,
}

/// What is let pass.
#[derive(Clone, Copy, Default)]
pub struct Exceptions<'a> {
    pub everybodys: &'a [Everybodys],
    pub other_names: &'a [OtherNames],
    pub unused: &'a [Unused],
}

/// The result.
#[derive(Debug, Default)]
pub struct Comparison {
    /// Every right that `deploy/` grants to an account of the operator.
    pub uses: BTreeMap<Grant, Uses>,
    /// What is wrong, in sentences.
    pub problems: BTreeSet<String>,
    /// What was let pass, in sentences.
    pub notes: BTreeSet<String>,
}

/// Compares what a run recorded with what `deploy/` grants.
pub fn compare(deploy: &Deploy, requests: &Requests, exceptions: Exceptions<'_>) -> Result<Comparison> {
    let uses = deploy.all_grants()?.into_iter().map(|grant| (grant, Uses::default())).collect();
    let mut result = Comparison { uses, ..Comparison::default() };
    let accounts = deploy.accounts();
    for (request, count) in &requests.allowed {
        if accounts.contains(&request.account) {
            result.attribute(&deploy.grants(&request.cluster, &request.account)?, request, *count, exceptions);
        } else {
            result.notes.insert(format!("not judged: {} is an account of a test's own", request.account));
        }
    }
    result.judge_refusals(requests, &accounts);
    result.judge_unused(exceptions);
    result.judge_exceptions(exceptions);
    Ok(result)
}

impl Comparison {
    fn attribute(&mut self, grants: &[Grant], request: &Request, count: usize, exceptions: Exceptions<'_>) {
        let mut allowing: Vec<_> = grants.iter().filter(|grant| grant.allows(request)).collect();
        if allowing.is_empty()
            && let Some(known) = exceptions.other_names.iter().find(|other| other.is(request))
        {
            allowing.extend(grants.iter().filter(|grant| grant.would_allow_named(request)));
            self.notes.insert(format!("{}: {}", known.name(), known.reason));
        }
        for grant in &allowing {
            let uses = self.uses.entry((*grant).clone()).or_default();
            uses.all += count;
            uses.needed += if allowing.len() == 1 { count } else { 0 };
        }
        if !allowing.is_empty() {
            return;
        }
        match exceptions.everybodys.iter().find(|everybodys| everybodys.is(request)) {
            Some(known) => drop(self.notes.insert(format!("{}: {}", known.name(), known.reason))),
            None => drop(self.problems.insert(format!(
                "{request}, {count} times, is granted by no role in deploy/ and was allowed: add the right, or do without it"
            ))),
        }
    }

    fn judge_refusals(&mut self, requests: &Requests, accounts: &BTreeSet<String>) {
        for (request, count) in requests.refused.iter().filter(|(request, _)| accounts.contains(&request.account)) {
            self.problems.insert(format!(
                "{request} was refused {count} times: add the right to deploy/, or take it away from an account of the test's own"
            ));
        }
    }

    fn judge_unused(&mut self, exceptions: Exceptions<'_>) {
        for (grant, uses) in self.uses.iter().filter(|(_, uses)| uses.needed == 0) {
            let name = grant.to_string();
            if let Some(known) = exceptions.unused.iter().find(|unused| unused.grant == name) {
                self.notes.insert(format!("unused: {name}: {}", known.reason));
                continue;
            }
            let found = match uses.all {
                0 => "no test used it".to_owned(),
                all => format!("each of its {all} uses is granted elsewhere as well"),
            };
            self.problems.insert(format!("{name} is granted and {found}: remove it, or add the test that needs it"));
        }
    }

    fn judge_exceptions(&mut self, exceptions: Exceptions<'_>) {
        let needed = |start: &str| self.notes.iter().any(|note| note.starts_with(start));
        let names = exceptions.everybodys.iter().map(Everybodys::name);
        let is_granted = |known: &&OtherNames| self.uses.keys().any(|grant| grant.resource == known.resource);
        let names = names.chain(exceptions.other_names.iter().filter(is_granted).map(OtherNames::name));
        let names = names.chain(exceptions.unused.iter().map(|known| format!("unused: {}", known.grant)));
        let stale: Vec<_> = names.filter(|name| !needed(&format!("{name}: "))).collect();
        self.problems.extend(stale.iter().map(|name| format!("the exception `{name}` is not needed: remove it")));
    }
}

impl Everybodys {
    fn is(&self, request: &Request) -> bool {
        (self.verb, self.group, self.resource) == (&*request.verb, &*request.group, &*request.resource)
    }

    fn name(&self) -> String {
        format!("{} {}.{}", self.verb, self.resource, self.group)
    }
}

impl OtherNames {
    fn is(&self, request: &Request) -> bool {
        (self.group, self.resource) == (&*request.group, &*request.resource)
    }

    fn name(&self) -> String {
        format!("{}.{} of other names", self.resource, self.group)
    }
}

/// The table: one line for each role and resource, with its verbs and how often each was used.
impl fmt::Display for Comparison {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lines: BTreeMap<(&str, String), Vec<String>> = BTreeMap::new();
        for (grant, uses) in &self.uses {
            let verbs = lines.entry((&grant.role, grant.object())).or_default();
            let needed =
                if uses.needed < uses.all { format!(" ({} by this alone)", uses.needed) } else { String::new() };
            verbs.push(format!("{} {}{needed}", grant.verb, uses.all));
        }
        let role_width = lines.keys().map(|(role, _)| role.len()).max().unwrap_or_default();
        let width = lines.keys().map(|(_, object)| object.len()).max().unwrap_or_default();
        writeln!(
            formatter,
            "{:role_width$}  {:width$}  verbs granted, and how often each was used",
            "role", "resource"
        )?;
        for ((role, object), verbs) in &lines {
            writeln!(formatter, "{role:role_width$}  {object:width$}  {}", verbs.join(", "))?;
        }
        writeln!(formatter)?;
        self.notes.iter().try_for_each(|note| writeln!(formatter, "note: {note}"))
    }
}
