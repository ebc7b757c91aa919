//! The schemes in which htpasswd files store passwords, and which server checks which.

use std::fmt;

/// How one password is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// bcrypt, with its cost.
    Bcrypt(u32),
    /// bcrypt as `$2b$`, which musl before 1.2.2 does not know.
    Bcrypt2b(u32),
    /// Apache's MD5.
    Apr1,
    /// SHA-1 without a salt.
    Sha1,
    /// SHA-1 with a salt.
    SaltedSha1,
    /// crypt(5) with MD5.
    Md5Crypt,
    /// crypt(5) with SHA-256.
    Sha256Crypt,
    /// crypt(5) with SHA-512.
    Sha512Crypt,
    /// crypt(5) of old: 56 bits of the first eight characters.
    DesCrypt,
    /// The password itself.
    Plain,
    /// Nothing that a server checks: cut off, empty, or of another kind.
    Unknown,
}

impl Scheme {
    /// The scheme of a stored password.
    pub fn of(stored: &str) -> Self {
        let crypt = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"./".contains(&b));
        if let Some(rest) = stored.strip_prefix("$2") {
            let kind = rest.split('$').next().unwrap_or_default();
            let cost = rest
                .split('$')
                .nth(1)
                .and_then(|cost| cost.parse().ok())
                .filter(|cost| (4..=31).contains(cost));
            let digest = rest.split('$').nth(2).unwrap_or_default();
            return match (kind, cost, digest.len() == 53 && crypt(digest)) {
                ("a" | "x" | "y", Some(cost), true) => Self::Bcrypt(cost),
                ("b", Some(cost), true) => Self::Bcrypt2b(cost),
                _ => Self::Unknown,
            };
        }
        let schemes = [
            ("$apr1$", Self::Apr1),
            ("{SHA}", Self::Sha1),
            ("{SSHA}", Self::SaltedSha1),
            ("$1$", Self::Md5Crypt),
            ("$5$", Self::Sha256Crypt),
            ("$6$", Self::Sha512Crypt),
            ("{PLAIN}", Self::Plain),
        ];
        let known =
            schemes.into_iter().find(|(prefix, _)| stored.len() > prefix.len() && stored.starts_with(prefix));
        match known {
            Some((_, scheme)) => scheme,
            None if stored.len() == 13 && crypt(stored) => Self::DesCrypt,
            None => Self::Unknown,
        }
    }

    /// Whether nginx checks it: by its own code or by the crypt(3) of its image.
    pub fn nginx_checks(self) -> bool {
        self != Self::Unknown
    }

    /// Whether the registry checks it without nginx: bcrypt alone.
    pub fn registry_checks(self) -> bool {
        matches!(self, Self::Bcrypt(_) | Self::Bcrypt2b(_))
    }

    /// Why a copy of the file gives the password away sooner than it should.
    pub fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Bcrypt(cost) | Self::Bcrypt2b(cost) => {
                (cost < 10).then_some("a copy of the file is guessed faster than at cost 10")
            }
            Self::Apr1 | Self::Md5Crypt => {
                Some("MD5: a copy of the file is guessed at millions of tries a second")
            }
            Self::Sha1 | Self::SaltedSha1 => {
                Some("SHA-1: a copy of the file is guessed at billions of tries a second")
            }
            Self::DesCrypt => Some("only the first eight characters count"),
            Self::Plain => Some("the password stands in the file as it is"),
            Self::Sha256Crypt | Self::Sha512Crypt | Self::Unknown => None,
        }
    }
}

impl fmt::Display for Scheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = match self {
            Self::Bcrypt(cost) | Self::Bcrypt2b(cost) => return write!(f, "bcrypt, cost {cost}"),
            Self::Apr1 => "apr1",
            Self::Sha1 => "{SHA}",
            Self::SaltedSha1 => "{SSHA}",
            Self::Md5Crypt => "MD5-crypt",
            Self::Sha256Crypt => "SHA-256-crypt",
            Self::Sha512Crypt => "SHA-512-crypt",
            Self::DesCrypt => "DES-crypt",
            Self::Plain => "{PLAIN}",
            Self::Unknown => "unknown",
        };
        f.write_str(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_scheme_is_told_by_its_form() {
        let bcrypt = "abcdefghijklmnopqrstuuABCDEFGHIJKLMNOPQRSTUVWXYZ01234";
        for (stored, scheme) in [
            (format!("$2y$05${bcrypt}"), Scheme::Bcrypt(5)),
            (format!("$2b$12${bcrypt}"), Scheme::Bcrypt2b(12)),
            (format!("$2z$12${bcrypt}"), Scheme::Unknown),
            ("$2y$05$tooshort".to_owned(), Scheme::Unknown),
            ("$apr1$salt$x".to_owned(), Scheme::Apr1),
            ("{SHA}5en6G6MezRroT3XKqkdPOmY/BfQ=".to_owned(), Scheme::Sha1),
            ("rl.3StKT.4T8M".to_owned(), Scheme::DesCrypt),
            ("$6$rounds=5000$a$b".to_owned(), Scheme::Sha512Crypt),
            ("{SHA}".to_owned(), Scheme::Unknown),
            (String::new(), Scheme::Unknown),
        ] {
            assert_eq!(Scheme::of(&stored), scheme, "{stored}");
        }
    }

    #[test]
    fn the_registry_checks_bcrypt_alone() {
        assert!(Scheme::Bcrypt(5).registry_checks() && !Scheme::Apr1.registry_checks());
        assert!(Scheme::Sha1.nginx_checks() && !Scheme::Unknown.nginx_checks());
    }
}
