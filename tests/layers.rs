//! The order of the modules in `src/main.rs`'s header holds, and no file or function outgrows a reader. A longer one says
//! why in a line that begins with `// Long because`.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read what they like.

use std::fs;
use std::path::{Path, PathBuf};

/// Every Rust file below `directory`, and its text.
fn sources(directory: &str) -> Vec<(PathBuf, String)> {
    let mut sources = Vec::new();
    for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.metadata().unwrap().is_dir() {
            sources.extend(self::sources(path.to_str().unwrap()));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            sources.push((path.clone(), fs::read_to_string(path).unwrap()));
        }
    }
    sources
}

/// Without its tests, which may use what they like: each item below `#[cfg(test)]`, and nothing else.
fn program(text: &str) -> String {
    let indent = |line: &str| line.len() - line.trim_start().len();
    let (mut program, mut lines) = (String::new(), text.lines());
    while let Some(line) = lines.next() {
        if line.trim() != "#[cfg(test)]" {
            program += &format!("{line}\n");
            continue;
        }
        let mut item = lines.by_ref().skip_while(|line| line.trim().starts_with("#["));
        let first = item.next().unwrap();
        if !first.ends_with([';', '}']) {
            item.find(|line| indent(line) == indent(first) && line.trim().starts_with('}'));
        }
    }
    program
}

/// The modules of the crate that a file names: below `crate::`, or below as many `super::` as lead there.
fn used(path: &Path, text: &str) -> Vec<String> {
    let stem = path.with_extension("");
    let depth = stem.components().filter(|part| part.as_os_str() != "mod").count() - 1;
    let program = program(text);
    let (crate_, above) = ("crate::".to_owned(), "super::".repeat(depth));
    let below = |root: &str| {
        let parts = program.split(root).skip(1).map(str::to_owned).collect::<Vec<_>>();
        parts.into_iter().filter(|part| !part.starts_with("super::"))
    };
    let mut parts: Vec<_> = below(&crate_).collect();
    if depth > 0 {
        parts.extend(below(&above));
    }
    let names = |part: String| match part.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap().split(',').map(|name| name.trim().to_owned()).collect(),
        None => vec![part],
    };
    let name = |used: String| {
        let end = used.find(|c: char| !c.is_ascii_lowercase() && c != '_').unwrap_or(used.len());
        used[..end].to_owned()
    };
    parts.into_iter().flat_map(names).map(name).filter(|used| !used.is_empty()).collect()
}

#[test]
fn only_tests_are_left_out() {
    let text = "use a;\n#[cfg(test)]\nmod tests;\nuse b;\n    #[cfg(test)]\n    #[allow(x)]\n    mod tests {\n        use c;\n    }\nuse d;\n#[cfg(test)]\nfn one() {}\nuse e;\n";
    assert_eq!(program(text), "use a;\nuse b;\nuse d;\nuse e;\n");
    let uses = "use crate::{ui, probe};\nuse super::super::guide::Words;\nuse super::files::AUTH;\n";
    assert_eq!(used(Path::new("src/deployment/state.rs"), uses), ["ui", "probe", "guide"]);
    assert_eq!(used(Path::new("src/deployment/mod.rs"), "use super::ui;"), ["ui"]);
}

/// The names between the dots and arrows of the map, in its order; the same number where they stand on one level.
fn order() -> Vec<(String, usize)> {
    let main = fs::read_to_string("src/main.rs").unwrap();
    let map = main.lines().find(|line| line.contains('→')).expect("the map is in the header");
    let levels = map.trim_start_matches("//!").split(['→', '·']);
    levels.enumerate().map(|(level, name)| (name.trim().to_owned(), level)).collect()
}

#[test]
fn a_module_uses_only_those_before_it() {
    let order = order();
    let mut wrong = Vec::new();
    let level = |module: &str| order.iter().find(|(name, _)| name == module).map(|(_, level)| *level);
    for (path, text) in sources("src") {
        let inner = path.strip_prefix("src").unwrap().components().next().unwrap();
        let module = Path::new(&inner).file_stem().unwrap().to_str().unwrap().to_owned();
        let own = level(&module).unwrap_or_else(|| panic!("`{module}` is not on the map in src/main.rs"));
        for used in used(&path, &text) {
            let at = level(&used).unwrap_or_else(|| panic!("`{used}` is not on the map in src/main.rs"));
            if at >= own && used != module {
                wrong.push(format!("{} uses `{used}`, which comes after it", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// The files and folders beside `path` that it names: below `super::`.
fn siblings(text: &str, known: &[String]) -> Vec<String> {
    let program = program(text).replace("super::super::", "");
    let lists = program.split("super::").skip(1).flat_map(|part| match part.strip_prefix('{') {
        Some(list) => list.split('}').next().unwrap().split(',').map(|name| name.trim().to_owned()).collect(),
        None => vec![part.to_owned()],
    });
    let name =
        |used: String| used.split(|c: char| !c.is_ascii_lowercase() && c != '_').next().unwrap().to_owned();
    lists.map(name).filter(|name| known.contains(name)).collect()
}

#[test]
fn no_two_files_of_a_module_lean_on_each_other() {
    assert_eq!(
        siblings(
            "use super::{a, b::C};\nuse super::super::c;\nsuper::d::e()",
            &["a", "b", "c", "d"].map(str::to_owned)
        ),
        ["a", "b", "d"]
    );
    let mut wrong = Vec::new();
    let mut folders: Vec<PathBuf> =
        sources("src").into_iter().map(|(path, _)| path.parent().unwrap().to_owned()).collect();
    folders.sort();
    folders.dedup();
    for folder in folders.iter().filter(|folder| *folder != Path::new("src")) {
        let files =
            sources(folder.to_str().unwrap()).into_iter().filter(|(path, _)| path.parent() == Some(folder));
        let stem = |path: &Path| path.file_stem().unwrap().to_str().unwrap().to_owned();
        let files: Vec<_> = files
            .map(|(path, text)| (stem(&path), text))
            .filter(|(name, _)| name != "mod" && name != "tests")
            .collect();
        let names: Vec<_> = files.iter().map(|(name, _)| name.clone()).collect();
        let mut left: Vec<_> = files.iter().map(|(name, text)| (name, siblings(text, &names))).collect();
        // Those that lean on none of the others come first, until only circles are left.
        while let Some(at) = left.iter().position(|(name, used)| {
            !used.iter().any(|used| used != *name && left.iter().any(|(other, _)| *other == used))
        }) {
            left.remove(at);
        }
        if !left.is_empty() {
            wrong.push(format!("{}: {:?}", folder.display(), left));
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_file_says_what_it_owns() {
    for (path, text) in [sources("src"), sources("tests")].concat() {
        assert!(text.starts_with("//! "), "{} does not open with `//!`", path.display());
        for word in ["TODO", "FIXME", "XXX"].map(|word| format!("// {word}")) {
            assert!(
                !text.contains(&word),
                "{} holds a `{word}`: say what would settle it in an issue",
                path.display()
            );
        }
    }
}

#[test]
fn files_and_functions_have_a_size_to_be_read_in() {
    let mut wrong = Vec::new();
    for (path, text) in [sources("src"), sources("tests")].concat() {
        let program = program(&text);
        let lines: Vec<_> = program.lines().collect();
        let excused =
            |from: usize| lines[..from].iter().rev().take(8).any(|line| line.contains("// Long because"));
        let length = lines.len();
        if length > 400 && !excused(8.min(length)) {
            wrong.push(format!("{} has {length} lines", path.display()));
        }
        let mut began = None;
        for (n, line) in lines.iter().enumerate() {
            let indent = line.len() - line.trim_start().len();
            let code = line.trim_start();
            if ["fn ", "pub fn ", "pub(super) fn ", "pub(crate) fn "]
                .iter()
                .any(|begin| code.starts_with(begin))
            {
                began = Some((n, indent));
            }
            if let Some((from, _)) = began.filter(|(_, depth)| *depth == indent && code == "}") {
                let length = n + 1 - from;
                if length > 60 && !excused(from) {
                    wrong.push(format!("{}:{} has {length} lines", path.display(), from + 1));
                }
                began = None;
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
