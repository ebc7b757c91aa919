//! The changes of a later run to users, settings and names, one line each. The list of files does not show them.

use crate::files::Action;
use crate::names::shell;
use crate::settings::Settings;

/// The lines to print, in order.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct News(Vec<(Action, String)>);

impl News {
    /// Adds a line for something new.
    pub fn added(&mut self, what: String) {
        self.0.push((Action::Added, what));
    }

    /// Adds a line for something that changed.
    pub fn changed(&mut self, what: String) {
        self.0.push((Action::Changed, what));
    }

    /// Adds a line for each changed setting.
    pub fn of_settings(&mut self, before: &Settings, after: &Settings) {
        for (key, old, new) in before.differences(after) {
            self.changed(format!("{key}: {new} (was {old})"));
        }
    }

    /// Adds a line with the names that the certificate no longer covers, and the command that keeps them.
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

    pub fn iter(&self) -> impl Iterator<Item = &(Action, String)> {
        self.0.iter()
    }
}
