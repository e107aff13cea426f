//! What answers depend on besides the zones: load balancers' addresses, and what is healthy. Settable while it serves.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::route53::record::absolute;

/// Below it are the names of AWS's load balancers: `<name>.elb.<region>.amazonaws.com`, and `<name>.<region>.elb.amazonaws.com`
/// of the older ones.
const AMAZON: &str = ".amazonaws.com.";
/// What AWS's console puts before a load balancer's name in an alias; it answers as the name itself.
const DUAL_STACK: &str = "dualstack.";

/// A handle on the surroundings; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    shared: Arc<Mutex<Shared>>,
}

#[derive(Debug, Default)]
struct Shared {
    balancers: BTreeMap<String, Balancer>,
    failing_checks: BTreeSet<String>,
}

#[derive(Debug)]
struct Balancer {
    addresses: Vec<IpAddr>,
    healthy: bool,
}

impl Surroundings {
    /// Nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// A load balancer has a name: what it answers from now on. It is healthy until somebody says otherwise.
    pub fn name_balancer(&self, name: &str, addresses: impl IntoIterator<Item = IpAddr>) {
        let addresses = addresses.into_iter().collect();
        let mut shared = self.lock();
        let healthy = shared.balancers.get(&absolute(name)).is_none_or(|known| known.healthy);
        shared.balancers.insert(absolute(name), Balancer { addresses, healthy });
    }

    /// Whether the load balancer has a healthy target, as Route 53 sees it. Aliases that evaluate their target's health follow.
    pub fn set_balancer_health(&self, name: &str, healthy: bool) {
        if let Some(balancer) = self.lock().balancers.get_mut(&absolute(name)) {
            balancer.healthy = healthy;
        }
    }

    /// Whether a health check, by its id, passes. Each one does until somebody says otherwise.
    pub fn set_health_check(&self, id: &str, passes: bool) {
        let mut shared = self.lock();
        if passes {
            shared.failing_checks.remove(id);
        } else {
            shared.failing_checks.insert(id.to_owned());
        }
    }

    /// The addresses of a load balancer, by its name. None: there is no such load balancer.
    pub fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        let shared = self.lock();
        shared.balancers.get(balancer_name(name)).map(|balancer| balancer.addresses.clone())
    }

    /// Whether what an alias points to is healthy; a load balancer that does not exist is not.
    pub(super) fn is_balancer_healthy(&self, name: &str) -> bool {
        self.lock().balancers.get(balancer_name(name)).is_some_and(|balancer| balancer.healthy)
    }

    pub(super) fn does_check_pass(&self, id: &str) -> bool {
        !self.lock().failing_checks.contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, Shared> {
        // Each change is a single step, so that a panic elsewhere leaves nothing half done.
        self.shared.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether the name, in lower case with a final dot, is one that AWS gives to load balancers.
pub(super) fn is_balancer_name(name: &str) -> bool {
    name.ends_with(AMAZON) && name.contains(".elb.")
}

fn balancer_name(name: &str) -> &str {
    name.strip_prefix(DUAL_STACK).unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_of_aws_names_are_load_balancers() {
        assert!(is_balancer_name("a1.elb.eu-west-2.amazonaws.com."));
        assert!(is_balancer_name("a1.eu-west-2.elb.amazonaws.com."));
        assert!(!is_balancer_name("elb.example.com."));
    }

    #[test]
    fn a_named_load_balancer_is_found_with_and_without_dualstack() {
        let surroundings = Surroundings::new();
        let address: IpAddr = "127.0.1.1".parse().unwrap();
        surroundings.name_balancer("A1.elb.eu-west-2.amazonaws.com", [address]);
        assert_eq!(surroundings.addresses("a1.elb.eu-west-2.amazonaws.com."), Some(vec![address]));
        assert_eq!(surroundings.addresses("dualstack.a1.elb.eu-west-2.amazonaws.com."), Some(vec![address]));
        assert_eq!(surroundings.addresses("b1.elb.eu-west-2.amazonaws.com."), None);
        assert!(!surroundings.is_balancer_healthy("b1.elb.eu-west-2.amazonaws.com."));
    }
}
