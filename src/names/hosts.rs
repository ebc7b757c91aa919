//! The names and addresses of `/etc/hosts` (hosts(5)).

use std::net::IpAddr;

/// Pairs of a host name, in lower case, and its address, in the order of the file.
pub fn hosts(text: &str) -> Vec<(String, IpAddr)> {
    let mut hosts = Vec::new();
    for line in text.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_whitespace();
        // Lines whose address has a zone are skipped: no other machine and no container could use such an address.
        let Some(address) = words.next().and_then(|word| word.parse().ok()) else {
            continue;
        };
        hosts.extend(words.map(|name| (name.to_ascii_lowercase(), address)));
    }
    hosts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_an_address_and_its_names() {
        let text = "\u{feff}# comment\r\n10.0.0.1\tHub.lan hub # the hub\r\nfe80::1%lo0 zone\nnonsense x\n::1 hub\n10.0.0.2\n";
        let found: Vec<_> = hosts(text).into_iter().map(|(name, ip)| format!("{name} {ip}")).collect();
        assert_eq!(found, ["hub.lan 10.0.0.1", "hub 10.0.0.1", "hub ::1"]);
    }
}
