//! A registry's storage in memory. Simulates the writes of registry:2 and registry:3, and scans of the storage.

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;

use super::super::super::tests::{image, index, sum};
use crate::images::storage::{Contents, Storage};
use crate::images::{Garbage, Plan};

/// An age in seconds at which no push can still be unfinished.
pub(super) const LONG_AGO: u64 = 10_000;
pub(super) const START: u64 = 1_000_000;
pub(super) const REPOSITORIES: [&str; 3] = ["a", "b", "b/c"];
pub(super) const LAYERS: [&str; 4] = ["layer 0", "layer 1", "layer 2", "layer 3"];

/// The way in which the registry rewrites an existing file.
#[derive(Debug, Clone, Copy)]
pub(super) enum Style {
    /// registry:2 overwrites the file.
    InPlace,
    /// registry:3 writes a new file and renames it.
    Renames,
}

#[derive(Debug, Clone)]
pub(super) enum Step {
    /// The upload or the mount of a layer.
    Layer(usize, usize),
    /// The push of a manifest, by its digest or by a tag.
    Manifest(usize, usize, Option<usize>),
    /// The deletion of a manifest and of the tags that name it. If the flag is false, an interruption leaves the tags.
    DeleteManifest(usize, usize, bool),
    DeleteTag(usize, usize),
    /// A full disk: the current link of a tag becomes empty.
    Tear(usize, usize),
    /// A restore from a backup that keeps times: all files become old.
    Age,
    Wait(u64),
}

#[derive(Debug, Clone)]
pub(super) struct File {
    text: String,
    time: u64,
    stamp: u64,
}

/// A registry and its storage.
#[derive(Debug, Clone)]
pub(super) struct Disk {
    style: Style,
    pub(super) now: u64,
    files: BTreeMap<String, File>,
    /// The stamp of each directory.
    directories: BTreeMap<String, u64>,
}

/// Returns images and indexes, each with the blobs that it names.
pub(super) fn manifests() -> Vec<(String, Vec<String>)> {
    let single = |layers: &[&str]| (image(layers), layers.iter().map(|layer| (*layer).to_owned()).collect());
    let [first, second, third] = [0, 1, 2].map(|at| single(&LAYERS[at..at + 2]));
    let list = |children: [&(String, Vec<String>); 2]| {
        let texts = children.map(|(text, _)| text.as_str());
        (index(&texts), texts.map(str::to_owned).to_vec())
    };
    let lists = [list([&first, &second]), list([&second, &third])];
    [first, second, third].into_iter().chain(lists).collect()
}

pub(super) fn parent(path: &str) -> Option<&str> {
    Some(path.rsplit_once('/')?.0)
}

pub(super) fn revision(repository: &str, text: &str) -> String {
    format!("repositories/{repository}/_manifests/revisions/sha256/{}", sum(text).hex())
}

pub(super) fn layer(repository: &str, text: &str) -> String {
    format!("repositories/{repository}/_layers/sha256/{}", sum(text).hex())
}

pub(super) fn tag(repository: &str, tag: usize) -> String {
    format!("repositories/{repository}/_manifests/tags/{tag}")
}

impl Disk {
    pub(super) fn new(style: Style) -> Self {
        Self { style, now: START, files: BTreeMap::new(), directories: BTreeMap::new() }
    }

    pub(super) fn text(&self, path: &str) -> Option<&str> {
        self.files.get(path).map(|file| file.text.as_str())
    }

    fn touch_parent(&mut self, path: &str) {
        if let Some(parent) = parent(path) {
            if !self.directories.contains_key(parent) {
                self.touch_parent(parent);
            }
            self.directories.insert(parent.to_owned(), self.now);
        }
    }

    pub(super) fn write(&mut self, path: &str, text: &str) {
        if !self.files.contains_key(path) || matches!(self.style, Style::Renames) {
            self.touch_parent(path);
        }
        self.files.insert(path.to_owned(), File { text: text.to_owned(), time: self.now, stamp: self.now });
    }

    pub(super) fn link(&mut self, directory: &str, text: &str) {
        self.write(&format!("{directory}/link"), &sum(text).to_string());
    }

    pub(super) fn blob(&mut self, text: &str) {
        if !self.files.contains_key(&sum(text).file()) {
            self.write(&sum(text).file(), text);
        }
    }

    pub(super) fn remove(&mut self, path: &str) {
        let is_below = |file: &String| file == path || file.starts_with(&format!("{path}/"));
        self.files.retain(|file, _| !is_below(file));
        self.directories.retain(|file, _| !is_below(file));
        self.touch_parent(path);
    }

    pub(super) fn has_link(&self, directory: &str) -> bool {
        self.files.contains_key(&format!("{directory}/link"))
    }

    pub(super) fn push(
        &mut self,
        repository: &str,
        (text, parts): &(String, Vec<String>),
        to: Option<usize>,
    ) {
        let is_there = |part: &String| {
            let link = if LAYERS.contains(&part.as_str()) { layer } else { revision };
            self.has_link(&link(repository, part)) && self.files.contains_key(&sum(part).file())
        };
        if !parts.iter().all(is_there) {
            return;
        }
        self.blob(text);
        self.link(&revision(repository, text), text);
        if let Some(to) = to {
            let tag = tag(repository, to);
            self.link(&format!("{tag}/index/sha256/{}", sum(text).hex()), text);
            self.link(&format!("{tag}/current"), text);
        }
    }

    pub(super) fn delete(&mut self, repository: &str, text: &str, ends: bool) {
        let revision = revision(repository, text);
        if !self.has_link(&revision) {
            return;
        }
        self.remove(&format!("{revision}/link"));
        for to in if ends { 0..2 } else { 0..0 } {
            let current = format!("{}/current/link", tag(repository, to));
            if self.files.get(&current).is_some_and(|file| file.text == sum(text).to_string()) {
                self.remove(&tag(repository, to));
            }
        }
    }

    pub(super) fn go(&mut self, step: &Step) {
        match *step {
            Step::Layer(repository, part) => {
                self.blob(LAYERS[part]);
                self.link(&layer(REPOSITORIES[repository], LAYERS[part]), LAYERS[part]);
            }
            Step::Manifest(repository, number, to) => {
                self.push(REPOSITORIES[repository], &manifests()[number], to);
            }
            Step::DeleteManifest(repository, number, ends) => {
                self.delete(REPOSITORIES[repository], &manifests()[number].0, ends);
            }
            Step::DeleteTag(repository, to) => {
                let tag = tag(REPOSITORIES[repository], to);
                if self.directories.contains_key(&tag) {
                    self.remove(&tag);
                }
            }
            Step::Tear(repository, to) => {
                let current = format!("{}/current/link", tag(REPOSITORIES[repository], to));
                if self.files.contains_key(&current) {
                    self.write(&current, "");
                }
            }
            Step::Age => self.files.values_mut().for_each(|file| {
                (file.time, file.stamp) = (self.now - LONG_AGO, self.now);
            }),
            Step::Wait(seconds) => self.now += seconds,
        }
    }

    /// Returns the names that a scan lists below a directory.
    pub(super) fn names(&self, top: &str) -> Vec<String> {
        let directory = |path: &&String| {
            path.ends_with("/_layers/sha256")
                || path.split_once("/_manifests/revisions/sha256").is_some_and(|(_, rest)| rest.len() < 70)
        };
        let directories = self.directories.keys().filter(directory);
        let names: BTreeSet<_> = self.files.keys().chain(directories).collect();
        let below = names.into_iter().filter(|path| path.starts_with(&format!("{top}/")));
        below.cloned().collect()
    }

    pub(super) fn lines(&self, names: impl IntoIterator<Item = String>) -> String {
        let line = |path: String| {
            let (size, time, stamp) = match (self.files.get(&path), self.directories.get(&path)) {
                (Some(file), _) => (file.text.len(), file.time, file.stamp),
                (None, Some(stamp)) => (4096, *stamp, *stamp),
                (None, None) => return None,
            };
            Some(format!("{size} {time} {stamp} {path}\n"))
        };
        names.into_iter().filter_map(line).collect()
    }

    pub(super) fn list(&self, tops: impl IntoIterator<Item = String>, storage: &mut Storage) {
        let names = tops.into_iter().flat_map(|top| self.names(&top));
        take(storage, &self.lines(names));
    }

    pub(super) fn read(&self, storage: &Storage, contents: &mut Contents) {
        for (wanted, _) in storage.manifests(contents).into_iter().chain(storage.deleted_manifests(contents))
        {
            contents.take(wanted, self.files[&wanted.file()].text.as_bytes());
        }
    }

    pub(super) fn read_tags(&self, storage: &mut Storage, is_final: bool) {
        for name in storage.tag_files() {
            if let Some(file) = self.files.get(&name).filter(|file| !file.text.is_empty()) {
                storage.take_tag(&format!("{name}:{}", file.text));
            }
        }
        storage.end_tags(is_final);
    }

    /// Scans the whole storage, like the first scan of `probe::gc::look`.
    pub(super) fn look(&self, contents: &mut Contents) -> Storage {
        let mut storage = Storage::new(None);
        take(&mut storage, &format!("now={}", self.now));
        self.list(["repositories".to_owned(), "blobs".to_owned()], &mut storage);
        self.read_tags(&mut storage, true);
        self.read(&storage, contents);
        storage
    }

    /// Runs a collection that stops after some steps.
    pub(super) fn collect(&mut self, garbage: Garbage, after: usize) {
        let mut contents = Contents::default();
        let plan = self.look(&mut contents).plan(&contents, garbage);
        plan.steps().into_iter().take(after).for_each(|path| self.remove(path));
        plan.mend.iter().for_each(|(link, digest)| self.write(link, &digest.to_string()));
    }

    /// Returns the contents of each file.
    pub(super) fn files(&self) -> BTreeMap<&str, &str> {
        self.files.iter().map(|(path, file)| (path.as_str(), file.text.as_str())).collect()
    }

    /// Runs the second scan of `probe::gc::look`, while pushes are refused.
    pub(super) fn look_again(
        &self,
        mut storage: Storage,
        contents: &mut Contents,
        garbage: Garbage,
    ) -> (Plan, usize) {
        let directories = self.names("repositories").into_iter().filter(|path| path.ends_with("sha256"));
        let mut asked = storage.directories();
        let mut changed = storage.changed(&asked, &self.lines(directories)).unwrap();
        let mut current = BTreeSet::new();
        loop {
            if !changed.is_empty() {
                storage.forget(&changed);
                let both = |name| ["_layers", "_manifests"].map(|end| format!("repositories/{name}/{end}"));
                self.list(changed.iter().flat_map(both), &mut storage);
                self.read_tags(&mut storage, true);
            }
            current.append(&mut changed);
            let doubtful = self.lines(storage.doubtful(contents));
            take(&mut storage, &doubtful);
            contents.forget_damaged();
            self.read(&storage, contents);
            let plan = storage.plan(contents, garbage);
            let ask = &storage.at_stake(&plan, &current) - &asked;
            changed = storage.changed(&ask, &self.lines(ask.clone())).unwrap();
            if changed.is_empty() {
                return (plan, current.len());
            }
            asked.extend(ask);
        }
    }
}

fn take(storage: &mut Storage, lines: &str) {
    lines.lines().for_each(|line| storage.take(line).unwrap());
}

pub(super) fn steps(count: usize) -> impl Strategy<Value = Vec<Step>> {
    let (repository, tag) = (0..REPOSITORIES.len(), proptest::option::weighted(0.7, 0..2_usize));
    let step = prop_oneof![
        4 => (repository.clone(), 0..LAYERS.len()).prop_map(|(at, layer)| Step::Layer(at, layer)),
        6 => (repository.clone(), 0..5_usize, tag).prop_map(|(at, number, to)| Step::Manifest(at, number, to)),
        2 => (repository.clone(), 0..5_usize, any::<bool>()).prop_map(|(at, number, ends)| Step::DeleteManifest(at, number, ends)),
        1 => (repository.clone(), 0..2_usize).prop_map(|(at, to)| Step::DeleteTag(at, to)),
        1 => (repository, 0..2_usize).prop_map(|(at, to)| Step::Tear(at, to)),
        1 => Just(Step::Age),
        3 => prop_oneof![Just(0), 1..5_u64, Just(3600)].prop_map(Step::Wait),
    ];
    proptest::collection::vec(step, 0..count)
}

/// Runs the first scan. For each directory, `moments` has the step before which the scan lists it, and the number of
/// steps until the scan reads the listed files.
pub(super) fn first_look(
    disk: &mut Disk,
    steps: &[Step],
    moments: &[usize],
    contents: &mut Contents,
) -> Storage {
    let tops: Vec<_> = REPOSITORIES
        .iter()
        .flat_map(|name| ["_layers", "_manifests"].map(|end| format!("repositories/{name}/{end}")))
        .chain(["blobs".to_owned()])
        .collect();
    let mut storage = Storage::new(Some(disk.now));
    take(&mut storage, &format!("now={}", disk.now));
    let mut named = BTreeMap::new();
    for (number, step) in steps.iter().map(Some).chain([None]).enumerate() {
        let is_last = step.is_none();
        for (at, top) in tops.iter().enumerate() {
            let (begins, ends) = (moments[2 * at], moments[2 * at] + moments[2 * at + 1]);
            if number == begins || is_last && begins > number {
                named.insert(at, disk.names(top));
            }
            if number == ends || is_last && ends > number {
                take(&mut storage, &disk.lines(named.remove(&at).unwrap()));
            }
        }
        step.into_iter().for_each(|step| disk.go(step));
    }
    disk.read_tags(&mut storage, false);
    disk.read(&storage, contents);
    storage
}
