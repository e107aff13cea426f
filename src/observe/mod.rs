//! What is known now: both clusters as they are watched, Secrets where they are needed, and the probes' verdicts.

pub mod external_dns;
pub mod facts;
pub mod inventory;
pub mod neighbours;
mod rights;
mod secrets;

use ring::hmac;

use crate::cluster::home_rights::HomeRights;
use crate::machine::Observed;
use crate::machine::drive::Needs;
use crate::machine::order::Order;
use crate::site::Site;

/// Everything that a decision may rest on. Only Secrets, rights and the Ingresses of other namespaces cost requests, and only in the
/// stages that need them.
pub async fn observe(site: &Site, order: &Order, needs: &Needs, key: &hmac::Key, home: &HomeRights) -> Observed {
    let secrets = match needs.secrets.as_slice() {
        [] => None,
        names => Some(secrets::read(site, &order.namespace, names, key).await),
    };
    let (source, target) = (site.source.view(), site.target.view());
    let (health, dns) = (site.health(), site.dns());
    let mut observed = Observed { source, target, secrets, health, dns, ..Observed::default() };
    if needs.rights {
        rights::add(site, order, home, &mut observed).await;
    }
    if let Some(since) = needs.neighbours {
        neighbours::add(site, since, &mut observed).await;
    }
    observed
}
