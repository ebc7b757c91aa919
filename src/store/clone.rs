//! Users who cloned regcert's repository start Compose there by habit: this module makes Compose in the clone use the
//! registry below it. Writes only the clone's `.env`.

use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::disk::look;
use super::tree::{Tree, hand_over};
use crate::health::Found;

/// The docker-compose.yml of the clone. It says what to do while there is no registry.
const TOP: &str = include_str!("../../docker-compose.yml");

const HEADER: &str = "# Leads Compose from the clone to its registry. Written by regcert.\n";

/// The state of the clone's `.env` after [`lead_compose`].
#[derive(Debug, PartialEq, Eq)]
pub enum Lead {
    /// The `.env` names the registry, or the registry is not directly below a clone.
    Done,
    /// The user wrote the `.env`, and it lacks these lines.
    Foreign(String),
}

/// Whether `dir` is a clone of regcert's repository.
pub fn is_clone(dir: &Path) -> bool {
    matches!(look(&dir.join("docker-compose.yml")), Found::File { bytes, .. } if bytes == TOP.as_bytes())
}

/// Makes Compose in the clone use the registry in `dir`, which is directly below the clone. Does not change a `.env`
/// that names another existing registry.
pub fn lead_compose(dir: &Path) -> Result<Lead> {
    let dir = std::path::absolute(dir)?;
    let (Some(clone), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) else {
        return Ok(Lead::Done);
    };
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !is_clone(clone) || !plain {
        return Ok(Lead::Done);
    }
    let path = clone.join(".env");
    // Does not follow links, because everyone may read the copy in the clone.
    let own = Tree::open(&dir)?.and_then(|tree| tree.read(".env").ok()).unwrap_or_default();
    let lines = format!("COMPOSE_FILE={name}/docker-compose.yml\n{}", String::from_utf8_lossy(&own));
    let text = format!("{HEADER}{lines}");
    let present = match look(&path) {
        Found::Nothing => None,
        Found::File { bytes, .. } => Some(String::from_utf8_lossy(&bytes).into_owned()),
        Found::Directory(_) | Found::Unreadable(_) => return Ok(Lead::Foreign(lines)),
    };
    if let Some(present) = present {
        if !present.starts_with(HEADER) {
            let leads = lines.lines().all(|line| line.starts_with('#') || present.contains(line));
            return Ok(if leads { Lead::Done } else { Lead::Foreign(lines) });
        }
        let other = other_registry(&present, name);
        if present == text || other.is_some_and(|other| clone.join(other).exists()) {
            return Ok(Lead::Done);
        }
    }
    replace(clone, &path, &text).with_context(|| format!("`{}` cannot be written", path.display()))?;
    Ok(Lead::Done)
}

/// The docker-compose.yml that a `.env` names, unless it is the file of the registry `name`.
fn other_registry<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let file = text.lines().find_map(|line| line.strip_prefix("COMPOSE_FILE="))?;
    (file.strip_suffix("/docker-compose.yml") != Some(name)).then_some(file)
}

/// Writes `text` to `path` atomically. The file belongs to the owner of the clone.
fn replace(clone: &Path, path: &Path, text: &str) -> Result<()> {
    let staged = clone.join(".env.regcert");
    if let Err(e) = fs::remove_file(&staged)
        && e.kind() != io::ErrorKind::NotFound
    {
        return Err(e.into());
    }
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o644).open(&staged)?;
    file.write_all(text.as_bytes())?;
    if super::is_root() {
        let owner = fs::metadata(clone)?;
        hand_over(&file, Some((owner.uid(), owner.gid())))?;
    }
    Ok(fs::rename(&staged, path)?)
}
