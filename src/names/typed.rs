//! The name of a repository or an image as a user types it: alone, or after the registry, as `docker push` prints it.

use std::fmt::Display;
use std::str::FromStr;

use super::printable;
use crate::error::Fault;

/// The schemes that may precede a registry's name, as browsers, skopeo and Helm write them.
const SCHEMES: [&str; 4] = ["https://", "http://", "docker://", "oci://"];

/// A repository or an image, with or without a registry before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Typed<T> {
    /// The text names no registry.
    Bare(T),
    /// The first part is either a registry or a part of the repository: `ghcr.io/app` can be both.
    Either {
        /// The first part of the text.
        registry: String,
        /// The name without the first part, for the case that the first part is a registry.
        below: T,
        /// The whole text, for the case that the first part belongs to the repository.
        whole: T,
    },
    /// The first part can only be a registry, because the whole text is not a valid name.
    Below {
        registry: String,
        /// The name without the registry.
        below: T,
    },
}

impl<T> Typed<T> {
    /// Removes the registry `own` from the name; fails if the text names another registry. `is_own` must return true
    /// for every name of the registry `own`.
    pub fn within(self, own: &dyn Display, is_own: impl Fn(&str) -> bool) -> Result<T, Fault> {
        match self {
            Self::Bare(whole) => Ok(whole),
            Self::Either { registry, below, whole } => Ok(if is_own(&registry) { below } else { whole }),
            Self::Below { registry, below } if is_own(&registry) => Ok(below),
            Self::Below { registry, .. } => Err(Fault::new(format!(
                "`{}` is another registry: this one is `{own}`",
                printable(&registry)
            ))
            .hint("leave the registry out, or name its directory with -C")),
        }
    }
}

impl<T: FromStr<Err = Fault>> FromStr for Typed<T> {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let bare = SCHEMES.iter().find_map(|scheme| text.strip_prefix(scheme));
        // The rule by which Docker decides whether the first part of a repository is a registry.
        let is_registry = |first: &str| bare.is_some() || first.contains(['.', ':']) || first == "localhost";
        let parts = bare.unwrap_or(text).split_once('/').filter(|(first, _)| is_registry(first));
        let whole = match bare {
            None => text.parse(),
            Some(_) => Err(Fault::new(format!("`{}` names nothing in a registry", printable(text)))
                .hint("write the repository behind the registry: `team-a/app`")),
        };
        let below = parts.map(|(registry, rest)| (registry.to_owned(), rest.parse()));
        match (whole, below) {
            (Ok(whole), Some((registry, Ok(below)))) => Ok(Self::Either { registry, below, whole }),
            (Ok(whole), Some((_, Err(_))) | None) => Ok(Self::Bare(whole)),
            (Err(_), Some((registry, Ok(below)))) => Ok(Self::Below { registry, below }),
            (Err(_), Some((_, Err(fault)))) | (Err(fault), None) => Err(fault),
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::names::{Image, Repository};

    fn image(text: &str) -> Result<String, Fault> {
        let own = ["r.lan:5443", "r.lan", "[fd00::1]:5443"];
        let typed: Typed<Image> = text.parse()?;
        typed.within(&own[0], |name| own.contains(&name)).map(|image| image.to_string())
    }

    #[test]
    fn the_registry_may_stand_before_what_is_in_it() {
        for (text, expected) in [
            ("app:1", "app:1"),
            ("r.lan:5443/app:1", "app:1"),
            ("r.lan/team-a/app:1", "team-a/app:1"),
            ("https://r.lan:5443/app:1", "app:1"),
            ("docker://r.lan:5443/app:1", "app:1"),
            ("[fd00::1]:5443/app:1", "app:1"),
            ("ghcr.io/team-a/app:1", "ghcr.io/team-a/app:1"),
            ("r.lan:5443/ghcr.io/team-a/app:1", "ghcr.io/team-a/app:1"),
        ] {
            assert_eq!(image(text).unwrap(), expected, "{text}");
        }
        for text in ["other.lan:5443/app:1", "https://other.lan/app:1", "localhost:5000/app:1"] {
            let fault = image(text).unwrap_err();
            assert!(fault.message.contains("is another registry: this one is `r.lan:5443`"), "{fault:?}");
        }
        for text in ["https://r.lan", "https://r.lan/", "r.lan:5443/app", "r.lan:5443/", "R/app:1"] {
            assert!(image(text).is_err(), "{text}");
        }
        assert_eq!(
            "r.lan/app".parse(),
            Ok(Typed::Either {
                registry: "r.lan".to_owned(),
                below: "app".parse::<Repository>().unwrap(),
                whole: "r.lan/app".parse().unwrap(),
            })
        );
    }
}
