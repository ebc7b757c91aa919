//! What lies in a registry's storage, as a listing of its files has it, and what of that no image needs. The layout is
//! that of distribution's file system driver, alike in registry:2 and registry:3 (`registry/storage/paths.go`). Nothing
//! here reads or removes a file.

mod plan;

pub use plan::{Amount, Plan};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use super::manifest::Manifest;
use crate::error::Fault;
use crate::names::{Repository, printable};
use crate::pki::{hex, sha256};

/// The largest manifest that a registry takes (`registry/handlers/manifests.go`).
const MANIFEST_MAX: u64 = 4 << 20;

/// A SHA-256 digest; distribution's file system driver stores no other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum([u8; 32]);

impl Sum {
    /// Of these bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// From 64 lower-case hexadecimal digits.
    fn from_hex(text: &str) -> Option<Self> {
        let nibble = |byte: u8| match byte {
            b'0'..=b'9' => Some(byte - b'0'),
            b'a'..=b'f' => Some(byte - b'a' + 10),
            _ => None,
        };
        let mut sum = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != sum.len() || !rest.is_empty() {
            return None;
        }
        for (byte, [high, low]) in sum.iter_mut().zip(pairs) {
            *byte = nibble(*high)? << 4 | nibble(*low)?;
        }
        Some(Self(sum))
    }

    /// From `sha256:` and the digits.
    fn from_digest(text: &str) -> Option<Self> {
        Self::from_hex(text.strip_prefix("sha256:")?)
    }

    fn hex(self) -> String {
        hex(&self.0)
    }

    /// The directory of its blob.
    fn blob(self) -> String {
        let hex = self.hex();
        format!("blobs/sha256/{}/{hex}", &hex[..2])
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

/// What may be collected.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbage {
    /// What no manifest names.
    Unreferenced,
    /// That, and the manifests that no tag names, itself or by an index.
    Untagged,
}

/// Everything that is stored.
#[derive(Debug, Default)]
pub struct Storage {
    /// The time of the listing, in seconds since 1970.
    now: u64,
    repositories: BTreeMap<String, Holding>,
    /// The bytes of each blob.
    blobs: HashMap<Sum, u64>,
    /// By their directory.
    uploads: BTreeMap<String, Upload>,
}

/// What one repository has.
#[derive(Debug, Default)]
struct Holding {
    /// Its manifests.
    revisions: BTreeMap<Sum, Link>,
    tags: BTreeMap<String, TagLinks>,
    layers: HashMap<Sum, Link>,
    /// Signatures of schema 1, which no manifest names.
    signatures: BTreeSet<Sum>,
    /// When its manifests and tags last changed.
    changed: u64,
}

/// A file that holds a digest. Its own path says which.
#[derive(Debug, Clone, Copy)]
struct Link {
    size: u64,
    time: u64,
}

impl Link {
    /// Whether it was cut off, as a full disk leaves it. It holds `sha256:` and 64 digits.
    fn is_torn(self) -> bool {
        self.size != 71
    }
}

#[derive(Debug, Default)]
struct TagLinks {
    current: Current,
    /// Whether what it names was cut off when it was listed.
    is_torn: bool,
    /// What it named at any time.
    history: BTreeMap<Sum, Link>,
}

/// What a tag names now.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Current {
    /// Nothing: a push ended before it said so.
    #[default]
    Nothing,
    /// What it names cannot be read.
    Unread,
    Names(Sum),
    /// The link cannot be read, and the tag never named anything else.
    Only(Sum),
}

impl TagLinks {
    fn names(&self) -> Option<Sum> {
        match self.current {
            Current::Names(sum) | Current::Only(sum) => Some(sum),
            Current::Nothing | Current::Unread => None,
        }
    }
}

/// An upload that has not ended.
#[derive(Debug, Default, Clone, Copy)]
struct Upload {
    bytes: u64,
    touched: u64,
}

/// Manifests, and what they say.
#[derive(Debug, Default)]
pub struct Contents(HashMap<Sum, Content>);

#[derive(Debug)]
struct Content {
    /// Every digest in its text. More than it names, such as that of a base image, does no harm: it is kept.
    mentioned: Vec<Sum>,
    children: Children,
}

/// The manifests that a manifest names.
#[derive(Debug)]
enum Children {
    These(Vec<Sum>),
    /// It is damaged.
    Unknown,
}

impl Contents {
    /// Takes the bytes that are stored under a digest. Any text may be given: what is not a manifest mentions nothing.
    pub fn take(&mut self, sum: Sum, bytes: &[u8]) {
        let mentioned = mentioned(bytes);
        let children = match Manifest::read(bytes) {
            _ if Sum::of(bytes) != sum => Children::Unknown,
            Manifest::Single { .. } => Children::These(Vec::new()),
            Manifest::Index(entries) => Children::These(
                entries.iter().filter_map(|entry| Sum::from_digest(entry.digest.as_str())).collect(),
            ),
            Manifest::Foreign => Children::These(mentioned.clone()),
        };
        self.0.insert(sum, Content { mentioned, children });
    }
}

/// Every SHA-256 digest in a text.
fn mentioned(bytes: &[u8]) -> Vec<Sum> {
    let word = b"sha256:";
    let starts = bytes.windows(word.len()).enumerate().filter(|(_, window)| window == word);
    let digits = starts.filter_map(|(at, _)| bytes.get(at + word.len()..at + word.len() + 64));
    let mut sums: Vec<_> =
        digits.filter_map(|digits| Sum::from_hex(std::str::from_utf8(digits).ok()?)).collect();
    sums.sort_unstable();
    sums.dedup();
    sums
}

impl Storage {
    /// Takes one line of a listing: `SIZE SECONDS PATH`, the path below the storage's root, or `now=SECONDS`.
    pub fn take(&mut self, line: &str) -> Result<(), Fault> {
        let strange = || {
            Fault::new(format!("`{}` in the registry's storage is not known to regcert", printable(line)))
                .hint("move away what does not belong there, or report it")
        };
        if let Some(now) = line.strip_prefix("now=") {
            self.now = now.parse().map_err(|_| strange())?;
            return Ok(());
        }
        let mut parts = line.splitn(3, ' ');
        let mut number = || parts.next()?.parse().ok();
        let (Some(size), Some(time)) = (number(), number()) else {
            return Err(strange());
        };
        let path = parts.next().ok_or_else(strange)?;
        self.take_file(path, Link { size, time }).ok_or_else(strange)
    }

    fn take_file(&mut self, path: &str, link: Link) -> Option<()> {
        if let Some(blob) = path.strip_prefix("blobs/") {
            let parts: Vec<_> = blob.split('/').collect();
            let ["sha256", start, hex, "data"] = parts[..] else {
                return None;
            };
            self.blobs.insert(Sum::from_hex(hex).filter(|_| hex.starts_with(start))?, link.size);
            return Some(());
        }
        let (repository, rest) = path.strip_prefix("repositories/")?.split_once("/_")?;
        if let Some(upload) = rest.strip_prefix("uploads/") {
            let id = upload.split('/').next()?;
            let upload = self.uploads.entry(format!("repositories/{repository}/_uploads/{id}")).or_default();
            upload.bytes += link.size;
            upload.touched = upload.touched.max(link.time);
            return Some(());
        }
        if !self.repositories.contains_key(repository) {
            repository.parse::<Repository>().ok()?;
        }
        let holding = self.repositories.entry(repository.to_owned()).or_default();
        holding.take(&rest.split('/').collect::<Vec<_>>(), link)
    }

    /// The files of the tags, which say what each names now.
    pub fn tag_files(&self) -> Vec<String> {
        let tags = self.repositories.iter().flat_map(|(name, holding)| {
            let written = holding.tags.iter().filter(|(_, tag)| tag.current != Current::Nothing);
            written.map(move |(tag, _)| format!("repositories/{name}/_manifests/tags/{tag}/current/link"))
        });
        tags.collect()
    }

    /// Takes what the files of the tags hold: `FILE:TEXT` for each that is not empty. Unless it `is_final`, a tag can have gone
    /// since it was listed.
    pub fn take_tags(&mut self, lines: &str, is_final: bool) {
        for (file, text) in lines.lines().filter_map(|line| line.split_once("/current/link:")) {
            let name =
                file.strip_prefix("repositories/").and_then(|name| name.split_once("/_manifests/tags/"));
            if let Some((repository, tag)) = name
                && let Some(holding) = self.repositories.get_mut(repository)
                && let Some(tag) = holding.tags.get_mut(tag)
                && let Some(sum) = Sum::from_digest(text)
            {
                tag.current = Current::Names(sum);
            }
        }
        if !is_final {
            let is_there = |tag: &TagLinks| tag.current != Current::Unread || tag.is_torn;
            self.repositories.values_mut().for_each(|holding| holding.tags.retain(|_, tag| is_there(tag)));
        }
        for tag in self.repositories.values_mut().flat_map(|holding| holding.tags.values_mut()) {
            if let (Current::Unread, [only]) = (tag.current, &tag.history.keys().collect::<Vec<_>>()[..]) {
                tag.current = Current::Only(**only);
            }
        }
    }

    /// The blobs that are manifests of repositories and are not known yet, with file and size of each.
    pub fn manifests(&self, known: &Contents) -> Vec<(Sum, String, u64)> {
        let linked = self.repositories.values().flat_map(|holding| {
            holding.revisions.keys().copied().chain(holding.tags.values().filter_map(TagLinks::names))
        });
        self.files(linked.filter(|sum| !known.0.contains_key(sum)).collect()).collect()
    }

    /// The blobs that may be manifests that were deleted, where it matters: they tell a push that is complete from one
    /// that is under way.
    pub fn deleted_manifests(&self, contents: &Contents) -> Vec<(Sum, String, u64)> {
        let young = |holding: &Holding| holding.layers.values().any(|link| self.is_young(link.time));
        if !self.repositories.values().any(young) {
            return Vec::new();
        }
        let layers: BTreeSet<_> =
            self.repositories.values().flat_map(|holding| holding.layers.keys()).collect();
        let unknown = self.blobs.keys().filter(|sum| !layers.contains(sum) && !contents.0.contains_key(sum));
        self.files(unknown.copied().collect()).filter(|(_, _, size)| *size <= MANIFEST_MAX).collect()
    }

    /// Those that are stored and not empty.
    fn files(&self, sums: BTreeSet<Sum>) -> impl Iterator<Item = (Sum, String, u64)> {
        let stored = |sum: Sum| Some((sum, format!("{}/data", sum.blob()), *self.blobs.get(&sum)?));
        sums.into_iter().filter_map(stored).filter(|(_, _, size)| *size > 0)
    }

    /// Whether a blob is stored.
    pub fn has(&self, sum: Sum) -> bool {
        self.blobs.contains_key(&sum)
    }

    /// Everything that is stored.
    pub fn stored(&self) -> Amount {
        self.blobs.values().copied().collect()
    }
}

impl Holding {
    fn take(&mut self, parts: &[&str], link: Link) -> Option<()> {
        match parts {
            ["layers", "sha256", hex, "link"] => {
                self.layers.insert(Sum::from_hex(hex)?, link);
                return Some(());
            }
            // Directories: their times are those of manifests that came and went.
            ["manifests", "revisions", "sha256"] | ["manifests", "revisions", "sha256", _] => {}
            ["manifests", "revisions", "sha256", hex, "link"] => {
                self.revisions.insert(Sum::from_hex(hex)?, link);
            }
            ["manifests", "revisions", "sha256", _, "signatures", "sha256", hex, "link"] => {
                self.signatures.insert(Sum::from_hex(hex)?);
            }
            ["manifests", "revisions", "sha256", _, "signatures", ..] => {}
            ["manifests", "tags", tag, "current", "link"] => {
                let tag = self.tags.entry((*tag).to_owned()).or_default();
                (tag.current, tag.is_torn) = (Current::Unread, link.is_torn());
            }
            ["manifests", "tags", tag, "index", "sha256", hex, "link"] => {
                self.tags.entry((*tag).to_owned()).or_default().history.insert(Sum::from_hex(hex)?, link);
            }
            _ => return None,
        }
        self.changed = self.changed.max(link.time);
        Some(())
    }
}

#[cfg(test)]
mod tests;
