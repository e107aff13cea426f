//! What answers depend on besides the zones: load balancers' addresses, and what is healthy. Settable while it serves.

use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::route53::balancers::Balancers;
use crate::route53::record::absolute;

/// Below it are the names of AWS's load balancers: `<name>.elb.<region>.amazonaws.com`, and `<name>.<region>.elb.amazonaws.com`
/// of the newer ones.
const AMAZON: &str = ".amazonaws.com.";
/// What AWS's console puts before a load balancer's name in an alias; it answers as the name itself.
const DUAL_STACK: &str = "dualstack.";

/// A handle on the surroundings; clones share everything.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    balancers: Balancers,
    ill: Arc<Mutex<Ill>>,
}

#[derive(Debug, Default)]
struct Ill {
    balancers: BTreeSet<String>,
    checks: BTreeSet<String>,
}

impl Surroundings {
    /// These load balancers, all healthy.
    pub fn of(balancers: Balancers) -> Self {
        Self { balancers, ill: Arc::default() }
    }

    /// Whether the load balancer has a healthy target, as Route 53 sees it. Aliases that evaluate their target's health follow.
    pub fn set_balancer_health(&self, name: &str, healthy: bool) {
        let name = absolute(name);
        let mut ill = self.lock();
        if healthy {
            ill.balancers.remove(&name)
        } else {
            ill.balancers.insert(name)
        };
    }

    /// Whether a health check, by its id, passes. Each one does until somebody says otherwise.
    pub fn set_health_check(&self, id: &str, passes: bool) {
        let mut ill = self.lock();
        if passes {
            ill.checks.remove(id)
        } else {
            ill.checks.insert(id.to_owned())
        };
    }

    /// The addresses of a load balancer, by its name. None: there is no such load balancer.
    pub(super) fn addresses(&self, name: &str) -> Option<Vec<IpAddr>> {
        self.balancers.addresses(balancer_name(name))
    }

    /// Whether what an alias points to is healthy; a load balancer that does not exist is not.
    pub(super) fn is_balancer_healthy(&self, name: &str) -> bool {
        self.addresses(name).is_some() && !self.lock().balancers.contains(balancer_name(name))
    }

    pub(super) fn does_check_pass(&self, id: &str) -> bool {
        !self.lock().checks.contains(id)
    }

    fn lock(&self) -> MutexGuard<'_, Ill> {
        // Each change is a single step, so that a panic elsewhere leaves nothing half done.
        self.ill.lock().unwrap_or_else(PoisonError::into_inner)
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
    fn a_load_balancer_is_found_with_and_without_dualstack() {
        let balancers = Balancers::default();
        let surroundings = Surroundings::of(balancers.clone());
        let address: IpAddr = "127.0.1.1".parse().unwrap();
        balancers.set("A1.elb.eu-west-2.amazonaws.com", vec![address]);
        for name in ["a1.elb.eu-west-2.amazonaws.com.", "dualstack.a1.elb.eu-west-2.amazonaws.com."] {
            assert_eq!(surroundings.addresses(name), Some(vec![address]));
            assert!(surroundings.is_balancer_healthy(name));
        }
        surroundings.set_balancer_health("a1.elb.eu-west-2.amazonaws.com", false);
        assert!(!surroundings.is_balancer_healthy("dualstack.a1.elb.eu-west-2.amazonaws.com."));
        assert!(!surroundings.is_balancer_healthy("b1.elb.eu-west-2.amazonaws.com."));
    }
}
