//! Replaces a root without breaking clients: the new root signs at once, the old root cross-signs the new one, and
//! every package contains both until the old root is dropped.

use time::OffsetDateTime;

use super::{Deployment, Issuer, ServerKey, own, subtrees};
use crate::error::Fault;
use crate::names::Subtree;
use crate::pki::{Authority, Certificate, Constraints, KeyAtRest, PrivateKey, RootProfile};

/// The old root during a rotation.
#[derive(Debug, PartialEq)]
pub struct Retiring {
    /// The certificate of the old root, which some clients still trust.
    pub root: Certificate,
    /// The stored key of the old root, until the rotation is finished.
    pub key: Option<KeyAtRest>,
    /// The new root, cross-signed by the old root. The server sends it, so that clients with the old root can verify
    /// the chain. `None` if the new root is external and the old root did not cross-sign it.
    pub vouched: Option<Certificate>,
}

impl Deployment {
    /// Begins a rotation: creates a new root, cross-signed by the old root, and a server certificate that clients of
    /// either root accept. Replaces an expired root at once, because no client accepts its signature.
    pub fn begin_rotation(&mut self, permit: &[Subtree], now: OffsetDateTime) -> Result<(), Fault> {
        let voucher = self.voucher(now)?;
        let Issuer::Own { authority: old, .. } = &self.issuer else {
            unreachable!("`voucher` refuses the rest");
        };
        let offline = !old.intermediates().is_empty();
        let (old_root, old_key) = (old.root().clone(), old.key().again());

        // The new root permits every name that the old root permitted. If the old root has no name constraints, the
        // new root has none.
        let constraints = old_root.constraints.as_ref().map(|old| {
            Constraints::to([subtrees(&self.spec), old.permitted.clone(), permit.to_vec()].concat())
        });
        let label = self.spec.label();
        self.state.trust_changes(now);
        let edition = self.state.release().version;
        let profile = RootProfile {
            label: &label,
            edition: &edition,
            subject: &self.spec.subject(),
            constraints,
            levels: levels(offline),
        };
        let root = Authority::create(&profile, PrivateKey::generate(self.spec.key_type), now)?;
        let vouched = voucher.as_ref().map(|voucher| voucher.vouch_for(&root, &profile, now)).transpose()?;
        let mut issuer = own(root, offline, &profile, self.spec.key_type, now)?;
        issuer.keys_mut().into_iter().try_for_each(|new| new.store_like(&old_key))?;
        self.issuer = issuer;
        self.retiring = match voucher {
            Some(voucher) => {
                let mut key = voucher.into_key();
                // If the user brought the root's key back unencrypted, encrypts it with the passphrase of the signing
                // key.
                key.store_like(&old_key)?;
                Some(Retiring { root: old_root, key: Some(key), vouched })
            }
            None => None,
        };
        self.reconfigure(self.spec.clone(), ServerKey::New, now)
    }

    /// Returns the root that can cross-sign a new root; `None` if it has expired. Fails if no root can cross-sign.
    pub fn voucher(&self, now: OffsetDateTime) -> Result<Option<Authority>, Fault> {
        if let Some(retiring) = &self.retiring {
            return Err(Fault::new(format!(
                "a rotation is under way already, away from {}",
                retiring.root.fingerprint()
            ))
            .hint("when every client has the new root, `regcert rotate --ca --finish`"));
        }
        self.authority()?;
        let Issuer::Own { authority: old, root_key } = &self.issuer else {
            unreachable!("`authority` refuses the rest");
        };
        let refused: Vec<_> = old.refuses(&self.names()).iter().map(ToString::to_string).collect();
        if !refused.is_empty() {
            return Err(Fault::new(format!("the present root does not allow {}", refused.join(", "))).hint(
                "take it out of regcert.toml, replace the root with `--permit` for it, finish the rotation, and then add it",
            ));
        }
        if now > old.root().validity.not_after {
            return Ok(None);
        }
        let offline = !old.intermediates().is_empty();
        let key = match (offline, root_key) {
            (true, Some(key)) => key.again(),
            (false, _) => old.key().again(),
            (true, None) => {
                return Err(Fault::new(
                    "the root's key is not here, and only it can vouch for its successor",
                )
                .hint(format!(
                    "bring it back to `{}`, run `regcert rotate --ca --reload`, and move it away again; for a root that another authority keeps, run `regcert csr`",
                    self.root_path().replace(".crt", ".key")
                )));
            }
        };
        let voucher = Authority::of(vec![old.root().clone()], key)?;
        voucher.can_vouch(levels(offline))?;
        Ok(Some(voucher))
    }

    /// Finishes the rotation. From now on, clients that have only the old root refuse the registry.
    pub fn finish_rotation(&mut self, now: OffsetDateTime) -> Result<Certificate, Fault> {
        let Some(retiring) = self.retiring.take() else {
            return Err(Fault::new("no rotation is under way").hint("`regcert rotate --ca` begins one"));
        };
        self.state.trust_changes(now);
        self.reconfigure(self.spec.clone(), ServerKey::New, now)?;
        Ok(retiring.root)
    }
}

/// Computes the path length of a root: the maximum number of authorities between root and server certificate.
fn levels(offline_root: bool) -> u8 {
    if offline_root { 2 } else { 1 }
}
