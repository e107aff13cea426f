//! Realistic namespaces, one YAML file each in `tests/corpus`, and beside each what becomes of its objects: class, evidence and form of the
//! copy, in the order of writes, as reviewed by people. `UPDATE_CORPUS=1` writes those files anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};

use namespace_migration::machine::inventory::{Inventory, Item};
use namespace_migration::replicate::{
    Class, Classified, Context, Mark, Mode, Rules, classify, in_order, item, needed, sanitize,
};
use serde_json::Value;

/// A comment in a namespace's file that names the source's own addresses.
const ADDRESSES: &str = "# source addresses: ";

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// The files of namespaces, in the order of the alphabet.
pub fn files() -> Vec<PathBuf> {
    let entries = fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> = entries.filter(|path| path.extension().is_some_and(|end| end == "yaml")).collect();
    files.sort();
    files
}

/// The objects of a namespace.
pub fn objects(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// What copies differ in, the same for all namespaces.
pub fn rules() -> Rules {
    let map = |names: &[(&str, &str)]| names.iter().map(|(from, to)| ((*from).into(), (*to).into())).collect();
    Rules {
        classes: map(&[("nginx", "nginx-live")]),
        registries: map(&[(
            "111111111111.dkr.ecr.eu-west-1.amazonaws.com",
            "222222222222.dkr.ecr.eu-west-2.amazonaws.com",
        )]),
        source_prefix: "external-dns.alpha.kubernetes.io/".into(),
        target_prefix: "external-dns.alpha.kubernetes.io/".into(),
        namespace_keys: ["cloud-platform.justice.gov.uk/".to_owned()].into(),
        keep_node_ports: false,
        mark: Some(Mark { owner: "home/shop/move".into(), owner_label: "0123456789abcdef".into() }),
    }
}

fn context(text: &str, items: &[Item], mode: Mode) -> Context {
    let mut inventory = Inventory::default();
    inventory.source.items = items.iter().map(|item| ((item.kind.clone(), item.name.clone()), item.clone())).collect();
    let addresses = text.lines().find_map(|line| line.strip_prefix(ADDRESSES)).unwrap_or_default();
    Context {
        namespace: "shop".into(),
        mode,
        needed: needed(&inventory),
        source_addresses: addresses.split_whitespace().map(str::to_owned).collect(),
        ..Context::default()
    }
}

/// What becomes of each object, as text.
fn told(file: &Path) -> String {
    let (text, objects) = (fs::read_to_string(file).unwrap(), objects(file));
    let items: Vec<_> = objects.iter().map(item).collect();
    let contexts = [Mode::Verify, Mode::Copy].map(|mode| context(&text, &items, mode));
    let mut told = String::new();
    for found in in_order(&items) {
        let object = &objects[items.iter().position(|item| std::ptr::eq(item, found)).unwrap()];
        let answers = contexts.each_ref().map(|context| classify(found, context));
        tell(&mut told, object, found, &answers);
    }
    told
}

fn tell(told: &mut String, object: &Value, item: &Item, answers: &[Classified; 2]) {
    writeln!(told, "## {} {}", item.kind.kind, short(&item.name)).unwrap();
    let [verify, copy] = answers;
    let mode = if verify == copy { "" } else { "mode Verify: " };
    writeln!(told, "{mode}{:?}. {}", verify.class, verify.evidence).unwrap();
    if verify != copy {
        writeln!(told, "mode Copy: {:?}. {}", copy.class, copy.evidence).unwrap();
    }
    if answers.iter().any(|answer| answer.class != Class::Never) {
        let copy = serde_saphyr::to_string(&sanitize(object, &rules())).unwrap();
        for line in copy.lines() {
            writeln!(told, "    {}", short(line)).unwrap();
        }
    }
    told.push('\n');
}

/// Long names and large values are told by their length.
fn short(text: &str) -> String {
    let length = text.chars().count();
    if length <= 160 {
        text.to_owned()
    } else {
        format!("{}… ({length} characters)", text.chars().take(60).collect::<String>())
    }
}

#[test]
fn what_becomes_of_each_namespace_of_the_corpus_is_as_reviewed() {
    let (mut stale, update) = (vec![], std::env::var_os("UPDATE_CORPUS").is_some());
    for file in files() {
        let (told, reviewed) = (told(&file), file.with_extension("expected"));
        if update {
            fs::write(&reviewed, &told).unwrap();
        } else if fs::read_to_string(&reviewed).unwrap_or_default() != told {
            stale.push(format!("{}:\n{told}", reviewed.display()));
        }
    }
    assert!(stale.is_empty(), "not as reviewed; UPDATE_CORPUS=1 writes these files anew\n{}", stale.join("\n"));
}

#[test]
fn the_corpus_is_large_shows_every_class_and_has_no_leftovers() {
    let files = files();
    assert!(files.len() >= 60, "only {} namespaces", files.len());
    let classes: BTreeSet<_> = files.iter().flat_map(|file| classes(file)).collect();
    assert_eq!(classes.len(), 5, "{classes:?}");
    let all = fs::read_dir(folder()).unwrap().count();
    assert_eq!(all, 2 * files.len(), "a file in tests/corpus belongs to no namespace");
}

fn classes(file: &Path) -> BTreeSet<Class> {
    let text = fs::read_to_string(file).unwrap();
    let items: Vec<_> = objects(file).iter().map(item).collect();
    let context = context(&text, &items, Mode::Copy);
    items.iter().map(|item| classify(item, &context).class).collect()
}

#[test]
fn two_copies_of_one_object_have_one_form_whatever_the_clusters_gave() {
    for file in files() {
        for object in objects(&file) {
            let copy = sanitize(&object, &rules());
            assert_eq!(sanitize(&copy, &rules()), copy, "{}", file.display());
        }
    }
}
