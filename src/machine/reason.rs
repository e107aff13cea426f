//! The catalogue of reasons: every word that status, conditions, events and metrics use for "why".

/// One row for each reason: the variant, its word and its meaning. A reason is added here and nowhere else.
macro_rules! reasons {
    ($($variant:ident $word:literal $meaning:literal;)*) => {
        /// Why something waits, goes on, goes back or ended. The text is part of the API.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Reason {
            $(#[doc = $meaning] $variant,)*
        }

        impl Reason {
            /// Every reason, for the documentation and for tests.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// The word as users and programs read it.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word,)* }
            }

            /// What it means, in a sentence.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning,)* }
            }
        }
    };
}

reasons! {
    InvalidSpec "InvalidSpec" "The spec or its ClusterPair cannot be used as it is.";
    NoClusterPair "NoClusterPair" "The ClusterPair is not there; without it nothing is looked at and nothing is done.";
    NotAllowed "NotAllowed" "The ClusterPair does not let this namespace move, or not by this migration.";
    ConnectingToClusters "ConnectingToClusters" "The clusters are being reached and their namespaces listed.";
    SourceUnreachable "SourceUnreachable" "The source's API server does not answer; nothing is decided without it.";
    TargetUnreachable "TargetUnreachable" "The target's API server does not answer; nothing is decided without it.";
    ClusterRefused "ClusterRefused" "A cluster answers, but the connection, the credentials or a right are refused.";
    WrongCluster "WrongCluster" "A cluster has another identity than the ClusterPair says, or than the attempt began with; nothing is written to it.";
    AnnotationPrefixChanged "AnnotationPrefixChanged" "The ClusterPair names another annotation prefix than the attempt began with; nothing is written under it.";
    OwnedByAnother "OwnedByAnother" "Another migration that came first moves this namespace or one of its hosts.";
    PreflightBlocked "PreflightBlocked" "A check before the move found a blocker that is not acknowledged.";
    WritingWeights "WritingWeights" "Weights are being written to Ingresses.";
    WaitingForDns "WaitingForDNS" "DNS is read before the first write, or the weights are written and DNS needs time to follow.";
    DnsLate "DNSLate" "DNS does not follow in twice the usual time; what it shows and why that may be is in the message.";
    DnsBlocked "DNSBlocked" "A record at a host cannot be shifted as it is; nobody is moved before it is mended.";
    DnsUnreadable "DNSUnreadable" "DNS cannot be read, so that nothing is known of what users get; weights stay.";
    DnsDiffers "DNSDiffers" "In a hold DNS serves other records or weights than the step says; the clock stands still.";
    AddressLost "AddressLost" "An Ingress has lost its load balancer address, and with it its DNS record; weights stay, the clock stands still.";
    Verified "Verified" "The DNS provider lists exactly what was written, for as long as it takes to serve it everywhere.";
    Answered "Answered" "The name servers answer with who has a weight and with nobody else.";
    Assumed "Assumed" "DNS was given the time that it may take; what it serves, or which share, was not seen.";
    WaitingForNamespace "WaitingForNamespace" "The namespace is not on the target yet.";
    WaitingForServices "WaitingForServices" "A Service that an Ingress needs is not on the target yet.";
    WaitingForSecrets "WaitingForSecrets" "Secrets are being read, copied or compared.";
    SecretConflict "SecretConflict" "The target has a Secret of that name with other values; it is never overwritten.";
    SecretRefused "SecretRefused" "A Secret of the list must not or cannot be copied.";
    WaitingForWorkloads "WaitingForWorkloads" "A workload is not on the target yet, or not ready.";
    WaitingForIngressOwner "WaitingForIngressOwner" "A tool deploys the source's Ingress; it must deploy the target's as well.";
    WaitingForLoadBalancer "WaitingForLoadBalancer" "A target Ingress has no load balancer address of its own yet.";
    CreatingIngress "CreatingIngress" "Ingresses are being created on the target at weight 0.";
    Testing "Testing" "Both sides are being probed through their load balancers.";
    HealthUnknown "HealthUnknown" "There is no verdict on the target; the clock stands still.";
    HoldingStep "HoldingStep" "The step is served; the target must stay healthy until the hold is over.";
    Baking "Baking" "The target has all traffic; a rollback is still automatic.";
    WeightContested "WeightContested" "Somebody else changed an Ingress that we move; the clock stands still.";
    ReplacingWeight "ReplacingWeight" "A foreign weight stayed unchanged for as long as DNS takes to follow; it is replaced once, receiver first.";
    UnplannedIngress "UnplannedIngress" "An Ingress that is not part of the plan has appeared on the source; the clock stands still.";
    Terminating "Terminating" "A namespace or Ingress is being deleted; it is never given users.";
    WriteRefused "WriteRefused" "An API server refuses a write; its words are in the message. It is tried again.";
    ForeignStatus "ForeignStatus" "Somebody else wrote the status; it was not believed and is written anew.";
    TargetUnhealthy "TargetUnhealthy" "A check of the target failed.";
    SourceUnhealthy "SourceUnhealthy" "A check of the source failed.";
    SourceUnhealthyToo "SourceUnhealthyToo" "Both sides fail; users are not moved from one broken side to another.";
    Held "Held" "The target is unhealthy and onFailure is Hold; a person must decide.";
    DeadlineExceeded "DeadlineExceeded" "The stage took longer than it may.";
    ForeignWeight "ForeignWeight" "A foreign write left both sides at 0, or gave the target more users than the step allows.";
    RollingBack "RollingBack" "The source gets 100 and the target 0.";
    WaitingForRollbackDns "WaitingForRollbackDNS" "The rollback is written on both sides; DNS needs time to follow.";
    RollbackWaitsForSource "RollbackWaitsForSource" "The rollback cannot be written to the source yet; it is being tried again.";
    RollbackWaitsForTarget "RollbackWaitsForTarget" "The source has 100; the target's 0 cannot be written yet and is being tried again.";
    RollbackContested "RollbackContested" "Somebody else writes against a rollback; it is answered again and again.";
    RemovingObjects "RemovingObjects" "Objects that we created on the target are being removed.";
    RolledBack "RolledBack" "The source serves everything again.";
    Completed "Completed" "The service has moved.";
    Failed "Failed" "It ended without a move, or a rollback left alone what another migration moves.";
    StageEntered "StageEntered" "A stage began.";
    StepEntered "StepEntered" "A step of the shift began.";
    SilenceNotProved "SilenceNotProved" "Nobody has measured whether the source still gets requests.";
    Paused "Paused" "It is paused: weights stay, checks go on; a rollback stays armed unless spec.onFailure is Hold.";
    Resumed "Resumed" "A pause is over; it goes on where it was.";
    AtCeiling "AtCeiling" "The next step is above spec.traffic.upTo; the share stays until that is raised.";
    RollbackRequested "RollbackRequested" "A person asked by annotation that everything goes back.";
    RetryRequested "RetryRequested" "A person asked by annotation to try again.";
    RequestRefused "RequestRefused" "What a person asked for by annotation makes no sense here.";
    PlanChanged "PlanChanged" "Edits of the spec were taken up into the plan.";
    SpecEdited "SpecEdited" "The spec was edited in mid-flight and the edit is in force; the event says who made it and when.";
    EditDeferred "EditDeferred" "An edit of the spec is not in force in this attempt, or not yet.";
    NotYet "NotYet" "That part has not been reached.";
    Passed "Passed" "That part has been seen to be done.";
    Deleted "Deleted" "The object was deleted in mid-way; what was begun is taken back.";
    Freezing "Freezing" "The object was deleted in mid-way; the weights stay, under a new stamp.";
    Orphaned "Orphaned" "The object was deleted in mid-way and let go at once; no cluster was called and all weights stay.";
    LeftOver "LeftOver" "A deleted migration could not write everything before its deadline; the ClusterPair has what is left over.";
    LeftoverWritten "LeftoverWritten" "What a deleted migration had left over was written, or removed.";
    LeftoverCancelled "LeftoverCancelled" "What a deleted migration had left over does not matter any more.";
    Reachable "Reachable" "The cluster answers and is the one that the ClusterPair names.";
    Authorized "Authorized" "The cluster grants every right that a migration may need, in every namespace.";
    NotAuthorized "NotAuthorized" "The cluster refuses rights in general; a grant for the namespaces that move is enough, and each migration asks for its own.";
    PairInUse "PairInUse" "The ClusterPair was deleted, and migrations under way need it; it goes when they have ended.";
    PairLetGo "PairLetGo" "The ClusterPair goes with what it still owed: nobody writes those weights or removes those objects any more.";
    NotInUse "NotInUse" "No migration uses the ClusterPair, so its clusters are not connected.";
}

impl Reason {
    /// Reads a word of status.
    pub fn parse(word: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|reason| reason.as_str() == word)
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
