//! The registry out of its files. A part that is missing or damaged is named with its cure and never made again in
//! silence: clients and users depend on the one that was there.

use std::collections::BTreeSet;

use super::clients::Signing;
use super::files::{AUTH, CLIENTS, RETIRING_CLIENTS, SPEC, STATE};
use super::{Clients, Deployment, Issuer, Pending, Retiring, State};
use crate::auth::{Accesses, Htpasswd, LIMITED};
use crate::error::{Blame, Fault, Faults, Gather};
use crate::files::{FileSet, RelPath, utf8};
use crate::names::{printable, visible};
use crate::pki::{Authority, Certificate, KeyAtRest, PrivateKey, Request, ServerIdentity};
use crate::spec::{RunAs, Settings, Side, Signer, Spec};

impl Deployment {
    /// The registry that lies in `files`; `None` where there is none.
    pub fn load(files: &FileSet, invoker: RunAs) -> Result<Option<Self>, Faults> {
        let found = Found::look(files);
        if files.get(SPEC).is_some() && files.text(SPEC).is_none() {
            let fault = match utf8(&files.get(SPEC).expect("it is there").bytes) {
                Ok(_) => Fault::new(format!("{SPEC}: it is not UTF-8")),
                Err(fault) => Fault { message: format!("{SPEC}: {}", fault.message), ..fault },
            };
            return Err(Faults { faults: vec![fault], blame: Blame::Elsewhere });
        }
        let Some(spec_text) = files.text(SPEC) else {
            let Some(trace) = found.trace() else {
                return Ok(None);
            };
            let fault = Fault::new(format!("`{SPEC}` is missing, though `{trace}` is there")).hint(
                "bring it back from a backup, or choose another directory with -C; an authority is never written over",
            );
            return Err(Faults { faults: vec![fault], blame: Blame::Elsewhere });
        };
        let mut gather = Gather::default();
        let settings = gather.take(SPEC, Settings::from_toml(spec_text));
        let spec = settings.and_then(|settings| Spec::check(&settings, Side::File, invoker, &mut gather));
        let mut reader = Reader { files, gather: &mut gather };
        let state = reader.parsed(STATE, State::from_json);
        let users = reader.users(&found, state.as_ref());
        let pending = reader.pending(&found, spec.as_ref());
        let server = reader.server(&found, pending.is_some());
        let issuer = reader.issuer(&found, pending.is_some());
        let vouched = matches!(issuer, Some(Issuer::Own { .. }));
        let retiring = reader.retiring(&found, vouched);
        let clients = reader.clients();
        if let (Some(spec), Some(Issuer::Own { .. })) = (&spec, &issuer)
            && spec.authority == Signer::External
        {
            gather.push(
                Fault::new("regcert.toml says `authority = \"external\"`, and the authority's key is here")
                    .hint("say `authority = \"own\"`; `regcert csr` and `regcert import-cert` change it"),
            );
        }
        let issued = state.as_ref().is_some_and(|state| !state.clients.is_empty());
        if issued && !CLIENTS.iter().any(|part| files.get(part).is_some()) {
            gather.push(missing("clients/clients-ca.key"));
        }
        gather.finish(Blame::Elsewhere)?;
        let (Some(spec), Some(state), Some(users), Some(issuer)) = (spec, state, users, issuer) else {
            unreachable!("a part that is not there left a fault");
        };
        let spec_text = Some(spec_text.to_owned());
        Ok(Some(Self { spec, spec_text, issuer, retiring, server, pending, users, clients, state }))
    }
}

/// Where the parts lie: by what is there, not by what regcert.toml says, because that may have been edited since.
struct Found {
    root: Option<String>,
    root_key: Option<String>,
    intermediate: Option<String>,
    intermediate_key: Option<String>,
    retiring: Option<String>,
    server: Option<String>,
    users: Option<String>,
    request: Option<String>,
}

impl Found {
    fn look(files: &FileSet) -> Self {
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
            // Any part of the old root stands for the whole, so that a missing one is noticed.
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

    /// Any part of a registry.
    fn trace(&self) -> Option<&String> {
        [&self.root_key, &self.root, &self.intermediate_key, &self.server, &self.users, &self.request]
            .into_iter()
            .find_map(Option::as_ref)
    }
}

/// Reads parts and gathers what is wrong with them.
struct Reader<'a> {
    files: &'a FileSet,
    gather: &'a mut Gather,
}

impl Reader<'_> {
    /// The part at `path`, through `parse`; a fault where it is missing or damaged.
    fn parsed<T>(&mut self, path: &str, parse: impl FnOnce(&str) -> Result<T, Fault>) -> Option<T> {
        let Some(file) = self.files.get(path) else {
            self.gather.push(missing(path));
            return None;
        };
        let text = utf8(&file.bytes)
            .and_then(|bytes| std::str::from_utf8(bytes).map_err(|_| Fault::new("it is not text")));
        let damaged = |fault: Fault| {
            if fault.hint.is_empty() { fault.hint("bring it back from a backup") } else { fault }
        };
        self.gather.take(&format!("`{}`", visible(path)), text.and_then(parse).map_err(damaged))
    }

    fn issuer(&mut self, found: &Found, waiting: bool) -> Option<Issuer> {
        if found.intermediate_key.is_none() && found.root_key.is_none() {
            return self.external(found, waiting);
        }
        let Some(root_path) = &found.root else {
            let beside = found.root_key.as_ref().map(|key| key.replace(".key", ".crt"));
            self.gather.push(missing(beside.as_deref().unwrap_or("root-cert/root-cert-….crt")));
            return None;
        };
        let root = self.parsed(root_path, Certificate::from_pem);
        let root_key = found.root_key.as_ref().map(|path| self.parsed(path, KeyAtRest::from_pem));
        let (mut chain, key, root_key) = match (&found.intermediate, &found.intermediate_key) {
            (None, None) => (Vec::new(), root_key.flatten()?, None),
            (Some(chain), Some(key)) => {
                let chain = self.parsed(chain, Certificate::chain_from_pem);
                let key = self.parsed(key, KeyAtRest::from_pem);
                (chain?, key?, root_key.flatten())
            }
            (Some(path), None) => {
                self.gather.push(missing(&path.replace(".crt", ".key")));
                return None;
            }
            (None, Some(path)) => {
                self.gather.push(missing(&path.replace(".key", ".crt")));
                return None;
            }
        };
        chain.push(root?);
        let pair = Authority::of(chain, key).map_err(|fault| fault.hint("bring back the pair from a backup"));
        Some(Issuer::Own { authority: self.gather.take(&format!("`{root_path}`"), pair)?, root_key })
    }

    /// No key of an authority is here: an external one signs, and has either done so or not yet. A registry of our own
    /// that lost its key looks the same but for its server certificate, which has no request behind it.
    fn external(&mut self, found: &Found, waiting: bool) -> Option<Issuer> {
        let external = self.files.get(super::files::SPEC).is_some_and(|file| {
            let settings = Settings::from_toml(std::str::from_utf8(&file.bytes).unwrap_or_default());
            settings.is_ok_and(|settings| settings.authority.as_deref() == Some("external"))
        });
        match (&found.root, external) {
            (root, true) => match root {
                Some(path) => {
                    Some(Issuer::External { root: Some(self.parsed(path, Certificate::from_pem)?) })
                }
                None if waiting => Some(Issuer::External { root: None }),
                None => {
                    self.gather.push(missing("root-cert/root-cert-….crt"));
                    None
                }
            },
            (root, false) => {
                let beside = root.as_ref().map(|root| root.replace(".crt", ".key"));
                self.gather.push(missing(beside.as_deref().unwrap_or("root-cert/root-cert-….key")));
                None
            }
        }
    }

    fn retiring(&mut self, found: &Found, is_vouched: bool) -> Option<Retiring> {
        let path = found.retiring.as_ref()?;
        let root = self.parsed(path, Certificate::from_pem);
        let vouched =
            is_vouched.then(|| self.parsed(&path.replace("/retiring-", "/vouched-"), Certificate::from_pem));
        let key_path = path.replace(".crt", ".key");
        let key = self
            .files
            .get(&key_path)
            .is_some()
            .then(|| self.parsed(&key_path, KeyAtRest::from_pem))
            .flatten();
        let vouched = match vouched {
            Some(vouched) => Some(vouched?),
            None => None,
        };
        Some(Retiring { root: root?, key, vouched })
    }

    fn server(&mut self, found: &Found, waiting: bool) -> Option<ServerIdentity> {
        match &found.server {
            Some(path) => self.parsed(path, ServerIdentity::from_pem),
            None if waiting => None,
            None => {
                self.gather.push(missing("nginx/ssl/….pem"));
                None
            }
        }
    }

    /// The key is what counts: the request may have been taken away to be signed, and is made again.
    fn pending(&mut self, found: &Found, spec: Option<&Spec>) -> Option<Pending> {
        let path = found.request.as_ref()?;
        let key = self.parsed(path, |text| PrivateKey::read(text.as_bytes(), None))?;
        let beside = path.replace(".key", ".csr");
        let request = match (self.files.text(&beside), spec) {
            (Some(request), _) => request.to_owned(),
            (None, Some(spec)) => {
                self.gather.take(path, Request::create(&key, &spec.names(), &spec.subject))?.pem().to_owned()
            }
            (None, None) => return None,
        };
        Some(Pending { key, request })
    }

    fn clients(&mut self) -> Option<Clients> {
        let retiring = self.signing(RETIRING_CLIENTS);
        // A retiring authority stands beside one that signs.
        let current = if retiring.is_some() { Some(self.whole(CLIENTS)) } else { self.signing(CLIENTS) };
        Some(Clients { current: current??, retiring: retiring.flatten() })
    }

    /// An authority for clients, where any part of it is there.
    fn signing(&mut self, parts: [&str; 3]) -> Option<Option<Signing>> {
        parts.iter().find_map(|part| self.files.get(part))?;
        Some(self.whole(parts))
    }

    fn whole(&mut self, [certificate, key, crl]: [&str; 3]) -> Option<Signing> {
        let root = self.parsed(certificate, Certificate::from_pem);
        let key = self.parsed(key, KeyAtRest::from_pem);
        let crl = self.parsed(crl, |text| Ok(text.to_owned()));
        let authority = self.gather.take(&format!("`{certificate}`"), Authority::of(vec![root?], key?));
        Some(Signing { authority: authority?, crl: crl? })
    }

    /// A password file; without the mark of a Windows editor, which nginx would take for a part of the first name.
    fn htpasswd(&mut self, path: &str) -> Option<Htpasswd> {
        let bytes = self.files.get(path).map_or(&[][..], |file| &file.bytes);
        self.gather.take(&format!("`{path}`"), utf8(bytes)).map(Htpasswd::parse)
    }

    fn users(&mut self, found: &Found, state: Option<&State>) -> Option<Htpasswd> {
        let Some(users) = found.users.as_deref().filter(|path| self.files.get(path).is_some()) else {
            self.gather.push(missing("nginx/auth/registry.passwd"));
            return None;
        };
        let is_nginx = users.starts_with(AUTH);
        let mut users = self.htpasswd(users)?;
        let paths: Vec<_> =
            self.files.matching(AUTH, "passwd").map(|path| path.as_str().to_owned()).collect();
        let name_of = |path: &str| path[AUTH.len() + 1..].to_owned();
        let names: BTreeSet<_> = paths.iter().map(|path| name_of(path)).collect();
        let Some(accesses) = state.map(|state| &state.access).filter(|_| is_nginx) else {
            return Some(users);
        };
        // In an older directory one file has them all.
        if !names.contains(LIMITED) {
            let lost = accesses.limited_files().into_iter().find(|name| !names.contains(name));
            if let Some(name) = lost {
                self.gather.push(missing(&format!("{AUTH}/{name}")));
            }
        }
        for path in paths.iter().filter(|path| name_of(path).starts_with("limited")) {
            let limited = self.htpasswd(path)?;
            self.belong(path, &name_of(path), &limited, accesses);
            users = users.join(&limited);
        }
        Some(users)
    }

    /// Refuses a user in the password file of another access.
    fn belong(&mut self, path: &str, file: &str, users: &Htpasswd, accesses: &Accesses) {
        let is_right = |name: &String| {
            accesses.must_be_read(name) && (file == LIMITED || accesses.password_file(name) == file)
        };
        let Some(name) = users.names().into_iter().find(|name| !is_right(name)) else {
            return;
        };
        let name = printable(&name);
        self.gather.push(
            Fault::new(format!("`{path}` has `{name}`, whose access in `{STATE}` is another one"))
                .hint("remove the line and add the user again; or restore both files from the same backup"),
        );
    }
}

fn missing(path: &str) -> Fault {
    Fault::new(format!("`{}` is missing", visible(path))).hint(
        "bring it back from a backup; regcert does not make another in silence, because clients and users depend on this one",
    )
}
