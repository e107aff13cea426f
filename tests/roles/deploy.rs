//! What `deploy/` grants to the operator: its roles and bindings as they are applied, read from the files.

use std::collections::BTreeSet;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;

use crate::requests::Request;

/// One verb on one resource that one role grants.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Grant {
    /// Its name.
    pub role: String,
    /// API group; empty for the core group.
    pub group: String,
    /// Plural name, with the subresource: `namespacemigrations/status`.
    pub resource: String,
    /// The objects, if it is for some only.
    pub names: BTreeSet<String>,
    /// The namespace, if it is for one only.
    pub namespace: Option<String>,
    pub verb: String,
}

impl Grant {
    /// Whether it allows a request. As in Kubernetes, nothing that has no name yet is allowed by name.
    pub fn allows(&self, request: &Request) -> bool {
        let named = self.names.is_empty() || (request.verb != "create" && self.names.contains(&request.name));
        named && self.would_allow_named(request)
    }

    /// Whether it allows the same request of the objects that it names.
    pub fn would_allow_named(&self, request: &Request) -> bool {
        let within = self.namespace.as_ref().is_none_or(|namespace| *namespace == request.namespace);
        let same = self.group == request.group && self.resource == request.resource && self.verb == request.verb;
        same && within
    }

    /// The resource in words: `leases.coordination.k8s.io named a in b`.
    pub fn object(&self) -> String {
        let names: Vec<_> = self.names.iter().map(String::as_str).collect();
        let named = if names.is_empty() { String::new() } else { format!(" named {}", names.join(", ")) };
        let within = self.namespace.as_ref().map(|namespace| format!(" in {namespace}")).unwrap_or_default();
        format!("{}{named}{within}", resource_in_words(&self.group, &self.resource))
    }
}

/// `namespacemigrations.namespacemigration.io/status`, as kubectl has it.
pub fn resource_in_words(group: &str, resource: &str) -> String {
    let (plural, subresource) = resource.split_once('/').map_or((resource, None), |(plural, sub)| (plural, Some(sub)));
    let group = if group.is_empty() { String::new() } else { format!(".{group}") };
    let subresource = subresource.map(|name| format!("/{name}")).unwrap_or_default();
    format!("{plural}{group}{subresource}")
}

impl fmt::Display for Grant {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {} {}", self.role, self.verb, self.object())
    }
}

/// The objects under `deploy/`.
pub struct Deploy {
    objects: Vec<(PathBuf, Value)>,
}

impl Deploy {
    /// Reads every manifest below `folder`.
    pub fn read(folder: &Path) -> Result<Self> {
        let mut objects = vec![];
        for path in yaml_files(folder)? {
            let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
            let documents: Vec<Value> =
                serde_saphyr::from_multiple(&text).with_context(|| format!("parsing {}", path.display()))?;
            let place = path.strip_prefix(folder)?.to_owned();
            objects.extend(documents.into_iter().map(|document| (place.clone(), document)));
        }
        ensure!(!objects.is_empty(), "{} holds no manifest", folder.display());
        Ok(Self { objects })
    }

    /// What a `ServiceAccount` is granted on a cluster, which is one of `source`, `target` and `home`: by the kustomization of
    /// that name, by `base`, and by `home-on-<cluster>`.
    pub fn grants(&self, cluster: &str, account: &str) -> Result<Vec<Grant>> {
        let installed = ["base".to_owned(), format!("home-on-{cluster}"), cluster.to_owned()];
        let is_installed = |place: &Path| installed.iter().any(|kustomization| place.starts_with(kustomization));
        let bindings = self.bindings().filter(|(place, binding)| is_installed(place) && binds(binding, account));
        bindings.map(|(_, binding)| self.granted_by(binding)).collect::<Result<Vec<_>>>().map(|grants| grants.concat())
    }

    /// Everything that is granted to any account of the operator.
    pub fn all_grants(&self) -> Result<BTreeSet<Grant>> {
        let to_accounts = self.bindings().filter(|(_, binding)| !accounts(binding).is_empty());
        Ok(to_accounts
            .map(|(_, binding)| self.granted_by(binding))
            .collect::<Result<Vec<_>>>()?
            .concat()
            .into_iter()
            .collect())
    }

    /// The operator's `ServiceAccounts`, as they are bound.
    pub fn accounts(&self) -> BTreeSet<String> {
        self.bindings().flat_map(|(_, binding)| accounts(binding)).map(str::to_owned).collect()
    }

    fn bindings(&self) -> impl Iterator<Item = (&Path, &Value)> {
        let is_binding = |object: &Value| object["kind"] == "ClusterRoleBinding" || object["kind"] == "RoleBinding";
        let objects = self.objects.iter().filter(move |(_, object)| is_binding(object));
        objects.map(|(place, object)| (place.as_path(), object))
    }

    /// The rules of the role that a binding names, one grant for each verb and resource.
    fn granted_by(&self, binding: &Value) -> Result<Vec<Grant>> {
        let (kind, name) = (text(&binding["roleRef"]["kind"]), text(&binding["roleRef"]["name"]));
        let named = |object: &&(PathBuf, Value)| object.1["kind"] == kind && object.1["metadata"]["name"] == name;
        let (_, role) = self.objects.iter().find(named).with_context(|| format!("deploy/ has no {kind} {name}"))?;
        let bound_in = &binding["metadata"]["namespace"];
        let namespace = (binding["kind"] == "RoleBinding").then(|| text(bound_in).to_owned());
        let rules = role["rules"].as_array().into_iter().flatten();
        Ok(rules.flat_map(|rule| grants_of(rule, name, namespace.as_deref())).collect())
    }
}

fn grants_of(rule: &Value, role: &str, namespace: Option<&str>) -> Vec<Grant> {
    let mut grants = vec![];
    for group in texts(&rule["apiGroups"]) {
        for resource in texts(&rule["resources"]) {
            grants.extend(texts(&rule["verbs"]).map(|verb| Grant {
                role: role.to_owned(),
                group: group.to_owned(),
                resource: resource.to_owned(),
                names: texts(&rule["resourceNames"]).map(str::to_owned).collect(),
                namespace: namespace.map(str::to_owned),
                verb: verb.to_owned(),
            }));
        }
    }
    grants
}

fn binds(binding: &Value, account: &str) -> bool {
    accounts(binding).contains(&account)
}

fn accounts(binding: &Value) -> Vec<&str> {
    let subjects = binding["subjects"].as_array().into_iter().flatten();
    subjects.filter(|subject| subject["kind"] == "ServiceAccount").map(|subject| text(&subject["name"])).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

fn texts(value: &Value) -> impl Iterator<Item = &str> {
    value.as_array().into_iter().flatten().filter_map(Value::as_str)
}

/// The manifests below a folder. The examples grant nothing.
fn yaml_files(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).with_context(|| format!("reading {}", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() && !path.ends_with("examples") {
            found.extend(yaml_files(&path)?);
        } else if path.extension().is_some_and(|end| end == "yaml") && !path.ends_with("kustomization.yaml") {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}
