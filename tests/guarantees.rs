//! Every sentence that promises something has a proof: `tests/guarantees` names one for each sentence with a word such as
//! "never" or "every" in README.md, docs/, the help and the files that regcert writes. A sentence without a line fails here.
//!
//! A line of that file is `PLACE | WAY | PROOF | WORDS`: the file or command (`*` for every command), whose way the proof goes,
//! where it stands, and words of the sentence. WAY is `client` (a real program uses the registry), `stand-in` (a real program, with a part made for
//! the test), `reader` (regcert's own tests read what regcert wrote), or `-` for a sentence that promises nothing of regcert's;
//! PROOF is then the reason.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read what they like.

mod common;

use std::fs;
use std::path::Path;

use common::Sandbox;

const WORDS: [&str; 11] =
    ["never", "always", "every", "only", "without", "at once", "nothing", "cannot", "held", "no", "exactly"];

/// What promises, and how people read it.
struct Sentence {
    place: String,
    text: String,
}

/// A line of `tests/guarantees`.
struct Line {
    number: usize,
    place: String,
    way: String,
    proof: String,
    words: String,
}

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|e| panic!("{path}: {e}"))
}

fn squeezed(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a word that promises stands in the sentence.
fn promises(sentence: &str) -> bool {
    let plain: String = sentence
        .to_lowercase()
        .chars()
        .map(|c| if c.is_alphanumeric() || c == '-' { c } else { ' ' })
        .collect();
    let plain = format!(" {} ", squeezed(&plain));
    WORDS.iter().any(|word| plain.contains(&format!(" {word} ")))
}

/// The sentences of a paragraph.
fn sentences(paragraph: &str) -> Vec<String> {
    let text = squeezed(paragraph);
    let mut all = vec![String::new()];
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        all.last_mut().unwrap().push(letter);
        let ends = matches!(letter, '.' | '!' | '?') && letters.peek() == Some(&' ');
        let mut rest = letters.clone();
        rest.next();
        if ends && rest.next().is_some_and(|next| next.is_uppercase() || "`*(\"".contains(next)) {
            all.push(String::new());
        }
    }
    all.into_iter().map(|sentence| sentence.trim().to_owned()).collect()
}

/// Paragraphs: blocks between empty lines; each item of a list, row of a table and option of a help on its own. Code is none.
fn paragraphs(text: &str) -> Vec<String> {
    let mut all = vec![String::new()];
    let mut code = false;
    for line in text.lines() {
        code ^= line.trim_start().starts_with("```");
        if code || line.trim_start().starts_with("```") {
            all.push(String::new());
            continue;
        }
        let begins = ["- ", "* ", "|", "#", "-"].iter().any(|mark| line.trim_start().starts_with(mark));
        if line.trim().is_empty() || begins {
            all.push(String::new());
        }
        let last = all.last_mut().unwrap();
        last.push_str(line.trim());
        last.push(' ');
    }
    all
}

/// The comments of a file, each block a paragraph; of a script those at its top, and the whole of a text for people.
fn comments(path: &Path, text: &str) -> Vec<String> {
    if path.extension().is_some_and(|extension| extension == "txt") {
        return paragraphs(text);
    }
    let is_script = path
        .extension()
        .is_some_and(|extension| ["sh", "ps1", "js"].iter().any(|script| extension == *script));
    let is_top = |line: &&str| line.is_empty() || line.starts_with('#') || line.starts_with("//");
    let mut all = vec![String::new()];
    for line in text.lines().map(str::trim).take_while(|line| !is_script || is_top(line)) {
        match ["# ", "// ", "#\t"].iter().find_map(|mark| line.strip_prefix(mark)) {
            // Lines for a linter.
            Some(said) if !said.starts_with("shellcheck") => {
                let last = all.last_mut().unwrap();
                last.push_str(said);
                last.push(' ');
            }
            Some(_) | None => all.push(String::new()),
        }
    }
    all
}

fn files_below(directory: &str) -> Vec<String> {
    let mut all = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path().to_str().unwrap().to_owned();
        if entry.file_type().unwrap().is_dir() { all.extend(files_below(&path)) } else { all.push(path) }
    }
    all.sort();
    all
}

/// The words after `regcert` of every command.
fn commands(sandbox: &Sandbox) -> Vec<String> {
    let below = |command: &str| {
        let help = sandbox.ok(&format!("regcert {command} --help"));
        let list = help.split("Commands:\n").nth(1).unwrap_or_default().to_owned();
        let names = list.lines().take_while(|line| line.starts_with("  "));
        let names = names.filter_map(|line| {
            line.strip_prefix("  ")
                .filter(|name| !name.starts_with(' '))?
                .split_whitespace()
                .next()
                .map(str::to_owned)
        });
        names.filter(|name| name != "help").collect::<Vec<_>>()
    };
    let first = below("");
    let second = below("trust").into_iter().map(|name| format!("trust {name}"));
    first.into_iter().chain(second).collect()
}

fn promised() -> Vec<Sentence> {
    let mut all = Vec::new();
    let mut add = |place: &str, paragraphs: Vec<String>| {
        for text in paragraphs.iter().flat_map(|paragraph| sentences(paragraph)).filter(|text| promises(text))
        {
            all.push(Sentence { place: place.to_owned(), text });
        }
    };
    add("README.md", paragraphs(&read("README.md")));
    files_below("docs").iter().for_each(|path| add(path, paragraphs(&read(path))));
    let sandbox = Sandbox::new();
    for command in commands(&sandbox) {
        let help = sandbox.ok(&format!("regcert {command} --help"));
        add(&command, paragraphs(help.split("Examples:").next().unwrap()));
    }
    sandbox.ok("regcert init");
    let settings = sandbox.path().join("registry/regcert.toml");
    add("regcert.toml", comments(&settings, &fs::read_to_string(&settings).unwrap()));
    for path in files_below("templates") {
        if let Ok(text) = fs::read_to_string(&path) {
            add(&path, comments(Path::new(&path), &text));
        }
    }
    all
}

fn lines() -> Vec<Line> {
    let text = read("tests/guarantees");
    let said = text.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    said.map(|(number, line)| {
        let parts: Vec<_> = line.splitn(4, " | ").map(str::trim).collect();
        let [place, way, proof, words] = parts[..] else {
            panic!("tests/guarantees:{}: not PLACE | WAY | PROOF | WORDS", number + 1);
        };
        let [place, way, proof, words] = [place, way, proof, words].map(str::to_owned);
        Line { number: number + 1, place, way, proof, words }
    })
    .collect()
}

/// Whether the proof is there: `e2e/SCENARIO: WORDS OF A CLAIM`, `FILE::FUNCTION` of Rust, or the path of a case.
fn is_there(proof: &str) -> bool {
    if let Some((scenario, claim)) = proof.strip_prefix("e2e/").and_then(|rest| rest.split_once(": ")) {
        let path = format!("tests/e2e/scenarios/{scenario}");
        return fs::read_to_string(path).is_ok_and(|text| text.contains(claim));
    }
    match proof.split_once("::") {
        Some((file, function)) => {
            fs::read_to_string(file).is_ok_and(|text| text.contains(&format!("fn {function}(")))
        }
        None => Path::new(proof).exists(),
    }
}

#[test]
fn every_promise_has_its_proof() {
    let (promised, lines) = (promised(), lines());
    let mut wrong = Vec::new();
    let is_place =
        |line: &Line, place: &str| line.place == place || (line.place == "*" && !place.contains(['/', '.']));
    let fits = |line: &Line, sentence: &Sentence| {
        is_place(line, &sentence.place) && sentence.text.contains(&line.words)
    };
    for sentence in promised.iter().filter(|sentence| !lines.iter().any(|line| fits(line, sentence))) {
        wrong.push(format!("no line for: {} | | | {}", sentence.place, sentence.text));
    }
    for line in &lines {
        let Line { number, place, way, proof, words } = line;
        if !promised.iter().any(|sentence| fits(line, sentence)) {
            wrong.push(format!("tests/guarantees:{number}: {place} does not say `{words}`"));
        }
        match way.as_str() {
            "client" | "stand-in" | "reader" if !is_there(proof) => {
                wrong.push(format!("tests/guarantees:{number}: there is no `{proof}`"));
            }
            "client" | "stand-in" | "reader" | "-" => {}
            _ => wrong.push(format!("tests/guarantees:{number}: `{way}` is no way")),
        }
    }
    assert!(wrong.is_empty(), "{}\n{} sentences", wrong.join("\n"), promised.len());
}

#[test]
fn a_sentence_ends_where_the_next_begins() {
    let text = "It never stops. `init` does; e.g. here. Every\nword counts.";
    assert_eq!(sentences(text), ["It never stops.", "`init` does; e.g. here.", "Every word counts."]);
    assert!(promises("None, at once.") && !promises("It is not known."));
}
