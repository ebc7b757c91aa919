//! The commands that regcert prints, as they run from where the person stands: with the program as the person called
//! it, its -C, paths below the current directory, and what root must do through sudo.

use std::path::{Path, PathBuf};

use crate::names::shell;
use crate::probe::{self, Compose};

/// Where sudo and su find programs (sudoers(5) `secure_path` and login.defs(5) `ENV_SUPATH` on Debian).
const FOUND_BY_ROOT: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// What Compose reads beside docker-compose.yml: the user's own.
pub const OVERRIDE: &str = "docker-compose.override.yml";

/// How a command runs as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsRoot {
    /// Root runs regcert.
    Already,
    /// By `sudo`.
    Sudo,
    /// By `su`, where there is no `sudo`.
    Su,
}

/// What the commands depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The first word of regcert's own command line.
    pub typed: String,
    /// Where regcert lies.
    pub program: PathBuf,
    /// The registry's directory.
    pub dir: PathBuf,
    /// Whether regcert finds that directory without -C.
    pub finds_dir: bool,
    /// How a command runs as root.
    pub as_root: AsRoot,
    /// How `docker` reaches its daemon: as anybody, or only as root.
    pub docker: AsRoot,
    /// The command that runs Docker Compose.
    pub compose: Compose,
    /// Whether there is a docker-compose.override.yml, which Compose reads by itself only in its own directory.
    pub overrides: bool,
}

impl Words {
    /// A file of the registry, as a path from where the person stands.
    pub fn path(&self, path: &str) -> String {
        let path = if self.dir == Path::new(".") && !path.is_empty() {
            PathBuf::from(path)
        } else if path.is_empty() {
            self.dir.clone()
        } else {
            self.dir.join(path)
        };
        shell(&path.display().to_string())
    }

    /// `regcert` with its -C, where one is needed: what other words follow.
    pub fn regcert(&self) -> String {
        self.called(&shell(&self.typed))
    }

    fn called(&self, program: &str) -> String {
        if self.finds_dir {
            return program.to_owned();
        }
        format!("{program} -C {}", shell(&self.dir.display().to_string()))
    }

    /// `regcert WORDS` by root.
    pub fn regcert_as_root(&self, words: &str) -> String {
        let is_found = |dir: &Path| FOUND_BY_ROOT.iter().any(|found| dir == Path::new(found));
        let by_path = !self.typed.contains('/');
        let program =
            if by_path && self.as_root != AsRoot::Already && !self.program.parent().is_some_and(is_found) {
                shell(&self.program.display().to_string())
            } else {
                shell(&self.typed)
            };
        prefixed(self.as_root, &format!("{} {words}", self.called(&program)))
    }

    /// `COMMAND` by root.
    pub fn by_root(&self, command: &str) -> String {
        prefixed(self.as_root, command)
    }

    /// Puts this user into the group that may use `docker`.
    pub fn join_docker(&self) -> String {
        let command = r#"usermod -aG docker "$(id -un)""#;
        match self.as_root {
            AsRoot::Already | AsRoot::Sudo => prefixed(self.as_root, command),
            // The user's own shell must fill in the name.
            AsRoot::Su => r#"su -c "usermod -aG docker $(id -un)""#.to_owned(),
        }
    }

    /// `docker WORDS`, with sudo where that is needed.
    pub fn docker(&self, words: &str) -> String {
        prefixed(self.docker, &format!("{} {words}", probe::engine()))
    }

    /// Docker Compose on this registry, from where the person stands.
    pub fn compose(&self, words: &str) -> String {
        let compose = if self.dir == Path::new(".") {
            self.compose.to_string()
        } else {
            let more = if self.overrides { format!(" -f {}", self.path(OVERRIDE)) } else { String::new() };
            format!("{} -f {}{more}", self.compose, self.path("docker-compose.yml"))
        };
        prefixed(self.docker, &format!("{compose} {words}"))
    }

    /// `text` with its commands in back-ticks, which name no directory, as this person can type them.
    pub fn complete(&self, text: &str) -> String {
        // Text and commands alternate; only a command has words to complete.
        let part =
            |(n, part): (usize, &str)| if n % 2 == 1 { self.each_command(part) } else { part.to_owned() };
        text.split('`').enumerate().map(part).collect::<Vec<_>>().join("`")
    }

    /// The same for what stands between two back-ticks: one command, or several with `&&` or `;` between them.
    fn each_command(&self, part: &str) -> String {
        // What runs in another directory is meant for the files there: an old registry is stopped by its own Compose file.
        if part.trim_start_matches('(').starts_with("cd ") {
            return part.to_owned();
        }
        let between = |separator: &str, complete: &dyn Fn(&str) -> String, text: &str| {
            text.split(separator).map(complete).collect::<Vec<_>>().join(separator)
        };
        between(" && ", &|text| between("; ", &|command| self.command(command), text), part)
    }

    fn command(&self, command: &str) -> String {
        let compose = format!("{} ", self.compose);
        let (sudo, bare) = command.strip_prefix("sudo ").map_or((false, command), |bare| (true, bare));
        match (bare.strip_prefix("regcert "), bare.strip_prefix(&compose)) {
            // A takeover into the named directory would be another one.
            (Some(words), _) if words.starts_with("-C ") || words.starts_with("init --from ") => {
                if sudo {
                    command.to_owned()
                } else {
                    format!("{} {words}", shell(&self.typed))
                }
            }
            (Some(words), _) if sudo => self.regcert_as_root(words),
            (Some(words), _) => format!("{} {words}", self.regcert()),
            (None, Some(words)) => self.compose(words),
            (None, None) if sudo => self.by_root(bare),
            (None, None) => command.to_owned(),
        }
    }
}

fn prefixed(as_root: AsRoot, command: &str) -> String {
    match as_root {
        AsRoot::Already => command.to_owned(),
        AsRoot::Sudo => format!("sudo {command}"),
        AsRoot::Su => format!("su -c {}", shell(command)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(as_root: AsRoot) -> Words {
        Words {
            typed: "regcert".to_owned(),
            program: "/usr/local/bin/regcert".into(),
            dir: "registry".into(),
            finds_dir: true,
            as_root,
            docker: AsRoot::Already,
            compose: Compose::Plugin,
            overrides: false,
        }
    }

    #[test]
    fn what_is_found_needs_no_more_words() {
        let words = words(AsRoot::Already);
        assert_eq!(words.regcert(), "regcert");
        assert_eq!(words.regcert_as_root("trust install"), "regcert trust install");
        assert_eq!(words.path("trust/install.sh"), "registry/trust/install.sh");
        assert_eq!(words.compose("up -d"), "docker compose -f registry/docker-compose.yml up -d");
        assert_eq!(
            Words { overrides: true, ..words.clone() }.compose("up -d"),
            "docker compose -f registry/docker-compose.yml -f registry/docker-compose.override.yml up -d"
        );
    }

    #[test]
    fn the_directory_one_stands_in_has_no_name() {
        let words = Words { dir: ".".into(), ..words(AsRoot::Sudo) };
        assert_eq!(words.path("trust/install.sh"), "trust/install.sh");
        assert_eq!(words.compose("up -d"), "docker compose up -d");
    }

    #[test]
    fn commands_in_back_ticks_are_completed() {
        let there = Words { finds_dir: false, docker: AsRoot::Sudo, ..words(AsRoot::Sudo) };
        assert_eq!(
            there.complete("regcert `regcert -C x init`, `regcert init --force`, or `docker compose up -d`; docker compose"),
            "regcert `regcert -C x init`, `regcert -C registry init --force`, or \
             `sudo docker compose -f registry/docker-compose.yml up -d`; docker compose"
        );
        assert_eq!(words(AsRoot::Sudo).complete("`regcert init` and `x`"), "`regcert init` and `x`");
        for (as_root, chown) in [
            (AsRoot::Already, "`chown 1:1 data && x`"),
            (AsRoot::Sudo, "`sudo chown 1:1 data && x`"),
            (AsRoot::Su, "`su -c 'chown 1:1 data' && x`"),
        ] {
            assert_eq!(words(as_root).complete("`sudo chown 1:1 data && x`"), chown);
        }
        let elsewhere = "`(cd /srv/old && docker compose down)`";
        assert_eq!(there.complete(elsewhere), elsewhere);
    }

    #[test]
    fn another_directory_is_named_and_quoted() {
        let words = Words {
            dir: "my registry".into(),
            finds_dir: false,
            docker: AsRoot::Sudo,
            compose: Compose::Standalone,
            ..words(AsRoot::Su)
        };
        assert_eq!(words.regcert(), "regcert -C 'my registry'");
        assert_eq!(words.regcert_as_root("status"), r"su -c 'regcert -C '\''my registry'\'' status'");
        assert_eq!(words.compose("up -d"), "sudo docker-compose -f 'my registry/docker-compose.yml' up -d");
        assert_eq!(words.join_docker(), r#"su -c "usermod -aG docker $(id -un)""#);
    }

    /// `sudo` has a PATH of its own.
    #[test]
    fn root_finds_a_program_that_only_the_person_has_on_the_path() {
        let words = Words { program: "/home/bob/.cargo/bin/regcert".into(), ..words(AsRoot::Sudo) };
        assert_eq!(words.regcert(), "regcert");
        assert_eq!(words.regcert_as_root("trust install"), "sudo /home/bob/.cargo/bin/regcert trust install");
        let words = Words { typed: "./regcert".to_owned(), ..words };
        assert_eq!(words.regcert_as_root("trust install"), "sudo ./regcert trust install");
    }
}
