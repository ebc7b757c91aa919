//! The HTTP headers, such as a token, that the registry sends to a webhook with each event. They are stored with the
//! other secrets, and removed when the webhook's address changes.

use std::fmt;

use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use super::Deployment;
use crate::error::Fault;
use crate::names::{Webhook, printable};

/// HTTP headers. `Debug` does not print them, because they may be secret.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Headers(Vec<(String, Zeroizing<String>)>);

impl Headers {
    /// Parses one `Name: value` per line. Ignores blank lines and lines that begin with `#`.
    pub fn parse(input: &[u8]) -> Result<Self, Fault> {
        let hint = "write one header a line, `Authorization: Bearer …`";
        let text = std::str::from_utf8(input).map_err(|_| Fault::new("it is not UTF-8").hint(hint))?;
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let lines = text.lines().enumerate().map(|(n, line)| (n + 1, line.trim()));
        let mut headers = Vec::new();
        for (n, line) in lines.filter(|(_, line)| !line.is_empty() && !line.starts_with('#')) {
            // The grammar is from RFC 9110 §5.6.2 and §5.5. No message contains the line, because it may hold a token.
            let token = |b: u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b);
            let (name, value) = line
                .split_once(':')
                .map(|(name, value)| (name, value.trim()))
                .filter(|(name, value)| !name.is_empty() && name.bytes().all(token) && !value.is_empty())
                .ok_or_else(|| Fault::new(format!("line {n} is not a header")).hint(hint))?;
            // YAML allows keys of up to 1024 characters, and RFC 9112 §3 recommends that servers accept lines of 8000
            // bytes.
            if name.len() > 128 || value.len() > 8000 {
                return Err(Fault::new(format!("line {n}: the header is too long"))
                    .hint("a name has at most 128 characters, a value 8000"));
            }
            if !value.bytes().all(|b| b == b' ' || b.is_ascii_graphic()) {
                return Err(
                    Fault::new(format!("line {n}: the value of `{name}` is not printable ASCII")).hint(hint)
                );
            }
            if ["host", "content-type", "content-length"].contains(&name.to_ascii_lowercase().as_str()) {
                return Err(
                    Fault::new(format!("line {n}: the registry sets `{name}` itself")).hint("leave it out")
                );
            }
            headers.push((name.to_owned(), Zeroizing::new(value.to_owned())));
        }
        if headers.is_empty() {
            return Err(Fault::new("it holds no header").hint(hint));
        }
        Ok(Self(headers))
    }

    /// Returns each header's name and value.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }
}

impl fmt::Debug for Headers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Headers(…)")
    }
}

/// The headers for one webhook. `webhook` is `NAME=URL`, so the headers apply only to that address.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct HookHeaders {
    webhook: String,
    headers: Headers,
}

impl Deployment {
    /// Stores the headers for the webhook `name`. Fails if there is no such webhook.
    pub fn set_webhook_headers(&mut self, name: &str, headers: Headers) -> Result<(), Fault> {
        let Some(webhook) = self.spec.notify.iter().find(|webhook| webhook.name() == name) else {
            return Err(Fault::new(format!("--notify-headers: there is no webhook `{}`", printable(name)))
                .hint("name one with `--notify NAME=URL`"));
        };
        let webhook = webhook.to_string();
        self.state.webhook_headers.retain(|known| known.webhook != webhook);
        self.state.webhook_headers.push(HookHeaders { webhook, headers });
        Ok(())
    }

    /// Removes the headers of webhooks that were removed or have a new address. Returns the names of these webhooks.
    pub fn forget_webhook_headers(&mut self) -> Vec<String> {
        let webhooks: Vec<_> = self.spec.notify.iter().map(Webhook::to_string).collect();
        let (kept, gone): (Vec<_>, Vec<_>) =
            self.state.webhook_headers.drain(..).partition(|known| webhooks.contains(&known.webhook));
        self.state.webhook_headers = kept;
        let name = |known: &HookHeaders| known.webhook.split('=').next().unwrap_or_default().to_owned();
        gone.iter().map(name).collect()
    }

    /// Returns the headers stored for the webhook, if its address is still the same.
    pub fn webhook_headers(&self, webhook: &Webhook) -> Option<&Headers> {
        let webhook = webhook.to_string();
        self.state.webhook_headers.iter().find(|known| known.webhook == webhook).map(|known| &known.headers)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_header_is_as_long_as_yaml_and_servers_read_it() {
        assert!(Headers::parse(format!("{}: {}", "a".repeat(128), "b".repeat(8000)).as_bytes()).is_ok());
        for long in [format!("{}: b", "a".repeat(129)), format!("a: {}", "b".repeat(8001))] {
            assert!(Headers::parse(long.as_bytes()).unwrap_err().message.contains("too long"));
        }
    }

    #[test]
    fn one_header_a_line() {
        let headers = Headers::parse(b"# for CI\r\nAuthorization: Bearer a:b\r\n\nX-Y:1\n").unwrap();
        assert_eq!(headers.pairs().collect::<Vec<_>>(), [("Authorization", "Bearer a:b"), ("X-Y", "1")]);
        assert_eq!(format!("{headers:?}"), "Headers(…)");
        for bad in [
            &b""[..],
            b"# x",
            b"secret",
            b"a b: secret",
            b"X:",
            b"X: \xc3\xa4",
            b"Host: x",
            b"\xff: x",
            b"X: a\x07b",
        ] {
            let fault = Headers::parse(bad).unwrap_err();
            assert!(!fault.message.contains("secret"), "{fault}");
        }
    }
}
