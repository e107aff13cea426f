//! What is known of a cluster's external-dns: what its Deployment and its metrics tell. What the ClusterPair says of it is in the
//! order; where both speak, the Deployment is nearer to the truth.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};

use super::observed::{IngressFacts, Side};
use super::order::Order;
use super::records::RecordKind;
use super::version::Version;

/// What is known of a cluster's external-dns. Each fact is None where nobody has told.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExternalDnsView {
    /// Its last pass without an error, as its metrics say it, or said it when they could last be read.
    pub last_sync: Option<Timestamp>,
    /// When it last began a pass, with the same reservation.
    pub last_attempt: Option<Timestamp>,
    /// What its metrics say of its errors.
    pub errors: PassErrors,
    /// When the metrics were asked for last.
    pub asked_at: Option<Timestamp>,
    /// Why the metrics could not be read then.
    pub trouble: Option<String>,
    /// Since when they cannot be read.
    pub trouble_since: Option<Timestamp>,
    /// Whether its Deployment has been seen.
    pub deployment: DeploymentSight,
    /// Pods that its Deployment wants.
    pub wanted: Option<i32>,
    /// Ready Pods of its Deployment.
    pub ready: Option<i32>,
    /// Its version.
    pub version: Option<Version>,
    /// Its --policy.
    pub policy: Option<String>,
    /// Its --txt-owner-id.
    pub owner: Option<String>,
    /// Its --annotation-prefix.
    pub annotation_prefix: Option<String>,
    /// Its --txt-prefix.
    pub txt_prefix: Option<String>,
    /// Its --txt-suffix.
    pub txt_suffix: Option<String>,
    /// Its --registry.
    pub registry: Option<String>,
    /// Its --provider.
    pub provider: Option<String>,
    /// Its --interval.
    pub interval: Option<SignedDuration>,
    /// TTL of a plain record of an Ingress that says none: --min-ttl, or what it takes without that.
    pub usual_ttl: Option<SignedDuration>,
    /// Whether it prints changes instead of making them (--dry-run).
    pub dry_run: bool,
    /// Whether it publishes the names of AWS load balancers as CNAME instead of an alias (--aws-prefer-cname).
    pub prefers_cname: Option<bool>,
    /// What it leaves out.
    pub filters: Filters,
}

/// Whether the Deployment that the ClusterPair names has been seen.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DeploymentSight {
    /// The ClusterPair names none.
    #[default]
    NotNamed,
    /// It is being looked for.
    Unread,
    /// It is not there.
    Gone {
        /// Its namespace and name.
        name: String,
    },
    /// It may not be read.
    Refused {
        /// Its namespace and name.
        name: String,
        /// What the API server says.
        why: String,
    },
    /// It has been read.
    Seen {
        /// Its namespace and name.
        name: String,
    },
}

/// What the metrics say of passes that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PassErrors {
    /// Passes in a row that have failed; 0 after one that has not. None before external-dns 0.18.
    pub in_a_row: Option<u64>,
    /// Failures to read or change records, and when one was last seen to be added.
    pub records: Count,
    /// Failures to read the cluster, likewise.
    pub cluster: Count,
}

/// A number that grows, and when it was last seen to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Count {
    /// The number. None where nobody has told it.
    pub number: Option<u64>,
    /// When it was last seen to be higher than before.
    pub grew_at: Option<Timestamp>,
}

/// What an external-dns leaves out. Empty: nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filters {
    /// Its --source: kinds of objects.
    pub sources: BTreeSet<String>,
    /// Its --namespace.
    pub namespace: Option<String>,
    /// Its --ingress-class.
    pub classes: BTreeSet<String>,
    /// Its --domain-filter. Empty where a regular expression decides.
    pub domains: BTreeSet<String>,
    /// Its --exclude-domains, likewise.
    pub excluded_domains: BTreeSet<String>,
    /// Its --zone-id-filter.
    pub zones: BTreeSet<String>,
    /// Its --exclude-record-types.
    pub excluded_kinds: BTreeSet<String>,
    /// Its --managed-record-types, where it names them.
    pub managed_kinds: BTreeSet<String>,
    /// Further filters as they are written: of these it cannot be told what they leave out.
    pub others: Vec<String>,
}

impl ExternalDnsView {
    /// What the Deployment tells beside what the metrics tell. Of the version the Deployment knows more: programs that were built
    /// without one say nothing.
    #[must_use]
    pub fn beside(self, metrics: Self) -> Self {
        Self {
            last_sync: metrics.last_sync,
            last_attempt: metrics.last_attempt,
            errors: metrics.errors,
            asked_at: metrics.asked_at,
            trouble: metrics.trouble,
            trouble_since: metrics.trouble_since,
            version: self.version.or(metrics.version),
            ..self
        }
    }

    /// The kinds of records that it publishes at all: its --managed-record-types without its --exclude-record-types. None where its
    /// arguments are not known.
    /// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/pkg/apis/externaldns/types.go>
    pub fn kinds(&self) -> Option<BTreeSet<RecordKind>> {
        let DeploymentSight::Seen { .. } = self.deployment else { return None };
        let all = [RecordKind::A, RecordKind::Aaaa, RecordKind::Cname].into_iter();
        Some(all.filter(|kind| !self.filters.leave_out_kind(kind.name())).collect())
    }

    /// Whether ownership is noted in TXT records, as far as is known.
    pub fn notes_owners_in_txt(&self) -> bool {
        self.registry.as_deref().is_none_or(|registry| registry == "txt")
    }
}

impl Filters {
    /// Why it leaves out an Ingress of this namespace, or one of its hosts. None as far as can be told.
    pub fn leave_out(&self, namespace: &str, name: &str, ingress: &IngressFacts) -> Option<String> {
        self.leave_out_object(namespace, name, ingress)
            .or_else(|| ingress.hosts.iter().find_map(|host| self.leave_out_host(host)))
    }

    fn leave_out_object(&self, namespace: &str, name: &str, ingress: &IngressFacts) -> Option<String> {
        if !self.sources.is_empty() && !self.sources.contains("ingress") {
            return Some(format!("it reads no Ingresses (--source={})", listed(&self.sources)));
        }
        if let Some(only) = self.namespace.as_ref().filter(|only| *only != namespace) {
            return Some(format!("it reads the namespace {only} alone (--namespace={only})"));
        }
        if self.classes.is_empty() {
            return None;
        }
        let class = ingress.class.as_deref().unwrap_or_default();
        (!self.classes.contains(class)).then(|| {
            let has = if class.is_empty() { "none".to_owned() } else { class.to_owned() };
            format!(
                "it reads Ingresses of the class {}, and that of {name} is {has} (--ingress-class)",
                listed(&self.classes)
            )
        })
    }

    /// Why it leaves a host out.
    /// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/endpoint/domain_filter.go>
    pub fn leave_out_host(&self, host: &str) -> Option<String> {
        let within = |domains: &BTreeSet<String>| domains.iter().any(|domain| is_within(host, domain));
        if within(&self.excluded_domains) {
            return Some(format!("it leaves out {host} (--exclude-domains={})", listed(&self.excluded_domains)));
        }
        let is_out = !self.domains.is_empty() && !within(&self.domains);
        is_out.then(|| format!("{host} is not within {} (--domain-filter)", listed(&self.domains)))
    }

    /// Whether it leaves out records of this kind (A, AAAA, CNAME).
    pub fn leave_out_kind(&self, kind: &str) -> bool {
        self.excluded_kinds.contains(kind) || !(self.managed_kinds.is_empty() || self.managed_kinds.contains(kind))
    }

    /// The filters whose effect cannot be told, as they are written.
    pub fn untold(&self) -> Vec<String> {
        let zones = self.zones.iter().map(|zone| format!("--zone-id-filter={zone}"));
        zones.chain(self.others.iter().cloned()).collect()
    }
}

fn is_within(host: &str, domain: &str) -> bool {
    match domain.strip_prefix('.') {
        Some(_) => host.ends_with(domain),
        None => host == domain || host.strip_suffix(domain).is_some_and(|before| before.ends_with('.')),
    }
}

fn listed(words: &BTreeSet<String>) -> String {
    words.iter().cloned().collect::<Vec<_>>().join(", ")
}

/// The owner id of a side's external-dns, as far as somebody has said it: its Deployment, else the ClusterPair.
pub fn owner<'a>(order: &'a Order, view: &'a ExternalDnsView, side: Side) -> Option<&'a String> {
    view.owner.as_ref().or(order.rules(side).owner_id.as_ref())
}

/// The --policy of a side's external-dns, likewise.
pub fn policy<'a>(order: &'a Order, view: &'a ExternalDnsView, side: Side) -> Option<&'a String> {
    view.policy.as_ref().or(order.rules(side).policy.as_ref())
}

/// The kinds of records that a side's external-dns publishes at all, likewise.
pub fn kinds(order: &Order, view: &ExternalDnsView, side: Side) -> Option<BTreeSet<RecordKind>> {
    view.kinds().or_else(|| order.rules(side).record_kinds.clone())
}

/// What helps where both have one owner id. Another id for the source's would leave its records to nobody.
pub fn one_owner_fix(pair: &str) -> String {
    format!(
        "Give the target's external-dns a --txt-owner-id of its own, and say both in spec.source.externalDNS.ownerID and \
         spec.target.externalDNS.ownerID of ClusterPair {pair}."
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(words: &[&str]) -> BTreeSet<String> {
        words.iter().map(ToString::to_string).collect()
    }

    fn ingress(class: &str, host: &str) -> IngressFacts {
        IngressFacts { class: Some(class.to_owned()), hosts: set(&[host]), ..IngressFacts::default() }
    }

    #[test]
    fn what_a_filter_leaves_out_is_named_with_the_filter() {
        let none = Filters::default();
        let shop = ingress("nginx", "shop.example.org");
        assert_eq!(none.leave_out("shop", "web", &shop), None);
        let cases = [
            (Filters { sources: set(&["service"]), ..none.clone() }, "--source=service"),
            (Filters { namespace: Some("books".into()), ..none.clone() }, "--namespace=books"),
            (Filters { classes: set(&["internal"]), ..none.clone() }, "that of web is nginx (--ingress-class)"),
            (Filters { domains: set(&["example.com"]), ..none.clone() }, "shop.example.org is not within example.com"),
            (Filters { domains: set(&["op.example.org"]), ..none.clone() }, "is not within op.example.org"),
            (Filters { excluded_domains: set(&["example.org"]), ..none.clone() }, "--exclude-domains=example.org"),
        ];
        for (filters, text) in cases {
            let found = filters.leave_out("shop", "web", &shop).unwrap();
            assert!(found.contains(text), "{found}");
        }
        let passes = Filters {
            sources: set(&["service", "ingress"]),
            namespace: Some("shop".into()),
            classes: set(&["nginx"]),
            domains: set(&[".example.org", "other.example"]),
            excluded_domains: set(&["books.example.org"]),
            ..none
        };
        assert_eq!(passes.leave_out("shop", "web", &shop), None);
    }

    #[test]
    fn what_the_deployment_and_the_metrics_tell_is_put_together() {
        let deployment = ExternalDnsView { ready: Some(1), owner: Some("blue".into()), ..ExternalDnsView::default() };
        let now = Timestamp::UNIX_EPOCH;
        let metrics = ExternalDnsView {
            last_sync: Some(now),
            trouble: Some("refused".into()),
            version: Some(Version::of(0, 22, 0)),
            ..ExternalDnsView::default()
        };
        let both = deployment.beside(metrics);
        assert_eq!((both.ready, both.owner.as_deref(), both.last_sync), (Some(1), Some("blue"), Some(now)));
        assert_eq!((both.trouble.as_deref(), both.version), (Some("refused"), Some(Version::of(0, 22, 0))));
    }
}
