//! The part of `init` that recreates missing or damaged parts of a registry.

use anyhow::Result;

use super::super::World;
use super::Args;
use crate::deployment::{Loaded, Mends};
use crate::error::faults;
use crate::store::Store;
use crate::ui;

impl Args {
    /// Selects the parts that this run recreates if they are missing or damaged.
    pub(super) fn mends<'a>(&self, world: &'a World) -> Mends<'a> {
        if self.accept_loss {
            Mends::Everything { now: world.now, directory: &world.site.directory }
        } else {
            Mends::Derived { force: self.writing.force }
        }
    }
}

/// Loads the registry in the directory. Warns of each part that is recreated or given up.
pub(super) fn load(args: &Args, world: &World, store: &Store) -> Result<Option<Loaded>> {
    let missing = match world.load(store, Mends::Nothing) {
        Ok(whole) => return Ok(whole),
        Err(error) => faults(&error),
    };
    // Fails if a part is missing that this run does not recreate.
    let loaded = world.load(store, args.mends(world))?;
    let derived = Mends::Derived { force: args.writing.force };
    let given_up = world.load(store, derived).err().map(|error| faults(&error)).unwrap_or_default();
    for fault in missing {
        let what = if given_up.contains(&fault) { "given up" } else { "made again" };
        ui::warn(format!("{}; it is {what}", fault.message));
    }
    Ok(loaded)
}
