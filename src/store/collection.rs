//! Marks a running garbage collection: a file that is locked while it runs, and empty unless one was interrupted. It
//! has its own lock, because a collection takes long and other commands need not wait for it.

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

/// `status` holds the lock for a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// A running collection. Unless `done` is called, its note stays.
#[derive(Debug)]
pub struct Collection(File);

impl Collection {
    /// Empties the note: the collection has finished.
    pub fn done(&self) -> Result<()> {
        self.0.set_len(0).context("the note of the garbage collection cannot be emptied")
    }
}

impl Store {
    /// Writes the note that a collection begins; fails while another one runs.
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

    /// Whether a collection was interrupted: the note has text, and no process holds its lock.
    pub fn collection_was_interrupted(&self) -> bool {
        let note = self.tree.as_ref().and_then(|tree| tree.note(NOTE, OFlags::RDONLY).ok());
        let Some(file) = note else {
            return false;
        };
        file.metadata().is_ok_and(|metadata| metadata.len() > 0) && file.try_lock_shared().is_ok()
    }
}
