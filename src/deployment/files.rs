//! The registry as files: the path and the permissions of each part, and the files that are rendered from other parts.

use serde::Serialize;

use super::{Deployment, Headers, Issuer, Wiped, format};
use crate::auth::PasswordFiles;
use crate::error::Fault;
use crate::files::{FileSet, Mode, Origin};
use crate::front;
use crate::names::{Webhook, file_stem};
use crate::pki::Certificate;
use crate::render::{Facts, PAGE, Site, render};
use crate::settings::{ClientAuth, Proxy, Settings};
use crate::trust::{self, Anchors, Artefact, Format};

pub(super) const SPEC: &str = "regcert.toml";
pub(super) const STATE: &str = ".regcert/state.json";
pub const COMPOSE: &str = "docker-compose.yml";
/// The file with the project name, for Compose 1.29 and v2. Compose 1.29 refuses `name:` in docker-compose.yml.
pub const ENV: &str = ".env";
/// The directory of nginx's password files.
pub(super) const AUTH: &str = "nginx/auth";
/// The patterns for git to ignore, if the registry's directory is in a work tree.
pub const IGNORED: &str = ".gitignore";
const ROOT_README: &str = "root-cert/README.txt";
/// README files in the directories of served files. Because of these files, the directories exist before Docker would
/// create them as root.
const SERVED: [&str; 2] = ["files/README.txt", "files/public/README.txt"];
/// The root certificates for upstreams. Go reads every file in the directory that `SSL_CERT_DIR` names.
const UPSTREAM_ROOTS: &str = "registry/upstream-ca/ca.crt";
/// The authority for clients: its certificate, key and revocation list. Either all three files exist or none.
pub(super) const CLIENTS: [&str; 3] =
    ["clients/clients-ca.crt", "clients/clients-ca.key", "clients/clients.crl"];
/// The previous authority for clients, until it expires.
pub(super) const RETIRING_CLIENTS: [&str; 3] =
    ["clients/retiring-ca.crt", "clients/retiring-ca.key", "clients/retiring.crl"];
/// The registry's configuration, which the registry reads when it starts.
pub const REGISTRY_CONFIG: &str = "registry/config.yml";
/// The copy of the roots for clients, with the signing root first.
pub(super) const ROOT_COPY: &str = "trust/ca.crt";
/// The copy of the authorities for clients that nginx reads.
pub(super) const CLIENTS_SERVED: &str = "nginx/ssl/clients-ca.crt";
/// The health check script that Docker runs in the registry's container.
const REGISTRY_HEALTH: &str = "registry/health.sh";

/// The data for the web page: facts about the registry, and the roots that clients must trust.
#[derive(Serialize)]
struct Page<'a> {
    #[serde(flatten)]
    facts: &'a Facts,
    anchors: &'a Anchors,
}

/// Names the directory that is mounted into the container that terminates TLS.
pub(super) fn front_directory(proxy: Proxy) -> &'static str {
    match proxy {
        Proxy::Nginx => "nginx",
        Proxy::None => "registry",
    }
}

impl Deployment {
    /// Renders every file of the registry.
    pub fn files(&self, site: &Site) -> Result<FileSet, Fault> {
        self.files_for(site, PasswordFiles::ByAccess)
    }

    /// Renders every file of a registry that keeps the edited nginx configuration `configuration`. If the
    /// configuration does not enforce roles, lets no user delete.
    pub fn files_beside(&self, configuration: &str, site: &Site) -> Result<FileSet, Fault> {
        let mut files = self.files_for(site, front::password_files(configuration))?;
        if self.root().is_some() && !front::reads_roles(configuration) {
            let config = render(REGISTRY_CONFIG, &self.facts(&self.spec, site).without_delete())?;
            files.put(REGISTRY_CONFIG, config, Mode::Server, Origin::Rendered);
        }
        Ok(files)
    }

    fn files_for(&self, site: &Site, passwords: PasswordFiles) -> Result<FileSet, Fault> {
        let mut files = FileSet::default();
        files.put(SPEC, self.asked().to_toml(self.spec_text.as_deref())?, Mode::Public, Origin::Kept);
        files.put(STATE, self.state.to_json().as_bytes(), Mode::Secret, Origin::Kept);
        files.put(format::FORMAT, format::text(), Mode::Secret, Origin::Kept);
        match self.spec.proxy {
            Proxy::None => files.put(self.users_path(), self.users.as_bytes(), Mode::Server, Origin::Kept),
            Proxy::Nginx => {
                for (name, users) in self.password_files(passwords) {
                    files.put(format!("{AUTH}/{name}"), users.as_bytes(), Mode::Server, Origin::Kept);
                }
            }
        }
        files.put(IGNORED, include_str!("../../templates/gitignore"), Mode::Public, Origin::Rendered);
        self.put_authority(&mut files);
        self.put_clients(&mut files);
        if let Some(pending) = &self.pending {
            files.put(self.request_path(), pending.request.as_str(), Mode::Public, Origin::Kept);
            files.put(
                self.request_path().replace(".csr", ".key"),
                pending.key.pem(),
                Mode::Secret,
                Origin::Kept,
            );
        }
        // Without a certificate to serve, regcert writes no file that could start the registry.
        if self.root().is_some() {
            self.put_service(site, &mut files)?;
            if self.spec.proxy == Proxy::Nginx {
                // Overwrites a manual edit of this file: only roles that were set with regcert apply.
                files.put(
                    front::ROLES,
                    front::map(&self.state.access, passwords),
                    Mode::Server,
                    Origin::Kept,
                );
            }
        }
        Ok(files)
    }

    fn facts(&self, spec: &Settings, site: &Site) -> Facts {
        let headers = |webhook: &Webhook| self.webhook_headers(webhook);
        Facts::of(spec, self.state.http_secret(), site)
            .with_upstream_login(self.upstream_login())
            .with_upstream_roots(!self.state.upstream_roots.is_empty())
            .with_headers(
                spec.notify
                    .iter()
                    .map(|webhook| headers(webhook).into_iter().flat_map(Headers::pairs).collect()),
            )
    }

    fn put_authority(&self, files: &mut FileSet) {
        let stem = file_stem(&self.spec.label());
        let mut key = |name: &str, text: &str| {
            files.put(format!("root-cert/{name}-{stem}.key"), text, Mode::Secret, Origin::Kept)
        };
        match &self.issuer {
            Issuer::Own { authority, .. } if authority.intermediates().is_empty() => {
                key("root-cert", authority.key().stored());
            }
            Issuer::Own { authority, root_key } => {
                key("intermediate", authority.key().stored());
                if let Some(root_key) = root_key {
                    key("root-cert", root_key.stored());
                }
            }
            Issuer::External { .. } => {}
        }
        if let Some(retiring_key) = self.retiring.as_ref().and_then(|retiring| retiring.key.as_ref()) {
            key("retiring", retiring_key.stored());
        }
        let mut certificate = |name: &str, pem: &str| {
            files.put(format!("root-cert/{name}-{stem}.crt"), pem, Mode::Public, Origin::Kept)
        };
        if let Some(root) = self.root() {
            certificate("root-cert", root.pem());
        }
        if let Issuer::Own { authority, .. } = &self.issuer
            && !authority.intermediates().is_empty()
        {
            certificate(
                "intermediate",
                &authority.intermediates().iter().map(Certificate::pem).collect::<String>(),
            );
        }
        if let Some(retiring) = &self.retiring {
            certificate("retiring", retiring.root.pem());
            if let Some(vouched) = &retiring.vouched {
                certificate("vouched", vouched.pem());
            }
        }
    }

    fn put_clients(&self, files: &mut FileSet) {
        let Some(clients) = &self.clients else {
            return;
        };
        let stems = [CLIENTS, RETIRING_CLIENTS];
        for (signing, [certificate, key, crl]) in clients.all().zip(stems) {
            files.put(key, signing.authority.key().stored(), Mode::Secret, Origin::Kept);
            files.put(certificate, signing.authority.root().pem(), Mode::Public, Origin::Kept);
            files.put(crl, signing.crl.as_str(), Mode::Public, Origin::Kept);
        }
    }

    /// Adds the files that the containers need. Skips a lost certificate that an external authority signed.
    fn put_service(&self, site: &Site, files: &mut FileSet) -> Result<(), Fault> {
        if let Some(server) = &self.server {
            let pem: Wiped = server.pem();
            files.put(self.identity_path(), pem.as_bytes(), Mode::Server, Origin::Kept);
            files.put(self.certificate_path(), server.chain_pem(), Mode::Public, Origin::Rendered);
        }
        if let (Some(clients), true) = (&self.clients, self.spec.client_auth != ClientAuth::Off) {
            files.put(CLIENTS_SERVED, clients.trusted(), Mode::Public, Origin::Rendered);
            files.put("nginx/ssl/clients.crl", clients.revoked(), Mode::Public, Origin::Rendered);
        }
        for (path, file) in self.configuration(&self.spec, site)?.iter() {
            files.put(path.as_str(), file.bytes.as_slice(), file.mode, file.origin);
        }
        let artefacts = self.artefacts()?;
        let index = trust::index(&self.anchors(), &artefacts);
        files.put(format!("trust/{}", trust::INDEX), index, Mode::Public, Origin::Rendered);
        for artefact in artefacts {
            files.put(format!("trust/{}", artefact.path), artefact.bytes, Mode::Public, Origin::Rendered);
        }
        Ok(())
    }

    /// Renders the files that depend on the settings `spec`: configurations, pages and timers.
    pub fn configuration(&self, spec: &Settings, site: &Site) -> Result<FileSet, Fault> {
        let facts = self.facts(spec, site);
        let mut files = FileSet::default();
        files.put(COMPOSE, render(COMPOSE, &facts)?, Mode::Public, Origin::Rendered);
        if let Some(project) = &self.state.project {
            files.put(ENV, render(ENV, project)?, Mode::Public, Origin::Rendered);
        }
        files.put(REGISTRY_CONFIG, render(REGISTRY_CONFIG, &facts)?, Mode::Server, Origin::Rendered);
        files.put(REGISTRY_HEALTH, render(REGISTRY_HEALTH, &facts)?, Mode::Public, Origin::Rendered);
        if !self.state.upstream_roots.is_empty() {
            files.put(UPSTREAM_ROOTS, self.state.upstream_roots.as_str(), Mode::Server, Origin::Rendered);
        }
        files.put(ROOT_README, render(ROOT_README, &facts)?, Mode::Public, Origin::Rendered);
        if spec.proxy == Proxy::Nginx {
            for name in SERVED {
                files.put(name, render(name, &facts)?, Mode::Public, Origin::Rendered);
            }
            for name in front::FILES {
                files.put(name, render(name, &facts)?, Mode::Public, Origin::Rendered);
            }
            for name in front::LOCAL {
                files.put(name, render(name, &facts)?, Mode::Public, Origin::Own);
            }
            let page = Page { facts: &facts, anchors: &self.anchors() };
            for name in PAGE {
                files.put(name, render(name, &page)?, Mode::Public, Origin::Rendered);
            }
        }
        let stem = file_stem(&spec.host().to_string());
        for (name, template) in [
            (format!("renewal/regcert-{stem}.service"), "renewal/service"),
            (format!("renewal/regcert-{stem}.timer"), "renewal/timer"),
            ("renewal/cron".to_owned(), "renewal/cron"),
        ] {
            files.put(name, render(template, &facts)?, Mode::Public, Origin::Rendered);
        }
        Ok(files)
    }

    /// Builds the path of the server certificate, which ends in `<server>.<domain>.crt`.
    pub fn certificate_path(&self) -> String {
        format!("{}/ssl/{}.crt", front_directory(self.spec.proxy), self.spec.host_stem())
    }

    /// Builds the path of the file with the server's key and certificate chain.
    pub fn identity_path(&self) -> String {
        self.certificate_path().replace(".crt", ".pem")
    }

    /// Builds the path of the root certificate.
    pub fn root_path(&self) -> String {
        format!("root-cert/root-cert-{}.crt", file_stem(&self.spec.label()))
    }

    /// Collects the facts for the client files: names, ports and roots.
    pub fn anchors(&self) -> Anchors {
        Anchors::of(&self.spec, &self.roots(), &self.state.release())
    }

    /// Renders the files for clients: the formats that regcert always writes, and the formats that the user asked for.
    pub fn artefacts(&self) -> Result<Vec<Artefact>, Fault> {
        let asked_for = |format: &Format| self.state.formats.contains(format.name);
        trust::artefacts(&self.anchors(), |format| format.always || asked_for(format))
    }

    /// Builds the path of the password file `registry.passwd`.
    pub fn users_path(&self) -> String {
        format!("{}/auth/registry.passwd", front_directory(self.spec.proxy))
    }

    /// Builds the path of the certificate signing request for an external authority.
    pub fn request_path(&self) -> String {
        format!("request/{}.csr", self.spec.host_stem())
    }
}
