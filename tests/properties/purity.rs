//! The core is pure: no client, no runtime, no clock, and nothing that panics. Its sources are read to prove it.

use std::fs;
use std::path::{Path, PathBuf};

/// The parts of the core.
const CORE: [&str; 3] = ["src/machine", "src/preflight", "src/replicate"];

/// What the core must not contain, and why.
const FORBIDDEN: [(&str, &str); 16] = [
    ("kube::Client", "it makes no request"),
    ("kube::Api", "it makes no request"),
    ("kube::client", "it makes no request"),
    ("kube::api", "it makes no request"),
    ("kube_runtime", "it has no runtime"),
    ("tokio", "it has no runtime"),
    ("futures", "it does not wait"),
    ("async ", "it does not wait"),
    ("Timestamp::now", "it is told the time"),
    ("SystemTime", "it is told the time"),
    ("Instant::now", "it is told the time"),
    (".unwrap()", "it does not panic"),
    (".expect(", "it does not panic"),
    ("panic!(", "it does not panic"),
    ("unreachable!(", "it does not panic"),
    ("std::env", "it depends on its arguments alone"),
];

fn rust_files(directory: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    let paths = entries.map(|entry| entry.unwrap().path());
    paths.flat_map(|path| if path.is_dir() { rust_files(&path) } else { vec![path] }).collect()
}

/// The lines that are shipped: comments and everything from the tests on do not count.
fn shipped(source: &str) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.lines().enumerate().take_while(|(_, line)| line.trim() != "#[cfg(test)]");
    lines.filter(|(_, line)| !line.trim_start().starts_with("//")).map(|(number, line)| (number + 1, line))
}

fn offences(source: &str) -> Vec<String> {
    shipped(source)
        .flat_map(|(number, line)| {
            let found = FORBIDDEN.iter().filter(move |(word, _)| line.contains(word));
            found.map(move |(word, why)| format!("line {number}: {word} ({why})"))
        })
        .collect()
}

#[test]
fn the_core_makes_no_request_reads_no_clock_and_does_not_panic() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files: Vec<_> = CORE.iter().flat_map(|part| rust_files(&root.join(part))).collect();
    // Declared under `#[cfg(test)]` by the file beside it.
    let files: Vec<_> = files.into_iter().filter(|file| !file.ends_with("tests.rs")).collect();
    assert!(files.len() > 30, "only {} files were read", files.len());
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        assert_eq!(offences(&source), Vec::<String>::new(), "{}", file.display());
    }
}

#[test]
fn an_offence_is_seen_and_a_test_is_none() {
    let bad = "use kube::Client;\n// tokio\nlet now = Timestamp::now();\n#[cfg(test)]\nmod tests { x.unwrap() }";
    let expected = ["line 1: kube::Client (it makes no request)", "line 3: Timestamp::now (it is told the time)"];
    assert_eq!(offences(bad), expected);
}

/// The commands that set annotations in a text, each up to where its string or its code ends.
fn setting_commands(text: &str) -> impl Iterator<Item = &str> {
    let commands = text.split("kubectl ").skip(1).map(|rest| rest.split(['`', '"', ';']).next().unwrap_or(rest));
    commands.filter(|command| {
        let set = command.split_once("annotate ").map(|(_, set)| set);
        set.is_some_and(|set| set.split_whitespace().any(|word| word.contains('=') && !word.starts_with('-')))
    })
}

#[test]
fn every_command_that_sets_an_annotation_can_be_run_again_as_it_is_printed() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut texts: Vec<_> =
        rust_files(&root.join("src")).iter().map(|file| fs::read_to_string(file).unwrap()).collect();
    let pages = ["README.md", "docs/architecture.md", "docs/dns.md", "docs/status.md", "docs/transcript.md"];
    texts.extend(pages.iter().map(|page| fs::read_to_string(root.join(page)).unwrap()));
    let commands: Vec<_> = texts.iter().flat_map(|text| setting_commands(text)).collect();
    assert!(commands.len() >= 5, "{commands:?}");
    for command in commands {
        assert!(command.contains(" --overwrite"), "the second time kubectl refuses it: kubectl {command}");
        assert!(!command.contains("TOKEN"), "nobody can run this: kubectl {command}");
    }
}

#[test]
fn a_command_that_cannot_be_run_again_is_seen() {
    let found = |text| setting_commands(text).collect::<Vec<_>>();
    assert_eq!(found("`kubectl annotate migration shop a/b=1`, or"), ["annotate migration shop a/b=1"]);
    assert!(found("kubectl --context=OLD annotate ingress web a/b-").is_empty(), "it takes one off");
    assert!(found("kubectl patch migration shop -p '{\"a\":\"b=c\"}'").is_empty());
}
