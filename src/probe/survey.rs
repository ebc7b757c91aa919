//! Fetches everything that the tags of a registry refer to, in a few threads and each manifest only once.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::Result;

use super::api::{Api, Stored};
use super::http::CONNECTIONS;
use crate::error::Fault;
use crate::images::{Contents, Manifest, Tagged};
use crate::names::{Digest, Reference, Repository, Tag, printable};

/// The number of manifests to fetch before adding them to the contents.
const AT_ONCE: usize = 256;

/// The images of a registry.
#[derive(Debug, Default)]
pub struct Survey {
    /// The repositories by name, each with its tags by name.
    pub repositories: Vec<(Repository, Vec<Tagged>)>,
    /// Everything that the tags refer to.
    pub contents: Contents,
    /// The reasons why tags and manifests were left out.
    pub left_out: Vec<Fault>,
}

/// A repository and its tags, unchecked, as the registry lists them.
pub type Tags = (Repository, Vec<String>);

/// Lists the tags of each of `repositories`, and returns a fault for each repository whose tags cannot be read.
pub fn tag_lists(api: &Api<'_>, repositories: Vec<Repository>) -> Result<(Vec<Tags>, Vec<Fault>)> {
    let (mut lists, mut left_out) = (Vec::new(), Vec::new());
    let found = each(&repositories, |repository| api.tags(repository))?;
    for (repository, list) in repositories.into_iter().zip(found) {
        match list {
            Ok(tags) => lists.push((repository, tags.unwrap_or_default())),
            Err(fault) => left_out.push(fault),
        }
    }
    Ok((lists, left_out))
}

/// Fetches everything that the tags in `lists` refer to. Calls `say` with messages about the progress.
pub fn survey(api: &Api<'_>, lists: Vec<Tags>, say: impl Fn(String)) -> Result<Survey> {
    let mut survey = Survey::default();
    survey.tags(api, lists, &say)?;
    survey.manifests(api, &say)?;
    survey.platforms(api)?;
    Ok(survey)
}

/// The tags of `repository` with the manifests that they refer to. Leaves out tags without a manifest.
pub fn tagged(api: &Api<'_>, repository: &Repository) -> Result<Vec<Tagged>> {
    let names: BTreeSet<String> = api.tags(repository)??.unwrap_or_default().into_iter().collect();
    let tags: Vec<Tag> = names.iter().filter_map(|text| text.parse().ok()).collect();
    let found = each(&tags, |tag| api.resolve(repository, &Reference::Tag(tag.clone())))?;
    let mut tagged = Vec::new();
    for (tag, found) in tags.into_iter().zip(found) {
        tagged.extend(found?.map(|Stored { digest, media_type, .. }| Tagged { tag, digest, media_type }));
    }
    Ok(tagged)
}

impl Survey {
    fn tags(&mut self, api: &Api<'_>, lists: Vec<Tags>, say: &impl Fn(String)) -> Result<()> {
        let mut names: Vec<(usize, Tag)> = Vec::new();
        for (repository, tags) in lists {
            // If the list changes while regcert reads its pages, a tag may be listed twice.
            for text in BTreeSet::from_iter(tags) {
                match text.parse() {
                    Ok(tag) => names.push((self.repositories.len(), tag)),
                    Err(_) => self.left_out.push(Fault::new(format!(
                        "`{repository}` has a tag that is none: `{}`",
                        printable(&text)
                    ))),
                }
            }
            self.repositories.push((repository, Vec::new()));
        }
        say(format!("asking for {} tags", names.len()));
        let known = &self.repositories;
        let resolve = |(at, tag): &(usize, Tag)| api.resolve(&known[*at].0, &Reference::Tag(tag.clone()));
        let found = each(&names, resolve)?;
        for ((at, tag), found) in names.into_iter().zip(found) {
            let (repository, tags) = &mut self.repositories[at];
            match found {
                Ok(Some(Stored { digest, media_type, .. })) => {
                    self.contents.named(&digest, repository);
                    tags.push(Tagged { tag, digest, media_type });
                }
                Ok(None) => self.left_out.push(Fault::new(format!(
                    "`{repository}:{tag}` is listed, and there is no manifest behind it"
                ))),
                Err(fault) => self.left_out.push(fault),
            }
        }
        Ok(())
    }

    /// Fetches the manifests that the tags refer to, and then repeatedly the manifests that the fetched indexes refer
    /// to, until no manifest is missing.
    fn manifests(&mut self, api: &Api<'_>, say: &impl Fn(String)) -> Result<()> {
        let mut asked: BTreeSet<Digest> = BTreeSet::new();
        let mut wanted: BTreeSet<Digest> = self.tagged().cloned().collect();
        while !wanted.is_empty() {
            say(format!("asking for {} manifests", wanted.len()));
            let digests: Vec<Digest> = wanted.iter().cloned().collect();
            for some in digests.chunks(AT_ONCE) {
                let fetched = each(some, |digest| self.manifest(api, digest))?;
                for (digest, manifest) in some.iter().zip(fetched) {
                    match manifest {
                        Ok((bytes, manifest)) => self.contents.take(digest, bytes, manifest),
                        Err(fault) => self.left_out.push(fault),
                    }
                }
            }
            asked.append(&mut wanted);
            wanted = self.contents.unseen().difference(&asked).cloned().collect();
        }
        Ok(())
    }

    fn manifest(&self, api: &Api<'_>, digest: &Digest) -> Result<Result<(u64, Manifest), Fault>> {
        let repository = self.contents.place(digest).expect("whatever is asked for was named somewhere");
        let stored = api.manifest(repository, &Reference::Digest(digest.clone()))?;
        Ok(stored.and_then(|stored| {
            let missing = || {
                Fault::new(format!("`{repository}@{digest}` is named by a tag or an index, and not there"))
            };
            let stored = stored.ok_or_else(missing)?;
            Ok((stored.bytes.len() as u64, Manifest::read(&stored.bytes)))
        }))
    }

    fn platforms(&mut self, api: &Api<'_>) -> Result<()> {
        let tagged: Vec<&Digest> = self.tagged().collect();
        let configs = Vec::from_iter(self.contents.configs(&tagged));
        let platforms = each(&configs, |config| match self.contents.place(config) {
            Some(repository) => api.platform(repository, config),
            None => Ok(None),
        })?;
        for (config, platform) in configs.iter().zip(platforms) {
            self.contents.take_config(config, platform);
        }
        Ok(())
    }

    fn tagged(&self) -> impl Iterator<Item = &Digest> {
        self.repositories.iter().flat_map(|(_, tags)| tags).map(|tagged| &tagged.digest)
    }
}

/// Calls `work` for each item, in several threads, and returns the results in the order of the items. Stops at the
/// first error.
fn each<T: Sync, R: Send>(items: &[T], work: impl Fn(&T) -> Result<R> + Sync) -> Result<Vec<R>> {
    let next = AtomicUsize::new(0);
    let worker = || {
        let mut done = Vec::new();
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            let Some(item) = items.get(at) else {
                return Ok(done);
            };
            let result = work(item).inspect_err(|_| next.store(items.len(), Ordering::Relaxed))?;
            done.push((at, result));
        }
    };
    let results: Vec<Result<Vec<(usize, R)>>> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..CONNECTIONS.min(items.len())).map(|_| scope.spawn(worker)).collect();
        threads.into_iter().map(|thread| thread.join().expect("no work panics")).collect()
    });
    let mut done = Vec::with_capacity(items.len());
    for result in results {
        done.extend(result?);
    }
    done.sort_by_key(|(at, _)| *at);
    Ok(done.into_iter().map(|(_, result)| result).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_are_in_order_and_an_error_ends_it() {
        let items: Vec<usize> = (0..1000).collect();
        assert_eq!(each(&items, |n| Ok(n * 2)).unwrap(), (0..1000).map(|n| n * 2).collect::<Vec<_>>());
        assert!(each(&[] as &[u8], |_| Ok(())).unwrap().is_empty());
        let tried = AtomicUsize::new(0);
        let fails = |n: &usize| {
            tried.fetch_add(1, Ordering::Relaxed);
            anyhow::ensure!(*n != 10, "ten");
            std::thread::sleep(std::time::Duration::from_millis(1));
            Ok(())
        };
        assert_eq!(each(&items, fails).unwrap_err().to_string(), "ten");
        assert!(tried.load(Ordering::Relaxed) < 500);
    }
}
