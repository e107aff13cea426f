//! PURE. Which hosted zone a host is in.

use super::external_dns::plain_name;
use super::trouble::ReadError;

/// A hosted zone of the account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Zone {
    /// Its ID, without `/hostedzone/`.
    pub id: String,
    /// Its name, in lower case and without the last dot.
    pub name: String,
    /// Whether only networks inside AWS see it.
    pub is_private: bool,
}

/// The zone with the longest name that the host ends in, as external-dns chooses it. Users see public zones; a private one
/// counts only where no public one fits.
///
/// # Errors
/// When none fits, or several of one name do: then nobody can know which one is delegated to.
pub fn zone_of<'a>(host: &str, zones: &'a [Zone]) -> Result<&'a Zone, ReadError> {
    let fits = |zone: &&Zone| ends_in(host, &zone.name);
    let best = zones.iter().filter(fits).max_by_key(|zone| (!zone.is_private, zone.name.len()));
    let Some(best) = best else { return Err(ReadError::NoZone { host: host.to_owned(), known: zones.len() }) };
    let twins: Vec<_> = zones
        .iter()
        .filter(|zone| zone.name == best.name && zone.is_private == best.is_private)
        .map(|zone| zone.id.clone())
        .collect();
    if twins.len() > 1 {
        return Err(ReadError::SeveralZones { zone: best.name.clone(), ids: twins.join(", ") });
    }
    Ok(best)
}

fn ends_in(host: &str, zone: &str) -> bool {
    let before = host.strip_suffix(zone);
    !zone.is_empty() && before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
}

/// A name as Route 53 writes it, decoded: `\052.example.com.` is `*.example.com`.
/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DomainNameFormat.html>
pub fn decoded(name: &str) -> String {
    let mut plain = String::with_capacity(name.len());
    let mut rest = name;
    while let Some((before, after)) = rest.split_once('\\') {
        plain.push_str(before);
        let code = after.get(..3).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match code {
            Some(code) => plain.push(char::from(code)),
            None => plain.push('\\'),
        }
        rest = if code.is_some() { &after[3..] } else { after };
    }
    plain.push_str(rest);
    plain_name(&plain)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn zone(id: &str, name: &str, is_private: bool) -> Zone {
        Zone { id: id.into(), name: name.into(), is_private }
    }

    #[test]
    fn the_longest_public_name_wins() {
        let zones = [
            zone("Z1", "example.com", false),
            zone("Z2", "shop.example.com", false),
            zone("Z3", "a.shop.example.com", true),
            zone("Z4", "internal", true),
        ];
        let id = |host| zone_of(host, &zones).map(|zone| zone.id.as_str());
        assert_eq!(id("a.shop.example.com").unwrap(), "Z2");
        assert_eq!(id("shop.example.com").unwrap(), "Z2");
        assert_eq!(id("myshop.example.com").unwrap(), "Z1");
        assert_eq!(id("shop.internal").unwrap(), "Z4");
        assert!(id("shop.example.org").unwrap_err().to_string().contains("shop.example.org"));
    }

    #[test]
    fn two_zones_of_one_name_are_not_guessed_between() {
        let zones = [zone("Z1", "example.com", false), zone("Z2", "example.com", false)];
        let said = zone_of("shop.example.com", &zones).unwrap_err().to_string();
        assert!(said.contains("Z1, Z2") && said.contains("hostedZoneID"), "{said}");
    }

    #[test]
    fn names_are_decoded() {
        assert_eq!(decoded("\\052.Example.com."), "*.example.com");
        assert_eq!(decoded("shop.example.com."), "shop.example.com");
        assert_eq!(decoded("a\\"), "a\\");
    }

    proptest! {
        #[test]
        fn no_name_makes_decoding_panic(name in "\\PC{0,40}") {
            decoded(&name);
        }
    }
}
