//! What a registry must remember between runs and cannot read off its certificates. No setting is here, and nothing a
//! person would edit.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};
use time::OffsetDateTime;
use zeroize::Zeroizing;

use super::mirror::UpstreamLogin;
use super::webhooks::HookHeaders;
use crate::auth::Accesses;
use crate::error::Fault;
use crate::pki::{hex, random, sha256};
use crate::trust::Release;

/// `.regcert/state.json`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// Signs upload sessions: 64 hexadecimal digits.
    http_secret: Secret,
    /// Digest of the settings that `init` last applied, comments aside.
    applied: String,
    /// Those settings themselves; `None` where an older regcert applied them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied_settings: Option<String>,
    /// When the set of roots that clients are to trust last changed, in seconds since 1970.
    trust_changed: i64,
    /// How often it changed: packages made later must have a higher version.
    trust_revision: u32,
    /// What is made for clients beside what every registry has, by the names of `trust::FORMATS`.
    #[serde(default)]
    pub formats: BTreeSet<String>,
    /// Every client certificate ever issued.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// CRLs made so far (RFC 5280 §5.2.3).
    #[serde(default)]
    pub crl_number: u64,
    /// What was said of users and what they may do.
    #[serde(default)]
    pub access: Accesses,
    /// The registry's Compose project; `None` for a registry that began under the name of its directory, because its
    /// volumes have that name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ComposeProject>,
    /// How a mirror logs in to its upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<UpstreamLogin>,
    /// Roots that the registry trusts besides those of its image, PEM: of a mirror's upstream and of webhooks.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub upstream_roots: String,
    /// What webhooks are sent besides the event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) webhook_headers: Vec<HookHeaders>,
}

/// What Compose calls the registry's containers, networks and volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeProject {
    /// Unique, so that no other project on the machine is taken for this one.
    pub name: String,
    /// The directory that it was made for, absolute: a copy needs another name.
    pub directory: String,
}

impl ComposeProject {
    /// A new name for the registry at `host`: legible in `docker ps`, and never given twice.
    pub fn new(host: &str, directory: &str) -> Self {
        let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        let host: String = host.chars().take(HOST_MAX).map(fits).collect();
        let name = format!("{}-{}", host.trim_matches('-'), hex(&random::<3>()));
        Self { name, directory: directory.to_owned() }
    }
}

/// A longer host name is cut: container names are the name of the project and more.
const HOST_MAX: usize = 40;

/// A client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// Whom it was made for.
    pub name: String,
    /// Serial number, lower-case hexadecimal.
    pub serial: String,
    /// Its last second, in seconds since 1970.
    pub until: i64,
    /// When it was revoked, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Secret(Zeroizing<String>);

impl State {
    /// Trusts these roots for upstreams from now on, where any are given; an empty text forgets them.
    pub fn trust_upstream(&mut self, roots: Option<String>) {
        if let Some(roots) = roots {
            self.upstream_roots = roots;
        }
    }

    /// For a new registry.
    pub fn new(now: OffsetDateTime) -> Self {
        let http_secret = Secret(Zeroizing::new(hex(&random::<32>())));
        Self {
            applied: String::new(),
            applied_settings: None,
            http_secret,
            trust_changed: now.unix_timestamp(),
            trust_revision: 0,
            formats: BTreeSet::new(),
            clients: Vec::new(),
            crl_number: 0,
            access: Accesses::default(),
            project: None,
            upstream: None,
            upstream_roots: String::new(),
            webhook_headers: Vec::new(),
        }
    }

    /// Reads what `to_json` wrote.
    pub fn from_json(text: &str) -> Result<Self, Fault> {
        let damaged =
            |why: String| Fault::new(format!("it is damaged: {why}")).hint("bring it back from a backup");
        let state: Self = serde_json::from_str(text).map_err(|e| damaged(e.to_string()))?;
        if state.http_secret.0.len() != 64 || !state.http_secret.0.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(damaged("`http_secret` is not 64 hexadecimal digits".into()));
        }
        if OffsetDateTime::from_unix_timestamp(state.trust_changed).is_err() {
            return Err(damaged("`trust_changed` is no time".into()));
        }
        Ok(state)
    }

    /// The file.
    pub fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string_pretty(self).expect("plain fields are JSON") + "\n")
    }

    /// The secret that signs upload sessions.
    pub fn http_secret(&self) -> &str {
        &self.http_secret.0
    }

    /// Whether these settings are the ones last applied.
    pub fn has_applied(&self, settings: &str) -> bool {
        self.applied == hex(&sha256(settings.as_bytes()))
    }

    /// The settings last applied; `None` where an older regcert did.
    pub fn applied_settings(&self) -> Option<&str> {
        self.applied_settings.as_deref()
    }

    /// Notes the settings that are applied.
    pub fn apply(&mut self, settings: &str) {
        self.applied = hex(&sha256(settings.as_bytes()));
        self.applied_settings = Some(settings.to_owned());
    }

    /// Notes that clients are to trust other roots from now on.
    pub fn trust_changes(&mut self, now: OffsetDateTime) {
        // Never back, whatever the clock says: a package's version only rises.
        self.trust_changed = self.trust_changed.max(now.unix_timestamp());
        self.trust_revision += 1;
    }

    /// What is packed for clients: `2026.11.20`, and after a change of roots `2026.11.20.1`.
    pub fn release(&self) -> Release {
        let at = OffsetDateTime::from_unix_timestamp(self.trust_changed).expect("checked when it was read");
        let date = format!("{:04}.{:02}.{:02}", at.year(), u8::from(at.month()), at.day());
        let version = if self.trust_revision == 0 { date } else { format!("{date}.{}", self.trust_revision) };
        Release { version, at }
    }
}

impl std::fmt::Debug for State {
    /// Never the secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({}, {} clients)", self.release().version, self.clients.len())
    }
}
