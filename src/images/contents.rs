//! The manifests, platforms and sizes behind the tags of a registry. Each manifest and configuration counts once,
//! however many tags name it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::manifest::{Blob, Listed, Manifest};
use crate::names::{Digest, Repository, Tag};

/// A tag, and the manifest that the tag names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tagged {
    pub tag: Tag,
    pub digest: Digest,
    /// The media type that the registry reports.
    pub media_type: String,
}

/// The manifests and platforms behind the tags of a registry.
#[derive(Debug, Default)]
pub struct Contents {
    /// The manifests by digest, each with its size in bytes.
    manifests: BTreeMap<Digest, (u64, Manifest)>,
    /// The platforms, by the digest of the image configuration.
    platforms: BTreeMap<Digest, Option<String>>,
    /// The first repository that named a manifest or a configuration. Either can be fetched from there.
    places: BTreeMap<Digest, Repository>,
}

/// The totals of the stored blobs: manifests, configurations and layers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Held {
    /// All manifests, including those that an index lists.
    pub manifests: usize,
    /// All blobs, each counted once.
    pub blobs: usize,
    /// The size of all blobs, in bytes.
    pub bytes: u64,
}

impl Contents {
    /// Records that a repository has a manifest.
    pub fn named(&mut self, digest: &Digest, repository: &Repository) {
        self.places.entry(digest.clone()).or_insert_with(|| repository.clone());
    }

    /// Adds a fetched manifest, and records the repository from which its parts can be fetched.
    pub fn take(&mut self, digest: &Digest, bytes: u64, manifest: Manifest) {
        let repository = self.places.get(digest).cloned();
        let children = match &manifest {
            Manifest::Index(entries) => entries.iter().map(|entry| &entry.digest).collect(),
            Manifest::Single { config, .. } => config.iter().collect(),
            Manifest::Foreign => Vec::new(),
        };
        for (child, repository) in children.into_iter().zip(repository.iter().cycle()) {
            self.places.entry(child.clone()).or_insert_with(|| repository.clone());
        }
        self.manifests.insert(digest.clone(), (bytes, manifest));
    }

    /// Adds a fetched configuration.
    pub fn take_config(&mut self, digest: &Digest, platform: Option<String>) {
        self.platforms.insert(digest.clone(), platform);
    }

    /// Returns the repository from which `digest` can be fetched.
    pub fn place(&self, digest: &Digest) -> Option<&Repository> {
        self.places.get(digest)
    }

    /// Returns the manifests that indexes list but that have not been added yet.
    pub fn unseen(&self) -> BTreeSet<Digest> {
        let indexes = self.manifests.values().filter_map(|(_, manifest)| match manifest {
            Manifest::Index(entries) => Some(entries),
            Manifest::Single { .. } | Manifest::Foreign => None,
        });
        let children = indexes.flatten().map(|entry| &entry.digest);
        children.filter(|digest| !self.manifests.contains_key(digest)).cloned().collect()
    }

    /// Returns the configurations that must be fetched for their platform: those of images that a tag names, or that
    /// an index lists without a platform.
    pub fn configs(&self, tagged: &[&Digest]) -> BTreeSet<Digest> {
        let mut wanted = BTreeSet::new();
        for digest in tagged {
            self.walk(digest, |manifest, listed| {
                if let (Manifest::Single { config: Some(config), .. }, None | Some(Listed::Nowhere)) =
                    (manifest, listed)
                {
                    wanted.insert(config.clone());
                }
            });
        }
        wanted
    }

    /// Returns the platforms of the image `digest`, in the order of its index, each once.
    pub fn platforms(&self, digest: &Digest) -> Vec<String> {
        let mut platforms: Vec<String> = Vec::new();
        let mut add = |text: &str| {
            if !platforms.iter().any(|known| known == text) {
                platforms.push(text.to_owned());
            }
        };
        self.walk(digest, |manifest, listed| match (manifest, listed) {
            (Manifest::Index(_) | Manifest::Foreign, _) | (_, Some(Listed::Attestation)) => {}
            (Manifest::Single { .. }, Some(Listed::As(text))) => add(text),
            (Manifest::Single { config, .. }, None | Some(Listed::Nowhere)) => {
                let known = config.as_ref().and_then(|config| self.platforms.get(config)?.as_deref());
                known.into_iter().for_each(&mut add);
            }
        });
        platforms
    }

    /// Returns the number of bytes that a pull of `digest` fetches; `None` if the manifest does not contain sizes.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        let (_, manifest) = self.manifests.get(digest)?;
        if *manifest == Manifest::Foreign {
            return None;
        }
        let mut size = 0_u64;
        for digest in self.reach(digest) {
            let (bytes, manifest) = &self.manifests[digest];
            size = blobs(manifest)
                .iter()
                .fold(size.saturating_add(*bytes), |sum, blob| sum.saturating_add(blob.size));
        }
        Some(size)
    }

    /// Returns the totals of the stored blobs. Each blob counts once.
    pub fn held(&self) -> Held {
        let mut held: BTreeMap<&Digest, u64> = BTreeMap::new();
        for (digest, (bytes, manifest)) in &self.manifests {
            held.insert(digest, *bytes);
            held.extend(blobs(manifest).iter().filter(|b| !b.is_elsewhere).map(|b| (&b.digest, b.size)));
        }
        let bytes = held.values().fold(0_u64, |sum, size| sum.saturating_add(*size));
        Held { manifests: self.manifests.len(), blobs: held.len(), bytes }
    }

    /// Returns every manifest that `digest` reaches, each once. Indexes may list indexes, in theory even in a cycle.
    fn reach<'a>(&'a self, digest: &'a Digest) -> BTreeSet<&'a Digest> {
        let mut seen = BTreeSet::new();
        let mut waiting = vec![digest];
        while let Some(digest) = waiting.pop() {
            let Some((_, manifest)) = self.manifests.get(digest) else {
                continue;
            };
            if seen.insert(digest)
                && let Manifest::Index(entries) = manifest
            {
                waiting.extend(entries.iter().map(|entry| &entry.digest));
            }
        }
        seen
    }

    /// Visits `digest` and every manifest that it reaches, in order, each with the platform that its index gives.
    fn walk<'a>(&'a self, digest: &'a Digest, mut visit: impl FnMut(&'a Manifest, Option<&'a Listed>)) {
        let mut opened = BTreeSet::new();
        let mut waiting = vec![(digest, None)];
        while let Some((digest, listed)) = waiting.pop() {
            let Some((_, manifest)) = self.manifests.get(digest) else {
                continue;
            };
            visit(manifest, listed);
            // An index may list a manifest twice, for two platforms. The entries of an index are visited only once.
            if let Manifest::Index(entries) = manifest
                && opened.insert(digest)
            {
                waiting.extend(entries.iter().rev().map(|entry| (&entry.digest, Some(&entry.platform))));
            }
        }
    }
}

fn blobs(manifest: &Manifest) -> &[Blob] {
    match manifest {
        Manifest::Single { blobs, .. } => blobs,
        Manifest::Index(_) | Manifest::Foreign => &[],
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn digest(letter: char) -> Digest {
        format!("sha256:{}", letter.to_string().repeat(64)).parse().unwrap()
    }

    fn image(config: char, layers: &[(char, u64)]) -> String {
        let layer = |(name, size): &(char, u64)| format!(r#"{{"digest":"{}","size":{size}}}"#, digest(*name));
        let layers: Vec<_> = layers.iter().map(layer).collect();
        format!(
            r#"{{"config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{}","size":10}},"layers":[{}]}}"#,
            digest(config),
            layers.join(",")
        )
    }

    fn index(entries: &[(char, &str)]) -> String {
        let entry = |(name, platform): &(char, &str)| {
            let (os, architecture) = platform.split_once('/').unwrap_or_default();
            format!(
                r#"{{"digest":"{}","size":1,"platform":{{"os":"{os}","architecture":"{architecture}"}}}}"#,
                digest(*name)
            )
        };
        format!(r#"{{"manifests":[{}]}}"#, entries.iter().map(entry).collect::<Vec<_>>().join(","))
    }

    fn take(contents: &mut Contents, name: char, text: &str) {
        contents.take(&digest(name), text.len() as u64, Manifest::read(text.as_bytes()));
    }

    fn contents(manifests: &[(char, String)]) -> Contents {
        let mut contents = Contents::default();
        contents.named(&digest('1'), &"app".parse().unwrap());
        manifests.iter().for_each(|(name, text)| take(&mut contents, *name, text));
        contents
    }

    #[test]
    fn an_index_is_the_sum_of_its_images_and_each_blob_lies_there_once() {
        let (one, two) = (image('a', &[('c', 100), ('d', 1000)]), image('b', &[('c', 100)]));
        let list = index(&[
            ('2', "linux/amd64"),
            ('3', "linux/arm64"),
            ('3', "linux/arm"),
            ('4', "unknown/unknown"),
        ]);
        let attestation = image('e', &[]);
        let mut contents = contents(&[('1', list.clone())]);
        assert_eq!(contents.unseen(), ['2', '3', '4'].map(digest).into());
        assert_eq!(contents.place(&digest('3')).unwrap().as_str(), "app");
        for (name, text) in [('2', &one), ('3', &two), ('4', &attestation)] {
            take(&mut contents, name, text);
        }
        assert!(contents.unseen().is_empty());
        assert_eq!(contents.platforms(&digest('1')), ["linux/amd64", "linux/arm64", "linux/arm"]);
        assert!(contents.configs(&[&digest('1')]).is_empty(), "the index says it");
        let texts = (one.len() + two.len() + list.len() + attestation.len()) as u64;
        assert_eq!(contents.size(&digest('1')), Some(texts + 30 + 100 + 1000 + 100));
        assert_eq!(contents.held(), Held { manifests: 4, blobs: 9, bytes: texts + 30 + 1100 });
    }

    #[test]
    fn the_platform_of_an_image_is_in_its_configuration() {
        let mut contents = contents(&[('1', image('a', &[])), ('2', index(&[('1', "/")]))]);
        for tagged in ['1', '2'] {
            assert_eq!(contents.configs(&[&digest(tagged)]), [digest('a')].into());
            assert!(contents.platforms(&digest(tagged)).is_empty());
        }
        contents.take_config(&digest('a'), Some("linux/riscv64".to_owned()));
        for tagged in ['1', '2'] {
            assert_eq!(contents.platforms(&digest(tagged)), ["linux/riscv64"]);
        }
    }

    #[test]
    fn what_is_missing_foreign_or_in_a_circle_is_no_fault() {
        let circle =
            [('1', index(&[('2', "a/b"), ('9', "c/d")])), ('2', index(&[('1', "a/b"), ('3', "e/f")]))];
        let mut contents = contents(&circle);
        take(&mut contents, '3', "{}");
        let bytes = (circle[0].1.len() + circle[1].1.len() + 2) as u64;
        assert_eq!(contents.size(&digest('1')), Some(bytes));
        assert_eq!(contents.size(&digest('3')), None);
        assert_eq!(contents.size(&digest('9')), None);
        assert!(contents.platforms(&digest('1')).is_empty());
    }

    #[test]
    fn layers_that_lie_elsewhere_take_no_room() {
        let text =
            format!(r#"{{"layers":[{{"digest":"{}","size":500,"urls":["https://a.lan/x"]}}]}}"#, digest('a'));
        let contents = contents(&[('1', text.clone())]);
        assert_eq!(contents.size(&digest('1')), Some(text.len() as u64 + 500));
        assert_eq!(contents.held(), Held { manifests: 1, blobs: 1, bytes: text.len() as u64 });
    }
}
