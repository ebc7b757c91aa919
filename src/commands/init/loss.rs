//! What `init` makes again where a part of the registry is missing or damaged.

use super::super::World;
use super::Args;
use crate::deployment::Mends;
use crate::error::faults;
use crate::store::Store;
use crate::ui;

impl Args {
    /// What this run makes again where it is missing or damaged.
    pub(super) fn mends<'a>(&self, world: &'a World) -> Mends<'a> {
        if self.accept_loss {
            Mends::Everything { now: world.now, directory: &world.site.directory }
        } else {
            Mends::Derived { force: self.writing.force }
        }
    }
}

/// Says which parts are made again, and which are given up.
pub(super) fn tell_loss(args: &Args, world: &World, store: &Store) {
    let lost = |mends| world.load(store, mends).err().map(|error| faults(&error)).unwrap_or_default();
    let missing = lost(Mends::Nothing);
    // What this run does not make again is an error of its own.
    if missing.is_empty() || !lost(args.mends(world)).is_empty() {
        return;
    }
    let given_up = lost(Mends::Derived { force: args.writing.force });
    for fault in missing {
        let what = if given_up.contains(&fault) { "given up" } else { "made again" };
        ui::warn(format!("{}; it is {what}", fault.message));
    }
}
