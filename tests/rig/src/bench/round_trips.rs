//! How many requests of a rollback follow each other, seen from outside: over a way on which each takes long, the time from the
//! verdict to the write is that number, whatever else the operator does.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use serde_json::json;

use super::board::soaks_at;
use super::fleet::{Fleet, names};
use super::rollback::{self, Broken};
use super::spread::number;
use crate::setup::{Options, Setup};
use crate::world::World;

/// Far longer than anything on this machine takes.
const LATENCY: Duration = Duration::from_millis(400);
const CLIMB_LIMIT: Duration = Duration::from_secs(120);

/// Round trips that follow each other between verdict and write: a whole number and what the machine itself took.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RoundTrips {
    /// The time between verdict and write, in round trips.
    pub measured: f64,
}

impl RoundTrips {
    /// Of one try to write.
    pub fn whole(self) -> usize {
        // What takes longer than the machine's own work is a round trip more.
        (1..100).find(|count| number(*count) + 0.9 > self.measured).unwrap_or(100)
    }
}

/// One migration, its target breaks, and each request to either API server is so long on its way.
pub async fn measure(world: &World) -> Result<RoundTrips> {
    let options = Options { proxied: true, dns: ["200ms", "200ms", "200ms"], ..Options::new("far") };
    let setup = Setup::start(world, options).await?;
    let (fleet, names) = (Fleet::of(world, &setup)?, names("far", 0, 1));
    fleet.deploy(&names).await?;
    let operator = setup.start_operator(world).await?;
    let spec = json!({
        "clusterPair": setup.name(),
        "preflight": {"acknowledge": [{"check": "AnnotationOnly", "reason": "this benchmark is not about DNS"}]},
        "probes": {"interval": "500ms", "successThreshold": 1, "failureThreshold": 2},
        "traffic": {"steps": [{"weight": 10, "hold": "1h"}, {"weight": 100, "hold": "1h"}]},
    });
    fleet.begin(&names, &spec).await?;
    fleet.board.until(&names, "the hold at 10 percent", CLIMB_LIMIT, |status| soaks_at(status, 10)).await?;
    let faults = [setup.source_faults(), setup.target_faults()];
    for line in &faults {
        line.as_ref().context("a proxy before each API server")?.slow_down(LATENCY);
    }
    let back = rollback::provoke(&fleet, &operator, &names, Broken::TheirHosts).await?;
    for line in faults.iter().flatten() {
        line.slow_down(Duration::ZERO);
    }
    operator.sigterm().await?;
    ensure!(back.tries == [1], "the write to the source was tried {:?} times, expected once", back.tries);
    Ok(RoundTrips { measured: back.by_the_operator.max() / (LATENCY.as_secs_f64() * 1000.0) })
}
