//! A zone and two external-dns that belong to one setup alone: a test may stop them, set them up wrongly or stall their zone
//! without touching anybody else's.

use anyhow::Result;
use serde_json::Value;

use super::Options;
use crate::external_dns::{self, ExternalDns, Pair};
use crate::route53::zone::Zone;
use crate::route53::{self, Route53};
use crate::world::World;

/// Below it is the zone of each setup that has one of its own: the world's external-dns publish all of `example.com`.
const PARENT: &str = "example.org";

/// Whose external-dns publish a setup's Ingresses, and where.
#[derive(Clone, Copy, Debug, Default)]
pub enum Dns {
    /// The world's, in its zone `example.com`.
    #[default]
    World,
    /// The setup's own, in a zone of its own, `<setup>.example.org`.
    Own(Tune),
}

/// Changes how the external-dns of source and target are started.
pub type Tune = fn([external_dns::Options; 2]) -> [external_dns::Options; 2];

impl Dns {
    /// The setup's own, as they should be.
    pub fn own() -> Self {
        Self::Own(|options| options)
    }

    /// The domain of the setup's hosts.
    pub(super) fn domain(self, setup: &str) -> String {
        match self {
            Self::World => "example.com".to_owned(),
            Self::Own(_) => format!("{setup}.{PARENT}"),
        }
    }
}

/// A running pair and its zone. Dropping it kills both.
pub struct OwnDns {
    /// Where the zone is, if not in the world's account.
    account: Option<Route53>,
    zone: Zone,
    external_dns: Pair,
}

impl OwnDns {
    /// None when the setup uses the world's.
    pub(super) async fn start(world: &World, options: &Options) -> Result<Option<Box<Self>>> {
        let Dns::Own(tune) = options.own_dns else { return Ok(None) };
        let account = match options.requests_per_second {
            None => None,
            limit => {
                let limited = route53::Options { requests_per_second: limit, ..route53::Options::default() };
                Some(world.route53().start_another(limited).await?)
            }
        };
        let home = account.as_ref().unwrap_or(world.route53());
        let zone = world.create_zone_in(home, &options.own_dns.domain(&options.name));
        let external_dns = Box::pin(world.start_external_dns_in(home, tune(sides(options, &zone)))).await?;
        Ok(Some(Box::new(Self { account, zone, external_dns })))
    }

    /// The account of the zone, where it is not the world's.
    pub fn account(&self) -> Option<&Route53> {
        self.account.as_ref()
    }

    /// The zone of the setup's hosts, which nobody else writes to.
    pub fn zone(&self) -> &Zone {
        &self.zone
    }

    /// The external-dns of source and target, whose access keys are `<setup>-source` and `<setup>-target`.
    pub fn external_dns(&self) -> &Pair {
        &self.external_dns
    }

    /// What the pair says about the external-dns of a side: everything that is so, but the prefix that the options say.
    pub(super) async fn facts(&self, is_source: bool, prefix: &str) -> Value {
        let side: &ExternalDns = if is_source { &self.external_dns.source } else { &self.external_dns.target };
        let mut facts = side.facts().await;
        facts["annotationPrefix"] = prefix.into();
        facts
    }
}

/// They read the setup's Ingresses by the annotations and with the TTL that the pair says.
fn sides(options: &Options, zone: &Zone) -> [external_dns::Options; 2] {
    let [source_prefix, target_prefix] = options.annotation_prefixes;
    let source_class = options.source_class.as_ref().unwrap_or(&options.name);
    let sides = [("source", source_prefix, source_class), ("target", target_prefix, &options.name)];
    sides.map(|(side, prefix, class)| external_dns::Options {
        annotation_prefix: prefix.to_owned(),
        ingress_class: Some(class.to_owned()),
        arguments: vec![format!("--min-ttl={}", options.dns[2])],
        ..external_dns::Options::new(format!("{}-{side}", options.name), zone)
    })
}
