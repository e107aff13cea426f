//! The catalogue of reasons: every word that status, conditions, events and metrics use for "why".

/// Why something waits, goes on, goes back or ended. The text is part of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[allow(missing_docs, reason = "each variant is described by `meaning`, which the documentation prints")]
pub enum Reason {
    InvalidSpec,
    NotAllowed,
    ConnectingToClusters,
    SourceUnreachable,
    TargetUnreachable,
    ClusterRefused,
    WrongCluster,
    OwnedByAnother,
    PreflightBlocked,
    WritingWeights,
    WaitingForDns,
    WaitingForNamespace,
    WaitingForServices,
    WaitingForSecrets,
    SecretConflict,
    SecretRefused,
    WaitingForWorkloads,
    WaitingForIngressOwner,
    WaitingForLoadBalancer,
    CreatingIngress,
    Testing,
    HealthUnknown,
    HoldingStep,
    Baking,
    WeightContested,
    UnplannedIngress,
    Terminating,
    WriteRefused,
    ForeignStatus,
    TargetUnhealthy,
    SourceUnhealthy,
    SourceUnhealthyToo,
    Held,
    DeadlineExceeded,
    ForeignWeight,
    RollingBack,
    WaitingForRollbackDns,
    RollbackWaitsForSource,
    RollbackWaitsForTarget,
    RollbackContested,
    RemovingObjects,
    RolledBack,
    Completed,
    Failed,
    StageEntered,
    StepEntered,
    SilenceNotProved,
    Paused,
    Resumed,
    AtCeiling,
    RollbackRequested,
    RetryRequested,
    RequestRefused,
    PlanChanged,
    EditDeferred,
    NotYet,
    Passed,
}

impl Reason {
    /// Every reason, for the documentation and for tests.
    pub const ALL: [Self; 57] = [
        Self::InvalidSpec,
        Self::NotAllowed,
        Self::ConnectingToClusters,
        Self::SourceUnreachable,
        Self::TargetUnreachable,
        Self::ClusterRefused,
        Self::WrongCluster,
        Self::OwnedByAnother,
        Self::PreflightBlocked,
        Self::WritingWeights,
        Self::WaitingForDns,
        Self::WaitingForNamespace,
        Self::WaitingForServices,
        Self::WaitingForSecrets,
        Self::SecretConflict,
        Self::SecretRefused,
        Self::WaitingForWorkloads,
        Self::WaitingForIngressOwner,
        Self::WaitingForLoadBalancer,
        Self::CreatingIngress,
        Self::Testing,
        Self::HealthUnknown,
        Self::HoldingStep,
        Self::Baking,
        Self::WeightContested,
        Self::UnplannedIngress,
        Self::Terminating,
        Self::WriteRefused,
        Self::ForeignStatus,
        Self::TargetUnhealthy,
        Self::SourceUnhealthy,
        Self::SourceUnhealthyToo,
        Self::Held,
        Self::DeadlineExceeded,
        Self::ForeignWeight,
        Self::RollingBack,
        Self::WaitingForRollbackDns,
        Self::RollbackWaitsForSource,
        Self::RollbackWaitsForTarget,
        Self::RollbackContested,
        Self::RemovingObjects,
        Self::RolledBack,
        Self::Completed,
        Self::Failed,
        Self::StageEntered,
        Self::StepEntered,
        Self::SilenceNotProved,
        Self::Paused,
        Self::Resumed,
        Self::AtCeiling,
        Self::RollbackRequested,
        Self::RetryRequested,
        Self::RequestRefused,
        Self::PlanChanged,
        Self::EditDeferred,
        Self::NotYet,
        Self::Passed,
    ];

    /// The word as users and programs read it.
    pub fn as_str(self) -> &'static str {
        self.entry().0
    }

    /// What it means, in a sentence.
    pub fn meaning(self) -> &'static str {
        self.entry().1
    }

    #[rustfmt::skip]
    fn entry(self) -> (&'static str, &'static str) {
        match self {
            Self::InvalidSpec => ("InvalidSpec", "The spec or its ClusterPair cannot be used as it is."),
            Self::NotAllowed => ("NotAllowed", "The ClusterPair does not let this namespace move, or not by this migration."),
            Self::ConnectingToClusters => ("ConnectingToClusters", "The clusters are being reached and their namespaces listed."),
            Self::SourceUnreachable => ("SourceUnreachable", "The source's API server does not answer; nothing is decided without it."),
            Self::TargetUnreachable => ("TargetUnreachable", "The target's API server does not answer; nothing is decided without it."),
            Self::ClusterRefused => ("ClusterRefused", "A cluster answers, but the connection, the credentials or a right are refused."),
            Self::WrongCluster => ("WrongCluster", "A cluster has another identity than the ClusterPair says; nothing is written to it."),
            Self::OwnedByAnother => ("OwnedByAnother", "Another migration that came first moves this namespace or one of its hosts."),
            Self::PreflightBlocked => ("PreflightBlocked", "A check before the move found a blocker that is not acknowledged."),
            Self::WritingWeights => ("WritingWeights", "Weights are being written to Ingresses."),
            Self::WaitingForDns => ("WaitingForDNS", "The weights are written; DNS needs time to follow."),
            Self::WaitingForNamespace => ("WaitingForNamespace", "The namespace is not on the target yet."),
            Self::WaitingForServices => ("WaitingForServices", "A Service that an Ingress needs is not on the target yet."),
            Self::WaitingForSecrets => ("WaitingForSecrets", "Secrets are being read, copied or compared."),
            Self::SecretConflict => ("SecretConflict", "The target has a Secret of that name with other values; it is never overwritten."),
            Self::SecretRefused => ("SecretRefused", "A Secret of the list must not or cannot be copied."),
            Self::WaitingForWorkloads => ("WaitingForWorkloads", "A workload is not on the target yet, or not ready."),
            Self::WaitingForIngressOwner => ("WaitingForIngressOwner", "A tool deploys the source's Ingress; it must deploy the target's as well."),
            Self::WaitingForLoadBalancer => ("WaitingForLoadBalancer", "A target Ingress has no load balancer address of its own yet."),
            Self::CreatingIngress => ("CreatingIngress", "Ingresses are being created on the target at weight 0."),
            Self::Testing => ("Testing", "Both sides are being probed through their load balancers."),
            Self::HealthUnknown => ("HealthUnknown", "There is no verdict on the target; the clock stands still."),
            Self::HoldingStep => ("HoldingStep", "The step is served; the target must stay healthy until the hold is over."),
            Self::Baking => ("Baking", "The target has all traffic; a rollback is still automatic."),
            Self::WeightContested => ("WeightContested", "Somebody else changed an Ingress that we move; the clock stands still."),
            Self::UnplannedIngress => ("UnplannedIngress", "An Ingress that is not part of the plan has appeared on the source; the clock stands still."),
            Self::Terminating => ("Terminating", "A namespace or Ingress is being deleted; it is never given users."),
            Self::WriteRefused => ("WriteRefused", "An API server refuses a write; its words are in the message. It is tried again."),
            Self::ForeignStatus => ("ForeignStatus", "Somebody else wrote the status; it was not believed and is written anew."),
            Self::TargetUnhealthy => ("TargetUnhealthy", "A check of the target failed."),
            Self::SourceUnhealthy => ("SourceUnhealthy", "A check of the source failed."),
            Self::SourceUnhealthyToo => ("SourceUnhealthyToo", "Both sides fail; users are not moved from one broken side to another."),
            Self::Held => ("Held", "The target is unhealthy and onFailure is Hold; a person must decide."),
            Self::DeadlineExceeded => ("DeadlineExceeded", "The stage took longer than it may."),
            Self::ForeignWeight => ("ForeignWeight", "A foreign write left both sides at 0, or gave the target more users than the step allows."),
            Self::RollingBack => ("RollingBack", "The source gets 100 and the target 0."),
            Self::WaitingForRollbackDns => ("WaitingForRollbackDNS", "The rollback is written on both sides; DNS needs time to follow."),
            Self::RollbackWaitsForSource => ("RollbackWaitsForSource", "The rollback cannot be written to the source yet; it is being tried again."),
            Self::RollbackWaitsForTarget => ("RollbackWaitsForTarget", "The source has 100; the target's 0 cannot be written yet and is being tried again."),
            Self::RollbackContested => ("RollbackContested", "Somebody else writes against a rollback; it is answered again and again."),
            Self::RemovingObjects => ("RemovingObjects", "Objects that we created on the target are being removed."),
            Self::RolledBack => ("RolledBack", "The source serves everything again."),
            Self::Completed => ("Completed", "The service has moved."),
            Self::Failed => ("Failed", "It ended without a move."),
            Self::StageEntered => ("StageEntered", "A stage began."),
            Self::StepEntered => ("StepEntered", "A step of the shift began."),
            Self::SilenceNotProved => ("SilenceNotProved", "Nobody has measured whether the source still gets requests."),
            Self::Paused => ("Paused", "It is paused: weights stay, checks go on, a rollback stays armed."),
            Self::Resumed => ("Resumed", "A pause is over; it goes on where it was."),
            Self::AtCeiling => ("AtCeiling", "The next step is above spec.traffic.upTo; the share stays until that is raised."),
            Self::RollbackRequested => ("RollbackRequested", "A person asked by annotation that everything goes back."),
            Self::RetryRequested => ("RetryRequested", "A person asked by annotation to try again."),
            Self::RequestRefused => ("RequestRefused", "What a person asked for by annotation makes no sense here."),
            Self::PlanChanged => ("PlanChanged", "Edits of the spec were taken up into the plan."),
            Self::EditDeferred => ("EditDeferred", "An edit of the spec is not in force in this attempt, or not yet."),
            Self::NotYet => ("NotYet", "That part has not been reached."),
            Self::Passed => ("Passed", "That part has been seen to be done."),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn every_reason_is_one_distinct_camel_case_word() {
        let words: BTreeSet<_> = Reason::ALL.iter().map(|reason| reason.as_str()).collect();
        assert_eq!(words.len(), Reason::ALL.len());
        assert!(
            words.iter().all(|word| word.chars().all(char::is_alphanumeric) && word.starts_with(char::is_uppercase))
        );
    }
}
