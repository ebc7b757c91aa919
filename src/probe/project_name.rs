//! Derives the Compose project name from a directory's path. Does not read the directory.

use std::path::Path;

use super::Compose;
use crate::pki::{hex, sha256};

/// The project name that Compose derives from a directory: the last part of the path in lower case, without the
/// characters that a project name cannot contain.
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

/// A project name unique to the directory: `name` and the first six digits of the SHA-256 of the path.
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
    }
}
