//! The registry of a directory, and whether its regcert.toml was edited after its settings were last applied. Only the
//! command that applies settings gets those of an edit.

use super::Deployment;
use crate::error::{Fault, Gather};
use crate::settings::{RawSettings, RunAs, Settings, Side};

/// How an edit of regcert.toml is applied.
pub const APPLY: &str = "run `regcert init`, which applies it; `regcert init --dry-run` shows what changes";

/// A registry as its directory has it.
#[derive(Debug, PartialEq)]
pub enum Loaded {
    /// regcert.toml has the settings that were applied last.
    Applied(Deployment),
    /// regcert.toml was edited since.
    Edited {
        /// The registry with the settings of regcert.toml.
        wanted: Deployment,
        /// The settings applied last; `None` where an older regcert did not note them.
        applied: Option<Box<Settings>>,
    },
}

impl Loaded {
    /// `wanted` has the settings of regcert.toml.
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

    /// With the settings of regcert.toml, for `init`, which applies them.
    pub fn wanted(self) -> Deployment {
        match self {
            Self::Applied(deployment) | Self::Edited { wanted: deployment, .. } => deployment,
        }
    }

    /// With the settings applied last, for every other command: an edit of regcert.toml stays an edit. Fails where they
    /// are not known.
    pub fn in_force(self) -> Result<Deployment, Fault> {
        if self.is_unknown() {
            return Err(Fault::new("regcert.toml was changed and not applied yet").hint(APPLY));
        }
        Ok(self.known())
    }

    /// With the settings applied last; with those of regcert.toml where they are not known. For a command that writes
    /// nothing that depends on settings.
    pub fn known(self) -> Deployment {
        match self {
            Self::Edited { wanted, applied: None } => wanted,
            Self::Edited { wanted, applied: Some(applied) } => {
                Deployment { edited: Some(wanted.spec), spec: *applied, ..wanted }
            }
            Self::Applied(deployment) => deployment,
        }
    }

    /// Whether regcert.toml has an edit, and an older regcert did not note what it had applied.
    pub fn is_unknown(&self) -> bool {
        matches!(self, Self::Edited { applied: None, .. })
    }
}

impl Deployment {
    /// What regcert.toml says, applied or not.
    pub fn asked(&self) -> &Settings {
        self.edited.as_ref().unwrap_or(&self.spec)
    }

    /// The edits of regcert.toml that are not applied: key, value in force, value in the file.
    pub fn unapplied(&self) -> Vec<(String, String, String)> {
        self.edited.as_ref().map(|edited| self.spec.differences(edited)).unwrap_or_default()
    }

    /// Puts `spec` in force. What regcert.toml says beyond it stays an edit.
    pub(super) fn put_in_force(&mut self, spec: Settings) -> Result<(), Fault> {
        self.state.apply(&spec.to_toml(None)?);
        self.edited.take_if(|edited| *edited == spec);
        self.spec = spec;
        Ok(())
    }
}
