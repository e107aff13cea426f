//! A namespace as a service team has it, created in a cluster through its API.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Debug;
use std::time::Duration;

use anyhow::Context as _;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Namespace, Secret, Service};
use k8s_openapi::api::networking::v1::Ingress;
use kube::api::{DeleteParams, PostParams};
use kube::core::NamespaceResourceScope;
use kube::runtime::{conditions, wait};
use kube::{Api, Client, Resource};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

/// The Secret that the Deployment refers to: without it Pods do not become ready.
pub const SECRET: &str = "api-key";
/// The one key of that Secret.
pub const SECRET_KEY: &str = "key";

/// Describes a namespace; nothing exists until one of the `create` functions is called.
#[derive(Clone, Debug)]
pub struct SampleNamespace {
    /// The namespace's name, also that of its Deployment, Service and Ingress.
    pub name: String,
    hosts: Vec<String>,
    class: String,
    replicas: i32,
    image: String,
    left_out: BTreeSet<Part>,
    owner: Option<Owner>,
    annotations: BTreeMap<String, String>,
}

/// What the builder can leave out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Deployment,
    Ingress,
    NeedOfSecret,
    Tls,
}

/// Who owns the Ingress, by the marks that the tool leaves on its objects.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// `helm install`: managed-by label and release annotations.
    Helm,
    /// Argo CD with annotation tracking.
    ArgoCd,
    /// Flux's kustomize-controller.
    Flux,
}

impl SampleNamespace {
    /// A namespace with one Ingress for `host`, TLS, two replicas and a Secret that the Pods need.
    pub fn new(name: &str, host: &str, class: &str) -> Self {
        Self {
            name: name.to_owned(),
            hosts: vec![host.to_owned()],
            class: class.to_owned(),
            replicas: 2,
            image: "registry.example.com/shop:1.4.2".to_owned(),
            left_out: BTreeSet::new(),
            owner: None,
            annotations: BTreeMap::new(),
        }
    }

    /// One more host in the same Ingress.
    #[must_use]
    pub fn with_host(mut self, host: &str) -> Self {
        self.hosts.push(host.to_owned());
        self
    }

    /// Another ingress class: the two clusters may differ.
    #[must_use]
    pub fn with_class(mut self, class: &str) -> Self {
        class.clone_into(&mut self.class);
        self
    }

    /// Another number of replicas; 0 leaves the Service without endpoints.
    #[must_use]
    pub fn with_replicas(mut self, replicas: i32) -> Self {
        self.replicas = replicas;
        self
    }

    /// Another image, so that source and target differ.
    #[must_use]
    pub fn with_image(mut self, image: &str) -> Self {
        image.clone_into(&mut self.image);
        self
    }

    /// An annotation on the Ingress.
    #[must_use]
    pub fn with_annotation(mut self, key: &str, value: &str) -> Self {
        self.annotations.insert(key.to_owned(), value.to_owned());
        self
    }

    /// Marks the Ingress as the property of a deployment tool.
    #[must_use]
    pub fn owned_by(mut self, owner: Owner) -> Self {
        self.owner = Some(owner);
        self
    }

    /// Leaves the Ingress out: nothing that users reach.
    #[must_use]
    pub fn without_ingress(mut self) -> Self {
        self.left_out.insert(Part::Ingress);
        self
    }

    /// Leaves the Deployment out: a namespace that nobody deployed to yet.
    #[must_use]
    pub fn without_deployment(mut self) -> Self {
        self.left_out.insert(Part::Deployment);
        self
    }

    /// Pods become ready without the Secret.
    #[must_use]
    pub fn without_need_of_secret(mut self) -> Self {
        self.left_out.insert(Part::NeedOfSecret);
        self
    }

    /// The Ingress asks for no certificate.
    #[must_use]
    pub fn without_tls(mut self) -> Self {
        self.left_out.insert(Part::Tls);
        self
    }

    /// The hosts that users reach, the first one first.
    pub fn hosts(&self) -> &[String] {
        &self.hosts
    }

    /// The Secret's value: it must never appear in a log, an event, a status or a metric.
    pub fn canary(&self) -> String {
        format!("canary-{}-must-stay-secret", self.name)
    }

    /// Creates everything, as it runs on the source.
    pub async fn create_on_source(&self, client: &Client) -> anyhow::Result<()> {
        self.create_as_deployed(client).await?;
        self.create_secret(client).await?;
        if self.has(Part::Ingress) {
            self.create_ingress(client).await?;
        }
        Ok(())
    }

    /// Creates what CI deploys to the target before a migration: namespace, Deployment and Service, neither Secret nor
    /// Ingress.
    pub async fn create_on_target(&self, client: &Client) -> anyhow::Result<()> {
        self.create_as_deployed(client).await
    }

    /// Creates the Secret, as a person does who copies it by hand.
    pub async fn create_secret(&self, client: &Client) -> anyhow::Result<()> {
        create::<Secret>(client, &self.name, self.secret_object()).await
    }

    /// Creates the Ingress, as CI does that deploys to both clusters.
    pub async fn create_ingress(&self, client: &Client) -> anyhow::Result<()> {
        create::<Ingress>(client, &self.name, self.ingress_object()).await
    }

    /// Waits until every replica of the Deployment is available.
    pub async fn wait_until_ready(&self, client: &Client, timeout: Duration) -> anyhow::Result<()> {
        let api: Api<Deployment> = Api::namespaced(client.clone(), &self.name);
        let ready = |deployment: Option<&Deployment>| {
            let available = deployment.and_then(|found| found.status.as_ref()?.available_replicas).unwrap_or(0);
            deployment.is_some() && available == self.replicas
        };
        let name = &self.name;
        tokio::time::timeout(timeout, wait::await_condition(api, name, ready))
            .await
            .with_context(|| format!("Deployment {name}/{name}: not all replicas available within {timeout:?}"))?
            .with_context(|| format!("watch Deployment {name}/{name}"))?;
        Ok(())
    }

    /// Deletes the namespace with all that is in it and returns when it is gone. One that does not exist is gone.
    pub async fn delete(&self, client: &Client, timeout: Duration) -> anyhow::Result<()> {
        let api: Api<Namespace> = Api::all(client.clone());
        let uid = match api.delete(&self.name, &DeleteParams::background()).await {
            Err(kube::Error::Api(refusal)) if refusal.is_not_found() => return Ok(()),
            deleted => deleted.with_context(|| format!("delete namespace {}", self.name))?.left(),
        };
        let uid = uid.and_then(|namespace| namespace.metadata.uid).unwrap_or_default();
        tokio::time::timeout(timeout, wait::await_condition(api, &self.name, conditions::is_deleted(&uid)))
            .await
            .with_context(|| format!("namespace {}: still there {timeout:?} after its deletion", self.name))?
            .with_context(|| format!("watch namespace {}", self.name))?;
        Ok(())
    }

    async fn create_as_deployed(&self, client: &Client) -> anyhow::Result<()> {
        let namespace: Namespace = serde_json::from_value(json!({"metadata": {"name": self.name}}))?;
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await
            .with_context(|| format!("create namespace {}", self.name))?;
        create::<Service>(client, &self.name, self.service_object()).await?;
        if self.has(Part::Deployment) {
            create::<Deployment>(client, &self.name, self.deployment_object()).await?;
        }
        Ok(())
    }

    fn has(&self, part: Part) -> bool {
        !self.left_out.contains(&part)
    }

    fn labels(&self) -> Value {
        json!({"app.kubernetes.io/name": self.name})
    }

    fn secret_object(&self) -> Value {
        json!({"metadata": {"name": SECRET}, "type": "Opaque", "stringData": {SECRET_KEY: self.canary()}})
    }

    fn service_object(&self) -> Value {
        json!({
            "metadata": {"name": self.name, "labels": self.labels()},
            "spec": {"selector": self.labels(), "ports": [{"name": "http", "port": 80, "targetPort": 8080}]},
        })
    }

    fn deployment_object(&self) -> Value {
        let from_secret =
            json!([{"name": "API_KEY", "valueFrom": {"secretKeyRef": {"name": SECRET, "key": SECRET_KEY}}}]);
        let environment = if self.has(Part::NeedOfSecret) { from_secret } else { json!([]) };
        json!({
            "metadata": {"name": self.name, "labels": self.labels()},
            "spec": {
                "replicas": self.replicas,
                "selector": {"matchLabels": self.labels()},
                "template": {
                    "metadata": {"labels": self.labels()},
                    "spec": {"containers": [{
                        "name": "app",
                        "image": self.image,
                        "ports": [{"name": "http", "containerPort": 8080}],
                        "env": environment,
                    }]},
                },
            },
        })
    }

    fn ingress_object(&self) -> Value {
        let (mut labels, mut annotations) = self.owner.map(|owner| owner.marks(&self.name)).unwrap_or_default();
        labels.insert("app.kubernetes.io/name".to_owned(), self.name.clone());
        annotations.extend(self.annotations.clone());
        let backend = json!({"service": {"name": self.name, "port": {"name": "http"}}});
        let paths = json!([{"path": "/", "pathType": "Prefix", "backend": backend}]);
        let rules: Vec<Value> = self.hosts.iter().map(|host| json!({"host": host, "http": {"paths": paths}})).collect();
        let tls = if self.has(Part::Tls) {
            json!([{"hosts": self.hosts, "secretName": format!("{}-tls", self.name)}])
        } else {
            json!([])
        };
        json!({
            "metadata": {"name": self.name, "labels": labels, "annotations": annotations},
            "spec": {"ingressClassName": self.class, "rules": rules, "tls": tls},
        })
    }
}

type Marks = BTreeMap<String, String>;

impl Owner {
    /// The labels and annotations by which the tool knows an object of the release or application `name` again.
    fn marks(self, name: &str) -> (Marks, Marks) {
        let map =
            |pairs: &[(&str, String)]| pairs.iter().map(|(key, value)| ((*key).to_owned(), value.clone())).collect();
        match self {
            Self::Helm => (
                map(&[("app.kubernetes.io/managed-by", "Helm".to_owned())]),
                map(&[
                    ("meta.helm.sh/release-name", name.to_owned()),
                    ("meta.helm.sh/release-namespace", name.to_owned()),
                ]),
            ),
            Self::ArgoCd => (
                Marks::new(),
                map(&[("argocd.argoproj.io/tracking-id", format!("{name}:networking.k8s.io/Ingress:{name}/{name}"))]),
            ),
            Self::Flux => (
                map(&[
                    ("kustomize.toolkit.fluxcd.io/name", name.to_owned()),
                    ("kustomize.toolkit.fluxcd.io/namespace", "flux-system".to_owned()),
                ]),
                Marks::new(),
            ),
        }
    }
}

async fn create<K>(client: &Client, namespace: &str, object: Value) -> anyhow::Result<()>
where
    K: Resource<Scope = NamespaceResourceScope, DynamicType = ()> + Clone + Debug + Serialize + DeserializeOwned,
{
    let kind = K::kind(&());
    let object: K = serde_json::from_value(object).with_context(|| format!("build the {kind} of {namespace}"))?;
    Api::namespaced(client.clone(), namespace)
        .create(&PostParams::default(), &object)
        .await
        .with_context(|| format!("create the {kind} of namespace {namespace}"))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ingress(sample: &SampleNamespace) -> Ingress {
        serde_json::from_value(sample.ingress_object()).unwrap()
    }

    #[test]
    fn the_ingress_has_every_host_with_tls_and_its_class() {
        let sample = SampleNamespace::new("shop", "shop.example.com", "default").with_host("www.example.com");
        let spec = ingress(&sample).spec.unwrap();
        assert_eq!(spec.ingress_class_name.as_deref(), Some("default"));
        assert_eq!(spec.rules.unwrap().len(), 2);
        assert_eq!(spec.tls.unwrap()[0].hosts.as_ref().unwrap(), sample.hosts());
    }

    #[test]
    fn each_owner_leaves_its_own_mark() {
        let marked =
            |owner| ingress(&SampleNamespace::new("shop", "shop.example.com", "default").owned_by(owner)).metadata;
        assert_eq!(marked(Owner::Helm).annotations.unwrap()["meta.helm.sh/release-name"], "shop");
        assert_eq!(marked(Owner::Helm).labels.unwrap()["app.kubernetes.io/managed-by"], "Helm");
        assert!(marked(Owner::ArgoCd).annotations.unwrap().contains_key("argocd.argoproj.io/tracking-id"));
        assert_eq!(marked(Owner::Flux).labels.unwrap()["kustomize.toolkit.fluxcd.io/name"], "shop");
    }

    #[test]
    fn the_deployment_refers_to_the_secret_unless_told_otherwise() {
        let sample = SampleNamespace::new("shop", "shop.example.com", "default");
        assert!(sample.deployment_object().to_string().contains("secretKeyRef"));
        assert!(!sample.without_need_of_secret().deployment_object().to_string().contains("secretKeyRef"));
    }

    #[test]
    fn only_the_secret_holds_the_canary() {
        let sample = SampleNamespace::new("shop", "shop.example.com", "default");
        assert!(sample.secret_object().to_string().contains(&sample.canary()));
        for object in [sample.deployment_object(), sample.service_object(), sample.ingress_object()] {
            assert!(!object.to_string().contains(&sample.canary()));
        }
        assert!(!format!("{sample:?}").contains(&sample.canary()));
    }
}
