//! Packs files with tar and gzip, for the packages. The same files always give the same bytes.

use std::collections::{BTreeMap, BTreeSet};
use std::io::Write;

use flate2::{Compression, GzBuilder};
use tar::{Builder, EntryType, Header};

/// The text for `expect`: a write to memory cannot fail.
pub const IN_MEMORY: &str = "a `Vec` takes every write";

/// The mode and the content of each file, by the path without a leading slash.
pub type Files = BTreeMap<String, (u32, Vec<u8>)>;

/// The directories of the files and all their parents, each with a final slash.
pub fn folders(files: &Files) -> BTreeSet<&str> {
    files.keys().flat_map(|path| path.match_indices('/').map(|(at, _)| &path[..=at])).collect()
}

/// The files and their directories, sorted. A directory ends with a slash and comes before its content.
pub fn entries(files: &Files) -> BTreeMap<&str, (u32, &[u8])> {
    let folders = folders(files).into_iter().map(|path| (path, (0o755, &[][..])));
    let files = files.iter().map(|(path, (mode, content))| (&path[..], (*mode, &content[..])));
    folders.chain(files).collect()
}

/// Packs the files and their directories into a tar.
pub fn tar(files: &Files, time: u64) -> Vec<u8> {
    let mut tar = Builder::new(Vec::new());
    for (path, (mode, content)) in entries(files) {
        let kind = if path.ends_with('/') { EntryType::Directory } else { EntryType::Regular };
        append(&mut tar, kind, path, (mode, content), time);
    }
    tar.into_inner().expect(IN_MEMORY)
}

/// Appends one entry to a tar. The entry belongs to the user and the group `root`.
pub fn append(
    tar: &mut Builder<Vec<u8>>,
    kind: EntryType,
    path: &str,
    (mode, content): (u32, &[u8]),
    time: u64,
) {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_mtime(time);
    header.set_uid(0);
    header.set_gid(0);
    header.set_username("root").expect("a short name fits");
    header.set_groupname("root").expect("a short name fits");
    header.set_size(content.len() as u64);
    match header.as_old_mut().name.get_mut(..path.len()) {
        // `append_data` would remove a leading `./`.
        Some(name) => {
            name.copy_from_slice(path.as_bytes());
            header.set_cksum();
            tar.append(&header, content).expect(IN_MEMORY);
        }
        // A path of more than 100 bytes needs an additional entry, in which `append_data` keeps the `./`.
        None => tar.append_data(&mut header, path, content).expect(IN_MEMORY),
    }
}

/// Compresses with no time and an unknown system in the header (RFC 1952: 255), so that the bytes depend only on the
/// content.
pub fn gzip(content: &[u8]) -> Vec<u8> {
    let mut gzip = GzBuilder::new().mtime(0).operating_system(255).write(Vec::new(), Compression::best());
    gzip.write_all(content).expect(IN_MEMORY);
    gzip.finish().expect(IN_MEMORY)
}

#[cfg(test)]
pub mod examples {
    //! Reads the archives that the tests of each format build.

    use std::io::Read;

    use tar::Archive;

    /// The `mode path` and the content of each entry in a tar. Every entry must belong to root and have the given
    /// time.
    pub fn read(tar: &[u8], time: u64) -> Vec<(String, String)> {
        let mut entries = Vec::new();
        for entry in Archive::new(tar).entries().unwrap() {
            let mut entry = entry.unwrap();
            let header = entry.header();
            assert_eq!((header.uid().unwrap(), header.gid().unwrap(), header.mtime().unwrap()), (0, 0, time));
            assert_eq!(
                (header.username().unwrap(), header.groupname().unwrap()),
                (Some("root"), Some("root"))
            );
            let line =
                format!("{:o} {}", header.mode().unwrap(), String::from_utf8_lossy(&entry.path_bytes()));
            let mut content = Vec::new();
            entry.read_to_end(&mut content).unwrap();
            entries.push((line, String::from_utf8_lossy(&content).into_owned()));
        }
        entries
    }
}
