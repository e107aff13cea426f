//! PURE. Where a side's load balancer is to be asked, as its Ingress says; or why that is not known.

use std::collections::BTreeSet;
use std::net::Ipv6Addr;

use crate::machine::{Observed, Side};

/// The way into one side for the hosts of one Ingress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entrance {
    /// The cluster has not been listed yet: an Ingress that is not known may well be there.
    NotSeen,
    /// The Ingress is not there.
    NoIngress {
        /// The tool that deploys the source's, when one does: it brings the target's too.
        brought_by: Option<String>,
    },
    /// Addresses, or host names, of the load balancer. Empty while it has given none.
    At(BTreeSet<String>),
    /// Where it was, as the Ingress says none any more.
    Last(BTreeSet<String>),
}

impl Entrance {
    /// As the clusters were last seen.
    pub fn of(observed: &Observed, ingress: &str, side: Side) -> Self {
        let view = observed.side(side);
        match view.ingresses.get(ingress) {
            Some(facts) => Self::At(facts.addresses.clone()),
            None if view.synced => {
                let source = observed.source.ingresses.get(ingress);
                Self::NoIngress { brought_by: source.and_then(|facts| facts.deployed_by.clone()) }
            }
            None => Self::NotSeen,
        }
    }

    /// The same, knowing where it was before. A status that blinks says nothing of the application: what answers where it was last does.
    #[must_use]
    pub fn after(self, before: &Self) -> Self {
        match (&self, before) {
            (Self::At(none), Self::At(last) | Self::Last(last)) if none.is_empty() && !last.is_empty() => {
                Self::Last(last.clone())
            }
            _ => self,
        }
    }

    /// One address speaks for a load balancer; not an IPv6 one while there is another, because not every Pod can reach it.
    pub fn chosen(&self) -> Option<&String> {
        let (Self::At(addresses) | Self::Last(addresses)) = self else { return None };
        addresses.iter().min_by_key(|address| address.parse::<Ipv6Addr>().is_ok())
    }

    /// Why there is nobody to ask: what is missing, and who would bring it.
    pub fn trouble(&self, ingress: &str, side: Side) -> String {
        match (self, side) {
            (Self::NotSeen, _) => format!("the {side} has not been seen yet"),
            (Self::At(_) | Self::Last(_), _) => format!("Ingress {ingress} has no load balancer address on the {side}"),
            (Self::NoIngress { .. }, Side::Source) => {
                format!("Ingress {ingress} is not on the source any more; whoever deployed it there must bring it back")
            }
            (Self::NoIngress { brought_by: Some(tool) }, Side::Target) => {
                format!(
                    "Ingress {ingress} is not on the target; {tool} deploys the source's and must deploy the target's as well"
                )
            }
            (Self::NoIngress { brought_by: None }, Side::Target) => format!(
                "Ingress {ingress} is not on the target; no tool is known to deploy it, and only the stage PublishTarget makes it: create \
                 it again with weight 0, or let everything go back and try again"
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::machine::observed::{ClusterView, IngressFacts};

    fn view(synced: bool, ingress: Option<IngressFacts>) -> ClusterView {
        let ingresses = ingress.into_iter().map(|facts| ("web".to_owned(), facts)).collect();
        ClusterView { synced, ingresses, ..ClusterView::default() }
    }

    fn at(addresses: &[&str]) -> IngressFacts {
        let addresses = addresses.iter().map(ToString::to_string).collect();
        IngressFacts { addresses, ..IngressFacts::default() }
    }

    #[test]
    fn a_cluster_that_was_not_listed_yet_is_not_one_without_an_ingress() {
        let target = |view| Entrance::of(&Observed { target: view, ..Observed::default() }, "web", Side::Target);
        assert_eq!(target(view(false, None)), Entrance::NotSeen);
        assert_eq!(target(view(true, None)), Entrance::NoIngress { brought_by: None });
        assert_eq!(target(view(false, Some(at(&["192.0.2.1"])))), Entrance::At(["192.0.2.1".to_owned()].into()));
    }

    #[test]
    fn a_load_balancer_whose_address_is_gone_from_the_status_is_asked_where_it_was_until_there_is_another() {
        let at = |addresses: &[&str]| Entrance::At(addresses.iter().map(ToString::to_string).collect());
        let last = Entrance::Last(["192.0.2.1".to_owned()].into());
        assert_eq!(at(&[]).after(&at(&["192.0.2.1"])), last);
        assert_eq!(at(&[]).after(&last).chosen().map(String::as_str), Some("192.0.2.1"));
        assert_eq!(at(&["192.0.2.9"]).after(&last), at(&["192.0.2.9"]));
        assert_eq!(at(&[]).after(&at(&[])), at(&[]));
        // One that was made anew has never been anywhere.
        assert_eq!(at(&[]).after(&Entrance::NoIngress { brought_by: None }), at(&[]));
        assert_eq!(Entrance::NoIngress { brought_by: None }.after(&last), Entrance::NoIngress { brought_by: None });
    }

    #[test]
    fn a_missing_ingress_is_told_with_who_would_bring_it_and_not_as_a_missing_address() {
        let told = |deployed_by: Option<&str>, target, side| {
            let source = IngressFacts { deployed_by: deployed_by.map(str::to_owned), ..at(&["192.0.2.1"]) };
            let observed = Observed { source: view(true, Some(source)), target, ..Observed::default() };
            Entrance::of(&observed, "web", side).trouble("web", side)
        };
        let missing = || view(true, None);
        assert_eq!(
            told(Some("Helm release web"), missing(), Side::Target),
            "Ingress web is not on the target; Helm release web deploys the source's and must deploy the target's as well"
        );
        assert_eq!(
            told(None, missing(), Side::Target),
            "Ingress web is not on the target; no tool is known to deploy it, and only the stage PublishTarget makes it: create it again \
             with weight 0, or let everything go back and try again"
        );
        let bare = view(true, Some(at(&[])));
        assert_eq!(told(None, bare, Side::Target), "Ingress web has no load balancer address on the target");
    }

    #[test]
    fn an_ipv6_address_is_asked_only_when_there_is_no_other() {
        let chosen = |names: &[&str]| Entrance::At(at(names).addresses).chosen().cloned();
        assert_eq!(chosen(&["2a05::1", "3.9.1.1"]).as_deref(), Some("3.9.1.1"));
        assert_eq!(chosen(&["2a05::1", "lb.example"]).as_deref(), Some("lb.example"));
        assert_eq!(chosen(&["2a05::1"]).as_deref(), Some("2a05::1"));
        assert_eq!(chosen(&[]), None);
    }
}
