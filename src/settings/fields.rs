//! Settings as text, from regcert.toml or from the options of `init`, and the checks of single settings.

use std::collections::BTreeMap;

use clap::ArgMatches;
use toml_edit::Document;

use super::kind::{Kind, Typed};
use super::row::{self, Row, row};
use super::{RawSettings, RunAs, TABLE};
use crate::error::{Fault, Gather};
use crate::names::{Host, printable};

/// The source of settings. It decides how error messages name a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// The file regcert.toml.
    File,
    /// The options on the command line.
    Options,
}

impl Side {
    fn name(self, row: &Row) -> String {
        match self {
            Self::Options if !row.option.is_empty() => format!("--{}", row.option),
            Self::File | Self::Options => format!("regcert.toml, `{}`", row.key),
        }
    }
}

impl RawSettings {
    /// Reads `regcert.toml`. Checks only the keys and the form of each value.
    pub fn from_toml(text: &str) -> Result<Self, Fault> {
        let keys: Vec<_> = TABLE.iter().map(|row| format!("`{}`", row.key)).collect();
        let hint = format!("the keys are {}", keys.join(", "));
        let document = match Document::parse(text) {
            Ok(document) => document,
            Err(error) => return Err(Fault::new(error.to_string().trim()).hint(hint)),
        };
        let (mut given, mut wrong) = (BTreeMap::new(), Vec::new());
        for (key, item) in document.iter() {
            let at = document.key(key).and_then(|key| key.span()).map_or(0, |span| span.start);
            let line = text[..at].matches('\n').count() + 1;
            let known = TABLE.iter().find(|row| row.key == key);
            match known.map(|row| (row, row.form.texts(item))) {
                None => wrong.push(format!("line {line}: `{}` is not a setting", printable(key))),
                Some((row, None)) => wrong.push(format!("line {line}: `{key}` takes {}", row.form.takes())),
                Some((row, Some(texts))) => _ = given.insert(row.key, texts),
            }
        }
        if wrong.is_empty() {
            Ok(Self::of(|row| given.remove(row.key)))
        } else {
            Err(Fault::new(wrong.join("; ")).hint(hint))
        }
    }

    /// Fills in missing settings that follow from other settings, or from the user who runs regcert.
    pub(super) fn derived(&self, invoker: RunAs) -> Self {
        let mut derived = self.clone();
        derived.run_as.get_or_insert_with(|| invoker.to_string());
        if derived.domain.as_deref().is_none_or(str::is_empty) {
            derived.domain = match self.server.as_deref().unwrap_or(row("server").default).parse() {
                Ok(Host::Ip(_)) => Some(String::new()),
                // A full name contains its domain.
                Ok(Host::Dns(name)) => name.as_str().split_once('.').map(|(_, domain)| domain.to_owned()),
                Err(_) => None,
            };
        }
        derived
    }
}

impl clap::Args for RawSettings {
    fn augment_args(command: clap::Command) -> clap::Command {
        command.args(row::arguments())
    }

    fn augment_args_for_update(command: clap::Command) -> clap::Command {
        Self::augment_args(command)
    }
}

impl clap::FromArgMatches for RawSettings {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let given = |row: &Row| matches.get_many::<String>(row.option).map(|texts| texts.cloned().collect());
        Ok(Self::of(|row| if row.option.is_empty() { None } else { given(row) }))
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        *self = Self::from_arg_matches(matches)?.or(std::mem::take(self));
        Ok(())
    }
}

/// The state of a check of the settings from one source.
pub(super) struct Fields<'a> {
    side: Side,
    gather: &'a mut Gather,
    refused: Vec<&'static str>,
}

impl<'a> Fields<'a> {
    pub(super) fn new(side: Side, gather: &'a mut Gather) -> Self {
        Self { side, gather, refused: Vec::new() }
    }

    /// The checked value; the default if no value is given or the value is invalid. Adds the faults of an invalid
    /// value.
    pub(super) fn read<K: Kind>(&mut self, row: &'static Row, typed: Option<&K::Typed>) -> K::Value {
        let default =
            || K::check(&row.default_texts()).expect("a default in the table has the form of its setting");
        let Some(typed) = typed else {
            return default();
        };
        K::check(&typed.texts()).unwrap_or_else(|faults| {
            for fault in faults {
                self.fault(row, fault);
            }
            default()
        })
    }

    /// Adds a fault of a single setting, under the setting's name.
    pub(super) fn fault(&mut self, row: &'static Row, fault: Fault) {
        self.gather.take::<()>(&self.side.name(row), Err(fault));
        self.refused.push(row.key);
    }

    /// Adds a fault of settings that contradict each other.
    pub(super) fn disagree(&mut self, fault: Fault) {
        self.gather.push(fault);
    }

    /// Whether each setting, checked alone, is valid.
    pub(super) fn are_fine(&self) -> bool {
        self.refused.is_empty()
    }

    /// Whether a setting with one of these keys has a fault.
    pub(super) fn refused(&self, keys: &[&str]) -> bool {
        self.refused.iter().any(|refused| keys.contains(refused))
    }
}
