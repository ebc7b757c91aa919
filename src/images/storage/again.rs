//! Finds the files that must be read again, while pushes are refused, before a plan is carried out. The first scan of
//! a large storage takes minutes, and clients push during the scan. A second full scan would refuse pushes for as long.
//! It is not needed: only pushes that need something in the plan matter, and each kind of push changes only a few files
//! and directories (distribution 2.8 and 3.1, `registry/storage`):
//!
//! - Storing a manifest that is new in a repository creates a directory in `_manifests/revisions/sha256`, and so
//!   changes the stamp of `sha256`. Storing a deleted manifest again creates the link in the manifest's remaining
//!   directory. There are few remaining directories, and each one is checked.
//! - Storing an existing manifest again, by digest or by tag, rewrites the manifest's link in `revisions`, in place or
//!   by a rename, before the tag is written. So a moved tag shows in the link of the new manifest. If the plan keeps
//!   that manifest, nothing is lost. If the plan removes the manifest, the link is in the plan, and is checked.
//! - Uploading or mounting a layer creates a link in `_layers/sha256`, and so changes the stamp of `sha256`; or it
//!   rewrites the existing link. The file of an existing layer does not change. If the plan removes the layer, the plan
//!   removes the layer's links too, and they are checked. This protects unfinished pushes. A layer that a manifest
//!   names is kept because of the manifest.
//! - Each link that the plan repairs or removes is checked. If the plan repairs a manifest's link because of a tag, the
//!   tag is checked too. Listed uploads are listed again; later uploads are recent, and stay.
//!
//! Each repository with a changed stamp is listed again. The next plan can remove more than the first one, such as
//! images that clients deleted meanwhile. Additional removals in other repositories are checked until nothing new is
//! found.
//!
//! A stamp is `st_ctime`, in seconds. It proves that nothing changed only if it is older than the first scan, by the
//! storage's own clock: a change within the same second as the scan leaves the same stamp.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Contents, Holding, Link, Storage, Sum, TagLinks, entry, strange};
use crate::error::Fault;
use crate::images::Plan;

/// The minimum number of seconds by which a reliable stamp is older than the scan. Stamps have no fractions of a
/// second, and FAT stores only even seconds.
const MARGIN: u64 = 2;

impl Storage {
    /// Whether stamps reveal every change since the first scan, which began `since` ago: the storage has a clock, and
    /// the clock was not set back since then.
    pub fn keeps_time(&self, now: Option<u64>, since: Duration) -> bool {
        let (Some(began), Some(now)) = (self.clock, now) else {
            return false;
        };
        now.saturating_add(MARGIN) >= began.saturating_add(since.as_secs())
    }

    /// Returns the directories of all repositories in which the registry creates links.
    pub fn directories(&self) -> BTreeSet<String> {
        let both = |name: &String| {
            ["_layers/sha256", "_manifests/revisions/sha256"].map(|end| format!("repositories/{name}/{end}"))
        };
        self.repositories.keys().flat_map(both).collect()
    }

    /// Returns the links that a plan relies on, except in the repositories `current`, which were just listed again.
    pub fn at_stake(&self, plan: &Plan, current: &BTreeSet<String>) -> BTreeSet<String> {
        let removed = plan.remove.iter().filter_map(|path| link_below(path));
        let mended = plan.mend.iter().map(|(link, _)| link.clone());
        let others = self.repositories.iter().flat_map(|(name, holding)| {
            let directory = format!("repositories/{name}/_manifests");
            let emptied = holding.emptied.iter();
            let emptied = emptied.map(|sum| format!("{directory}/revisions/sha256/{}/link", sum.hex()));
            let lost = holding.tags.iter().filter(|(_, tag)| holding.lost(tag).is_some());
            let lost = lost.map(|(tag, _)| format!("{directory}/tags/{tag}/current/link"));
            emptied.chain(lost).collect::<Vec<_>>()
        });
        let is_current = |path: &str| split(path).is_some_and(|(name, _)| current.contains(name));
        removed.chain(mended).chain(others).filter(|path| !is_current(path)).collect()
    }

    /// Returns the repositories that changed since they were listed, including new ones. `asked` are the paths of a
    /// second listing, and `seen` is the output of that listing.
    pub fn changed(&self, asked: &BTreeSet<String>, seen: &str) -> Result<BTreeSet<String>, Fault> {
        let mut unseen: BTreeSet<&str> = asked.iter().map(String::as_str).collect();
        let mut changed = BTreeSet::new();
        for line in seen.lines() {
            let listed = entry(line).and_then(|(path, entry)| Some((path, split(path)?, entry.stamp)));
            let (path, (name, rest), stamp) = listed.ok_or_else(|| strange(line))?;
            unseen.remove(path);
            let is_old = self.clock.is_some_and(|clock| stamp.saturating_add(MARGIN) < clock);
            if !is_old || self.stamp(name, rest) != Some(stamp) {
                changed.insert(name.to_owned());
            }
        }
        let gone =
            unseen.into_iter().filter_map(split).filter(|(name, rest)| self.stamp(name, rest).is_some());
        changed.extend(gone.map(|(name, _)| name.to_owned()));
        let incomplete = self.repositories.iter().filter(|(_, holding)| holding.lacks_tags);
        changed.extend(incomplete.map(|(name, _)| name.clone()));
        Ok(changed)
    }

    /// Returns the stamp that a link or directory had when it was listed.
    fn stamp(&self, repository: &str, path: &str) -> Option<u64> {
        self.repositories.get(repository)?.stamp(path)
    }

    /// Removes repositories, so that they can be listed again.
    pub fn forget(&mut self, repositories: &BTreeSet<String>) {
        self.repositories.retain(|name, _| !repositories.contains(name));
    }

    /// Removes the uploads, so that they can be listed again, and returns their directories.
    pub fn forget_uploads(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.uploads).into_keys().collect()
    }

    /// Returns the files of blobs that may have been stored since the listing: a link names each blob, but the blob
    /// was missing or incomplete.
    pub fn doubtful(&self, contents: &Contents) -> BTreeSet<String> {
        let linked = self.repositories.values().flat_map(|holding| {
            let tags = holding.tags.values().filter_map(TagLinks::names);
            holding.layers.keys().chain(holding.revisions.keys()).copied().chain(tags)
        });
        let is_doubtful =
            |sum: &Sum| self.blobs.get(sum).is_none_or(|size| *size == 0) || contents.is_damaged(*sum);
        linked.filter(is_doubtful).map(Sum::file).collect()
    }
}

impl Holding {
    /// Returns the manifest that a tag still names although it was deleted.
    fn lost(&self, tag: &TagLinks) -> Option<Sum> {
        tag.names().filter(|sum| !self.revisions.contains_key(sum))
    }

    fn stamp(&self, path: &str) -> Option<u64> {
        let link = |link: Option<&Link>| link.map(|link| link.stamp);
        match path.split('/').collect::<Vec<_>>()[..] {
            ["layers", "sha256"] => self.layers_stamp,
            ["manifests", "revisions", "sha256"] => self.revisions_stamp,
            ["layers", "sha256", hex, "link"] => link(self.layers.get(&Sum::from_hex(hex)?)),
            ["manifests", "revisions", "sha256", hex, "link"] => {
                link(self.revisions.get(&Sum::from_hex(hex)?))
            }
            ["manifests", "tags", tag, "current", "link"] => link(self.tags.get(tag)?.link.as_ref()),
            ["manifests", "tags", tag, "index", "sha256", hex, "link"] => {
                link(self.tags.get(tag)?.history.get(&Sum::from_hex(hex)?))
            }
            _ => None,
        }
    }
}

/// Splits a path into the repository, and the part after `/_`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("repositories/")?.split_once("/_")
}

/// Returns the link whose stamp shows whether the contents of a directory have changed.
fn link_below(directory: &str) -> Option<String> {
    let (_, rest) = split(directory)?;
    match rest.split('/').collect::<Vec<_>>()[..] {
        ["uploads", ..] => None,
        ["manifests", "tags", _] => Some(format!("{directory}/current/link")),
        _ => Some(format!("{directory}/link")),
    }
}

#[cfg(test)]
mod tests;
