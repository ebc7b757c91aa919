//! How Compose names the project of a directory. Pure.

use std::path::Path;

use super::{Compose, PROJECT_NAME};
use crate::pki::{hex, sha256};

/// The project's name in the text of a `.env` file.
pub(super) fn name_in(text: &str) -> Option<String> {
    let value = |line: &str| {
        // Compose passes over the mark that Windows programs put before text.
        let value = line
            .trim_start_matches('\u{feff}')
            .trim()
            .strip_prefix(PROJECT_NAME)?
            .trim_start()
            .strip_prefix('=')?;
        Some(value.trim().trim_matches(['"', '\'']).to_owned())
    };
    text.lines().rev().find_map(value).filter(|name| !name.is_empty())
}

/// How Compose names the project of a directory: its last part, of which it takes what can stand in a name.
pub(super) fn directory_name(compose: Compose, dir: &Path) -> String {
    let dir = std::path::absolute(dir).unwrap_or_else(|_| dir.to_owned());
    let last = dir.components().next_back().map(|part| part.as_os_str().to_string_lossy().to_lowercase());
    let fits = |c: &char| matches!(c, 'a'..='z' | '0'..='9' | '-' | '_');
    let name: String = last.unwrap_or_default().chars().filter(fits).collect();
    match compose {
        Compose::Plugin => name.trim_start_matches(['-', '_']).to_owned(),
        Compose::Standalone | Compose::Podman => name,
    }
}

/// A name of its own for a directory whose last part is not one.
pub(super) fn own_name(name: &str, dir: &Path) -> String {
    let digest = hex(&sha256(dir.as_os_str().as_encoded_bytes()));
    format!("{}-{}", name.trim_start_matches(['-', '_']), &digest[..6])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_project_is_named_as_compose_names_it() {
        for (dir, name) in [("/srv/registry", "registry"), ("/x/My Registry_2", "myregistry_2"), ("/x/é", "")]
        {
            assert_eq!(directory_name(Compose::Plugin, Path::new(dir)), name);
        }
        for (text, name) in [
            ("# x\nCOMPOSE_PROJECT_NAME=reg-1\nA=b\n", Some("reg-1")),
            ("COMPOSE_PROJECT_NAME = 'reg-1'", Some("reg-1")),
            ("\u{feff}COMPOSE_PROJECT_NAME=reg-1\r\n", Some("reg-1")),
            ("COMPOSE_PROJECT_NAMES=x\n#COMPOSE_PROJECT_NAME=y\nCOMPOSE_PROJECT_NAME=\n", None),
        ] {
            assert_eq!(name_in(text).as_deref(), name, "{text}");
        }
    }
}
