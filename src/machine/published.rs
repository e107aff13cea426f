//! What external-dns (0.22) publishes for the addresses of a load balancer: which kinds of records.
//!
//! <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/provider/aws/aws.go>

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::records::RecordKind;

/// What an external-dns makes of the name of an AWS load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Aliases {
    /// None, but a CNAME: `--aws-prefer-cname`.
    Never,
    /// One of kind A: before 0.16.
    OfA,
    /// One of kind A and one of AAAA.
    OfBoth,
}

/// The kinds of records for these addresses: of an address A or AAAA, of the name of an AWS load balancer an alias, of another name
/// CNAME.
pub fn kinds(addresses: &BTreeSet<String>, aliases: Aliases) -> BTreeSet<RecordKind> {
    addresses.iter().flat_map(|address| kinds_of(address, aliases)).collect()
}

fn kinds_of(address: &str, aliases: Aliases) -> Vec<RecordKind> {
    match (address.parse::<IpAddr>(), aliases) {
        (Ok(IpAddr::V4(_)), _) => vec![RecordKind::A],
        (Ok(IpAddr::V6(_)), _) => vec![RecordKind::Aaaa],
        (Err(_), Aliases::OfBoth) if has_alias(address) => vec![RecordKind::A, RecordKind::Aaaa],
        (Err(_), Aliases::OfA) if has_alias(address) => vec![RecordKind::A],
        (Err(_), _) => vec![RecordKind::Cname],
    }
}

/// Whether Route 53 can point an alias to this name, as external-dns knows it: the zones of load balancers, of CloudFront and
/// of Global Accelerator.
fn has_alias(name: &str) -> bool {
    let name = name.strip_suffix('.').unwrap_or(name).to_lowercase();
    let is_load_balancer = |end: &str| {
        let Some(before) = name.strip_suffix(end) else { return false };
        let labels: Vec<_> = before.split('.').collect();
        // NAME.REGION.elb.amazonaws.com, or NAME.elb.REGION.amazonaws.com of a network load balancer.
        matches!(labels.as_slice(), [.., _, _, "elb"] | [.., _, "elb", _])
    };
    [".amazonaws.com", ".amazonaws.com.cn"].into_iter().any(is_load_balancer)
        || [".cloudfront.net", ".awsglobalaccelerator.com"].into_iter().any(|end| name.ends_with(end))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_of_record_follows_from_the_address() {
        let kinds = |address: &str| {
            let found = kinds(&[address.to_owned()].into(), Aliases::OfBoth);
            found.into_iter().map(RecordKind::name).collect::<Vec<_>>()
        };
        let alias = vec!["A", "AAAA"];
        assert_eq!(kinds("192.0.2.1"), ["A"]);
        assert_eq!(kinds("2001:db8::1"), ["AAAA"]);
        assert_eq!(kinds("lb-1.eu-west-2.elb.amazonaws.com"), alias);
        assert_eq!(kinds("LB-1.elb.eu-west-2.amazonaws.com."), alias);
        assert_eq!(kinds("d1.cloudfront.net"), alias);
        assert_eq!(kinds("bucket.s3.amazonaws.com"), ["CNAME"]);
        assert_eq!(kinds("lb.example.net"), ["CNAME"]);
        let of = |aliases| super::kinds(&["d1.cloudfront.net".to_owned()].into(), aliases);
        assert_eq!((of(Aliases::OfA), of(Aliases::Never)), ([RecordKind::A].into(), [RecordKind::Cname].into()));
    }
}
