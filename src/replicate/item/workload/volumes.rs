//! The volumes of a Pod that hold data.

use serde_json::Value;

use crate::machine::inventory::Volume;
use crate::replicate::fields::{array, entries, text};

/// Sources of volumes that the API server fills, or that cannot be written: nothing is lost with them.
const WITHOUT_DATA: [&str; 5] = ["configMap", "secret", "projected", "downwardAPI", "image"];

/// The volumes of a Pod that hold data of their own.
pub(super) fn volumes(pod: &Value) -> Vec<Volume> {
    array(&pod["volumes"]).filter_map(volume).collect()
}

fn volume(volume: &Value) -> Option<Volume> {
    let name = text(&volume["name"]);
    let (kind, source) = entries(volume).find(|(key, source)| *key != "name" && source.is_object())?;
    match kind.as_str() {
        "emptyDir" => Some(Volume::Empty { name, memory: source["medium"] == "Memory" }),
        // A claim that is made and deleted with its Pod.
        "ephemeral" => Some(Volume::Empty { name, memory: false }),
        "hostPath" => Some(Volume::Host { name, path: text(&source["path"]) }),
        "persistentVolumeClaim" => Some(Volume::Claim { name, claim: text(&source["claimName"]) }),
        kind if WITHOUT_DATA.contains(&kind) => None,
        kind => Some(Volume::Outside { name, kind: kind.to_owned() }),
    }
}
