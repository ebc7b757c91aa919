//! Supports an external authority: creates a request, and checks the signed chain before the registry serves it.

use time::OffsetDateTime;

use super::{Deployment, Issuer, Pending, Retiring};
use crate::error::Fault;
use crate::pki::{Certificate, PrivateKey, Request, ServerIdentity, date, verify};
use crate::settings::{Group, Settings, Signer};

impl Deployment {
    /// Creates a request for `key` with every name in regcert.toml, applied or not. The current certificate stays in
    /// use.
    pub fn request(&mut self, key: PrivateKey) -> Result<(), Fault> {
        let asked = self.asked();
        let request = Request::create(&key, &asked.names(), &asked.subject())?.pem().to_owned();
        self.pending = Some(Pending { key, request });
        Ok(())
    }

    /// Imports the chain that was signed for the request, in any order. The root may be in the chain, in `more`, or
    /// known from before. Before any change, checks the chain as a client would, for the registry's names. If
    /// regcert.toml was edited for the request, applies only the names and the subject of the edit. Returns the names
    /// in the certificate that the request did not contain.
    pub fn import(
        &mut self,
        given: Vec<Certificate>,
        more: Vec<Certificate>,
        now: OffsetDateTime,
    ) -> Result<Vec<String>, Fault> {
        let Some(pending) = &self.pending else {
            return Err(Fault::new("no request is waiting for a signature").hint("`regcert csr` makes one"));
        };
        if let (Issuer::Own { .. }, Some(_)) = (&self.issuer, &self.retiring) {
            return Err(Fault::new("a rotation of our own root is under way")
                .hint("end it first: `regcert rotate --ca --finish`"));
        }
        let public_key = pending.key.public_key();
        let Some(leaf) = given.iter().find(|certificate| certificate.public_key == public_key) else {
            let path = self.request_path();
            return Err(Fault::new("none of the certificates is for the key of the request")
                .hint(format!("have `{path}` signed")));
        };
        let known = self.root().cloned();
        let others = [given.clone(), more, known.into_iter().collect()].concat();
        let mut chain = Certificate::order(leaf.clone(), &others).map_err(|fault| {
            fault.hint("add what is missing, up to the self-signed root, with `--ca-cert FILE`")
        })?;
        if chain.len() == 1 {
            return Err(Fault::new("the certificate is signed by itself and by no authority")
                .hint("have the request signed, or let regcert be the authority"));
        }
        let root = chain.pop().expect("two or more");
        self.accept(&chain, &root, now)?;

        if !matches!(&self.issuer, Issuer::External { root: Some(known) } if *known == root) {
            self.state.trust_changes(now);
        }
        let asked: Vec<_> = self.asked().names().iter().map(ToString::to_string).collect();
        let unasked = chain[0].names.iter().filter(|name| !asked.contains(name)).cloned().collect();
        let pending = self.pending.take().expect("looked at above");
        self.server = Some(ServerIdentity::of(chain, pending.key)?);
        // After the first certificate from an external authority, keeps the key of regcert's own root until `rotate
        // --ca --finish` removes the key.
        match std::mem::replace(&mut self.issuer, Issuer::External { root: Some(root) }) {
            Issuer::Own { authority, root_key } => {
                let root = authority.root().clone();
                let alone = authority.intermediates().is_empty();
                let key = if alone { Some(authority.into_key()) } else { root_key };
                self.retiring = Some(Retiring { root, key, vouched: None });
            }
            Issuer::External { .. } => {}
        }
        if let Some(edited) = &mut self.edited {
            edited.authority = Signer::External;
        }
        let asked = self.spec.with(&[Group::Names, Group::Subject], self.asked());
        self.put_in_force(Settings { authority: Signer::External, ..asked })?;
        Ok(unasked)
    }

    /// Fails if a client would refuse the chain for one of the registry's names.
    fn accept(&self, chain: &[Certificate], root: &Certificate, now: OffsetDateTime) -> Result<(), Fault> {
        for (below, certificate) in chain[1..].iter().chain([root]).enumerate() {
            certificate.fit_to_sign(below.try_into().unwrap_or(u32::MAX), now)?;
        }
        let validity = chain[0].validity;
        if now < validity.not_before || now > validity.not_after {
            let (from, until) = (date(validity.not_before), date(validity.not_after));
            return Err(Fault::new(format!(
                "the certificate is good from {from} to {until}, and today is {}",
                date(now)
            ))
            .hint("have the request signed again, or set this machine's clock"));
        }
        let lacks = |name: &String| !chain[0].names.contains(name);
        let names: Vec<_> = self.asked().names().iter().map(ToString::to_string).collect();
        let lacking: Vec<_> = names.iter().filter(|name| lacks(name)).cloned().collect();
        if !lacking.is_empty() {
            return Err(Fault::new(format!("the certificate does not cover {}", lacking.join(", "))).hint(
                "the external authority must take the names over from the request; or remove them from regcert.toml",
            ));
        }
        verify(chain, root, &names, now)
    }
}
