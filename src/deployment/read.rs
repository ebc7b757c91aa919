//! Reads the parts of a registry from their files and compares related files. If two files do not match, a third file
//! shows which of the two is wrong.

use super::clients::Signing;
use super::files::{CLIENTS, CLIENTS_SERVED, ENV, REGISTRY_CONFIG, RETIRING_CLIENTS, ROOT_COPY, STATE};
use super::lost::{Mends, Part, Remains};
use super::{Clients, Issuer, Pending, Retiring, State};
use crate::error::{Fault, Gather};
use crate::files::{FileSet, RelPath, utf8};
use crate::names::{project_name, visible};
use crate::pki::{
    Authority, Certificate, KeyAtRest, PrivateKey, Request, ServerIdentity, is_revocation_list,
};
use crate::settings::{RawSettings, Settings};

/// The paths of the existing parts, found by a scan of the files, because the names in regcert.toml may have changed.
pub(super) struct Found {
    root: Option<String>,
    root_key: Option<String>,
    intermediate: Option<String>,
    intermediate_key: Option<String>,
    retiring: Option<String>,
    server: Option<String>,
    pub users: Option<String>,
    request: Option<String>,
}

impl Found {
    pub fn look(files: &FileSet) -> Self {
        let first = |directory: &str, prefix: &str, extension: &str| {
            let named = |path: &&RelPath| path.as_str()[directory.len() + 1..].starts_with(prefix);
            files.matching(directory, extension).find(named).map(RelPath::to_string)
        };
        let either = |below: &str, prefix: &str, extension: &str| {
            first(&format!("nginx/{below}"), prefix, extension)
                .or_else(|| first(&format!("registry/{below}"), prefix, extension))
        };
        Self {
            root: first("root-cert", "root-cert-", "crt"),
            root_key: first("root-cert", "root-cert-", "key"),
            intermediate: first("root-cert", "intermediate-", "crt"),
            intermediate_key: first("root-cert", "intermediate-", "key"),
            // Any file of the retiring root is enough, so that the missing files are reported.
            retiring: first("root-cert", "retiring-", "crt")
                .or_else(|| first("root-cert", "retiring-", "key").map(|key| key.replace(".key", ".crt")))
                .or_else(|| {
                    first("root-cert", "vouched-", "crt").map(|crt| crt.replace("/vouched-", "/retiring-"))
                }),
            server: either("ssl", "", "pem"),
            users: either("auth", "registry", "passwd"),
            request: first("request", "", "key")
                .or_else(|| first("request", "", "csr").map(|csr| csr.replace(".csr", ".key"))),
        }
    }

    /// Whether any file of a retiring root exists.
    pub fn has_retiring(&self) -> bool {
        self.retiring.is_some()
    }

    /// Returns the path of an existing part; `None` if there is none.
    pub fn trace(&self) -> Option<&String> {
        [&self.root_key, &self.root, &self.intermediate_key, &self.server, &self.users, &self.request]
            .into_iter()
            .find_map(Option::as_ref)
    }
}

/// Reads the parts, and gathers a fault for each unusable part that the command does not recreate.
pub(super) struct Reader<'a> {
    pub files: &'a FileSet,
    pub gather: &'a mut Gather,
    pub mends: Mends<'a>,
}

impl Reader<'_> {
    /// Reports that the part at `path` is missing.
    pub fn missing(&mut self, path: &str, part: Part) {
        self.lost(part, format!("`{}` is missing", visible(path)));
    }

    pub fn damaged(&mut self, path: &str, part: Part, why: &str) {
        self.lost(part, format!("`{}`: {why}", visible(path)));
    }

    pub fn lost(&mut self, part: Part, what: String) {
        if !self.mends.covers(part) {
            self.gather.push(Fault::new(what).hint(part.cure()));
        }
    }

    /// Reads the part at `path` with `parse`; reports a missing or damaged part.
    fn parsed<T>(
        &mut self,
        path: &str,
        part: Part,
        parse: impl FnOnce(&str) -> Result<T, Fault>,
    ) -> Option<T> {
        let Some(file) = self.files.get(path) else {
            self.missing(path, part);
            return None;
        };
        let text = utf8(&file.bytes)
            .and_then(|bytes| std::str::from_utf8(bytes).map_err(|_| Fault::new("it is not text")));
        match text.and_then(parse) {
            Ok(value) => Some(value),
            Err(fault) => {
                self.damaged(path, part, &fault.message);
                None
            }
        }
    }

    /// Reads the state. If two files contradict the state, it belongs to another registry.
    pub fn state(&mut self) -> Option<State> {
        let state = self.parsed(STATE, Part::State, State::from_json)?;
        let project = state.project.as_ref().map(|project| project.name.clone());
        let named = self.files.text(ENV).and_then(project_name);
        let config = self.files.text(REGISTRY_CONFIG).unwrap_or_default();
        let secret = config.lines().find_map(|line| line.trim().strip_prefix("secret:"));
        let is_foreign = secret.is_some_and(|secret| !secret.contains(state.http_secret()))
            && named.is_some()
            && named != project;
        if is_foreign {
            let why =
                format!("it is another registry's: neither `{ENV}` nor `{REGISTRY_CONFIG}` agrees with it");
            self.damaged(STATE, Part::State, &why);
            return None;
        }
        Some(state)
    }

    /// Whether an external authority signs: regcert.toml names one, and no key of an authority is stored here.
    pub fn is_external(&self, settings: Option<&str>, found: &Found) -> bool {
        let says = settings.and_then(|text| RawSettings::from_toml(text).ok());
        let says = says.is_some_and(|settings| settings.authority.as_deref() == Some("external"));
        says && found.root_key.is_none() && found.intermediate_key.is_none()
    }

    /// Reads the certificates in a file of copies; empty if the file cannot be read.
    fn copies(&self, path: &str) -> Vec<Certificate> {
        let text = self.files.text(path).unwrap_or_default();
        Certificate::chain_from_pem(text).unwrap_or_default()
    }

    /// Reads the root certificate. If the file is lost or holds the root of another registry, the copy for clients helps.
    fn root(&mut self, path: &str, part: Part, server: Option<&ServerIdentity>) -> Option<Certificate> {
        let text = self.files.text(path).unwrap_or_default();
        let there = Certificate::from_pem(text).ok();
        let signed = |root: &&Certificate| {
            server.is_some_and(|server| server.chain().iter().any(|one| one.is_signed_by(root)))
        };
        let copy = self.copies(ROOT_COPY).into_iter().find(|copy| signed(&copy));
        match (there, copy) {
            (Some(root), Some(copy)) if root != copy && !signed(&&root) => {
                self.damaged(path, Part::Copied, "it is another registry's");
                Some(copy)
            }
            (Some(root), _) => Some(root),
            (None, Some(copy)) => self.parsed(path, Part::Copied, Certificate::from_pem).or(Some(copy)),
            (None, None) => self.parsed(path, part, Certificate::from_pem),
        }
    }

    /// Reads regcert's own authority: returns the authority if it is complete, and its remaining parts.
    pub fn own(
        &mut self,
        found: &Found,
        default: &str,
        server: Option<&ServerIdentity>,
    ) -> (Option<Issuer>, Remains) {
        let root_path =
            found.root.clone().or_else(|| found.root_key.as_ref().map(|key| key.replace(".key", ".crt")));
        let root_path = root_path.unwrap_or_else(|| default.to_owned());
        let root = self.root(&root_path, Part::Root, server);
        let key_path = found.root_key.clone().unwrap_or_else(|| root_path.replace(".crt", ".key"));
        let beside = found
            .intermediate
            .clone()
            .or_else(|| found.intermediate_key.as_ref().map(|key| key.replace(".key", ".crt")));
        let Some(path) = beside else {
            let key = self.parsed(&key_path, Part::Root, KeyAtRest::from_pem);
            let remains = Remains { root: root.clone(), ..Remains::default() };
            let issuer = root.zip(key).and_then(|(root, key)| {
                let authority = self.pair(vec![root], key, [&root_path, &key_path], Part::Root, server)?;
                Some(Issuer::Own { authority, root_key: None })
            });
            return (issuer, remains);
        };
        // The user may have moved the root's key away.
        let root_key =
            found.root_key.as_ref().and_then(|path| self.parsed(path, Part::SpareKey, KeyAtRest::from_pem));
        let root_key = root_key.filter(|key| self.fits(key, root.as_ref(), &key_path));
        let chain = self.intermediates(&path, server);
        let signer_path = path.replace(".crt", ".key");
        let key = self.parsed(&signer_path, Part::Intermediate, KeyAtRest::from_pem);
        let remains = Remains {
            root: root.clone(),
            root_key: root_key.as_ref().map(KeyAtRest::again),
            is_offline: true,
        };
        let issuer = root.zip(chain).zip(key).and_then(|((root, chain), key)| {
            let chain = [chain, vec![root]].concat();
            let authority = self.pair(chain, key, [&path, &signer_path], Part::Intermediate, server)?;
            Some(Issuer::Own { authority, root_key })
        });
        (issuer, remains)
    }

    /// Reads the intermediates between the server and the root. The server's chain replaces lost intermediates.
    fn intermediates(&mut self, path: &str, server: Option<&ServerIdentity>) -> Option<Vec<Certificate>> {
        let text = self.files.text(path).unwrap_or_default();
        let there = Certificate::chain_from_pem(text).ok().filter(|chain| !chain.is_empty());
        let served = server.map(|server| server.chain()[1..].to_vec()).filter(|chain| !chain.is_empty());
        // During a rotation, the chain ends with the new root, cross-signed by the old one.
        let served = served.map(|mut chain| {
            chain.truncate(1);
            chain
        });
        match (there, served) {
            (Some(there), _) => Some(there),
            (None, Some(served)) => {
                self.parsed(path, Part::Copied, some_certificates);
                Some(served)
            }
            (None, None) => self.parsed(path, Part::Intermediate, some_certificates),
        }
    }

    /// Whether a spare key belongs to the root; true if the key is encrypted or the root is missing.
    fn fits(&mut self, key: &KeyAtRest, root: Option<&Certificate>, path: &str) -> bool {
        let (Ok(open), Some(root)) = (key.open(), root) else {
            return true;
        };
        let fits = open.public_key() == root.public_key;
        if !fits {
            self.damaged(path, Part::SpareKey, "it does not belong to the root certificate");
        }
        fits
    }

    /// Builds an authority from its certificates and key. If they do not match, the server certificate shows which of
    /// the two is wrong.
    fn pair(
        &mut self,
        chain: Vec<Certificate>,
        key: KeyAtRest,
        [certificate, key_path]: [&str; 2],
        part: Part,
        server: Option<&ServerIdentity>,
    ) -> Option<Authority> {
        let signer = chain.first().cloned();
        match Authority::of(chain, key) {
            Ok(authority) => Some(authority),
            Err(fault) => {
                let signed =
                    signer.zip(server).is_some_and(|(signer, server)| server.leaf().is_signed_by(&signer));
                self.damaged(if signed { key_path } else { certificate }, part, &fault.message);
                None
            }
        }
    }

    /// Reads the external authority with its root; before the first import, the authority has no root.
    pub fn external(
        &mut self,
        found: &Found,
        default: &str,
        waiting: bool,
        server: Option<&ServerIdentity>,
    ) -> Option<Issuer> {
        let is_first = found.root.is_none() && found.server.is_none() && self.files.get(ROOT_COPY).is_none();
        if is_first && (waiting || self.mends.covers(Part::Request)) {
            return Some(Issuer::External { root: None });
        }
        let path = found.root.as_deref().unwrap_or(default);
        Some(Issuer::External { root: Some(self.root(path, Part::SignedRoot, server)?) })
    }

    pub fn retiring(&mut self, found: &Found, root: Option<&Certificate>) -> Option<Retiring> {
        let path = found.retiring.as_ref()?;
        let (vouched_path, key_path) =
            (path.replace("/retiring-", "/vouched-"), path.replace(".crt", ".key"));
        let old = self.parsed(path, Part::Retiring, Certificate::from_pem);
        // None of regcert's roots cross-signs an external root.
        let vouched = match root {
            Some(_) => Some(self.parsed(&vouched_path, Part::Retiring, Certificate::from_pem)?),
            None => None,
        };
        let old = old?;
        if let (Some(vouched), Some(root)) = (&vouched, root)
            && !(vouched.public_key == root.public_key && vouched.is_signed_by(&old))
        {
            let wrong = if vouched.public_key == root.public_key { path } else { &vouched_path };
            self.damaged(wrong, Part::Retiring, "it does not belong to this rotation");
            return None;
        }
        let key = self
            .files
            .get(&key_path)
            .and_then(|_| self.parsed(&key_path, Part::SpareKey, KeyAtRest::from_pem));
        let key = key.filter(|key| self.fits(key, Some(&old), &key_path));
        Some(Retiring { root: old, key, vouched })
    }

    /// Reads the server's key and certificate; `None` also before an external authority has signed.
    pub fn server(
        &mut self,
        found: &Found,
        default: &str,
        is_external: bool,
        waiting: bool,
    ) -> Option<ServerIdentity> {
        if waiting && is_external {
            let text = found.server.as_ref().and_then(|path| self.files.text(path));
            return text.and_then(|text| ServerIdentity::from_pem(text).ok());
        }
        let part = if is_external { Part::SignedServer } else { Part::Server };
        self.parsed(found.server.as_deref().unwrap_or(default), part, ServerIdentity::from_pem)
    }

    /// Reads the pending request and its key. Only the key must exist: the user may have moved the request away to
    /// have it signed, so regcert recreates the request.
    pub fn pending(&mut self, found: &Found, spec: Option<&Settings>) -> Option<Pending> {
        let path = found.request.as_ref()?;
        let key = self.parsed(path, Part::Request, |text| PrivateKey::read(text.as_bytes(), None))?;
        let there = self.files.text(&path.replace(".key", ".csr")).filter(|text| {
            Request::read(text.as_bytes()).is_ok_and(|request| request.public_key == key.public_key())
        });
        let request = match (there, spec) {
            (Some(request), _) => request.to_owned(),
            (None, Some(spec)) => self
                .gather
                .take(path, Request::create(&key, &spec.names(), &spec.subject()))?
                .pem()
                .to_owned(),
            (None, None) => return None,
        };
        Some(Pending { key, request })
    }

    /// Reads the authorities for client certificates, which must exist if a client certificate was issued.
    pub fn clients(&mut self, state: Option<&State>) -> Option<Clients> {
        let was_issued = state.is_some_and(|state| !state.clients.is_empty());
        if was_issued && !CLIENTS.iter().any(|part| self.files.get(part).is_some()) {
            self.missing(CLIENTS[1], Part::Clients);
        }
        let retiring = self.signing(RETIRING_CLIENTS);
        // If there is a retiring authority, the current one must exist.
        let current = if retiring.is_some() { Some(self.whole(CLIENTS)) } else { self.signing(CLIENTS) };
        Some(Clients { current: current??, retiring: retiring.flatten() })
    }

    /// Reads an authority for clients: `None` if no file of it exists, `Some(None)` if a file is missing or damaged.
    fn signing(&mut self, parts: [&str; 3]) -> Option<Option<Signing>> {
        parts.iter().find_map(|part| self.files.get(part))?;
        Some(self.whole(parts))
    }

    fn whole(&mut self, [certificate, key, crl]: [&str; 3]) -> Option<Signing> {
        let key_at_rest = self.parsed(key, Part::Clients, KeyAtRest::from_pem);
        let public_key = key_at_rest.as_ref().and_then(|key| Some(key.open().ok()?.public_key()));
        let there = Certificate::from_pem(self.files.text(certificate).unwrap_or_default()).ok();
        // nginx has a copy of the certificate, which replaces a lost one.
        let copy = self
            .copies(CLIENTS_SERVED)
            .into_iter()
            .find(|copy| Some(&copy.public_key) == public_key.as_ref());
        let root = match (there, copy) {
            (None, Some(copy)) => {
                self.parsed(certificate, Part::Copied, Certificate::from_pem).or(Some(copy))
            }
            (Some(root), Some(copy)) if Some(&root.public_key) != public_key.as_ref() => {
                self.damaged(certificate, Part::Copied, "it does not belong to its key");
                Some(copy)
            }
            (Some(root), _) => Some(root),
            (None, None) => self.parsed(certificate, Part::Clients, Certificate::from_pem),
        };
        let (root, key_at_rest) = (root?, key_at_rest?);
        let is_list = |text: &str| is_revocation_list(text, &root);
        let text = self.files.text(crl).unwrap_or_default().to_owned();
        let authority = match Authority::of(vec![root.clone()], key_at_rest) {
            Ok(authority) => authority,
            Err(fault) => {
                let wrong = if is_list(&text).is_ok() { key } else { certificate };
                self.damaged(wrong, Part::Clients, &fault.message);
                return None;
            }
        };
        // If the revocation list is missing, `make_clients` signs a new one.
        let crl = self.parsed(crl, Part::Revoked, |text| is_list(text).map(|()| text.to_owned()));
        Some(Signing { authority, crl: crl.unwrap_or_default() })
    }
}

fn some_certificates(text: &str) -> Result<Vec<Certificate>, Fault> {
    let chain = Certificate::chain_from_pem(text)?;
    if chain.is_empty() { Err(Fault::new("it holds no certificate in PEM")) } else { Ok(chain) }
}
