//! What a registry holds, read from its answers: pages of lists, manifests, and what they add up to. Plain values:
//! `probe` asks, and nothing here trusts what it is told.

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
    /// `null` where there is none.
    pub repositories: Option<Vec<String>>,
}

/// One page of `/v2/NAME/tags/list`.
#[derive(Debug, Default, Deserialize)]
pub struct TagsPage {
    /// `null` where there is none.
    pub tags: Option<Vec<String>>,
}
