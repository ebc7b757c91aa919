//! What a registry is wanted to be: `regcert.toml` and the options of `init`, checked by one and the same code.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

use serde::{Deserialize, Deserializer};
use toml_edit::{DocumentMut, Item, value};

use crate::error::{Fault, Gather};
use crate::names::{DnsName, Host, ImageRef, SubjectAltName, printable};
use crate::pki::{KeyType, Subject};

/// Apple refuses a server certificate that is good for longer, from private authorities too
/// (support.apple.com/103769).
const DAYS_MAX: u16 = 825;

/// Beyond this many days public authorities may not go, and some clients follow them.
pub const DAYS_ADVISED: u16 = 398;

/// Settings as they were typed, from whichever side; nothing checked.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct Settings {
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
}

/// A number in TOML is text here, so that both sides are parsed alike.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    i64::deserialize(deserializer).map(|number| Some(number.to_string()))
}

/// Who stands in front of the registry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Proxy {
    /// nginx ends TLS and checks passwords.
    Nginx,
    /// Nobody: the registry does both itself.
    None,
}

/// Where the images are kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// A directory: `./data` below the output directory, or an absolute path.
    Directory(String),
    /// A volume that Docker manages.
    Volume,
}

/// The user and group that the containers run as and that own what they read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RunAs {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
}

impl RunAs {
    /// The one who runs regcert; for root an id that belongs to nobody on any distribution.
    pub fn invoker(uid: u32, gid: u32) -> Self {
        if uid == 0 { Self { uid: 65532, gid: 65532 } } else { Self { uid, gid } }
    }
}

/// Everything a registry is meant to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// As typed: a label, a full name, or an address.
    pub server: Host,
    /// `None` for an address.
    pub domain: Option<DnsName>,
    /// More names, without those that follow from `server` and `domain`.
    pub sans: Vec<SubjectAltName>,
    /// Kind of the server's key; the root gets the same at its creation.
    pub key_type: KeyType,
    /// How long a server certificate is good for.
    pub days: u16,
    /// Who is behind the certificates.
    pub subject: Subject,
    /// Who stands in front.
    pub proxy: Proxy,
    /// Published for the redirect.
    pub http_port: u16,
    /// Published for the registry.
    pub https_port: u16,
    /// Where images are kept.
    pub data: Data,
    /// Who the containers run as.
    pub run_as: RunAs,
    /// The registry's image.
    pub registry_image: ImageRef,
    /// nginx's image.
    pub nginx_image: ImageRef,
}

/// Key in regcert.toml, option of `init`.
const KEYS: [(&str, &str); 18] = [
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
    ("proxy", "--proxy"),
    ("http-port", "--http-port"),
    ("https-port", "--https-port"),
    ("data", "--data"),
    ("run-as", "--run-as"),
    ("registry-image", "--registry-image"),
    ("nginx-image", "--nginx-image"),
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

impl Settings {
    /// `regcert.toml`, unchecked but for its keys.
    pub fn from_toml(text: &str) -> Result<Self, Fault> {
        toml_edit::de::from_str(text).map_err(|e| {
            let hint = format!("the keys are {}", KEYS.map(|(key, _)| format!("`{key}`")).join(", "));
            Fault::new(format!("regcert.toml cannot be read: {}", e.to_string().trim())).hint(hint)
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
            http_port: self.http_port.or(other.http_port),
            https_port: self.https_port.or(other.https_port),
            data: self.data.or(other.data),
            run_as: self.run_as.or(other.run_as),
            registry_image: self.registry_image.or(other.registry_image),
            nginx_image: self.nginx_image.or(other.nginx_image),
        }
    }
}

impl Spec {
    /// The settings, checked, with the defaults of `gen_config.py` where nothing is said. Every fault goes to `gather`
    /// under the name that `side` gives it.
    pub fn check(settings: &Settings, side: Side, invoker: RunAs, gather: &mut Gather) -> Option<Self> {
        let mut fields = Fields { side, gather };
        let server: Option<Host> = fields.parse("server", &settings.server, "registry");
        let domain = fields.domain(&settings.domain, server.as_ref());
        let sans = settings.sans.iter().flatten().map(|san| fields.value("sans", san)).collect::<Vec<_>>();
        let subject = Subject {
            country: fields.country(&settings.country),
            state: fields.text("state", &settings.state, "ON", 128),
            locality: fields.text("locality", &settings.locality, "", 128),
            company: fields.text("company", &settings.company, "NA", 64),
            unit: fields.text("unit", &settings.unit, "", 64),
            email: fields.email(&settings.email),
        };
        let spec = Self {
            key_type: fields.parse("key-type", &settings.key_type, "p256").unwrap_or_default(),
            days: fields.days(&settings.days),
            subject,
            proxy: fields.parse("proxy", &settings.proxy, "nginx").unwrap_or(Proxy::Nginx),
            http_port: fields.port("http-port", &settings.http_port, 80),
            https_port: fields.port("https-port", &settings.https_port, 443),
            data: fields.parse("data", &settings.data, "./data").unwrap_or(Data::Volume),
            run_as: settings.run_as.as_ref().map_or(Some(invoker), |text| fields.value("run-as", text))?,
            registry_image: fields.parse("registry-image", &settings.registry_image, "registry:3")?,
            nginx_image: fields.parse("nginx-image", &settings.nginx_image, "nginx:stable-alpine")?,
            sans: sans.into_iter().flatten().collect(),
            server: server?,
            domain: domain?,
        };
        if spec.proxy == Proxy::Nginx && spec.http_port == spec.https_port {
            gather.push(Fault::new(format!("port {} is asked for twice", spec.http_port)));
        }
        if let Host::Dns(_) = spec.server
            && let Err(fault) = spec.checked_host()
        {
            gather.push(fault);
        }
        Some(spec)
    }

    /// The name clients use: `<server>.<domain>`, or the address.
    pub fn host(&self) -> Host {
        self.checked_host().expect("`check` refused names that are too long")
    }

    fn checked_host(&self) -> Result<Host, Fault> {
        match (&self.server, &self.domain) {
            (Host::Dns(server), Some(domain)) if !server.is_within(domain.as_str()) => {
                server.below(domain).map(Host::Dns)
            }
            (server @ (Host::Dns(_) | Host::Ip(_)), _) => Ok(server.clone()),
        }
    }

    /// Host and port as they stand in an image reference; 443 is not written.
    pub fn registry(&self) -> String {
        let host = match self.host() {
            Host::Ip(ip) if ip.is_ipv6() => format!("[{ip}]"),
            host @ (Host::Ip(_) | Host::Dns(_)) => host.to_string(),
        };
        if self.https_port == 443 { host } else { format!("{host}:{}", self.https_port) }
    }

    /// Every name the server certificate covers, the one clients use first.
    pub fn names(&self) -> Vec<SubjectAltName> {
        let host = self.host();
        let bare = match (&host, &self.domain) {
            (Host::Dns(name), Some(domain)) => name.as_str().strip_suffix(&format!(".{domain}")),
            (Host::Dns(_) | Host::Ip(_), _) => None,
        };
        let bare = bare.map(|bare| bare.parse().expect("what stands before a domain is a name"));
        let own = [Some(host.clone()), bare].into_iter().flatten().map(SubjectAltName::Host);
        let mut names: Vec<SubjectAltName> = Vec::new();
        for name in own.chain(self.sans.iter().cloned()) {
            if !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }

    /// What the root is the root of: the domain, or the address.
    pub fn label(&self) -> String {
        self.domain.as_ref().map_or_else(|| self.server.to_string(), DnsName::to_string)
    }

    /// `regcert.toml` with this in it: `old` where it is given, with only what differs changed and every comment kept.
    pub fn to_toml(&self, old: Option<&str>) -> Result<String, Fault> {
        let fresh = include_str!("../templates/regcert.toml");
        let mut document: DocumentMut = old
            .unwrap_or(fresh)
            .parse()
            .map_err(|e: toml_edit::TomlError| Fault::new(format!("regcert.toml cannot be read: {e}")))?;
        let subject = &self.subject;
        let texts = [
            ("server", Some(self.server.to_string())),
            ("domain", self.domain.as_ref().map(DnsName::to_string)),
            ("key-type", Some(self.key_type.to_string())),
            ("country", subject.country.clone()),
            ("state", subject.state.clone()),
            ("locality", subject.locality.clone()),
            ("company", subject.company.clone()),
            ("unit", subject.unit.clone()),
            ("email", subject.email.clone()),
            ("proxy", Some(self.proxy.to_string())),
            ("data", Some(self.data.to_string())),
            ("run-as", Some(self.run_as.to_string())),
            ("registry-image", Some(self.registry_image.to_string())),
            ("nginx-image", Some(self.nginx_image.to_string())),
        ];
        for (key, text) in texts {
            // An empty text says "none", where a missing key would say "the default".
            set(&mut document, key, value(text.unwrap_or_default()));
        }
        let numbers = [("days", self.days), ("http-port", self.http_port), ("https-port", self.https_port)];
        for (key, number) in numbers {
            set(&mut document, key, value(i64::from(number)));
        }
        set(
            &mut document,
            "sans",
            value(self.sans.iter().map(ToString::to_string).collect::<toml_edit::Array>()),
        );
        Ok(document.to_string())
    }
}

/// Changes `key` where its value differs, and leaves the comment behind it.
fn set(document: &mut DocumentMut, key: &str, new: Item) {
    let plain = |item: &Item| {
        let mut item = item.clone();
        if let Some(value) = item.as_value_mut() {
            value.decor_mut().clear();
        }
        item.to_string()
    };
    match document.get_mut(key) {
        Some(old) if plain(old) == plain(&new) => {}
        Some(old) => {
            let decor = old.as_value().map(|old| old.decor().clone());
            *old = new;
            if let (Some(value), Some(decor)) = (old.as_value_mut(), decor) {
                *value.decor_mut() = decor;
            }
        }
        None => _ = document.insert(key, new),
    }
}

/// One side's settings being checked.
struct Fields<'a> {
    side: Side,
    gather: &'a mut Gather,
}

impl Fields<'_> {
    fn value<T: FromStr<Err = Fault>>(&mut self, key: &str, text: &str) -> Option<T> {
        self.gather.take(&self.side.name(key), text.parse())
    }

    fn parse<T: FromStr<Err = Fault>>(
        &mut self,
        key: &str,
        text: &Option<String>,
        default: &str,
    ) -> Option<T> {
        self.value(key, text.as_deref().unwrap_or(default))
    }

    /// `None`: refused. `Some(None)`: there is none, as with an address.
    fn domain(&mut self, text: &Option<String>, server: Option<&Host>) -> Option<Option<DnsName>> {
        let given = text.as_deref().filter(|text| !text.is_empty());
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
                self.value("domain", own.unwrap_or("local.priv")).map(Some)
            }
        }
    }

    fn port(&mut self, key: &str, text: &Option<String>, default: u16) -> u16 {
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

    fn days(&mut self, text: &Option<String>) -> u16 {
        let Some(text) = text else {
            return 365;
        };
        let fault = || {
            Fault::new(format!("`{}` days are not possible for a server certificate", printable(text))).hint(
                format!(
                    "1 to {DAYS_MAX}: Apple's systems refuse more, {DAYS_ADVISED} is the most to be advised"
                ),
            )
        };
        let days = text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)).ok_or_else(fault);
        self.gather.take(&self.side.name("days"), days).unwrap_or(365)
    }

    fn country(&mut self, text: &Option<String>) -> Option<String> {
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
    fn text(&mut self, key: &str, text: &Option<String>, default: &str, max: usize) -> Option<String> {
        let text = text.as_deref().unwrap_or(default);
        let fault = |why: String| Err(Fault::new(format!("`{}` {why}", printable(text))));
        let checked = if text.chars().any(|c| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c)) {
            fault("holds a control character".into())
        } else if text.chars().count() > max {
            fault(format!("is longer than {max} characters, the most a certificate holds"))
        } else {
            Ok(text.trim().to_owned())
        };
        self.gather.take(&self.side.name(key), checked).filter(|text| !text.is_empty())
    }

    fn email(&mut self, text: &Option<String>) -> Option<String> {
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

impl FromStr for Proxy {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        match text {
            "nginx" => Ok(Self::Nginx),
            "none" => Ok(Self::None),
            _ => {
                Err(Fault::new(format!("`{}` is no front end", printable(text)))
                    .hint("choose `nginx` or `none`"))
            }
        }
    }
}

impl fmt::Display for Proxy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Nginx => "nginx",
            Self::None => "none",
        })
    }
}

impl FromStr for Data {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let fault =
            |why: &str| Err(Fault::new(format!("`{}` cannot hold the images: {why}", printable(text))));
        match text {
            "volume" => Ok(Self::Volume),
            "" => fault("it is empty"),
            // Compose splits a mount at colons, and neither version lets one be quoted.
            _ if text.contains(':') => fault("a path with a colon cannot be mounted"),
            _ if text.chars().any(|c| c.is_control()) => {
                fault("a path with a control character cannot be mounted")
            }
            "./data" => Ok(Self::Directory(text.to_owned())),
            _ => match std::path::absolute(PathBuf::from(text)).map(PathBuf::into_os_string) {
                Ok(path) => match path.into_string() {
                    Ok(path) if path != "/" => Ok(Self::Directory(path)),
                    Ok(_) => fault("it is the root of the file system"),
                    Err(_) => fault("it is not UTF-8"),
                },
                Err(e) => fault(&e.to_string()),
            },
        }
    }
}

impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Directory(path) => path,
            Self::Volume => "volume",
        })
    }
}

impl FromStr for RunAs {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let ids = text.split_once(':').and_then(|(uid, gid)| Some((uid.parse().ok()?, gid.parse().ok()?)));
        let (uid, gid) = ids.ok_or_else(|| {
            Fault::new(format!("`{}` is no user and group", printable(text)))
                .hint("write numbers, `1000:1000`; `id` shows yours")
        })?;
        Ok(Self { uid, gid })
    }
}

impl fmt::Display for RunAs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.uid, self.gid)
    }
}
