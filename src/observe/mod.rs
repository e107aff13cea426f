//! What is known now: both clusters as they are watched, Secrets where they are needed, and the probes' verdicts.

pub mod facts;
mod secrets;

use ring::hmac;

use crate::machine::Observed;
use crate::machine::drive::Needs;
use crate::site::Site;

/// Everything that a decision may rest on. Only Secrets cost requests, and only in the stage that copies them.
pub async fn observe(site: &Site, namespace: &str, needs: &Needs, key: &hmac::Key) -> Observed {
    let secrets = match needs.secrets.as_slice() {
        [] => None,
        names => Some(secrets::read(site, namespace, names, key).await),
    };
    Observed { source: site.source.view(), target: site.target.view(), secrets, health: site.health(), in_front: None }
}
