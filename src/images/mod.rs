//! The contents of a registry, read from its answers: pages of lists, manifests, and their sums. Plain values:
//! `probe` sends the requests, and nothing here trusts the answers.

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
    /// `null` if the registry has none.
    pub repositories: Option<Vec<String>>,
}

/// One page of `/v2/NAME/tags/list`.
#[derive(Debug, Default, Deserialize)]
pub struct TagsPage {
    /// `null` if the repository has none.
    pub tags: Option<Vec<String>>,
}
