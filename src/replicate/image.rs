//! The name of an image on the target, where registries differ.

use std::collections::BTreeMap;

/// The registry of images that name none. <https://github.com/distribution/reference/blob/main/normalize.go>
const DEFAULT: &str = "docker.io";

/// An image's name with the target's registry in place of the source's. As it was where none of the registries is its own.
pub(super) fn mapped_image(image: &str, registries: &BTreeMap<String, String>) -> String {
    if image.is_empty() {
        return String::new();
    }
    let full = full(image);
    let within = |known: &str| full.strip_prefix(known).filter(|rest| rest.starts_with('/')).map(str::to_owned);
    let fitting = registries.iter().filter_map(|(known, new)| Some((known.len(), within(known)?, new)));
    let longest = fitting.max_by_key(|(length, _, _)| *length);
    longest.map_or_else(|| image.to_owned(), |(_, rest, new)| format!("{new}{rest}"))
}

/// The first part of a name is a registry where it looks like a host.
fn full(image: &str) -> String {
    match image.split_once('/') {
        Some((first, _)) if first.contains(['.', ':']) || first == "localhost" => image.to_owned(),
        Some(_) => format!("{DEFAULT}/{image}"),
        None => format!("{DEFAULT}/library/{image}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_registry_that_fits_is_replaced_and_others_stay() {
        let registries = [
            ("1.dkr.ecr.example", "2.dkr.ecr.example"),
            ("quay.io", "mirror.example/quay"),
            ("quay.io/team", "registry.example/team"),
            ("docker.io", "mirror.example/hub"),
        ];
        let registries = registries.map(|(from, to)| (from.to_owned(), to.to_owned())).into();
        let cases = [
            ("1.dkr.ecr.example/shop/web:3", "2.dkr.ecr.example/shop/web:3"),
            ("quay.io/team/web@sha256:0", "registry.example/team/web@sha256:0"),
            ("quay.io/teams/web", "mirror.example/quay/teams/web"),
            ("nginx:1.27", "mirror.example/hub/library/nginx:1.27"),
            ("bitnami/redis", "mirror.example/hub/bitnami/redis"),
            ("localhost:5000/web", "localhost:5000/web"),
            ("11.dkr.ecr.example/web", "11.dkr.ecr.example/web"),
            ("", ""),
        ];
        for (image, expected) in cases {
            assert_eq!(mapped_image(image, &registries), expected, "{image}");
        }
        assert_eq!(mapped_image("nginx", &BTreeMap::new()), "nginx");
    }
}
