//! An identity of its own for one operator on one cluster, whose credentials and rights can be taken away while it works.

use anyhow::{Context as _, Result};
use k8s_openapi::api::authentication::v1::TokenRequest;
use k8s_openapi::api::core::v1::{Namespace, Secret, ServiceAccount};
use k8s_openapi::api::rbac::v1::{ClusterRole, ClusterRoleBinding, PolicyRule};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::json;

use crate::control_plane::{ControlPlane, wait_until};
use crate::deploy::OPERATOR_NAMESPACE;
use crate::kubeconfig::Access;

const TOKEN_SECONDS: i64 = 3600;

/// A `ServiceAccount` in the operator's namespace with a role that nobody else has.
pub struct Identity {
    name: String,
    administrator: Access,
}

/// A token that can be revoked, and the way to the cluster with it.
pub struct Credential {
    /// Address, root and token.
    pub access: Access,
    bound_to: String,
}

impl Identity {
    /// Creates the account `name` with the rules of the cluster role `like`.
    pub async fn create(cluster: &ControlPlane, name: &str, like: &str) -> Result<Self> {
        let identity = Self { name: name.to_owned(), administrator: cluster.administrator() };
        let client = identity.client()?;
        let account = json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}});
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        accounts.patch(name, &by_admin(), &Patch::Apply(&account)).await.context("creating an account")?;
        let like = Api::<ClusterRole>::all(client.clone()).get(like).await;
        identity.set_rules(&like.context("reading the role to copy")?.rules.unwrap_or_default()).await?;
        let binding = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
            "metadata": {"name": name},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": name},
            "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": OPERATOR_NAMESPACE}]});
        let bindings: Api<ClusterRoleBinding> = Api::all(client);
        bindings.patch(name, &by_admin(), &Patch::Apply(&binding)).await.context("binding a role")?;
        Ok(identity)
    }

    /// What it may do.
    pub async fn rules(&self) -> Result<Vec<PolicyRule>> {
        Ok(Api::<ClusterRole>::all(self.client()?).get(&self.name).await?.rules.unwrap_or_default())
    }

    /// From now on it may do this and nothing else.
    pub async fn set_rules(&self, rules: &[PolicyRule]) -> Result<()> {
        let role = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole",
            "metadata": {"name": self.name}, "rules": rules});
        let roles: Api<ClusterRole> = Api::all(self.client()?);
        roles.patch(&self.name, &by_admin(), &Patch::Apply(&role)).await.context("writing a role").map(|_| ())
    }

    /// The user as the API server names it.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{OPERATOR_NAMESPACE}:{}", self.name)
    }

    /// A new token. It is bound to a Secret called `bound_to`, and good for as long as that exists.
    pub async fn credential(&self, bound_to: &str) -> Result<Credential> {
        let client = self.client()?;
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": bound_to}});
        let secrets: Api<Secret> = Api::namespaced(client.clone(), OPERATOR_NAMESPACE);
        let secret = secrets.patch(bound_to, &by_admin(), &Patch::Apply(&secret)).await.context("creating a Secret")?;
        let bound = json!({"apiVersion": "v1", "kind": "Secret", "name": bound_to, "uid": secret.uid()});
        let request: TokenRequest = serde_json::from_value(json!({"spec": {
            "audiences": [], "expirationSeconds": TOKEN_SECONDS, "boundObjectRef": bound,
        }}))?;
        let accounts: Api<ServiceAccount> = Api::namespaced(client, OPERATOR_NAMESPACE);
        let answer = accounts.create_token_request(&self.name, &PostParams::default(), &request).await;
        let token = answer.context("asking for a token")?.status.context("an answer without a token")?.token;
        let access = Access { token, ..self.administrator.clone() };
        Ok(Credential { access, bound_to: bound_to.to_owned() })
    }

    /// Revokes a token, and waits until the API server refuses it: it remembers good ones for 10 s.
    pub async fn revoke(&self, credential: &Credential) -> Result<()> {
        let secrets: Api<Secret> = Api::namespaced(self.client()?, OPERATOR_NAMESPACE);
        secrets.delete(&credential.bound_to, &DeleteParams::default()).await.context("deleting a token's Secret")?;
        let namespaces: Api<Namespace> = Api::all(credential.access.client()?);
        let refused = || async {
            let answer = namespaces.get("kube-system").await;
            matches!(answer, Err(kube::Error::Api(status)) if status.code == 401)
        };
        wait_until("the revoked token being refused", std::time::Duration::from_secs(60), refused).await
    }

    fn client(&self) -> Result<Client> {
        self.administrator.client()
    }
}

fn by_admin() -> PatchParams {
    PatchParams::apply("platform-admin").force()
}
