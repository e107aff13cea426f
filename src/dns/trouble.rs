//! Why DNS could not be read, in words for a person, with what can be done.

use std::time::Duration;

use crate::metrics::DnsOutcome;

/// Why a reading failed. Holds text only; never a credential.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The account's requests are used up, by whoever shares it.
    #[error(
        "Route 53 throttles the account ({action} answered {code}); other programs use up its 5 requests per second; it is asked again more \
         slowly"
    )]
    Throttled {
        /// What was asked.
        action: &'static str,
        /// The provider's word.
        code: String,
    },
    /// The identity may not do this, or is not accepted.
    #[error(
        "Route 53 refused {action} {about}: {code}: {message}; give the operator's AWS identity the actions route53:ListHostedZonesByName \
         and route53:ListResourceRecordSets, or correct spec.dns.route53.credentialsSecret of the ClusterPair"
    )]
    Denied {
        /// What was asked.
        action: &'static str,
        /// Of what.
        about: String,
        /// The provider's word.
        code: String,
        /// The provider's explanation.
        message: String,
    },
    /// No credentials.
    #[error(
        "no AWS credentials for {action}: {message}; give the operator's ServiceAccount an AWS role (EKS Pod Identity or IRSA), or name a \
         Secret in spec.dns.route53.credentialsSecret of the ClusterPair"
    )]
    NoCredentials {
        /// What was to be asked.
        action: &'static str,
        /// Why there are none.
        message: String,
    },
    /// No zone of the account fits the host.
    #[error(
        "none of the account's {known} hosted zones has a name that {host} ends in, so that its record cannot be shifted; check the account, \
         set spec.dns.route53.hostedZoneID of the ClusterPair, or leave its Ingress out (spec.ingresses.exclude)"
    )]
    NoZone {
        /// The host.
        host: String,
        /// How many zones there are.
        known: usize,
    },
    /// Several zones of one name.
    #[error(
        "several hosted zones have the name {zone}: {ids}; set spec.dns.route53.hostedZoneID of the ClusterPair to the one in use"
    )]
    SeveralZones {
        /// Their name.
        zone: String,
        /// Their IDs.
        ids: String,
    },
    /// The zone that was named is not there.
    #[error("there is no hosted zone {zone} in the account; correct spec.dns.route53.hostedZoneID of the ClusterPair")]
    NoSuchZone {
        /// Its ID.
        zone: String,
    },
    /// Nothing came in time.
    #[error("no answer to {action} {about} within {after:?}; it is asked again")]
    Timeout {
        /// What was asked.
        action: &'static str,
        /// Of what or whom.
        about: String,
        /// How long was waited.
        after: Duration,
    },
    /// No connection, or it broke.
    #[error("{action} {about} could not be asked: {message}; it is asked again")]
    Unreachable {
        /// What was asked.
        action: &'static str,
        /// Of what or whom.
        about: String,
        /// What happened.
        message: String,
    },
    /// Any other answer.
    #[error("{action} {about} was answered with {code}: {message}")]
    Refused {
        /// What was asked.
        action: &'static str,
        /// Of what or whom.
        about: String,
        /// The provider's word.
        code: String,
        /// The provider's explanation.
        message: String,
    },
    /// An answer that leads in circles.
    #[error("{action} {about} has more than {limit} pages; nothing that large is read")]
    TooLong {
        /// What was asked.
        action: &'static str,
        /// Of what.
        about: String,
        /// How many pages are read.
        limit: usize,
    },
    /// The zone's name servers could not be found.
    #[error(
        "the name servers of {host} could not be found: {message}; set spec.dns.authoritative.nameServers of the ClusterPair"
    )]
    NoNameServers {
        /// The host.
        host: String,
        /// Why.
        message: String,
    },
    /// The operator cannot do this at all.
    #[error(
        "this operator was built without Route 53 (cargo feature route53); use an operator that has it, or set spec.dns.verification of \
         the ClusterPair to AuthoritativeDNS"
    )]
    NotBuilt,
}

impl ReadError {
    /// Whether asking less often is what helps.
    pub fn is_throttling(&self) -> bool {
        matches!(self, Self::Throttled { .. })
    }

    /// Whether other credentials could help.
    pub fn is_about_credentials(&self) -> bool {
        matches!(self, Self::Denied { .. } | Self::NoCredentials { .. })
    }

    /// How it is counted.
    pub fn outcome(&self) -> DnsOutcome {
        match self {
            Self::Throttled { .. } => DnsOutcome::Throttled,
            Self::Denied { .. } | Self::NoCredentials { .. } => DnsOutcome::Denied,
            Self::NoZone { .. } | Self::SeveralZones { .. } | Self::NoSuchZone { .. } => DnsOutcome::NoZone,
            Self::Timeout { .. } => DnsOutcome::Timeout,
            Self::Unreachable { .. } | Self::NoNameServers { .. } => DnsOutcome::Unreachable,
            Self::Refused { .. } | Self::TooLong { .. } | Self::NotBuilt => DnsOutcome::Refused,
        }
    }
}
