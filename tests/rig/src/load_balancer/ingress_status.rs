//! Writes the load balancer's address into the status of the Ingresses that it serves.

use std::sync::Arc;

use anyhow::bail;
use futures::{StreamExt as _, stream};
use k8s_openapi::api::networking::v1::{Ingress, IngressLoadBalancerIngress};
use kube::api::{Patch, PatchParams};
use kube::{Api, Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{Options, is_of_class};

/// Marks the status as the load balancer's in `managedFields`, apart from what the operator writes.
const FIELD_MANAGER: &str = "load-balancer";
const WRITES_AT_ONCE: usize = 8;

/// Writes the status where it is not right yet; fails if any write failed for another reason than a deleted Ingress.
pub(super) async fn write(
    client: &Client,
    ingresses: &[Arc<Ingress>],
    options: &Options,
    is_hidden: bool,
) -> anyhow::Result<()> {
    let points = if is_hidden { vec![] } else { vec![point(options)] };
    let mut writes = Vec::new();
    for ingress in ingresses {
        if is_of_class(ingress, &options.class) && !says(ingress, &points) {
            writes.push(write_one(client, ingress, &points));
        }
    }
    let results: Vec<kube::Result<()>> = stream::iter(writes).buffer_unordered(WRITES_AT_ONCE).collect().await;
    let failures = results.iter().filter(|written| written.is_err()).count();
    if failures > 0 {
        bail!("status of {failures} Ingresses not written");
    }
    Ok(())
}

/// What a status says of this load balancer: its name where it has one, else its address.
fn point(options: &Options) -> IngressLoadBalancerIngress {
    let ip = options.name.is_none().then(|| options.address.to_string());
    IngressLoadBalancerIngress { hostname: options.name.clone(), ip, ports: None }
}

fn says(ingress: &Ingress, points: &[IngressLoadBalancerIngress]) -> bool {
    let balancer = ingress.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let said = balancer.and_then(|balancer| balancer.ingress.as_deref()).unwrap_or_default();
    let is_said = |said: &IngressLoadBalancerIngress, point: &IngressLoadBalancerIngress| {
        said.ip == point.ip && said.hostname == point.hostname
    };
    said.len() == points.len() && said.iter().zip(points).all(|(said, point)| is_said(said, point))
}

async fn write_one(client: &Client, ingress: &Ingress, points: &[IngressLoadBalancerIngress]) -> kube::Result<()> {
    let namespace = ingress.namespace().unwrap_or_default();
    let name = ingress.name_any();
    let api: Api<Ingress> = Api::namespaced(client.clone(), &namespace);
    let params = PatchParams::apply(FIELD_MANAGER).force();
    match api.patch_status(&name, &params, &Patch::Apply(&status(&namespace, &name, points))).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(refusal)) if refusal.is_not_found() => Ok(()),
        Err(error) => {
            tracing::warn!(namespace, name, %error, "load balancer: status of an Ingress not written");
            Err(error)
        }
    }
}

fn status(namespace: &str, name: &str, points: &[IngressLoadBalancerIngress]) -> Value {
    json!({
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": {"name": name, "namespace": namespace},
        "status": {"loadBalancer": {"ingress": points}},
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_right_only_with_exactly_this_address() {
        let ingress = |points: Value| -> Ingress {
            serde_json::from_value(json!({"metadata": {}, "status": {"loadBalancer": {"ingress": points}}})).unwrap()
        };
        let address =
            |ip: &str| IngressLoadBalancerIngress { ip: Some(ip.to_owned()), ..IngressLoadBalancerIngress::default() };
        let wanted = [address("127.0.0.7")];
        assert!(says(&ingress(json!([{"ip": "127.0.0.7"}])), &wanted));
        assert!(!says(&ingress(json!([{"ip": "127.0.0.8"}])), &wanted));
        assert!(!says(&ingress(json!([{"ip": "127.0.0.7"}, {"ip": "127.0.0.8"}])), &wanted));
        assert!(!says(&ingress(json!([{"hostname": "a1.elb.eu-west-2.amazonaws.com"}])), &wanted));
        assert!(!says(&ingress(json!([])), &wanted));
        assert!(!says(&Ingress::default(), &wanted));
        assert!(says(&Ingress::default(), &[]) && !says(&ingress(json!([{"ip": "127.0.0.7"}])), &[]));
    }
}
