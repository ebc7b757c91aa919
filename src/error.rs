//! The error types: a message, a hint for the user, and the exit code. The texts are in the modules that fail.

use std::fmt;

/// One fault to show to the user: what is wrong and, if known, how to fix it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The problem: lower case, no full stop, values in back-ticks.
    pub message: String,
    /// The next step for the user; may be empty.
    pub hint: String,
}

impl Fault {
    /// Creates a fault without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: String::new() }
    }

    /// Adds a hint to the fault.
    pub fn hint(self, hint: impl Into<String>) -> Self {
        Self { hint: hint.into(), ..self }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Fault {}

/// All faults of one input, so that the user can fix them in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// At least one fault.
    pub faults: Vec<Fault>,
    /// Whether the command line (exit code 2) or something else (1) is at fault.
    pub blame: Blame,
}

/// The cause of an error, which determines the exit code.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The arguments that the user typed: exit code 2.
    CommandLine,
    /// A file, the machine or the state: exit code 1.
    Elsewhere,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<_> = self.faults.iter().map(|fault| fault.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for Faults {}

/// Collects all faults of one input, so that they are reported together.
#[derive(Default)]
pub struct Gather(Vec<Fault>);

impl Gather {
    /// Returns the value; or `None`, and records the fault. `from` is the option or key, and begins the message.
    pub fn take<T>(&mut self, from: &str, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                self.0.push(Fault { message: format!("{from}: {}", fault.message), hint: fault.hint });
                None
            }
        }
    }

    /// Records a fault that does not concern a single value.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Fails with the recorded faults, if there are any.
    pub fn finish(self, blame: Blame) -> Result<(), Faults> {
        if self.0.is_empty() { Ok(()) } else { Err(Faults { faults: self.0, blame }) }
    }
}

/// Returns the exit code of an error: `2` for a wrong command line, else `1`. Commands without an error exit with `0`
/// (done or healthy) or `3` (something needs attention).
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Faults>() {
        Some(Faults { blame: Blame::CommandLine, .. }) => 2,
        Some(Faults { blame: Blame::Elsewhere, .. }) | None => 1,
    }
}

/// Returns the faults in `error`. An error of another type becomes one fault.
pub fn faults(error: &anyhow::Error) -> Vec<Fault> {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        return faults.faults.clone();
    }
    let hint = error.downcast_ref::<Fault>().map(|fault| fault.hint.clone()).unwrap_or_default();
    vec![Fault { message: format!("{error:#}"), hint }]
}
