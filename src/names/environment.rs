//! The `.env` file of Docker Compose, parsed as every version of Compose parses it.

use std::collections::BTreeMap;

/// The variable that sets the name of a Compose project, in the environment or in `.env`. Every version of Compose
/// reads this variable.
pub const PROJECT_NAME: &str = "COMPOSE_PROJECT_NAME";

/// The variables of a `.env` file. If the file assigns a variable twice, the last value counts.
pub fn environment_file(text: &str) -> BTreeMap<String, String> {
    // Compose ignores a byte order mark.
    let lines = text.trim_start_matches('\u{feff}').lines().map(str::trim);
    let pairs = lines.filter(|line| !line.starts_with('#')).filter_map(|line| line.split_once('='));
    let key = |key: &str| key.trim().trim_start_matches("export ").trim().to_owned();
    pairs.map(|(name, value)| (key(name), bare(value.trim()).to_owned())).collect()
}

/// Removes the quotes around a value and the comment after it.
fn bare(value: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some((inside, _)) = value.strip_prefix(quote).and_then(|rest| rest.split_once(quote)) {
            return inside;
        }
    }
    value.split_once(" #").map_or(value, |(value, _)| value.trim_end())
}

/// The name of the Compose project, if the text of a `.env` file sets one.
pub fn project_name(text: &str) -> Option<String> {
    environment_file(text).remove(PROJECT_NAME).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_read_as_compose_reads_it() {
        let settings =
            environment_file("# x\nA=1\nB = 'two words'\nC=\"#1\" # x\nD=d # x\nexport E=a#b\nA=2\n");
        let read: Vec<_> = settings.iter().map(|(key, value)| format!("{key}={value}")).collect();
        assert_eq!(read, ["A=2", "B=two words", "C=#1", "D=d", "E=a#b"]);
    }

    #[test]
    fn a_project_has_the_last_name_that_it_is_given() {
        for (text, name) in [
            ("# x\nCOMPOSE_PROJECT_NAME=reg-1\nA=b\n", Some("reg-1")),
            ("COMPOSE_PROJECT_NAME = 'reg-1'", Some("reg-1")),
            ("COMPOSE_PROJECT_NAME=\"reg-1\" # ours", Some("reg-1")),
            ("export COMPOSE_PROJECT_NAME=reg-1", Some("reg-1")),
            ("\u{feff}COMPOSE_PROJECT_NAME=reg-1\r\n", Some("reg-1")),
            ("COMPOSE_PROJECT_NAME=a\nCOMPOSE_PROJECT_NAME=b\n", Some("b")),
            ("COMPOSE_PROJECT_NAMES=x\n#COMPOSE_PROJECT_NAME=y\nCOMPOSE_PROJECT_NAME=\n", None),
        ] {
            assert_eq!(project_name(text).as_deref(), name, "{text}");
        }
    }
}
