//! Whose an address is, for limits that are counted by it.

use std::net::{IpAddr, Ipv6Addr};

/// The part of the address space that one subscriber has: an IPv4 address, or the /64 of an IPv6
/// one (RFC 4291, section 2.5.4), of which a single machine may use every address. IPv4 written as
/// IPv6 is IPv4.
///
/// Limits by address count by this; what is shown or believed is the address itself.
#[must_use]
pub fn subscriber(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) if !address.is_loopback() => {
            IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & !u128::from(u64::MAX)))
        }
        address => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_cannot_be_many_by_choosing_among_its_own_addresses() {
        let of = |text: &str| subscriber(text.parse().expect("an address"));
        assert_eq!(of("2001:db8:1:2::1"), of("2001:db8:1:2:ffff:ffff:ffff:ffff"));
        assert_ne!(of("2001:db8:1:2::1"), of("2001:db8:1:3::1"));
        assert_eq!(of("::ffff:10.0.0.1"), of("10.0.0.1"));
        assert_ne!(of("10.0.0.1"), of("10.0.0.2"));
        assert!(of("::1").is_loopback() && of("127.0.0.1").is_loopback());
    }
}
