//! The only module that prints and asks questions. stdout is for data, stderr for people.
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

/// Whether regcert shows only warnings and errors (`-q`). Set once, before any output.
static QUIET: AtomicBool = AtomicBool::new(false);

/// The facts that decide how regcert shows commands to this user. Set once, before any output.
static WORDS: OnceLock<Words> = OnceLock::new();

/// Makes later messages show commands in back-ticks as this user must type them.
pub fn complete_with(words: &Words) {
    _ = WORDS.set(words.clone());
}

/// Suppresses all later output except data, warnings, errors, and questions with their explanations.
pub fn be_quiet() {
    QUIET.store(true, Ordering::Relaxed);
}

/// Whether `-q` was given.
pub fn is_quiet() -> bool {
    QUIET.load(Ordering::Relaxed)
}

/// Prints a line for the user, unless `-q` was given.
pub fn say(line: impl AsRef<str>) {
    if !is_quiet() {
        tell(line);
    }
}

/// Prints a line even with `-q`: a fault, the explanation of a question, or a step without which a change has no
/// effect.
pub fn tell(line: impl AsRef<str>) {
    let line = line.as_ref();
    print(&WORDS.get().map_or_else(|| line.to_owned(), |words| words.complete(line)));
}

fn print(line: &str) {
    // A message that cannot be printed must not fail the run.
    _ = writeln!(io::stderr(), "{}", shown(line));
}

/// Escapes terminal control characters. Much of the text comes from outside: names in certificates and password
/// files, keys of settings, file names, messages of a registry or of Docker.
fn shown(text: &str) -> String {
    let line = |line: &str| line.split('\t').map(visible).collect::<Vec<_>>().join("\t");
    text.split('\n').map(line).collect::<Vec<_>>().join("\n")
}

/// Announces a slow step. Prints nothing unless stderr is a terminal.
pub fn busy(line: impl AsRef<str>) {
    if io::stderr().is_terminal() {
        say(format!("{} …", line.as_ref()));
    }
}

/// Prints a warning about something that the user can act on.
pub fn warn(message: impl AsRef<str>) {
    tell(format!("warning: {}", message.as_ref()));
}

/// Prints data to stdout. Ignores a pipe that its reader has closed. Fails on any other error, such as a full disk.
pub fn data(text: impl AsRef<str>) -> Result<()> {
    match writeln!(io::stdout(), "{}", shown(text.as_ref())) {
        Err(e) if e.kind() != io::ErrorKind::BrokenPipe => Err(e).context("the output cannot be written"),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Prints a generated password to stdout if `-q` hides the text that contains the password.
pub fn made(password: Option<&str>) -> Result<()> {
    password.filter(|_| is_quiet()).map_or(Ok(()), data)
}

/// Prints each part of the error, with its hint.
pub fn error(error: &anyhow::Error) {
    for Fault { message, hint } in faults(error) {
        // Commands in a message are those that regcert has run. Only commands in a hint are for the user to type.
        print(&format!("error: {message}"));
        if !hint.is_empty() {
            tell(format!("hint: {hint}"));
        }
    }
}

/// Formats a size as `docker images` does: in powers of 1000, with three digits.
#[allow(clippy::cast_precision_loss)] // Three digits are shown.
pub fn size(bytes: u64) -> String {
    let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    // A value that would round to four digits is shown in the next unit.
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

/// Aligns the lines in columns that are two spaces apart.
pub fn table<const COLUMNS: usize>(lines: &[[String; COLUMNS]]) -> String {
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..COLUMNS).map(width).collect();
    let row = |line: &[String; COLUMNS]| {
        let cells: Vec<_> = line.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}")).collect();
        cells.join("  ").trim_end().to_owned()
    };
    lines.iter().map(row).collect::<Vec<_>>().join("\n")
}

/// Prints the changes that a run makes, or would make, to files. Leaves out unchanged files and regcert's own state.
/// Prints only the number of the files for clients, because there are many.
pub fn changes(change: &Change) {
    let mut lines: Vec<(Action, String, usize)> = Vec::new();
    for (path, action) in &change.actions {
        if *action == Action::Unchanged || path.part() == Part::Notes {
            continue;
        }
        // A file that was edited by hand gets its own line, even below trust/.
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

/// The maximum number of lines of an edit to show.
const EDIT_MAX: usize = 40;

/// Prints the user's edit of a file that regcert overwrites. `-` marks removed lines, `+` restored lines.
pub fn edit(path: &str, lines: &[String]) {
    say(format!("your edit of {path}, which is overwritten:"));
    lines.iter().take(EDIT_MAX).for_each(|line| say(format!("  {line}")));
    if lines.len() > EDIT_MAX {
        say(format!("  and {} lines more", lines.len() - EDIT_MAX));
    }
}

/// Prints the changes that a run makes, or would make, to users, settings and names.
pub fn news(news: &News) {
    for (action, what) in news.iter() {
        say(format!("  {:<14}  {what}", action.to_string()));
    }
}

/// Whether regcert can ask questions on a terminal.
pub fn can_ask() -> bool {
    io::stdin().is_terminal() && io::stderr().is_terminal()
}

/// Makes a signal restore the terminal before the signal ends the run. Otherwise, Ctrl-C at a question could leave a
/// terminal without echo or cursor.
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

/// Asks twice for a new password, without echo. Returns `None` if the user leaves it empty to have regcert generate
/// one.
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

/// Asks for the password of an existing user, without echo.
pub fn ask_password(user: &str) -> Result<Password> {
    give_terminal_back()?;
    let answer = dialoguer::Password::new().with_prompt(format!("Password for {user}")).interact();
    Ok(Password::new(answer.map(Zeroizing::new).context("the password cannot be asked for")?)?)
}

/// Asks for the password of an existing user, without echo. Returns `None` if the user leaves it empty.
pub fn ask_password_or_none(user: &str) -> Result<Option<Password>> {
    give_terminal_back()?;
    let prompt = format!("Password for {user} (empty: do not log in)");
    let answer = dialoguer::Password::new().with_prompt(prompt).allow_empty_password(true).interact();
    let answer = answer.map(Zeroizing::new).context("the password cannot be asked for")?;
    Ok((!answer.is_empty()).then(|| Password::new(answer)).transpose()?)
}

/// Asks a yes/no question; an empty answer is no.
pub fn confirm(question: &str) -> Result<bool> {
    give_terminal_back()?;
    let prompt = dialoguer::Confirm::new().with_prompt(shown(question)).default(false).wait_for_newline(true);
    match prompt.interact() {
        // The signal handler ends the run after it has restored the terminal.
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

/// Asks twice for a new passphrase for the authority's key.
pub fn ask_new_passphrase() -> Result<Passphrase> {
    give_terminal_back()?;
    let prompt = dialoguer::Password::new()
        .with_prompt("New passphrase for the authority's key")
        .with_confirmation("The same again", "the two differ");
    let answer = prompt.interact().map(Zeroizing::new).context("the passphrase cannot be asked for")?;
    Ok(Passphrase::first_line(answer.as_bytes())?)
}

/// Reads stdin for `--password-stdin`, at most 4096 bytes, because a line is far shorter.
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
