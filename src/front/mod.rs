//! nginx in front of the registry: its configuration files and their includes, the features of a configuration on the
//! disk, and the roles in nginx's format. Pure: `render` fills the templates, `store` writes the files.

mod roles;
mod syntax;

pub use roles::map;
pub use syntax::{directives, directives_end};

use crate::auth::PasswordFiles;
use crate::files::{Change, FileSet, Part, RelPath};

/// The main configuration file of nginx.
pub const NGINX_CONF: &str = "nginx/nginx.conf";

/// Every nginx configuration file that regcert renders, in the order of inclusion.
pub const FILES: [&str; 22] = [
    NGINX_CONF,
    "nginx/http/log.conf",
    "nginx/http/tls.conf",
    "nginx/http/types.conf",
    "nginx/http/upstream.conf",
    "nginx/http/password-limits.conf",
    "nginx/http/passwords.conf",
    "nginx/http/roles.conf",
    "nginx/http/headers.conf",
    "nginx/http/blobs.conf",
    "nginx/http/health.conf",
    "nginx/http/metrics.conf",
    "nginx/http/other-names.conf",
    "nginx/http/port-80.conf",
    "nginx/http/registry.conf",
    "nginx/server/proxy.conf",
    "nginx/server/page.conf",
    "nginx/server/files.conf",
    "nginx/server/login.conf",
    "nginx/server/authorize.conf",
    "nginx/server/blobs.conf",
    "nginx/server/errors.conf",
];

/// The files for the user's own directives: one for `http`, and one for the registry's `server`.
pub const LOCAL: [&str; 2] = ["nginx/local.conf", "nginx/local.server.conf"];

/// The users' roles and repositories. nginx reads the file when it starts or reloads.
pub const ROLES: &str = "nginx/auth/registry.roles";

/// The maximum depth of includes: nginx.conf includes the registry's `server`, which includes the files in server/.
/// The limit also ends a cycle of includes.
const DEPTH_MAX: usize = 3;

/// Returns the configuration as one text: nginx.conf with each `include` replaced by the included file. `read` returns
/// the text of a file. `None` if there is no nginx.conf.
pub fn whole(read: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    read(NGINX_CONF).map(|text| in_place(&text, read, DEPTH_MAX))
}

/// Replaces each `include` of a regcert file by the text of the file, indented like the `include`.
fn in_place(text: &str, read: &dyn Fn(&str) -> Option<String>, depth: usize) -> String {
    let mut whole = String::new();
    for line in text.lines() {
        let Some(included) = included(line).filter(|_| depth > 0).and_then(read) else {
            whole += &format!("{line}\n");
            continue;
        };
        let indent = &line[..line.len() - line.trim_start().len()];
        for line in in_place(&included, read, depth - 1).lines() {
            whole += format!("{indent}{line}").trim_end();
            whole.push('\n');
        }
    }
    whole
}

/// Whether an nginx.conf includes none of regcert's files: regcert 0.1.0 or a user wrote it.
pub fn is_in_one_piece(nginx_conf: &str) -> bool {
    !nginx_conf.lines().any(|line| included(line).is_some())
}

/// Returns the regcert file that a line includes, if any.
fn included(line: &str) -> Option<&'static str> {
    let path = line.trim().strip_prefix("include /etc/")?.strip_suffix(';')?;
    FILES.into_iter().find(|file| *file == path)
}

/// Returns the whole nginx configuration in `files` as one text.
pub fn of(files: &FileSet) -> Option<String> {
    whole(&|path| files.text(path).map(str::to_owned))
}

/// Returns a temporary nginx.conf for a change that replaces several nginx files one by one. It contains the whole new
/// configuration, so nginx never loads a mixture of old and new files, even if the change is interrupted. `None` if
/// one rename makes the whole change. `on_disk` reads a file that the change leaves alone.
pub fn bridge(change: &Change, on_disk: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    let is_moved = |path: &RelPath| change.moves(path);
    let moved = change.actions.iter().filter(|(path, _)| path.part() == Part::Front && is_moved(path));
    if moved.count() < 2 || on_disk(NGINX_CONF).is_none() {
        return None;
    }
    let read = |path: &str| match RelPath::new(path).filter(is_moved) {
        Some(_) => change.files.text(path).map(str::to_owned),
        None => on_disk(path),
    };
    let after = whole(&read)?;
    (read(NGINX_CONF)? != after).then_some(after)
}

/// Whether an nginx with this configuration reads the users' roles. An old or edited configuration may not.
pub fn reads_roles(configuration: &str) -> bool {
    // In the container, the path of the file is `/etc/` followed by this path.
    configuration.contains(ROLES)
}

/// Determines the layout of the password files that an nginx with this configuration reads.
pub fn password_files(configuration: &str) -> PasswordFiles {
    // This variable contains the name of the password file, which nginx takes from the roles.
    if configuration.contains("$said_file") { PasswordFiles::ByAccess } else { PasswordFiles::OneForAll }
}

/// Whether an nginx with this configuration passes a request from inside its container to the registry.
pub fn asks_registry(configuration: &str) -> bool {
    configuration.contains("location = /registry {")
}

/// Returns the user's own file that an error message of nginx names, if any.
pub fn local_named(said: &str) -> Option<&'static str> {
    LOCAL.into_iter().find(|own| said.contains(&format!("/etc/{own}:")))
}

/// Whether the text contains any nginx directive.
pub fn says_something(text: &str) -> bool {
    !directives(text).is_empty()
}

/// Substrings of the statements that implement a setting. A setting also changes other statements, such as error
/// messages, but the setting still works if those were edited.
pub const CARRIERS: [&str; 20] = [
    "server_name ",
    "ssl_certificate ",
    "ssl_client_certificate ",
    "ssl_crl ",
    "ssl_verify_client ",
    "listen 8444 ",
    "listen 8082;",
    "8444 pull ",
    "delete nothing can be deleted",
    "set $refused ",
    "(-f $blob_link)",
    "$blob_link > ",
    "location @blob > ",
    "($server_port = 8444) > ",
    "$host > default ",
    "location / > return 308 ",
    "user root;",
    "$challenge > ",
    "$client_host > default ",
    "$default_port > ",
];

/// A hint that names the files for the user's own lines. regcert never rewrites these files.
pub const OWN_PLACE: &str = "move your own lines to `nginx/local.conf` (for `http`) or `nginx/local.server.conf` (for the registry's `server`), which nginx.conf includes and regcert never writes";

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::files::{Digests, Edits, Mode, OnDisk, Origin};

    fn set(texts: &[(&str, &str)]) -> FileSet {
        let mut files = FileSet::default();
        for (path, text) in texts {
            files.put(*path, *text, Mode::Public, Origin::Rendered);
        }
        files
    }

    #[test]
    fn includes_of_ours_are_put_in_place() {
        let files = set(&[
            (
                NGINX_CONF,
                "http {\n    include /etc/nginx/http/registry.conf;\n    include /etc/nginx/mime.types;\n}\n",
            ),
            ("nginx/http/registry.conf", "server {\n    include /etc/nginx/server/login.conf;\n}\n"),
            ("nginx/server/login.conf", "set $a b;\n# include /etc/nginx/nginx.conf;\n"),
        ]);
        assert_eq!(
            of(&files).unwrap(),
            "http {\n    server {\n        set $a b;\n        # include /etc/nginx/nginx.conf;\n    }\n    include /etc/nginx/mime.types;\n}\n"
        );
    }

    #[test]
    fn a_file_that_includes_itself_ends() {
        let files = set(&[(NGINX_CONF, "a;\ninclude /etc/nginx/nginx.conf;\n")]);
        assert_eq!(of(&files).unwrap().matches("a;").count(), 1 + DEPTH_MAX);
        assert!(is_in_one_piece("include /etc/nginx/mime.types;\n") && !is_in_one_piece(MAIN));
    }

    /// Calls `bridge` for a change from the files `disk` to the files `wanted`; `edited` was edited by hand.
    fn bridged(disk: &[(&str, &str)], wanted: &[(&str, &str)], edited: &str) -> Option<String> {
        let text =
            |path: &str| disk.iter().find(|(known, _)| *known == path).map(|(_, text)| (*text).to_owned());
        let written: Digests = disk
            .iter()
            .map(|(path, text)| ((*path).to_owned(), if *path == edited { "other" } else { text }.to_owned()))
            .collect();
        let digest = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let on_disk =
            |path: &RelPath| text(path.as_str()).map(|digest| OnDisk { digest, permissions_fit: true });
        bridge(&Change::between(set(wanted), &written, Edits::Keep, digest, on_disk), &text)
    }

    const MAIN: &str = "include /etc/nginx/http/tls.conf;\ninclude /etc/nginx/http/log.conf;\n";
    const OLD: [(&str, &str); 3] =
        [(NGINX_CONF, MAIN), ("nginx/http/tls.conf", "old;\n"), ("nginx/http/log.conf", "old;\n")];
    const NEW: [(&str, &str); 3] =
        [(NGINX_CONF, MAIN), ("nginx/http/tls.conf", "new;\n"), ("nginx/http/log.conf", "new;\n")];

    #[test]
    fn several_files_change_behind_one() {
        assert_eq!(bridged(&OLD, &NEW, "").unwrap(), "new;\nnew;\n");
        // One rename is enough to change one file, or to add the first nginx.conf.
        assert_eq!(bridged(&OLD, &[NEW[0], NEW[1], OLD[2]], ""), None);
        assert_eq!(bridged(&[], &NEW, ""), None);
        // An earlier regcert wrote the whole configuration into one file.
        assert_eq!(bridged(&[(NGINX_CONF, "old;\n")], &NEW, "").unwrap(), "new;\nnew;\n");
        // A single file that was edited by hand includes no other file.
        assert_eq!(bridged(&[(NGINX_CONF, "mine;\n")], &NEW, NGINX_CONF), None);
        // Files that were edited by hand stay. Here, only one file is left to replace.
        assert_eq!(bridged(&OLD, &[NEW[0], NEW[1], NEW[2]], "nginx/http/log.conf"), None);
        let mine = [(NGINX_CONF, "mine;\ninclude /etc/nginx/http/tls.conf;\n"), OLD[1], OLD[2]];
        assert_eq!(bridged(&mine, &NEW, NGINX_CONF).unwrap(), "mine;\nnew;\n");
    }
}
