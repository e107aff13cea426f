//! PURE. external-dns's rules (0.22): how its ownership records are named and read.

use std::collections::BTreeMap;

use jiff::SignedDuration;

use crate::api::cluster_pair::ExternalDns;
use crate::machine::external_dns::ExternalDnsView;
use crate::machine::records::RecordKind;

/// What stands for the kind of record in `--txt-prefix` and `--txt-suffix`.
const KIND_IN_AFFIX: &str = "%{record_type}";

/// TTL of what it publishes unless an annotation says otherwise; an alias has none of its own.
pub const USUAL_TTL: SignedDuration = SignedDuration::from_secs(300);

/// How one external-dns names its ownership records.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Affixes {
    /// Its `--txt-prefix`.
    pub prefix: String,
    /// Its `--txt-suffix`.
    pub suffix: String,
}

impl Affixes {
    /// As the Deployment has them, or where it does not tell, as the ClusterPair declares them.
    pub fn of(declared: &ExternalDns, seen: &ExternalDnsView) -> Self {
        let told = |seen: &Option<String>, declared: &String| seen.as_ref().unwrap_or(declared).to_lowercase();
        Self {
            prefix: told(&seen.txt_prefix, &declared.txt_prefix),
            suffix: told(&seen.txt_suffix, &declared.txt_suffix),
        }
    }

    /// Name of the TXT record that says who owns the host's record of this kind: `a-shop.example.com` without prefix and suffix.
    ///
    /// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/registry/mapper/mapper.go>
    pub fn ownership_name(&self, host: &str, kind: RecordKind) -> String {
        let word = kind.name().to_lowercase();
        let filled = |affix: &str| affix.replace(KIND_IN_AFFIX, &word);
        let has_word = [&self.prefix, &self.suffix].iter().any(|affix| affix.contains(KIND_IN_AFFIX));
        let (first, rest) = host.split_once('.').map_or((host, None), |(first, rest)| (first, Some(rest)));
        let first = if has_word { first.to_owned() } else { format!("{word}-{first}") };
        let name = format!("{}{first}{}", filled(&self.prefix), filled(&self.suffix));
        rest.map_or_else(|| name.clone(), |rest| format!("{name}.{rest}"))
    }

    /// Names at which the owner of a record may be noted. Before 0.22 the owner of an alias A was noted as if it were a CNAME.
    pub fn ownership_names(&self, host: &str, kind: RecordKind, is_alias: bool) -> Vec<String> {
        let older = (kind == RecordKind::A && is_alias).then_some(RecordKind::Cname);
        [Some(kind), older].into_iter().flatten().map(|kind| self.ownership_name(host, kind)).collect()
    }
}

/// The owner id that an ownership record names. None when it is no such record, or an encrypted one.
///
/// <https://github.com/kubernetes-sigs/external-dns/blob/v0.22.0/endpoint/labels.go>
pub fn owner(text: &str) -> Option<String> {
    let labels: BTreeMap<_, _> = text.trim_matches('"').split(',').filter_map(|label| label.split_once('=')).collect();
    let is_its_own = labels.get("heritage") == Some(&"external-dns");
    labels.get("external-dns/owner").filter(|_| is_its_own).map(|owner| (*owner).to_owned())
}

/// A name in lower case and without the last dot.
pub fn plain_name(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(prefix: &str, suffix: &str, kind: RecordKind) -> String {
        Affixes { prefix: prefix.into(), suffix: suffix.into() }.ownership_name("shop.example.com", kind)
    }

    #[test]
    fn ownership_records_are_named_as_the_mapper_of_external_dns_names_them() {
        for (prefix, suffix, kind, name) in [
            ("", "", RecordKind::A, "a-shop.example.com"),
            ("", "", RecordKind::Aaaa, "aaaa-shop.example.com"),
            ("_external_dns.", "", RecordKind::Cname, "_external_dns.cname-shop.example.com"),
            ("", "-owner", RecordKind::A, "a-shop-owner.example.com"),
            ("%{record_type}.txt.", "", RecordKind::A, "a.txt.shop.example.com"),
            ("", "-%{record_type}-txt", RecordKind::Aaaa, "shop-aaaa-txt.example.com"),
        ] {
            assert_eq!(named(prefix, suffix, kind), name);
        }
    }

    #[test]
    fn the_owner_of_an_alias_is_also_looked_for_where_older_versions_noted_it() {
        let names = |kind, is_alias| Affixes::default().ownership_names("shop.example.com", kind, is_alias);
        assert_eq!(names(RecordKind::A, true), ["a-shop.example.com", "cname-shop.example.com"]);
        assert_eq!(names(RecordKind::A, false), ["a-shop.example.com"]);
        assert_eq!(names(RecordKind::Aaaa, true), ["aaaa-shop.example.com"]);
    }

    #[test]
    fn only_a_record_of_external_dns_names_an_owner() {
        let text = "\"heritage=external-dns,external-dns/owner=live-1,external-dns/resource=ingress/shop/web\"";
        assert_eq!(owner(text).as_deref(), Some("live-1"));
        for other in ["", "\"v=spf1 -all\"", "\"heritage=other,external-dns/owner=x\"", "\"external-dns/owner=x\""] {
            assert_eq!(owner(other), None, "{other}");
        }
    }
}
