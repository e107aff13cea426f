//! What the rig is doing, one line at a time, for the person who waits for it.

use std::io::Write as _;
use std::sync::LazyLock;
use std::time::Instant;

static STARTED: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Writes one line, with the seconds since the first line, to standard error.
///
/// It writes to the stream itself, so that the lines are seen at once even where the test harness captures output.
pub fn say(line: impl AsRef<str>) {
    let elapsed = STARTED.elapsed().as_secs_f32();
    let text = format!("rig {elapsed:6.1}s  {}\n", line.as_ref());
    if std::io::stderr().write_all(text.as_bytes()).is_err() {
        tracing::debug!("standard error is closed; a progress line was dropped");
    }
}
