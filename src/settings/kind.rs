//! The kinds of settings. A kind defines the form of a value, its check, its text, and its possible other values.

use std::fmt::Display;
use std::marker::PhantomData;
use std::str::FromStr;

use super::alternatives::{Others, spare, webhook};
use super::row::Form;
use super::{DAYS_ADVISED, DAYS_MAX, Settings};
use crate::error::Fault;
use crate::names::{DnsName, Repositories, Webhook, is_hidden, printable};

/// A setting as the user typed it: one text, or several.
pub trait Typed: Clone {
    /// Builds the setting from the given texts. A setting with only one text uses the last of them.
    fn of(texts: Vec<String>) -> Self;
    fn texts(&self) -> Vec<String>;
}

impl Typed for String {
    fn of(texts: Vec<String>) -> Self {
        texts.into_iter().next_back().unwrap_or_default()
    }

    fn texts(&self) -> Vec<String> {
        vec![self.clone()]
    }
}

impl Typed for Vec<String> {
    fn of(texts: Vec<String>) -> Self {
        texts
    }

    fn texts(&self) -> Vec<String> {
        self.clone()
    }
}

/// A kind of setting: its form, its types and its check.
pub trait Kind {
    /// The form of the value in regcert.toml.
    const FORM: Form;
    /// The type of the checked value.
    type Value: Clone;
    /// The type of the value as the user typed it.
    type Typed: Typed;

    /// Parses `texts`, or returns every fault in them. There is exactly one text unless the form is [`Form::List`].
    fn check(texts: &[String]) -> Result<Self::Value, Vec<Fault>>;

    /// Converts a value back to texts: the reverse of [`Self::check`].
    fn texts(value: &Self::Value) -> Vec<String>;

    /// Values other than the current one, to find the lines of a file that depend on the setting; empty if no line of
    /// the service's files does.
    fn others(_value: &Self::Value, _all: &Settings) -> Vec<Self::Value> {
        Vec::new()
    }
}

/// The kind of a setting that always has exactly one value.
pub struct One<T>(PhantomData<T>);

impl<T: FromStr<Err = Fault> + Display + Clone + Others> Kind for One<T> {
    const FORM: Form = Form::Text;
    type Value = T;
    type Typed = String;

    fn check(texts: &[String]) -> Result<T, Vec<Fault>> {
        one(texts).parse().map_err(|fault| vec![fault])
    }

    fn texts(value: &T) -> Vec<String> {
        vec![value.to_string()]
    }

    fn others(value: &T, _: &Settings) -> Vec<T> {
        T::others(Some(value))
    }
}

/// The kind of a setting with one value or none; an empty text means none.
pub struct Optional<T>(PhantomData<T>);

impl<T: FromStr<Err = Fault> + Display + Clone + Others> Kind for Optional<T> {
    const FORM: Form = Form::Text;
    type Value = Option<T>;
    type Typed = String;

    fn check(texts: &[String]) -> Result<Option<T>, Vec<Fault>> {
        given(texts).map(str::parse).transpose().map_err(|fault| vec![fault])
    }

    fn texts(value: &Option<T>) -> Vec<String> {
        shown(value)
    }

    fn others(value: &Option<T>, _: &Settings) -> Vec<Option<T>> {
        match value {
            Some(_) => vec![None],
            None => T::others(None).into_iter().map(Some).collect(),
        }
    }
}

/// The kind of a setting with any number of values.
pub struct Many<T>(PhantomData<T>);

impl<T: FromStr<Err = Fault> + Display + Clone + Others> Kind for Many<T> {
    const FORM: Form = Form::List;
    type Value = Vec<T>;
    type Typed = Vec<String>;

    fn check(texts: &[String]) -> Result<Vec<T>, Vec<Fault>> {
        let (mut values, mut faults) = (Vec::new(), Vec::new());
        for text in texts {
            match text.parse() {
                Ok(value) => values.push(value),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(values) } else { Err(faults) }
    }

    fn texts(value: &Vec<T>) -> Vec<String> {
        value.iter().map(ToString::to_string).collect()
    }

    fn others(value: &Vec<T>, _: &Settings) -> Vec<Vec<T>> {
        T::others(None).into_iter().map(|other| [value.clone(), vec![other]].concat()).collect()
    }
}

/// The kind of the setting `domain`. The domain depends on the server, and is `None` if the server is an address.
pub struct Domain;

impl Kind for Domain {
    const FORM: Form = Form::Text;
    type Value = Option<DnsName>;
    type Typed = String;

    fn check(texts: &[String]) -> Result<Option<DnsName>, Vec<Fault>> {
        given(texts).map(str::parse).transpose().map_err(|fault| vec![fault])
    }

    fn texts(value: &Option<DnsName>) -> Vec<String> {
        shown(value)
    }
}

/// The kind of a setting with a port of this machine.
pub struct Port;

impl Kind for Port {
    const FORM: Form = Form::Number;
    type Value = u16;
    type Typed = String;

    fn check(texts: &[String]) -> Result<u16, Vec<Fault>> {
        let fault = || {
            Fault::new(format!("`{}` is not a port", printable(one(texts))))
                .hint("a port is a number from 1 to 65535")
        };
        one(texts).parse().ok().filter(|port| *port > 0).ok_or_else(|| vec![fault()])
    }

    fn texts(value: &u16) -> Vec<String> {
        vec![value.to_string()]
    }

    fn others(_: &u16, all: &Settings) -> Vec<u16> {
        vec![spare(all)]
    }
}

/// The kind of a setting with a port that can be turned off: with `off`, or with 0 in regcert.toml.
pub struct PortOrOff;

impl Kind for PortOrOff {
    const FORM: Form = Form::Number;
    type Value = Option<u16>;
    type Typed = String;

    fn check(texts: &[String]) -> Result<Option<u16>, Vec<Fault>> {
        match one(texts) {
            "0" | "off" => Ok(None),
            _ => Port::check(texts).map(Some),
        }
    }

    fn texts(value: &Option<u16>) -> Vec<String> {
        vec![value.unwrap_or(0).to_string()]
    }

    fn others(value: &Option<u16>, all: &Settings) -> Vec<Option<u16>> {
        vec![if value.is_some() { None } else { Some(spare(all)) }]
    }
}

/// The kind of a setting with the validity of a server certificate, in days.
pub struct Days;

impl Kind for Days {
    const FORM: Form = Form::Number;
    type Value = u16;
    type Typed = String;

    fn check(texts: &[String]) -> Result<u16, Vec<Fault>> {
        days(one(texts)).map_err(|fault| vec![fault])
    }

    fn texts(value: &u16) -> Vec<String> {
        vec![value.to_string()]
    }
}

/// Parses the validity of a server or client certificate, in days.
pub fn days(text: &str) -> Result<u16, Fault> {
    text.parse().ok().filter(|days| (1..=DAYS_MAX).contains(days)).ok_or_else(|| {
        Fault::new(format!("`{}` days are not possible for a certificate", printable(text))).hint(format!(
            "1 to {DAYS_MAX}: Apple's systems refuse more, {DAYS_ADVISED} is the most to be advised"
        ))
    })
}

/// The kind of a setting with a country for certificates, or none.
pub struct Country;

impl Kind for Country {
    const FORM: Form = Form::Text;
    type Value = Option<String>;
    type Typed = String;

    fn check(texts: &[String]) -> Result<Option<String>, Vec<Fault>> {
        let Some(text) = given(texts) else {
            return Ok(None);
        };
        if text.len() == 2 && text.bytes().all(|b| b.is_ascii_alphabetic()) {
            return Ok(Some(text.to_ascii_uppercase()));
        }
        let fault = Fault::new(format!("`{}` is not a country code", printable(text)));
        Err(vec![fault.hint("two letters, as in ISO 3166: `CA`, `DE`")])
    }

    fn texts(value: &Option<String>) -> Vec<String> {
        shown(value)
    }
}

/// The kind of a setting with a text for certificates, or none. The text has at most `MAX` characters (RFC 5280
/// appendix A.1).
pub struct CertificateText<const MAX: usize>;

impl<const MAX: usize> Kind for CertificateText<MAX> {
    const FORM: Form = Form::Text;
    type Value = Option<String>;
    type Typed = String;

    fn check(texts: &[String]) -> Result<Option<String>, Vec<Fault>> {
        let text = one(texts);
        let fault = |why: String| Err(vec![Fault::new(format!("`{}` {why}", printable(text)))]);
        if text.chars().any(is_hidden) {
            fault("holds a control character, or one that is not seen".to_owned())
        } else if text.chars().count() > MAX {
            fault(format!("is longer than {MAX} characters, the most a certificate holds"))
        } else {
            Ok(Some(text.trim().to_owned()).filter(|text| !text.is_empty()))
        }
    }

    fn texts(value: &Option<String>) -> Vec<String> {
        shown(value)
    }
}

/// The kind of a setting with an e-mail address for certificates, or none.
pub struct Email;

impl Kind for Email {
    const FORM: Form = Form::Text;
    type Value = Option<String>;
    type Typed = String;

    fn check(texts: &[String]) -> Result<Option<String>, Vec<Fault>> {
        let Some(text) = given(texts) else {
            return Ok(None);
        };
        let plain = text.bytes().all(|b| b.is_ascii_graphic()) && text.len() <= 255;
        let parts =
            text.split_once('@').filter(|(user, host)| !user.is_empty() && host.parse::<DnsName>().is_ok());
        if plain && parts.is_some() {
            return Ok(Some(text.to_owned()));
        }
        Err(vec![Fault::new(format!("`{}` is not an e-mail address", printable(text)))])
    }

    fn texts(value: &Option<String>) -> Vec<String> {
        shown(value)
    }
}

/// The kind of a setting with patterns of repositories; an empty list means every repository.
pub struct Repos;

impl Kind for Repos {
    const FORM: Form = Form::List;
    type Value = Repositories;
    type Typed = Vec<String>;

    fn check(texts: &[String]) -> Result<Repositories, Vec<Fault>> {
        Repositories::parse(texts)
    }

    fn texts(value: &Repositories) -> Vec<String> {
        Vec::from(value.clone())
    }

    fn others(_: &Repositories, _: &Settings) -> Vec<Repositories> {
        vec![Repositories::Every]
    }
}

/// The kind of a setting with webhooks. Each webhook has a unique name.
pub struct Webhooks;

impl Kind for Webhooks {
    const FORM: Form = Form::List;
    type Value = Vec<Webhook>;
    type Typed = Vec<String>;

    fn check(texts: &[String]) -> Result<Vec<Webhook>, Vec<Fault>> {
        let (mut webhooks, mut faults) = (Vec::<Webhook>::new(), Vec::new());
        for text in texts {
            match text.parse::<Webhook>() {
                Ok(webhook) if webhooks.iter().any(|known| known.name() == webhook.name()) => faults.push(
                    Fault::new(format!("there are two webhooks `{}`", webhook.name()))
                        .hint("give each a name of its own"),
                ),
                Ok(webhook) => webhooks.push(webhook),
                Err(fault) => faults.push(fault),
            }
        }
        if faults.is_empty() { Ok(webhooks) } else { Err(faults) }
    }

    fn texts(value: &Vec<Webhook>) -> Vec<String> {
        value.iter().map(ToString::to_string).collect()
    }

    fn others(value: &Vec<Webhook>, _: &Settings) -> Vec<Vec<Webhook>> {
        vec![if value.is_empty() { vec![webhook()] } else { Vec::new() }]
    }
}

/// The only text of a setting that is not a list.
fn one(texts: &[String]) -> &str {
    texts.first().map_or("", String::as_str)
}

/// The only text of a setting that is not a list; `None` if the text is empty.
fn given(texts: &[String]) -> Option<&str> {
    Some(one(texts)).filter(|text| !text.is_empty())
}

/// The text of an optional value; empty for `None`.
fn shown(value: &Option<impl Display>) -> Vec<String> {
    vec![value.as_ref().map(ToString::to_string).unwrap_or_default()]
}
