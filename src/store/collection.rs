//! The note that a garbage collection is at work: a file that is locked meanwhile, and empty unless one was cut short.
//! It is a lock of its own, because a collection takes long and other commands need not wait for it.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::fs::OFlags;

use super::disk::hand_over;
use super::{OWN, Store};
use crate::error::Fault;
use crate::files::Mode;
use crate::spec::RunAs;

const NOTE: &str = "gc";

/// `status` holds the lock for a moment.
const PATIENCE: Duration = Duration::from_secs(1);

/// One collection at work. Ended in any other way than by `done`, it leaves its note.
#[derive(Debug)]
pub struct Collection(File);

impl Collection {
    /// Nothing is left to be done.
    pub fn done(self) -> Result<()> {
        self.0.set_len(0).context("the note of the garbage collection cannot be emptied")
    }
}

impl Store {
    /// Notes that a collection begins; refused while another is at work.
    pub fn begin_collection(&self) -> Result<Collection> {
        let path = self.dir.join(OWN).join(NOTE);
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let open = OpenOptions::new().append(true).create(true).mode(0o600).custom_flags(flags).open(&path);
        let mut file = open.with_context(|| format!("`{}` cannot be opened", path.display()))?;
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
        hand_over(&path, self.owner(Mode::Secret, RunAs { uid: 0, gid: 0 })?)?;
        file.set_len(0)
            .and_then(|()| file.write_all(b"at work\n"))
            .context("the note of the garbage collection")?;
        Ok(Collection(file))
    }

    /// Whether a collection was cut short.
    pub fn collection_was_interrupted(&self) -> bool {
        let path = self.dir.join(OWN).join(NOTE);
        let flags = OFlags::NOFOLLOW.bits().cast_signed();
        let Ok(file) = OpenOptions::new().read(true).custom_flags(flags).open(path) else {
            return false;
        };
        file.metadata().is_ok_and(|metadata| metadata.len() > 0) && file.try_lock_shared().is_ok()
    }
}
