//! The name constraints of a root, and whether they permit a name.

use std::fmt;

use rcgen::{CidrSubnet, GeneralSubtree, NameConstraints};

use crate::names::{Host, SubjectAltName, Subtree, masked};

/// A reserved name that no domain can have (RFC 6761 §6.4).
const NO_DOMAIN: &str = "none.invalid";

/// The names that a root may sign for (RFC 5280 §4.2.1.10).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Constraints {
    /// If the list contains subtrees of one kind (DNS or IP), a name of that kind must be in one of these subtrees.
    pub permitted: Vec<Subtree>,
    /// The subtrees that a name must not be in.
    pub excluded: Vec<Subtree>,
}

impl Constraints {
    /// Permits only `permitted`. A list without addresses would permit every address, so an address family without a
    /// network is excluded as a whole. A list without domains would permit every host name, so a domain that cannot
    /// exist is added.
    pub fn to(mut permitted: Vec<Subtree>) -> Self {
        if !permitted.iter().any(|tree| matches!(tree, Subtree::Domain(_))) {
            permitted.push(Subtree::Domain(NO_DOMAIN.parse().expect("a constant name")));
        }
        permitted.sort();
        permitted.dedup();
        let everything: [Subtree; 2] = ["0.0.0.0", "::"].map(|any| {
            let any = any.parse().expect("a constant address");
            Subtree::Network(any, 0)
        });
        // IPv4 and IPv6 are one kind of name in RFC 5280, so one permitted network excludes all other addresses of
        // both. Not every verifier implements this, so the other family is also excluded explicitly.
        let has = |family: &Subtree| permitted.iter().any(|tree| same_family(tree, family));
        let excluded = everything.into_iter().filter(|family| !has(family)).collect();
        Self { permitted, excluded }
    }

    /// Whether the constraints permit a certificate for `name`.
    pub fn admit(&self, name: &SubjectAltName) -> bool {
        let kind = |tree: &&Subtree| {
            matches!((tree, name), (Subtree::Network(..), SubjectAltName::Host(Host::Ip(_))))
                || matches!(
                    (tree, name),
                    (Subtree::Domain(_), SubjectAltName::Host(Host::Dns(_)) | SubjectAltName::Wildcard(_))
                )
        };
        let mut permitted = self.permitted.iter().filter(kind).peekable();
        let free = permitted.peek().is_none();
        (free || permitted.any(|tree| covers(tree, name)))
            && !self.excluded.iter().any(|tree| covers(tree, name))
    }
}

impl Constraints {
    pub(super) fn to_rcgen(&self) -> NameConstraints {
        let subtrees = |trees: &[Subtree]| trees.iter().map(general_subtree).collect();
        NameConstraints {
            permitted_subtrees: subtrees(&self.permitted),
            excluded_subtrees: subtrees(&self.excluded),
        }
    }
}

fn general_subtree(tree: &Subtree) -> GeneralSubtree {
    match tree {
        Subtree::Domain(name) => GeneralSubtree::DnsName(name.to_string()),
        Subtree::Network(ip, prefix) => GeneralSubtree::IpAddress(CidrSubnet::from_addr_prefix(*ip, *prefix)),
    }
}

impl fmt::Display for Constraints {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.permitted.is_empty() && !self.excluded.is_empty() {
            let excluded: Vec<_> = self.excluded.iter().map(Subtree::to_string).collect();
            return write!(f, "all but {}", excluded.join(", "));
        }
        let permitted: Vec<_> =
            self.permitted.iter().map(Subtree::to_string).filter(|tree| tree != NO_DOMAIN).collect();
        f.write_str(&permitted.join(", "))
    }
}

fn same_family(a: &Subtree, b: &Subtree) -> bool {
    match (a, b) {
        (Subtree::Network(a, _), Subtree::Network(b, _)) => a.is_ipv4() == b.is_ipv4(),
        (Subtree::Domain(_), Subtree::Domain(_)) => true,
        (Subtree::Domain(_), Subtree::Network(..)) | (Subtree::Network(..), Subtree::Domain(_)) => false,
    }
}

fn covers(tree: &Subtree, name: &SubjectAltName) -> bool {
    match (tree, name) {
        (Subtree::Domain(domain), SubjectAltName::Host(Host::Dns(name)) | SubjectAltName::Wildcard(name)) => {
            name.is_within(domain.as_str())
        }
        (Subtree::Network(network, prefix), SubjectAltName::Host(Host::Ip(ip))) => {
            network.is_ipv4() == ip.is_ipv4() && masked(*ip, *prefix) == *network
        }
        (Subtree::Domain(_), SubjectAltName::Host(Host::Ip(_)))
        | (Subtree::Network(..), SubjectAltName::Host(Host::Dns(_)) | SubjectAltName::Wildcard(_)) => false,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn constraints_say_what_they_allow() {
        let lan: Subtree = "lan".parse().unwrap();
        assert_eq!(Constraints::to(vec![lan.clone()]).to_string(), "lan");
        let without = Constraints { permitted: vec![], excluded: vec![lan] };
        assert_eq!(without.to_string(), "all but lan");
        assert!(!without.admit(&"r.lan".parse().unwrap()));
    }
}
