//! What the figures were measured on.

use std::fmt;
use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

/// The size of this machine, as Linux tells it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Machine {
    cores: usize,
    memory_gib: u64,
    processor: String,
}

impl Machine {
    /// Asks the system.
    pub fn of_this() -> Result<Self> {
        let read = |path: &str| fs::read_to_string(Path::new(path)).with_context(|| format!("reading {path}"));
        let cores = std::thread::available_parallelism().context("counting the cores")?.get();
        Self::of(cores, &read("/proc/meminfo")?, &read("/proc/cpuinfo")?)
    }

    fn of(cores: usize, memory: &str, processors: &str) -> Result<Self> {
        let total = field(memory, "MemTotal").context("/proc/meminfo has no MemTotal")?;
        let kib: u64 = total.trim_end_matches("kB").trim().parse().context("MemTotal is no number")?;
        // Not every architecture has a name for its model.
        let processor = field(processors, "model name").unwrap_or("unnamed processor").to_owned();
        Ok(Self { cores, memory_gib: (kib + (1 << 19)) >> 20, processor })
    }
}

fn field<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let fields = text.lines().filter_map(|line| line.split_once(':'));
    fields.into_iter().find(|(key, _)| key.trim() == name).map(|(_, value)| value.trim())
}

impl fmt::Display for Machine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cores, memory_gib, processor } = self;
        write!(f, "{cores} cores ({processor}), {memory_gib} GiB of memory")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_machine_says_its_cores_memory_and_processor() {
        let memory = "MemTotal:       24576000 kB\nMemFree: 1 kB\n";
        let named = "processor\t: 0\nmodel name\t: AMD EPYC 9R14\nprocessor : 1\nmodel name : AMD EPYC 9R14\n";
        let machine = Machine::of(2, memory, named).unwrap();
        assert_eq!(machine.to_string(), "2 cores (AMD EPYC 9R14), 23 GiB of memory");
        assert!(Machine::of(2, memory, "").unwrap().to_string().contains("unnamed processor"));
        assert!(Machine::of(2, "", named).is_err());
    }
}
