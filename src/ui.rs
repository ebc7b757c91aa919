//! The only module that prints and asks. stdout is for data, stderr for people.
#![allow(clippy::print_stdout, clippy::print_stderr)] // The one module that may.

use std::io::{self, IsTerminal, Read, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, Result};
use dialoguer::console::Term;
use rustix::termios::{OptionalActions, tcgetattr, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;
use zeroize::Zeroizing;

use crate::auth::Password;
use crate::error::{Fault, faults};
use crate::files::{Action, Change, Part, utf8};
use crate::guide::{News, Words};
use crate::names::visible;
use crate::pki::Passphrase;

/// Whether people are told only what is wrong. Set once, before anything is said.
static QUIET: AtomicBool = AtomicBool::new(false);

/// How this person types commands. Set once, before anything is said.
static WORDS: OnceLock<Words> = OnceLock::new();

/// From now on commands in back-ticks are completed with `words`.
pub fn complete_with(words: &Words) {
    _ = WORDS.set(words.clone());
}

/// From now on only data, warnings and errors are printed. Questions are still asked, with what they are about.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether that is so.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// A line for people.
pub fn say(line: impl AsRef<str>) {
    if !is_quiet() {
        tell(line);
    }
}

/// A line for people, come what may: what is wrong, what a question is about, what must still be done for a change to
/// count.
pub fn tell(line: impl AsRef<str>) {
    let line = line.as_ref();
    print(&WORDS.get().map_or_else(|| line.to_owned(), |words| words.complete(line)));
}

fn print(line: &str) {
    // A run is not undone because its message cannot be read.
    _ = writeln!(io::stderr(), "{}", shown(line));
}

/// What is printed: lines, and in them nothing that acts on a terminal. Much of it is foreign: names in certificates and
/// password files, keys of settings, names of files, what a registry or Docker says.
fn shown(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(visible).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// What goes on while a person waits; nothing for a file or a timer.
pub fn busy(line: impl AsRef<str>) {
    if io::stderr().is_terminal() {
        say(format!("{} …", line.as_ref()));
    }
}

/// Something a person should know and can act on.
pub fn warn(message: impl AsRef<str>) {
    tell(format!("warning: {}", message.as_ref()));
}

/// Data, for the reader of stdout. A closed pipe is the reader's business; a full disk loses what was to be read.
pub fn data(text: impl AsRef<str>) -> Result<()> {
    match writeln!(io::stdout(), "{}", shown(text.as_ref())) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("the output cannot be written"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// A password that regcert made and that stands among what people are told: where they are told nothing, it is data.
pub fn made(password: Option<&str>) -> Result<()> {
    password.filter(|_| is_quiet()).map_or(Ok(()), data)
}

/// The error, part by part, each with its cure.
pub fn error(error: &anyhow::Error) {
    for Fault { message, hint } in faults(error) {
        // A command in it is one that regcert ran, by itself: only a cure is for the person to type.
        print(&format!("error: {message}"));
        if !hint.is_empty() {
            tell(format!("hint: {hint}"));
        }
    }
}

/// As `docker images` has it: powers of 1000, three digits.
#[allow(clippy::cast_precision_loss)] // Three digits are shown.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // What would be rounded to four digits is one of the next unit.
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = if unit == 0 || value >= 99.95 {
        0
    } else if value >= 9.995 {
        1
    } else {
        2
    };
    format!("{value:.digits$} {}", units[unit])
}

/// Columns below each other, two spaces apart.
pub fn table<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let row = |line: &[String; COLUMNS]| {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// What a run does or would do to the files. Unchanged ones and regcert's own notes are left out, and the many files
/// for clients are counted.
pub fn changes(change: &Change) {
    let mut lines: Vec<(Action, String, usize)> = Vec::new();
    for (path, action) in &change.actions {
        if *action == Action::Unchanged || path.part() == Part::Notes {
            continue;
        }
        // An edit by hand is named, whichever file it is in.
        let together = path.part() == Part::ClientTrust && *action != Action::EditedByHand;
        let name = if together { "trust/" } else { path.as_str() };
        match lines.iter_mut().find(|(known, line, _)| (*known, line.as_str()) == (*action, name)) {
            Some((.., files)) => *files += 1,
            None => lines.push((*action, name.to_owned(), 1)),
        }
    }
    for (action, name, files) in lines {
        let many = match (name.as_str(), files) {
            ("trust/", 1) => " (1 file)".to_owned(),
            ("trust/", files) => format!(" ({files} files)"),
            (_, _) => String::new(),
        };
        say(format!("  {:<14}  {name}{many}", action.to_string()));
    }
}

/// How many lines of an edit are shown.
const EDIT_MAX: usize = 40;

/// The edit of a file that is rewritten, line by line: `-` goes, `+` comes back.
pub fn edit(path: &str, lines: &[String]) {
    say(format!("your edit of {path}, which is overwritten:"));
    lines.iter().take(EDIT_MAX).for_each(|line| say(format!("  {line}")));
    if lines.len() > EDIT_MAX {
        say(format!("  and {} lines more", lines.len() - EDIT_MAX));
    }
}

/// What a run does or would do to users, settings and names.
pub fn news(news: &News) {
    for (action, what) in news.iter() {
        say(format!("  {:<14}  {what}", action.to_string()));
    }
}

/// Whether a person is there to be asked.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Ctrl-C at a question that hides what is typed, or the cursor, leaves a terminal that shows both again: from the first
/// question on, the terminal is put back as it was before the signal ends the run.
fn give_terminal_back() -> Result<()> {
    static DONE: AtomicBool = AtomicBool::new(false);
    if DONE.swap(true, Ordering::Relaxed) {
        return Ok(());
    }
    let before = tcgetattr(io::stdin()).context("the terminal cannot be looked at")?;
    let mut signals = Signals::new([SIGINT, SIGQUIT, SIGTERM, SIGHUP]).context("signals cannot be taken")?;
    std::thread::spawn(move || {
        for signal in signals.forever() {
            _ = tcsetattr(io::stdin(), OptionalActions::Now, &before);
            _ = Term::stderr().show_cursor();
            _ = emulate_default_handler(signal);
        }
    });
    Ok(())
}

/// Asks for a new password, twice and hidden. `None`: the person left it empty and wants one made.
pub fn ask_new_password(user: &str) -> Result<Option<Password>> {
    give_terminal_back()?;
    let ask = |prompt: String| -> Result<Zeroizing<String>> {
        let answer = dialoguer::Password::new().with_prompt(prompt).allow_empty_password(true).interact();
        answer.map(Zeroizing::new).context("the password cannot be asked for")
    };
    loop {
        let first = ask(format!("Password for {user} (leave empty to generate one)"))?;
        if first.is_empty() {
            return Ok(None);
        }
        let password = Password::new(first)?;
        if *ask("The same again".to_owned())? == password.expose() {
            return Ok(Some(password));
        }
        tell("the two passwords differ; try again");
    }
}

/// Asks for the password of an existing user, hidden.
pub fn ask_password(user: &str) -> Result<Password> {
    give_terminal_back()?;
    let answer = dialoguer::Password::new().with_prompt(format!("Password for {user}")).interact();
    Ok(Password::new(answer.map(Zeroizing::new).context("the password cannot be asked for")?)?)
}

/// Asks for the password of a user who has one, hidden. `None`: the person left it empty.
pub fn ask_password_or_none(user: &str) -> Result<Option<Password>> {
    give_terminal_back()?;
    let prompt = format!("Password for {user} (empty: do not log in)");
    let answer = dialoguer::Password::new().with_prompt(prompt).allow_empty_password(true).interact();
    let answer = answer.map(Zeroizing::new).context("the password cannot be asked for")?;
    Ok((!answer.is_empty()).then(|| Password::new(answer)).transpose()?)
}

/// Whether the person wants it; no word is no.
pub fn confirm(question: &str) -> Result<bool> {
    give_terminal_back()?;
    let prompt = dialoguer::Confirm::new().with_prompt(shown(question)).default(false).wait_for_newline(true);
    match prompt.interact() {
        // The signal is on its way, and ends the run once the terminal is as it was.
        Err(dialoguer::Error::IO(e)) if e.kind() == io::ErrorKind::Interrupted => loop {
            std::thread::park();
        },
        answer => answer.context("there is no terminal to ask on"),
    }
}

/// Asks for the passphrase of the authority's key.
pub fn ask_passphrase() -> Result<Passphrase> {
    give_terminal_back()?;
    let answer = dialoguer::Password::new().with_prompt("Passphrase of the authority's key").interact();
    let answer = answer.map(Zeroizing::new).context("the passphrase cannot be asked for")?;
    Ok(Passphrase::first_line(answer.as_bytes())?)
}

/// Asks for a new passphrase, twice.
pub fn ask_new_passphrase() -> Result<Passphrase> {
    give_terminal_back()?;
    let prompt = dialoguer::Password::new()
        .with_prompt("New passphrase for the authority's key")
        .with_confirmation("The same again", "the two differ");
    let answer = prompt.interact().map(Zeroizing::new).context("the passphrase cannot be asked for")?;
    Ok(Passphrase::first_line(answer.as_bytes())?)
}

/// Everything on stdin, for `--password-stdin`; a line is far below the limit.
pub fn stdin() -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(Vec::new());
    io::stdin().take(4096).read_to_end(&mut bytes).context("stdin cannot be read")?;
    Ok(Zeroizing::new(
        utf8(&bytes)
            .map_err(|fault| Fault { message: format!("stdin: {}", fault.message), ..fault })?
            .to_vec(),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_acts_on_the_terminal() {
        let foreign = "one\n\ttwo \u{1b}[31m\r\u{202e}\u{2067}\u{9b}\u{e0041} ü";
        let expected = "one\n\ttwo \\u001b[31m\\u000d\\u202e\\u2067\\u009b\\udb40\\udc41 ü";
        assert_eq!(shown(foreign), expected);
        let json = serde_json::json!({ "name": foreign }).to_string();
        assert_eq!(serde_json::from_str::<serde_json::Value>(&shown(&json)).unwrap()["name"], foreign);
    }

    #[test]
    fn a_size_has_three_digits() {
        for (bytes, expected) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.00 kB"),
            (9_994, "9.99 kB"),
            (9_996, "10.0 kB"),
            (99_960, "100 kB"),
            (999_400, "999 kB"),
            (999_600, "1.00 MB"),
            (3_000_123, "3.00 MB"),
            (u64::MAX, "18.4 EB"),
        ] {
            assert_eq!(size(bytes), expected);
        }
    }
}
