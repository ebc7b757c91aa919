//! One row of the table of settings, and the texts derived from the row: the option of `init` with its help, the line
//! of regcert.toml with its comment, and the name in faults.

use clap::{Arg, ArgAction};
use toml_edit::{Array, Item, value};

use super::TABLE;

pub struct Row {
    /// The key in regcert.toml.
    pub key: &'static str,
    /// The form of the value. It follows from the kind of the setting.
    pub form: Form,
    /// The group. It decides the heading in the help.
    pub group: Group,
    /// The default, as a user types it.
    pub default: &'static str,
    /// The default as shown in the help, if that explains more than the value.
    pub default_help: &'static str,
    /// The option of `init`, without hyphens; empty if there is none.
    pub option: &'static str,
    /// The placeholder for the option's value in the help.
    pub value: &'static str,
    /// The help, in one sentence without a full stop and without the default.
    pub help: &'static str,
    /// The second paragraph of `--help`.
    pub more: &'static str,
    /// The comment above the key in regcert.toml.
    pub comment: &'static str,
}

/// The form in which a user types a setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// A text; an empty text means none.
    Text,
    /// A number; 0 means none.
    Number,
    /// A list of texts; the option may be repeated.
    List,
}

/// A group of settings, with a heading in the help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Group {
    /// The names that clients use.
    Names,
    /// Keys and validity of certificates.
    Certificates,
    /// The subject of the certificates.
    Subject,
    /// The certificate authority that signs.
    Authority,
    /// The containers: their ports, images and files.
    Service,
    /// Services besides the registry's clients: a mirror's upstream, webhooks and metrics.
    Services,
}

impl Group {
    fn heading(self) -> &'static str {
        match self {
            Self::Names => "Names",
            Self::Certificates | Self::Subject => "Certificates",
            Self::Authority => "Authority",
            Self::Service => "Service",
            Self::Services => "Mirror, webhooks, metrics",
        }
    }

    /// Whether the configuration of the containers depends on the group; otherwise only certificates do.
    pub fn configures(self) -> bool {
        match self {
            Self::Names | Self::Service | Self::Services => true,
            Self::Certificates | Self::Subject | Self::Authority => false,
        }
    }
}

/// Finds the row with this key. Panics if the table has no such row.
pub fn row(key: &str) -> &'static Row {
    TABLE.iter().find(|row| row.key == key).expect("the table has every key that the program names")
}

/// The position in the help for an option that is not a setting: directly below the setting `key`.
pub fn below(key: &str) -> usize {
    TABLE.iter().position(|row| row.key == key).map_or(0, |at| order(at) + 1)
}

/// The position of a setting in the help. Leaves gaps for options that are not settings.
fn order(at: usize) -> usize {
    100 + 10 * at
}

impl Row {
    /// The default properties of a row.
    pub const EMPTY: Self = Self {
        key: "",
        form: Form::Text,
        group: Group::Service,
        default: "",
        default_help: "",
        option: "",
        value: "TEXT",
        help: "",
        more: "",
        comment: "",
    };

    /// The default, as the texts that a user would type.
    pub(super) fn default_texts(&self) -> Vec<String> {
        match self.form {
            Form::Text | Form::Number => vec![self.default.to_owned()],
            Form::List => self.default.split_whitespace().map(str::to_owned).collect(),
        }
    }

    /// The option of `init` for this setting. `at` is the row's position in the table.
    fn argument(&self, at: usize) -> Arg {
        let default = if self.default_help.is_empty() { self.default } else { self.default_help };
        let default = if default.is_empty() { String::new() } else { format!(" [default: {default}]") };
        let help = format!("{}{default}", self.help);
        let argument = Arg::new(self.option)
            .long(self.option)
            .value_name(self.value)
            .help_heading(self.group.heading())
            .display_order(order(at))
            .action(match self.form {
                Form::Text | Form::Number => ArgAction::Set,
                Form::List => ArgAction::Append,
            });
        let argument = if self.more.is_empty() {
            argument
        } else {
            argument.long_help(format!("{help}\n\n{}", self.more))
        };
        argument.help(help)
    }

    /// The comment as lines of regcert.toml, each after `#`.
    pub(super) fn comment_lines(&self) -> String {
        self.comment.lines().map(|line| format!("# {line}\n")).collect()
    }

    /// The lines of the setting in a new regcert.toml: comment and key, after an empty line if a new heading begins.
    /// `to_toml` sets the value later.
    pub(super) fn toml(&self, before: Option<&Self>) -> String {
        let starts = before.is_none_or(|before| before.group.heading() != self.group.heading());
        let item = self.form.item(&self.form.none());
        let blank = if starts { "\n" } else { "" };
        format!("{blank}{}{} = {item}\n", self.comment_lines(), self.key)
    }
}

/// The options of `init` that are settings.
pub(super) fn arguments() -> impl Iterator<Item = Arg> {
    let with_option = TABLE.iter().enumerate().filter(|(_, row)| !row.option.is_empty());
    with_option.map(|(at, row)| row.argument(at))
}

impl Form {
    /// The texts of an item in regcert.toml; `None` if the item does not have this form.
    pub(super) fn texts(self, item: &Item) -> Option<Vec<String>> {
        match self {
            Self::Text => Some(vec![item.as_str()?.to_owned()]),
            Self::Number => Some(vec![item.as_integer()?.to_string()]),
            Self::List => {
                item.as_array()?.iter().map(|value| value.as_str().map(str::to_owned)).collect::<Option<_>>()
            }
        }
    }

    /// The item in regcert.toml for `texts`.
    pub(super) fn item(self, texts: &[String]) -> Item {
        let first = texts.first().map_or("", String::as_str);
        match self {
            Self::Text => value(first),
            Self::Number => value(first.parse::<i64>().unwrap_or(0)),
            Self::List => value(texts.iter().collect::<Array>()),
        }
    }

    /// The texts that mean "none".
    fn none(self) -> Vec<String> {
        match self {
            Self::Text | Self::Number => vec![String::new()],
            Self::List => Vec::new(),
        }
    }

    /// The texts as shown in messages to the user.
    pub(super) fn shown(self, texts: &[String]) -> String {
        match (self, texts.join(" ").as_str()) {
            (Self::Text | Self::List, "") => "none".to_owned(),
            (Self::Number, "" | "0") => "off".to_owned(),
            (_, text) => text.to_owned(),
        }
    }

    /// The texts as a JSON value for a template.
    pub(super) fn plain(self, texts: Vec<String>) -> serde_json::Value {
        let one = |texts: Vec<String>| texts.into_iter().next().unwrap_or_default();
        match self {
            Self::Text => one(texts).into(),
            Self::Number => one(texts).parse::<i64>().unwrap_or(0).into(),
            Self::List => texts.into(),
        }
    }

    /// The name of the required form in regcert.toml, for a fault.
    pub(super) fn takes(self) -> &'static str {
        match self {
            Self::Text => "a text in quotes",
            Self::Number => "a number without quotes",
            Self::List => "a list of texts, `[\"…\"]`",
        }
    }
}

/// Declares the settings: the table, and two structs with a field for each setting. All three come from one list, so
/// none of them can lack a setting.
macro_rules! settings {
    ($($(#[$doc:meta])* $field:ident: $kind:ty = $key:literal {
        $($property:ident: $value:expr),* $(,)?
    })*) => {
        /// The checked settings of a registry.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct Settings {
            $($(#[$doc])* pub $field: <$kind as Kind>::Value,)*
        }

        /// The settings as typed in regcert.toml or in options, unchecked.
        #[derive(Debug, Clone, Default, PartialEq, Eq)]
        pub struct RawSettings {
            $($(#[$doc])* pub $field: Option<<$kind as Kind>::Typed>,)*
        }

        /// Every setting, in the order of regcert.toml and of the help.
        pub const TABLE: &[Row] = &[
            $(Row { key: $key, form: <$kind as Kind>::FORM, $($property: $value,)* ..Row::EMPTY },)*
        ];

        impl RawSettings {
            /// Builds the settings from the texts that `given` returns for each row.
            pub(super) fn of(mut given: impl FnMut(&'static Row) -> Option<Vec<String>>) -> Self {
                Self { $($field: given(row($key)).map(Typed::of),)* }
            }

            /// Takes missing settings from `other`.
            pub fn or(self, other: Self) -> Self {
                Self { $($field: self.$field.or(other.$field),)* }
            }
        }

        impl Settings {
            /// Reads each setting and checks it alone. A setting with a fault gets its default.
            pub(super) fn read(raw: &RawSettings, fields: &mut Fields<'_>) -> Self {
                Self { $($field: fields.read::<$kind>(row($key), raw.$field.as_ref()),)* }
            }

            /// Every setting, as the texts that a user would type.
            pub(super) fn texts(&self) -> Vec<(&'static Row, Vec<String>)> {
                vec![$((row($key), <$kind as Kind>::texts(&self.$field)),)*]
            }

            /// A copy of these settings in which the settings of `groups` come from `other`.
            pub fn with(&self, groups: &[Group], other: &Self) -> Self {
                Self {
                    $($field: if groups.contains(&row($key).group) { other } else { self }.$field.clone(),)*
                }
            }

            /// Copies of these settings with one other value each, and the key of the changed setting.
            pub(super) fn others(&self) -> Vec<(&'static str, Self)> {
                let mut all = Vec::new();
                $(for other in <$kind as Kind>::others(&self.$field, self) {
                    all.push(($key, Self { $field: other, ..self.clone() }));
                })*
                all
            }
        }
    };
}

pub(super) use settings;
