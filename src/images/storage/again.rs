//! What has to be looked at again, while pushes are refused, before a plan is carried out. The first look takes minutes on a
//! large storage, and clients push beside it. A second whole look would refuse their pushes for as long. It is not needed: only
//! what needs something that the plan takes matters, and each way to need it leaves a mark on few files and directories
//! (distribution 2.8 and 3.1, `registry/storage`):
//!
//! - A manifest that is new in a repository makes a directory in `_manifests/revisions/sha256`, whose stamp changes. One that was
//!   deleted there and comes again has its link made in the directory that was left; those are few, and looked at one by one.
//! - A manifest that is stored already is stored again, by a digest or by a tag: its link in `revisions` is written again, in
//!   place or by a rename, and before the tag is. So a tag that moves shows in the link of the manifest that it moves to. If
//!   the plan keeps that manifest, nothing is lost; if not, its link is looked at, because it is in the plan.
//! - A layer that is uploaded or mounted makes a link in `_layers/sha256`, whose stamp changes, or writes the link again that is
//!   there. Its own file is not touched when it is stored already. If the plan takes the layer, it takes its links, and they are
//!   looked at. This keeps a push going that is under way; layers that a manifest names are kept because of the manifest.
//! - A link that the plan mends or removes is looked at itself, and so is a tag for which it mends another link. Uploads that
//!   were listed are listed again; later ones are young, and stay.
//!
//! So each repository is listed again whose stamps have changed. The plan that follows can take more than the first one, such
//! as what was deleted meanwhile: what it takes in other repositories is looked at until there is nothing new.
//!
//! A stamp is `st_ctime`, in seconds. It says that nothing changed only if it is older than the first look, by the storage's own
//! clock: a change within the same second as the look leaves the same stamp.

use std::collections::BTreeSet;
use std::time::Duration;

use super::{Contents, Holding, Link, Storage, Sum, TagLinks, entry, strange};
use crate::error::Fault;
use crate::images::Plan;

/// How much older than the look a stamp has to be, in seconds: a second is cut off, and FAT counts in twos.
const MARGIN: u64 = 2;

impl Storage {
    /// Whether stamps tell what changed since the first look, which began this long ago: the storage has a clock, and nothing
    /// has set it back since.
    pub fn keeps_time(&self, now: Option<u64>, since: Duration) -> bool {
        let (Some(began), Some(now)) = (self.clock, now) else {
            return false;
        };
        now.saturating_add(MARGIN) >= began.saturating_add(since.as_secs())
    }

    /// The directories that new links are made in, of all repositories.
    pub fn directories(&self) -> BTreeSet<String> {
        let both = |name: &String| {
            ["_layers/sha256", "_manifests/revisions/sha256"].map(|end| format!("repositories/{name}/{end}"))
        };
        self.repositories.keys().flat_map(both).collect()
    }

    /// The links that a plan relies on, but for those of the repositories that are `current`.
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

    /// The repositories that changed since they were listed, by what was asked for, and what a listing of it has now. New
    /// repositories are among them.
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

    /// Forgets repositories, which are listed again.
    pub fn forget(&mut self, repositories: &BTreeSet<String>) {
        self.repositories.retain(|name, _| !repositories.contains(name));
    }

    /// Forgets the uploads, which are listed again, and names their directories.
    pub fn forget_uploads(&mut self) -> BTreeSet<String> {
        std::mem::take(&mut self.uploads).into_keys().collect()
    }

    /// The files of the blobs that may have come since they were listed: those that a link leads to and that were not stored,
    /// or not whole, then.
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
    /// The manifest that a tag names and that was deleted.
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

/// The repository of a path, and the rest after its `_`.
fn split(path: &str) -> Option<(&str, &str)> {
    path.strip_prefix("repositories/")?.split_once("/_")
}

/// The link that says whether what lies below a directory is still as it was.
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
