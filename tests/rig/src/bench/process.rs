//! What a process uses, as Linux tells it.

use std::fs;

use anyhow::{Context as _, Result};

/// Linux counts the time of processes in hundredths of a second: `USER_HZ` is 100 on every architecture that it offers to programs.
const TICKS_PER_SECOND: f64 = 100.0;

/// What one process has used until now.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Usage {
    /// Seconds of processor time since its start.
    pub cpu_seconds: f64,
    /// Memory that is in use now, in MiB.
    pub resident_mib: f64,
}

/// Asks the system.
pub fn usage(pid: u32) -> Result<Usage> {
    let read = |file: &str| {
        let path = format!("/proc/{pid}/{file}");
        fs::read_to_string(&path).with_context(|| format!("reading {path}"))
    };
    parse(&read("stat")?, &read("status")?).with_context(|| format!("/proc/{pid} has another form than expected"))
}

/// <https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html>: the name in brackets may have spaces; `utime` and `stime` are the
/// 12th and 13th field after it.
fn parse(stat: &str, status: &str) -> Option<Usage> {
    let fields: Vec<&str> = stat.rsplit_once(')')?.1.split_whitespace().collect();
    let ticks = |field: usize| fields.get(field)?.parse::<f64>().ok();
    let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kib: f64 = resident.trim().trim_end_matches("kB").trim().parse().ok()?;
    Some(Usage { cpu_seconds: (ticks(11)? + ticks(12)?) / TICKS_PER_SECOND, resident_mib: kib / 1024.0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_a_program_does_not_shift_the_fields() {
        let stat = "42 (a (b) c) S 1 42 42 0 -1 4194304 1 0 0 0 250 50 0 0 20 0 4 0 100 1 1";
        let usage = parse(stat, "Name:\ta\nVmRSS:\t   20480 kB\n").unwrap();
        assert_eq!(usage, Usage { cpu_seconds: 3.0, resident_mib: 20.0 });
        assert_eq!(parse("", ""), None);
    }

    #[test]
    fn this_process_uses_something() {
        let usage = usage(std::process::id()).unwrap();
        assert!(usage.resident_mib > 1.0, "{usage:?}");
    }
}
