//! The commands that regcert prints, in a form that works in the user's current directory: with the program name that
//! the user typed, `-C` if needed, the right paths, and `sudo` for commands that need root.

use std::path::{Path, PathBuf};

use crate::names::shell;
use crate::probe::{self, Compose};

/// The directories that sudo and su search for programs (sudoers(5) `secure_path`, login.defs(5) `ENV_SUPATH` on
/// Debian).
const FOUND_BY_ROOT: [&str; 6] =
    ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// The user's own Compose file. Compose reads it in addition to docker-compose.yml.
pub const OVERRIDE: &str = "docker-compose.override.yml";

/// The way to run a command as root.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AsRoot {
    /// No prefix: the user is root.
    Already,
    /// With `sudo`.
    Sudo,
    /// With `su`, if there is no `sudo`.
    Su,
}

/// The facts that the printed commands depend on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// The name of regcert as the user typed it: the first word of the command line.
    pub typed: String,
    /// The path of the regcert program.
    pub program: PathBuf,
    /// The registry's directory.
    pub dir: PathBuf,
    /// Whether regcert finds `dir` without `-C`.
    pub finds_dir: bool,
    /// The way to run a command as root.
    pub as_root: AsRoot,
    /// The way to run `docker`; `AsRoot::Already` if this user may run it directly.
    pub docker: AsRoot,
    /// The command that runs Docker Compose.
    pub compose: Compose,
    /// Whether there is a docker-compose.override.yml. Compose ignores it if `-f` names only docker-compose.yml.
    pub overrides: bool,
}

impl Words {
    /// Returns a file of the registry as a path from the user's current directory, quoted for a shell.
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

    /// Returns `regcert`, with `-C` if needed. The caller adds the arguments.
    pub fn regcert(&self) -> String {
        self.called(&shell(&self.typed))
    }

    fn called(&self, program: &str) -> String {
        if self.finds_dir {
            return program.to_owned();
        }
        format!("{program} -C {}", shell(&self.dir.display().to_string()))
    }

    /// Returns `regcert WORDS` as a command to run as root.
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

    /// Returns `command` as a command to run as root.
    pub fn by_root(&self, command: &str) -> String {
        prefixed(self.as_root, command)
    }

    /// Returns the command that adds this user to the group that may use `docker`.
    pub fn join_docker(&self) -> String {
        let command = r#"usermod -aG docker "$(id -un)""#;
        match self.as_root {
            AsRoot::Already | AsRoot::Sudo => prefixed(self.as_root, command),
            // The user's own shell must expand `$(id -un)`: in root's shell it would give `root`.
            AsRoot::Su => r#"su -c "usermod -aG docker $(id -un)""#.to_owned(),
        }
    }

    /// Returns `docker WORDS`, with `sudo` if needed.
    pub fn docker(&self, words: &str) -> String {
        prefixed(self.docker, &format!("{} {words}", probe::engine()))
    }

    /// Returns a Docker Compose command for this registry that works in the user's current directory.
    pub fn compose(&self, words: &str) -> String {
        let compose = if self.dir == Path::new(".") {
            self.compose.to_string()
        } else {
            let more = if self.overrides { format!(" -f {}", self.path(OVERRIDE)) } else { String::new() };
            format!("{} -f {}{more}", self.compose, self.path("docker-compose.yml"))
        };
        prefixed(self.docker, &format!("{compose} {words}"))
    }

    /// Completes the commands between back-ticks in `text` for this user: with `-C`, paths and `sudo`.
    pub fn complete(&self, text: &str) -> String {
        // Every second part is a command.
        let part =
            |(n, part): (usize, &str)| if n % 2 == 1 { self.each_command(part) } else { part.to_owned() };
        text.split('`').enumerate().map(part).collect::<Vec<_>>().join("`")
    }

    /// Completes the commands between two back-ticks: one, or several separated by `&&` or `;`.
    fn each_command(&self, part: &str) -> String {
        // A command after `cd` is meant for another directory: an old registry is stopped with its own Compose file.
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
            // The command already has a `-C`, or is a takeover. In a takeover, `-C` would change the directory of the
            // new registry.
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

    /// `sudo` uses its own PATH.
    #[test]
    fn root_finds_a_program_that_only_the_person_has_on_the_path() {
        let words = Words { program: "/home/bob/.cargo/bin/regcert".into(), ..words(AsRoot::Sudo) };
        assert_eq!(words.regcert(), "regcert");
        assert_eq!(words.regcert_as_root("trust install"), "sudo /home/bob/.cargo/bin/regcert trust install");
        let words = Words { typed: "./regcert".to_owned(), ..words };
        assert_eq!(words.regcert_as_root("trust install"), "sudo ./regcert trust install");
    }
}
