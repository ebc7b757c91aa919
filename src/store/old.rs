//! Reads the directory of a registry that regcert did not create. Follows no link, and writes nothing.

use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::settings::RunAs;
use crate::takeover::Entry;

/// The maximum size of a file that regcert reads here, in bytes. A configuration, a key or a list of users is
/// smaller; an htpasswd line has 70 bytes.
const SIZE_MAX: u64 = 4 << 20;

/// Reads the entry at `path`. If a part of the path below `dir` is a symbolic link, returns the link and does not
/// follow it.
pub fn entry(dir: &Path, path: &Path) -> Entry {
    let below = path.strip_prefix(dir).unwrap_or(Path::new(""));
    let way = below.components().scan(dir.to_owned(), |at, part| {
        at.push(part);
        Some(at.clone())
    });
    let places = if path.starts_with(dir) { way.collect() } else { vec![path.to_owned()] };
    for place in places {
        match place.symlink_metadata() {
            Ok(metadata) if metadata.is_symlink() => return Entry::Link(place),
            Ok(_) => {}
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Entry::Nothing,
            Err(e) => return Entry::Unreadable(e.to_string()),
        }
    }
    read(path).unwrap_or_else(|e| {
        if e.kind() == std::io::ErrorKind::NotFound {
            Entry::Nothing
        } else {
            Entry::Unreadable(e.to_string())
        }
    })
}

fn read(path: &Path) -> std::io::Result<Entry> {
    let metadata = fs::metadata(path)?;
    if metadata.is_dir() {
        let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        let mut names = names.collect::<std::io::Result<Vec<_>>>()?;
        names.sort();
        return Ok(Entry::Directory(names));
    }
    if !metadata.is_file() {
        return Ok(Entry::Unreadable("it is not a regular file".to_owned()));
    }
    if metadata.len() > SIZE_MAX {
        return Ok(Entry::Unreadable("it is larger than 4 MiB".to_owned()));
    }
    let mut bytes = Zeroizing::new(Vec::new());
    File::open(path)?.take(SIZE_MAX).read_to_end(&mut bytes)?;
    Ok(Entry::File(bytes))
}

/// The absolute path without links and without `..`; an error if the path does not exist.
pub fn real(path: &Path) -> std::io::Result<PathBuf> {
    fs::canonicalize(path)
}

/// Whether users other than the owner may read the file.
pub fn others_may_read(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| metadata.is_file() && metadata.mode() & 0o044 != 0)
}

/// Whether regcert runs as root. File permissions do not apply to root.
pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The owner of the images in `path`: the owner of the directory `docker`, which the registry creates in `path`, or
/// of `path` itself.
pub fn owner(path: &Path) -> Option<RunAs> {
    let of = |path: PathBuf| {
        fs::metadata(path).ok().map(|metadata| RunAs { uid: metadata.uid(), gid: metadata.gid() })
    };
    of(path.join("docker")).or_else(|| of(path.to_owned()))
}
