//! What the viewer of the demo sees: one line per event, with the time since the start. Colours only where they help.

use std::io::{IsTerminal as _, Write as _};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::weights::Weights;

/// Characters of a bar.
const BAR: usize = 30;

/// The two clusters, what is good and what is bad.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Colour {
    /// The source.
    Blue,
    /// The target, and what went well.
    Green,
    /// What failed.
    Red,
    /// What is less important.
    Grey,
}

impl Colour {
    /// The code of "select graphic rendition" (ECMA-48).
    fn code(self) -> u8 {
        match self {
            Self::Blue => 34,
            Self::Green => 32,
            Self::Red => 31,
            Self::Grey => 90,
        }
    }
}

/// Standard output, as a calm narrative.
#[derive(Clone, Copy, Debug)]
pub struct Screen {
    started: Instant,
    coloured: bool,
}

impl Screen {
    /// Starts the clock. Colours only on a terminal, and not where <https://no-color.org> forbids them.
    pub fn start() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self { started: Instant::now(), coloured: std::io::stdout().is_terminal() && !forbidden }
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// One event: what kind of event, about which migration.
    pub fn event(&self, migration: &str, kind: &str, text: &str) -> Result<()> {
        let time = self.paint(Colour::Grey, &format!("{:6.1}s", self.elapsed().as_secs_f32()));
        say(&format!("{time}  {migration:<5}  {kind:<7}  {text}"))
    }

    /// The text in a colour, if there are colours.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if self.coloured { format!("\u{1b}[{}m{text}\u{1b}[0m", colour.code()) } else { text.to_owned() }
    }

    /// The weights as written, and the users' share that they amount to, as a bar in two colours.
    pub fn bar(&self, weights: Weights) -> String {
        let target = cells(weights.target_share());
        let (source, target) = ("#".repeat(BAR - target), "=".repeat(target));
        let (source, target) = (self.paint(Colour::Blue, &source), self.paint(Colour::Green, &target));
        let number = |weight: Option<i32>| weight.map_or_else(|| "-".to_owned(), |weight| weight.to_string());
        format!("source {:>3} {source}{target} {:<3} target", number(weights.source), number(weights.target))
    }
}

/// A line of its own, or several.
pub fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).context("writing to standard output")
}

/// The cells of the target. A share that is not nothing is seen, and so is what is left.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "a share between 0 and 1 of 30 cells"
)]
fn cells(share: f64) -> usize {
    if share <= 0.0 {
        return 0;
    }
    if share >= 1.0 {
        return BAR;
    }
    ((share * BAR as f64).round() as usize).clamp(1, BAR - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_shows_every_share_that_is_not_nothing() {
        assert_eq!([0.0, 0.01, 0.5, 0.99, 1.0].map(cells), [0, 1, 15, 29, 30]);
    }

    #[test]
    fn a_bar_without_colours_tells_the_sides_apart() {
        let screen = Screen { started: Instant::now(), coloured: false };
        let bar = screen.bar(Weights { source: Some(90), target: Some(10) });
        assert_eq!(bar, "source  90 ###########################=== 10  target");
        assert!(screen.bar(Weights { source: None, target: None }).starts_with("source   - #"));
    }
}
