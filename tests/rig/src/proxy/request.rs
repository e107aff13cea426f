//! What a request to an API server means, from its method and path.

use std::fmt;

use hyper::http::{header, request};
use hyper::{Method, Uri};
use serde_json::Value;

/// A request as the API server will understand it (reference: "Kubernetes API Concepts", "Determine the Request Verb").
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ApiRequest {
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete` or `deletecollection`; for what is no resource the HTTP
    /// method in lower case.
    pub verb: String,
    /// API group; empty for the core group and for what is no resource.
    pub group: String,
    /// Plural resource name; empty for what is no resource, as `/version`.
    pub resource: String,
    /// For example `status`; empty for the object itself.
    pub subresource: String,
    /// Empty for cluster-scoped objects and for reads across namespaces.
    pub namespace: String,
    /// Empty for lists and where the body names the object.
    pub name: String,
    /// Does it ask for a stream of changes?
    pub watch: bool,
    /// Asked with `dryRun=All`?
    pub dry_run: bool,
    /// The path without the query.
    pub path: String,
    /// The client program.
    pub user_agent: String,
    /// The body of a write, as JSON; `Null` for reads and for what is no JSON.
    pub object: Value,
}

impl ApiRequest {
    /// The meaning of a request's head; the body is added to writes later.
    pub(super) fn new(head: &request::Parts) -> Self {
        let header = |name| head.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
        let mut request = Self::parse(&head.method, &head.uri);
        request.user_agent = header(header::USER_AGENT);
        request
    }

    fn parse(method: &Method, uri: &Uri) -> Self {
        let mut request = Self { path: uri.path().to_owned(), ..Self::default() };
        for (key, value) in uri.query().unwrap_or_default().split('&').filter_map(|pair| pair.split_once('=')) {
            request.watch |= key == "watch" && matches!(value, "true" | "1");
            request.dry_run |= key == "dryRun" && value == "All";
        }
        request.read_path(uri.path());
        request.verb = request.verb_of(method);
        request
    }

    fn read_path(&mut self, path: &str) {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (group, rest) = match parts.as_slice() {
            ["api", _version, rest @ ..] if !rest.is_empty() => ("", rest),
            ["apis", group, _version, rest @ ..] if !rest.is_empty() => (*group, rest),
            _ => return,
        };
        group.clone_into(&mut self.group);
        let rest = match rest {
            // `namespaces/a/status` is about the Namespace, `namespaces/a/pods` about what is in it.
            ["namespaces", namespace, resource, ..] if !["status", "finalize"].contains(resource) => {
                (*namespace).clone_into(&mut self.namespace);
                &rest[2..]
            }
            _ => rest,
        };
        let part = |index: usize| (*rest.get(index).unwrap_or(&"")).to_owned();
        (self.resource, self.name, self.subresource) = (part(0), part(1), part(2));
    }

    fn verb_of(&self, method: &Method) -> String {
        let verb = match (method.as_str(), self.resource.is_empty(), self.name.is_empty()) {
            (method, true, _) => return method.to_ascii_lowercase(),
            ("GET" | "HEAD", ..) if self.watch => "watch",
            ("GET" | "HEAD", _, true) => "list",
            ("GET" | "HEAD", _, false) => "get",
            ("POST", ..) => "create",
            ("PUT", ..) => "update",
            ("PATCH", ..) => "patch",
            ("DELETE", _, true) => "deletecollection",
            ("DELETE", _, false) => "delete",
            (method, ..) => return method.to_ascii_lowercase(),
        };
        verb.to_owned()
    }

    /// Would it change something at the API server? Questions that are asked by POST (access and token reviews) and dry runs
    /// do not.
    pub fn is_write(&self) -> bool {
        let question = ["authorization.k8s.io", "authentication.k8s.io"].contains(&self.group.as_str());
        self.changes_by_verb() && !question && !self.dry_run
    }

    /// Is it the write of an object, apart from its subresources, of this kind in this namespace?
    pub fn is_write_of(&self, resource: &str, namespace: &str) -> bool {
        self.is_write() && self.subresource.is_empty() && self.resource == resource && self.namespace == namespace
    }

    /// Is it about the status of an object of this kind?
    pub fn is_of_status(&self, resource: &str) -> bool {
        self.subresource == "status" && self.resource == resource
    }

    /// An annotation in the body of a write.
    pub fn annotation(&self, key: &str) -> Option<&str> {
        self.object.pointer("/metadata/annotations")?.get(key)?.as_str()
    }

    pub(super) fn changes_by_verb(&self) -> bool {
        ["create", "update", "patch", "delete", "deletecollection"].contains(&self.verb.as_str())
    }
}

impl fmt::Display for ApiRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {} by {}", self.verb, self.path, self.user_agent)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(method: &str, uri: &str) -> ApiRequest {
        ApiRequest::parse(&method.parse().unwrap(), &uri.parse().unwrap())
    }

    #[test]
    fn method_and_path_give_verb_group_resource_namespace_name_and_subresource() {
        let ingresses = "/apis/networking.k8s.io/v1/namespaces/shop-dev/ingresses";
        let cases = [
            ("GET", format!("{ingresses}/shop"), "get networking.k8s.io ingresses shop-dev shop "),
            ("GET", format!("{ingresses}?limit=5"), "list networking.k8s.io ingresses shop-dev  "),
            ("GET", "/apis/networking.k8s.io/v1/ingresses?watch=true".into(), "watch networking.k8s.io ingresses   "),
            ("PATCH", format!("{ingresses}/shop?fieldManager=x"), "patch networking.k8s.io ingresses shop-dev shop "),
            ("PATCH", format!("{ingresses}/shop/status"), "patch networking.k8s.io ingresses shop-dev shop status"),
            ("POST", "/api/v1/namespaces/shop-dev/secrets".into(), "create  secrets shop-dev  "),
            ("PUT", "/api/v1/nodes/one".into(), "update  nodes  one "),
            ("DELETE", "/api/v1/namespaces/shop-dev".into(), "delete  namespaces  shop-dev "),
            ("DELETE", "/api/v1/namespaces/shop-dev/pods".into(), "deletecollection  pods shop-dev  "),
            ("PUT", "/api/v1/namespaces/shop-dev/finalize".into(), "update  namespaces  shop-dev finalize"),
            ("GET", "/api/v1/namespaces".into(), "list  namespaces   "),
            ("GET", "/version".into(), "get     "),
            ("GET", "/apis/networking.k8s.io/v1".into(), "get     "),
        ];
        for (method, uri, expected) in cases {
            let r = parse(method, &uri);
            let found = format!("{} {} {} {} {} {}", r.verb, r.group, r.resource, r.namespace, r.name, r.subresource);
            assert_eq!(found, expected, "{method} {uri}");
        }
    }

    #[test]
    fn reviews_and_dry_runs_are_no_writes() {
        assert!(parse("POST", "/api/v1/namespaces/shop-dev/secrets").is_write());
        assert!(!parse("POST", "/api/v1/namespaces/shop-dev/secrets?dryRun=All").is_write());
        assert!(!parse("POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews").is_write());
        assert!(!parse("GET", "/api/v1/namespaces/shop-dev/secrets").is_write());
    }
}
