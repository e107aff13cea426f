//! Planted mistakes are found, each with the shortest story. Without the mistake, the same configuration keeps its promises.
#![allow(clippy::panic, clippy::print_stderr, clippy::expect_used, reason = "what is found is printed")]

use model::{PLAIN, Plant, Setup, explore};

#[test]
fn gate() {
    let story = explore(Setup { name: "no gate", plant: Some(Plant::NoGate), ..PLAIN }).broken.expect("not found");
    eprintln!("{story}");
}
