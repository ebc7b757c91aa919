//! The commands that mend a registry, as far as several links print them.

use super::check::{Ill, Known};
use crate::deployment::{Deployment, Issuer, NGINX_CONF, REGISTRY_CONFIG};
use crate::names::{SubjectAltName, shell};
use crate::pki::Certificate;

impl Known<'_> {
    /// A command for where the registry's directory is. `commands::check` completes it: with -C, with sudo.
    pub(super) fn regcert(&self, words: &str) -> String {
        match self.deployment {
            Some(_) => format!("run `regcert {words}`"),
            None => format!("on the registry's machine, run `regcert {words}`"),
        }
    }

    /// The same for compose.
    pub(super) fn compose(&self, words: &str) -> String {
        match self.deployment {
            Some(_) => format!("run `{} {words}`", self.compose),
            None => format!("on the registry's machine, in its directory, run `{} {words}`", self.compose),
        }
    }

    /// How the server comes to do what `says` asks of `file`, or of a file below it.
    pub(super) fn mends(&self, file: &str, says: &str) -> String {
        self.mends_one_of(&[file], says)
    }

    /// How the server comes to do what `says` asks of one of `files`, or of a file below them. An edit by hand is overwritten
    /// only where it is in one of them.
    pub(super) fn mends_one_of(&self, files: &[&str], says: &str) -> String {
        if self.deployment.is_none() {
            return format!("{says}: on the registry's machine, `regcert check` says whether it does");
        }
        let concerns = |path: &str| files.iter().any(|file| path.starts_with(file));
        let (concerned, others): (Vec<_>, Vec<_>) = self.edited().partition(|path| concerns(path));
        if !concerned.is_empty() {
            let named = quoted(&concerned);
            let all: Vec<_> = self.edited().collect();
            let force = format!(
                "{}, which overwrites the edits in {}",
                self.regcert("init --force --reload"),
                quoted(&all)
            );
            // config.yml holds a secret, which stays where Git and other users do not see it.
            let rewrite = if others.is_empty() || concerned.contains(&REGISTRY_CONFIG) {
                force
            } else {
                format!("{}; where that does not help, {force}", self.moves_away(&concerned))
            };
            return format!("{says}: correct {named}, which was edited by hand, or {rewrite}");
        }
        if self.files.iter().any(|(path, ill)| *ill == Ill::Due && concerns(path)) {
            return format!("{says}: {}", self.regcert("init --reload"));
        }
        let own: Vec<_> = self.own.iter().copied().filter(|own| is_read_with(own, files)).collect();
        let own = match own.is_empty() {
            true => String::new(),
            false => format!("; where that does not help, correct what {} says otherwise", quoted(&own)),
        };
        format!(
            "{says}, and the file in the directory does: {}, so that the server reads it{own}",
            self.compose("up -d --force-recreate")
        )
    }

    fn edited(&self) -> impl Iterator<Item = &str> {
        self.files.iter().filter(|(_, ill)| *ill == Ill::Edited).map(|(path, _)| path.as_str())
    }

    /// The command that rewrites these files alone: `--force` would overwrite the edits in others too. Where those belong
    /// together with one of these, it does not help.
    fn moves_away(&self, files: &[&str]) -> String {
        let place = |path: &str| shell(&self.dir.join(path).display().to_string());
        let moves = |path: &&str| format!("mv {} {}", place(path), place(&format!("{path}.edited")));
        let moves: Vec<_> = files.iter().map(moves).collect();
        format!("run `{} && regcert init --reload`, which keeps your edit there", moves.join(" && "))
    }

    /// How the containers come to read what lies below `directory`, where no file is at fault: as regcert makes directories.
    pub(super) fn opens(&self, directory: &str, then: &str) -> String {
        let place = shell(&self.dir.join(directory).display().to_string());
        format!("run `sudo find {place} -type d -exec chmod 0755 {{}} + && {} {then}`", self.compose)
    }

    pub(super) fn reloads(&self) -> String {
        self.compose(self.reload)
    }

    /// What mends a server that does not answer, and what says why.
    pub(super) fn restarts(&self) -> String {
        format!("{}; where that does not help, `{} logs` says why", self.compose("restart"), self.compose)
    }

    /// How another certificate comes about.
    pub(super) fn renews(&self) -> String {
        match self.deployment.map(|deployment| &deployment.issuer) {
            Some(Issuer::External { .. }) => {
                "run `regcert csr`, have the request signed, run `regcert import-cert FILE --reload`"
                    .to_owned()
            }
            Some(Issuer::Own { .. }) | None => self.regcert("rotate --reload"),
        }
    }

    /// How another root comes about.
    pub(super) fn replaces_root(&self) -> String {
        match self.deployment.map(|deployment| &deployment.issuer) {
            Some(Issuer::External { .. }) => {
                format!("ask the external authority for its next root, and {}", self.renews())
            }
            Some(Issuer::Own { .. }) | None => self.regcert("rotate --ca --reload"),
        }
    }

    /// How the certificate comes to cover the name that was asked for.
    pub(super) fn names_it(&self) -> String {
        let host = &self.target.host;
        let has = |deployment: &Deployment| {
            deployment.names().iter().any(|name| name.to_string() == host.to_string())
        };
        match self.deployment {
            Some(deployment) if has(deployment) => {
                self.mends(NGINX_CONF, &format!("nginx.conf must name `{host}`"))
            }
            Some(deployment) => self.adds_name(deployment),
            None => self.regcert(&format!("init --san {host} --reload")),
        }
    }

    /// How a name comes into the certificate: the root may not allow it, and another authority has to sign it.
    fn adds_name(&self, deployment: &Deployment) -> String {
        let host = &self.target.host;
        if let Issuer::External { .. } = deployment.issuer {
            return format!("{}; then {}", self.regcert(&format!("init --san {host}")), self.renews());
        }
        let adds = format!("init --san {host} --reload");
        let name = host.to_string().parse::<SubjectAltName>();
        match name.and_then(|name| deployment.admit(&[name])) {
            Ok(()) => self.regcert(&adds),
            Err(fault) => {
                format!("the root does not allow `{host}`: {}; then {}", fault.hint, self.regcert(&adds))
            }
        }
    }

    /// The leaf on disk.
    pub(super) fn leaf(&self) -> Option<&Certificate> {
        self.deployment.and_then(|deployment| deployment.server.as_ref()).map(|server| server.leaf())
    }
}

/// Whether the containers read `own`, a file of the person's own, beside one of these files. docker-compose.override.yml
/// can say otherwise than each of them.
fn is_read_with(own: &str, files: &[&str]) -> bool {
    !own.starts_with("nginx/") || files.iter().any(|file| file.starts_with("nginx/"))
}

fn quoted(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}
