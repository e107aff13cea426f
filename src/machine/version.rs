//! Versions of external-dns, as far as its behaviour depends on them.

use std::fmt;

/// A version, as `v0.22.0`. What stands behind the third number does not count.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version {
    major: u32,
    minor: u32,
    patch: u32,
}

impl Version {
    /// From here on a record that the provider refuses keeps no other record from being changed, and ends no process.
    /// <https://github.com/kubernetes-sigs/external-dns/commit/e5f7e91c0>
    pub const KEEPS_REFUSALS_APART: Self = Self::of(0, 14, 1);
    /// From here on the name of an AWS load balancer becomes an alias of kind AAAA as well as A.
    /// <https://github.com/kubernetes-sigs/external-dns/pull/5111>
    pub const HAS_AAAA_TWINS: Self = Self::of(0, 16, 0);

    /// A version.
    pub const fn of(major: u32, minor: u32, patch: u32) -> Self {
        Self { major, minor, patch }
    }

    /// Reads a version, with or without its `v`; a third number may be missing, and what follows does not count: `v0.22.0`,
    /// `0.14.2-debian-12-r3`. None when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        let plain = text.strip_prefix('v').unwrap_or(text);
        let plain = plain.split(|letter: char| !letter.is_ascii_digit() && letter != '.').next()?;
        let mut parts = plain.split('.').map(|part| part.parse().ok());
        let (major, minor) = (parts.next()??, parts.next()??);
        Some(Self::of(major, minor, parts.next().flatten().unwrap_or(0)))
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "v{}.{}.{}", self.major, self.minor, self.patch)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared_by_their_three_numbers() {
        let read = |text| Version::parse(text).map(|version| version.to_string());
        assert_eq!(read("v0.14.1"), Some("v0.14.1".into()));
        assert_eq!(read("0.22.0-rc1"), Some("v0.22.0".into()));
        assert_eq!(read("0.14.2-debian-12-r3"), Some("v0.14.2".into()));
        assert_eq!(read("v0.7"), Some("v0.7.0".into()));
        for none in ["", "latest", "v0.x.1", "v1"] {
            assert_eq!(read(none), None, "{none}");
        }
        assert!(Version::of(0, 9, 0) < Version::KEEPS_REFUSALS_APART && Version::of(1, 0, 0) > Version::HAS_AAAA_TWINS);
        assert!(Version::of(0, 14, 1) >= Version::KEEPS_REFUSALS_APART);
    }
}
