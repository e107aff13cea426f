//! The names of load balancers, as Elastic Load Balancing gives them. What is behind a name is known to
//! [`crate::dns_server::Surroundings`].

use super::record::absolute;

/// The hosted zones of load balancers' names, which an alias has to give:
/// <https://docs.aws.amazon.com/general/latest/gr/elb.html>.
const CANONICAL_ZONES: [(&str, &str); 6] = [
    (".elb.eu-west-1.amazonaws.com.", "Z2IFOLAFXWLO4F"),
    (".elb.eu-west-2.amazonaws.com.", "ZD4D7Y8KGAS4G"),
    (".elb.us-east-1.amazonaws.com.", "Z26RNL4JYFTOTI"),
    (".eu-west-1.elb.amazonaws.com.", "Z32O12XQLNTSW2"),
    (".eu-west-2.elb.amazonaws.com.", "ZHURV8PSTC4K8"),
    (".us-east-1.elb.amazonaws.com.", "Z35SXDOTRQ7X7K"),
];

/// The name of a load balancer in Europe (London), in the form that makes external-dns create an alias.
pub fn elb_name(balancer: &str) -> String {
    format!("{balancer}.elb.eu-west-2.amazonaws.com")
}

/// The hosted zone of a load balancer's name, by its region; None: it is no such name.
pub fn canonical_zone(name: &str) -> Option<&'static str> {
    let name = absolute(name);
    CANONICAL_ZONES.iter().find(|(suffix, _)| name.ends_with(suffix)).map(|(_, id)| *id)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_load_balancers_name_lies_in_its_regions_zone() {
        assert_eq!(canonical_zone(&elb_name("blue")), Some("ZD4D7Y8KGAS4G"));
        assert_eq!(canonical_zone("blue.eu-west-2.elb.amazonaws.com"), Some("ZHURV8PSTC4K8"));
        assert_eq!(canonical_zone("shop.example.com"), None);
    }
}
