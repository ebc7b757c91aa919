//! The purpose of each file of a registry, and what a change of it requires. The only place that decides by a path.

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
    /// A request to an external authority, and its key.
    Request,
    /// The authority for client certificates, with its key.
    Clients,
    /// The server's key with its certificate chain.
    ServerKey,
    /// The server's certificate without its key: a copy for users, which no program reads.
    ServerCertificate,
    /// The authorities for client certificates and their revocation list, for nginx.
    ClientAuthority,
    /// A password file.
    Passwords,
    /// The password file of the users with the same access. nginx finds its name in the roles.
    PasswordsByAccess,
    /// Roles and repositories of users, for nginx.
    Roles,
    /// The configuration of nginx: nginx.conf, and the files that it includes.
    Front,
    /// The files for the user's own nginx directives.
    Local,
    /// The web page for browsers.
    Page,
    /// The configuration of the registry, and the roots that the registry trusts.
    RegistryConfig,
    /// The health check of the registry's container.
    RegistryHealth,
    /// The Compose file.
    Engine,
    /// `.env`, which contains the Compose project name.
    EngineName,
    /// Packages and files for clients.
    ClientTrust,
    /// Timer and cron job for `regcert rotate`.
    Renewal,
    /// The user's files that nginx serves, and the files of an earlier registry.
    Served,
    /// Text for users, and files for Git.
    Text,
}

/// The action after which a changed file is in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// No action: no running program reads the file.
    Nothing,
    /// No action: the server reads the file at the next request.
    NextRequest,
    /// A reload of nginx. Without nginx, a restart of the registry, which then terminates TLS.
    Reload,
    /// A restart of the registry.
    Restart,
    /// `compose up`: the engine replaces the containers whose description changed.
    Apply,
    /// Clients must install the file again.
    ClientsMustAct,
}

impl Part {
    /// Every file that the server that terminates TLS reads.
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

    /// The files that nginx reads for TLS.
    pub const OF_TLS: [Self; 3] = [Self::ServerKey, Self::ServerCertificate, Self::ClientAuthority];

    /// The purpose of the file at `path`. Files that regcert does not write count as text.
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

    /// The action that a change of the file requires.
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

    /// Whether a configuration may name the file, so that removing it could stop the server.
    pub fn is_named(self) -> bool {
        // Only the roles name the password files by access.
        matches!(
            self,
            Self::ServerKey | Self::ServerCertificate | Self::ClientAuthority | Self::Passwords | Self::Front
        )
    }

    /// Whether the file names other files.
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
