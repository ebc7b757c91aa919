//! The output directory as a value: paths, bytes and modes, and the difference between two such values. Never
//! touches the disk (`store` does).

mod part;

pub use part::{Effect, Part};

use std::collections::BTreeMap;
use std::fmt;

use crate::error::Fault;

/// A path below the output directory, with `/` between its parts; never absolute, never `..`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct RelPath(String);

impl RelPath {
    /// The path, where every part is a plain name.
    pub fn new(path: impl Into<String>) -> Option<Self> {
        let path = path.into();
        let plain = |part: &str| !part.is_empty() && part != "." && part != ".." && !part.contains('\0');
        path.split('/').all(plain).then_some(Self(path))
    }

    /// The path as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The directories above it, outermost first.
    pub fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for RelPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Who may read a file. The mode is part of the file and is there when the file appears.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Everybody: 0644.
    Public,
    /// The containers' user alone: 0600, owned by it.
    Server,
    /// The owner of the directory alone: 0600. Never mounted into a container.
    Secret,
}

impl Mode {
    /// The permission bits.
    pub fn bits(self) -> u32 {
        match self {
            Self::Public => 0o644,
            Self::Server | Self::Secret => 0o600,
        }
    }
}

/// Where a file's bytes come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// The only copy of something: a key, a user, a setting. Read back at each run, so an edit by hand counts.
    Kept,
    /// Made once for another authority, and taken away: not looked at again.
    HandedOver,
    /// Rewritten from the rest at each run. An edit by hand is a difference, and stays until `--force`.
    Rendered,
    /// The user's own: made once with comments that say what may stand there, and never looked at again.
    Own,
}

/// The bytes without the mark that Windows programs put before UTF-8 text. UTF-16 is refused by its name: as bytes it would
/// become a part of a password.
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

/// One file of the output.
#[derive(Clone, PartialEq, Eq)]
pub struct File {
    /// What is in it.
    pub bytes: Vec<u8>,
    /// Who may read it.
    pub mode: Mode,
    /// What made it.
    pub origin: Origin,
}

impl fmt::Debug for File {
    /// Never the bytes: they may be a key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} bytes, {:?}, {:?})", self.bytes.len(), self.mode, self.origin)
    }
}

/// A set of files, sorted by path.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FileSet(BTreeMap<RelPath, File>);

impl FileSet {
    /// Adds a file. The path is regcert's own or made of validated names: anything else is a bug.
    pub fn put(&mut self, path: impl Into<String>, bytes: impl Into<Vec<u8>>, mode: Mode, origin: Origin) {
        let path = RelPath::new(path).expect("the path is made of plain names");
        self.0.insert(path, File { bytes: bytes.into(), mode, origin });
    }

    /// The file at `path`.
    pub fn get(&self, path: &str) -> Option<&File> {
        self.0.get(&RelPath(path.to_owned()))
    }

    /// The text at `path`, where it is there and UTF-8.
    pub fn text(&self, path: &str) -> Option<&str> {
        std::str::from_utf8(utf8(&self.get(path)?.bytes).ok()?).ok()
    }

    /// All files, by path.
    pub fn iter(&self) -> impl Iterator<Item = (&RelPath, &File)> {
        self.0.iter()
    }

    /// The files right below `directory` whose name ends in `.extension`.
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

/// What a run does to one file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Action {
    /// It was not there.
    Added,
    /// Its bytes or its mode differ.
    Changed,
    /// Left alone: it is as it should be.
    Unchanged,
    /// Left alone: it was edited by hand since regcert wrote it, and what regcert would write differs.
    EditedByHand,
    /// Written by an earlier run, of no use now.
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

/// In place of a digest: the file is the only copy of something and is read back at each run.
const KEPT: &str = "kept";

/// The digest of every file as regcert last wrote it, hexadecimal SHA-256 by path; [`KEPT`] for what is kept.
pub type Digests = BTreeMap<String, String>;

/// A file as it lies on the disk.
#[derive(Debug, Clone)]
pub struct OnDisk {
    /// Hexadecimal SHA-256 of its bytes.
    pub digest: String,
    /// Whether mode and owner are as they should be.
    pub permissions_fit: bool,
}

/// What to do with edits by hand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Edits {
    /// Leave the edited file and say so.
    Keep,
    /// Write over it.
    Overwrite,
}

/// The whole difference between the disk and what should be there. Decided here, shown by `ui`, done by `store`.
#[derive(Debug)]
pub struct Change {
    /// Every file concerned, by path, with what happens to it.
    pub actions: Vec<(RelPath, Action)>,
    /// The files as they should be.
    pub files: FileSet,
    /// The digests to keep after the run.
    pub digests: Digests,
    /// Whether the digests that are stored are those of the files.
    pub digests_fit: bool,
    /// The digests kept before it.
    written: Digests,
}

impl Change {
    /// Compares what should be there with what is. `digest` is SHA-256 in hexadecimal; `disk` answers for every
    /// path of `wanted` and `written`.
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
                // A rendered file is ours to replace only where it is byte for byte what we wrote.
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
                // What was kept has been read, so an edit of it is not lost with the file.
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

    /// The same for the files that `concerns` alone: the others stay as they are, and known as they were.
    pub fn only(mut self, concerns: impl Fn(&str) -> bool) -> Self {
        self.actions.retain(|(path, _)| concerns(path.as_str()));
        self.digests.retain(|path, _| concerns(path));
        let others = self.written.iter().filter(|(path, _)| !concerns(path));
        self.digests.extend(others.map(|(path, digest)| (path.clone(), digest.clone())));
        self
    }

    /// Whether the file at `path` is written or removed.
    pub fn moves(&self, path: &RelPath) -> bool {
        let moved = |action| matches!(action, Action::Added | Action::Changed | Action::Removed);
        self.actions.iter().any(|(known, action)| known == path && moved(*action))
    }

    /// The files that happen to be `action`.
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
