//! Client certificates, which decide who may connect at all. Their authority is separate and only nginx trusts it, so a
//! rotation of the root, an offline root or an external root does not affect them.

use time::{Duration, OffsetDateTime};

use super::{Client, Deployment, Issuer, State};
use crate::error::Fault;
use crate::names::Username;
use crate::pki::{
    Authority, KeyAtRest, KeyType, PrivateKey, RootProfile, ServerIdentity, Subject, crl, date,
};
use crate::settings::Settings;

/// A new authority for clients replaces the current one this many days before a new client certificate would outlast
/// it. Only nginx trusts it, so clients need no change.
pub const CLIENTS_AHEAD: i64 = 182;

/// The authorities for clients, with their revocation lists.
#[derive(Debug, PartialEq)]
pub struct Clients {
    /// The authority that signs new certificates.
    pub current: Signing,
    /// The previous authority. nginx trusts it until it ends, so its certificates stay valid.
    pub retiring: Option<Signing>,
}

/// An authority for clients and its revocation list.
#[derive(Debug, PartialEq)]
pub struct Signing {
    pub authority: Authority,
    /// The certificate revocation list, PEM.
    pub crl: String,
}

impl Signing {
    /// A new authority with an empty list, which nginx requires.
    fn create(spec: &Settings, edition: &str, state: &mut State, now: OffsetDateTime) -> Result<Self, Fault> {
        let label = format!("{} clients", spec.label());
        let profile = RootProfile {
            label: &label,
            edition,
            subject: &Subject::default(),
            constraints: None,
            levels: 0,
        };
        let authority = Authority::create(&profile, PrivateKey::generate(KeyType::P256), now)?;
        let mut signing = Self { authority, crl: String::new() };
        signing.sign_crl(state, now)?;
        Ok(signing)
    }

    /// Signs the list again. It contains all revoked certificates of the registry, whichever authority issued them:
    /// serial numbers are unique.
    fn sign_crl(&mut self, state: &mut State, now: OffsetDateTime) -> Result<(), Fault> {
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(now);
        let revoked =
            state.clients.iter().filter_map(|client| Some((client.serial.clone(), at(client.revoked?))));
        // nginx refuses every client when the list expires, and only a revocation renews the list: so it lasts as long
        // as the authority.
        let until = self.authority.ends();
        if until <= now {
            // The authority has expired: all of its certificates are invalid, revoked or not.
            return Ok(());
        }
        state.crl_number += 1;
        let revoked: Vec<_> = revoked.collect();
        self.crl =
            crl(self.authority.root(), self.authority.key().open()?, &revoked, state.crl_number, now, until)?;
        Ok(())
    }
}

impl Clients {
    /// Both authorities, the signing one first.
    pub fn all(&self) -> impl Iterator<Item = &Signing> {
        [&self.current].into_iter().chain(&self.retiring)
    }

    pub(super) fn keys_mut(&mut self) -> impl Iterator<Item = &mut KeyAtRest> {
        [&mut self.current].into_iter().chain(&mut self.retiring).map(|signing| signing.authority.key_mut())
    }

    pub(super) fn is_locked(&self) -> bool {
        self.all().any(|signing| !signing.authority.key().is_open())
    }

    /// The certificates of the authorities that nginx trusts for clients, PEM.
    pub fn trusted(&self) -> String {
        self.all().map(|signing| signing.authority.root().pem()).collect()
    }

    /// The revocation list of each authority, PEM.
    pub fn revoked(&self) -> String {
        self.all().map(|signing| signing.crl.as_str()).collect()
    }
}

impl Deployment {
    /// Makes the authority for clients if it is missing or expires within `days`. Its key is encrypted if the key of
    /// its predecessor, or of the registry's authority, is. Also drops an expired predecessor and signs a lost list
    /// again.
    pub(super) fn make_clients(&mut self, days: i64, now: OffsetDateTime) -> Result<(), Fault> {
        if let Some(clients) = &mut self.clients {
            clients.retiring.take_if(|retiring| retiring.authority.ends() < now);
            let all = [&mut clients.current].into_iter().chain(&mut clients.retiring);
            // An empty text means that the list was lost.
            for signing in all.filter(|signing| signing.crl.is_empty()) {
                signing.sign_crl(&mut self.state, now)?;
            }
        }
        let lasts = |signing: &Signing| signing.authority.ends() > now + Duration::days(days);
        if self.clients.as_ref().is_some_and(|clients| lasts(&clients.current)) {
            return Ok(());
        }
        let edition = self.edition_of_clients(now);
        let mut current = Signing::create(&self.spec, &edition, &mut self.state, now)?;
        match (&self.issuer, &self.clients) {
            (_, Some(before)) => {
                current.authority.key_mut().store_like(before.current.authority.key())?;
            }
            (Issuer::Own { authority, .. }, None) => {
                current.authority.key_mut().store_like(authority.key())?;
            }
            (Issuer::External { .. }, None) => {}
        }
        let before = self.clients.take().map(|clients| clients.current);
        let retiring = before.filter(|before| before.authority.ends() >= now);
        self.clients = Some(Clients { current, retiring });
        Ok(())
    }

    /// The part of the common name that distinguishes an authority for clients from its predecessor.
    fn edition_of_clients(&self, now: OffsetDateTime) -> String {
        let Some(clients) = &self.clients else {
            return self.state.release().version;
        };
        let edition = date(now).replace('-', ".");
        let taken = clients.current.authority.root().subject_text.ends_with(&edition);
        if taken { format!("{edition}.1") } else { edition }
    }

    /// Issues a certificate for `name` and records it, so that it can be revoked by name.
    pub fn add_client(
        &mut self,
        name: &Username,
        days: u16,
        now: OffsetDateTime,
    ) -> Result<ServerIdentity, Fault> {
        self.make_clients(days.into(), now)?;
        let clients = self.clients.as_ref().expect("just made");
        let client = clients.current.authority.issue_client(name, days, now)?;
        let leaf = client.leaf();
        let until = leaf.validity.not_after.unix_timestamp();
        self.state.clients.push(Client {
            name: name.to_string(),
            serial: leaf.serial.clone(),
            until,
            revoked: None,
        });
        Ok(client)
    }

    /// Revokes every certificate with this name, or the one with this serial number. Returns those that were not
    /// revoked before.
    pub fn revoke(&mut self, which: &str, now: OffsetDateTime) -> Result<Vec<Client>, Fault> {
        let Some(clients) = &mut self.clients else {
            return Err(Fault::new("no client certificate was ever issued here")
                .hint("`regcert add-client NAME` makes one"));
        };
        let serial = which.to_ascii_lowercase().replace(':', "");
        let (mut known, mut revoked) = (false, Vec::new());
        for client in &mut self.state.clients {
            if client.name == which || client.serial == serial {
                known = true;
                if client.revoked.is_none() {
                    client.revoked = Some(now.unix_timestamp());
                    revoked.push(client.clone());
                }
            }
        }
        if !known {
            return Err(Fault::new(format!(
                "no client certificate has the name or serial number `{}`",
                crate::names::printable(which)
            ))
            .hint("`regcert list-clients` shows them"));
        }
        for signing in [&mut clients.current].into_iter().chain(&mut clients.retiring) {
            signing.sign_crl(&mut self.state, now)?;
        }
        Ok(revoked)
    }
}
