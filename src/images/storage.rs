//! The contents of a registry's storage, from a listing of its files, and the files that no image needs. The layout is
//! that of distribution's file system driver, identical in registry:2 and registry:3 (`registry/storage/paths.go`).
//! Nothing here reads or removes a file.

mod again;
mod contents;
mod plan;

use contents::Children;
pub use contents::Contents;
pub use plan::{Amount, Plan};

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;

use crate::error::Fault;
use crate::names::{Repository, printable};
use crate::pki::{hex, sha256};

/// The directory beside `blobs` and `repositories` into which a collection moves garbage. The registry never reads
/// it.
pub const TRASH: &str = "regcert-trash";

/// The largest manifest that a registry accepts, in bytes (`registry/handlers/manifests.go`).
const MANIFEST_MAX: u64 = 4 << 20;

/// A SHA-256 digest, the only kind that distribution's file system driver stores.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sum([u8; 32]);

impl Sum {
    /// Computes the digest of the bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(sha256(bytes))
    }

    /// Parses 64 lower-case hexadecimal digits.
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

    /// Parses `sha256:` and 64 digits.
    fn from_digest(text: &str) -> Option<Self> {
        Self::from_hex(text.strip_prefix("sha256:")?)
    }

    fn hex(self) -> String {
        hex(&self.0)
    }

    /// Returns the directory of the blob with this digest.
    fn blob(self) -> String {
        let hex = self.hex();
        format!("blobs/sha256/{}/{hex}", &hex[..2])
    }

    /// Returns the file with the bytes of the blob.
    pub fn file(self) -> String {
        format!("{}/data", self.blob())
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", self.hex())
    }
}

/// The kinds of garbage that a collection removes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Garbage {
    /// Blobs that no manifest names.
    Unreferenced,
    /// Unreferenced blobs, and manifests that no tag names, directly or through an index.
    Untagged,
}

/// The contents of a registry's storage.
#[derive(Debug, Default)]
pub struct Storage {
    /// The time of the listing, in seconds since 1970.
    now: u64,
    /// The time on the storage's own clock before the listing began. This clock can differ from the machine's.
    clock: Option<u64>,
    repositories: BTreeMap<String, Holding>,
    /// The size of each blob, in bytes.
    blobs: HashMap<Sum, u64>,
    /// The unfinished uploads, by directory.
    uploads: BTreeMap<String, Upload>,
    /// The number and the size of the blobs that an interrupted collection has moved but not removed.
    left: Amount,
}

/// The contents of one repository.
#[derive(Debug, Default)]
struct Holding {
    revisions: BTreeMap<Sum, Link>,
    tags: BTreeMap<String, TagLinks>,
    layers: HashMap<Sum, Link>,
    /// Signatures of schema 1 manifests. No manifest names them.
    signatures: BTreeSet<Sum>,
    /// The time of the last change of a manifest or tag, in seconds since 1970.
    changed: u64,
    /// The stamp of the directory with the layer links.
    layers_stamp: Option<u64>,
    /// The stamp of the directory with the manifest links.
    revisions_stamp: Option<u64>,
    /// The directories of deleted manifests. If a manifest is stored again, the registry creates its link there.
    emptied: BTreeSet<Sum>,
    /// Whether a tag was left out because its link could not be read and seemed to have been deleted meanwhile.
    lacks_tags: bool,
}

/// A file or directory in a listing.
#[derive(Debug, Clone, Copy)]
struct Entry {
    size: u64,
    /// The time of the last write (`st_mtime`). A restored backup keeps this time.
    time: u64,
    /// The time of the last change of any kind (`st_ctime`). Only the kernel sets this time.
    stamp: u64,
}

/// A link: a file with a digest. The path contains the same digest, except for the current link of a tag.
#[derive(Debug, Clone, Copy)]
struct Link {
    /// Whether the file is incomplete, for example because the disk was full.
    is_torn: bool,
    time: u64,
    stamp: u64,
}

impl From<Entry> for Link {
    fn from(entry: Entry) -> Self {
        // A complete link contains `sha256:` and 64 digits.
        Self { is_torn: entry.size != 71, time: entry.time, stamp: entry.stamp }
    }
}

#[derive(Debug, Default)]
struct TagLinks {
    current: Current,
    /// The current link: the file with the digest of the tag's current manifest.
    link: Option<Link>,
    /// Every manifest that the tag has ever named.
    history: BTreeMap<Sum, Link>,
}

/// The manifest that a tag currently names.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
enum Current {
    /// No manifest: a push ended before the registry wrote the link.
    #[default]
    Nothing,
    /// The link was not read yet, or cannot be read.
    Unread,
    Names(Sum),
    /// The link cannot be read, but the tag has only ever named this manifest.
    Only(Sum),
}

impl TagLinks {
    fn names(&self) -> Option<Sum> {
        match self.current {
            Current::Names(sum) | Current::Only(sum) => Some(sum),
            Current::Nothing | Current::Unread => None,
        }
    }

    fn is_torn(&self) -> bool {
        self.link.is_some_and(|link| link.is_torn)
    }
}

#[derive(Debug, Default, Clone, Copy)]
struct Upload {
    bytes: u64,
    touched: u64,
}

impl Storage {
    /// Creates an empty storage. `clock` is the time on the storage's own clock, if known.
    pub fn new(clock: Option<u64>) -> Self {
        Self { clock, ..Self::default() }
    }

    /// Adds one line of a listing: `SIZE TIME STAMP PATH`, with the path below the storage's root, or `now=SECONDS`.
    pub fn take(&mut self, line: &str) -> Result<(), Fault> {
        if let Some(now) = line.strip_prefix("now=") {
            self.now = now.parse().map_err(|_| strange(line))?;
            return Ok(());
        }
        let (path, entry) = entry(line).ok_or_else(|| strange(line))?;
        self.take_entry(path, entry).ok_or_else(|| strange(line))
    }

    fn take_entry(&mut self, path: &str, entry: Entry) -> Option<()> {
        if let Some(blob) = path.strip_prefix("blobs/") {
            let parts: Vec<_> = blob.split('/').collect();
            let ["sha256", start, hex, "data"] = parts[..] else {
                return None;
            };
            self.blobs.insert(Sum::from_hex(hex).filter(|_| hex.starts_with(start))?, entry.size);
            return Some(());
        }
        if path.strip_prefix(TRASH).is_some_and(|rest| rest.starts_with('/')) {
            self.left.add(Amount { blobs: 1, bytes: entry.size });
            return Some(());
        }
        let (repository, rest) = path.strip_prefix("repositories/")?.split_once("/_")?;
        if let Some(upload) = rest.strip_prefix("uploads/") {
            let id = upload.split('/').next()?;
            let upload = self.uploads.entry(format!("repositories/{repository}/_uploads/{id}")).or_default();
            upload.bytes += entry.size;
            upload.touched = upload.touched.max(entry.time);
            return Some(());
        }
        if !self.repositories.contains_key(repository) {
            repository.parse::<Repository>().ok()?;
        }
        let holding = self.repositories.entry(repository.to_owned()).or_default();
        holding.take(&rest.split('/').collect::<Vec<_>>(), entry)
    }

    /// Returns the link files of the tags that have not been read yet.
    pub fn tag_files(&self) -> BTreeSet<String> {
        let tags = self.repositories.iter().flat_map(|(name, holding)| {
            let written = holding.tags.iter().filter(|(_, tag)| tag.current == Current::Unread);
            written.map(move |(tag, _)| format!("repositories/{name}/_manifests/tags/{tag}/current/link"))
        });
        tags.collect()
    }

    /// Adds the contents of a tag's link file, as `FILE:TEXT`. There is no line for an empty file.
    pub fn take_tag(&mut self, line: &str) {
        if let Some((file, text)) = line.split_once("/current/link:")
            && let Some((repository, tag)) =
                file.strip_prefix("repositories/").and_then(|name| name.split_once("/_manifests/tags/"))
            && let Some(holding) = self.repositories.get_mut(repository)
            && let Some(tag) = holding.tags.get_mut(tag)
            && let Some(sum) = Sum::from_digest(text)
        {
            tag.current = Current::Names(sum);
        }
    }

    /// Ends the reading of tags. Unless `is_final`, removes unread tags with a complete link: they were just deleted.
    pub fn end_tags(&mut self, is_final: bool) {
        if !is_final {
            let is_there = |tag: &TagLinks| tag.current != Current::Unread || tag.is_torn();
            for holding in self.repositories.values_mut() {
                let listed = holding.tags.len();
                holding.tags.retain(|_, tag| is_there(tag));
                holding.lacks_tags |= holding.tags.len() < listed;
            }
        }
        for tag in self.repositories.values_mut().flat_map(|holding| holding.tags.values_mut()) {
            if let (Current::Unread, [only]) = (tag.current, &tag.history.keys().collect::<Vec<_>>()[..]) {
                tag.current = Current::Only(**only);
            }
        }
    }

    /// Returns the blobs that are manifests of repositories but have not been read yet, with their sizes.
    pub fn manifests(&self, known: &Contents) -> Vec<(Sum, u64)> {
        let linked = self.repositories.values().flat_map(|holding| {
            holding.revisions.keys().copied().chain(holding.tags.values().filter_map(TagLinks::names))
        });
        self.files(linked.filter(|sum| !known.0.contains_key(sum)).collect()).collect()
    }

    /// Returns the blobs that may be deleted manifests, if any layer is recent. The manifests show which recent layers
    /// belong to a complete push.
    pub fn deleted_manifests(&self, contents: &Contents) -> Vec<(Sum, u64)> {
        let young = |holding: &Holding| holding.layers.values().any(|link| self.is_young(link.time));
        if !self.repositories.values().any(young) {
            return Vec::new();
        }
        let layers: BTreeSet<_> =
            self.repositories.values().flat_map(|holding| holding.layers.keys()).collect();
        let unknown = self.blobs.keys().filter(|sum| !layers.contains(sum) && !contents.0.contains_key(sum));
        self.files(unknown.copied().collect()).filter(|(_, size)| *size <= MANIFEST_MAX).collect()
    }

    /// Returns the blobs among `sums` that are stored and not empty, with their sizes.
    fn files(&self, sums: BTreeSet<Sum>) -> impl Iterator<Item = (Sum, u64)> {
        let stored = |sum: Sum| Some((sum, *self.blobs.get(&sum)?));
        sums.into_iter().filter_map(stored).filter(|(_, size)| *size > 0)
    }

    pub fn has(&self, sum: Sum) -> bool {
        self.blobs.contains_key(&sum)
    }

    /// Whether repositories have manifests but no blob is stored, for example because a disk is not mounted.
    pub fn lacks_blobs(&self) -> bool {
        self.blobs.is_empty() && self.repositories.values().any(|holding| !holding.revisions.is_empty())
    }

    /// Returns the number and the size of all blobs.
    pub fn stored(&self) -> Amount {
        self.blobs.values().copied().collect()
    }

    /// Returns the number and the size of the blobs that an interrupted collection has moved but not removed.
    pub fn left(&self) -> Amount {
        self.left
    }
}

impl Holding {
    fn take(&mut self, parts: &[&str], entry: Entry) -> Option<()> {
        let link = Link::from(entry);
        match parts {
            ["layers", "sha256"] => {
                self.layers_stamp = Some(entry.stamp);
                return Some(());
            }
            ["layers", "sha256", hex, "link"] => {
                self.layers.insert(Sum::from_hex(hex)?, link);
                return Some(());
            }
            // Adding or removing a manifest changes the times of this directory.
            ["manifests", "revisions", "sha256"] => self.revisions_stamp = Some(entry.stamp),
            ["manifests", "revisions", "sha256", hex] => {
                self.emptied.insert(Sum::from_hex(hex)?);
            }
            ["manifests", "revisions", "sha256", hex, "link"] => {
                let sum = Sum::from_hex(hex)?;
                self.emptied.remove(&sum);
                self.revisions.insert(sum, link);
            }
            ["manifests", "revisions", "sha256", _, "signatures", "sha256", hex, "link"] => {
                self.signatures.insert(Sum::from_hex(hex)?);
            }
            ["manifests", "revisions", "sha256", _, "signatures", ..] => {}
            ["manifests", "tags", tag, "current", "link"] => {
                let tag = self.tags.entry((*tag).to_owned()).or_default();
                (tag.current, tag.link) = (Current::Unread, Some(link));
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

fn strange(line: &str) -> Fault {
    Fault::new(format!("`{}` in the registry's storage is not known to regcert", printable(line)))
        .hint("move away what does not belong there, or report it")
}

/// Parses one line of a listing: `SIZE TIME STAMP PATH`.
fn entry(line: &str) -> Option<(&str, Entry)> {
    let mut parts = line.splitn(4, ' ');
    let mut number = || parts.next()?.parse().ok();
    let (size, time, stamp) = (number()?, number()?, number()?);
    Some((parts.next()?, Entry { size, time, stamp }))
}

#[cfg(test)]
mod tests;
