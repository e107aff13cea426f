//! The operator.
#![allow(clippy::print_stdout)]
fn main() {
    for (name, yaml) in namespace_migration::api::crds::definitions().unwrap_or_default() {
        print!("---\n# {name}\n{yaml}");
    }
}
