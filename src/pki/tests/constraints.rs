//! Tests of name constraints: regcert and clients must permit the same names.

use proptest::prelude::*;

use super::{NOW, authority_at, issue, p256, subtrees};
use crate::names::{SubjectAltName, Subtree, masked};
use crate::pki::Constraints;

#[test]
fn constraints_leave_no_kind_of_name_open() {
    let admits =
        |permitted: &[&str], name: &str| Constraints::to(subtrees(permitted)).admit(&name.parse().unwrap());
    for (permitted, inside, outside) in [
        (&["lan"][..], &["lan", "a.lan", "*.a.lan"][..], &["a.lane", "alan", "10.0.0.1", "fd00::1"][..]),
        (&["registry"], &["registry"], &["registry2", "10.0.0.1"]),
        (&["10.0.0.0/8"], &["10.0.0.1", "10.255.255.255"], &["11.0.0.0", "lan", "::1", "fd00::1", "*.a.lan"]),
        (&["10.0.0.1"], &["10.0.0.1"], &["10.0.0.2"]),
        (&["fd00::/8"], &["fd12::1"], &["fe80::1", "10.0.0.1", "lan", "::ffff:10.0.0.1"]),
        (
            &["lan", "10.0.0.0/8", "fd00::/8"],
            &["lan", "10.1.1.1", "fd00::1"],
            &["org", "11.0.0.1", "2001:db8::1"],
        ),
        (&[], &[], &["lan", "10.0.0.1", "fd00::1"]),
        (&["0.0.0.0/0"], &["1.2.3.4"], &["::1", "lan"]),
    ] {
        for name in inside {
            assert!(admits(permitted, name), "{permitted:?} must admit {name}");
        }
        for name in outside {
            assert!(!admits(permitted, name), "{permitted:?} must not admit {name}");
        }
    }
}

/// Generates names close to the subtrees of `a_subtree`, so that random cases test the edges.
fn a_name() -> impl Strategy<Value = String> {
    prop_oneof![
        // Clients refuse a wildcard directly below a top-level domain, even if the root permits it.
        3 => "([ab]\\.){0,2}[ab]",
        1 => "\\*\\.([ab]\\.){1,2}[ab]",
        2 => (0u8..4).prop_map(|last| format!("10.0.0.{last}")),
        1 => (0u8..4).prop_map(|last| format!("11.0.0.{last}")),
        2 => (0u8..4).prop_map(|last| format!("fd00::{last:x}")),
        1 => Just("::ffff:10.0.0.1".to_owned()),
    ]
}

fn a_subtree() -> impl Strategy<Value = Subtree> {
    let network = |address: &str, prefix: u8| {
        let address = masked(address.parse().unwrap(), prefix);
        Subtree::Network(address, prefix)
    };
    prop_oneof![
        3 => "([ab]\\.){0,2}[ab]".prop_map(|name| Subtree::Domain(name.parse().unwrap())),
        2 => (0u8..4, prop_oneof![Just(0), Just(8), Just(30), Just(31), Just(32)])
            .prop_map(move |(last, prefix)| network(&format!("10.0.0.{last}"), prefix)),
        2 => (0u8..4, prop_oneof![Just(0), Just(8), Just(126), Just(127), Just(128)])
            .prop_map(move |(last, prefix)| network(&format!("fd00::{last:x}"), prefix)),
    ]
}

proptest! {
    /// regcert refuses exactly the names that a client would refuse.
    #[test]
    fn regcert_and_clients_read_constraints_alike(
        permitted in prop::option::of(prop::collection::vec(a_subtree(), 0..4)),
        name in a_name(),
    ) {
        let root = authority_at(permitted, NOW).unwrap();
        let wanted: SubjectAltName = name.parse().unwrap();
        let issued = issue(&root, &name, p256(), 90);
        prop_assert_eq!(root.refuses(&[wanted]).is_empty(), issued.is_ok(), "{:?}", issued.err());
    }
}
