//! The files of the output directory in memory: paths, bytes and modes, and their difference from the files on disk.
//! Never accesses the disk: `store` does.

mod part;

pub use part::{Effect, Part};

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Fault;

/// A path below the output directory, with `/` as separator. Never absolute, and never with `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelPath(String);

impl RelPath {
    /// Returns `None` if a part of the path is empty, `.`, `..` or contains a NUL byte.
    pub fn new(path: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        path.split('/').all(plain).then_some(Self(path))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns the directories above the file, outermost first.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The users who may read a file. `store` creates the file with this mode, so the file never has a more open one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Readable by all users: 0644.
    Public,
    /// Readable only by the containers' user, who owns the file: 0600.
    Server,
    /// Readable only by the owner of the directory: 0600. Never mounted into a container.
    Secret,
}

impl Mode {
    pub fn bits(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Server | Self::Secret => 0o600,
        }
    }
}

/// The source of a file's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The only copy of a key, a user or a setting. Each run reads the file again, so edits by hand take effect.
    Kept,
    /// Written for an external authority. The user may move the file away: regcert does not check it again.
    HandedOver,
    /// Rendered at each run. If the file was edited by hand, regcert reports it, and only `--force` overwrites it.
    Rendered,
    /// The user's own file. regcert writes it once, with comments that explain its purpose, and never rewrites it.
    Own,
}

/// Removes a UTF-8 byte order mark. Fails for UTF-16, whose bytes would become part of a password.
pub fn utf8(bytes: &[u8]) -> Result<&[u8], Fault> {
    let is_zero = |at: usize| bytes.get(at) == Some(&0);
    // ASCII text in UTF-16 has a zero in every other byte.
    let unmarked = (!is_zero(0) && is_zero(1) && !is_zero(2) && is_zero(3))
        || (is_zero(0) && !is_zero(1) && is_zero(2) && !is_zero(3));
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") || (bytes.len() > 3 && unmarked) {
        return Err(Fault::new("it is UTF-16 text")
            .hint("save it as UTF-8; in PowerShell, `Set-Content -Encoding ascii` does"));
    }
    Ok(bytes.strip_prefix(MARK).unwrap_or(bytes))
}

/// The byte order mark in UTF-8.
pub const MARK: &[u8] = b"\xef\xbb\xbf";

/// One file of the output directory.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    pub bytes: Vec<u8>,
    pub mode: Mode,
    pub origin: Origin,
}

impl fmt::Debug for File {
    /// Omits the bytes, because they may be a private key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} bytes, {:?}, {:?})", self.bytes.len(), self.mode, self.origin)
    }
}

/// A set of files, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSet(BTreeMap<RelPath, File>);

impl FileSet {
    /// Adds a file. Panics if the path is invalid: callers use constants and validated names.
    pub fn put(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: Mode, origin: Origin) {
        let path = RelPath::new(path).expect("the path is made of plain names");
        self.0.insert(path, File { bytes: bytes.into(), mode, origin });
    }

    pub fn get(&self, path: &str) -> Option<&File> {
        self.0.get(&RelPath(path.to_owned()))
    }

    /// Returns the text at `path`; `None` if the file is missing or not UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(utf8(&self.get(path)?.bytes).ok()?).ok()
    }

    /// Returns all files, sorted by path.
    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &File)> {
        self.0.iter()
    }

    /// Returns the files directly in `directory` whose names end in `.extension`.
    pub fn matching<'a>(
        &'a self,
        directory: &'a str,
        extension: &'a str,
    ) -> impl Iterator<Item = &'a RelPath> {
        self.0.keys().filter(move |path| {
            let below = path.as_str().strip_prefix(directory).and_then(|rest| rest.strip_prefix('/'));
            let stem =
                below.and_then(|name| name.strip_suffix(extension)).and_then(|name| name.strip_suffix('.'));
            stem.is_some_and(|stem| !stem.contains('/') && !stem.is_empty())
        })
    }
}

/// The effect of a run on one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// Written, because the file was missing.
    Added,
    /// Rewritten, because the bytes, the mode or the owner differed.
    Changed,
    /// Left alone, because the file is correct.
    Unchanged,
    /// Left alone, because the file was edited by hand. regcert would write something else.
    EditedByHand,
    /// Removed, because only an earlier run needed the file.
    Removed,
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Added => "added",
            Self::Changed => "changed",
            Self::Unchanged => "unchanged",
            Self::EditedByHand => "edited by hand",
            Self::Removed => "removed",
        })
    }
}

/// Stored instead of a digest for files of [`Origin::Kept`].
const KEPT: &str = "kept";

/// The digest of every file as regcert last wrote it: hexadecimal SHA-256 by path, or [`KEPT`] for [`Origin::Kept`].
pub type Digests = BTreeMap<String, String>;

/// The state of a file on the disk.
#[derive(Debug, Clone)]
pub struct OnDisk {
    /// The SHA-256 digest of the file, in hexadecimal.
    pub digest: String,
    /// Whether the mode and the owner are correct.
    pub permissions_fit: bool,
}

/// The treatment of files that were edited by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    /// Leave the edited file and report it.
    Keep,
    /// Overwrite the edited file.
    Overwrite,
}

/// The difference between the disk and the wanted files. Computed here, shown by `ui`, applied by `store`.
#[derive(Debug)]
pub struct Change {
    /// Every wanted or obsolete file with its action, sorted by path.
    pub actions: Vec<(RelPath, Action)>,
    /// The files that the directory should contain.
    pub files: FileSet,
    /// The digests to store after this run.
    pub digests: Digests,
    /// Whether the stored digests match the rendered files.
    pub digests_fit: bool,
    /// The digests stored before this run.
    written: Digests,
}

impl Change {
    /// Compares the wanted files with the files on disk. `digest` computes SHA-256 in hexadecimal. `disk` looks up a
    /// path of `wanted` or `written`.
    pub fn between(
        wanted: FileSet,
        written: &Digests,
        edits: Edits,
        digest: impl Fn(&[u8]) -> String,
        disk: impl Fn(&RelPath) -> Option<OnDisk>,
    ) -> Self {
        let mut actions = Vec::new();
        let mut digests = Digests::new();
        for (path, file) in wanted.iter() {
            let new = digest(&file.bytes);
            let old = written.get(path.as_str());
            let action = match disk(path) {
                None => Action::Added,
                Some(_) if file.origin == Origin::Own => Action::Unchanged,
                Some(on_disk) if on_disk.digest == new && on_disk.permissions_fit => Action::Unchanged,
                Some(on_disk) if on_disk.digest == new => Action::Changed,
                // regcert replaces a rendered file only if the bytes are still exactly those that regcert wrote.
                Some(on_disk)
                    if file.origin == Origin::Rendered
                        && edits == Edits::Keep
                        && old != Some(&on_disk.digest) =>
                {
                    Action::EditedByHand
                }
                Some(_) => Action::Changed,
            };
            if matches!(file.origin, Origin::HandedOver | Origin::Own) {
                actions.push((path.clone(), action));
                continue;
            }
            match (action, old) {
                (Action::EditedByHand, None) => {}
                (Action::EditedByHand, Some(old)) => _ = digests.insert(path.to_string(), old.clone()),
                (Action::Added | Action::Changed | Action::Unchanged | Action::Removed, _) => {
                    let digest = if file.origin == Origin::Kept { KEPT.to_owned() } else { new };
                    digests.insert(path.to_string(), digest);
                }
            }
            actions.push((path.clone(), action));
        }
        for (path, old) in written {
            let Some(path) = RelPath::new(path.clone()).filter(|path| wanted.get(path.as_str()).is_none())
            else {
                continue;
            };
            match disk(&path) {
                None => {}
                // This run has already read a kept file, so removing the file loses no edit.
                Some(on_disk) if old != KEPT && on_disk.digest != *old && edits == Edits::Keep => {
                    digests.insert(path.to_string(), old.clone());
                    actions.push((path, Action::EditedByHand));
                }
                Some(_) => actions.push((path, Action::Removed)),
            }
        }
        actions.sort_by(|a, b| a.0.cmp(&b.0));
        Self { actions, files: wanted, digests, digests_fit: true, written: written.clone() }
    }

    /// Limits the change to paths that `concerns` selects. All other files and their stored digests stay as they are.
    pub fn only(mut self, concerns: impl Fn(&str) -> bool) -> Self {
        self.actions.retain(|(path, _)| concerns(path.as_str()));
        self.digests.retain(|path, _| concerns(path));
        let others = self.written.iter().filter(|(path, _)| !concerns(path));
        self.digests.extend(others.map(|(path, digest)| (path.clone(), digest.clone())));
        self
    }

    /// Whether the change writes or removes the file at `path`.
    pub fn moves(&self, path: &RelPath) -> bool {
        let moved = |action| matches!(action, Action::Added | Action::Changed | Action::Removed);
        self.actions.iter().any(|(known, action)| known == path && moved(*action))
    }

    /// Returns the files that have this action.
    pub fn with(&self, action: Action) -> impl Iterator<Item = &RelPath> {
        self.actions.iter().filter(move |(_, a)| *a == action).map(|(path, _)| path)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn digest(bytes: &[u8]) -> String {
        String::from_utf8_lossy(bytes).into_owned()
    }

    fn one(origin: Origin, bytes: &str) -> FileSet {
        let mut files = FileSet::default();
        files.put("a/b", bytes, Mode::Public, origin);
        files
    }

    fn action(origin: Origin, on_disk: Option<&str>, written: Option<&str>, edits: Edits) -> Action {
        let digests = written.map(|w| ("a/b".to_owned(), w.to_owned())).into_iter().collect();
        let disk = |_: &RelPath| on_disk.map(|d| OnDisk { digest: d.into(), permissions_fit: true });
        Change::between(one(origin, "new"), &digests, edits, digest, disk).actions[0].1
    }

    #[test]
    fn windows_writes_text_in_three_ways() {
        assert_eq!(utf8(b"\xef\xbb\xbfsecret\r\n").unwrap(), b"secret\r\n");
        assert_eq!(utf8(b"secret").unwrap(), b"secret");
        assert_eq!(utf8(b"\x30\x82\x00\x01\x00").unwrap(), b"\x30\x82\x00\x01\x00");
        for text in [&b"\xff\xfes\0e\0"[..], b"\xfe\xff\0s\0e", b"s\0e\0c\0", b"\0s\0e\0c"] {
            assert_eq!(utf8(text).unwrap_err().message, "it is UTF-16 text");
        }
    }

    #[test]
    fn paths_stay_inside() {
        for bad in ["", "/a", "a//b", "../a", "a/..", "a/./b", "a/"] {
            assert!(RelPath::new(bad).is_none(), "{bad}");
        }
        assert_eq!(RelPath::new("a/b/c").unwrap().parents().collect::<Vec<_>>(), ["a", "a/b"]);
    }

    #[test]
    fn an_edit_by_hand_is_told_from_an_old_file() {
        use Origin::{Kept, Rendered};
        assert_eq!(action(Rendered, None, None, Edits::Keep), Action::Added);
        assert_eq!(action(Rendered, Some("new"), None, Edits::Keep), Action::Unchanged);
        assert_eq!(action(Rendered, Some("old"), Some("old"), Edits::Keep), Action::Changed);
        assert_eq!(action(Rendered, Some("mine"), Some("old"), Edits::Keep), Action::EditedByHand);
        assert_eq!(action(Rendered, Some("mine"), None, Edits::Keep), Action::EditedByHand);
        assert_eq!(action(Rendered, Some("mine"), Some("old"), Edits::Overwrite), Action::Changed);
        assert_eq!(action(Kept, Some("mine"), Some("old"), Edits::Keep), Action::Changed);
        for edits in [Edits::Keep, Edits::Overwrite] {
            assert_eq!(action(Origin::Own, None, None, edits), Action::Added);
            assert_eq!(action(Origin::Own, Some("mine"), None, edits), Action::Unchanged);
        }
    }

    #[test]
    fn a_kept_edit_stays_an_edit_at_the_next_run() {
        let written: Digests = [("a/b".to_owned(), "old".to_owned())].into();
        let disk = |_: &RelPath| Some(OnDisk { digest: "mine".into(), permissions_fit: true });
        let change = Change::between(one(Origin::Rendered, "new"), &written, Edits::Keep, digest, disk);
        assert_eq!(change.digests, written);
    }

    #[test]
    fn what_is_no_longer_wanted_goes_unless_edited() {
        let written: Digests = [("x".to_owned(), "x".to_owned())].into();
        for (on_disk, expected) in [("x", Action::Removed), ("mine", Action::EditedByHand)] {
            let disk = |_: &RelPath| Some(OnDisk { digest: on_disk.into(), permissions_fit: true });
            let change = Change::between(FileSet::default(), &written, Edits::Keep, digest, disk);
            assert_eq!(change.actions[0].1, expected);
        }
    }

    #[test]
    fn a_part_of_a_change_leaves_the_rest_as_it_was() {
        let written: Digests = [("a/b", "old"), ("x", "x")].map(|(p, d)| (p.to_owned(), d.to_owned())).into();
        let disk = |path: &RelPath| {
            let digest = if path.as_str() == "x" { "x" } else { "old" };
            Some(OnDisk { digest: digest.into(), permissions_fit: true })
        };
        let change = || Change::between(one(Origin::Rendered, "new"), &written, Edits::Keep, digest, disk);
        let none = change().only(|_| false);
        assert_eq!((none.actions, none.digests), (vec![], written.clone()));
        let some = change().only(|path| path == "a/b");
        assert_eq!(some.actions, [(RelPath::new("a/b").unwrap(), Action::Changed)]);
        assert_eq!(some.digests, [("a/b", "new"), ("x", "x")].map(|(p, d)| (p.into(), d.into())).into());
    }

    #[test]
    fn files_directly_below_a_directory() {
        let mut files = FileSet::default();
        for path in ["d/a.crt", "d/b.key", "d/e/c.crt", "x/a.crt"] {
            files.put(path, "", Mode::Public, Origin::Kept);
        }
        assert_eq!(files.matching("d", "crt").map(RelPath::as_str).collect::<Vec<_>>(), ["d/a.crt"]);
    }
}
