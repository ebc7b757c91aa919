//! What a later run does to users, settings and names, each in one line: files alone do not tell it.

use crate::files::Action;
use crate::names::shell;
use crate::settings::Settings;

/// The lines, in the order they are told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News(Vec<(Action, String)>);

impl News {
    /// Something new.
    pub fn added(&mut self, what: String) {
        self.0.push((Action::Added, what));
    }

    /// Something that is different now.
    pub fn changed(&mut self, what: String) {
        self.0.push((Action::Changed, what));
    }

    /// What differs between the settings before and after.
    pub fn of_settings(&mut self, before: &Settings, after: &Settings) {
        for (key, old, new) in before.differences(after) {
            self.changed(format!("{key}: {new} (was {old})"));
        }
    }

    /// What the certificate covered before and does not cover now, with the way to keep it.
    pub fn of_names(&mut self, before: &[String], after: &[String]) {
        let gone: Vec<&String> = before.iter().filter(|name| !after.contains(name)).collect();
        if gone.is_empty() {
            return;
        }
        let options: Vec<_> = gone.iter().map(|name| format!("--san {}", shell(name))).collect();
        let names: Vec<_> = gone.iter().map(|name| name.as_str()).collect();
        let what = format!(
            "from the certificate: {} (to keep {}: `regcert init {}`)",
            names.join(", "),
            if gone.len() == 1 { "it" } else { "them" },
            options.join(" ")
        );
        self.0.push((Action::Removed, what));
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &(Action, String)> {
        self.0.iter()
    }
}
