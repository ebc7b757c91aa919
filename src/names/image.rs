//! The names of images in a registry: repository, tag and digest, in the grammar of the distribution specification.
//! These types are for names that users type and for names in a registry's responses.

use std::fmt;
use std::str::FromStr;

use super::printable;
use crate::error::Fault;

/// The name of a repository (distribution specification, "Pulling manifests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repository(String);

impl Repository {
    /// The maximum length; the registry refuses longer names.
    pub(super) const LENGTH_MAX: usize = 255;

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first part of the name if Docker would read that part as a registry: `ghcr.io` in `ghcr.io/app`.
    pub fn looks_like_in(&self) -> Option<&str> {
        self.0.split_once('/').map(|(first, _)| first).filter(|first| first.contains('.'))
    }
}

impl FromStr for Repository {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (length, most) = (text.chars().count(), Self::LENGTH_MAX);
        if length > most {
            return Err(Fault::new(format!("the name of a repository has {most} characters at most"))
                .hint(format!("this one has {length}: no registry takes it")));
        }
        if text.split('/').all(is_component) {
            return Ok(Self(text.to_owned()));
        }
        let fault = Fault::new(format!("`{}` is not the name of a repository", printable(text)));
        if let Some((name, _)) =
            text.split_once([':', '@']).filter(|(name, _)| name.split('/').all(is_component))
        {
            return Err(fault.hint(format!("leave the tag or the digest out: `{}`", printable(name))));
        }
        Err(fault.hint("lower-case letters and digits, with `.`, `_`, `-` and `/` between: `team-a/trial`"))
    }
}

impl fmt::Display for Repository {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether `text` matches `[a-z0-9]+((\.|_|__|-+)[a-z0-9]+)*`.
fn is_component(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [text.bytes().next(), text.bytes().next_back()];
    let separators =
        text.split(|c: char| c.is_ascii() && alphanumeric(c as u8)).filter(|part| !part.is_empty());
    edges.iter().all(|byte| byte.is_some_and(alphanumeric))
        && separators.into_iter().all(|one| [".", "_", "__"].contains(&one) || one.bytes().all(|b| b == b'-'))
}

/// The tag of a manifest: `[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tag(String);

impl FromStr for Tag {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let fine = (1..=128).contains(&text.len())
            && text.bytes().all(|byte| word(byte) || b".-".contains(&byte))
            && text.bytes().next().is_some_and(word);
        if fine {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{}` is not a tag", printable(text)))
            .hint("up to 128 letters, digits, `_`, `.` and `-`, of which the last two do not begin it"))
    }
}

impl fmt::Display for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The digest of a blob: SHA-256 or SHA-512, the two registered algorithms (OCI image specification, "Digests").
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize)]
#[serde(try_from = "String")]
pub struct Digest(String);

impl Digest {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first 12 digits, as `docker images` shows them.
    pub fn short(&self) -> &str {
        let hex = self.0.split_once(':').map_or("", |(_, hex)| hex);
        &hex[..12]
    }
}

impl FromStr for Digest {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let lower = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
        let fine = match text.split_once(':') {
            Some(("sha256", hex)) => hex.len() == 64 && hex.bytes().all(lower),
            Some(("sha512", hex)) => hex.len() == 128 && hex.bytes().all(lower),
            Some(_) | None => false,
        };
        if fine {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{}` is not a digest", printable(text)))
            .hint("it is `sha256:` and 64 hexadecimal digits; `regcert images --json` shows it whole"))
    }
}

impl TryFrom<String> for Digest {
    type Error = Fault;

    fn try_from(text: String) -> Result<Self, Fault> {
        text.parse()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The tag or digest of a manifest within its repository.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reference {
    /// A name that can be moved to another manifest.
    Tag(Tag),
    /// The hash of the manifest's content.
    Digest(Digest),
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tag(tag) => tag.fmt(f),
            Self::Digest(digest) => digest.fmt(f),
        }
    }
}

/// The name of a manifest in a registry: `REPO:TAG` or `REPO@DIGEST`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Image {
    pub repository: Repository,
    pub reference: Reference,
}

impl FromStr for Image {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        // A tag has no slash. If a slash follows the colon, the colon separates a host from its port.
        let (repository, reference) = match (text.split_once('@'), text.rsplit_once(':')) {
            (Some((repository, digest)), _) => (repository, Reference::Digest(digest.parse()?)),
            (None, Some((repository, tag))) if !tag.contains('/') => {
                (repository, Reference::Tag(tag.parse()?))
            }
            (None, _) => {
                return Err(Fault::new(format!("`{}` names no tag and no digest", printable(text)))
                    .hint("write it as `team-a/app:1.2` or `team-a/app@sha256:…`"));
            }
        };
        let repository = repository.parse().map_err(|fault: Fault| match repository.contains(':') {
            true => fault.hint("with either a tag or a digest: `team-a/app:1.2`"),
            false => fault,
        })?;
        Ok(Self { repository, reference })
    }
}

impl fmt::Display for Image {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.reference {
            Reference::Tag(tag) => write!(f, "{}:{tag}", self.repository),
            Reference::Digest(digest) => write!(f, "{}@{digest}", self.repository),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn repositories_have_the_grammar_of_the_specification() {
        for good in
            ["a", "0", "app", "team-a/app", "a.b_c__d---e/f/g1", "a/".repeat(127).trim_end_matches('/')]
        {
            assert!(good.parse::<Repository>().is_ok(), "{good}");
        }
        let long = "a".repeat(256);
        for bad in [
            "", "/", "a/", "/a", "a//b", "A", "a..b", "a._b", "a___b", "-a", "a-", "a.", "_a", "a b", "é",
            "a:b", "a@b", "../a", "a/./b", "a%2fb", &long,
        ] {
            assert!(bad.parse::<Repository>().is_err(), "{bad}");
        }
    }

    #[test]
    fn a_name_that_is_too_long_is_refused_for_that() {
        assert!("a".repeat(255).parse::<Repository>().is_ok());
        for bad in ["a".repeat(256), format!("team-a/{}", "b".repeat(249)), "A".repeat(300)] {
            let fault = bad.parse::<Repository>().unwrap_err();
            assert_eq!(fault.message, "the name of a repository has 255 characters at most");
            assert!(fault.hint.contains(&bad.len().to_string()), "{fault:?}");
        }
    }

    #[test]
    fn tags_have_the_grammar_of_the_specification() {
        for good in ["1", "latest", "_x", "1.2-rc.3", "A", &"a".repeat(128)] {
            assert!(good.parse::<Tag>().is_ok(), "{good}");
        }
        for bad in ["", ".a", "-a", "a b", "a/b", "a:b", "é", "a\n", &"a".repeat(129)] {
            assert!(bad.parse::<Tag>().is_err(), "{bad}");
        }
    }

    #[test]
    fn digests_are_whole_and_in_lower_case() {
        let (hex64, hex128) = ("0a".repeat(32), "f".repeat(128));
        let digest: Digest = format!("sha256:{hex64}").parse().unwrap();
        assert_eq!(digest.short(), "0a0a0a0a0a0a");
        assert!(format!("sha512:{hex128}").parse::<Digest>().is_ok());
        let upper = hex64.to_uppercase();
        for bad in ["", "sha256:", "sha256:0a", &hex64, &format!("md5:{hex64}"), &format!("sha256:{upper}")] {
            assert!(bad.parse::<Digest>().is_err(), "{bad}");
        }
    }

    #[test]
    fn an_image_is_named_by_tag_or_by_digest() {
        let digest = format!("sha256:{}", "0a".repeat(32));
        for good in ["app:1", "team-a/app:1.2", &format!("app@{digest}")] {
            assert_eq!(good.parse::<Image>().unwrap().to_string(), good);
        }
        for (bad, hint) in [
            ("app", "write it as"),
            ("host:5443/app", "write it as"),
            ("host:5443/app:1", "either a tag or a digest"),
            (&format!("app:1@{digest}"), "either a tag or a digest"),
            ("app@sha256:1", "64 hexadecimal digits"),
            ("App:1", "lower-case"),
            ("app:", "up to 128"),
        ] {
            let fault = bad.parse::<Image>().unwrap_err();
            assert!(fault.hint.contains(hint), "{bad}: {fault:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_generated_from_the_grammar_is_taken(
            repository in "[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,3}(/[a-z0-9]{1,4}((\\.|_|__|-{1,3})[a-z0-9]{1,3}){0,2}){0,3}",
            tag in "[a-zA-Z0-9_][a-zA-Z0-9._-]{0,127}",
        ) {
            let image: Image = format!("{repository}:{tag}").parse().unwrap();
            prop_assert_eq!(image.repository.as_str(), &repository);
            prop_assert_eq!(image.reference.to_string(), tag);
        }

        #[test]
        fn no_name_leaves_its_place_in_an_address(text in "[a-z0-9./_%?#@: -]{0,24}|\\PC{0,24}") {
            let closed = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-/".contains(&b))
                && text.split('/').all(|part| !part.is_empty() && part != "." && part != "..");
            if let Ok(name) = text.parse::<Repository>() { prop_assert!(closed(name.as_str())) }
            if let Ok(image) = text.parse::<Image>() { prop_assert_eq!(image.to_string(), text) }
        }
    }
}
