//! What the ClusterPair allows: which namespaces may move, who may move another's, and which hosts. An allow-list that is
//! narrowed later is honoured: the weights stay as they are, and only what goes back goes on.

use std::fmt;

use super::glob;
use super::observed::Observed;
use super::order::Order;
use super::reason::Reason;
use super::run::{Run, Wait};
use crate::api::ClusterPair;
use crate::preflight;

/// So many globs of a list are shown.
const SHOWN: usize = 5;

/// What the pair does not allow, in words for the person who wrote the migration.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NotAllowed {
    /// Only a delegate may move another namespace than its own.
    #[error(
        "NamespaceMigration {object} names the namespace {namespace} in spec.namespace, but ClusterPair {pair} has no delegate \
         {from} that may move it: {found}"
    )]
    Delegate {
        /// The migration.
        object: String,
        /// The namespace that it is in.
        from: String,
        /// The namespace that it names.
        namespace: String,
        /// The pair.
        pair: String,
        /// What the pair says about delegates.
        found: String,
    },
    /// The namespace is on no list.
    #[error("ClusterPair {pair} does not let the namespace {namespace} move: its allowedNamespaces are {allowed}")]
    Namespace {
        /// The pair.
        pair: String,
        /// The namespace.
        namespace: String,
        /// The list.
        allowed: Globs,
    },
    /// A host is on no list.
    #[error(
        "Ingress {ingress} has the host {host}, which ClusterPair {pair} does not let move: its allowedHosts are {allowed}"
    )]
    Host {
        /// The Ingress.
        ingress: String,
        /// Its host.
        host: String,
        /// The pair.
        pair: String,
        /// The list.
        allowed: Globs,
    },
}

/// An allow-list, shown in short.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Globs(Vec<String>);

impl fmt::Display for Globs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("empty");
        }
        f.write_str(&self.0.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(", "))?;
        match self.0.len().saturating_sub(SHOWN) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}

impl NotAllowed {
    /// What a person can do.
    pub fn fix(&self) -> String {
        match self {
            Self::Delegate { namespace, from, pair, .. } => format!(
                "Create the migration in the namespace {namespace}, or ask the platform admins to let {from} move it in \
                 spec.delegates of ClusterPair {pair}."
            ),
            Self::Namespace { namespace, pair, .. } => format!(
                "Ask the platform admins to add {namespace} to spec.allowedNamespaces of ClusterPair {pair}, or use the pair that is \
                 meant for it."
            ),
            Self::Host { ingress, host, pair, .. } => format!(
                "Ask the platform admins to add {host} to spec.allowedHosts of ClusterPair {pair}; or, before the move has begun, name \
                 {ingress} in spec.ingresses.exclude."
            ),
        }
    }
}

/// Who asks for what: the migration as namespace and name, and the namespace that is to move.
pub struct Asked<'a> {
    /// The namespace that the migration is in.
    pub from: &'a str,
    /// Namespace and name of the migration.
    pub object: &'a str,
    /// The namespace that is to move.
    pub namespace: &'a str,
    /// Name of the pair.
    pub pair: &'a str,
}

/// Whether the pair lets this migration move this namespace.
pub fn namespace(asked: &Asked<'_>, pair: &ClusterPair) -> Option<NotAllowed> {
    let Asked { from, namespace, .. } = *asked;
    let moves: Vec<_> = pair.spec.delegates.iter().filter(|known| known.namespace == from).collect();
    let may = from == namespace || moves.iter().any(|delegate| glob::any_matches(&delegate.moves, namespace));
    if !may {
        let list = Globs(moves.iter().flat_map(|delegate| delegate.moves.clone()).collect());
        return Some(NotAllowed::Delegate {
            object: asked.object.to_owned(),
            from: from.to_owned(),
            namespace: namespace.to_owned(),
            pair: asked.pair.to_owned(),
            found: if moves.is_empty() { "it is not a delegate".to_owned() } else { format!("it may move {list}") },
        });
    }
    if glob::any_matches(&pair.spec.allowed_namespaces, namespace) {
        return None;
    }
    Some(NotAllowed::Namespace {
        pair: asked.pair.to_owned(),
        namespace: namespace.to_owned(),
        allowed: Globs(pair.spec.allowed_namespaces.clone()),
    })
}

/// The first host of a moving Ingress that the pair does not let move.
pub fn host(order: &Order, observed: &Observed) -> Option<NotAllowed> {
    let moving = preflight::moving_ingresses(order, observed);
    let hosts = moving.filter_map(|name| observed.source.ingresses.get(name).map(|facts| (name, &facts.hosts)));
    let mut pairs = hosts.flat_map(|(name, hosts)| hosts.iter().map(move |host| (name, host)));
    let (ingress, host) = pairs.find(|(_, host)| !glob::any_matches(&order.allowed_hosts, host))?;
    Some(NotAllowed::Host {
        ingress: ingress.to_owned(),
        host: host.clone(),
        pair: order.pair.clone(),
        allowed: Globs(order.allowed_hosts.clone()),
    })
}

/// The wait of a migration that is not allowed, or not any more. Hosts are a finding of the checks (`preflight`).
pub(super) fn refused(run: &Run<'_>) -> Option<Wait> {
    let not_allowed = run.order.not_allowed.as_ref()?;
    let stands = if run.status.plan.is_some() { " The weights stay as they are." } else { "" };
    let wait = Wait::new(Reason::NotAllowed, format!("{not_allowed}.{stands}"));
    Some(wait.unblocked_by(not_allowed.fix()).stalled())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::api::NamespaceMigration;
    use crate::machine::order::{Home, OrderError};

    fn parse(from: &str, spec: &Value, pair: &Value) -> Result<Order, OrderError> {
        let side = |identity: &str, colour: &str| {
            json!({"connection": {"inCluster": {}}, "identity": identity, "colour": colour,
                "externalDNS": {"annotationPrefix": "dns/"}})
        };
        let mut whole = json!({"source": side("1", "blue"), "target": side("2", "green")});
        whole.as_object_mut().unwrap().extend(pair.as_object().unwrap().clone());
        let mut asked = json!({"clusterPair": "old-to-new"});
        asked.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        let pair: ClusterPair = serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "ClusterPair",
            "metadata": {"name": "old-to-new"}, "spec": whole,
        }))
        .unwrap();
        let migration: NamespaceMigration = serde_json::from_value(json!({
            "apiVersion": "namespacemigration.io/v1alpha1", "kind": "NamespaceMigration",
            "metadata": {"name": "shop", "namespace": from}, "spec": asked,
        }))
        .unwrap();
        Order::parse(&migration, &pair, &Home { identity: "home".into(), operator_namespace: "ops".into() })
    }

    fn refusal(from: &str, spec: &Value, pair: &Value) -> (String, String) {
        let refused = parse(from, spec, pair).unwrap().not_allowed.expect("a refusal");
        (refused.to_string(), refused.fix())
    }

    #[test]
    fn a_delegate_moves_what_it_may_and_stays_the_owner() {
        let pair = json!({"delegates": [{"namespace": "platform", "moves": ["team-*"]}]});
        let order = parse("platform", &json!({"namespace": "team-a"}), &pair).unwrap();
        assert_eq!((order.not_allowed, order.namespace.as_str()), (None, "team-a"));
        assert_eq!(order.owner, "home/platform/shop");
    }

    #[test]
    fn another_namespace_is_refused_unless_the_pair_says_so() {
        let spec = json!({"namespace": "other"});
        let (said, fix) = refusal("shop-dev", &spec, &json!({}));
        assert_eq!(
            said,
            "NamespaceMigration shop-dev/shop names the namespace other in spec.namespace, but ClusterPair old-to-new has no \
             delegate shop-dev that may move it: it is not a delegate"
        );
        assert_eq!(
            fix,
            "Create the migration in the namespace other, or ask the platform admins to let shop-dev move it in \
             spec.delegates of ClusterPair old-to-new."
        );
        let pair = json!({"delegates": [{"namespace": "shop-dev", "moves": ["team-*"]}]});
        assert!(refusal("shop-dev", &spec, &pair).0.ends_with(": it may move team-*"));
        assert_eq!(parse("other", &spec, &json!({})).unwrap().not_allowed, None, "its own namespace by name");
    }

    #[test]
    fn a_namespace_that_is_on_no_list_is_refused_also_of_a_delegate() {
        let pair = json!({"allowedNamespaces": ["a-*", "b", "c", "d", "e", "f"],
            "delegates": [{"namespace": "platform", "moves": ["*"]}]});
        let (said, fix) = refusal("shop-dev", &json!({}), &pair);
        assert_eq!(
            said,
            "ClusterPair old-to-new does not let the namespace shop-dev move: its allowedNamespaces are a-*, b, c, d, e and 1 more"
        );
        assert!(fix.starts_with("Ask the platform admins to add shop-dev to spec.allowedNamespaces"), "{fix}");
        assert!(refusal("platform", &json!({"namespace": "shop"}), &pair).0.contains("the namespace shop move"));
        assert_eq!(parse("a-1", &json!({}), &pair).unwrap().not_allowed, None);
        assert!(refusal("a", &json!({}), &json!({"allowedNamespaces": []})).0.ends_with("allowedNamespaces are empty"));
    }

    #[test]
    fn what_the_schema_would_have_refused_is_refused_in_words() {
        let refused = |spec: Value| {
            let error = parse("shop-dev", &spec, &json!({})).unwrap_err();
            (crate::causes::whole(&error), error.fix(false))
        };
        let (said, fix) = refused(json!({"traffic": {"steps": [{"weight": 50}, {"weight": 50}]}}));
        assert_eq!(
            said,
            "NamespaceMigration shop-dev/shop has spec.traffic.steps with the weights [50, 50], which must rise from step to step and end at 100"
        );
        assert_eq!(fix, "Mend spec.traffic.steps of NamespaceMigration shop-dev/shop.");
        for weights in [
            json!([{"weight": 0}, {"weight": 100}]),
            json!([{"weight": 101}]),
            json!([{"weight": -1}, {"weight": 100}]),
            json!([]),
        ] {
            assert!(
                refused(json!({"traffic": {"steps": weights}}))
                    .0
                    .contains("which must rise from step to step and end at 100")
            );
        }
        let (said, fix) = refused(json!({"bake": {"for": "-5m"}}));
        let expected = "NamespaceMigration shop-dev/shop has a spec.bake.for that cannot be read: \"-5m\" is not a duration; write one like 90s, 10m or 1h30m";
        assert_eq!(
            (said.as_str(), fix.as_str()),
            (expected, "Mend spec.bake.for of NamespaceMigration shop-dev/shop.")
        );
        let (said, _) = refused(json!({"traffic": {"steps": [{"weight": 100, "hold": "10"}]}}));
        assert!(said.contains("has a spec.traffic.steps.hold that cannot be read: \"10\""), "{said}");
    }
}
