//! Handles Ctrl-C while trial data may be in the registry: records the signal, so that regcert can remove the data
//! before the run ends. A second Ctrl-C ends the run at once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The signals that end a run, each with a flag that the signal sets. Empty while there is no data to remove.
#[derive(Default)]
pub(super) struct Interrupt(Vec<(i32, Arc<AtomicBool>)>);

impl Interrupt {
    /// From now on, records SIGINT and SIGTERM instead of ending the run. If that fails, they end the run as usual.
    pub(super) fn note() -> Self {
        let signals = [SIGINT, SIGTERM].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
        for (signal, noted) in &signals {
            // The order matters: the first signal only sets the flag, and the second signal ends the run.
            _ = flag::register_conditional_default(*signal, noted.clone());
            _ = flag::register(*signal, noted.clone());
        }
        Self(signals.into())
    }

    /// Whether a signal was recorded.
    pub(super) fn is_noted(&self) -> bool {
        self.0.iter().any(|(_, noted)| noted.load(Ordering::SeqCst))
    }

    /// Must be called when regcert's data is gone. Ends the run if a signal was recorded. From now on, a signal ends
    /// the run at once.
    pub(super) fn let_through(&self) {
        for (signal, noted) in &self.0 {
            if noted.swap(true, Ordering::SeqCst) {
                _ = low_level::emulate_default_handler(*signal);
            }
        }
    }
}

/// A request body that ends early if a signal was recorded. The request is then complete, and the answer has the
/// location of the upload. If the request were cut off, the registry would stay busy with the upload.
pub(super) struct Chunk<'a> {
    /// The number of bytes that are not read yet.
    pub left: u64,
    /// The signals that end the body early.
    pub interrupt: &'a Interrupt,
}

impl Read for Chunk<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_noted() {
            return Ok(0);
        }
        let read = io::repeat(b'.').take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}
