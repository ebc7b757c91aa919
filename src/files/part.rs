//! The purpose of each file of a registry, and the effect of changing it. No other module derives these from a path.

use super::RelPath;

/// The purpose of a file in the registry's directory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// The settings: regcert.toml.
    Settings,
    /// The state that regcert stores between runs.
    Notes,
    /// Root certificates and the keys of the authority.
    Root,
    /// A certificate signing request to an external authority, and its private key.
    Request,
    /// The authority that signs client certificates, and its key.
    Clients,
    /// The server's key and certificate chain.
    ServerKey,
    /// The server's certificate without the key: a copy for users. No program reads it.
    ServerCertificate,
    /// The authorities for client certificates and their revocation list. nginx reads them.
    ClientAuthority,
    /// A password file.
    Passwords,
    /// A password file for users with the same access. nginx reads the file's name from the roles.
    PasswordsByAccess,
    /// Users' roles and repositories, for nginx.
    Roles,
    /// The configuration of nginx: nginx.conf, and the files that it includes.
    Front,
    /// The files for the user's own nginx directives.
    Local,
    /// The web page for browsers.
    Page,
    /// The registry's configuration, and the root certificates that the registry trusts.
    RegistryConfig,
    /// The health check script of the registry's container.
    RegistryHealth,
    /// The Compose file.
    Engine,
    /// `.env`, which contains the Compose project name.
    EngineName,
    /// Packages and files for clients.
    ClientTrust,
    /// The timer and the cron job that run `regcert rotate`.
    Renewal,
    /// The user's files that nginx serves, and the files of a registry that regcert took over.
    Served,
    /// Text for users, files for Git, and all other files.
    Text,
}

/// The action that makes a changed file take effect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// None: no running program reads the file.
    Nothing,
    /// None: the next request uses the changed file.
    NextRequest,
    /// A reload of nginx. Without nginx, a restart of the registry, because the registry itself then terminates TLS.
    Reload,
    /// A restart of the registry.
    Restart,
    /// `compose up`, which recreates the containers whose configuration changed.
    Apply,
    /// An installation on each client.
    ClientsMustAct,
}

impl Part {
    /// The files for the server that terminates TLS.
    pub const OF_FRONT: [Self; 9] = [
        Self::Front,
        Self::Local,
        Self::ServerKey,
        Self::ServerCertificate,
        Self::ClientAuthority,
        Self::Passwords,
        Self::PasswordsByAccess,
        Self::Roles,
        Self::Page,
    ];

    pub const OF_USERS: [Self; 2] = [Self::Passwords, Self::PasswordsByAccess];

    /// The files for TLS: keys, certificates and the revocation list.
    pub const OF_TLS: [Self; 3] = [Self::ServerKey, Self::ServerCertificate, Self::ClientAuthority];

    /// Returns the purpose of the file at `path`. Files that regcert does not write count as text.
    pub fn of(path: &str) -> Self {
        let (top, below) = path.split_once('/').unwrap_or((path, ""));
        let front = |below: &str| match below.split_once('/') {
            Some(("ssl", "clients-ca.crt" | "clients.crl")) => Some(Self::ClientAuthority),
            Some(("ssl", name)) if name.ends_with(".crt") => Some(Self::ServerCertificate),
            Some(("ssl", _)) => Some(Self::ServerKey),
            Some(("auth", "registry.roles")) => Some(Self::Roles),
            Some(("auth", name)) if name.starts_with("limited-") => Some(Self::PasswordsByAccess),
            Some(("auth", _)) => Some(Self::Passwords),
            Some(_) | None => None,
        };
        match (top, below) {
            ("regcert.toml", "") => Self::Settings,
            (".regcert", _) => Self::Notes,
            ("root-cert", "README.txt") => Self::Text,
            ("root-cert", _) => Self::Root,
            ("request", _) => Self::Request,
            ("clients", _) => Self::Clients,
            ("nginx", "local.conf" | "local.server.conf") => Self::Local,
            ("nginx", below) if below.starts_with("www/") => Self::Page,
            ("nginx", below) => front(below).unwrap_or(Self::Front),
            ("registry", "health.sh") => Self::RegistryHealth,
            ("registry", below) => front(below).unwrap_or(Self::RegistryConfig),
            ("docker-compose.yml" | "docker-compose.yaml" | "compose.yml" | "compose.yaml", "") => {
                Self::Engine
            }
            (".env", "") => Self::EngineName,
            ("trust", _) => Self::ClientTrust,
            ("renewal", _) => Self::Renewal,
            ("files", below) if below.ends_with("README.txt") => Self::Text,
            ("files" | "before-regcert", _) => Self::Served,
            (_, _) => Self::Text,
        }
    }

    /// Returns the action that makes a change of the file take effect.
    pub fn effect(self) -> Effect {
        match self {
            Self::Settings
            | Self::Notes
            | Self::Root
            | Self::Request
            | Self::Clients
            | Self::EngineName
            | Self::Renewal
            | Self::Text => Effect::Nothing,
            Self::Passwords | Self::PasswordsByAccess | Self::Page | Self::RegistryHealth | Self::Served => {
                Effect::NextRequest
            }
            Self::ServerKey
            | Self::ServerCertificate
            | Self::ClientAuthority
            | Self::Roles
            | Self::Front
            | Self::Local => Effect::Reload,
            Self::RegistryConfig => Effect::Restart,
            Self::Engine => Effect::Apply,
            Self::ClientTrust => Effect::ClientsMustAct,
        }
    }

    /// Whether the file only informs users about the settings, and no program reads it.
    pub fn only_informs(self) -> bool {
        matches!(self, Self::Page | Self::Renewal | Self::Text)
    }

    /// Whether the file only tells clients which roots to trust.
    pub fn is_for_clients(self) -> bool {
        matches!(self, Self::ClientTrust | Self::Page)
    }

    /// Whether a configuration may refer to the file, so that removing the file could stop the server.
    pub fn is_named(self) -> bool {
        // Only the roles refer to the password files by access.
        matches!(
            self,
            Self::ServerKey | Self::ServerCertificate | Self::ClientAuthority | Self::Passwords | Self::Front
        )
    }

    /// Whether the file refers to other files.
    pub fn names_others(self) -> bool {
        matches!(self, Self::Front | Self::RegistryConfig | Self::Engine)
    }
}

impl RelPath {
    pub fn part(&self) -> Part {
        Part::of(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_says_what_a_file_is_for() {
        for (path, part, effect) in [
            ("regcert.toml", Part::Settings, Effect::Nothing),
            (".regcert/state.json", Part::Notes, Effect::Nothing),
            ("nginx/nginx.conf", Part::Front, Effect::Reload),
            ("nginx/http/tls.conf", Part::Front, Effect::Reload),
            ("nginx/local.conf", Part::Local, Effect::Reload),
            ("nginx/ssl/registry.lan.pem", Part::ServerKey, Effect::Reload),
            ("registry/ssl/registry.lan.pem", Part::ServerKey, Effect::Reload),
            ("nginx/ssl/clients.crl", Part::ClientAuthority, Effect::Reload),
            ("nginx/auth/registry.passwd", Part::Passwords, Effect::NextRequest),
            ("nginx/auth/limited-0123456789abcdef.passwd", Part::PasswordsByAccess, Effect::NextRequest),
            ("nginx/auth/registry.roles", Part::Roles, Effect::Reload),
            ("registry/auth/registry.passwd", Part::Passwords, Effect::NextRequest),
            ("nginx/www/index.html", Part::Page, Effect::NextRequest),
            ("registry/config.yml", Part::RegistryConfig, Effect::Restart),
            ("registry/upstream-ca/ca.crt", Part::RegistryConfig, Effect::Restart),
            ("registry/health.sh", Part::RegistryHealth, Effect::NextRequest),
            ("docker-compose.yml", Part::Engine, Effect::Apply),
            ("trust/install.sh", Part::ClientTrust, Effect::ClientsMustAct),
            ("root-cert/README.txt", Part::Text, Effect::Nothing),
        ] {
            assert_eq!((Part::of(path), Part::of(path).effect()), (part, effect), "{path}");
        }
    }
}
