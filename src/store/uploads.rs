//! Finds files in the image directory that `regcert gc` would remove: uploads that no client has finished, and
//! remains of an interrupted collection. Searches a limited number of directories, and only those that this user may
//! read.

use std::fs::{self, ReadDir};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::Store;
use crate::images::TRASH;
use crate::settings::Data;

/// The maximum number of directories to search, which takes a tenth of a second. Only `regcert gc` searches a larger
/// storage.
const DIRECTORIES: u32 = 20_000;

/// The path of the registry's storage below the image directory, like `probe::gc::ROOT` in the container.
const ROOT: &str = "docker/registry/v2";

impl Store {
    /// The blobs that an interrupted collection has moved but not removed, as lines in the format of `uploads`. The
    /// list is incomplete if the images are in a volume, belong to another user, or are too many.
    pub fn left_by_collection(&self, data: &Data) -> Vec<String> {
        let Data::Directory(directory) = data else {
            return Vec::new();
        };
        let mut walk = Walk { left: DIRECTORIES, lines: Vec::new() };
        _ = walk.files(&self.dir.join(directory).join(ROOT), TRASH);
        walk.lines.retain(|line| line.ends_with("/data"));
        walk.lines
    }

    /// The files of uploads, as lines `SIZE TIME STAMP PATH`: TIME is the modification time, STAMP the change time.
    /// `None` if the images are in a volume, belong to another user, or are too many.
    pub fn uploads(&self, data: &Data) -> Option<Vec<String>> {
        let Data::Directory(directory) = data else {
            return None;
        };
        let mut walk = Walk { left: DIRECTORIES, lines: Vec::new() };
        walk.repositories(&self.dir.join(directory).join(ROOT), "repositories").ok()?;
        Some(walk.lines)
    }
}

struct Walk {
    left: u32,
    lines: Vec<String>,
}

impl Walk {
    fn repositories(&mut self, root: &Path, path: &str) -> io::Result<()> {
        for entry in self.open(root, path)? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = format!("{path}/{name}");
            if !entry.file_type()?.is_dir() {
                continue;
            }
            if name == "_uploads" {
                self.files(root, &below)?;
            } else if !name.starts_with('_') {
                self.repositories(root, &below)?;
            }
        }
        Ok(())
    }

    fn files(&mut self, root: &Path, path: &str) -> io::Result<()> {
        for entry in self.open(root, path)? {
            let entry = entry?;
            let below = format!("{path}/{}", entry.file_name().to_string_lossy());
            match entry.metadata() {
                Ok(metadata) if metadata.is_dir() => self.files(root, &below)?,
                Ok(metadata) => {
                    let (time, stamp) = (metadata.mtime(), metadata.ctime());
                    self.lines.push(format!("{} {time} {stamp} {below}", metadata.len()));
                }
                // The upload has ended in the meantime.
                Err(_) => {}
            }
        }
        Ok(())
    }

    fn open(&mut self, root: &Path, path: &str) -> io::Result<ReadDir> {
        self.left = self.left.checked_sub(1).ok_or(io::ErrorKind::FileTooLarge)?;
        fs::read_dir(root.join(path))
    }
}
