//! What could not be done, what to do now, and the exit code. Owns no text of its own.

use std::fmt;

/// One thing that is wrong, said to a person: what, and (where known) the cure.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Lower case, no full stop, values in back-ticks.
    pub message: String,
    /// What to do now; empty where nothing better is known than the message.
    pub hint: String,
}

impl Fault {
    /// A fault without a hint.
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), hint: String::new() }
    }

    /// The same fault with its cure.
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

/// Every fault of one input, so that a person mends them in one go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Faults {
    /// At least one.
    pub faults: Vec<Fault>,
    /// Whether the command line is to blame (exit code 2) or something else (1).
    pub blame: Blame,
}

/// Where the faults lie.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Blame {
    /// The words the person typed: exit code 2.
    CommandLine,
    /// A file, the machine, the state: exit code 1.
    Elsewhere,
}

impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let messages: Vec<_> = self.faults.iter().map(|fault| fault.message.as_str()).collect();
        f.write_str(&messages.join("; "))
    }
}

impl std::error::Error for Faults {}

/// Gathers the faults of one input while the good values pass through.
#[derive(Default)]
pub struct Gather(Vec<Fault>);

impl Gather {
    /// The value, or `None` with its fault kept under the name of the option or key it came from.
    pub fn take<T>(&mut self, from: &str, result: Result<T, Fault>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(fault) => {
                self.0.push(Fault { message: format!("{from}: {}", fault.message), hint: fault.hint });
                None
            }
        }
    }

    /// A fault that belongs to no single value.
    pub fn push(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    /// Ok where nothing was wrong.
    pub fn finish(self, blame: Blame) -> Result<(), Faults> {
        if self.0.is_empty() { Ok(()) } else { Err(Faults { faults: self.0, blame }) }
    }
}

/// `0` done or healthy · `1` could not · `2` wrong command line · `3` something to act on.
pub fn exit_code(error: &anyhow::Error) -> u8 {
    match error.downcast_ref::<Faults>() {
        Some(Faults { blame: Blame::CommandLine, .. }) => 2,
        Some(Faults { blame: Blame::Elsewhere, .. }) | None => 1,
    }
}

/// The error as faults, whichever way it was made.
pub fn faults(error: &anyhow::Error) -> Vec<Fault> {
    if let Some(faults) = error.downcast_ref::<Faults>() {
        return faults.faults.clone();
    }
    let hint = error.downcast_ref::<Fault>().map(|fault| fault.hint.clone()).unwrap_or_default();
    vec![Fault { message: format!("{error:#}"), hint }]
}
