//! Plans which files a garbage collection removes and repairs, from a listing of the storage. The collection can stop
//! safely at any point.

use std::collections::{BTreeSet, HashMap, HashSet};

use super::{Children, Contents, Current, Garbage, Holding, Storage, Sum, TagLinks, Upload};

/// The maximum time, in seconds, for which a layer without a manifest may belong to an unfinished push.
const UNDER_WAY: u64 = 3600;

/// The time without a write, in seconds, after which an upload counts as abandoned.
const GIVEN_UP: u64 = 24 * 3600;

/// A number of blobs or uploads, and their size.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, serde::Serialize)]
pub struct Amount {
    /// The number of blobs (layers, configurations and manifests), or of uploads.
    pub blobs: u64,
    pub bytes: u64,
}

impl FromIterator<u64> for Amount {
    fn from_iter<T: IntoIterator<Item = u64>>(sizes: T) -> Self {
        sizes.into_iter().fold(Self::default(), |sum, size| Self {
            blobs: sum.blobs + 1,
            bytes: sum.bytes.saturating_add(size),
        })
    }
}

impl Amount {
    pub fn add(&mut self, other: Self) {
        self.blobs += other.blobs;
        self.bytes = self.bytes.saturating_add(other.bytes);
    }
}

/// The work of a garbage collection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// Links to repair, because they are incomplete or missing, each with the digest that it must contain.
    pub mend: Vec<(String, Sum)>,
    /// Directories to remove.
    pub remove: Vec<String>,
    /// The blobs to remove, with their sizes in bytes.
    pub gone: Vec<(Sum, u64)>,
    /// The number and the size of the blobs to remove.
    pub garbage: Amount,
    /// The uploads to remove.
    pub uploads: Amount,
    /// Blobs that stay: no manifest names them yet, but they may belong to an unfinished push.
    pub under_way: Amount,
    /// Uploads that stay, because they may be unfinished.
    pub unfinished: Amount,
    /// Tags with an unreadable link, as `REPOSITORY:TAG`.
    pub unreadable: Vec<String>,
    /// Damaged manifests, as `REPOSITORY@DIGEST`.
    pub damaged: Vec<String>,
}

impl Plan {
    pub fn has_work(&self) -> bool {
        !self.remove.is_empty() || !self.mend.is_empty()
    }

    /// Returns the directories to remove, in an order that makes it safe to stop at any point: manifests, the history
    /// of tags, layers, blobs. Directories with the same name are far apart, because one directory cannot hold two of
    /// them.
    pub fn steps(&self) -> Vec<&str> {
        let kinds = ["/_manifests/revisions/", "/_manifests/", "/_layers/"];
        let mut seen = HashMap::new();
        let mut steps: Vec<_> = self
            .remove
            .iter()
            .map(|path| {
                let kind = kinds.iter().position(|kind| path.contains(kind)).unwrap_or(kinds.len());
                let name = path.rsplit('/').next().unwrap_or_default();
                let round = seen.entry((kind, name)).and_modify(|round| *round += 1).or_insert(0);
                (kind, *round, path.as_str())
            })
            .collect();
        steps.sort_by_key(|(kind, round, _)| (*kind, *round));
        steps.into_iter().map(|(_, _, path)| path).collect()
    }
}

impl Storage {
    /// Plans a garbage collection of the listed storage. `contents` are the manifests that were read.
    pub fn plan(&self, contents: &Contents, garbage: Garbage) -> Plan {
        let mut plan = Plan::default();
        let mut needed = HashSet::new();
        let named: HashSet<_> = contents.0.values().flat_map(|content| &content.mentioned).collect();
        let open = match garbage {
            Garbage::Unreferenced => HashSet::new(),
            Garbage::Untagged => self.open(&named),
        };
        for (name, holding) in &self.repositories {
            let revisions = self.revisions(holding);
            let kept = match garbage {
                Garbage::Unreferenced => revisions.clone(),
                Garbage::Untagged => holding.tagged(&revisions, &open, contents),
            };
            holding.take_manifests(name, &kept, self, &mut plan);
            needed.extend(holding.signatures.iter().copied());
            for sum in &kept {
                needed.insert(*sum);
                if let Some(content) = contents.0.get(sum) {
                    needed.extend(content.mentioned.iter().copied());
                    if matches!(content.children, Children::Unknown) {
                        plan.damaged.push(format!("{name}@{sum}"));
                    }
                }
            }
        }
        // An empty manifest is not kept: the registry would not replace it when a client pushes the complete one.
        needed.retain(|sum| !(self.blobs.get(sum) == Some(&0) && self.is_manifest(*sum)));
        self.drop_blobs(&needed, &named, &mut plan);
        plan.under_way.add(open.iter().filter_map(|sum| self.blobs.get(sum)).copied().collect());
        self.drop_uploads(&mut plan);
        plan
    }

    /// Returns the manifests of a repository, including those that only a tag still names.
    fn revisions(&self, holding: &Holding) -> BTreeSet<Sum> {
        let named = holding.tags.values().filter_map(TagLinks::names);
        let lost = named.filter(|sum| self.blobs.get(sum).is_some_and(|size| *size > 0));
        holding.revisions.keys().copied().chain(lost).collect()
    }

    fn is_manifest(&self, sum: Sum) -> bool {
        self.repositories.values().any(|holding| holding.revisions.contains_key(&sum))
    }

    /// Whether a link was written so recently that its push may be unfinished.
    pub(super) fn is_young(&self, time: u64) -> bool {
        time.saturating_add(UNDER_WAY) > self.now
    }

    /// Returns the manifests that may wait for an index: they are recent, no manifest names them, and no tag ever did.
    fn open(&self, named: &HashSet<&Sum>) -> HashSet<Sum> {
        let open = self.repositories.values().flat_map(|holding| {
            let had_tag: HashSet<_> = holding.tags.values().flat_map(|tag| tag.history.keys()).collect();
            let young = holding.revisions.iter().filter(|(_, link)| self.is_young(link.time));
            young.map(|(sum, _)| *sum).filter(move |sum| !had_tag.contains(sum))
        });
        open.filter(|sum| !named.contains(sum)).collect()
    }

    /// Returns the layers of pushes that may be unfinished: they are recent, and no manifest has named them since.
    fn under_way(&self, named: &HashSet<&Sum>) -> HashSet<Sum> {
        let open = self.repositories.values().flat_map(|holding| {
            let young = holding.layers.iter().filter(|(_, link)| self.is_young(link.time));
            young.filter(|(sum, link)| !named.contains(sum) || holding.changed < link.time)
        });
        open.map(|(sum, _)| *sum).collect()
    }

    fn drop_blobs(&self, needed: &HashSet<Sum>, named: &HashSet<&Sum>, plan: &mut Plan) {
        let under_way = self.under_way(named);
        let unneeded = self.blobs.iter().filter(|(sum, _)| !needed.contains(sum));
        let (kept, gone): (Vec<_>, Vec<_>) =
            unneeded.map(|(sum, size)| (*sum, *size)).partition(|(sum, _)| under_way.contains(sum));
        plan.under_way = kept.iter().map(|(_, size)| *size).collect();
        plan.garbage = gone.iter().map(|(_, size)| *size).collect();
        let leads_nowhere: HashSet<_> = gone.iter().map(|(sum, _)| *sum).collect();
        for (name, holding) in &self.repositories {
            for (sum, link) in &holding.layers {
                let path = format!("repositories/{name}/_layers/sha256/{}", sum.hex());
                if leads_nowhere.contains(sum) || !self.has(*sum) {
                    plan.remove.push(path);
                } else if link.is_torn {
                    plan.mend.push((format!("{path}/link"), *sum));
                }
            }
        }
        plan.remove.extend(gone.iter().map(|(sum, _)| sum.blob()));
        plan.gone = gone;
    }

    fn drop_uploads(&self, plan: &mut Plan) {
        let given_up = |upload: &Upload| upload.touched.saturating_add(GIVEN_UP) < self.now;
        let bytes = |wanted: bool| {
            self.uploads
                .values()
                .filter(|upload| given_up(upload) == wanted)
                .map(|upload| upload.bytes)
                .collect()
        };
        (plan.uploads, plan.unfinished) = (bytes(true), bytes(false));
        let gone = self.uploads.iter().filter(|(_, upload)| given_up(upload));
        plan.remove.extend(gone.map(|(directory, _)| directory.clone()));
    }
}

impl Holding {
    /// Returns the manifests that tags name or that are `open`, and the manifests that indexes among them list.
    /// Returns all manifests if a tag or an index cannot be read.
    fn tagged(&self, revisions: &BTreeSet<Sum>, open: &HashSet<Sum>, contents: &Contents) -> BTreeSet<Sum> {
        if self.tags.values().any(|tag| tag.current == Current::Unread) {
            return revisions.clone();
        }
        let mut kept = BTreeSet::new();
        let mut waiting: Vec<_> =
            self.tags.values().filter_map(TagLinks::names).chain(open.iter().copied()).collect();
        while let Some(sum) = waiting.pop() {
            if !revisions.contains(&sum) || !kept.insert(sum) {
                continue;
            }
            match contents.0.get(&sum).map(|content| &content.children) {
                Some(Children::These(children)) => waiting.extend(children),
                Some(Children::Unknown) => return revisions.clone(),
                // The manifest itself is missing, so clients cannot pull it anyway.
                None => {}
            }
        }
        kept
    }

    /// Adds to the plan: the manifests to remove, with their entries in the history of tags; the tags whose manifest
    /// is lost; and the links to repair.
    fn take_manifests(&self, name: &str, kept: &BTreeSet<Sum>, storage: &Storage, plan: &mut Plan) {
        let directory = format!("repositories/{name}/_manifests");
        for (tag, links) in &self.tags {
            let path = format!("{directory}/tags/{tag}");
            if links.names().is_some_and(|sum| !storage.has(sum)) {
                plan.remove.push(path);
                continue;
            }
            match links.current {
                Current::Only(sum) => plan.mend.push((format!("{path}/current/link"), sum)),
                Current::Unread => plan.unreadable.push(format!("{name}:{tag}")),
                Current::Nothing | Current::Names(_) => {}
            }
            for (sum, link) in &links.history {
                let entry = format!("{path}/index/sha256/{}", sum.hex());
                if !kept.contains(sum) && links.current != Current::Unread {
                    plan.remove.push(entry);
                } else if link.is_torn {
                    plan.mend.push((format!("{entry}/link"), *sum));
                }
            }
        }
        let revision = |sum: &Sum| format!("{directory}/revisions/sha256/{}", sum.hex());
        plan.remove.extend(self.revisions.keys().filter(|sum| !kept.contains(sum)).map(revision));
        let is_whole = |sum: &&Sum| self.revisions.get(sum).is_some_and(|link| !link.is_torn);
        let broken = kept.iter().filter(|sum| !is_whole(sum));
        plan.mend.extend(broken.map(|sum| (format!("{}/link", revision(sum)), *sum)));
    }
}
