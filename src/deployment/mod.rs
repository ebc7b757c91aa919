//! A whole registry as one value: its settings, authority, server certificate and users. Loaded from a set of files,
//! and rendered to a set of files. Uses neither the disk nor the clock.

mod clients;
mod create;
mod external;
mod files;
mod format;
mod load;
mod loaded;
mod lost;
mod mirror;
mod read;
mod rotation;
mod state;
#[cfg(test)]
mod tests;
mod users;
mod webhooks;

pub use clients::{CLIENTS_AHEAD, Clients};
use create::own;
pub use create::{First, New, Origin};
pub use files::{ENV, IGNORED, REGISTRY_CONFIG};
pub use format::{FORMAT, refuse_newer};
pub use loaded::{APPLY, Loaded};
pub use lost::Mends;
pub use mirror::Credentials;
pub use rotation::Retiring;
pub use state::{Client, ComposeProject, State};
pub use webhooks::Headers;

use std::fmt;

use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::auth::Htpasswd;
use crate::error::Fault;
use crate::names::{Host, SubjectAltName, Subtree};
use crate::pki::{
    Authority, Certificate, KeyAtRest, Passphrase, PrivateKey, ServerIdentity, ServerProfile, verify,
};
use crate::settings::{ClientAuth, RawSettings, Settings};

#[derive(PartialEq)]
pub struct Deployment {
    /// The settings in use.
    pub spec: Settings,
    /// The text of regcert.toml, whose comments are kept.
    spec_text: Option<String>,
    /// The settings of regcert.toml, if they contain an edit that is not applied yet.
    edited: Option<Settings>,
    /// The authority that signs the server's certificate.
    pub issuer: Issuer,
    /// The old root during a rotation.
    pub retiring: Option<Retiring>,
    /// The server's key and certificate; `None` until an external authority has signed the first request.
    pub server: Option<ServerIdentity>,
    /// The certificate signing request that waits for an external authority.
    pub pending: Option<Pending>,
    /// The users and their password hashes.
    pub users: Htpasswd,
    /// The authorities for client certificates; `None` if client certificates were never needed.
    pub clients: Option<Clients>,
    /// The state kept between runs.
    pub state: State,
}

impl fmt::Debug for Deployment {
    /// Prints no secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Deployment({})", self.spec.registry())
    }
}

/// The authority that signs the server's certificate.
#[derive(Debug, PartialEq)]
pub enum Issuer {
    /// regcert's own authority.
    Own {
        /// The authority, with its chain up to the root.
        authority: Authority,
        /// The stored key of the root, if an intermediate signs and the user has not moved the root's key away.
        root_key: Option<KeyAtRest>,
    },
    /// An external authority.
    External {
        /// The authority's root; `None` before the first import.
        root: Option<Certificate>,
    },
}

impl Issuer {
    /// Returns the root of regcert's own authority.
    fn own_root(&self) -> Option<&Certificate> {
        match self {
            Self::Own { authority, .. } => Some(authority.root()),
            Self::External { .. } => None,
        }
    }

    /// Lists the keys of regcert's own authority that are stored here.
    fn keys_mut(&mut self) -> Vec<&mut KeyAtRest> {
        match self {
            Self::Own { authority, root_key } => {
                [Some(authority.key_mut()), root_key.as_mut()].into_iter().flatten().collect()
            }
            Self::External { .. } => Vec::new(),
        }
    }
}

/// A certificate signing request that waits for a signature.
#[derive(Debug, PartialEq)]
pub struct Pending {
    /// The server's next key.
    pub key: PrivateKey,
    /// The request, as PEM.
    pub request: String,
}

impl Deployment {
    /// Parses the settings of regcert.toml without checking them.
    pub fn settings(&self) -> Result<RawSettings, Fault> {
        self.spec_text.as_deref().map_or_else(|| Ok(RawSettings::default()), RawSettings::from_toml)
    }

    /// Applies other settings and issues a new server certificate; keeps the authority and the users. If an external
    /// authority signs, keeps the certificate, and fails if it lacks one of the names.
    pub fn reconfigure(&mut self, spec: Settings, key: ServerKey, now: OffsetDateTime) -> Result<(), Fault> {
        self.put_in_force(spec)?;
        self.limits_hold()?;
        self.prepare_clients(now)?;
        match &self.issuer {
            Issuer::Own { .. } => {
                let key = match (key, &self.server) {
                    (ServerKey::Keep, Some(server)) => server.key().again(),
                    (ServerKey::New, _) | (_, None) => PrivateKey::generate(self.spec.key_type),
                };
                self.server = Some(self.issue(key, now)?);
                Ok(())
            }
            Issuer::External { .. } => {
                // Recreates the pending request, with the same key and the current names.
                match (self.pending.take(), &self.server) {
                    (Some(pending), _) => self.request(pending.key)?,
                    // The key that the external authority certified is lost.
                    (None, None) => self.request(PrivateKey::generate(self.spec.key_type))?,
                    (None, Some(_)) => {}
                }
                self.covered()
            }
        }
    }

    /// Lists every name that the server certificate must cover. Leaves out the bare server name, which follows from
    /// the other names, if the root does not allow it, so that a server can be renamed within its domain.
    pub fn names(&self) -> Vec<SubjectAltName> {
        let mut names = self.spec.names();
        let refused: Vec<_> = match &self.issuer {
            Issuer::Own { authority, .. } => authority.refuses(&names).into_iter().cloned().collect(),
            Issuer::External { .. } => Vec::new(),
        };
        names.retain(|name| !(refused.contains(name) && self.spec.bare_name().as_ref() == Some(name)));
        names
    }

    /// Computes the last second at which clients with the root accept the served chain: the earliest expiry in the
    /// chain and of the root. Ignores certificates that only clients of the retiring root need.
    pub fn served_until(&self) -> Option<OffsetDateTime> {
        let server = self.server.as_ref()?;
        let vouched = self.retiring.as_ref().and_then(|retiring| retiring.vouched.as_ref());
        let needed = server.chain().iter().filter(|certificate| Some(*certificate) != vouched);
        needed.chain(self.root()).map(|certificate| certificate.validity.not_after).min()
    }

    /// Returns the last second at which clients accept this registry's authority and the certificates that it signs.
    pub fn root_until(&self) -> Option<OffsetDateTime> {
        match &self.issuer {
            Issuer::Own { authority, .. } => Some(authority.ends()),
            Issuer::External { root } => root.as_ref().map(|root| root.validity.not_after),
        }
    }

    /// Whether the served chain contains an expired certificate signed by the retiring root.
    pub fn serves_what_is_over(&self, now: OffsetDateTime) -> bool {
        let vouched = self.retiring.as_ref().and_then(|retiring| retiring.vouched.as_ref());
        vouched.is_some_and(|vouched| {
            vouched.validity.not_after < now
                && self.server.as_ref().is_some_and(|server| server.chain().contains(vouched))
        })
    }

    /// Lists the names that the current server certificate covers.
    pub fn covers(&self) -> Vec<String> {
        self.server.as_ref().map(|server| server.leaf().names.clone()).unwrap_or_default()
    }

    /// Fails if the certificate of an external authority lacks one of the names.
    fn covered(&self) -> Result<(), Fault> {
        let Some(server) = &self.server else {
            return Ok(());
        };
        let lacks = |name: &String| !server.leaf().names.contains(name);
        let names: Vec<_> = self.spec.names().iter().map(ToString::to_string).filter(lacks).collect();
        if names.is_empty() {
            return Ok(());
        }
        Err(Fault::new(format!("the certificate does not cover {}, and an external authority signs it", names.join(", ")))
            .hint("put the names into regcert.toml, run `regcert csr`, have the request signed, and `regcert import-cert` it"))
    }

    /// Issues a certificate for `key`. During a rotation, clients with either root accept the certificate.
    fn issue(&self, key: PrivateKey, now: OffsetDateTime) -> Result<ServerIdentity, Fault> {
        let authority = self.authority()?;
        let names = self.names();
        self.admit(&names)?;
        let profile = ServerProfile { names: &names, subject: &self.spec.subject(), days: self.spec.days };
        let mut server = authority.issue(&profile, key, now)?;
        if let Some(retiring) = &self.retiring
            && let Some(vouched) =
                retiring.vouched.as_ref().filter(|vouched| now <= vouched.validity.not_after)
        {
            server.append(vouched.clone());
            let names: Vec<_> = names.iter().map(ToString::to_string).collect();
            verify(server.chain(), &retiring.root, &names, now)?;
        }
        Ok(server)
    }

    /// Fails if the root or the retiring root does not allow one of these names.
    pub fn admit(&self, names: &[SubjectAltName]) -> Result<(), Fault> {
        let authority = self.authority()?;
        let by_new = authority.refuses(names);
        let retiring = self.retiring.as_ref().and_then(|retiring| retiring.root.constraints.as_ref());
        let by_old = names.iter().filter(|name| retiring.is_some_and(|constraints| !constraints.admit(name)));
        let by_old: Vec<_> = by_old.collect();
        let (refused, limits) = if by_new.is_empty() {
            (by_old, retiring)
        } else {
            (by_new, authority.root().constraints.as_ref())
        };
        let (Some(_), Some(limits)) = (refused.first(), limits) else {
            return Ok(());
        };
        let shown: Vec<_> = refused.iter().map(|name| format!("`{name}`")).collect();
        let shown = shown.join(", ");
        if authority.refuses(names).is_empty() {
            return Err(Fault::new(format!(
                "the old root certificate does not allow {shown}: clients that do not have the new one yet would refuse the whole certificate (the old one allows {limits})"
            ))
            .hint("leave it out until the rotation is finished: when every client has the new root, run `regcert rotate --ca --finish`"));
        }
        let mut permit: Vec<_> = refused.iter().map(|name| self.room_for(name).to_string()).collect();
        permit.dedup();
        let replace = format!(
            "`regcert rotate --ca --permit {}`, and when every client has the new one, `regcert rotate --ca --finish`",
            permit.join(" --permit ")
        );
        let hint = match &self.retiring {
            Some(_) => format!(
                "leave it out; or finish this rotation with `regcert rotate --ca --finish`, and replace the root again: {replace}"
            ),
            // In a first run, there is no root yet that a rotation could replace.
            None if self.server.is_none() => "leave it out, or bring an authority that allows it".to_owned(),
            None => format!("leave it out, or replace the root by one that allows it: {replace}"),
        };
        Err(Fault::new(format!(
            "the root certificate does not allow {shown}: every client would refuse the whole certificate (it allows {limits})"
        ))
        .hint(hint))
    }

    /// Finds the subtree that the root must permit so that a certificate can contain `name` and other names in the
    /// registry's own domain.
    fn room_for(&self, name: &SubjectAltName) -> Subtree {
        let subtree = subtree(name.clone());
        match (&subtree, &self.spec.domain) {
            (Subtree::Domain(name), Some(domain)) if name.is_within(domain.as_str()) => {
                Subtree::Domain(domain.clone())
            }
            (Subtree::Domain(_) | Subtree::Network(..), _) => subtree,
        }
    }

    /// Returns regcert's own authority; fails if an external authority signs.
    pub fn authority(&self) -> Result<&Authority, Fault> {
        match &self.issuer {
            Issuer::Own { authority, .. } => Ok(authority),
            Issuer::External { .. } => Err(Fault::new("an external authority signs for this registry").hint(
                "`regcert csr` makes a request for it, and `regcert import-cert` takes what it signed",
            )),
        }
    }

    /// Returns the root that clients must trust; `None` until the first import from an external authority.
    pub fn root(&self) -> Option<&Certificate> {
        match &self.issuer {
            Issuer::Own { authority, .. } => Some(authority.root()),
            Issuer::External { root } => root.as_ref(),
        }
    }

    /// Lists every root that clients must trust, the retiring root last.
    pub fn roots(&self) -> Vec<&Certificate> {
        self.root().into_iter().chain(self.retiring.as_ref().map(|retiring| &retiring.root)).collect()
    }

    /// Lists every authority key that is stored here, including the keys of authorities for clients.
    fn keys_mut(&mut self) -> Vec<&mut KeyAtRest> {
        let clients = self.clients.iter_mut().flat_map(Clients::keys_mut);
        let retiring = self.retiring.as_mut().and_then(|retiring| retiring.key.as_mut());
        self.issuer.keys_mut().into_iter().chain(retiring).chain(clients).collect()
    }

    /// Whether a passphrase is needed to sign.
    pub fn is_locked(&self) -> bool {
        let own = match &self.issuer {
            Issuer::Own { authority, .. } => !authority.key().is_open(),
            Issuer::External { .. } => false,
        };
        own || self.clients.as_ref().is_some_and(Clients::is_locked)
    }

    /// Decrypts the stored keys for this run.
    pub fn unlock(&mut self, passphrase: &Passphrase) -> Result<(), Fault> {
        for key in self.keys_mut() {
            if !key.is_open() {
                key.unlock(passphrase)?;
            }
        }
        let Issuer::Own { authority, .. } = &self.issuer else {
            return Ok(());
        };
        let signer = if authority.intermediates().is_empty() { "root-cert" } else { "intermediate" };
        let path = self.root_path().replace("/root-cert-", &format!("/{signer}-")).replace(".crt", ".key");
        authority.check_unlocked().map_err(|fault| {
            Fault::new(format!("`{path}`: {}", fault.message)).hint("bring it back from a backup; without one, remove that file and run `regcert init --accept-loss`, which makes another root, and each client refuses the registry until it has the new root")
        })
    }

    /// Encrypts the stored keys of the authorities.
    pub fn encrypt(&mut self, passphrase: &Passphrase) -> Result<(), Fault> {
        let keys = self.keys_mut();
        if keys.is_empty() {
            return Err(Fault::new("there is no key of an authority here to be encrypted")
                .hint("leave --encrypt-ca-key out: an external authority signs"));
        }
        keys.into_iter().try_for_each(|key| key.encrypt(passphrase))
    }

    fn prepare_clients(&mut self, now: OffsetDateTime) -> Result<(), Fault> {
        if self.spec.client_auth == ClientAuth::Off && self.clients.is_none() {
            return Ok(());
        }
        self.make_clients(CLIENTS_AHEAD + i64::from(self.spec.days), now)
    }
}

/// Whether the server's key changes with its certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ServerKey {
    /// A new key, because the old key may have become known.
    New,
    /// The current key, for clients that have pinned it.
    Keep,
}

/// Builds the subtree that a root must permit so that a certificate can contain the name.
fn subtree(name: SubjectAltName) -> Subtree {
    match name {
        SubjectAltName::Host(Host::Dns(name)) | SubjectAltName::Wildcard(name) => Subtree::Domain(name),
        SubjectAltName::Host(Host::Ip(ip)) => Subtree::address(ip),
    }
}

/// Lists the subtrees that the root of a registry must permit.
fn subtrees(spec: &Settings) -> Vec<Subtree> {
    let own = spec.domain.clone();
    let within = |tree: &Subtree| match (tree, &own) {
        (Subtree::Domain(name), Some(domain)) => name.is_within(domain.as_str()),
        (Subtree::Domain(_) | Subtree::Network(..), _) => false,
    };
    let named: Vec<_> = spec.names().into_iter().map(subtree).filter(|tree| !within(tree)).collect();
    own.clone().map(Subtree::Domain).into_iter().chain(named).collect()
}

/// A text that is wiped when dropped.
type Wiped = Zeroizing<String>;
