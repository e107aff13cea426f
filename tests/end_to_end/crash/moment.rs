//! A moment at which the operator is killed, as its fault proxies see it.

use std::fmt;
use std::sync::Arc;

use anyhow::Result;
use namespace_migration::api::Stage;
use rig::proxy::{ApiRequest, Phase};
use tokio::sync::oneshot;

use crate::scene::{LIMIT, Migration, stage_of};

/// The n-th write of a kind, counted from when it is armed, or the first status of a stage.
#[derive(Clone, Copy, Debug)]
pub enum Point {
    SourceIngress(u64),
    TargetIngress(u64),
    TargetSecret(u64),
    Status(Stage),
}

/// A point, and whether the API server has seen the write.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub point: Point,
    pub phase: Phase,
}

/// A moment that is waited for.
pub struct Strike {
    moment: Moment,
    killed: oneshot::Receiver<()>,
}

impl Moment {
    /// From now on the operator is killed at this moment.
    pub fn arm(self, shop: &Migration<'_>) -> Strike {
        let setup = &shop.scene.setup;
        let faults = if self.point.is_on_target() { setup.target_faults() } else { setup.source_faults() };
        let faults = faults.expect("the scene has fault proxies");
        let (tell, killed) = oneshot::channel();
        let operator = Arc::clone(&shop.scene.operator);
        let (point, namespace) = (self.point, shop.name().to_owned());
        faults.on_matching_write(
            move |request| point.is_met_by(request, &namespace),
            point.number(),
            self.phase,
            |_| async move {
                operator.lock().await.sigkill().await.expect("the operator can be killed");
                // A test that has ended in between does not ask any more.
                let _ = tell.send(());
            },
        );
        Strike { moment: self, killed }
    }
}

impl Strike {
    /// Waits until the operator is dead. Returns the stage of the migration's status then.
    pub async fn met(self, shop: &Migration<'_>) -> Result<(Moment, Stage)> {
        match tokio::time::timeout(LIMIT, self.killed).await {
            Ok(Ok(())) => Ok((self.moment, stage_of(&shop.now().await?))),
            _ => Err(shop.account(&format!("the operator made no write {}", self.moment.point)).await),
        }
    }
}

impl Point {
    fn is_on_target(self) -> bool {
        matches!(self, Self::TargetIngress(_) | Self::TargetSecret(_))
    }

    fn number(self) -> u64 {
        match self {
            Self::SourceIngress(number) | Self::TargetIngress(number) | Self::TargetSecret(number) => number,
            Self::Status(_) => 1,
        }
    }

    fn is_met_by(self, request: &ApiRequest, namespace: &str) -> bool {
        match self {
            Self::SourceIngress(_) | Self::TargetIngress(_) => request.is_write_of("ingresses", namespace),
            Self::TargetSecret(_) => request.is_write_of("secrets", namespace),
            Self::Status(stage) => {
                let written = request.object.pointer("/status/stage").and_then(serde_json::Value::as_str);
                request.subresource == "status" && request.namespace == namespace && written == Some(stage.as_str())
            }
        }
    }
}

impl fmt::Display for Point {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SourceIngress(number) => write!(f, "{number} of the source's Ingress"),
            Self::TargetIngress(number) => write!(f, "{number} of the target's Ingress"),
            Self::TargetSecret(number) => write!(f, "{number} of the target's Secret"),
            Self::Status(stage) => write!(f, "of status {stage}"),
        }
    }
}

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.phase {
            Phase::BeforeForward => write!(f, "before write {}", self.point),
            Phase::AfterCommit => write!(f, "after write {}", self.point),
        }
    }
}
