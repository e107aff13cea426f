//! PURE. What may be brought to the target, and in which form. Works on objects as JSON, so that unknown fields survive.

mod ingress;
mod ownership;
mod secret;

pub use ingress::{IngressRules, left_out, target_ingress};
pub use ownership::{deployed_by, is_tracking_key};
pub use secret::refusal;

/// Written by `kubectl apply`; on a Secret it holds the values in clear. Never copied, never listed.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
