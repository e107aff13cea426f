//! What `rig up` runs on top of the two clusters.

use anyhow::Result;

use crate::world::World;

/// Everything that ends with the background world.
pub struct Services {}

/// Starts the load balancers, the operator and the sample namespaces.
pub async fn start_services(_world: &World) -> Result<Services> {
    Ok(Services {})
}
