//! What cannot move, whoever deploys it, and what would raise somebody's rights.

use super::{Class, Classified, Context, answer};
use crate::machine::inventory::{Content, Item, ServiceContent, Volume, Workload};

/// Refused, because data or addresses stay on the source.
pub(super) fn cannot_move(item: &Item, context: &Context) -> Option<Classified> {
    let why = terminating(item).or_else(|| immovable(item)).or_else(|| names_source(item, context))?;
    answer(Class::Refuse, why)
}

fn terminating(item: &Item) -> Option<String> {
    let waits = match item.finalizers.as_slice() {
        [] => String::new(),
        finalizers => format!(" and waits for its finalizers ({})", finalizers.join(", ")),
    };
    item.terminating.then(|| format!("It is being deleted on the source{waits}."))
}

fn immovable(item: &Item) -> Option<String> {
    match &item.content {
        Content::Claim { .. } => Some("It is a claim to storage of the source, and its data does not move.".to_owned()),
        Content::Workload(workload) => workload_data(workload),
        Content::Service(service) => service_address(service),
        _ if item.kind.is("", "PersistentVolume") => {
            Some("It is storage of the source, and its data does not move.".to_owned())
        }
        _ => None,
    }
}

fn workload_data(workload: &Workload) -> Option<String> {
    if !workload.claim_templates.is_empty() {
        let templates = workload.claim_templates.join(", ");
        return Some(format!(
            "Each of its Pods has a claim of its own ({templates}), and the data in them does not move."
        ));
    }
    workload.volumes.iter().find_map(|volume| match volume {
        Volume::Host { name, path } => Some(format!(
            "Its volume {name} is the folder {path} of a node (hostPath), and what is in there does not move."
        )),
        Volume::Claim { name, claim } => {
            Some(format!("Its volume {name} is the claim {claim}, and the data in it does not move."))
        }
        Volume::Empty { .. } | Volume::Outside { .. } => None,
    })
}

fn service_address(service: &ServiceContent) -> Option<String> {
    let kind = service.kind.as_str();
    if ["LoadBalancer", "NodePort"].contains(&kind) {
        let callers = "whoever calls it does not come by the Ingress, and is not moved by its weights";
        return Some(format!("Its type is {kind}: it has an address of its own on the source, and {callers}."));
    }
    let claimed = service.external_ips.iter().next()?;
    Some(format!(
        "It claims the address {claimed} outside of the cluster (externalIPs), which only one cluster can have."
    ))
}

fn names_source(item: &Item, context: &Context) -> Option<String> {
    let address = item.addresses.intersection(&context.source_addresses).next()?;
    Some(format!("It names {address}, an address of the source, which the target's copy would still call."))
}

/// Refused, because a copy would give rights on the target that nobody there has given.
pub(super) fn raises_rights(item: &Item, context: &Context) -> Option<Classified> {
    let Content::Binding { role, subjects } = &item.content else { return None };
    if *role == ("ClusterRole".to_owned(), "cluster-admin".to_owned()) {
        return answer(
            Class::Refuse,
            "It gives the ClusterRole cluster-admin, which is for the target's administrators to give.",
        );
    }
    let foreign = subjects.iter().find(|subject| is_foreign(subject, &context.namespace))?;
    let (kind, namespace, name) = foreign;
    let at = namespace.as_ref().map_or_else(String::new, |namespace| format!(" of namespace {namespace}"));
    answer(
        Class::Refuse,
        format!(
            "It gives rights to {kind} {name}{at}, who is outside of this namespace and may be somebody else on the target."
        ),
    )
}

/// Accounts of other namespaces, by whichever of their names: <https://kubernetes.io/docs/reference/access-authn-authz/rbac/#referring-to-subjects>
fn is_foreign((kind, namespace, name): &(String, Option<String>, String), here: &str) -> bool {
    match kind.as_str() {
        "ServiceAccount" => namespace.as_ref().is_some_and(|namespace| namespace != here),
        "Group" => {
            let everybody = ["system:serviceaccounts", "system:authenticated", "system:unauthenticated"];
            let accounts = name.strip_prefix("system:serviceaccounts:");
            everybody.contains(&name.as_str()) || accounts.is_some_and(|namespace| namespace != here)
        }
        _ => {
            let account = name.strip_prefix("system:serviceaccount:");
            account.is_some_and(|account| account.split(':').next() != Some(here))
        }
    }
}
