//! Loads a registry from its files. Reports each missing or damaged part, and how to recover. Recreates a part only
//! for a command that asks for that, because clients and users may depend on the old part.

use super::files::{SPEC, STATE, front_directory};
use super::lost::{Mends, Remains, forgotten};
use super::read::{Found, Reader};
use super::{Deployment, Issuer, Loaded, State};
use crate::error::{Blame, Fault, Faults, Gather};
use crate::files::{FileSet, utf8};
use crate::names::file_stem;
use crate::settings::{RawSettings, RunAs, Settings, Side, Signer};

impl Deployment {
    /// Loads the registry from `files`; `None` if there is none.
    pub fn load(files: &FileSet, invoker: RunAs, mends: Mends<'_>) -> Result<Option<Loaded>, Faults> {
        let found = Found::look(files);
        if files.get(SPEC).is_none() && found.trace().is_none() {
            return Ok(None);
        }
        let mut gather = Gather::default();
        let loaded = Self::gathered(files, &found, invoker, mends, &mut gather);
        gather.finish(Blame::Elsewhere)?;
        let loaded = loaded.expect("a part that is not there left a fault");
        Ok(Some(Loaded::of(loaded, invoker)))
    }

    /// Loads the registry with the settings of regcert.toml; adds every fault to `gather`.
    fn gathered(
        files: &FileSet,
        found: &Found,
        invoker: RunAs,
        mends: Mends<'_>,
        gather: &mut Gather,
    ) -> Option<Self> {
        let state = Reader { files, gather: &mut Gather::default(), mends }.state();
        let noted = state.as_ref().and_then(State::applied_settings);
        let text = settings_text(files, found.trace(), noted, mends, gather);
        if text.is_none() && files.get(SPEC).is_none() {
            // Without the settings, regcert does not know which other files to expect.
            return None;
        }
        let checked = |text: &str, gather: &mut Gather| {
            Settings::check(&RawSettings::from_toml(text).ok()?, Side::File, invoker, gather)
        };
        let spec = text.as_deref().and_then(|text| checked(text, gather));
        let in_force = noted.and_then(|text| checked(text, &mut Gather::default()));
        let paths = Paths::of(in_force.as_ref().or(spec.as_ref()));

        let mut reader = Reader { files, gather, mends };
        let is_external = reader.is_external(text.as_deref().or(noted), found);
        let mut state = reader.state();
        // If the state is lost, it is unknown which users are limited.
        let is_forgotten = state.is_none();
        if let (Mends::Everything { now, directory }, None) = (mends, &state) {
            state = Some(forgotten(files, now, directory));
        }
        let users = reader.users(found, &paths.users, state.as_ref(), is_forgotten);
        let pending = reader.pending(found, spec.as_ref());
        let server = reader.server(found, &paths.server, is_external, pending.is_some());
        let (mut issuer, remains) = if is_external {
            (reader.external(found, &paths.root, pending.is_some(), server.as_ref()), Remains::default())
        } else {
            reader.own(found, &paths.root, server.as_ref())
        };
        let mut retiring = reader.retiring(found, issuer.as_ref().and_then(Issuer::own_root));
        let clients = if is_forgotten && state.is_some() { None } else { reader.clients(state.as_ref()) };
        if let (Mends::Everything { now, .. }, Some(spec), Some(state)) = (mends, &spec, &mut state) {
            if issuer.is_none() && !is_external {
                let made = remains.replace(spec, state, now);
                issuer = reader.gather.take("the authority", made);
                // The retiring root cross-signed only the lost root.
                retiring = None;
            } else if retiring.is_none() && found.has_retiring() {
                state.trust_changes(now);
            }
            if clients.is_none() {
                state.clients.clear();
            }
        }
        let (spec, state, users, issuer) = (spec?, state?, users?, issuer?);
        signs_as_said(&spec, &issuer, reader.gather);
        let spec_text = text;
        Some(Self { spec, spec_text, edited: None, issuer, retiring, server, pending, users, clients, state })
    }
}

/// Fails if regcert.toml names an external authority although the registry has its own authority's key.
fn signs_as_said(spec: &Settings, issuer: &Issuer, gather: &mut Gather) {
    if spec.authority == Signer::External && issuer.own_root().is_some() {
        gather.push(
            Fault::new("regcert.toml says `authority = \"external\"`, and the authority's key is here")
                .hint("say `authority = \"own\"`; `regcert csr` and `regcert import-cert` change it"),
        );
    }
}

/// The paths to name in the faults if parts are missing.
struct Paths {
    users: String,
    server: String,
    root: String,
}

impl Paths {
    fn of(spec: Option<&Settings>) -> Self {
        let front = spec.map_or("nginx", |spec| front_directory(spec.proxy));
        let host = spec.map_or("…".to_owned(), Settings::host_stem);
        let label = spec.map_or("…".to_owned(), |spec| file_stem(&spec.label()));
        Self {
            users: format!("{front}/auth/registry.passwd"),
            server: format!("{front}/ssl/{host}.pem"),
            root: format!("root-cert/root-cert-{label}.crt"),
        }
    }
}

/// Reads regcert.toml. If the file is unusable and the command may rewrite it, returns the settings last applied.
fn settings_text(
    files: &FileSet,
    trace: Option<&String>,
    noted: Option<&str>,
    mends: Mends<'_>,
    gather: &mut Gather,
) -> Option<String> {
    let restored = noted.filter(|_| mends.restores_settings()).map(str::to_owned);
    let again = "run `regcert init`, which writes it again with the settings applied last";
    let Some(file) = files.get(SPEC) else {
        if restored.is_none() {
            let what =
                format!("`{SPEC}` is missing, though `{}` is there", trace.map_or(STATE, String::as_str));
            gather.push(Fault::new(what).hint(match noted {
                Some(_) => format!("{again}; or bring it back from a backup"),
                None => "bring it back from a backup, or choose another directory with -C; an authority is never written over".to_owned(),
            }));
        }
        return restored;
    };
    let text = match utf8(&file.bytes).map(std::str::from_utf8) {
        Ok(Ok(text)) => Ok(text),
        Ok(Err(_)) => Err(Fault::new("it is not UTF-8")),
        Err(fault) => Err(fault),
    };
    if let (Ok(text), Some(_)) = (&text, noted)
        && text.trim().is_empty()
    {
        if restored.is_none() {
            gather.push(Fault::new(format!("`{SPEC}` is empty")).hint(again));
        }
        return restored;
    }
    let read = text.and_then(|text| RawSettings::from_toml(text).map(|_| text.to_owned()));
    match read {
        Ok(text) => Some(text),
        Err(_) if restored.is_some() && mends.replaces_settings() => restored,
        Err(fault) => {
            let or = noted.map(|_| {
                "`regcert init --force` writes the file again with the settings applied last".to_owned()
            });
            let hint: Vec<_> =
                Some(fault.hint.clone()).filter(|hint| !hint.is_empty()).into_iter().chain(or).collect();
            gather.take::<()>(SPEC, Err(fault.hint(hint.join("; or "))));
            None
        }
    }
}
