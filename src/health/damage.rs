//! Findings about existing files that do not work: unreadable edits, users without a password, and settings that are
//! not applied. Pure: the caller passes in the files as bytes.

use super::finding::{Finding, State};
use crate::deployment::{APPLY, Deployment, Issuer};
use crate::files::{Part, utf8};
use crate::front::directives_end;
use crate::names::{PROJECT_NAME, printable, project_name, visible};
use crate::takeover::document;

/// Reports edited files that the program using them cannot read. These findings replace all others about the same
/// files.
pub fn damage(deployment: &Deployment, edited: &[(String, Vec<u8>)], findings: &mut Vec<Finding>) {
    for (path, bytes) in edited.iter().filter(|(path, _)| Part::of(path) != Part::ClientTrust) {
        let Some(why) = unreadable(deployment, path, bytes) else {
            continue;
        };
        findings.retain(|finding| finding.place != *path);
        let state = if Part::of(path).only_informs() { State::Due } else { State::Broken };
        let hint =
            "correct it, or run `regcert init --force`, which rewrites each file that was edited by hand";
        let message = format!("edited by hand, and damaged: {why}");
        findings.push(Finding::new("file", state, message, hint).at(path));
    }
}

/// The reason why nginx cannot read a file.
const NO_END: &str = "a directive or a block in it has no end";

/// Reports the user's own file if nginx cannot read it. Only the user can correct the file.
pub fn own_damage(path: &str, text: &str) -> Option<Finding> {
    (!directives_end(text)).then(|| {
        let hint = "correct it: regcert never rewrites this file";
        Finding::new("file", State::Broken, format!("damaged: {NO_END}"), hint).at(path)
    })
}

/// Returns the reason why the program that uses the file cannot read it; `None` if it can.
fn unreadable(deployment: &Deployment, path: &str, bytes: &[u8]) -> Option<String> {
    let Some(text) = utf8(bytes).ok().and_then(|bytes| std::str::from_utf8(bytes).ok()) else {
        return Some("it is not UTF-8 text".to_owned());
    };
    if text.trim().is_empty() {
        return Some("it is empty".to_owned());
    }
    if Part::of(path) == Part::EngineName {
        let project = deployment.state.project.as_ref()?;
        let why = format!(
            "it does not have `{PROJECT_NAME}={}`, by which Compose finds the containers",
            project.name
        );
        return (project_name(text).as_ref() != Some(&project.name)).then_some(why);
    }
    match path.rsplit_once('.').map(|(_, extension)| extension) {
        Some("yml") => match document(text) {
            Ok(document) if document.as_mapping().is_some() => None,
            Ok(_) => Some("it is not a mapping in YAML".to_owned()),
            Err(fault) => Some(visible(&fault.message)),
        },
        Some("conf") => (!directives_end(text)).then(|| NO_END.to_owned()),
        Some("crt" | "crl") => (!text.contains("-----BEGIN ")).then(|| "it holds nothing in PEM".to_owned()),
        Some(_) | None => None,
    }
}

/// Reports edits of regcert.toml that are not applied. If `is_unknown`, the settings in use are unknown.
pub fn unapplied(deployment: &Deployment, is_unknown: bool) -> Option<Finding> {
    let changed: Vec<_> = deployment
        .unapplied()
        .into_iter()
        .map(|(key, in_force, wanted)| format!("`{key}` is {wanted} there, and {in_force} in force"))
        .collect();
    if changed.is_empty() && !is_unknown {
        return None;
    }
    let mut message = "it was changed and not applied yet".to_owned();
    if !changed.is_empty() {
        message = format!("{message}: {}", visible(&changed.join("; ")));
    }
    let covered = deployment.covers();
    let lacks = deployment.asked().names().iter().any(|name| !covered.contains(&name.to_string()));
    let hint = match (&deployment.issuer, lacks, &deployment.pending) {
        (Issuer::External { .. }, true, Some(_)) => format!(
            "have `{}` signed, and run `regcert import-cert FILE`, which applies the names",
            deployment.request_path()
        ),
        (Issuer::External { .. }, true, None) => {
            "run `regcert csr`, have the request signed, and run `regcert import-cert FILE`, which applies the names".to_owned()
        }
        (Issuer::External { .. } | Issuer::Own { .. }, ..) => {
            let back = if is_unknown {
                ""
            } else {
                ". To take the edit back, remove regcert.toml first: the command then writes the settings in force"
            };
            format!("{APPLY}{back}")
        }
    };
    Some(Finding::due("settings", message, hint).at("regcert.toml"))
}

/// Reports users who have a role but no line in the password file.
pub fn lost_users(deployment: &Deployment) -> Vec<Finding> {
    let finding = |(name, path, words): (String, String, String)| {
        let name = printable(&name);
        let message = format!("`{name}` has a role and no line in the file, and cannot log in");
        let hint = format!(
            "run `regcert add-user {words}`, which gives another password; or `regcert remove-user {name}`"
        );
        Finding::due("users", message, hint).at(path)
    };
    deployment.lost_users().into_iter().map(finding).collect()
}

/// Reports that the stored digests, which reveal edits by hand, do not belong to this directory.
pub fn lost_digests(path: &str) -> Finding {
    let message = "missing, damaged or another registry's: an edit by hand cannot be told from an old file";
    Finding::due("digests", message, "run `regcert init`, which writes it again; nothing is lost").at(path)
}
