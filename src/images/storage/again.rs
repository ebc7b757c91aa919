//! Finds what has to be read again, while pushes are refused, before a plan is carried out. The first scan takes
//! minutes on a large storage, and clients push during it. A second whole scan would refuse their pushes for as long.
//! It is not needed: only a push that needs something from the plan matters, and each kind of push changes a few
//! files and directories (distribution 2.8 and 3.1, `registry/storage`):
//!
//! - A manifest that is new in a repository makes a directory in `_manifests/revisions/sha256`, whose stamp changes.
//!   A manifest that was deleted there and is stored again has its link made in the remaining directory. Such
//!   directories are few, and each one is checked.
//! - If a stored manifest is stored again, by a digest or by a tag, the registry writes its link in `revisions`
//!   again, in place or by a rename, before it writes the tag. So a moved tag shows in the link of its new manifest.
//!   If the plan keeps that manifest, nothing is lost; if not, its link is checked, because it is in the plan.
//! - A layer that is uploaded or mounted makes a link in `_layers/sha256`, whose stamp changes, or rewrites the
//!   existing link. The file of a layer that is stored already does not change. If the plan removes the layer, it
//!   removes its links, and they are checked. This protects a push that is under way; layers that a manifest names
//!   are kept because of the manifest.
//! - A link that the plan mends or removes is checked itself, and so is a tag for which the plan mends another link.
//!   Listed uploads are listed again; later ones are recent, and stay.
//!
//! So each repository whose stamps have changed is listed again. The plan that follows can remove more than the first
//! one, such as images that clients deleted meanwhile: what it removes in other repositories is checked until nothing
//! new is found.
//!
//! A stamp is `st_ctime`, in seconds. It proves that nothing changed only if it is older than the first scan, by the
//! storage's own clock: a change within the same second as the scan leaves the same stamp.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Contents, Holding, Link, Storage, Sum, TagLinks, entry, strange};
use crate::error::Fault;
use crate::images::Plan;

/// How much older than the scan a stamp has to be, in seconds: fractions of a second are cut off, and FAT stores even
/// seconds only.
const MARGIN: u64 = 2;

impl Storage {
    /// Whether stamps show what changed since the first scan, which began `since` ago: the storage has a clock, and
    /// the clock was not set back since.
    pub fn keeps_time(&self, now: Option<u64>, since: Duration) -> bool {
        let (Some(began), Some(now)) = (self.clock, now) else {
            return false;
        };
        now.saturating_add(MARGIN) >= began.saturating_add(since.as_secs())
    }

    /// The directories of all repositories in which the registry makes new links.
    pub fn directories(&self) -> BTreeSet<String> {
        let both = |name: &String| {
            ["_layers/sha256", "_manifests/revisions/sha256"].map(|end| format!("repositories/{name}/{end}"))
        };
        self.repositories.keys().flat_map(both).collect()
    }

    /// The links that a plan relies on, except those of the repositories that are `current`.
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

    /// The repositories that changed since they were listed, including new ones. `asked` are the paths of a second
    /// listing, and `seen` is its output.
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

    /// The stamp that a link or directory had when it was listed.
    fn stamp(&self, repository: &str, path: &str) -> Option<u64> {
        self.repositories.get(repository)?.stamp(path)
    }

    /// Forgets repositories, so that they can be listed again.
    pub fn forget(&mut self, repositories: &BTreeSet<String>) {
        self.repositories.retain(|name, _| !repositories.contains(name));
    }

    /// Forgets the uploads, so that they can be listed again, and returns their directories.
    pub fn forget_uploads(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.uploads).into_keys().collect()
    }

    /// The files of the blobs that may have been stored since they were listed: a link names them, and they were
    /// missing or incomplete then.
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
    /// The manifest that a tag names although it was deleted.
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

/// The repository of a path, and the rest of the path after its `/_`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("repositories/")?.split_once("/_")
}

/// The link whose stamp shows whether the contents of a directory have changed.
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
