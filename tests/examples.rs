//! Every example works: each line under `Examples:` in a help text, and each command in README.md and docs/, runs in a
//! directory of its own. Every option and every test that docs/ names exists.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use common::{Sandbox, redact};
use snapbox::{Assert, Data};

/// Lines of README.md that need what is not here: Docker, a package manager, a compiler. The end-to-end tests run them.
const ELSEWHERE: [&str; 10] = [
    "sudo sh install.sh",
    "sudo sh install.sh --fingerprint 25:93:42:…",
    "sudo sh install.sh --uninstall",
    "sh install.sh --check",
    "regcert trust install",
    "docker pull registry:3 && docker pull nginx:stable-alpine",
    "docker save registry:3 nginx:stable-alpine | gzip >images.tar.gz",
    "docker load -i images.tar.gz",
    "./quickstart --cert-domain myhouse.local --registry-server-name registry1",
    "./tests/run",
];

/// What `--reload` says where there is no Docker, after it has done the rest.
const NO_DOCKER: &str = "\
error: `docker` is not installed here
hint: install it, or run this where the registry runs: https://docs.docker.com/engine/install/ (Debian 13 has it in the package docker-cli)
";

/// The files and the state that examples take for granted, made by regcert itself in directories beside the registry.
fn prepare(sandbox: &Sandbox, line: &str) {
    sandbox.ok("echo secret > bob.txt; echo 'a passphrase' > passphrase.txt; echo me:secret > hub.txt");
    sandbox.ok("echo 'Authorization: Bearer x' > headers.txt; chmod 600 headers.txt");
    if line.contains("--from") {
        let old = "docker-registry-self-signed";
        sandbox.ok("regcert -C made init --registry-server-name registry1 --cert-domain myhouse.local");
        sandbox.ok(&format!("mkdir -p {old}/certs {old}/auth {old}/data; touch {old}/certs/domain.key; cp made/nginx/ssl/*.crt {old}/certs/domain.crt; cp made/nginx/auth/registry.passwd {old}/auth/htpasswd; cp made/root-cert/root-cert-* {old}/certs/"));
    }
    if line.contains("ca-key.pem") || line.contains("signed.pem") {
        sandbox.ok("regcert -C theirs init --registry-server-name registry1 --cert-domain myhouse.local --san registry.local.priv --san registry");
        sandbox.ok("cp theirs/root-cert/*.crt ca.pem; cp theirs/root-cert/*.crt their-root.pem; cp theirs/root-cert/*.key ca-key.pem");
    }
    if line.contains("signed.pem") {
        sandbox.ok("regcert csr && regcert -C theirs sign registry/request/*.csr > signed.pem");
        // Without --ca-cert the root comes in the same file.
        sandbox.ok("cat their-root.pem >> signed.pem");
    }
    if line.contains("other.csr") {
        sandbox.ok("regcert -C other init --external-ca --registry-server-name registry1 --cert-domain myhouse.local");
        sandbox.ok("cp other/request/*.csr other.csr");
    }
    if line.starts_with("regcert sign") && !sandbox.ok("cat registry/regcert.toml").contains("myhouse") {
        sandbox.ok(
            "rm -r registry && regcert init --registry-server-name registry1 --cert-domain myhouse.local",
        );
    }
    if line.contains("--finish") {
        sandbox.ok("regcert rotate --ca");
    }
    if line.starts_with("regcert revoke") {
        sandbox.ok("regcert add-client laptop7 && regcert init --client-auth required");
    }
    if line.starts_with("regcert trust pull-secret") {
        sandbox.ok("regcert add-user bob --password-file bob.txt");
    }
    if line.contains("upstream.pem") {
        sandbox.ok("regcert -C theirs init && cp theirs/root-cert/*.crt upstream.pem");
    }
    if line.contains("root.crt") {
        sandbox.ok("cp registry/root-cert/*.crt root.crt");
    }
    if line.starts_with("regcert remove-user") {
        sandbox.ok("echo secret | regcert add-user bob --password-stdin");
    }
}

/// Runs an example; `registry` says whether one is there already.
fn run(sandbox: &Sandbox, line: &str) {
    // An absolute path would leave the sandbox: shown is enough.
    let line = if line.contains(" /") {
        line.replace("regcert init", "regcert init --dry-run")
    } else {
        line.into()
    };
    // Nothing listens below the ports that the system hands out, and that is what it says.
    if line.starts_with("regcert check") {
        sandbox.ok("rm -r registry && regcert init --registry-server-name 127.0.0.1 --https-port 1");
        let output = sandbox.sh(&line.replace("registry1.myhouse.local:5443", "127.0.0.1:1"));
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(3), "`{line}`: {}", String::from_utf8_lossy(&output.stderr));
        assert!(said.contains("as a client sees it") || said.starts_with('{'), "`{line}`: {said}");
        return;
    }
    // There is no terminal to ask on for a password, and nothing listens.
    if line.starts_with("regcert images") || line.starts_with("regcert delete") {
        sandbox.ok("rm -r registry && regcert init --registry-server-name 127.0.0.1 --https-port 1");
        let stderr = sandbox.fails(1, &line.replace("registry1.myhouse.local:5443", "127.0.0.1:1"));
        let has_password = line.contains("--password");
        let expected = if has_password {
            "connection refused\nhint:"
        } else {
            "--password-stdin` or `--password-file FILE`\n"
        };
        assert!(stderr.contains(expected), "`{line}`: {stderr}");
        return;
    }
    // `--if-due` has nothing to reload in a registry made a moment ago.
    if line.starts_with("regcert gc") || (line.contains("--reload") && !line.contains("--if-due")) {
        let stderr = sandbox.fails(1, &line);
        assert!(stderr.ends_with(NO_DOCKER), "`{line}`: {stderr}");
    } else {
        sandbox.ok(&line);
    }
}

fn examples(help: &str) -> Vec<&str> {
    let lines = help.lines().skip_while(|line| *line != "Examples:").skip(1);
    lines.map_while(|line| line.strip_prefix("  ")).collect()
}

#[test]
fn every_example_of_a_help_text_works() {
    let help = Sandbox::new().ok("regcert --help");
    let commands = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let commands = commands.map_while(|line| line.strip_prefix("  ")?.split_whitespace().next());
    let mut count = 0;
    for command in commands.filter(|command| *command != "help").chain(["", "trust pull-secret"]) {
        let help = Sandbox::new().ok(&format!("regcert {command} --help"));
        let examples = examples(&help);
        assert!(!examples.is_empty(), "`regcert {command} --help` shows no example");
        for example in examples {
            let sandbox = Sandbox::new();
            if !example.starts_with("regcert init") || example.contains("--reload") {
                sandbox.ok("regcert init");
            }
            prepare(&sandbox, example);
            run(&sandbox, example);
            count += 1;
        }
    }
    assert!(count >= 14, "{count} examples");
}

/// The fenced blocks of README.md in the language `language`.
fn blocks(readme: &str, language: &str) -> Vec<String> {
    let begin = format!("```{language}");
    let mut blocks: Vec<String> = Vec::new();
    let mut open = false;
    for line in readme.lines() {
        match (open, line == begin, line == "```") {
            (false, true, _) => {
                blocks.push(String::new());
                open = true;
            }
            (true, _, true) => open = false,
            (true, ..) => *blocks.last_mut().unwrap() += &format!("{line}\n"),
            (false, false, _) => {}
        }
    }
    blocks
}

fn of_the_repository(path: &str) -> String {
    std::fs::read_to_string(std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn readme() -> String {
    of_the_repository("README.md")
}

fn coming_from_gen_config() -> String {
    of_the_repository("docs/coming-from-gen-config.md")
}

/// The texts between back-ticks.
fn quoted(text: &str) -> Vec<&str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2)).collect()
}

#[test]
fn a_session_in_the_readme_prints_what_it_shows() {
    for block in blocks(&readme(), "console") {
        let sandbox = Sandbox::new();
        let mut actual = String::new();
        for command in block.lines().filter_map(|line| line.strip_prefix("$ ")) {
            let output = sandbox.sh(command);
            assert!(output.status.success(), "`{command}`");
            let said = [output.stderr, output.stdout].concat();
            actual += &format!("$ {command}\n{}", String::from_utf8(said).unwrap());
        }
        let actual = redact(&actual, sandbox.path());
        // `…` on a line of its own stands for any lines, as everywhere in documentation.
        let expected = redact(&block, sandbox.path()).replace("\n…\n", "\n...\n");
        Assert::new().eq(actual, Data::text(expected));
    }
}

#[test]
fn every_command_of_the_readme_works() {
    let mut elsewhere: Vec<_> = ELSEWHERE.to_vec();
    for block in [readme(), coming_from_gen_config()].iter().flat_map(|text| blocks(text, "sh")) {
        let lines = block.lines().map(|line| line.split(" #").next().unwrap_or(line).trim_end());
        for line in lines.filter(|line| !line.is_empty()) {
            if let Some(at) = elsewhere.iter().position(|known| *known == line) {
                elsewhere.remove(at);
                continue;
            }
            let sandbox = Sandbox::new();
            // A block that brings options makes a registry of its own; the others follow the session above.
            if !line.starts_with("regcert init --") || line.contains("--reload") {
                sandbox.ok("regcert init --cert-domain myhouse.local --registry-server-name registry1");
            }
            prepare(&sandbox, line);
            run(&sandbox, line);
        }
    }
    assert!(elsewhere.is_empty(), "no longer in README.md: {elsewhere:?}");
}

#[test]
fn every_option_that_the_page_for_gen_config_names_exists() {
    let sandbox = Sandbox::new();
    let page = coming_from_gen_config();
    let mut count = 0;
    // The right column of the tables and the text name regcert's own; the left column names those of the old scripts.
    let right =
        |line: &str| line.strip_prefix('|').map_or(line, |row| row.split_once('|').unwrap().1).to_owned();
    let own: String = page.lines().map(|line| right(line) + "\n").collect();
    for text in quoted(&own) {
        let is_command =
            |word: &&str| word.bytes().all(|b| b.is_ascii_lowercase() || b == b'-') && !word.starts_with('-');
        // An option alone is one of `init`.
        let command = text
            .strip_prefix("regcert ")
            .map_or("init", |rest| rest.split(' ').find(is_command).unwrap_or(""));
        let help = sandbox.ok(&format!("regcert {command} --help"));
        for option in text.split(' ').filter(|word| word.starts_with("--")) {
            let known = help.split([' ', '\n', ',']).any(|word| word == option);
            assert!(known, "`{text}`: `{option}` is not an option");
            count += 1;
        }
    }
    assert!(count >= 12, "{count} options");
}

#[test]
fn every_option_of_gen_config_is_an_option_of_init() {
    let (page, help) = (coming_from_gen_config(), Sandbox::new().ok("regcert init --help"));
    for option in [
        "docker-username",
        "docker-password",
        "cert-country-code",
        "cert-state-prov",
        "cert-company",
        "cert-domain",
        "registry-server-name",
    ] {
        assert!(page.contains(&format!("`--{option}`")), "the page lacks `--{option}`");
        assert!(help.contains(&format!("--{option} <")), "`regcert init` lacks `--{option}`");
    }
}

#[test]
fn every_test_that_the_page_for_gen_config_names_exists() {
    let page = coming_from_gen_config();
    let named: Vec<_> = quoted(&page).into_iter().filter(|text| text.starts_with("tests/")).collect();
    assert!(named.len() >= 24, "{} tests", named.len());
    for test in named {
        let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(test);
        assert!(path.exists() || path.with_extension("console").exists(), "`{test}` is missing");
    }
}
