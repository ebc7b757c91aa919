//! Words that hide who does something stand nowhere in the repository.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read what they like.

use std::fs;
use std::path::Path;

/// In two halves, so that this file has none of them.
const BANNED: [(&str, &str); 4] = [("some", "body"), ("no", "body"), ("who", "ever"), ("an", "ew")];

/// Every line below `directory` that has a banned word, with its place.
fn lines(directory: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let (path, kind) = (entry.path(), entry.file_type().unwrap());
        let is_made = ["target", ".git"].iter().any(|made| path.ends_with(made));
        if kind.is_dir() && !is_made {
            lines(&path, found);
        } else if kind.is_file()
            && let Ok(text) = fs::read_to_string(&path)
        {
            let with = text.lines().enumerate().filter(|(_, line)| has_banned_word(line));
            found.extend(with.map(|(n, line)| format!("{}:{}: {}", path.display(), n + 1, line.trim())));
        }
    }
}

fn has_banned_word(line: &str) -> bool {
    // The user of that name in /etc/passwd is called so by the system.
    let line = line.to_lowercase().replace(&format!("no{}:x:65534:65534:no{}", "body", "body"), "");
    let mut words = line.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.any(|word| BANNED.iter().any(|(start, end)| word == format!("{start}{end}")))
}

#[test]
fn no_sentence_hides_its_subject() {
    let mut found = Vec::new();
    lines(Path::new(env!("CARGO_MANIFEST_DIR")), &mut found);
    assert!(found.is_empty(), "{} lines:\n{}", found.len(), found.join("\n"));
}

#[test]
fn a_banned_word_is_found() {
    for (start, end) in BANNED {
        assert!(has_banned_word(&format!("// {start}{end}'s file")));
        assert!(has_banned_word(&format!("{}{end}:", start.to_uppercase())));
    }
    assert!(!has_banned_word("a new one, renewed"));
}
