//! What a value may say: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/ResourceRecordTypes.html>.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::route53::record::{Kind, RecordSet};

/// RFC 1035, section 2.3.4.
const LABEL: usize = 63;

/// A message for each value that its type does not allow.
pub(super) fn invalid(set: &RecordSet) -> Vec<String> {
    super::values(set).iter().filter_map(|value| problem(set.kind, value)).collect()
}

fn problem(kind: Kind, value: &str) -> Option<String> {
    let problem = match kind {
        Kind::A if value.parse::<Ipv4Addr>().is_err() => {
            "ARRDATAIllegalIPv4Address (Value is not a valid IPv4 address)"
        }
        Kind::Aaaa if value.parse::<Ipv6Addr>().is_err() => {
            "AAAARRDATAIllegalIPv6Address (Value is not a valid IPv6 address)"
        }
        Kind::Txt | Kind::Spf if !is_quoted(value) => {
            "InvalidCharacterString (Value should be enclosed in quotation marks)"
        }
        _ => return None,
    };
    Some(format!("Invalid Resource Record: 'FATAL problem: {problem} encountered with '{value}''"))
}

fn is_quoted(value: &str) -> bool {
    value.len() >= 2 && value.starts_with('"') && value.ends_with('"')
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html>: labels of 63 characters at most.
pub(super) fn too_long_label(set: &RecordSet) -> Option<String> {
    let label = set.name.split('.').find(|label| label.len() > LABEL)?;
    Some(format!("FATAL problem: DomainLabelTooLong (Domain label is too long) encountered with '{label}'"))
}
