//! Client certificates, which decide who may connect at all. Only nginx trusts their separate authority, so a rotation
//! of the root, an offline root or an external root does not affect client certificates.

use time::{Duration, OffsetDateTime};

use super::{Client, Deployment, Issuer, State};
use crate::error::Fault;
use crate::names::Username;
use crate::pki::{
    Authority, KeyAtRest, KeyType, PrivateKey, RootProfile, ServerIdentity, Subject, crl, date,
};
use crate::settings::Settings;

/// The minimum number of days by which the authority for clients must outlast a new client certificate. If fewer are
/// left, regcert replaces the authority. Clients need no change, because only nginx trusts the authority.
pub const CLIENTS_AHEAD: i64 = 182;

/// The authorities for clients, with their revocation lists.
#[derive(Debug, PartialEq)]
pub struct Clients {
    /// The authority that signs new certificates.
    pub current: Signing,
    /// The previous authority, which nginx trusts until it expires, so that certificates from it stay valid.
    pub retiring: Option<Signing>,
}

/// An authority for clients and its revocation list.
#[derive(Debug, PartialEq)]
pub struct Signing {
    pub authority: Authority,
    /// The certificate revocation list, as PEM.
    pub crl: String,
}

impl Signing {
    /// Creates an authority with an empty revocation list, because nginx requires a list.
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

    /// Signs the revocation list again. The list contains all revoked certificates of the registry, whichever
    /// authority issued them: serial numbers are unique.
    fn sign_crl(&mut self, state: &mut State, now: OffsetDateTime) -> Result<(), Fault> {
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(now);
        let revoked =
            state.clients.iter().filter_map(|client| Some((client.serial.clone(), at(client.revoked?))));
        // nginx refuses every client once the list has expired, and only a revocation renews the list. So the list
        // lasts as long as the authority.
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
    /// Iterates over the authorities, the current one first.
    pub fn all(&self) -> impl Iterator<Item = &Signing> {
        [&self.current].into_iter().chain(&self.retiring)
    }

    pub(super) fn keys_mut(&mut self) -> impl Iterator<Item = &mut KeyAtRest> {
        [&mut self.current].into_iter().chain(&mut self.retiring).map(|signing| signing.authority.key_mut())
    }

    pub(super) fn is_locked(&self) -> bool {
        self.all().any(|signing| !signing.authority.key().is_open())
    }

    /// Concatenates the certificates of the authorities that nginx trusts for clients, as PEM.
    pub fn trusted(&self) -> String {
        self.all().map(|signing| signing.authority.root().pem()).collect()
    }

    /// Concatenates the revocation lists of the authorities, as PEM.
    pub fn revoked(&self) -> String {
        self.all().map(|signing| signing.crl.as_str()).collect()
    }
}

impl Deployment {
    /// Creates the authority for clients if it is missing or expires within `days`. Encrypts the new key if the key of
    /// the previous authority, or else of the registry's authority, is encrypted. Also drops an expired previous
    /// authority, and signs a lost revocation list again.
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

    /// Chooses the part of the common name that distinguishes an authority for clients from the previous one.
    fn edition_of_clients(&self, now: OffsetDateTime) -> String {
        let Some(clients) = &self.clients else {
            return self.state.release().version;
        };
        let edition = date(now).replace('-', ".");
        let taken = clients.current.authority.root().subject_text.ends_with(&edition);
        if taken { format!("{edition}.1") } else { edition }
    }

    /// Issues a client certificate for `name`, and records the certificate so that `revoke` finds it by name.
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

    /// Revokes every certificate with the name `which`, or the certificate with that serial number. Returns the
    /// certificates that were not revoked before.
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
