//! What external-dns (0.22) publishes for the addresses of a load balancer: which kinds of records.
//!
//! <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/provider/aws/aws.go>

use std::collections::BTreeSet;
use std::net::IpAddr;

use super::records::RecordKind;

/// The kinds of records for these addresses: of an address A or AAAA, of the name of an AWS load balancer an alias, of another name
/// CNAME. An alias is of kind A, and of AAAA as well when this external-dns `has_twins`.
pub fn kinds(addresses: &BTreeSet<String>, has_twins: bool) -> BTreeSet<RecordKind> {
    addresses.iter().flat_map(|address| kinds_of(address, has_twins)).collect()
}

fn kinds_of(address: &str, has_twins: bool) -> Vec<RecordKind> {
    match address.parse::<IpAddr>() {
        Ok(IpAddr::V4(_)) => vec![RecordKind::A],
        Ok(IpAddr::V6(_)) => vec![RecordKind::Aaaa],
        Err(_) if has_alias(address) && has_twins => vec![RecordKind::A, RecordKind::Aaaa],
        Err(_) if has_alias(address) => vec![RecordKind::A],
        Err(_) => vec![RecordKind::Cname],
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
            let found = kinds(&[address.to_owned()].into(), true);
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
        assert_eq!(super::kinds(&["d1.cloudfront.net".to_owned()].into(), false), [RecordKind::A].into());
    }
}
