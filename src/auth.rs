//! Passwords, the htpasswd file that nginx and the registry read, and the rights of each user. Neither prompts nor
//! accesses the disk.

mod access;
mod hash;

use std::collections::BTreeMap;
use std::fmt;

use zeroize::Zeroizing;

use crate::error::Fault;
use crate::names::Username;
use crate::pki;

pub use access::{Access, Accesses, EVERY_NGINX, LIMITED, PasswordFiles, Role};
pub use hash::{Reader, Scheme, Unusable};

/// The maximum length of a password, in bytes: bcrypt silently ignores everything after byte 72.
const PASSWORD_MAX: usize = 72;

/// The recommended minimum length, in characters. NIST SP 800-63B §5.1.1.1 requires eight for chosen passwords.
const ADVISED_MIN: usize = 8;

/// The bcrypt cost: 2^10 rounds, 60 ms of CPU time. Each increment doubles the time of a guess and of a login.
pub const COST: u32 = 10;

/// The letters and digits of generated passwords, without `i`, `l`, `o`, `0` and `1`, which readers confuse.
const ALPHABET: &[u8] = b"abcdefghjkmnpqrstuvwxyz23456789";

/// A cleartext password. It is wiped from memory when dropped, and `Debug` does not print it.
pub struct Password(Zeroizing<String>);

impl Password {
    /// Fails if the password is empty, or if bcrypt or HTTP Basic authentication cannot use all of its bytes.
    pub fn new(text: Zeroizing<String>) -> Result<Self, Fault> {
        let fault = |why: &str, hint: &str| Err(Fault::new(why).hint(hint));
        if text.is_empty() {
            return fault("the password is empty", "give one, or let regcert generate one");
        }
        if text.len() > PASSWORD_MAX {
            let why = format!("the password has {} bytes and bcrypt reads only {PASSWORD_MAX}", text.len());
            return fault(&why, "choose a shorter one: whatever follows byte 72 would not count");
        }
        if text.contains(['\0', '\r', '\n']) {
            return fault(
                "the password holds a line break or a NUL",
                "no client can send it: choose another",
            );
        }
        Ok(Self(text))
    }

    /// Explains why the password is easy to guess; `None` if it is long enough. Considers only the length.
    pub fn weakness(&self) -> Option<String> {
        let characters = self.0.chars().count();
        let noun = if characters == 1 { "character" } else { "characters" };
        (characters < ADVISED_MIN)
            .then(|| format!("{characters} {noun}, and fewer than {ADVISED_MIN} are quickly guessed"))
    }

    /// Parses the one line of `--password-stdin` or `--password-file`, and removes the line end.
    pub fn first_line(input: &[u8]) -> Result<Self, Fault> {
        let text = std::str::from_utf8(input).map_err(|_| Fault::new("the password is not UTF-8"))?;
        let line = text.strip_suffix('\n').unwrap_or(text);
        Self::new(Zeroizing::new(line.strip_suffix('\r').unwrap_or(line).to_owned()))
    }

    /// Generates a random password: 25 characters in five groups, 123 bits.
    pub fn generate() -> Self {
        let mut text = Zeroizing::new(String::with_capacity(29));
        while text.len() < 29 {
            if text.len() % 6 == 5 {
                text.push('-');
            }
            let [byte] = pki::random::<1>();
            // Skips bytes from 248 (8 × 31) on, which would make the first letters more likely.
            if byte < 248 {
                text.push(ALPHABET[usize::from(byte) % ALPHABET.len()].into());
            }
        }
        Self(text)
    }

    /// Returns the cleartext, to show it once or to send it.
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// Hashes the password with bcrypt, in the format of `htpasswd -B` (`$2y$`). The registry accepts this format, and
    /// so does nginx on glibc and musl.
    pub fn hash(&self) -> String {
        let parts =
            bcrypt::hash_with_result(self.0.as_bytes(), COST).expect("the cost is within bcrypt's 4 to 31");
        parts.format_for_version(bcrypt::Version::TwoY)
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// An htpasswd file. Keeps lines that regcert did not write (comments, other hash types) byte for byte.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Htpasswd(Vec<u8>);

impl fmt::Debug for Htpasswd {
    /// Prints the user names, but no hash.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Htpasswd({:?})", self.names())
    }
}

/// Whether `Htpasswd::set` added the user or changed the password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Set {
    /// The user is new.
    Added,
    /// The user existed and now has a new password.
    Changed,
}

/// The result of checking a password.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Login {
    /// The password is correct.
    Good,
    /// The password is wrong.
    WrongPassword,
    /// No user has that name.
    NoSuchUser,
    /// The stored hash is not bcrypt: nginx may support it; regcert and the registry do not.
    OtherHash,
}

impl Htpasswd {
    /// Accepts any bytes. Lines without a user name are kept, but have no effect.
    pub fn parse(bytes: &[u8]) -> Self {
        Self(bytes.to_vec())
    }

    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Lists the user names, in the order of the file.
    pub fn names(&self) -> Vec<String> {
        self.lines().filter_map(|line| Some(String::from_utf8_lossy(name_of(line)?).into_owned())).collect()
    }

    /// Lists each user name once, with the scheme of the name's first line, which is the line that nginx reads.
    pub fn entries(&self) -> Vec<(String, Scheme)> {
        let mut entries: Vec<(String, Scheme)> = Vec::new();
        for line in self.lines() {
            let Some(name) = name_of(line) else { continue };
            let hash = String::from_utf8_lossy(&line[name.len() + 1..]);
            let name = String::from_utf8_lossy(name).into_owned();
            if !entries.iter().any(|(known, _)| *known == name) {
                // For nginx, the hash ends at a second colon (ngx_http_auth_basic_module).
                let hash = hash.trim_end().split(':').next().unwrap_or_default();
                entries.push((name, Scheme::of(hash)));
            }
        }
        entries
    }

    /// Describes the first damage to the file, such as a line without a colon, which makes the registry answer every
    /// login with 400; `None` if the file is valid.
    pub fn damage(&self) -> Option<String> {
        if self.0.starts_with(b"\xef\xbb\xbf") {
            return Some("it begins with a byte order mark, which becomes part of the first name".to_owned());
        }
        self.lines().enumerate().find_map(|(n, line)| {
            let text = line.trim_ascii();
            let why = if line.contains(&0) {
                "holds a NUL byte"
            } else if !text.is_empty() && !text.starts_with(b"#") && name_of(line).is_none() {
                "has no colon with a name before it"
            } else {
                return None;
            };
            Some(format!("line {} {why}", n + 1))
        })
    }

    /// Whether a line has this user name.
    pub fn has(&self, name: &str) -> bool {
        self.lines().any(|line| name_of(line) == Some(name.as_bytes()))
    }

    /// Finds a user name in the file that differs from `name` only in case.
    pub fn alike(&self, name: &str) -> Option<String> {
        let alike = |other: &&[u8]| other.eq_ignore_ascii_case(name.as_bytes()) && *other != name.as_bytes();
        self.lines().filter_map(name_of).find(alike).map(|other| String::from_utf8_lossy(other).into_owned())
    }

    /// Sets the hash of `name`: replaces the existing line, or appends a new one.
    pub fn set(&mut self, name: &Username, hash: &str) -> Set {
        let entry = format!("{name}:{hash}\n").into_bytes();
        let mut out = Vec::with_capacity(self.0.len() + entry.len() + 1);
        let mut set = Set::Added;
        for line in self.lines() {
            if name_of(line) != Some(name.as_str().as_bytes()) {
                out.extend_from_slice(line);
            } else if set == Set::Added {
                out.extend_from_slice(&entry);
                set = Set::Changed;
            }
            // Further lines for the same name are removed: nginx reads the first, the registry the last.
        }
        if set == Set::Added {
            if out.last().is_some_and(|byte| *byte != b'\n') {
                out.push(b'\n');
            }
            out.extend_from_slice(&entry);
        }
        self.0 = out;
        set
    }

    /// Distributes the lines over several files. `file` returns the file name for a user; lines without a user go to
    /// the file of the user `""`.
    pub fn by_file(&self, file: impl Fn(&str) -> String) -> BTreeMap<String, Self> {
        let mut files: BTreeMap<String, Self> = BTreeMap::new();
        for line in self.lines() {
            let name = name_of(line).and_then(|name| std::str::from_utf8(name).ok());
            files.entry(file(name.unwrap_or_default())).or_default().0.extend_from_slice(line);
        }
        files
    }

    /// Appends the lines of `other`.
    pub fn join(mut self, other: &Self) -> Self {
        if self.0.last().is_some_and(|byte| *byte != b'\n') && !other.0.is_empty() {
            self.0.push(b'\n');
        }
        self.0.extend_from_slice(&other.0);
        self
    }

    /// Removes every line of `name`; returns false if there is none.
    pub fn remove(&mut self, name: &str) -> bool {
        let kept: Vec<u8> =
            self.lines().filter(|line| name_of(line) != Some(name.as_bytes())).flatten().copied().collect();
        let removed = kept.len() != self.0.len();
        self.0 = kept;
        removed
    }

    /// Checks `password` against the first line of `name`, which is the line that nginx reads.
    pub fn login(&self, name: &Username, password: &Password) -> Login {
        let Some(line) = self.lines().find(|line| name_of(line) == Some(name.as_str().as_bytes())) else {
            return Login::NoSuchUser;
        };
        let hash = String::from_utf8_lossy(&line[name.as_str().len() + 1..]);
        match bcrypt::verify(password.expose(), hash.trim_end()) {
            Ok(true) => Login::Good,
            Ok(false) => Login::WrongPassword,
            Err(_) => Login::OtherHash,
        }
    }

    /// Lists the users who cannot log in with any password, with the reason. Checks the lines that `reader` uses.
    pub fn unusable(&self, reader: Reader) -> Vec<(String, Unusable)> {
        let mut lines: Vec<_> = self.lines().filter(|line| name_of(line).is_some()).collect();
        if reader == Reader::Registry {
            // nginx uses the first line of a name, the registry the last.
            lines.reverse();
        }
        let mut seen = std::collections::BTreeSet::new();
        lines.retain(|line| seen.insert(name_of(line)));
        if reader == Reader::Registry {
            lines.reverse();
        }
        let unusable = |line: &[u8]| {
            let name = name_of(line)?;
            let stored = line[name.len() + 1..].split(|byte| b":\r\n".contains(byte)).next()?;
            let why = hash::unusable(&String::from_utf8_lossy(stored), reader)?;
            Some((String::from_utf8_lossy(name).into_owned(), why))
        };
        lines.into_iter().filter_map(unusable).collect()
    }

    /// Iterates over the lines, each with its line end.
    fn lines(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split_inclusive(|byte| *byte == b'\n')
    }
}

/// Parses the user name of a line; `None` for a comment, a blank line or a line without a name and a colon.
fn name_of(line: &[u8]) -> Option<&[u8]> {
    let colon = line.iter().position(|byte| *byte == b':')?;
    (colon > 0 && line[0] != b'#').then_some(&line[..colon])
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn name(text: &str) -> Username {
        text.parse().unwrap()
    }

    fn refused(text: &str) -> String {
        Password::new(Zeroizing::new(text.into())).unwrap_err().message
    }

    #[test]
    fn a_hash_is_what_htpasswd_writes() {
        let hash = Password::new(Zeroizing::new("secret".into())).unwrap().hash();
        assert!(hash.starts_with("$2y$10$"), "{hash}");
        assert!(bcrypt::verify("secret", &hash).unwrap());
        assert!(!bcrypt::verify("Secret", &hash).unwrap());
    }

    #[test]
    fn a_password_that_would_be_cut_is_refused() {
        assert!(Password::new(Zeroizing::new("x".repeat(72))).is_ok());
        assert_eq!(refused(&"x".repeat(73)), "the password has 73 bytes and bcrypt reads only 72");
        assert_eq!(refused(""), "the password is empty");
        assert_eq!(refused("a\0b"), "the password holds a line break or a NUL");
        assert_eq!(
            Password::first_line(b"a\nb\n").unwrap_err().message,
            "the password holds a line break or a NUL"
        );
    }

    #[test]
    fn a_password_from_a_file_has_no_line_end() {
        for input in [b"secret".as_slice(), b"secret\n", b"secret\r\n"] {
            assert_eq!(Password::first_line(input).unwrap().expose(), "secret");
        }
    }

    #[test]
    fn generated_passwords_differ_and_are_readable() {
        let (a, b) = (Password::generate(), Password::generate());
        assert_ne!(a.expose(), b.expose());
        let groups: Vec<_> = a.expose().split('-').map(str::len).collect();
        assert_eq!(groups, [5, 5, 5, 5, 5]);
    }

    #[test]
    fn secrets_are_silent() {
        assert_eq!(format!("{:?}", Password::generate()), "Password(…)");
    }

    #[test]
    fn a_password_is_compared_with_the_line_that_nginx_reads() {
        let password = |text: &str| Password::new(Zeroizing::new(text.into())).unwrap();
        let mut file = Htpasswd::parse(b"old:$apr1$x$y\n# bob:no\n");
        file.set(&name("bob"), &password("secret").hash());
        assert_eq!(file.login(&name("bob"), &password("secret")), Login::Good);
        assert_eq!(file.login(&name("bob"), &password("Secret")), Login::WrongPassword);
        assert_eq!(file.login(&name("bo"), &password("secret")), Login::NoSuchUser);
        assert_eq!(file.login(&name("old"), &password("secret")), Login::OtherHash);
    }

    #[test]
    fn foreign_lines_survive() {
        let foreign = "# team\n\nold:$apr1$x$y\nodd line\nbob:$2y$05$a\nbob:$2y$05$b\ncarol:{SHA}x";
        let mut file = Htpasswd::parse(foreign.as_bytes());
        assert_eq!(file.names(), ["old", "bob", "bob", "carol"]);
        assert_eq!(file.set(&name("bob"), "HASH"), Set::Changed);
        assert_eq!(file.set(&name("dave"), "HASH"), Set::Added);
        let expected = "# team\n\nold:$apr1$x$y\nodd line\nbob:HASH\ncarol:{SHA}x\ndave:HASH\n";
        assert_eq!(String::from_utf8_lossy(file.as_bytes()), expected);
        assert!(file.remove("old") && !file.remove("old"));
        assert_eq!(file.names(), ["bob", "carol", "dave"]);
    }

    #[test]
    fn a_user_is_judged_by_the_line_that_counts() {
        let good = format!("bob:$2y$10${}", "a".repeat(53));
        let file = Htpasswd::parse(format!("eve:\n{good}\r\n# x:\nbob:\ncarol:$apr1$x$y:rest\n").as_bytes());
        let names = |reader| {
            file.unusable(reader).into_iter().map(|(name, why)| format!("{name} {why:?}")).collect::<Vec<_>>()
        };
        assert_eq!(names(Reader::Nginx), ["eve Empty", "carol Broken"]);
        assert_eq!(names(Reader::Registry), ["eve Empty", "bob Empty", "carol Broken"]);
    }

    #[test]
    fn each_line_is_in_the_file_of_its_user() {
        let file = Htpasswd::parse(b"# team\nbob:a\ncarol:b\nbob:c");
        let mut files = file.by_file(|name| if name == "bob" { "apart" } else { "rest" }.to_owned());
        let (rest, bobs) = (files.remove("rest").unwrap(), files.remove("apart").unwrap());
        assert_eq!((rest.as_bytes(), bobs.as_bytes()), (&b"# team\ncarol:b\n"[..], &b"bob:a\nbob:c"[..]));
        assert_eq!(bobs.join(&rest).as_bytes(), b"bob:a\nbob:c\n# team\ncarol:b\n");
    }

    proptest! {
        #[test]
        fn what_is_not_the_user_is_never_touched(before in "([a-c:#\\n ]|\\$2y\\$){0,60}") {
            let mut file = Htpasswd::parse(before.as_bytes());
            file.set(&name("zed"), "HASH");
            prop_assert!(file.remove("zed"));
            let newline = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
            prop_assert_eq!(String::from_utf8_lossy(file.as_bytes()), format!("{before}{newline}"));
        }
    }
}
