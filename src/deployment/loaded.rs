//! The registry of a directory, and whether its regcert.toml was edited after its settings were last applied. Only the
//! command that applies settings gets those of an edit.

use super::Deployment;
use crate::error::{Fault, Gather};
use crate::settings::{RawSettings, RunAs, Settings, Side};

/// The hint for an edit of regcert.toml that is not applied.
pub const APPLY: &str = "run `regcert init`, which applies it; `regcert init --dry-run` shows what changes";

/// A registry as it is in its directory.
#[derive(Debug, PartialEq)]
pub enum Loaded {
    /// regcert.toml has the settings that were applied last.
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
    /// Compares the settings of `wanted`, which are those of regcert.toml, with the settings last applied.
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

    /// The registry with the settings of regcert.toml, for `init`, which applies them.
    pub fn wanted(self) -> Deployment {
        match self {
            Self::Applied(deployment) | Self::Edited { wanted: deployment, .. } => deployment,
        }
    }

    /// The registry with the settings last applied, for every other command. An edit of regcert.toml stays unapplied.
    /// Fails if those settings are unknown.
    pub fn in_force(self) -> Result<Deployment, Fault> {
        if self.is_unknown() {
            return Err(Fault::new("regcert.toml was changed and not applied yet").hint(APPLY));
        }
        Ok(self.known())
    }

    /// The registry with the settings last applied, or with those of regcert.toml if the former are unknown. For a
    /// command that writes nothing that depends on settings.
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
    /// The settings of regcert.toml, applied or not.
    pub fn asked(&self) -> &Settings {
        self.edited.as_ref().unwrap_or(&self.spec)
    }

    /// The edits of regcert.toml that are not applied: key, value in force, value in the file.
    pub fn unapplied(&self) -> Vec<(String, String, String)> {
        self.edited.as_ref().map(|edited| self.spec.differences(edited)).unwrap_or_default()
    }

    /// Puts `spec` in force. Other edits of regcert.toml stay unapplied.
    pub(super) fn put_in_force(&mut self, spec: Settings) -> Result<(), Fault> {
        self.state.apply(&spec.to_toml(None)?);
        self.edited.take_if(|edited| *edited == spec);
        self.spec = spec;
        Ok(())
    }
}
