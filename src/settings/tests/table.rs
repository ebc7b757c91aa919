//! Tests of the table of settings and of everything derived from it.

use super::super::row::{Form, Row};
use super::*;

#[test]
fn a_value_of_another_form_is_refused_with_its_line() {
    let text = "server = 5\n\ndays = \"90\"\nsans = \"r.lan\"\nnotify = [1]\nhttp-port = 1.5\n[storage]\n";
    assert_eq!(
        RawSettings::from_toml(text).unwrap_err().message,
        "line 1: `server` takes a text in quotes; line 3: `days` takes a number without quotes; \
         line 4: `sans` takes a list of texts, `[\"…\"]`; line 5: `notify` takes a list of texts, `[\"…\"]`; \
         line 6: `http-port` takes a number without quotes; line 7: `storage` is not a setting"
    );
}

#[test]
fn the_table_names_each_setting_in_the_way_of_its_place() {
    let plain = check(&RawSettings::default()).unwrap().plain();
    for Row { key, option, help, form, .. } in TABLE {
        let fine = |text: &str| text.bytes().all(|b| b.is_ascii_lowercase() || b == b'-');
        assert!(fine(key) && fine(option), "{key}");
        assert!(option.is_empty() || !help.is_empty() && !help.ends_with('.'), "{key}");
        let value = &plain[&key.replace('-', "_")];
        let is_of_form = match form {
            Form::Text => value.is_string(),
            Form::Number => value.is_number(),
            Form::List => value.is_array(),
        };
        assert!(is_of_form, "{key}: {value}");
    }
    assert_eq!(plain.len(), TABLE.len());
}

#[test]
fn a_setting_that_regcert_toml_lacks_comes_with_its_comment() {
    let written = check(&RawSettings::default()).unwrap().to_toml(Some("days = 90\n")).unwrap();
    assert!(
        written.contains(
            "# Whether admins may delete images: on or off. Without nginx no user can.\ndelete = \"on\"\n"
        ),
        "{written}"
    );
}

#[test]
fn every_other_value_that_a_setting_can_have_is_another_registry() {
    for server in ["registry", "10.0.0.1"] {
        let settings = check(&RawSettings { server: some(server), ..RawSettings::default() }).unwrap();
        let alternatives = settings.alternatives();
        for (key, other) in &alternatives {
            let keys: Vec<_> = settings.differences(other).into_iter().map(|(key, ..)| key).collect();
            assert!(keys.contains(&(*key).to_owned()), "{key}: {keys:?}");
        }
        let tried = |key: &&str| alternatives.iter().any(|(known, _)| known == key);
        let configures = TABLE.iter().filter(|row| row.group.configures()).map(|row| row.key);
        let left: Vec<_> = configures.filter(|key| !tried(key)).collect();
        // `domain` changes together with `server`. `anonymous-repos` has no value other than its default here.
        assert_eq!(left, ["domain", "anonymous-repos"]);
    }
}
