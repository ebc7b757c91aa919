//! The cures that several findings share: texts with the commands that repair a registry.

use super::answer::Cure;
use super::known::{Ill, Known, RolesOnDisk};
use crate::deployment::{Deployment, Issuer};
use crate::files::Part;
use crate::front::NGINX_CONF;
use crate::names::{SubjectAltName, shell};
use crate::pki::Certificate;
use crate::settings::ClientAuth;

impl Known<'_> {
    /// Returns a regcert command, with the machine to run it on. `commands::check` adds `-C` and sudo.
    pub(super) fn regcert(&self, words: &str) -> String {
        match self.deployment {
            Some(_) => format!("run `regcert {words}`"),
            None => format!("on the registry's machine, run `regcert {words}`"),
        }
    }

    /// Returns a Compose command, with the machine and the directory to run it in.
    pub(super) fn compose(&self, words: &str) -> String {
        match self.deployment {
            Some(_) => format!("run `{} {words}`", self.compose),
            None => format!("on the registry's machine, in its directory, run `{} {words}`", self.compose),
        }
    }

    /// Whether a file of these parts differs from what regcert would write.
    pub(super) fn differs(&self, parts: &[Part]) -> bool {
        self.files.iter().any(|(path, _)| parts.contains(&Part::of(path)))
    }

    /// Whether a file of this part is missing or outdated.
    pub(super) fn is_due(&self, part: Part) -> bool {
        self.files.iter().any(|(path, ill)| *ill == Ill::Due && Part::of(path) == part)
    }

    /// Returns the cure after which a file of these parts does what `says` demands. Overwrites edits by hand only if
    /// one of these files was edited.
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
            // config.yml contains a secret, and a copy of the file would be visible to Git and other users.
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

    /// Returns the command that rewrites only these files: `--force` would also overwrite the edits in other files.
    /// The command does not help if the other edits depend on these files.
    fn moves_away(&self, files: &[&str]) -> String {
        let place = |path: &str| shell(&self.dir.join(path).display().to_string());
        let moves = |path: &&str| format!("mv {} {}", place(path), place(&format!("{path}.edited")));
        let moves: Vec<_> = files.iter().map(moves).collect();
        format!("run `{} && regcert init --reload`, which keeps your edit there", moves.join(" && "))
    }

    /// Returns the command for the case that the files are correct but the containers cannot reach them: it sets the
    /// mode of `directory` and every directory below it to 0755, and then runs the Compose command `then`.
    pub(super) fn opens(&self, directory: &str, then: &str) -> String {
        let place = shell(&self.dir.join(directory).display().to_string());
        format!("run `sudo find {place} -type d -exec chmod 0755 {{}} + && {} {then}`", self.compose)
    }

    pub(super) fn reloads(&self) -> String {
        self.compose(self.reload)
    }

    /// Returns the command that restarts a server that does not answer, and the command that shows the reason.
    pub(super) fn restarts(&self) -> String {
        format!("{}; where that does not help, `{} logs` says why", self.compose("restart"), self.compose)
    }

    /// Returns the command that gets a new server certificate.
    pub(super) fn renews(&self) -> String {
        match self.deployment.map(|deployment| &deployment.issuer) {
            Some(Issuer::External { .. }) => {
                "run `regcert csr`, have the request signed, run `regcert import-cert FILE --reload`"
                    .to_owned()
            }
            Some(Issuer::Own { .. }) | None => self.regcert("rotate --reload"),
        }
    }

    /// Returns the command that replaces the root.
    pub(super) fn replaces_root(&self) -> String {
        match self.deployment.map(|deployment| &deployment.issuer) {
            Some(Issuer::External { .. }) => {
                format!("ask the external authority for its next root, and {}", self.renews())
            }
            Some(Issuer::Own { .. }) | None => self.regcert("rotate --ca --reload"),
        }
    }

    /// Returns the cure for a name that the server does not serve; if necessary, it adds the name to the certificate.
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

    /// Returns the commands that add a name to the certificate. The root may not allow the name, or an external
    /// authority may have to sign.
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

    /// Returns the server's certificate on disk.
    pub(super) fn leaf(&self) -> Option<&Certificate> {
        self.deployment.and_then(|deployment| deployment.server.as_ref()).map(|server| server.leaf())
    }
}

impl Known<'_> {
    /// Returns the text of a cure.
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

    /// Returns the command that makes the disk with the images writable.
    fn disk_read_write(&self) -> String {
        let says = "the disk with the images must be mounted read-write";
        let Some(data) = self.data else {
            return format!("{says}: `dmesg` says why the kernel allows no writes");
        };
        // docker-compose.yml may mount the directory read-only.
        if self.differs(&[Part::Engine]) {
            return self.mends(&[Part::Engine], says);
        }
        format!(
            "{says}: run `sudo mount -o remount,rw \"$(findmnt -n -o TARGET -T {data})\"`; where that fails, `dmesg` says why"
        )
    }

    /// Returns the command that makes the password file readable for the server.
    fn users_file(&self) -> String {
        let says = "the password file must be there and readable by the containers' user";
        if self.differs(&Part::OF_USERS) {
            return format!("{says}: {}", self.regcert("init --reload"));
        }
        self.mends(&[Part::Front], &format!("{says}, and nginx.conf must name it"))
    }

    /// Returns the command that makes the registry behind nginx answer.
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

    /// Returns the command that makes nginx read the roles.
    pub(super) fn takes_roles(&self) -> String {
        match self.roles {
            RolesOnDisk::Fit => self.reloads(),
            RolesOnDisk::Other => self.regcert("init --reload"),
            // If nginx.conf lacks the roles only because it is old, `init` rewrites it.
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

/// Whether the user's own file `own` can override a file of these parts. docker-compose.override.yml can override
/// every part.
fn is_read_with(own: &str, parts: &[Part]) -> bool {
    Part::of(own) != Part::Local || parts.iter().any(|part| Part::OF_FRONT.contains(part))
}

fn quoted(paths: &[&str]) -> String {
    paths.iter().map(|path| format!("`{path}`")).collect::<Vec<_>>().join(", ")
}
