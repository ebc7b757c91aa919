//! The contents of a registry: pages of lists, manifests, totals, and the files in its storage. Plain values: `probe`
//! sends the requests, and this module does not trust the answers.

mod contents;
mod link;
mod manifest;
mod storage;

pub use contents::{Contents, Held, Tagged};
pub use link::next_page;
pub use manifest::{MANIFEST_TYPES, Manifest, platform};
pub use storage::{Amount, Contents as Named, Garbage, Plan, Storage, Sum, TRASH};

use serde::Deserialize;

/// One page of `/v2/_catalog`.
#[derive(Debug, Default, Deserialize)]
pub struct CatalogPage {
    /// `null` if the registry has no repositories.
    pub repositories: Option<Vec<String>>,
}

/// One page of `/v2/NAME/tags/list`.
#[derive(Debug, Default, Deserialize)]
pub struct TagsPage {
    /// `null` if the repository has no tags.
    pub tags: Option<Vec<String>>,
}
