//! The clone of regcert itself: people start Compose there by habit.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

use anyhow::{Context, Result};

use super::tree::{Tree, hand_over};

/// The file at the top of the clone, which says what to do before there is a registry.
const TOP: &str = include_str!("../../docker-compose.yml");

/// Leads Compose from the clone to the registry right below it; whether `dir` is one and nothing was there yet.
pub fn lead_compose(dir: &Path) -> Result<bool> {
    let dir = std::path::absolute(dir)?;
    let (Some(clone), Some(name)) = (dir.parent(), dir.file_name().and_then(|name| name.to_str())) else {
        return Ok(false);
    };
    let is_clone = fs::read(clone.join("docker-compose.yml")).is_ok_and(|bytes| bytes == TOP.as_bytes());
    let plain = name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    if !is_clone || !plain {
        return Ok(false);
    }
    let path = clone.join(".env");
    // Not through a link: what it says is written for everybody.
    let own = Tree::open(&dir)?.and_then(|tree| tree.read(".env").ok()).unwrap_or_default();
    let own = String::from_utf8_lossy(&own);
    let text = format!(
        "# Leads Compose from the clone to its registry. Written by regcert.\nCOMPOSE_FILE={name}/docker-compose.yml\n{own}"
    );
    let write = || -> io::Result<Option<File>> {
        let mut file = match OpenOptions::new().write(true).create_new(true).mode(0o644).open(&path) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => return Ok(None),
            file => file?,
        };
        file.write_all(text.as_bytes())?;
        Ok(Some(file))
    };
    let written = write().with_context(|| format!("`{}` cannot be written", path.display()))?;
    if let Some(file) = written.as_ref().filter(|_| super::is_root()) {
        let owner = fs::metadata(clone)?;
        hand_over(file, Some((owner.uid(), owner.gid())))?;
    }
    Ok(written.is_some())
}
