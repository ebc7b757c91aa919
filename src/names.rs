//! Types for the names that a user types. They accept no text that nginx.conf, YAML, htpasswd or a Debian control file
//! could read as syntax. This module does not access files or certificates.

mod environment;
mod hosts;
mod image;
mod repositories;
mod typed;
mod url;
mod username;
mod volume;

pub use environment::{PROJECT_NAME, environment_file, project_name};
pub use hosts::hosts;
pub use image::{Digest, Image, Reference, Repository, Tag};
pub use repositories::{Pattern, Repositories};
pub use typed::Typed;
pub use url::{Upstream, Webhook};
pub use username::Username;
pub use volume::VolumeName;

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use crate::error::Fault;

/// A host name in lower case, without a trailing dot: labels as in RFC 1123 §2.1, at most 253 bytes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DnsName(String);

impl DnsName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Appends `domain`: `a` below `lan` is `a.lan`.
    pub fn below(&self, domain: &DnsName) -> Result<DnsName, Fault> {
        format!("{self}.{domain}").parse()
    }

    /// Whether the name is `domain` or a name below `domain` (RFC 5280 §4.2.1.10).
    pub fn is_within(&self, domain: &str) -> bool {
        self.0.strip_suffix(domain).is_some_and(|rest| rest.is_empty() || rest.ends_with('.'))
    }
}

impl FromStr for DnsName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fault = |why: &str| Err(Fault::new(format!("`{}` is not a host name: {why}", printable(text))));
        if name.is_empty() {
            return fault("it is empty");
        }
        if !name.is_ascii() {
            return fault("it is not ASCII")
                .map_err(|f: Fault| f.hint("write it in its ASCII form, `xn--…`"));
        }
        // RFC 1035 §3.1: 255 octets on the wire, 253 in text.
        if name.len() > 253 {
            return fault("it is longer than 253 characters");
        }
        for label in name.split('.') {
            match label {
                "" => return fault("a label between two dots is empty"),
                l if l.len() > 63 => return fault("a label is longer than 63 characters"),
                l if l.starts_with('-') || l.ends_with('-') => {
                    return fault("a label begins or ends with a hyphen");
                }
                l if !l.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') => {
                    return fault("only letters, digits, hyphens and dots are allowed")
                        .map_err(|fault| more_than_a_host(text).unwrap_or(fault));
                }
                _ => {}
            }
        }
        // Some resolvers read `1.2.3` and `010.0.0.1` as addresses, others as names (RFC 1123 §2.1).
        let last = name.rsplit('.').next().unwrap_or_default();
        if last.bytes().all(|b| b.is_ascii_digit()) || last.starts_with("0x") {
            return fault("its last label is a number, which resolvers read as an IP address");
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The address of a server: a host name or an IP address.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Host {
    Dns(DnsName),
    /// An IPv4 or IPv6 address, without brackets and without a zone.
    Ip(IpAddr),
}

impl FromStr for Host {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match parse_ip(text)? {
            Some(ip) => Ok(Self::Ip(ip)),
            None => text.parse().map(Self::Dns),
        }
    }
}

/// The error for a host with a scheme, port or path, with a hint to leave these out; `None` for any other text.
fn more_than_a_host(text: &str) -> Option<Fault> {
    let (scheme, rest) = text.find("://").map_or(("", text), |at| text.split_at(at + 3));
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if !authority.ends_with(']') => (host, Some(port)),
        Some(_) | None => (authority, None),
    };
    if scheme.is_empty() && path.is_empty() && port.is_none() {
        return None;
    }
    host.parse::<Host>().ok()?;
    let port_text = port.map(|port| format!(":{port}"));
    let extra: Vec<_> = [Some(scheme.to_owned()), port_text, Some(path.to_owned())]
        .into_iter()
        .flatten()
        .filter(|part| !part.is_empty())
        .map(|part| format!("`{}`", printable(&part)))
        .collect();
    let mut hint = format!("leave {} out and write `{}`", extra.join(" and "), printable(host));
    if let Some(port) = port.and_then(|port| port.parse::<u16>().ok()) {
        hint += &format!("; the port is an option of its own: `--https-port {port}`");
    }
    Some(Fault::new(format!("`{}` is more than a host", printable(text))).hint(hint))
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Dns(name) => name.fmt(f),
            Self::Ip(ip) => ip.fmt(f),
        }
    }
}

/// One subject alternative name (RFC 5280 §4.2.1.6) of a server certificate.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubjectAltName {
    /// A host name or an address.
    Host(Host),
    /// `*.` and a name: matches exactly one label (RFC 6125 §6.4.3).
    Wildcard(DnsName),
}

impl FromStr for SubjectAltName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text.strip_prefix("*.") {
            // Clients refuse a wildcard directly below a top-level domain.
            Some(rest) if !rest.trim_end_matches('.').contains('.') => {
                Err(Fault::new(format!("`{}` covers too much: clients accept no such name", printable(text)))
                    .hint("name a domain below it, `*.myhouse.local`"))
            }
            // A matching name has at least one character and a dot before this domain, and at most 253 characters in
            // total.
            Some(rest) if rest.trim_end_matches('.').len() > 251 => Err(Fault::new(format!(
                "`{}` covers nothing: every name below it is longer than 253 characters",
                printable(text)
            ))),
            Some(rest) => rest.parse().map(Self::Wildcard),
            None => text.parse().map(Self::Host),
        }
    }
}

impl fmt::Display for SubjectAltName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Host(host) => host.fmt(f),
            Self::Wildcard(name) => write!(f, "*.{name}"),
        }
    }
}

/// A subtree in the name constraints of a root certificate: a domain with all names below it, or a network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Subtree {
    /// A domain and all names below it, without a leading dot: some verifiers refuse constraints with one.
    Domain(DnsName),
    /// A network: the address, whose host bits are zero, and the prefix length.
    Network(IpAddr, u8),
}

impl Subtree {
    /// The network that contains only this address.
    pub fn address(ip: IpAddr) -> Self {
        Self::Network(ip, width(ip))
    }
}

impl FromStr for Subtree {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let Some((address, prefix)) = text.split_once('/') else {
            return Ok(match text.strip_prefix('.').unwrap_or(text).parse()? {
                Host::Dns(name) => Self::Domain(name),
                Host::Ip(ip) => Self::address(ip),
            });
        };
        let fault = |why: &str| {
            Fault::new(format!("`{}` is not a network: {why}", printable(text)))
                .hint("write it as address/prefix, `192.168.1.0/24`")
        };
        let ip: IpAddr =
            address.parse().map_err(|_| fault("what stands before the slash is no IP address"))?;
        let prefix: u8 = prefix.parse().map_err(|_| fault("the prefix length is no number"))?;
        if prefix > width(ip) {
            return Err(fault("the prefix length is too large"));
        }
        if masked(ip, prefix) != ip {
            let network = masked(ip, prefix);
            return Err(
                fault("bits are set behind the prefix").hint(format!("did you mean `{network}/{prefix}`?"))
            );
        }
        Ok(Self::Network(ip, prefix))
    }
}

impl fmt::Display for Subtree {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Domain(name) => name.fmt(f),
            Self::Network(ip, prefix) if *prefix == width(*ip) => ip.fmt(f),
            Self::Network(ip, prefix) => write!(f, "{ip}/{prefix}"),
        }
    }
}

/// Clears all bits of `address` except the first `prefix` bits.
pub fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    let shift = u32::from(width(address) - prefix);
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(shift).unwrap_or(0)).into()),
        IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(shift).unwrap_or(0)).into()),
    }
}

fn width(ip: IpAddr) -> u8 {
    match ip {
        IpAddr::V4(_) => 32,
        IpAddr::V6(_) => 128,
    }
}

/// Parses an IP address; `None` if the text is not an address. Fails for an address that no server can have.
fn parse_ip(text: &str) -> Result<Option<IpAddr>, Fault> {
    let bare = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')).unwrap_or(text);
    if bare.contains(':') && bare.contains('%') {
        return Err(Fault::new(format!("`{}` names a zone", printable(text)))
            .hint("a certificate cannot cover a link-local address with a zone: use a routable address"));
    }
    let Ok(ip) = bare.parse::<IpAddr>() else {
        return Ok(None);
    };
    if ip.is_unspecified() || ip.is_multicast() {
        return Err(Fault::new(format!("`{ip}` is no address a server can be reached at")));
    }
    Ok(Some(ip))
}

/// A container image reference that `docker pull` accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ImageRef(String);

impl FromStr for ImageRef {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"._/:@-".contains(&b);
        let edge = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
        let bytes = text.as_bytes();
        // The name, the tag and the digest each have a maximum length (github.com/distribution/reference).
        let (name, digest) = text.split_once('@').unwrap_or((text, ""));
        let tag_at = name.rfind(':').filter(|at| !name[*at..].contains('/')).unwrap_or(name.len());
        let (name, tag) = name.split_at(tag_at);
        let short = name.len() <= 255 && tag.len() <= 1 + 128 && digest.len() <= "sha512:".len() + 128;
        if short && bytes.iter().all(|b| fine(*b)) && edge(bytes.first()) && edge(bytes.last()) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{}` is not an image reference", printable(text)))
            .hint("write it as `docker pull` takes it, `registry:3` or `mirror.lan/nginx@sha256:…`"))
    }
}

impl ImageRef {
    /// The last part of the name, without tag and digest.
    pub fn name(&self) -> &str {
        let image = self.0.split('@').next().unwrap_or_default();
        let last = image.rsplit('/').next().unwrap_or_default();
        last.split(':').next().unwrap_or_default()
    }

    fn tag(&self) -> Option<&str> {
        let image = self.0.split('@').next().unwrap_or_default();
        image.rsplit('/').next()?.split_once(':').map(|(_, tag)| tag)
    }

    /// Whether the tag names a registry version from 3.0.0 to 3.1.0, in which every user can delete tags even if
    /// deletion is disabled (CVE-2026-41888).
    pub fn deletes_tags_for_all(&self) -> bool {
        let Some(version) = self.tag().filter(|_| self.name() == "registry") else {
            return false;
        };
        let number = version.split(['-', '_']).next().unwrap_or_default();
        number == "3.0" || number.starts_with("3.0.") || number == "3.1.0"
    }
}

impl fmt::Display for ImageRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The maximum length of a name that is used unchanged in file names, in bytes. The longest file name,
/// `root-cert-NAME-2026.11.20-1-any.pkg.tar.zst`, adds 39 bytes. eCryptfs allows 143 bytes, other file systems 255.
const STEM_MAX: usize = 100;

/// Shortens a long name for use in a file name. The short name ends in eight digits of the long name's SHA-256.
pub fn short(name: &str) -> String {
    if name.len() <= STEM_MAX {
        return name.to_owned();
    }
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, name.as_bytes());
    let digits: String = digest.as_ref()[..4].iter().map(|byte| format!("{byte:02x}")).collect();
    // A name is ASCII, so it can be cut at any byte. A dot or hyphen at the cut is removed, because a hyphen follows.
    let kept = name[..STEM_MAX - 9].trim_end_matches(['.', '-']);
    format!("{kept}-{digits}")
}

/// Converts a domain or address for use in a file name: the colons of an IPv6 address become hyphens.
pub fn file_stem(label: &str) -> String {
    short(&label.replace(':', "-"))
}

/// Quotes `text` as one shell word, if necessary.
pub fn shell(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "/._-+:@,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// Whether a character controls a terminal or is invisible: control characters, and characters that change the
/// direction of text or have no width (Unicode UAX #9; Trojan Source, CVE-2021-42574).
pub fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}')
        || matches!(c, '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

/// Makes `text` safe to print on a terminal: escapes line breaks and hidden characters as `\uXXXX`, so JSON stays
/// valid.
pub fn visible(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_hidden(c) {
            c.encode_utf16(&mut [0; 2]).iter().for_each(|unit| out += &format!("\\u{unit:04x}"));
        } else {
            out.push(c);
        }
    }
    out
}

/// Prepares `text` for a message: escapes control and invisible characters, and cuts the text after 80 characters.
pub fn printable(text: &str) -> String {
    let shown = |c: char| {
        c == '\'' || c == '"' || (c.is_ascii_graphic() && c != '\\') || c == ' ' || c.is_alphanumeric()
    };
    let mut out = String::new();
    for c in text.chars().take(80) {
        if shown(c) { out.push(c) } else { out.extend(c.escape_default()) }
    }
    if text.chars().count() > 80 {
        out.push('…');
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn refused<T: FromStr<Err = Fault>>(text: &str) -> String {
        T::from_str(text).err().map(|fault| fault.message).unwrap_or_else(|| panic!("`{text}` was accepted"))
    }

    #[test]
    fn a_registry_that_deletes_tags_for_all_is_known_by_its_tag() {
        let of = |text: &str| text.parse::<ImageRef>().unwrap().deletes_tags_for_all();
        for text in [
            "registry:3.0.0",
            "registry:3.0",
            "registry:3.1.0",
            "mirror.lan:5000/library/registry:3.0.0-rc.1",
            "registry:3.1.0@sha256:00",
        ] {
            assert!(of(text), "{text}");
        }
        for text in [
            "registry",
            "registry:2",
            "registry:2.8.3",
            "registry:3",
            "registry:3.1",
            "registry:3.1.1",
            "registry:3.10.0",
            "r.lan:3000/other:3.0.0",
        ] {
            assert!(!of(text), "{text}");
        }
    }

    #[test]
    fn host_names_are_lower_case_without_the_final_dot() {
        assert_eq!(
            "Registry1.MyHouse.Local.".parse::<DnsName>().unwrap().as_str(),
            "registry1.myhouse.local"
        );
    }

    #[test]
    fn what_is_no_host_name_is_refused() {
        let long = "a".repeat(64);
        for bad in
            ["", ".", "a..b", "a b", "a;b", "a\nb", "a\"b", "a{{b", "-a", "a-", "my_reg", "a/b", "bücher.de"]
        {
            refused::<DnsName>(bad);
        }
        refused::<DnsName>(&long);
        for bad in ["1.2.3", "010.0.0.1", "256.1.1.1", "a.0x10"] {
            assert!(refused::<Host>(bad).contains("number"), "{bad}");
        }
    }

    #[test]
    fn addresses_are_told_from_names() {
        assert_eq!("[fd00::1]".parse::<Host>().unwrap().to_string(), "fd00::1");
        assert_eq!("192.168.0.12".parse::<Host>().unwrap(), Host::Ip("192.168.0.12".parse().unwrap()));
        assert!(refused::<Host>("fe80::1%eth0").contains("zone"));
        refused::<Host>("0.0.0.0");
    }

    #[test]
    fn a_network_with_host_bits_is_refused_with_the_right_one() {
        let fault = "10.0.0.1/8".parse::<Subtree>().unwrap_err();
        assert_eq!(fault.hint, "did you mean `10.0.0.0/8`?");
        refused::<Subtree>("10.0.0.0/40");
        refused::<Subtree>("10.0.0.0/x");
        assert_eq!("0.0.0.0/0".parse::<Subtree>().unwrap().to_string(), "0.0.0.0/0");
        assert_eq!(".lan".parse::<Subtree>().unwrap().to_string(), "lan");
    }

    #[test]
    fn a_long_name_is_cut_in_file_names_and_stays_unique() {
        let fits = "a".repeat(STEM_MAX);
        assert_eq!(file_stem(&fits), fits);
        let (one, other) = (format!("{}.a", "a.".repeat(125)), format!("{}.b", "a.".repeat(125)));
        assert_eq!(short(&one).len(), STEM_MAX);
        assert_ne!(short(&one), short(&other));
        assert_eq!(file_stem("fd00::1"), "fd00--1");
    }

    #[test]
    fn a_wildcard_leaves_room_for_a_label() {
        let name = |length: usize| format!("*.{}", ["a".repeat(61).as_str(); 5].join(".").split_at(length).0);
        assert!(name(251).parse::<SubjectAltName>().is_ok());
        assert!(refused::<SubjectAltName>(&name(252)).contains("covers nothing"));
    }

    #[test]
    fn an_image_reference_is_as_long_as_docker_takes_it() {
        let (name, tag) = (format!("a.lan/{}", "b".repeat(249)), "t".repeat(128));
        assert!(format!("{name}:{tag}@sha256:{}", "0".repeat(64)).parse::<ImageRef>().is_ok());
        for bad in
            [format!("{name}b:1"), format!("a.lan:5000/b:{tag}t"), format!("a@sha512:{}", "0".repeat(129))]
        {
            refused::<ImageRef>(&bad);
        }
    }

    #[test]
    fn names_within_a_domain() {
        let name: DnsName = "a.myhouse.local".parse().unwrap();
        assert!(name.is_within("myhouse.local") && name.is_within("a.myhouse.local"));
        assert!(!"evilmyhouse.local".parse::<DnsName>().unwrap().is_within("myhouse.local"));
    }

    proptest! {
        #[test]
        fn no_accepted_name_holds_syntax(text in "\\PC{0,40}") {
            let syntax = |s: &str| s.chars().any(|c| " \t\r\n;\"'{}$#\\`<>|&()".contains(c) || c.is_control());
            if let Ok(name) = text.parse::<SubjectAltName>() { prop_assert!(!syntax(&name.to_string())) }
            if let Ok(name) = text.parse::<Username>() { prop_assert!(!syntax(name.as_str()) && !name.as_str().contains(':')) }
            if let Ok(image) = text.parse::<ImageRef>() { prop_assert!(!syntax(&image.to_string())) }
            if let Ok(tree) = text.parse::<Subtree>() { prop_assert!(!syntax(&tree.to_string())) }
        }

        #[test]
        fn names_round_trip(text in "[a-z0-9.*-]{1,20}") {
            if let Ok(name) = text.parse::<SubjectAltName>() { prop_assert_eq!(name.to_string().parse::<SubjectAltName>().unwrap(), name) }
        }
    }
}
