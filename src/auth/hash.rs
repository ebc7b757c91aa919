//! The hash schemes of htpasswd files, and the schemes that each server supports.

use std::fmt;

/// The hash scheme of a stored password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Scheme {
    /// bcrypt as `$2a$`, `$2x$` or `$2y$`, with its cost.
    Bcrypt(u32),
    /// bcrypt as `$2b$`, with its cost. musl before 1.2.2 does not support this prefix.
    Bcrypt2b(u32),
    /// Apache's variant of MD5-crypt.
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
    /// The old DES scheme of crypt(5), which uses only the first eight characters: 56 bits.
    DesCrypt,
    /// The cleartext password.
    Plain,
    /// A truncated, empty or unknown hash, which no server can check.
    Unknown,
}

impl Scheme {
    /// Recognizes the scheme of a stored password by its prefix and length.
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

    /// Whether nginx supports the scheme, in its own code or through crypt(3) of the nginx image.
    pub fn nginx_checks(self) -> bool {
        self != Self::Unknown
    }

    /// Whether the registry can check the scheme without nginx, which is true only for bcrypt.
    pub fn registry_checks(self) -> bool {
        matches!(self, Self::Bcrypt(_) | Self::Bcrypt2b(_))
    }

    /// Explains why an attacker with a copy of the file could soon find the password; `None` if there is no weakness.
    pub fn weakness(self) -> Option<&'static str> {
        match self {
            Self::Bcrypt(cost) | Self::Bcrypt2b(cost) => {
                (cost < 10).then_some("less than cost 10, so a copy of the file is easier to crack")
            }
            Self::Apr1 | Self::Md5Crypt => {
                Some("MD5, so a copy of the file is cracked at millions of tries a second")
            }
            Self::Sha1 | Self::SaltedSha1 => {
                Some("SHA-1, so a copy of the file is cracked at billions of tries a second")
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

/// The reason why no password matches a stored hash.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Unusable {
    /// The stored text is empty.
    Empty,
    /// The stored text does not look like a hash: it may be a cleartext password or a typing error.
    NoHash,
    /// The stored text begins like a hash, but has the wrong length or characters.
    Broken,
    /// nginx supports the hash; the registry itself supports only bcrypt.
    NotBcrypt,
}

impl fmt::Display for Unusable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Empty => "no password is stored",
            Self::NoHash => "what is stored is not the hash of a password",
            Self::Broken => "the stored hash is damaged, or of a kind that nginx does not check",
            Self::NotBcrypt => {
                "without nginx only bcrypt hashes are known, and the stored hash is of another kind"
            }
        })
    }
}

/// The server that reads the password file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reader {
    /// nginx, which passes schemes that it does not implement to the C library.
    Nginx,
    Registry,
}

/// Explains why no password matches `stored`; `None` if one may. `stored` ends before a colon or a line end.
pub(super) fn unusable(stored: &str, reader: Reader) -> Option<Unusable> {
    let scheme = Scheme::of(stored);
    if stored.is_empty() {
        return Some(Unusable::Empty);
    }
    if !scheme.nginx_checks() || !is_whole(scheme, stored) {
        let is_hash = stored.starts_with('$') || stored.starts_with("{SHA}") || stored.starts_with("{SSHA}");
        return Some(if is_hash { Unusable::Broken } else { Unusable::NoHash });
    }
    (reader == Reader::Registry && !scheme.registry_checks()).then_some(Unusable::NotBcrypt)
}

/// Whether the hash has the right length for its scheme: as in crypt(5), or for SHA-1 as in RFC 2307, the base64 of 20
/// bytes and an optional salt.
fn is_whole(scheme: Scheme, stored: &str) -> bool {
    let hash = stored.rsplit('$').next().unwrap_or_default();
    match scheme {
        Scheme::Apr1 | Scheme::Md5Crypt => hash.len() == 22,
        Scheme::Sha256Crypt => hash.len() == 43,
        Scheme::Sha512Crypt => hash.len() == 86,
        Scheme::Sha1 => stored.len() == "{SHA}".len() + 28,
        Scheme::SaltedSha1 => stored.len() >= "{SSHA}".len() + 28,
        Scheme::Bcrypt(_) | Scheme::Bcrypt2b(_) | Scheme::DesCrypt | Scheme::Plain | Scheme::Unknown => true,
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

    #[test]
    fn what_cannot_log_in_is_told_from_what_can() {
        let bcrypt = format!("$2y$10${}", "a".repeat(53));
        for (stored, nginx, registry) in [
            (bcrypt.as_str(), None, None),
            ("$apr1$x$aaaaaaaaaaaaaaaaaaaaaa", None, Some(Unusable::NotBcrypt)),
            ("$5$rounds=5000$x$aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa", None, Some(Unusable::NotBcrypt)),
            ("{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", None, Some(Unusable::NotBcrypt)),
            ("{SSHA}W6ph5Mm5Pz8GgiULbPgzG37mj9hzYWx0", None, Some(Unusable::NotBcrypt)),
            ("{PLAIN}secret", None, Some(Unusable::NotBcrypt)),
            ("abJnggxhB/yWI", None, Some(Unusable::NotBcrypt)),
            ("", Some(Unusable::Empty), Some(Unusable::Empty)),
            ("secret", Some(Unusable::NoHash), Some(Unusable::NoHash)),
            ("a password", Some(Unusable::NoHash), Some(Unusable::NoHash)),
            ("{MD5}x", Some(Unusable::NoHash), Some(Unusable::NoHash)),
            (&bcrypt[..59], Some(Unusable::Broken), Some(Unusable::Broken)),
            ("$2y$3$a", Some(Unusable::Broken), Some(Unusable::Broken)),
            ("$apr1$x$y", Some(Unusable::Broken), Some(Unusable::Broken)),
            ("$9$x$y", Some(Unusable::Broken), Some(Unusable::Broken)),
            ("{SHA}x", Some(Unusable::Broken), Some(Unusable::Broken)),
        ] {
            assert_eq!(unusable(stored, Reader::Nginx), nginx, "{stored}");
            assert_eq!(unusable(stored, Reader::Registry), registry, "{stored}");
        }
    }
}
