//! Client certificates: who may connect at all. They have an authority of their own that only nginx trusts, so that a
//! rotation of the root, a root kept offline or somebody else's root leave them alone.

use time::OffsetDateTime;

use super::{Client, Deployment, Issuer, State};
use crate::error::Fault;
use crate::names::Username;
use crate::pki::{Authority, KeyType, PrivateKey, RootProfile, ServerIdentity, Subject, crl};
use crate::spec::Spec;

/// The authority for clients and the list of what it revoked.
#[derive(Debug, PartialEq)]
pub struct Clients {
    /// Who signs.
    pub authority: Authority,
    /// The certificate revocation list, PEM.
    pub crl: String,
}

impl Clients {
    /// A new authority, and an empty list, which nginx wants to have.
    pub fn create(spec: &Spec, state: &mut State, now: OffsetDateTime) -> Result<Self, Fault> {
        let label = format!("{} clients", spec.label());
        let profile = RootProfile {
            label: &label,
            edition: &state.release().version,
            subject: &Subject::default(),
            constraints: None,
            levels: 0,
        };
        let authority = Authority::create(&profile, PrivateKey::generate(KeyType::P256), now)?;
        let mut clients = Self { authority, crl: String::new() };
        clients.sign_crl(state, now)?;
        Ok(clients)
    }

    fn sign_crl(&mut self, state: &mut State, now: OffsetDateTime) -> Result<(), Fault> {
        let at = |seconds: i64| OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(now);
        let revoked =
            state.clients.iter().filter_map(|client| Some((client.serial.clone(), at(client.revoked?))));
        state.crl_number += 1;
        // nginx reads it from the disk and refuses everybody once it is over; only a revocation changes it.
        let until = self.authority.root().validity.not_after;
        let revoked: Vec<_> = revoked.collect();
        self.crl =
            crl(self.authority.root(), self.authority.key().open()?, &revoked, state.crl_number, now, until)?;
        Ok(())
    }
}

impl Deployment {
    /// The authority for clients, where it is not there yet; its key is stored as the registry's own is.
    pub(super) fn make_clients(&mut self, now: OffsetDateTime) -> Result<(), Fault> {
        if self.clients.is_some() {
            return Ok(());
        }
        let mut clients = Clients::create(&self.spec, &mut self.state, now)?;
        if let Issuer::Own { authority, .. } = &self.issuer {
            clients.authority.key_mut().store_like(authority.key())?;
        }
        self.clients = Some(clients);
        Ok(())
    }

    /// A certificate for `name`, noted so that it can be revoked by name.
    pub fn add_client(
        &mut self,
        name: &Username,
        days: u16,
        now: OffsetDateTime,
    ) -> Result<ServerIdentity, Fault> {
        self.make_clients(now)?;
        let clients = self.clients.as_ref().expect("just made");
        let client = clients.authority.issue_client(name, days, now)?;
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

    /// Revokes every certificate of that name, or the one of that serial number. Gives back what was revoked now.
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
        clients.sign_crl(&mut self.state, now)?;
        Ok(revoked)
    }
}
