//! One row of `status` or `check`: the tested condition, the result, and the action to take.

use serde::Serialize;

/// The possible results, the most urgent first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub enum State {
    /// Clients are refused, or will be soon.
    #[serde(rename = "broken")]
    Broken,
    /// The user must act, but clients are still served.
    #[serde(rename = "due")]
    Due,
    /// Worth knowing; no action is needed.
    #[serde(rename = "note")]
    Note,
    /// No fault.
    #[serde(rename = "held")]
    Held,
    /// Not tested; the message says why.
    #[serde(rename = "not tried")]
    NotTried,
}

impl State {
    /// Returns the word that users see.
    pub fn text(self) -> &'static str {
        match self {
            Self::Broken => "broken",
            Self::Due => "due",
            Self::Note => "note",
            Self::Held => "held",
            Self::NotTried => "not tried",
        }
    }
}

/// The result of testing one condition that clients need now or later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The stable identifier of the tested condition.
    pub id: &'static str,
    pub state: State,
    pub message: String,
    /// The action to take; empty if there is none.
    pub cure: String,
    /// The file, user or certificate with the problem; empty in the findings of `check`.
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

    pub(super) fn at(self, place: impl Into<String>) -> Self {
        Self { place: place.into(), ..self }
    }

    pub fn is_broken(&self) -> bool {
        self.state == State::Broken
    }
}

/// Whether no finding requires the user to act.
pub fn are_healthy(findings: &[Finding]) -> bool {
    findings.iter().all(|finding| finding.state > State::Due)
}

/// Returns the lines for all findings from broken to note, the most urgent first, each with its cure.
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

/// Returns the reason for a skipped test: the failed test that it depends on.
pub(super) fn waits(links: &[Finding]) -> String {
    let broken = |link: &&Finding| link.is_broken();
    // An answer of the registry proves that the steps before it work, even if they were found broken.
    let talk = links
        .iter()
        .filter(broken)
        .rfind(|link| ["api", "registry", "login", "location", "upload"].contains(&link.id));
    let way = || links.iter().find(|link| link.is_broken() && link.id != "protocols");
    talk.or_else(way)
        .map_or_else(|| "nothing leads there".to_owned(), |link| format!("waits for `{}`", link.id))
}
