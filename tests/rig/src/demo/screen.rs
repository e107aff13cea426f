//! What the viewer of the demo sees: one line per event, with the time since the start, and on a terminal a line at the
//! bottom that moves. Colours only where they help. Nothing is wider than 80 columns.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use super::bar::Traffic;

/// Columns of the narrowest terminal.
pub const WIDTH: usize = 80;
/// Where the text of an event begins.
const INDENT: usize = 25;

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
#[derive(Debug)]
pub struct Screen {
    started: Instant,
    terminal: bool,
    coloured: bool,
    /// The line that moves, as it stands now.
    live: Mutex<String>,
}

impl Screen {
    /// Starts the clock. Colours only on a terminal, and not where <https://no-color.org> forbids them.
    pub fn start() -> Self {
        let forbidden = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        let terminal = std::io::stdout().is_terminal();
        Self { started: Instant::now(), terminal, coloured: terminal && !forbidden, live: Mutex::default() }
    }

    /// The time since the start.
    pub fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }

    /// Whether a line can move.
    pub fn is_terminal(&self) -> bool {
        self.terminal
    }

    /// One event: what kind of event, about which migration.
    pub fn event(&self, migration: &str, kind: &str, text: &str, colour: Option<Colour>) -> Result<()> {
        let lines = wrapped(text, WIDTH - INDENT);
        let lines = lines.iter().map(|line| colour.map_or_else(|| line.clone(), |colour| self.paint(colour, line)));
        let text = lines.collect::<Vec<_>>().join(&format!("\n{}", " ".repeat(INDENT)));
        self.print(&format!("{}  {migration:<5}  {kind:<7} {text}", self.time()))
    }

    /// Where the users are, for good.
    pub fn traffic(&self, migration: &str, traffic: &Traffic) -> Result<()> {
        self.print(&self.bar(migration, traffic))
    }

    /// Where the users are at this moment; it is replaced by what comes next. Only on a terminal.
    pub fn live(&self, migration: &str, traffic: &Traffic) -> Result<()> {
        if !self.terminal {
            return Ok(());
        }
        let mut live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        *live = self.bar(migration, traffic);
        write(&format!("\r\u{1b}[2K{live}"))
    }

    /// Takes the line that moves away.
    pub fn end_live(&self) -> Result<()> {
        let live = std::mem::take(&mut *self.live.lock().unwrap_or_else(PoisonError::into_inner));
        if live.is_empty() { Ok(()) } else { write("\r\u{1b}[2K") }
    }

    /// The text in a colour, if there are colours.
    pub fn paint(&self, colour: Colour, text: &str) -> String {
        if self.coloured && !text.is_empty() {
            format!("\u{1b}[{}m{text}\u{1b}[0m", colour.code())
        } else {
            text.to_owned()
        }
    }

    /// 79 columns at most: the last one of a terminal would begin a new line.
    fn bar(&self, migration: &str, traffic: &Traffic) -> String {
        let bar: String = traffic.parts().map(|(colour, part)| self.paint(colour, &part)).concat();
        format!("{}  {migration:<5}  {bar}  {}", self.time(), traffic.figures())
    }

    fn time(&self) -> String {
        self.paint(Colour::Grey, &format!("{:6.1}s", self.elapsed().as_secs_f32()))
    }

    /// A line above the one that moves.
    fn print(&self, line: &str) -> Result<()> {
        let live = self.live.lock().unwrap_or_else(PoisonError::into_inner);
        if live.is_empty() { write(&format!("{line}\n")) } else { write(&format!("\r\u{1b}[2K{line}\n{live}")) }
    }
}

/// A line of its own, or several. Nothing moves meanwhile.
pub fn say(text: &str) -> Result<()> {
    write(&format!("{text}\n"))
}

fn write(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes()).and_then(|()| out.flush()).context("writing to standard output")
}

/// Lines of at most this width, broken between words. A longer word has a line of its own.
pub fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::population::{BySide, Counts, Served};
    use crate::weights::Weights;

    fn plain() -> Screen {
        Screen { started: Instant::now(), terminal: false, coloured: false, live: Mutex::default() }
    }

    #[test]
    fn long_sentences_are_broken_between_words() {
        assert_eq!(
            wrapped("The target is unhealthy, which is new.", 14),
            ["The target is", "unhealthy,", "which is new."]
        );
        assert_eq!(wrapped("http://books.example.com/ answers", 10), ["http://books.example.com/", "answers"]);
        assert!(wrapped("", 10).is_empty());
    }

    #[test]
    fn the_line_of_traffic_fits_into_a_terminal_of_80_columns() {
        let sides = BySide { source: Served { well: 1, badly: 1 }, target: Served { well: 1, badly: 0 } };
        let most = Weights { source: Some(100), target: Some(100) };
        let traffic = Traffic { requests: Counts { sides, nowhere: 0 }, written: most, served: most };
        assert!(plain().bar("books", &traffic).chars().count() <= 79);
    }

    #[test]
    fn colours_are_only_used_where_there_are_colours() {
        let coloured = Screen { coloured: true, ..plain() };
        assert_eq!(plain().paint(Colour::Red, "x"), "x");
        assert_eq!(coloured.paint(Colour::Red, "x"), "\u{1b}[31mx\u{1b}[0m");
        assert_eq!(coloured.paint(Colour::Red, ""), "");
    }
}
