//! The stages of a migration: where it is, and what that means.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Where a migration is. The text is for people; conditions are the contract for programs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Stage {
    /// Waits for its ClusterPair and for the lock on its namespace.
    #[default]
    Pending,
    /// Read-only checks on both clusters.
    Preflight,
    /// The source's DNS records become weighted: identifier and weight 100 on its Ingresses.
    WeightSource,
    /// Namespace and Services are on the target.
    PrepareTarget,
    /// The named Secrets are on the target, with the source's values.
    CopySecrets,
    /// The workloads are on the target and ready.
    DeployWorkloads,
    /// The target's Ingresses are there, with identifier and weight 0, and have a load balancer address.
    PublishTarget,
    /// Both sides answer alike through their load balancers, before any user is sent to the target.
    SmokeTest,
    /// The target's weight rises step by step while health is watched.
    ShiftTraffic,
    /// The target has 100 percent; a rollback is still automatic.
    Bake,
    /// The service has moved. Nothing is written from here on.
    Completed,
    /// Source 100, target 0, and nothing else matters.
    RollingBack,
    /// Everything is back on the source. A higher attempt starts again.
    RolledBack,
    /// Ended before anything was changed, or behind a rollback that left alone what another migration moves. A higher attempt starts again.
    Failed,
    /// The rollback could not finish in time. It is still being tried; a person must look.
    RollbackBlocked,
}

impl Stage {
    /// The name as users read it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "Pending",
            Self::Preflight => "Preflight",
            Self::WeightSource => "WeightSource",
            Self::PrepareTarget => "PrepareTarget",
            Self::CopySecrets => "CopySecrets",
            Self::DeployWorkloads => "DeployWorkloads",
            Self::PublishTarget => "PublishTarget",
            Self::SmokeTest => "SmokeTest",
            Self::ShiftTraffic => "ShiftTraffic",
            Self::Bake => "Bake",
            Self::Completed => "Completed",
            Self::RollingBack => "RollingBack",
            Self::RolledBack => "RolledBack",
            Self::Failed => "Failed",
            Self::RollbackBlocked => "RollbackBlocked",
        }
    }
}

impl Stage {
    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        match self {
            Self::Pending => "It waits for its ClusterPair and for the lock on its namespace.",
            Self::Preflight => "Read-only checks on both clusters.",
            Self::WeightSource => {
                "The source's DNS records become weighted: identifier and weight 100 on its Ingresses."
            }
            Self::PrepareTarget => "Namespace and Services must be on the target.",
            Self::CopySecrets => "The named Secrets are brought to the target, with the source's values.",
            Self::DeployWorkloads => "The workloads must be on the target and ready.",
            Self::PublishTarget => "The target's Ingresses get identifier and weight 0, and a load balancer address.",
            Self::SmokeTest => {
                "Both sides must answer alike through their load balancers, before any user is sent to the target."
            }
            Self::ShiftTraffic => "The target's weight rises step by step while health is watched.",
            Self::Bake => "The target has 100 percent; a rollback is still automatic.",
            Self::Completed => "The service has moved. Nothing is written from here on.",
            Self::RollingBack => "Source 100, target 0, and nothing else matters.",
            Self::RolledBack => "Everything is back on the source. A higher attempt starts again.",
            Self::Failed => {
                "It ended without a move, or a rollback left alone what another migration moves. A higher attempt starts again."
            }
            Self::RollbackBlocked => {
                "The rollback could not finish in time. It is still being tried; a person must look."
            }
        }
    }
}

impl std::fmt::Display for Stage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.as_str())
    }
}
