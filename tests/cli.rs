//! What every command prints and where, word for word: each `tests/cmd/<topic>/<claim>.console` is run in a directory of
//! its own and compared whole. `SNAPSHOTS=overwrite cargo test --test cli` rewrites them.
//!
//! In a case, `$ ` begins a line for `sh`; `1| ` is stdout, `2| ` is stderr, `? ` is an exit code other than 0. `# ` is a
//! remark. No other program of the machine is found than the few that `TOOLS` names.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::{Sandbox, redact};
use snapbox::{Assert, Data};

/// The transcript of `script` as it comes out here.
fn transcript(script: &str) -> String {
    let sandbox = Sandbox::new();
    let mut out = String::new();
    for line in script.lines() {
        let Some(command) = line.strip_prefix("$ ") else {
            if line.is_empty() || line.starts_with("# ") {
                out += &format!("{line}\n");
            }
            continue;
        };
        let output = sandbox.sh(command);
        out += &format!("$ {command}\n");
        for (mark, text) in [("1|", &output.stdout), ("2|", &output.stderr)] {
            let text = redact(&String::from_utf8_lossy(text), sandbox.path());
            out.extend(text.lines().map(|line| format!("{mark} {line}").trim_end().to_owned() + "\n"));
        }
        let code = output.status.code().expect("no signal ends regcert");
        if code != 0 {
            out += &format!("? {code}\n");
        }
    }
    out
}

fn cases(topic: &str) -> Vec<PathBuf> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd").join(topic);
    let mut cases: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    cases.sort();
    assert!(!cases.is_empty());
    cases
}

fn compare(topic: &str) {
    let cases = cases(topic);
    let difference = |case: &PathBuf| {
        let expected = Data::read_from(case, None).raw();
        let actual = transcript(&fs::read_to_string(case).unwrap());
        let name = case.display().to_string();
        Assert::new().action_env("SNAPSHOTS").try_eq(Some(&name), actual.into(), expected).err()
    };
    // Half of the time is waiting for the disk.
    let differences: String = std::thread::scope(|scope| {
        let part = |cases: &[PathBuf]| {
            cases.iter().filter_map(difference).map(|e| e.to_string()).collect::<String>()
        };
        let threads: Vec<_> =
            cases.chunks(cases.len().div_ceil(3)).map(|cases| scope.spawn(move || part(cases))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(differences.is_empty(), "{differences}");
}

macro_rules! topics {
    ($($name:ident)*) => {
        $(#[test] fn $name() { compare(stringify!($name)) })*

        #[test]
        fn every_topic_is_run() {
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
            let mut topics: Vec<_> =
                fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            topics.sort();
            assert_eq!(topics, [$(stringify!($name)),*]);
        }
    };
}

/// A tool that fails in a case compares or removes what is not there, and the case shows less than it seems to. That `ls`
/// finds nothing is an answer.
#[test]
fn no_case_shows_an_error_of_another_program() {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cmd");
    let topics = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    for case in topics.flat_map(|topic| cases(&topic)) {
        for line in fs::read_to_string(&case).unwrap().lines() {
            let said = line.strip_prefix("2| ").and_then(|said| said.split_once(':'));
            let is_tool = said.is_some_and(|(program, _)| {
                (common::TOOLS.contains(&program) && program != "ls") || program == "/bin/sh"
            });
            assert!(!is_tool, "{}: {line}", case.display());
        }
    }
}

topics! { add_user check command_line delete directory gc images import_cert init list_users options password quiet regcert_toml reload remove_user rotate sign status takeover trust trust_install years }
