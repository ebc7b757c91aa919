//! A note about garbage collection: a file that is locked while a collection runs, and that keeps its text if a
//! collection is interrupted. The lock is separate, because a collection takes long and other commands need not wait
//! for it.

use std::fs::{File, TryLockError};
use std::io::Write;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;

use super::Store;
use super::tree::hand_over;
use crate::error::Fault;
use crate::files::Mode;
use crate::settings::RunAs;

const NOTE: &str = ".regcert/gc";

/// The maximum time to wait for the lock, because `status` may hold it for a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running collection. If it ends without a call of `done`, the note keeps its text.
#[derive(Debug)]
pub struct Collection(File);

impl Collection {
    /// Empties the note when the collection has finished.
    pub fn done(&self) -> Result<()> {
        self.0.set_len(0).context("the note of the garbage collection cannot be emptied")
    }
}

impl Store {
    /// Locks the note and writes that a collection has begun. Fails if another collection is running.
    pub fn begin_collection(&self) -> Result<Collection> {
        let tree = self.tree.as_ref().context("there is no registry whose images could be collected")?;
        let mut file = tree.note(NOTE, OFlags::WRONLY | OFlags::APPEND | OFlags::CREATE)?;
        let start = Instant::now();
        while let Err(error) = file.try_lock() {
            match error {
                TryLockError::WouldBlock if start.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(20));
                }
                TryLockError::WouldBlock => {
                    bail!(Fault::new("another `regcert gc` is at work").hint("wait for it"))
                }
                TryLockError::Error(e) => return Err(e).context("the note of the garbage collection"),
            }
        }
        hand_over(&file, self.owner(Mode::Secret, RunAs { uid: 0, gid: 0 })?)
            .context("the note of the garbage collection cannot change its owner")?;
        file.set_len(0)
            .and_then(|()| file.write_all(b"at work\n"))
            .context("the note of the garbage collection")?;
        Ok(Collection(file))
    }

    /// Whether a collection was interrupted: the note contains text, and no process holds the lock.
    pub fn collection_was_interrupted(&self) -> bool {
        let note = self.tree.as_ref().and_then(|tree| tree.note(NOTE, OFlags::RDONLY).ok());
        let Some(file) = note else {
            return false;
        };
        file.metadata().is_ok_and(|metadata| metadata.len() > 0) && file.try_lock_shared().is_ok()
    }
}
