//! Ctrl-C while something of ours may be in the registry: it is noted, what is there is taken back, and then it ends the
//! run as it would have. A second one ends it at once.

use std::io::{self, Read};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::{flag, low_level};

/// The signals that people end a run with, each with whether it came.
pub(super) struct Interrupt([(i32, Arc<AtomicBool>); 2]);

impl Interrupt {
    /// From here on they are noted. Where that cannot be, they do what they always did.
    pub(super) fn note() -> Self {
        let signals = [SIGINT, SIGTERM].map(|signal| (signal, Arc::new(AtomicBool::new(false))));
        for (signal, noted) in &signals {
            // In this order: the first one is only noted.
            _ = flag::register_conditional_default(*signal, noted.clone());
            _ = flag::register(*signal, noted.clone());
        }
        Self(signals)
    }

    /// Whether one came.
    pub(super) fn is_noted(&self) -> bool {
        self.0.iter().any(|(_, noted)| noted.load(Ordering::SeqCst))
    }

    /// Nothing of ours is left: one that came ends the run now, and one that comes later at once.
    pub(super) fn let_through(&self) {
        for (signal, noted) in &self.0 {
            if noted.swap(true, Ordering::SeqCst) {
                _ = low_level::emulate_default_handler(*signal);
            }
        }
    }
}

/// Bytes that come to an end early where the run is to end: the request is then complete, and its answer says where the
/// upload is. One that is cut off would leave the registry at work on it.
pub(super) struct Body<'a> {
    /// How many there are.
    pub left: u64,
    /// What ends them.
    pub interrupt: &'a Interrupt,
}

impl Read for Body<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.interrupt.is_noted() {
            return Ok(0);
        }
        let read = io::repeat(b'.').take(self.left).read(buffer)?;
        self.left -= read as u64;
        Ok(read)
    }
}
