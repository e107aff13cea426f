//! From a cluster's objects to routes, as an ingress controller reads them. Pure.

use std::collections::{BTreeMap, BTreeSet};

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::{HTTPIngressPath, Ingress, IngressServiceBackend, IngressSpec};
use kube::ResourceExt as _;

/// Older than `spec.ingressClassName` and still honoured by ingress-nginx; it wins where both are set.
const CLASS_ANNOTATION: &str = "kubernetes.io/ingress.class";
/// ingress-nginx redirects to HTTPS by itself; the rig's load balancer only where this is `"true"`.
const REDIRECT_ANNOTATION: &str = "nginx.ingress.kubernetes.io/ssl-redirect";
const SERVICE_OF_SLICE: &str = "kubernetes.io/service-name";

/// Where requests go, by host and path. Ingresses without a host and `spec.defaultBackend` are not served.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Routes {
    hosts: BTreeMap<String, HostRoutes>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct HostRoutes {
    tls: bool,
    redirect: bool,
    paths: Vec<PathRoute>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct PathRoute {
    path: String,
    exact: bool,
    ready: bool,
}

/// What becomes of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Destination {
    /// No Ingress of the class has this host and path: 404.
    DefaultBackend,
    /// The backend Service is absent or has no ready endpoint: 503.
    Unavailable,
    /// Plain HTTP for a host that wants HTTPS: 308.
    RedirectToHttps,
    /// The sample application answers.
    Application,
}

/// Does `ingress` belong to the load balancer of this class?
pub fn is_of_class(ingress: &Ingress, class: &str) -> bool {
    let in_spec = || ingress.spec.as_ref().and_then(|spec| spec.ingress_class_name.as_deref());
    let annotated = ingress.annotations().get(CLASS_ANNOTATION).map(String::as_str);
    annotated.or_else(in_spec) == Some(class)
}

impl Routes {
    /// The routes of all Ingresses of `class`.
    pub fn new<'a>(
        ingresses: impl IntoIterator<Item = &'a Ingress>,
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
        class: &str,
    ) -> Self {
        let backends = Backends::new(services, slices);
        let mut routes = Self::default();
        for ingress in ingresses.into_iter().filter(|ingress| is_of_class(ingress, class)) {
            routes.add(ingress, &backends);
        }
        for host in routes.hosts.values_mut() {
            host.paths.sort_by_key(|route| (std::cmp::Reverse(route.path.len()), !route.exact));
        }
        routes
    }

    /// Does an Ingress ask for TLS for this host?
    pub fn has_tls(&self, host: &str) -> bool {
        self.host(host).is_some_and(|routes| routes.tls)
    }

    /// What becomes of a request for `host` and `path` that came by HTTPS or by plain HTTP.
    pub fn destination(&self, host: &str, path: &str, https: bool) -> Destination {
        let Some(routes) = self.host(host) else { return Destination::DefaultBackend };
        if routes.redirect && routes.tls && !https {
            return Destination::RedirectToHttps;
        }
        match routes.paths.iter().find(|route| route.matches(path)) {
            None => Destination::DefaultBackend,
            Some(route) if route.ready => Destination::Application,
            Some(_) => Destination::Unavailable,
        }
    }

    fn host(&self, host: &str) -> Option<&HostRoutes> {
        self.hosts.get(host).or_else(|| self.hosts.get(&wildcard_of(host)?))
    }

    fn add(&mut self, ingress: &Ingress, backends: &Backends) {
        let Some(spec) = &ingress.spec else { return };
        let namespace = ingress.namespace().unwrap_or_default();
        let redirect = ingress.annotations().get(REDIRECT_ANNOTATION).is_some_and(|value| value == "true");
        for rule in spec.rules.iter().flatten() {
            let Some(host) = rule.host.as_deref().map(str::to_ascii_lowercase) else { continue };
            let tls = asks_for_tls(spec, &host);
            let routes = self.hosts.entry(host).or_default();
            routes.tls |= tls;
            routes.redirect |= redirect;
            let paths = rule.http.iter().flat_map(|http| &http.paths);
            routes.paths.extend(paths.map(|path| PathRoute::new(path, &namespace, backends)));
        }
    }
}

impl PathRoute {
    fn new(path: &HTTPIngressPath, namespace: &str, backends: &Backends) -> Self {
        Self {
            path: path.path.clone().unwrap_or_else(|| "/".to_owned()),
            exact: path.path_type == "Exact",
            ready: path.backend.service.as_ref().is_some_and(|service| backends.ready(namespace, service)),
        }
    }

    /// A prefix matches by whole elements: `/a` matches `/a` and `/a/b`, not `/ab`.
    fn matches(&self, path: &str) -> bool {
        if self.exact {
            return path == self.path;
        }
        let rest = path.strip_prefix(self.path.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }
}

fn asks_for_tls(spec: &IngressSpec, host: &str) -> bool {
    let mut hosts = spec.tls.iter().flatten().flat_map(|tls| tls.hosts.iter().flatten());
    hosts.any(|tls_host| tls_host.eq_ignore_ascii_case(host) || wildcard_of(host).as_deref() == Some(tls_host.as_str()))
}

fn wildcard_of(host: &str) -> Option<String> {
    Some(format!("*.{}", host.split_once('.')?.1))
}

type NamespacedName = (String, String);

/// The ports of every Service, and the Services with a ready endpoint.
struct Backends {
    ports: BTreeMap<NamespacedName, Vec<(Option<String>, i32)>>,
    ready: BTreeSet<NamespacedName>,
}

impl Backends {
    fn new<'a>(
        services: impl IntoIterator<Item = &'a Service>,
        slices: impl IntoIterator<Item = &'a EndpointSlice>,
    ) -> Self {
        let ports = services.into_iter().map(|service| {
            let ports = service.spec.iter().flat_map(|spec| spec.ports.iter().flatten());
            let ports = ports.map(|port| (port.name.clone(), port.port)).collect();
            ((service.namespace().unwrap_or_default(), service.name_any()), ports)
        });
        let ready = slices.into_iter().filter(|slice| has_ready_endpoint(slice)).filter_map(|slice| {
            Some((slice.namespace().unwrap_or_default(), slice.labels().get(SERVICE_OF_SLICE)?.clone()))
        });
        Self { ports: ports.collect(), ready: ready.collect() }
    }

    fn ready(&self, namespace: &str, backend: &IngressServiceBackend) -> bool {
        let key = (namespace.to_owned(), backend.name.clone());
        let Some(ports) = self.ports.get(&key) else { return false };
        let Some(wanted) = &backend.port else { return false };
        let has_port = ports.iter().any(|(name, number)| match (&wanted.name, wanted.number) {
            (Some(wanted), _) => name.as_ref() == Some(wanted),
            (None, wanted) => wanted == Some(*number),
        });
        has_port && self.ready.contains(&key)
    }
}

/// An endpoint whose readiness nobody states counts as ready (API reference, `EndpointConditions`).
fn has_ready_endpoint(slice: &EndpointSlice) -> bool {
    slice.endpoints.iter().any(|endpoint| {
        let ready = endpoint.conditions.as_ref().and_then(|conditions| conditions.ready);
        ready.unwrap_or(true) && !endpoint.addresses.is_empty()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn ingress(class: &str, host: &str) -> Ingress {
        serde_json::from_value(json!({
            "metadata": {"name": "shop", "namespace": "shop-dev"},
            "spec": {
                "ingressClassName": class,
                "tls": [{"hosts": [host], "secretName": "shop-tls"}],
                "rules": [{"host": host, "http": {"paths": [
                    {"path": "/", "pathType": "Prefix", "backend": {"service": {"name": "shop", "port": {"number": 80}}}},
                    {"path": "/admin", "pathType": "Prefix",
                     "backend": {"service": {"name": "admin", "port": {"name": "http"}}}}
                ]}}]
            }
        }))
        .unwrap()
    }

    fn service(name: &str) -> Service {
        serde_json::from_value(json!({
            "metadata": {"name": name, "namespace": "shop-dev"},
            "spec": {"ports": [{"name": "http", "port": 80}]}
        }))
        .unwrap()
    }

    fn slice(service: &str, ready: bool) -> EndpointSlice {
        serde_json::from_value(json!({
            "metadata": {"name": format!("{service}-x7"), "namespace": "shop-dev", "labels": {SERVICE_OF_SLICE: service}},
            "addressType": "IPv4",
            "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": ready}}]
        }))
        .unwrap()
    }

    fn routes(ingress: &Ingress, services: &[Service], slices: &[EndpointSlice]) -> Routes {
        Routes::new([ingress], services, slices, "default")
    }

    #[test]
    fn a_known_host_with_a_ready_endpoint_reaches_the_application() {
        let routes = routes(&ingress("default", "shop.example.com"), &[service("shop")], &[slice("shop", true)]);
        assert_eq!(routes.destination("shop.example.com", "/login", false), Destination::Application);
        assert_eq!(routes.destination("other.example.com", "/", false), Destination::DefaultBackend);
        assert!(routes.has_tls("shop.example.com"));
        assert!(!routes.has_tls("other.example.com"));
    }

    #[test]
    fn a_backend_without_service_port_or_ready_endpoint_is_unavailable() {
        let shop = ingress("default", "shop.example.com");
        let mut other_port = service("shop");
        other_port.spec.as_mut().unwrap().ports.as_mut().unwrap()[0].port = 8080;
        let cases = [
            ("no Service", vec![], vec![slice("shop", true)]),
            ("no EndpointSlice", vec![service("shop")], vec![]),
            ("endpoint not ready", vec![service("shop")], vec![slice("shop", false)]),
            ("another port", vec![other_port], vec![slice("shop", true)]),
        ];
        for (case, services, slices) in cases {
            let destination = routes(&shop, &services, &slices).destination("shop.example.com", "/", true);
            assert_eq!(destination, Destination::Unavailable, "{case}");
        }
    }

    #[test]
    fn the_longest_path_decides_and_a_prefix_ends_at_a_slash() {
        let services = [service("shop"), service("admin")];
        let routes = routes(&ingress("default", "shop.example.com"), &services, &[slice("shop", true)]);
        assert_eq!(routes.destination("shop.example.com", "/admin/users", true), Destination::Unavailable);
        assert_eq!(routes.destination("shop.example.com", "/administration", true), Destination::Application);
    }

    #[test]
    fn an_ingress_of_another_class_does_not_exist() {
        let other = ingress("other", "shop.example.com");
        let routes = routes(&other, &[service("shop")], &[slice("shop", true)]);
        assert_eq!(routes, Routes::default());
    }

    #[test]
    fn the_class_annotation_wins_over_the_field() {
        let mut old = ingress("other", "shop.example.com");
        old.metadata.annotations = Some(BTreeMap::from([(CLASS_ANNOTATION.to_owned(), "default".to_owned())]));
        assert!(is_of_class(&old, "default"));
        assert!(!is_of_class(&old, "other"));
    }

    #[test]
    fn plain_http_is_redirected_only_where_the_annotation_says_so() {
        let mut redirecting = ingress("default", "shop.example.com");
        redirecting.metadata.annotations = Some(BTreeMap::from([(REDIRECT_ANNOTATION.to_owned(), "true".to_owned())]));
        let routes = routes(&redirecting, &[service("shop")], &[slice("shop", true)]);
        assert_eq!(routes.destination("shop.example.com", "/", false), Destination::RedirectToHttps);
        assert_eq!(routes.destination("shop.example.com", "/", true), Destination::Application);
    }

    #[test]
    fn a_wildcard_host_covers_one_label() {
        let routes = routes(&ingress("default", "*.example.com"), &[service("shop")], &[slice("shop", true)]);
        assert_eq!(routes.destination("shop.example.com", "/", true), Destination::Application);
        assert!(routes.has_tls("shop.example.com"));
        assert_eq!(routes.destination("a.shop.example.com", "/", true), Destination::DefaultBackend);
    }
}
