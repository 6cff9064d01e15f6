//! Where a login comes from: an address, a network, or a pattern of names.

use std::fmt;
use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::{Glob, Wrong};

/// A test of `rhost`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Remote {
    /// The addresses whose first `prefix` bits are those of `address`.
    Network {
        /// An address, with no bit set past the prefix.
        address: IpAddr,
        /// How many bits count.
        prefix: u8,
    },
    /// Names, in lower case; also compared with the text of an address.
    Name(Glob),
}

impl Remote {
    /// Reads an address, a network in CIDR form, or a pattern.
    pub fn parse(text: &str) -> Result<Remote, Wrong> {
        if let Some((address, prefix)) = text.split_once('/') {
            let wrong = || {
                Wrong::new(
                    format!("`{text}` is no network"),
                    "write \"10.1.0.0/16\" or \"2001:db8::/32\"",
                )
            };
            let address: IpAddr = address.parse().map_err(|_| wrong())?;
            let prefix: u8 = prefix.parse().map_err(|_| wrong())?;
            if prefix > bits(address) {
                return Err(wrong());
            }
            let first = masked(address, prefix);
            if first != address {
                return Err(Wrong::new(
                    format!("`{text}` has bits set past its prefix"),
                    format!("did you mean \"{first}/{prefix}\"?"),
                ));
            }
            return Ok(Remote::network(address, prefix));
        }
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Remote::network(address, bits(address)));
        }
        let numeric = |c: char| c.is_ascii_digit() || c == '.';
        if !text.is_empty() && (text.chars().all(numeric) || text.contains(':')) {
            return Err(Wrong::new(
                format!("`{text}` is no address"),
                "write an address, a network such as \"10.1.0.0/16\", or a pattern of names",
            ));
        }
        Glob::parse(&text.to_ascii_lowercase()).map(Remote::Name)
    }

    /// A network; of IPv4 also where it is written as IPv6 has it (`::ffff:10.0.0.0/104`), since clients are looked at so.
    fn network(address: IpAddr, prefix: u8) -> Remote {
        let canonical = address.to_canonical();
        match prefix.checked_sub(96) {
            Some(prefix) if canonical != address => Remote::Network {
                address: canonical,
                prefix,
            },
            _ => Remote::Network { address, prefix },
        }
    }

    /// Whether a login from `rhost` is meant. A local login (an empty `rhost`) never is.
    pub fn matches(&self, rhost: &str) -> bool {
        match self {
            Remote::Name(glob) => glob.matches(&rhost.to_ascii_lowercase()),
            Remote::Network { address, prefix } => {
                // A link-local address may name its interface.
                let bare = rhost.split_once('%').map_or(rhost, |(bare, _)| bare);
                let Ok(remote) = bare.parse::<IpAddr>() else {
                    return false;
                };
                // An IPv4 client of an IPv6 socket.
                let remote = remote.to_canonical();
                remote.is_ipv4() == address.is_ipv4() && masked(remote, *prefix) == *address
            }
        }
    }

    /// The networks that it is in, itself too; none of a name.
    pub(crate) fn around(&self) -> impl Iterator<Item = Remote> {
        let network = match self {
            Remote::Network { address, prefix } => Some((*address, *prefix)),
            Remote::Name(_) => None,
        };
        network.into_iter().flat_map(|(address, longest)| {
            (0..=longest).map(move |prefix| Remote::Network {
                address: masked(address, prefix),
                prefix,
            })
        })
    }

    /// Whether every login that `other` means is meant by this test too, as far as can be told.
    pub fn covers(&self, other: &Remote) -> bool {
        match (self, other) {
            (
                Remote::Network { address, prefix },
                Remote::Network {
                    address: inner,
                    prefix: longer,
                },
            ) => {
                prefix <= longer
                    && address.is_ipv4() == inner.is_ipv4()
                    && masked(*inner, *prefix) == *address
            }
            (Remote::Name(glob), Remote::Name(inner)) => glob.covers(inner),
            _ => false,
        }
    }
}

fn bits(address: IpAddr) -> u8 {
    match address {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => {
            let shift = 32 - u32::from(prefix.min(32));
            let mask = u32::MAX.checked_shl(shift).unwrap_or(0);
            IpAddr::V4((u32::from(v4) & mask).into())
        }
        IpAddr::V6(v6) => {
            let shift = 128 - u32::from(prefix.min(128));
            let mask = u128::MAX.checked_shl(shift).unwrap_or(0);
            IpAddr::V6((u128::from(v6) & mask).into())
        }
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Remote::Name(glob) => glob.fmt(f),
            Remote::Network { address, prefix } if *prefix == bits(*address) => address.fmt(f),
            Remote::Network { address, prefix } => write!(f, "{address}/{prefix}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(test: &str, rhost: &str) -> bool {
        Remote::parse(test).unwrap().matches(rhost)
    }

    #[test]
    fn networks_and_names_match() {
        assert!(matches("10.1.0.0/16", "10.1.4.22"));
        assert!(!matches("10.1.0.0/16", "10.2.4.22"));
        assert!(matches("10.1.0.0/16", "::ffff:10.1.4.22"));
        // However client and policy write it.
        assert!(matches("::ffff:10.1.0.0/112", "10.1.4.22"));
        assert!(matches("::ffff:10.1.4.22", "::ffff:10.1.4.22"));
        assert!(!matches("::ffff:10.1.0.0/112", "10.2.4.22"));
        assert!(matches("2001:db8::/32", "2001:db8::7"));
        assert!(matches("10.1.4.22/32", "10.1.4.22"));
        assert!(matches("2001:db8::/112", "2001:db8::7"));
        assert!(matches("2001:db8::/32", "2001:db8:1::7"));
        assert!(matches("fe80::/10", "fe80::1%eth0"));
        assert!(matches("0.0.0.0/0", "192.0.2.1"));
        assert!(!matches("0.0.0.0/0", "2001:db8::1"));
        assert!(matches("192.0.2.7", "192.0.2.7"));
        assert!(matches("*.Lab.example", "seat1.lab.EXAMPLE"));
        assert!(!matches("*", ""));
    }

    #[test]
    fn a_network_covers_those_within_it_and_prints_as_it_is_written() {
        let covers = |wide: &str, narrow: &str| {
            let [wide, narrow] = [wide, narrow].map(|text| Remote::parse(text).unwrap());
            wide.covers(&narrow)
        };
        for (wide, narrow) in [
            ("10.0.0.0/8", "10.1.0.0/16"),
            ("10.1.0.0/16", "10.1.0.0/16"),
            ("2001:db8::/32", "2001:db8::7"),
            ("*", "gw-*"),
        ] {
            assert!(covers(wide, narrow), "{wide} {narrow}");
        }
        for (wide, narrow) in [
            ("10.1.0.0/16", "10.0.0.0/8"),
            ("10.0.0.0/16", "10.0.0.0/8"),
            ("10.1.0.0/16", "10.2.0.0/24"),
            ("10.0.0.0/8", "::/16"),
            ("0.0.0.0/0", "2001:db8::7"),
            ("gw-*", "x"),
            ("*", "10.1.0.0/16"),
        ] {
            assert!(!covers(wide, narrow), "{wide} {narrow}");
        }
        for text in ["10.0.0.0/8", "10.1.4.22", "2001:db8::/32", "gw-*"] {
            assert_eq!(Remote::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn what_only_looks_like_an_address_is_refused() {
        for text in [
            "10.1.0.0/33",
            "10.1.0.300",
            "10.1/16",
            "x/8",
            "fe80::g",
            "10.1.4.22/16",
            "",
        ] {
            assert!(Remote::parse(text).is_err(), "{text}");
        }
        let wrong = Remote::parse("10.1.4.22/16").unwrap_err();
        assert_eq!(wrong.label, "did you mean \"10.1.0.0/16\"?");
    }
}
