//! Reads sizes and platforms from manifests. A manifest of an unknown kind is foreign, but not an error.

use serde::Deserialize;

use crate::names::{Digest, printable};

/// The media types that a client accepts for a manifest. Without them, a registry would convert or hide manifests.
pub const MANIFEST_TYPES: &str = "application/vnd.oci.image.index.v1+json, \
    application/vnd.oci.image.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.list.v2+json, \
    application/vnd.docker.distribution.manifest.v2+json, \
    application/vnd.oci.artifact.manifest.v1+json, \
    application/vnd.docker.distribution.manifest.v1+prettyjws, \
    application/vnd.docker.distribution.manifest.v1+json";

/// The media types of configurations that name a platform. Only images have them, other artefacts do not.
const CONFIG_TYPES: [&str; 2] =
    ["application/vnd.oci.image.config.v1+json", "application/vnd.docker.container.image.v1+json"];

/// The contents of a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manifest {
    /// One image, or another artefact.
    Single {
        /// The digest of the configuration, if the manifest describes an image.
        config: Option<Digest>,
        /// The configuration and the layers.
        blobs: Vec<Blob>,
    },
    /// An index: manifests, usually one for each platform.
    Index(Vec<Entry>),
    /// Anything else, such as a schema 1 manifest, which does not contain the sizes of its layers.
    Foreign,
}

/// A configuration or a layer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Blob {
    pub digest: Digest,
    /// The size in bytes.
    pub size: u64,
    /// Whether the blob is stored on another server, such as a base layer of Windows.
    pub is_elsewhere: bool,
}

/// One entry of an index.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    pub digest: Digest,
    pub platform: Listed,
}

/// The platform that an index gives for a manifest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listed {
    /// This platform, such as `linux/amd64`.
    As(String),
    /// No platform.
    Nowhere,
    /// No platform, because the manifest is an attestation about another entry.
    Attestation,
}

#[derive(Deserialize)]
struct Raw {
    config: Option<Descriptor>,
    layers: Option<Vec<Descriptor>>,
    blobs: Option<Vec<Descriptor>>,
    manifests: Option<Vec<Descriptor>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor {
    media_type: Option<String>,
    digest: Digest,
    size: u64,
    platform: Option<Platform>,
    urls: Option<Vec<String>>,
}

/// The platform in an entry of an index, or in an image's configuration.
#[derive(Deserialize)]
struct Platform {
    os: Option<String>,
    architecture: Option<String>,
    variant: Option<String>,
}

impl Platform {
    /// Returns the platform as text, such as `linux/arm64/v8`; `None` if there is none.
    fn text(&self) -> Option<String> {
        let parts = [&self.os, &self.architecture, &self.variant].into_iter().flatten();
        let parts: Vec<_> = parts.filter(|part| !part.is_empty()).map(|part| printable(part)).collect();
        (!parts.is_empty()).then(|| parts.join("/"))
    }
}

impl Manifest {
    /// Parses a manifest. Accepts any bytes: unknown ones are `Foreign`.
    pub fn read(bytes: &[u8]) -> Self {
        let Ok(raw) = serde_json::from_slice::<Raw>(bytes) else {
            return Self::Foreign;
        };
        if let Some(manifests) = raw.manifests {
            return Self::Index(manifests.into_iter().map(entry).collect());
        }
        if raw.config.is_none() && raw.layers.is_none() && raw.blobs.is_none() {
            return Self::Foreign;
        }
        let is_image = |config: &&Descriptor| {
            config.media_type.as_deref().is_some_and(|media_type| CONFIG_TYPES.contains(&media_type))
        };
        let config = raw.config.as_ref().filter(is_image).map(|config| config.digest.clone());
        let layers = [raw.layers, raw.blobs].into_iter().flatten().flatten();
        Self::Single { config, blobs: raw.config.into_iter().chain(layers).map(blob).collect() }
    }
}

/// Returns the platform in an image's configuration.
pub fn platform(config: &[u8]) -> Option<String> {
    serde_json::from_slice::<Platform>(config).ok()?.text()
}

fn blob(from: Descriptor) -> Blob {
    let is_elsewhere = from.urls.is_some_and(|urls| !urls.is_empty());
    Blob { digest: from.digest, size: from.size, is_elsewhere }
}

fn entry(from: Descriptor) -> Entry {
    let platform = match from.platform.as_ref().and_then(Platform::text) {
        Some(text) if text == "unknown/unknown" => Listed::Attestation,
        Some(text) => Listed::As(text),
        None => Listed::Nowhere,
    };
    Entry { digest: from.digest, platform }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn digest(letter: char) -> String {
        format!("sha256:{}", letter.to_string().repeat(64))
    }

    #[test]
    fn what_is_no_image_is_foreign_or_has_no_platform() {
        for foreign in [
            "",
            "[]",
            "nonsense",
            "{}",
            r#"{"schemaVersion":1,"fsLayers":[{"blobSum":"sha256:00"}]}"#,
            r#"{"config":{"digest":"sha256:00","size":1}}"#,
            r#"{"config":{"digest":"x","size":-1}}"#,
            r#"{"manifests":[{"digest":"none"}]}"#,
        ] {
            assert_eq!(Manifest::read(foreign.as_bytes()), Manifest::Foreign, "{foreign}");
        }
        let empty = format!(
            r#"{{"config":{{"mediaType":"application/vnd.oci.empty.v1+json","digest":"{}","size":2}},"layers":null}}"#,
            digest('a')
        );
        let Manifest::Single { config: None, blobs } = Manifest::read(empty.as_bytes()) else {
            panic!("{empty}")
        };
        assert_eq!((blobs.len(), blobs[0].size), (1, 2));
        let artefact = format!(r#"{{"blobs":[{{"digest":"{}","size":7}}],"config":null}}"#, digest('b'));
        assert!(matches!(Manifest::read(artefact.as_bytes()), Manifest::Single { config: None, .. }));
    }

    #[test]
    fn a_platform_has_two_or_three_parts() {
        assert_eq!(
            platform(br#"{"os":"linux","architecture":"arm64","variant":"v8"}"#).unwrap(),
            "linux/arm64/v8"
        );
        assert_eq!(
            platform(br#"{"os":"linux","architecture":"amd64","variant":""}"#).unwrap(),
            "linux/amd64"
        );
        assert_eq!(platform(b"{\"os\":\"a\\u001b[2J\"}").unwrap(), "a\\u{1b}[2J");
        for none in ["", "{}", "[]", r#"{"os":1}"#] {
            assert_eq!(platform(none.as_bytes()), None, "{none}");
        }
    }

    #[test]
    fn an_attestation_is_for_no_platform() {
        let entries = |platform: &str| {
            let text = format!(r#"{{"manifests":[{{"digest":"{}","size":1{platform}}}]}}"#, digest('a'));
            let Manifest::Index(entries) = Manifest::read(text.as_bytes()) else { panic!("{text}") };
            entries[0].platform.clone()
        };
        assert_eq!(
            entries(r#","platform":{"os":"linux","architecture":"s390x"}"#),
            Listed::As("linux/s390x".into())
        );
        assert_eq!(entries(r#","platform":{"os":"unknown","architecture":"unknown"}"#), Listed::Attestation);
        assert_eq!(entries(""), Listed::Nowhere);
    }

    proptest! {
        #[test]
        fn no_bytes_are_a_fault(bytes in proptest::collection::vec(any::<u8>(), 0..80), text in "[\\[\\]{}:,\"a-z0-9]{0,80}") {
            _ = Manifest::read(&bytes);
            _ = Manifest::read(text.as_bytes());
            _ = platform(text.as_bytes());
        }
    }
}
