//! The commands that mend a registry, as far as several links print them.

use super::answer::Cure;
use super::known::{Ill, Known, RolesOnDisk};
use crate::deployment::{Deployment, Issuer};
use crate::files::Part;
use crate::front::NGINX_CONF;
use crate::names::{SubjectAltName, shell};
use crate::pki::Certificate;
use crate::settings::ClientAuth;

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

    /// Whether a file of these parts is not as regcert writes it.
    pub(super) fn differs(&self, parts: &[Part]) -> bool {
        self.files.iter().any(|(path, _)| parts.contains(&Part::of(path)))
    }

    /// Whether a file of this part is old or missing.
    pub(super) fn is_due(&self, part: Part) -> bool {
        self.files.iter().any(|(path, ill)| *ill == Ill::Due && Part::of(path) == part)
    }

    /// How the server comes to do what `says` asks of a file of these parts. An edit by hand is overwritten only where it
    /// is in one of them.
    pub(super) fn mends(&self, parts: &[Part], says: &str) -> String {
        if self.deployment.is_none() {
            return format!("{says}: on the registry's machine, `regcert check` says whether it does");
        }
        let concerns = |path: &str| parts.contains(&Part::of(path));
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
            let has_secret = concerned.iter().any(|path| Part::of(path) == Part::RegistryConfig);
            let rewrite = if others.is_empty() || has_secret {
                force
            } else {
                format!("{}; where that does not help, {force}", self.moves_away(&concerned))
            };
            return format!("{says}: correct {named}, which was edited by hand, or {rewrite}");
        }
        if parts.iter().any(|part| self.is_due(*part)) {
            return format!("{says}: {}", self.regcert("init --reload"));
        }
        let own: Vec<_> = self.own.iter().copied().filter(|own| is_read_with(own, parts)).collect();
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
                self.mends(&[Part::Front], &format!("nginx.conf must name `{host}`"))
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

impl Known<'_> {
    /// What mends the reason of an answer.
    pub(super) fn cure(&self, cure: Cure) -> String {
        match cure {
            Cure::Proxy(line) => self.mends(&[Part::Front], &format!("nginx.conf must say `{line}`")),
            Cure::Start => self.starts(),
            Cure::DataOwner => match (self.server, self.data) {
                (Some(server), Some(data)) => format!("run `sudo chown -R {server} {data}`"),
                (_, _) => self.compose("up -d --force-recreate"),
            },
            Cure::DataSpace => format!(
                "make room on the disk with the images, which `df -h` shows: {}, which frees the space of deleted images; or remove other files",
                self.regcert("gc")
            ),
            Cure::DiskReadOnly => self.disk_read_write(),
            Cure::ReadOnlyMode => {
                self.mends(&[Part::RegistryConfig], "registry/config.yml must not set `readonly`")
            }
            Cure::UsersFile => self.users_file(),
            Cure::Rights => match self.user {
                Some(user) => format!("give `{user}` the right to push, or name another user"),
                None => "name a user: `--user NAME --password-stdin`".to_owned(),
            },
            Cure::ClientCertificate => {
                if self.deployment.is_some_and(|deployment| deployment.spec.client_auth == ClientAuth::Off) {
                    return self.mends(&[Part::Front], "nginx.conf must not ask for a client certificate");
                }
                format!(
                    "{}, and name its files here: `--client-cert FILE --client-key FILE`",
                    self.regcert("add-client NAME")
                )
            }
            Cure::ServerName => self.names_it(),
            Cure::Wait => format!(
                "try again in a few seconds; where that does not help, a client is guessing passwords: to see which, {}",
                self.compose("logs nginx")
            ),
            Cure::Collection => {
                format!("wait until the collection has ended; if none runs, {}", self.regcert("gc"))
            }
            Cure::Log => self.restarts(),
        }
    }

    /// How the disk with the images comes to take writes.
    fn disk_read_write(&self) -> String {
        let says = "the disk with the images must be mounted read-write";
        let Some(data) = self.data else {
            return format!("{says}: `dmesg` says why the kernel allows no writes");
        };
        // docker-compose.yml itself can mount it read-only.
        if self.differs(&[Part::Engine]) {
            return self.mends(&[Part::Engine], says);
        }
        format!(
            "{says}: run `sudo mount -o remount,rw \"$(findmnt -n -o TARGET -T {data})\"`; where that fails, `dmesg` says why"
        )
    }

    /// How the server comes to read the passwords.
    fn users_file(&self) -> String {
        let says = "the password file must be there and readable by the containers' user";
        if self.differs(&Part::OF_USERS) {
            return format!("{says}: {}", self.regcert("init --reload"));
        }
        self.mends(&[Part::Front], &format!("{says}, and nginx.conf must name it"))
    }

    /// How the registry behind nginx comes to answer.
    pub(super) fn starts(&self) -> String {
        let runs = self.containers.of("registry").is_some_and(|registry| registry.is_running);
        let parts = [Part::RegistryConfig, Part::Engine, Part::Front];
        if runs && self.differs(&parts) {
            return self.mends(&parts, "nginx and the registry must name the same socket");
        }
        if runs {
            return self.restarts();
        }
        format!("{}; `{} logs registry` says why it ended", self.compose("up -d"), self.compose)
    }

    /// What makes nginx read the roles.
    pub(super) fn takes_roles(&self) -> String {
        match self.roles {
            RolesOnDisk::Fit => self.reloads(),
            RolesOnDisk::Other => self.regcert("init --reload"),
            // Its content was read. Where it is only old, `init` writes it.
            RolesOnDisk::Unread if self.is_due(Part::Front) => self.regcert("init --reload"),
            RolesOnDisk::Unread => {
                format!(
                    "{}, which overwrites the edits in `{NGINX_CONF}`",
                    self.regcert("init --force --reload")
                )
            }
        }
    }
}

/// Whether the containers read `own`, a file of the user's own, beside a file of these parts. docker-compose.override.yml
/// can contradict each of them.
fn is_read_with(own: &str, parts: &[Part]) -> bool {
    Part::of(own) != Part::Local || parts.iter().any(|part| Part::OF_FRONT.contains(part))
}

fn quoted(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}
