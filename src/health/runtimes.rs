//! Reports whether the container runtimes of a machine trust a registry. Only `install.sh --check` knows the files of
//! each runtime, and what they must contain.

use super::finding::{Finding, State};

/// The names that `install.sh --check` uses for the runtimes and stores that it tests.
const KNOWN: [&str; 10] = [
    "docker",
    "rootless docker",
    "containerd",
    "nerdctl",
    "podman",
    "buildkit",
    "k3s",
    "rke2",
    "microk8s",
    "system store",
];

/// Converts the output of `install.sh --check` on this machine. An error is the reason why the script could not run.
pub fn runtimes(told: Result<String, String>) -> Vec<Finding> {
    match told {
        Ok(told) => told.lines().filter_map(finding).collect(),
        Err(why) => vec![Finding::not_tried("system store", format!("`install.sh --check` failed: {why}"))],
    }
}

/// Parses a line of `install.sh --check`: name, state, message and cure, separated by tabs.
fn finding(line: &str) -> Option<Finding> {
    let mut fields = line.split('\t');
    let name = fields.next()?;
    let id = KNOWN.into_iter().find(|known| *known == name)?;
    let (state, message, cure) = (fields.next()?, fields.next()?, fields.next().unwrap_or_default());
    let state = [State::Held, State::Broken].into_iter().find(|known| known.text() == state);
    Some(Finding::new(id, state.unwrap_or(State::NotTried), message, cure))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_line_of_the_script_is_a_finding() {
        let told = "docker\tbroken\tdoes not trust r.lan\trun `x`\nk3s\theld\ttrusts it by /c\t\n\
                    rke2\tnot tried\tunknown\t\nnote: something else\n";
        let found = runtimes(Ok(told.to_owned()));
        let found: Vec<_> =
            found.iter().map(|finding| (finding.id, finding.state, finding.cure.as_str())).collect();
        let expected =
            [("docker", State::Broken, "run `x`"), ("k3s", State::Held, ""), ("rke2", State::NotTried, "")];
        assert_eq!(found, expected);
        assert_eq!(runtimes(Err("no sh".to_owned()))[0].state, State::NotTried);
    }
}
