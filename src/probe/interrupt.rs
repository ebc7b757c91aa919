//! Handles Ctrl-C while trial data may be in the registry: notes the signal, removes the data, then ends the run. A
//! second Ctrl-C ends it at once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The signals that end a run, each with a flag that is set when it comes; empty if there is nothing to remove.
#[derive(Default)]
pub(super) struct Interrupt(Vec<(i32, Arc<AtomicBool>)>);

impl Interrupt {
    /// Notes the signals from now on. If that fails, they keep their default effect.
    pub(super) fn note() -> Self {
        let signals = [SIGINT, SIGTERM].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
        for (signal, noted) in &signals {
            // The order matters: the first signal is only noted.
            _ = flag::register_conditional_default(*signal, noted.clone());
            _ = flag::register(*signal, noted.clone());
        }
        Self(signals.into())
    }

    /// Whether a signal came.
    pub(super) fn is_noted(&self) -> bool {
        self.0.iter().any(|(_, noted)| noted.load(Ordering::SeqCst))
    }

    /// Called when regcert's data is gone: a noted signal ends the run now, and a later one ends it at once.
    pub(super) fn let_through(&self) {
        for (signal, noted) in &self.0 {
            if noted.swap(true, Ordering::SeqCst) {
                _ = low_level::emulate_default_handler(*signal);
            }
        }
    }
}

/// Bytes that end early if a signal came: the request is then complete, and its answer has the location of the
/// upload. A request that is cut off would leave the registry busy with the upload.
pub(super) struct Chunk<'a> {
    /// The number of bytes that are left.
    pub left: u64,
    /// The signals that end the bytes early.
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
