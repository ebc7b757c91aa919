//! The URLs of other services that a registry connects to. Their characters are restricted, and they contain no
//! password, because all users of the machine can read the files that contain them.

use std::fmt;
use std::str::FromStr;

use super::{Host, printable};
use crate::error::Fault;

/// The maximum length of a URL: more than a user types, and less than servers must support (RFC 9110 §4.1: 8000).
const LENGTH_MAX: usize = 2000;

/// An `http` or `https` URL without user and without fragment (RFC 3986).
#[derive(Debug, Clone, PartialEq, Eq)]
struct Url {
    scheme: &'static str,
    host: Host,
    port: Option<u16>,
    /// Path and query as typed: empty, or beginning with `/` or `?`.
    path: String,
}

impl Url {
    fn parse(text: &str) -> Result<Self, Fault> {
        let fault = |why: &str| Fault::new(format!("`{}` is not a URL: {why}", shown(text)));
        let lower = text.get(..8).unwrap_or(text).to_ascii_lowercase();
        let scheme = ["https", "http"].into_iter().find(|scheme| lower.starts_with(&format!("{scheme}://")));
        let scheme = scheme.ok_or_else(|| {
            fault("it does not begin with `https://` or `http://`")
                .hint("write it as `https://host[:port]/path`")
        })?;
        if text.len() > LENGTH_MAX {
            return Err(fault("it is longer than 2000 characters"));
        }
        let rest = &text[scheme.len() + 3..];
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        if authority.contains('@') {
            return Err(Fault::new(
                "a URL with a user or a password in it is refused: everybody may read where it is kept",
            )
            .hint("leave out what stands before the `@`"));
        }
        // The characters of RFC 3986 §3.3 and §3.4, except the apostrophe: it ends a string in many languages.
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._~/%:@!$&()*+,;=?".contains(&b);
        if path.contains('#') {
            return Err(fault("it has a fragment, which no server sees"));
        }
        if !path.bytes().all(plain) {
            return Err(fault("its path holds a character that must be written as `%` and two digits"));
        }
        let (host, port) =
            split_port(authority).ok_or_else(|| fault("its port is no number from 1 to 65535"))?;
        Ok(Self { scheme, host: host.parse()?, port, path: path.to_owned() })
    }
}

/// Prepares `text` for a message: removes the user and the password before an `@`.
fn shown(text: &str) -> String {
    let begin = text.find("://").map_or(0, |at| at + 3);
    let end = text[begin..].find('@').map_or(begin, |at| begin + at);
    printable(&format!("{}{}", &text[..begin], &text[end..]))
}

/// Splits an authority into the host and the port, if it has a port; `None` if the port is not a valid number.
fn split_port(authority: &str) -> Option<(&str, Option<u16>)> {
    let after_address = authority.find(']').map_or(0, |at| at + 1);
    match authority[after_address..].split_once(':') {
        None => Some((authority, None)),
        Some((before, port)) => {
            let port = port.parse().ok().filter(|port| *port > 0)?;
            Some((&authority[..after_address + before.len()], Some(port)))
        }
    }
}

impl fmt::Display for Url {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Host::Ip(ip) if ip.is_ipv6() => write!(f, "{}://[{ip}]", self.scheme)?,
            host @ (Host::Ip(_) | Host::Dns(_)) => write!(f, "{}://{host}", self.scheme)?,
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        f.write_str(&self.path)
    }
}

/// The URL of the registry that a mirror fetches from. The URL has no path, because a mirror cannot fetch from a part
/// of a registry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Upstream(Url);

impl Upstream {
    pub fn host(&self) -> &Host {
        &self.0.host
    }

    /// The port in the URL, or the default port of the scheme.
    pub fn port(&self) -> u16 {
        self.0.port.unwrap_or(if self.is_in_clear() { 80 } else { 443 })
    }

    /// Whether the connection is unencrypted, so that others could read a password in a request.
    pub fn is_in_clear(&self) -> bool {
        self.0.scheme == "http"
    }
}

impl FromStr for Upstream {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let mut url = Url::parse(text)?;
        if !matches!(url.path.as_str(), "" | "/") {
            let hint = format!("leave `{}` out", printable(&url.path));
            return Err(
                Fault::new("a mirror fetches from a whole registry, not from a place in one").hint(hint)
            );
        }
        url.path.clear();
        // These hosts belong to Docker Hub, but are not its registry.
        if matches!(url.host.to_string().as_str(), "docker.io" | "index.docker.io" | "hub.docker.com") {
            return Err(Fault::new(format!("`{}` is not the registry of Docker Hub", url.host))
                .hint("write `https://registry-1.docker.io`"));
        }
        Ok(Self(url))
    }
}

impl fmt::Display for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A service that receives an event for each push and pull, written as `NAME=URL`. The name is for the registry's log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Webhook {
    name: String,
    url: Url,
}

impl Webhook {
    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        self.url.to_string()
    }

    pub fn host(&self) -> &Host {
        &self.url.host
    }

    /// The name of the first query parameter whose value is probably a secret, judged by the name.
    pub fn secret_parameter(&self) -> Option<&str> {
        let (_, query) = self.url.path.split_once('?')?;
        let names = query.split(['&', ';']).map(|part| part.split('=').next().unwrap_or_default());
        names.into_iter().find(|name| {
            let words = name.to_ascii_lowercase();
            words.split(|c: char| !c.is_ascii_alphanumeric()).any(|word| {
                SECRETS.iter().any(|secret| word == *secret || (secret.len() > 4 && word.contains(secret)))
            })
        })
    }

    /// Whether a part of the URL may be a secret: at least 20 characters, with digits and letters.
    pub fn has_random_part(&self) -> bool {
        self.url.path.split(|c: char| !c.is_ascii_alphanumeric() && !"-_".contains(c)).any(|part| {
            part.len() >= 20
                && part.bytes().any(|b| b.is_ascii_digit())
                && part.bytes().any(|b| b.is_ascii_alphabetic())
        })
    }
}

/// Words in the names of query parameters that contain a secret.
const SECRETS: [&str; 11] =
    ["token", "secret", "password", "passwd", "apikey", "signature", "pass", "pwd", "auth", "key", "sig"];

impl FromStr for Webhook {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let Some((name, url)) = text.split_once('=').filter(|(name, _)| !name.contains("://")) else {
            return Err(Fault::new(format!("`{}` is not NAME=URL", shown(text)))
                .hint("give it a name for the registry's log, `ci=https://ci.myhouse.local/hook`"));
        };
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
        let begins = name.bytes().next().is_some_and(|b| b.is_ascii_alphanumeric());
        if !begins || name.len() > 64 || !name.bytes().all(plain) {
            return Err(Fault::new(format!("`{}` cannot be the name of a webhook", printable(name)))
                .hint("use letters, digits, `.`, `_` and `-`, at most 64, a letter or digit first"));
        }
        Ok(Self { name: name.to_owned(), url: Url::parse(url)? })
    }
}

impl fmt::Display for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.url)
    }
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
    fn an_address_is_kept_as_typed_but_for_its_host() {
        for (text, kept) in [
            ("a=https://CI.lan/Hook?x=1&y=%20", "a=https://ci.lan/Hook?x=1&y=%20"),
            ("a=HTTP://10.0.0.1:9000", "a=http://10.0.0.1:9000"),
            ("a=http://[FD00::1]:9000/", "a=http://[fd00::1]:9000/"),
            ("a=http://[fd00::1]", "a=http://[fd00::1]"),
        ] {
            assert_eq!(text.parse::<Webhook>().unwrap().to_string(), kept);
        }
        assert_eq!(
            "https://mirror.gcr.io/".parse::<Upstream>().unwrap().to_string(),
            "https://mirror.gcr.io"
        );
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for bad in [
            "",
            "ci",
            "ftp://a.lan",
            "http://",
            "http:///x",
            "http://a b",
            "http://a:0",
            "http://a:x",
            "http://a/#x",
            "http://a/'",
            "http://a/\"",
            "http://a/\n",
            "http://a/ä",
            "http://a/{{",
            "http://[fd00::1",
            "http://a_b",
        ] {
            refused::<Webhook>(&format!("a={bad}"));
            refused::<Upstream>(bad);
        }
        for bad in
            ["http://a.lan", "=http://a.lan", "a b=http://a.lan", "-a=http://a.lan", "http://a.lan/?a=b"]
        {
            refused::<Webhook>(bad);
        }
        assert!(refused::<Upstream>("https://a.lan/team").contains("whole registry"));
        assert!(refused::<Upstream>("https://docker.io").contains("Docker Hub"));
    }

    #[test]
    fn a_secret_in_a_webhook_is_known_by_its_name_or_its_look() {
        let hook = |path: &str| format!("a=https://ci.lan{path}").parse::<Webhook>().unwrap();
        for (path, name) in [
            ("/hook?token=x", "token"),
            ("/hook?a=b&access_token=x", "access_token"),
            ("/hook?api-key=x", "api-key"),
            ("/hook?X-Amz-Signature=x", "X-Amz-Signature"),
            ("/hook?authToken", "authToken"),
            ("?sig=x", "sig"),
        ] {
            assert_eq!(hook(path).secret_parameter(), Some(name), "{path}");
        }
        for path in ["", "/token", "/hook?x=1", "/hook?keyboard=de&project=a", "/hook?design=1"] {
            assert_eq!(hook(path).secret_parameter(), None, "{path}");
        }
        for path in
            ["/T0AAAAAAA/B0BBBBBBB/xoxb2345678901234567890", "/hook?x=3f2504e0-4f89-11d3-9a0c-0305e82c3301"]
        {
            assert!(hook(path).has_random_part(), "{path}");
        }
        assert!(!hook("/generic-webhook-trigger/invoke?job=release-2026").has_random_part());
    }

    #[test]
    fn no_password_is_in_a_message() {
        for text in ["https://me:secret@a.lan", "ftp://me:secret@a.lan", "me:secret@a.lan"] {
            assert!(!refused::<Upstream>(text).contains("secret"), "{text}");
            assert!(!refused::<Webhook>(&format!("a={text}")).contains("secret"), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_is_read_back(text in "a=https?://([a-z]{1,4}|10\\.0\\.0\\.1|\\[fd00::1\\])(:[1-9][0-9]{0,3})?(/[a-z?&=%.~-]{0,9})?") {
            let hook = text.parse::<Webhook>().unwrap();
            prop_assert_eq!(hook.to_string().parse::<Webhook>().unwrap(), hook);
        }

        #[test]
        fn no_accepted_address_holds_syntax(text in "(a=)?https?://[ -~\\PC]{0,20}") {
            let syntax = |s: &str| s.chars().any(|c| " \t\r\n\"'{}#\\`<>|".contains(c) || c.is_control());
            if let Ok(hook) = text.parse::<Webhook>() { prop_assert!(!syntax(&hook.to_string())) }
            if let Ok(upstream) = text.parse::<Upstream>() { prop_assert!(!syntax(&upstream.to_string())) }
        }
    }
}
