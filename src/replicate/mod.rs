//! PURE. What may be brought to the target, in which form, and in which order. Works on objects as JSON, so that unknown fields survive.
//!
//! | Question | Answer |
//! |---|---|
//! | What is in an object, as far as anybody must know? | [`item`] |
//! | Whose is it, and may it be copied? | [`classify`], [`deployed_by`], [`refusal`] |
//! | What do workloads need that the target lacks? | [`needed`] |
//! | Which form has the copy? | [`sanitize`]; an Ingress that is published, [`target_ingress`] |
//! | What is written first? | [`in_order`] |

mod classify;
mod fields;
mod image;
mod ingress;
mod item;
mod needed;
mod order;
mod ownership;
mod sanitize;
mod secret;

pub use classify::{Class, Classified, Context, Mode, classify};
pub use ingress::{IngressRules, left_out, target_ingress};
pub use item::{digest, item};
pub use needed::needed;
pub use order::{Rank, in_order, rank};
pub use ownership::{deployed_by, is_tracking_key};
pub use sanitize::{Mark, Rules, sanitize};
pub use secret::refusal;

/// Written by `kubectl apply`; on a Secret it holds the values in clear. Never copied, never listed.
pub const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
