//! Looks for a Secret's value where it must not be.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use k8s_openapi::ByteString;

/// Fails with the name of the first of `places` (name, text) in which `canary` stands, as it is or in base64.
pub fn contains_text<N: AsRef<str>, T: AsRef<str>>(
    places: impl IntoIterator<Item = (N, T)>,
    canary: &str,
) -> Result<(), String> {
    let encoded = base64(canary);
    for (name, text) in places {
        let (name, text) = (name.as_ref(), text.as_ref());
        if let Some(at) = text.find(canary) {
            return Err(format!("{name} holds the value that it must not hold, at byte {at}"));
        }
        if let Some(at) = text.find(&encoded) {
            return Err(format!("{name} holds the base64 of the value that it must not hold, at byte {at}"));
        }
    }
    Ok(())
}

/// Every file below `folder` as (path, text), bytes that are no UTF-8 replaced.
pub fn files_under(folder: &Path) -> anyhow::Result<Vec<(String, String)>> {
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![folder.to_owned()];
    while let Some(folder) = folders.pop() {
        let entries = std::fs::read_dir(&folder).with_context(|| format!("list {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("list {}", folder.display()))?;
            let (path, kind) = (entry.path(), entry.file_type()?);
            if kind.is_dir() {
                folders.push(path);
            } else if kind.is_file() {
                let bytes = std::fs::read(&path).with_context(|| format!("read {}", path.display()))?;
                files.push((path.display().to_string(), String::from_utf8_lossy(&bytes).into_owned()));
            }
        }
    }
    Ok(files)
}

/// As the API server writes it in a Secret's `data`.
fn base64(text: &str) -> String {
    let encoded = serde_json::to_value(ByteString(text.as_bytes().to_vec()));
    encoded.ok().and_then(|value| Some(value.as_str()?.to_owned())).unwrap_or_else(|| text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_value_is_found_plain_and_encoded_and_the_place_is_named() {
        assert!(contains_text([("log", "nothing here")], "s3cret-value").is_ok());
        let plain = contains_text([("log", "fine"), ("status", "x s3cret-value x")], "s3cret-value").unwrap_err();
        assert!(plain.contains("status") && !plain.contains("s3cret-value"), "{plain}");
        let encoded = contains_text([("event", "c3VwZXI=x czNjcmV0LXZhbHVl")], "s3cret-value").unwrap_err();
        assert!(encoded.contains("event") && encoded.contains("base64"), "{encoded}");
    }

    #[test]
    fn files_are_found_in_folders_of_folders() {
        let root = std::env::temp_dir().join(format!("rig-leaks-{}", std::process::id()));
        std::fs::create_dir_all(root.join("a/b")).unwrap();
        std::fs::write(root.join("a/b/operator.log"), b"s3cret\xff").unwrap();
        let files = files_under(&root).unwrap();
        std::fs::remove_dir_all(&root).unwrap();
        assert_eq!(files.len(), 1);
        assert!(contains_text(files, "s3cret").is_err());
        assert!(files_under(&root).is_err());
    }
}
