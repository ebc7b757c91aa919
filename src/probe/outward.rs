//! The proxy through which a container connects to other machines, chosen from its environment by the rules of Go's
//! HTTP client (golang.org/x/net/http/httpproxy), because the registry is written in Go. No input or output.

use std::fmt;
use std::net::IpAddr;

use crate::names::{Host, Subtree, Upstream, masked};

/// The proxies in the environment of a container. An address may contain a password.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outward {
    https: String,
    http: String,
    /// The entries of NO_PROXY in lower case: the hosts that are reached directly.
    none: Vec<String>,
}

impl fmt::Debug for Outward {
    /// Leaves out the proxies, because they may contain a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outward").field("none", &self.none).finish_non_exhaustive()
    }
}

/// The proxy for requests to one registry.
#[derive(Clone, PartialEq, Eq)]
pub struct Proxy(String);

impl Outward {
    /// Reads the proxies from `NAME=VALUE` lines.
    pub(super) fn of(environment: &[String]) -> Self {
        let value = |name: &str| {
            let value = |name: &str| {
                environment.iter().rev().find_map(|line| line.strip_prefix(name)?.strip_prefix('='))
            };
            let set = value(name).filter(|value| !value.is_empty());
            set.or_else(|| value(&name.to_ascii_lowercase())).unwrap_or_default()
        };
        let none = value("NO_PROXY").to_ascii_lowercase();
        Self {
            https: value("HTTPS_PROXY").to_owned(),
            http: value("HTTP_PROXY").to_owned(),
            none: none.split(',').map(|entry| entry.trim().to_owned()).collect(),
        }
    }

    /// The proxy for requests to `upstream`; `None` for a direct connection.
    pub fn to(&self, upstream: &Upstream) -> Option<Proxy> {
        let proxy = if upstream.is_in_clear() { &self.http } else { &self.https };
        let port = upstream.port();
        let is_direct = match upstream.host() {
            Host::Ip(ip) => ip.is_loopback() || self.none.iter().any(|entry| is_address(entry, *ip, port)),
            Host::Dns(name) => {
                name.as_str() == "localhost"
                    || self.none.iter().any(|entry| is_name(entry, name.as_str(), port))
            }
        };
        (!proxy.is_empty() && !is_direct).then(|| Proxy(proxy.clone()))
    }
}

impl Proxy {
    /// The address of the proxy, with the password that it may contain.
    pub(super) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether clients use HTTP to talk to the proxy.
    pub fn speaks_http(&self) -> bool {
        self.0.split_once("://").is_none_or(|(scheme, _)| ["http", "https"].contains(&scheme))
    }
}

impl fmt::Display for Proxy {
    /// Prints the address without user and password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, rest) = self.0.split_once("://").unwrap_or(("http", &self.0));
        let authority = rest.split('/').next().unwrap_or_default();
        let host = authority.rsplit('@').next().unwrap_or_default();
        write!(f, "{scheme}://{}", crate::names::printable(host))
    }
}

impl fmt::Debug for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Proxy({self})")
    }
}

/// Removes the port from an entry of NO_PROXY; `None` if the entry is for another port.
fn for_port(entry: &str, port: u16) -> Option<&str> {
    match entry.rsplit_once(':') {
        Some((host, of)) if !host.contains(':') || host.ends_with(']') => {
            (of.parse() == Ok(port)).then_some(host)
        }
        Some(_) | None => Some(entry),
    }
}

fn is_address(entry: &str, ip: IpAddr, port: u16) -> bool {
    if entry == "*" {
        return true;
    }
    if let (true, Ok(Subtree::Network(network, prefix))) = (entry.contains('/'), entry.parse()) {
        return network.is_ipv4() == ip.is_ipv4() && masked(ip, prefix) == masked(network, prefix);
    }
    let own = for_port(entry, port).map(|entry| entry.trim_matches(['[', ']']).parse());
    own == Some(Ok(ip))
}

/// Whether `entry` matches `name`: `lan` matches `lan` and all names below it, `.lan` and `*.lan` only the names
/// below.
fn is_name(entry: &str, name: &str, port: u16) -> bool {
    let Some(entry) = for_port(entry, port).filter(|entry| !entry.is_empty()) else {
        return false;
    };
    let name = name.to_ascii_lowercase();
    match entry.strip_prefix('*').unwrap_or(entry) {
        "" => true,
        below if below.starts_with('.') => name.ends_with(below),
        whole => name == whole || name.strip_suffix(whole).is_some_and(|before| before.ends_with('.')),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn to(environment: &[&str], upstream: &str) -> Option<String> {
        let environment: Vec<_> = environment.iter().map(|line| (*line).to_owned()).collect();
        Outward::of(&environment).to(&upstream.parse().unwrap()).map(|proxy| proxy.expose().to_owned())
    }

    #[test]
    fn the_environment_names_the_proxy() {
        let proxy = Some("http://p.lan:3128".to_owned());
        let (secure, clear) = ("https://hub.example.org", "http://hub.example.org");
        assert_eq!(to(&[], secure), None);
        assert_eq!(to(&["HTTPS_PROXY=http://p.lan:3128"], secure), proxy);
        assert_eq!(to(&["HTTPS_PROXY=http://p.lan:3128"], clear), None);
        assert_eq!(to(&["HTTPS_PROXY=", "https_proxy=http://p.lan:3128"], secure), proxy);
        assert_eq!(to(&["http_proxy=http://p.lan:3128"], clear), proxy);
        assert_eq!(to(&["HTTPS_PROXY=http://p.lan:3128"], "https://localhost:5000"), None);
        assert_eq!(to(&["HTTPS_PROXY=http://p.lan:3128"], "https://127.0.0.2"), None);
    }

    #[test]
    fn some_hosts_have_none() {
        for (none, upstream, direct) in [
            ("*", "https://hub.lan", true),
            ("*", "https://10.0.0.1", true),
            ("lan", "https://hub.lan", true),
            ("a.lan, HUB.lan", "https://hub.lan", true),
            (".hub.lan", "https://hub.lan", false),
            (".hub.lan", "https://x.hub.lan", true),
            ("*.hub.lan", "https://x.hub.lan", true),
            ("ub.lan", "https://hub.lan", false),
            ("hub.lan:5000", "https://hub.lan", false),
            ("hub.lan:5000", "https://hub.lan:5000", true),
            ("hub.lan:443", "https://hub.lan", true),
            ("10.0.0.0/8", "https://10.1.2.3:5000", true),
            ("10.0.0.0/8", "https://11.1.2.3", false),
            ("10.1.2.3:5000", "https://10.1.2.3:5000", true),
            ("10.1.2.3:5000", "https://10.1.2.3", false),
            ("fd00::/8", "https://[fd00::1]", true),
            ("[fd00::1]:443", "https://[fd00::1]", true),
            ("fd00::1", "https://[fd00::2]", false),
            ("", "https://hub.lan", false),
        ] {
            let found = to(&["HTTPS_PROXY=http://p.lan:3128", &format!("NO_PROXY={none}")], upstream);
            assert_eq!(found.is_none(), direct, "{none} {upstream}");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        let proxy = Proxy("http://me:p4ss@p.lan:3128/".to_owned());
        assert_eq!((proxy.to_string().as_str(), proxy.speaks_http()), ("http://p.lan:3128", true));
        assert_eq!(Proxy("p.lan".to_owned()).to_string(), "http://p.lan");
        assert!(!Proxy("socks5://p.lan".to_owned()).speaks_http());
        let outward = Outward::of(&["HTTPS_PROXY=http://me:p4ss@p.lan".to_owned()]);
        assert!(!format!("{outward:?} {proxy:?}").contains("p4ss"));
    }
}
