//! Patterns for the repositories that a user may use.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{Repository, printable};
use crate::error::Fault;

/// A repository, or all repositories below a name: `team-b/app`, `team-a/*`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Pattern {
    /// Only this repository.
    One(Repository),
    /// All repositories below this name, at any depth, but not the repository with exactly this name.
    Below(Repository),
}

impl Pattern {
    fn covers(&self, repository: &str) -> bool {
        match self {
            Self::One(name) => name.as_str() == repository,
            Self::Below(above) => {
                repository.strip_prefix(above.as_str()).is_some_and(|rest| rest.starts_with('/'))
            }
        }
    }
}

impl FromStr for Pattern {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        let (name, is_above) = text.strip_suffix("/*").map_or((text, false), |above| (above, true));
        let repository: Repository = name.parse().map_err(|fault| match name.chars().count() {
            length if length > Repository::LENGTH_MAX => fault,
            _ => Fault::new(format!("`{}` is no repository, and no pattern for some", printable(text))).hint(
                "`team-a/*` is all below team-a, `team-a/app` that one, `*` every one; lower-case letters and digits, with `.`, `_`, `-` and `/` between",
            ),
        })?;
        Ok(if is_above { Self::Below(repository) } else { Self::One(repository) })
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(name) => name.fmt(f),
            Self::Below(name) => write!(f, "{name}/*"),
        }
    }
}

/// The maximum length of one user's patterns in nginx.conf, in bytes. nginx allows parameters of at most 4096 bytes.
const WORDS_MAX: usize = 3800;

/// The repositories that a user may use.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "Vec<String>", try_from = "Vec<String>")]
pub enum Repositories {
    /// All present and future repositories.
    #[default]
    Every,
    /// The repositories that match one of these patterns; sorted, at least one.
    Of(Vec<Pattern>),
}

impl Repositories {
    /// Parses the patterns that a user typed. No pattern, or `*`, means every repository. Returns all errors, not only
    /// the first.
    pub fn parse(texts: &[String]) -> Result<Self, Vec<Fault>> {
        let (mut patterns, mut faults, mut every) = (Vec::new(), Vec::new(), texts.is_empty());
        for text in texts {
            match text.parse() {
                _ if text == "*" => every = true,
                Ok(pattern) => patterns.push(pattern),
                Err(fault) => faults.push(fault),
            }
        }
        patterns.sort();
        patterns.dedup();
        let these = if every { Self::Every } else { Self::Of(patterns) };
        if these.words().len() > WORDS_MAX {
            faults.push(
                Fault::new(format!("{} repositories are more than nginx can keep for one user", texts.len()))
                    .hint("put them below a common name, and say `NAME/*`"),
            );
        }
        if faults.is_empty() { Ok(these) } else { Err(faults) }
    }

    /// Whether the user may use `repository`, by the same rule as in nginx.conf.
    pub fn contains(&self, repository: &str) -> bool {
        match self {
            Self::Every => true,
            Self::Of(patterns) => patterns.iter().any(|pattern| pattern.covers(repository)),
        }
    }

    /// The patterns in the form that nginx.conf uses: separated by spaces. A pattern with a slash occurs a second time
    /// with `%2F`, as in a URL's query.
    pub fn words(&self) -> String {
        let Self::Of(patterns) = self else {
            return "*".to_owned();
        };
        let plain: Vec<_> = patterns.iter().map(ToString::to_string).collect();
        let encoded = plain.iter().filter(|text| text.contains('/')).map(|text| text.replace('/', "%2F"));
        plain.iter().cloned().chain(encoded).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for Repositories {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&Vec::from(self.clone()).join(" "))
    }
}

impl From<Repositories> for Vec<String> {
    fn from(repositories: Repositories) -> Self {
        match repositories {
            Repositories::Every => vec!["*".to_owned()],
            Repositories::Of(patterns) => patterns.iter().map(ToString::to_string).collect(),
        }
    }
}

impl TryFrom<Vec<String>> for Repositories {
    type Error = String;

    fn try_from(texts: Vec<String>) -> Result<Self, String> {
        if texts.is_empty() {
            return Err("no repository is named".to_owned());
        }
        Self::parse(&texts).map_err(|faults| faults[0].message.clone())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(texts: &[&str]) -> Result<Repositories, Vec<Fault>> {
        Repositories::parse(&texts.iter().map(ToString::to_string).collect::<Vec<_>>())
    }

    #[test]
    fn patterns_are_names_with_or_without_what_is_below() {
        for good in ["a", "team-a/*", "a/b/c", "a.b_c__d---e/*", "0/1"] {
            assert_eq!(good.parse::<Pattern>().unwrap().to_string(), good);
        }
        for bad in
            ["", "/", "/*", "a/", "a//b", "A", "a*", "*/a", "a/**", "a b", "a..b", "a___b", "-a", "a|b", "é"]
        {
            let fault = bad.parse::<Pattern>().unwrap_err();
            assert_eq!(fault.message, format!("`{bad}` is no repository, and no pattern for some"));
        }
        for long in ["a".repeat(256), format!("{}/*", "a".repeat(256))] {
            assert!(long.parse::<Pattern>().unwrap_err().message.contains("255 characters"), "{long}");
        }
        assert!(format!("{}/*", "a".repeat(255)).parse::<Pattern>().is_ok());
    }

    #[test]
    fn a_star_is_every_one_and_so_is_nothing() {
        assert_eq!(parse(&[]).unwrap(), Repositories::Every);
        assert_eq!(parse(&["a/*", "*"]).unwrap(), Repositories::Every);
        assert_eq!(parse(&["b", "a/*", "b"]).unwrap().to_string(), "b a/*");
        assert_eq!(parse(&["b/c", "a/*"]).unwrap().words(), "b/c a/* b%2Fc a%2F*");
        assert_eq!(parse(&["A", "b", "c//"]).unwrap_err().len(), 2);
    }

    #[test]
    fn a_repository_is_one_of_them_or_not() {
        let both = parse(&["team-a/*", "app"]).unwrap();
        for inside in ["app", "team-a/app", "team-a/web/app"] {
            assert!(both.contains(inside), "{inside}");
        }
        for outside in
            ["team-a", "team-ab", "team-ab/app", "team-b/app", "team-b/team-a/app", "app/x", "apps", "ap", ""]
        {
            assert!(!both.contains(outside), "{outside}");
        }
        let nested = parse(&["team-a/web/*"]).unwrap();
        assert!(nested.contains("team-a/web/app") && nested.contains("team-a/web/app/x"));
        assert!(!nested.contains("team-a/web") && !nested.contains("team-a/app"));
        assert!(Repositories::Every.contains("app") && Repositories::Every.contains("team-a/web/app"));
    }

    #[test]
    fn more_than_nginx_can_read_is_refused() {
        let many: Vec<_> = (0..200).map(|n| format!("team-{n}/app")).collect();
        assert!(Repositories::parse(&many).is_err());
        assert!(Repositories::parse(&many[..100]).is_ok());
    }

    proptest! {
        #[test]
        fn what_is_accepted_holds_no_syntax(text in "[ -~]{0,20}") {
            if let Ok(pattern) = text.parse::<Pattern>() {
                let pattern = pattern.to_string();
                prop_assert!(pattern.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-/*".contains(&b)));
                prop_assert!(pattern.as_bytes()[0].is_ascii_alphanumeric());
            }
        }
    }
}
