//! The state that a registry keeps between runs, besides its certificates. Contains nothing that a user would edit.

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

/// The content of `.regcert/state.json`.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct State {
    /// The key that signs upload sessions: 64 hexadecimal digits.
    http_secret: Secret,
    /// The SHA-256 of the settings that `init` last applied, without comments.
    applied: String,
    /// The settings last applied; `None` if an older regcert applied them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    applied_settings: Option<String>,
    /// The time of the last change to the roots that clients should trust, in seconds since 1970.
    trust_changed: i64,
    /// The number of changes to the roots, so that each later package has a higher version.
    trust_revision: u32,
    /// The formats of client files that the user asked for, besides those that regcert always writes, by their names
    /// in `trust::FORMATS`.
    #[serde(default)]
    pub formats: BTreeSet<String>,
    /// Every client certificate ever issued.
    #[serde(default)]
    pub clients: Vec<Client>,
    /// The number of CRLs issued so far (RFC 5280 §5.2.3).
    #[serde(default)]
    pub crl_number: u64,
    /// Roles and repository patterns by user name.
    #[serde(default)]
    pub access: Accesses,
    /// The registry's Compose project; `None` for an older registry, whose project and volumes are named after its
    /// directory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub project: Option<ComposeProject>,
    /// The credentials of a mirror for its upstream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) upstream: Option<UpstreamLogin>,
    /// The roots, as PEM, that the registry trusts for upstreams and webhooks besides the roots of its image.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub upstream_roots: String,
    /// The HTTP headers to send to webhooks with each event.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) webhook_headers: Vec<HookHeaders>,
}

/// The Compose project, which names the registry's containers, networks and volumes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ComposeProject {
    /// The project name, which is unique, so that Compose does not confuse projects on the same machine.
    pub name: String,
    /// The absolute path of the directory for which the name was made. A copy of the directory needs another name.
    pub directory: String,
}

impl ComposeProject {
    /// Makes a new name for the registry at `host`, which is readable in `docker ps`. A random suffix makes the name
    /// unique.
    pub fn new(host: &str, directory: &str) -> Self {
        let fits = |c: char| if c.is_ascii_lowercase() || c.is_ascii_digit() { c } else { '-' };
        let host: String = host.chars().take(HOST_MAX).map(fits).collect();
        let name = format!("{}-{}", host.trim_matches('-'), hex(&random::<3>()));
        Self { name, directory: directory.to_owned() }
    }
}

/// The maximum length of the host name in a project name, in characters. Container names add more to the project name.
const HOST_MAX: usize = 40;

/// The record of an issued client certificate.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Client {
    /// The name for which the certificate was issued.
    pub name: String,
    /// The serial number, in lower-case hexadecimal.
    pub serial: String,
    /// The last second of the validity, in seconds since 1970.
    pub until: i64,
    /// The time of the revocation, in seconds since 1970; `None` if the certificate is not revoked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked: Option<i64>,
}

#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Secret(Zeroizing<String>);

impl State {
    /// Replaces the roots for upstreams if `roots` is given; an empty text removes them.
    pub fn trust_upstream(&mut self, roots: Option<String>) {
        if let Some(roots) = roots {
            self.upstream_roots = roots;
        }
    }

    /// Creates the state of a new registry.
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

    /// Parses the output of `to_json`.
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

    pub fn to_json(&self) -> Zeroizing<String> {
        Zeroizing::new(serde_json::to_string_pretty(self).expect("plain fields are JSON") + "\n")
    }

    /// Returns the secret that signs upload sessions.
    pub fn http_secret(&self) -> &str {
        &self.http_secret.0
    }

    /// Whether `settings` are the settings last applied.
    pub fn has_applied(&self, settings: &str) -> bool {
        self.applied == hex(&sha256(settings.as_bytes()))
    }

    /// Returns the settings last applied; `None` if an older regcert applied them.
    pub fn applied_settings(&self) -> Option<&str> {
        self.applied_settings.as_deref()
    }

    /// Records `settings` as the settings last applied.
    pub fn apply(&mut self, settings: &str) {
        self.applied = hex(&sha256(settings.as_bytes()));
        self.applied_settings = Some(settings.to_owned());
    }

    /// Records that the roots that clients should trust have changed.
    pub fn trust_changes(&mut self, now: OffsetDateTime) {
        // Never moves back, even if the clock does: the version of the packages must only rise.
        self.trust_changed = self.trust_changed.max(now.unix_timestamp());
        self.trust_revision += 1;
    }

    /// Computes the version and time of client packages: `2026.11.20`, or `2026.11.20.1` after a change of roots.
    pub fn release(&self) -> Release {
        let at = OffsetDateTime::from_unix_timestamp(self.trust_changed).expect("checked when it was read");
        let date = format!("{:04}.{:02}.{:02}", at.year(), u8::from(at.month()), at.day());
        let version = if self.trust_revision == 0 { date } else { format!("{date}.{}", self.trust_revision) };
        Release { version, at }
    }
}

impl std::fmt::Debug for State {
    /// Prints no secret.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "State({}, {} clients)", self.release().version, self.clients.len())
    }
}
