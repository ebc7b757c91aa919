//! Creates a registry: the authority, the server certificate and the first users.

use time::OffsetDateTime;

use super::{Deployment, Issuer, State, subtrees};
use crate::auth::{Access, Htpasswd, Password, Role};
use crate::error::Fault;
use crate::names::{Subtree, Username};
use crate::pki::{Authority, Constraints, KeyType, Passphrase, PrivateKey, RootProfile};
use crate::settings::Settings;

/// The source of a new registry's authority.
pub enum Origin {
    /// regcert creates the authority.
    Create {
        /// Names that the root permits besides those in the settings; `None` for a root without name constraints.
        permit: Option<Vec<Subtree>>,
        /// Whether an intermediate signs, so that the root's key can be moved away.
        offline_root: bool,
    },
    /// The user provides the authority.
    Import(Authority),
    /// An external authority signs.
    External,
}

/// The parameters of a new registry.
pub struct New {
    pub spec: Settings,
    pub origin: Origin,
    /// The passphrase that encrypts the authority's key; `None` to store the key unencrypted.
    pub passphrase: Option<Passphrase>,
    pub users: First,
}

/// The users of a new registry.
pub enum First {
    /// One new user, an admin.
    Admin(Username, Password),
    /// The users of a registry that is taken over, unchanged.
    Existing(Htpasswd),
}

impl Deployment {
    /// Creates a registry. With an external authority, creates a request instead of the server certificate.
    pub fn create(new: New, now: OffsetDateTime) -> Result<Self, Fault> {
        let New { spec, origin, passphrase, users: first } = new;
        // Computes two keys and a hash in parallel.
        let (root_key, server_key, hash) = std::thread::scope(|scope| {
            let root = scope.spawn(|| {
                matches!(origin, Origin::Create { .. }).then(|| PrivateKey::generate(spec.key_type))
            });
            let hash = scope.spawn(|| match &first {
                First::Admin(_, password) => Some(password.hash()),
                First::Existing(_) => None,
            });
            let server = PrivateKey::generate(spec.key_type);
            (root.join().expect("no panic"), server, hash.join().expect("no panic"))
        });
        let mut state = State::new(now);
        let mut users = Htpasswd::default();
        match (first, hash) {
            (First::Admin(user, _), Some(hash)) => {
                users.set(&user, &hash);
                state.access.set(user, Access { role: Role::Admin, ..Access::default() });
            }
            (First::Existing(existing), _) => users = existing,
            (First::Admin(..), None) => unreachable!("the password of a new user was hashed"),
        }
        let issuer = match origin {
            Origin::Create { permit, offline_root } => {
                let constraints = permit.map(|permit| Constraints::to([subtrees(&spec), permit].concat()));
                let key = root_key.expect("made for a root that is made");
                successor(&spec, constraints, offline_root, key, &state.release().version, now)?
            }
            Origin::Import(authority) => Issuer::Own { authority, root_key: None },
            Origin::External => Issuer::External { root: None },
        };
        let mut deployment = Self {
            spec,
            spec_text: None,
            edited: None,
            issuer,
            retiring: None,
            server: None,
            pending: None,
            users,
            clients: None,
            state,
        };
        deployment.state.apply(&deployment.spec.to_toml(None)?);
        match &deployment.issuer {
            Issuer::Own { .. } => deployment.server = Some(deployment.issue(server_key, now)?),
            Issuer::External { .. } => deployment.request(server_key)?,
        }
        deployment.prepare_clients(now)?;
        if let Some(passphrase) = passphrase {
            deployment.encrypt(&passphrase)?;
        }
        Ok(deployment)
    }
}

/// Creates regcert's own authority, whose root has `key`.
pub(super) fn successor(
    spec: &Settings,
    constraints: Option<Constraints>,
    offline_root: bool,
    key: PrivateKey,
    edition: &str,
    now: OffsetDateTime,
) -> Result<Issuer, Fault> {
    let levels = if offline_root { 2 } else { 1 };
    let label = spec.label();
    let profile = RootProfile { label: &label, edition, subject: &spec.subject(), constraints, levels };
    let root = Authority::create(&profile, key, now)?;
    own(root, offline_root, &profile, spec.key_type, now)
}

/// Creates an intermediate authority below `root`.
pub(super) fn below(
    root: Authority,
    spec: &Settings,
    edition: &str,
    now: OffsetDateTime,
) -> Result<Issuer, Fault> {
    let (label, constraints) = (spec.label(), root.root().constraints.clone());
    let profile = RootProfile { label: &label, edition, subject: &spec.subject(), constraints, levels: 2 };
    own(root, true, &profile, spec.key_type, now)
}

/// Makes `root` the authority, or an intermediate below `root`, so that the root's key can be moved away.
pub(super) fn own(
    root: Authority,
    offline_root: bool,
    profile: &RootProfile<'_>,
    key_type: KeyType,
    now: OffsetDateTime,
) -> Result<Issuer, Fault> {
    if !offline_root {
        return Ok(Issuer::Own { authority: root, root_key: None });
    }
    let authority = root.delegate(profile, PrivateKey::generate(key_type), now)?;
    Ok(Issuer::Own { authority, root_key: Some(root.into_key()) })
}
