//! The weights on the Ingresses of both clusters, followed as they are written.

use k8s_openapi::api::networking::v1::Ingress;
use kube::ResourceExt as _;

use crate::setup::ANNOTATION_PREFIX;

/// The weights of one service. A side without a weight annotation has none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weights {
    /// On the source's Ingress.
    pub source: Option<i32>,
    /// On the target's Ingress.
    pub target: Option<i32>,
}

impl Weights {
    /// The part of the users, from 0 to 1, that Route 53 would send to the target. A source without a weight has a simple
    /// record, which serves everybody; all weights 0 is an even split.
    pub fn target_share(self) -> f64 {
        match (self.source, self.target) {
            (None, _) | (_, None) => 0.0,
            (Some(0), Some(0)) => 0.5,
            (Some(source), Some(target)) => f64::from(target) / f64::from(source + target),
        }
    }
}

/// The weight that is written on an Ingress.
pub fn weight(ingress: &Ingress) -> Option<i32> {
    ingress.annotations().get(&format!("{ANNOTATION_PREFIX}aws-weight"))?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_those_of_route_53() {
        let share = |source, target| Weights { source, target }.target_share();
        assert!(share(None, None) < f64::EPSILON && share(None, Some(50)) < f64::EPSILON);
        assert!((share(Some(100), Some(100)) - 0.5).abs() < f64::EPSILON);
        assert!((share(Some(0), Some(0)) - 0.5).abs() < f64::EPSILON);
        assert!((share(Some(0), Some(100)) - 1.0).abs() < f64::EPSILON);
    }
}
