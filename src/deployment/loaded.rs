//! The registry in a directory, and whether regcert.toml has edits that are not applied. Only the command that applies
//! settings uses such edits.

use super::Deployment;
use crate::error::{Fault, Gather};
use crate::settings::{RawSettings, RunAs, Settings, Side};

/// The hint for an edit of regcert.toml that is not applied.
pub const APPLY: &str = "run `regcert init`, which applies it; `regcert init --dry-run` shows what changes";

/// A registry as loaded from its directory.
#[derive(Debug, PartialEq)]
pub enum Loaded {
    /// regcert.toml contains the settings last applied.
    Applied(Deployment),
    /// regcert.toml was edited after its settings were last applied.
    Edited {
        /// The registry with the settings of regcert.toml.
        wanted: Deployment,
        /// The settings last applied; `None` if an older regcert did not record them.
        applied: Option<Box<Settings>>,
    },
}

impl Loaded {
    /// Compares the settings of `wanted`, which come from regcert.toml, with the settings last applied.
    pub(super) fn of(wanted: Deployment, invoker: RunAs) -> Self {
        let noted = wanted.state.applied_settings().and_then(|text| RawSettings::from_toml(text).ok());
        let applied = noted
            .and_then(|settings| Settings::check(&settings, Side::File, invoker, &mut Gather::default()));
        let has_applied = |settings: String| wanted.state.has_applied(&settings);
        if applied.as_ref() == Some(&wanted.spec) || wanted.spec.to_toml(None).is_ok_and(has_applied) {
            Self::Applied(wanted)
        } else {
            Self::Edited { wanted, applied: applied.map(Box::new) }
        }
    }

    /// Selects the settings of regcert.toml: for `init`, which applies them.
    pub fn wanted(self) -> Deployment {
        match self {
            Self::Applied(deployment) | Self::Edited { wanted: deployment, .. } => deployment,
        }
    }

    /// Selects the settings last applied, and leaves edits of regcert.toml unapplied: for commands other than `init`
    /// that write files. Fails if the settings last applied are unknown.
    pub fn in_force(self) -> Result<Deployment, Fault> {
        if self.is_unknown() {
            return Err(Fault::new("regcert.toml was changed and not applied yet").hint(APPLY));
        }
        Ok(self.known())
    }

    /// Selects the settings last applied or, if those are unknown, the settings of regcert.toml: for a command that
    /// writes no file that depends on the settings.
    pub fn known(self) -> Deployment {
        match self {
            Self::Edited { wanted, applied: None } => wanted,
            Self::Edited { wanted, applied: Some(applied) } => {
                Deployment { edited: Some(wanted.spec), spec: *applied, ..wanted }
            }
            Self::Applied(deployment) => deployment,
        }
    }

    /// Whether regcert.toml was edited and an older regcert did not record the settings last applied.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Edited { applied: None, .. })
    }
}

impl Deployment {
    /// Returns the settings of regcert.toml, applied or not.
    pub fn asked(&self) -> &Settings {
        self.edited.as_ref().unwrap_or(&self.spec)
    }

    /// Lists the unapplied edits of regcert.toml: key, value in use, value in the file.
    pub fn unapplied(&self) -> Vec<(String, String, String)> {
        self.edited.as_ref().map(|edited| self.spec.differences(edited)).unwrap_or_default()
    }

    /// Applies the settings `spec`. Other edits of regcert.toml stay unapplied.
    pub(super) fn put_in_force(&mut self, spec: Settings) -> Result<(), Fault> {
        self.state.apply(&spec.to_toml(None)?);
        self.edited.take_if(|edited| *edited == spec);
        self.spec = spec;
        Ok(())
    }
}
