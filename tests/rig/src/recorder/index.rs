//! The writes in an audit log, read once and found by what they are about and who made them: a log grows to hundreds of megabytes,
//! and many look at it all the time.

use std::collections::{BTreeMap, HashMap};
use std::io::{ErrorKind, Read as _, Seek as _, SeekFrom};
use std::path::Path;
use std::sync::Arc;

use super::{WRITES, verb};
use crate::audit::ObjectRef;

/// Lines of writes, each with the offset at which it begins.
#[derive(Debug, Default)]
pub(super) struct Index {
    read: u64,
    lines: Vec<(u64, Arc<str>)>,
    about: HashMap<String, Vec<usize>>,
    by: BTreeMap<String, Vec<usize>>,
}

impl Index {
    /// Reads the complete lines that are new.
    pub(super) fn catch_up(&mut self, path: &Path) -> std::io::Result<()> {
        let mut file = match std::fs::File::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            file => file?,
        };
        file.seek(SeekFrom::Start(self.read))?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        // The API server may be in the middle of a line.
        for line in bytes.split_inclusive(|byte| *byte == b'\n').filter(|line| line.ends_with(b"\n")) {
            self.add(std::str::from_utf8(line).map_err(std::io::Error::other)?.trim_end());
            self.read += line.len() as u64;
        }
        Ok(())
    }

    fn add(&mut self, line: &str) {
        if verb(line).is_some_and(|verb| !WRITES.contains(&verb)) {
            return;
        }
        let number = self.lines.len();
        self.lines.push((self.read, line.into()));
        let ObjectRef { namespace, name, .. } = object(line).unwrap_or_default();
        if name != namespace {
            self.about.entry(name).or_default().push(number);
        }
        self.about.entry(namespace).or_default().push(number);
        let user = line.split_once(r#""username":""#).and_then(|(_, rest)| rest.split('"').next()).unwrap_or_default();
        self.by.entry(user.to_owned()).or_default().push(number);
    }

    /// From this offset on, those in a namespace of this name, or to an object of this name.
    pub(super) fn about(&self, mark: u64, name: &str) -> Vec<Arc<str>> {
        self.since(mark, self.about.get(name).into_iter().flatten().copied())
    }

    /// From this offset on, those of users whose name begins so.
    pub(super) fn by(&self, mark: u64, user: &str) -> Vec<Arc<str>> {
        let users = self.by.range(user.to_owned()..).take_while(|(name, _)| name.starts_with(user));
        let mut numbers: Vec<_> = users.flat_map(|(_, numbers)| numbers.iter().copied()).collect();
        numbers.sort_unstable();
        self.since(mark, numbers.into_iter())
    }

    fn since(&self, mark: u64, numbers: impl Iterator<Item = usize>) -> Vec<Arc<str>> {
        let lines = numbers.map(|number| &self.lines[number]).filter(|(begins, _)| *begins >= mark);
        lines.map(|(_, line)| Arc::clone(line)).collect()
    }
}

/// What a line is about, without parsing the rest of it.
fn object(line: &str) -> Option<ObjectRef> {
    let (_, object) = line.split_once(r#""objectRef":"#)?;
    serde_json::from_str(&object[..=object.find('}')?]).ok()
}
