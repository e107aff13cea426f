//! Two paces: a quick one that brings many migrations to where they are measured, and the one that is measured, which is what
//! `deploy/` and external-dns do when they are told nothing.

use anyhow::{Context as _, Result};
use kube::Api;
use kube::api::{ApiResource, DynamicObject, Patch, PatchParams};
use kube::core::GroupVersionKind;
use serde_json::json;
use tokio::time::Instant;

use crate::external_dns;
use crate::operator::{self, Operator, QUICK_GAP};
use crate::route53::REQUESTS_PER_SECOND;
use crate::setup::Setup;
use crate::world::World;

/// How fast DNS is written and read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// An account without a quota, and everybody asks as often as they like.
    Quick,
    /// The account's real quota, external-dns's own defaults, the operator's own gap, a propagation of a minute.
    Shipped,
}

impl Pace {
    fn quota(self) -> Option<usize> {
        (self == Self::Shipped).then_some(REQUESTS_PER_SECOND)
    }

    fn route53_gap(self) -> Option<&'static str> {
        (self == Self::Quick).then_some(QUICK_GAP)
    }

    /// Between two looks of external-dns, after an event, and the propagation that the pair says. The second and the third are the
    /// defaults of external-dns (`--interval`, `--min-event-sync-interval`) and of the pair.
    fn times(self) -> [&'static str; 3] {
        match self {
            Self::Quick => ["2s", "500ms", "300ms"],
            Self::Shipped => ["1m", "5s", "1m"],
        }
    }

    /// Starts the operator, with everything around it at this pace. The one before must have ended. Returns also how long it
    /// took to become ready, in seconds.
    pub async fn start(self, world: &World, setup: &Setup) -> Result<(Operator, f64)> {
        world.route53().set_requests_per_second(None);
        self.set_external_dns(setup).await?;
        self.set_pair(world, setup).await?;
        world.route53().set_requests_per_second(self.quota());
        let options =
            operator::Options { route53_gap: self.route53_gap(), ..setup.operator_options(Some(setup.selector())) };
        let began = Instant::now();
        let operator = Operator::start(world.folder(), &options).await?;
        Ok((operator, began.elapsed().as_secs_f64()))
    }

    async fn set_external_dns(self, setup: &Setup) -> Result<()> {
        let pair = setup.own_dns().context("a benchmark has a zone of its own")?.external_dns();
        let [interval, after_an_event, _] = self.times().map(str::to_owned);
        for side in [&pair.source, &pair.target] {
            let options = side.options().await;
            if options.interval != interval {
                let (interval, after_an_event) = (interval.clone(), after_an_event.clone());
                side.restart(external_dns::Options { interval, after_an_event, ..options }).await?;
            }
        }
        Ok(())
    }

    async fn set_pair(self, world: &World, setup: &Setup) -> Result<()> {
        let pairs = ApiResource::from_gvk(&GroupVersionKind::gvk("namespacemigration.io", "v1alpha1", "ClusterPair"));
        let pairs: Api<DynamicObject> = Api::all_with(world.source().admin_client()?, &pairs);
        let [interval, _, propagation] = self.times();
        let side = json!({"externalDNS": {"interval": interval}});
        let change = json!({"spec": {"source": side, "target": side, "dns": {"propagation": propagation}}});
        let changed = pairs.patch(setup.name(), &PatchParams::default(), &Patch::Merge(change)).await;
        changed.with_context(|| format!("editing ClusterPair {}", setup.name())).map(drop)
    }
}
