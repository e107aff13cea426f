//! The CustomResourceDefinitions as YAML: what `crds/` holds and `namespace-migration crds` prints.

use kube::CustomResourceExt;

use super::{ClusterPair, NamespaceMigration};

/// File name under `crds/` and content of each definition.
///
/// # Errors
/// When a definition cannot be written as YAML, which would be a bug in the API types.
pub fn definitions() -> Result<Vec<(&'static str, String)>, serde_saphyr::ser::Error> {
    Ok(vec![
        ("namespacemigrations.yaml", serde_saphyr::to_string(&NamespaceMigration::crd())?),
        ("clusterpairs.yaml", serde_saphyr::to_string(&ClusterPair::crd())?),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_committed_definitions_are_those_of_the_code() {
        for (file, generated) in definitions().unwrap() {
            let path = format!("{}/crds/{file}", env!("CARGO_MANIFEST_DIR"));
            let committed = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(committed == generated, "crds/{file} is stale: run `make crds`");
        }
    }

    #[test]
    fn every_field_has_a_description() {
        for (file, yaml) in definitions().unwrap() {
            let definition: serde_json::Value = serde_saphyr::from_str(&yaml).unwrap();
            let schema = &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            let mut silent = vec![];
            collect_silent(schema, "", &mut silent);
            assert!(silent.is_empty(), "{file}: `kubectl explain` has nothing to say about {silent:?}");
        }
    }

    fn collect_silent(schema: &serde_json::Value, path: &str, silent: &mut Vec<String>) {
        let Some(properties) = schema["properties"].as_object() else {
            if schema["items"].is_object() {
                collect_silent(&schema["items"], path, silent);
            }
            return;
        };
        for (name, property) in properties {
            let here = format!("{path}.{name}");
            // Conditions are Kubernetes' own type; the rest is ours.
            if property["description"].as_str().is_none_or(str::is_empty) {
                silent.push(here.clone());
            }
            collect_silent(property, &here, silent);
        }
    }
}
