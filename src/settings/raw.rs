//! Settings as text, from regcert.toml or from options, and the checks that turn each into a value.

use std::str::FromStr;

use serde::{Deserialize, Deserializer};

use super::{DAYS_ADVISED, DAYS_MAX, DEFAULT_DOMAIN};
use crate::error::{Fault, Gather};
use crate::names::{DnsName, Host, Repositories, Webhook, is_hidden, printable};

/// Settings as they were typed, from whichever side; nothing checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct RawSettings {
    /// The registry's own name: a label, a full name or an address.
    pub server: Option<String>,
    /// The domain it is in.
    pub domain: Option<String>,
    /// More names and addresses it is reached by.
    pub sans: Option<Vec<String>>,
    /// See [`KeyType`].
    pub key_type: Option<String>,
    /// How long a server certificate is good for, in days.
    #[serde(deserialize_with = "number")]
    pub days: Option<String>,
    /// See [`Subject`].
    pub country: Option<String>,
    /// See [`Subject`].
    pub state: Option<String>,
    /// See [`Subject`].
    pub locality: Option<String>,
    /// See [`Subject`].
    pub company: Option<String>,
    /// See [`Subject`].
    pub unit: Option<String>,
    /// See [`Subject`].
    pub email: Option<String>,
    /// See [`Proxy`].
    pub proxy: Option<String>,
    /// See [`super::ClientAuth`].
    pub client_auth: Option<String>,
    /// See [`super::BlobsBy`].
    pub blobs_by: Option<String>,
    /// See [`super::Delete`].
    pub delete: Option<String>,
    /// The port that asks for no password; 0 for none.
    #[serde(deserialize_with = "number")]
    pub anonymous_port: Option<String>,
    /// What can be pulled there. See [`crate::names::Repositories`].
    pub anonymous_repos: Option<Vec<String>>,
    /// See [`super::Signer`].
    pub authority: Option<String>,
    /// The port for people who type no `https://`.
    #[serde(deserialize_with = "number")]
    pub http_port: Option<String>,
    /// The port of the registry.
    #[serde(deserialize_with = "number")]
    pub https_port: Option<String>,
    /// See [`Data`].
    pub data: Option<String>,
    /// See [`RunAs`].
    pub run_as: Option<String>,
    /// The registry's image.
    pub registry_image: Option<String>,
    /// nginx's image.
    pub nginx_image: Option<String>,
    /// See [`crate::names::Upstream`].
    pub mirror_of: Option<String>,
    /// See [`crate::names::Webhook`].
    pub notify: Option<Vec<String>>,
    /// The port for Prometheus on this machine; 0 for none.
    #[serde(deserialize_with = "number")]
    pub metrics_port: Option<String>,
}

/// A number in TOML is text here, so that both sides are parsed alike.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    i64::deserialize(deserializer).map(|number| Some(number.to_string()))
}

/// Key in regcert.toml, option of `init`.
const KEYS: [(&str, &str); 27] = [
    ("server", "--registry-server-name"),
    ("domain", "--cert-domain"),
    ("sans", "--san"),
    ("key-type", "--key-type"),
    ("days", "--days"),
    ("country", "--cert-country-code"),
    ("state", "--cert-state-prov"),
    ("locality", "--cert-locality"),
    ("company", "--cert-company"),
    ("unit", "--cert-unit"),
    ("email", "--cert-email"),
    ("authority", "--external-ca"),
    ("proxy", "--proxy"),
    ("client-auth", "--client-auth"),
    ("blobs-by", "--blobs-by"),
    ("delete", "--delete"),
    ("anonymous-port", "--anonymous-port"),
    ("anonymous-repos", "--anonymous-repo"),
    ("http-port", "--http-port"),
    ("https-port", "--https-port"),
    ("data", "--data"),
    ("run-as", "--run-as"),
    ("registry-image", "--registry-image"),
    ("nginx-image", "--nginx-image"),
    ("mirror-of", "--mirror-of"),
    ("notify", "--notify"),
    ("metrics-port", "--metrics-port"),
];

/// Where settings were typed, for the name a fault is reported under.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// regcert.toml.
    File,
    /// The command line.
    Options,
}

impl Side {
    fn name(self, key: &str) -> String {
        match self {
            Self::File => format!("regcert.toml, `{key}`"),
            Self::Options => {
                KEYS.iter().find(|(known, _)| *known == key).map_or(key, |(_, option)| option).to_owned()
            }
        }
    }
}

impl RawSettings {
    /// `regcert.toml`, unchecked but for its keys.
    pub fn from_toml(text: &str) -> Result<Self, Fault> {
        toml_edit::de::from_str(text).map_err(|e| {
            let hint = format!("the keys are {}", KEYS.map(|(key, _)| format!("`{key}`")).join(", "));
            Fault::new(e.to_string().trim()).hint(hint)
        })
    }

    /// These settings where they are given, `other`'s elsewhere.
    pub fn or(self, other: Self) -> Self {
        Self {
            server: self.server.or(other.server),
            domain: self.domain.or(other.domain),
            sans: self.sans.or(other.sans),
            key_type: self.key_type.or(other.key_type),
            days: self.days.or(other.days),
            country: self.country.or(other.country),
            state: self.state.or(other.state),
            locality: self.locality.or(other.locality),
            company: self.company.or(other.company),
            unit: self.unit.or(other.unit),
            email: self.email.or(other.email),
            proxy: self.proxy.or(other.proxy),
            client_auth: self.client_auth.or(other.client_auth),
            blobs_by: self.blobs_by.or(other.blobs_by),
            delete: self.delete.or(other.delete),
            anonymous_port: self.anonymous_port.or(other.anonymous_port),
            anonymous_repos: self.anonymous_repos.or(other.anonymous_repos),
            authority: self.authority.or(other.authority),
            http_port: self.http_port.or(other.http_port),
            https_port: self.https_port.or(other.https_port),
            data: self.data.or(other.data),
            run_as: self.run_as.or(other.run_as),
            registry_image: self.registry_image.or(other.registry_image),
            nginx_image: self.nginx_image.or(other.nginx_image),
            mirror_of: self.mirror_of.or(other.mirror_of),
            notify: self.notify.or(other.notify),
            metrics_port: self.metrics_port.or(other.metrics_port),
        }
    }
}

/// One side's settings being checked.
pub(super) struct Fields<'a> {
    pub(super) side: Side,
    pub(super) gather: &'a mut Gather,
}

impl Fields<'_> {
    pub(super) fn value<T: FromStr<Err = Fault>>(&mut self, key: &str, text: &str) -> Option<T> {
        self.gather.take(&self.side.name(key), text.parse())
    }

    pub(super) fn parse<T: FromStr<Err = Fault>>(
        &mut self,
        key: &str,
        text: &Option<String>,
        default: &str,
    ) -> Option<T> {
        self.value(key, text.as_deref().unwrap_or(default))
    }

    /// `None`: refused. `Some(None)`: there is none, as with an address.
    pub(super) fn domain(&mut self, text: &Option<String>, server: Option<&Host>) -> Option<Option<DnsName>> {
        let given = text.as_deref().filter(|text| !text.is_empty());
        if server.is_none() {
            // The server's fault is told already; the domain may have one of its own.
            _ = given.map(|domain| self.value::<DnsName>("domain", domain));
        }
        match (server?, given) {
            (Host::Ip(ip), Some(domain)) => {
                let fault = Fault::new(format!(
                    "`{ip}` is an address and is in no domain, not in `{}`",
                    printable(domain)
                ))
                .hint("leave the domain out, or give the server a name");
                self.gather.take::<()>(&self.side.name("domain"), Err(fault));
                None
            }
            (Host::Ip(_), None) => Some(None),
            (Host::Dns(_), Some(domain)) => self.value("domain", domain).map(Some),
            (Host::Dns(name), None) => {
                // A full name brings its domain along.
                let own = name.as_str().split_once('.').map(|(_, domain)| domain);
                self.value("domain", own.unwrap_or(DEFAULT_DOMAIN)).map(Some)
            }
        }
    }

    pub(super) fn port(&mut self, key: &str, text: &Option<String>, default: u16) -> u16 {
        let Some(text) = text else {
            return default;
        };
        let fault = || {
            Fault::new(format!("`{}` is not a port", printable(text)))
                .hint("a port is a number from 1 to 65535")
        };
        let port = text.parse().ok().filter(|port| *port > 0).ok_or_else(fault);
        self.gather.take(&self.side.name(key), port).unwrap_or(default)
    }

    /// `None` where there is to be no such port.
    pub(super) fn optional_port(&mut self, key: &str, text: &Option<String>) -> Option<u16> {
        let given = text.as_ref().filter(|text| !matches!(text.as_str(), "0" | "off"))?;
        Some(self.port(key, &Some(given.clone()), 0)).filter(|port| *port > 0)
    }

    /// `None`: refused. `Some(None)`: there is none, which an empty text says as well.
    pub(super) fn optional<T: FromStr<Err = Fault>>(
        &mut self,
        key: &str,
        text: &Option<String>,
    ) -> Option<Option<T>> {
        match text.as_deref().filter(|text| !text.is_empty()) {
            Some(text) => self.value(key, text).map(Some),
            None => Some(None),
        }
    }

    /// Every repository where none is named.
    pub(super) fn repositories(&mut self, key: &str, texts: &Option<Vec<String>>) -> Repositories {
        let parsed = Repositories::parse(texts.as_deref().unwrap_or_default());
        parsed.unwrap_or_else(|faults| {
            for fault in faults {
                self.gather.take::<()>(&self.side.name(key), Err(fault));
            }
            Repositories::Every
        })
    }

    /// Every webhook, each under a name of its own.
    pub(super) fn webhooks(&mut self, texts: &Option<Vec<String>>) -> Vec<Webhook> {
        let mut webhooks: Vec<Webhook> = Vec::new();
        for text in texts.iter().flatten() {
            let Some(webhook) = self.value::<Webhook>("notify", text) else {
                continue;
            };
            if webhooks.iter().any(|known| known.name() == webhook.name()) {
                let fault = Fault::new(format!("there are two webhooks `{}`", webhook.name()));
                self.gather
                    .take::<()>(&self.side.name("notify"), Err(fault.hint("give each a name of its own")));
            } else {
                webhooks.push(webhook);
            }
        }
        webhooks
    }

    pub(super) fn days(&mut self, text: &Option<String>) -> u16 {
        let Some(text) = text else {
            return 365;
        };
        let days = days(text);
        self.gather.take(&self.side.name("days"), days).unwrap_or(365)
    }

    pub(super) fn country(&mut self, text: &Option<String>) -> Option<String> {
        let text = text.as_deref().unwrap_or("CA");
        if text.is_empty() {
            return None;
        }
        let letters = text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic());
        let fault = || {
            Fault::new(format!("`{}` is not a country code", printable(text)))
                .hint("two letters, as in ISO 3166: `CA`, `DE`")
        };
        self.gather
            .take(&self.side.name("country"), letters.then(|| text.to_ascii_uppercase()).ok_or_else(fault))
    }

    /// `max` from RFC 5280 appendix A.1, in characters.
    pub(super) fn text(
        &mut self,
        key: &str,
        text: &Option<String>,
        default: &str,
        max: usize,
    ) -> Option<String> {
        let text = text.as_deref().unwrap_or(default);
        let fault = |why: String| Err(Fault::new(format!("`{}` {why}", printable(text))));
        let checked = if text.chars().any(is_hidden) {
            fault("holds a control character, or one that is not seen".into())
        } else if text.chars().count() > max {
            fault(format!("is longer than {max} characters, the most a certificate holds"))
        } else {
            Ok(text.trim().to_owned())
        };
        self.gather.take(&self.side.name(key), checked).filter(|text| !text.is_empty())
    }

    pub(super) fn email(&mut self, text: &Option<String>) -> Option<String> {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        let plain = text.bytes().all(|b| b.is_ascii_graphic()) && text.len() <= 255;
        let parts =
            text.split_once('@').filter(|(user, host)| !user.is_empty() && host.parse::<DnsName>().is_ok());
        let fault = || Fault::new(format!("`{}` is not an e-mail address", printable(text)));
        self.gather.take(
            &self.side.name("email"),
            (plain && parts.is_some()).then(|| text.to_owned()).ok_or_else(fault),
        )
    }
}

/// How long a server or client certificate is to last.
pub fn days(text: &str) -> Result<u16, Fault> {
    text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)).ok_or_else(|| {
        Fault::new(format!("`{}` days are not possible for a certificate", printable(text))).hint(format!(
            "1 to {DAYS_MAX}: Apple's systems refuse more, {DAYS_ADVISED} is the most to be advised"
        ))
    })
}
