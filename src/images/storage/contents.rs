//! The parsed manifests of a storage. They never change, because a digest identifies each of them.

use std::collections::HashMap;

use super::Sum;
use crate::images::manifest::Manifest;

#[derive(Debug, Default)]
pub struct Contents(pub(super) HashMap<Sum, Content>);

#[derive(Debug)]
pub(super) struct Content {
    /// Every digest in the text of the manifest. Unneeded digests, such as that of a base image, do no harm: their
    /// blobs are merely kept.
    pub(super) mentioned: Box<[Sum]>,
    pub(super) children: Children,
}

/// The manifests that a manifest lists.
#[derive(Debug)]
pub(super) enum Children {
    These(Box<[Sum]>),
    /// The list is unknown, because the manifest is damaged.
    Unknown,
}

impl Contents {
    /// Adds the bytes that are stored under a digest. Bytes that are not a manifest contain no digests.
    pub fn take(&mut self, sum: Sum, bytes: &[u8]) {
        let mentioned = mentioned(bytes);
        let children = match Manifest::read(bytes) {
            _ if Sum::of(bytes) != sum => Children::Unknown,
            Manifest::Single { .. } => Children::These(Box::default()),
            Manifest::Index(entries) => Children::These(
                entries.iter().filter_map(|entry| Sum::from_digest(entry.digest.as_str())).collect(),
            ),
            Manifest::Foreign => Children::These(mentioned.clone()),
        };
        self.0.insert(sum, Content { mentioned, children });
    }

    /// Removes the manifests whose bytes do not match their digest. They may have been read before they were complete.
    pub fn forget_damaged(&mut self) {
        self.0.retain(|_, content| !matches!(content.children, Children::Unknown));
    }

    pub(super) fn is_damaged(&self, sum: Sum) -> bool {
        self.0.get(&sum).is_some_and(|content| matches!(content.children, Children::Unknown))
    }
}

/// Returns every SHA-256 digest in a text.
fn mentioned(bytes: &[u8]) -> Box<[Sum]> {
    let word = b"sha256:";
    let starts = bytes.windows(word.len()).enumerate().filter(|(_, window)| window == word);
    let digits = starts.filter_map(|(at, _)| bytes.get(at + word.len()..at + word.len() + 64));
    let mut sums: Vec<_> =
        digits.filter_map(|digits| Sum::from_hex(std::str::from_utf8(digits).ok()?)).collect();
    sums.sort_unstable();
    sums.dedup();
    sums.into_boxed_slice()
}
