//! Missing or damaged parts: whether a command recreates a part, and how the user can recover.

use time::OffsetDateTime;

use super::create::successor;
use super::{Deployment, Issuer, State};
use crate::auth::Access;
use crate::error::Fault;
use crate::files::FileSet;
use crate::names::project_name;
use crate::pki::{Authority, Certificate, Constraints, KeyAtRest, PrivateKey};
use crate::settings::{Proxy, Settings};

use super::files::ENV;
use super::state::ComposeProject;
use super::subtrees;

/// The missing or damaged parts that a command recreates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mends<'a> {
    /// No part: each missing or damaged part is a fault.
    Nothing,
    /// Parts on which nothing outside the directory depends: for `init` and `rotate`.
    Derived {
        /// Whether the settings last applied replace an unreadable regcert.toml.
        force: bool,
    },
    /// The request for an external authority, and the certified server key: for `csr` and `import-cert`.
    Request,
    /// Every part except the root of an external authority, even if data is lost: for `init --accept-loss`.
    Everything {
        /// The time at which the new parts become valid.
        now: OffsetDateTime,
        /// The absolute path of the registry's directory.
        directory: &'a str,
    },
}

/// The kinds of parts of a registry, grouped by the consequences of their loss.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// The server's key and certificate, signed by regcert's own authority.
    Server,
    /// The server's key and certificate, signed by an external authority.
    SignedServer,
    /// A copy of data that is in another file.
    Copied,
    /// The list of revoked client certificates, which regcert can sign again.
    Revoked,
    /// The root of regcert's own authority, or its key.
    Root,
    /// The certificate or key of an intermediate authority.
    Intermediate,
    /// A key that is needed only to cross-sign another root.
    SpareKey,
    /// The root of an external authority.
    SignedRoot,
    /// The old root of a rotation, or the new root cross-signed by the old root.
    Retiring,
    /// The authority for client certificates.
    Clients,
    /// A password file.
    Users,
    /// The state, `.regcert/state.json`.
    State,
    /// The key of a certificate signing request.
    Request,
}

impl Part {
    /// Explains to the user how to recover from the loss.
    pub fn cure(self) -> &'static str {
        match self {
            Self::Server => {
                "run `regcert rotate`, which makes another key and certificate; no client has to be told"
            }
            Self::SignedServer => {
                "bring it back from a backup; or run `regcert csr`, have the request signed, and run `regcert import-cert FILE`"
            }
            Self::Copied | Self::Revoked => "run `regcert init`, which writes it again; nothing is lost",
            Self::Root => {
                "bring it back from a backup; without one, `regcert init --accept-loss` makes another root, and each client refuses the registry until it has the new root"
            }
            Self::Intermediate => {
                "bring it back from a backup; without one, put the root's key back beside the root certificate and run `regcert init --accept-loss`, which makes another intermediate, and no client has to be told; without the root's key, that command makes another root, and each client refuses the registry until it has the new root"
            }
            Self::SpareKey => {
                "bring it back from a backup; without one, `regcert init --accept-loss` goes on without it: no other root can then be certified by this one"
            }
            Self::SignedRoot => {
                "bring it back from a backup, or ask the external authority for its root certificate and put it there"
            }
            Self::Retiring => {
                "bring it back from a backup; without one, `regcert init --accept-loss` ends the rotation, and clients with only the old root refuse the registry"
            }
            Self::Clients => {
                "bring it back from a backup; without one, `regcert init --accept-loss` gives every client certificate up; issue each again with `regcert add-client NAME`"
            }
            Self::Users => {
                "bring it back from a backup; without one, the passwords in it are lost, and `regcert init --accept-loss` goes on without them; `regcert status` then names the users to add again"
            }
            Self::State => {
                "bring it back from a backup; without one, `regcert init --accept-loss` goes on without it: users whom a role limits have to be added again, admins given their role again, every client certificate issued again, and logins at upstreams and headers of webhooks given again"
            }
            Self::Request => {
                "run `regcert csr`, which makes another request; an answer to this one is of no use"
            }
        }
    }
}

impl Mends<'_> {
    /// Whether the command recreates the part.
    pub(super) fn covers(self, part: Part) -> bool {
        match self {
            Self::Nothing => false,
            Self::Derived { .. } => matches!(part, Part::Server | Part::Copied | Part::Revoked),
            Self::Request => matches!(part, Part::SignedServer | Part::Request),
            Self::Everything { .. } => part != Part::SignedRoot,
        }
    }

    /// Whether the settings last applied replace missing settings.
    pub(super) fn restores_settings(self) -> bool {
        matches!(self, Self::Derived { .. } | Self::Everything { .. })
    }

    /// Whether the settings last applied replace unreadable settings.
    pub(super) fn replaces_settings(self) -> bool {
        matches!(self, Self::Derived { force: true } | Self::Everything { .. })
    }
}

/// Rebuilds a lost state, with the Compose project that another file names.
pub(super) fn forgotten(files: &FileSet, now: OffsetDateTime, directory: &str) -> State {
    let mut state = State::new(now);
    let name = files.text(ENV).and_then(project_name);
    state.project = name.map(|name| ComposeProject { name, directory: directory.to_owned() });
    state
}

/// The remaining parts of regcert's own authority.
#[derive(Default)]
pub(super) struct Remains {
    pub root: Option<Certificate>,
    pub root_key: Option<KeyAtRest>,
    /// Whether an intermediate signed instead of the root.
    pub is_offline: bool,
}

impl Remains {
    /// Creates a replacement for the lost authority: an intermediate below the old root if the root's key is stored
    /// here, otherwise a new root.
    pub fn replace(self, spec: &Settings, state: &mut State, now: OffsetDateTime) -> Result<Issuer, Fault> {
        let Self { root, root_key, is_offline } = self;
        if let (Some(root), Some(key), true) = (&root, &root_key, is_offline)
            && key.is_open()
            && let Ok(whole) = Authority::of(vec![root.clone()], key.again())
        {
            return super::create::below(whole, spec, &state.release().version, now);
        }
        let constraints = match &root {
            Some(Certificate { constraints: None, .. }) => None,
            Some(Certificate { constraints: Some(old), .. }) => {
                Some(Constraints::to([subtrees(spec), old.permitted.clone()].concat()))
            }
            None => Some(Constraints::to(subtrees(spec))),
        };
        state.trust_changes(now);
        let key = PrivateKey::generate(spec.key_type);
        successor(spec, constraints, is_offline, key, &state.release().version, now)
    }
}

impl Deployment {
    /// Lists the users with a role but without a line in their password file: the name, the file, and the arguments of
    /// `add-user` that add the user again.
    pub fn lost_users(&self) -> Vec<(String, String, String)> {
        if self.spec.proxy == Proxy::None {
            return Vec::new();
        }
        let lost = self
            .state
            .access
            .iter()
            .filter(|(name, access)| **access != Access::default() && !self.users.has(name.as_str()));
        let told = |(name, access): (&crate::names::Username, &Access)| {
            let repositories = Vec::from(access.repositories.clone());
            let limits = repositories.iter().filter(|pattern| *pattern != "*");
            let limits: String =
                limits.map(|pattern| format!(" --repo {}", crate::names::shell(pattern))).collect();
            (
                name.to_string(),
                format!("nginx/auth/{}", access.password_file()),
                format!("{name} --role {}{limits}", access.role),
            )
        };
        lost.map(told).collect()
    }
}
