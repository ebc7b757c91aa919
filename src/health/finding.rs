//! One row of what `status` and `check` say: what was looked at, how it is, and what to do.

use serde::Serialize;

/// How something is; in this order of urgency people are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum State {
    /// Clients are refused, or will be.
    #[serde(rename = "broken")]
    Broken,
    /// Something needs doing, and clients are served meanwhile.
    #[serde(rename = "due")]
    Due,
    /// To be known; nothing needs doing.
    #[serde(rename = "note")]
    Note,
    /// As it should be.
    #[serde(rename = "held")]
    Held,
    /// Not looked at, and why stands in the message.
    #[serde(rename = "not tried")]
    NotTried,
}

impl State {
    /// As people read it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Due => "due",
            Self::Note => "note",
            Self::Held => "held",
            Self::NotTried => "not tried",
        }
    }

    /// Whether something needs doing.
    pub fn needs_doing(self) -> bool {
        self <= Self::Due
    }
}

/// One thing that must be right for clients to work, now or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What was looked at, in a word that does not change.
    pub id: &'static str,
    /// How it is.
    pub state: State,
    /// What was found.
    pub message: String,
    /// What to do; empty where nothing needs doing.
    pub cure: String,
    /// The file, user or certificate that it is about; empty where it is the way to the registry.
    pub place: String,
}

impl Finding {
    pub(super) fn new(
        id: &'static str,
        state: State,
        message: impl Into<String>,
        cure: impl Into<String>,
    ) -> Self {
        Self { id, state, message: message.into(), cure: cure.into(), place: String::new() }
    }

    pub(super) fn held(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, State::Held, message, "")
    }

    pub(super) fn broken(id: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(id, State::Broken, message, cure)
    }

    pub(super) fn due(id: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(id, State::Due, message, cure)
    }

    pub(super) fn note(id: &'static str, message: impl Into<String>, cure: impl Into<String>) -> Self {
        Self::new(id, State::Note, message, cure)
    }

    pub(super) fn not_tried(id: &'static str, message: impl Into<String>) -> Self {
        Self::new(id, State::NotTried, message, "")
    }

    /// The same, about `place`.
    pub(super) fn at(self, place: impl Into<String>) -> Self {
        Self { place: place.into(), ..self }
    }

    /// Whether it is at fault.
    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }
}

/// What people read of it that needs attention, the most urgent first, each with its cure.
pub fn told(findings: &[Finding]) -> Vec<String> {
    let mut urgent: Vec<_> = findings.iter().filter(|finding| finding.state <= State::Note).collect();
    urgent.sort_by_key(|finding| finding.state);
    let lines = urgent.into_iter().flat_map(|Finding { id, state, message, cure, place }| {
        let about = if place.is_empty() { id } else { place.as_str() };
        let what = format!("{}: {about}: {message}", state.text());
        [Some(what), (!cure.is_empty()).then(|| format!("hint: {cure}"))].into_iter().flatten()
    });
    lines.collect()
}

/// What the links that cannot be tried say: the broken one that is in their way.
pub(super) fn waits(links: &[Finding]) -> String {
    let broken = |link: &&Finding| link.is_broken();
    // An answer of the registry proves the links before it, broken ones too.
    let talk = links
        .iter()
        .filter(broken)
        .rfind(|link| ["api", "registry", "login", "location", "upload"].contains(&link.id));
    let way = || links.iter().find(|link| link.is_broken() && link.id != "protocols");
    talk.or_else(way)
        .map_or_else(|| "nothing leads there".to_owned(), |link| format!("waits for `{}`", link.id))
}
