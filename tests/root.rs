//! What root does in a directory that another user owns or can write to: nothing outside it changes, and nothing of root's is
//! handed over. Other users are user ids that the machine does not know. Without root there is nothing to show.
// Long because each way that another user could mislead root is shown here.
#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, lchown, symlink};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Output;

use common::{Sandbox, is_thorough};

const OWNER: u32 = 61234;
const STRANGER: u32 = 64321;

/// A sandbox that other users can walk through; `None` without root.
fn sandbox() -> Option<Sandbox> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let sandbox = Sandbox::new();
    fs::set_permissions(sandbox.path().parent().unwrap(), fs::Permissions::from_mode(0o755)).unwrap();
    Some(sandbox)
}

/// Everything below a directory: owner, mode and bytes, or where a link leads.
fn snapshot(dir: &Path) -> BTreeMap<PathBuf, (u32, u32, u32, Vec<u8>)> {
    let mut files = BTreeMap::new();
    let mut left = vec![dir.to_owned()];
    while let Some(path) = left.pop() {
        let found = path.symlink_metadata().unwrap();
        let mut bytes = Vec::new();
        if found.is_dir() {
            left.extend(fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()));
        } else if found.is_symlink() {
            bytes = fs::read_link(&path).unwrap().into_os_string().into_encoded_bytes();
        } else {
            bytes = fs::read(&path).unwrap();
        }
        files.insert(path, (found.uid(), found.gid(), found.mode(), bytes));
    }
    files
}

fn give(dir: &Path, uid: u32) {
    for path in snapshot(dir).into_keys() {
        lchown(path, Some(uid), Some(uid)).unwrap();
    }
}

/// A directory of the owner's, empty.
fn owned(sandbox: &Sandbox, name: &str) -> PathBuf {
    let dir = sandbox.path().join(name);
    fs::create_dir(&dir).unwrap();
    chown(&dir, Some(OWNER), Some(OWNER)).unwrap();
    dir
}

fn as_owner(sandbox: &Sandbox, line: &str) -> Output {
    sandbox.command(line).uid(OWNER).gid(OWNER).output().unwrap()
}

fn owners(dir: &Path) -> Vec<u32> {
    let mut owners: Vec<_> = snapshot(dir).values().map(|(uid, ..)| *uid).collect();
    owners.sort_unstable();
    owners.dedup();
    owners
}

/// What a user of the directory may put a link in place of.
const PLACES: [&str; 20] = [
    ".regcert",
    ".regcert/lock",
    ".regcert/state.json",
    ".regcert/digests.json",
    ".regcert/staging",
    ".regcert/staged",
    ".regcert/directory",
    ".regcert/gc",
    "regcert.toml",
    "docker-compose.yml",
    "nginx",
    "nginx/auth",
    "nginx/auth/registry.passwd",
    "nginx/ssl",
    "nginx/www",
    "registry",
    "registry/config.yml",
    "root-cert",
    "trust",
    "renewal",
];

/// Every command that reads or writes the directory. The registry is this machine, where none runs.
const COMMANDS: [&str; 20] = [
    "init --https-port 5443",
    "init --force --san other.lan",
    "add-user bob",
    "remove-user bob",
    "list-users",
    "status",
    "rotate --if-due",
    "rotate --force",
    "trust",
    "trust deb k3s",
    "add-client bob",
    "list-clients",
    "revoke bob",
    "sign other.csr",
    "csr",
    "import-cert other.crt",
    "gc",
    "check --user docker --password-file password",
    "images --user docker --password-file password",
    "delete team-a/app:1 --yes --user docker --password-file password",
];

#[test]
fn no_command_follows_a_link_in_the_directory() {
    let Some(sandbox) = sandbox() else { return };
    let work = sandbox.path();
    sandbox.ok("regcert -C other init --external-ca && cp other/request/*.csr other.csr");
    sandbox.ok("regcert -C signs init && regcert -C signs sign other.csr >other.crt");
    sandbox.ok("echo secret >password");
    let whole = is_thorough();
    let owners = [
        (0, 0, "regcert -C model init --registry-server-name 127.0.0.1"),
        (0, STRANGER, "regcert -C model init --registry-server-name 127.0.0.1"),
        (OWNER, OWNER, "SUDO_UID=61234 regcert -C model init --registry-server-name 127.0.0.1"),
        (
            OWNER,
            OWNER,
            "SUDO_UID=61234 regcert -C model init --registry-server-name 127.0.0.1 --run-as 65532:65532",
        ),
    ];
    for (o, (whose, links, make)) in owners.into_iter().enumerate() {
        let model = work.join("model");
        fs::create_dir(&model).unwrap();
        chown(&model, Some(whose), Some(whose)).unwrap();
        sandbox.ok(make);
        for (m, place) in PLACES.into_iter().enumerate() {
            let (elsewhere, dir) = (work.join("elsewhere"), work.join("registry"));
            fs::create_dir(&elsewhere).unwrap();
            sandbox.ok("cp -a model registry");
            let (at, target) = (dir.join(place), elsewhere.join("target"));
            // The best that a link can lead to: what regcert expects there, of root's.
            if at.exists() {
                fs::rename(&at, &target).unwrap();
            } else {
                fs::create_dir(&target).unwrap();
                fs::write(target.join("0"), "mine").unwrap();
                fs::write(
                    target.join("manifest.json"),
                    r#"{"put":["regcert.toml"],"remove":["trust/ca.crt"]}"#,
                )
                .unwrap();
            }
            give(&elsewhere, 0);
            symlink(&target, &at).unwrap();
            lchown(&at, Some(links), Some(links)).unwrap();
            let before = snapshot(&elsewhere);
            // With --all each owner, command and caller; otherwise each command at each place, owners and callers in turn.
            for (n, command) in
                COMMANDS.into_iter().enumerate().filter(|(n, _)| whole || (m + n) % owners.len() == o)
            {
                let callers = ["", "SUDO_UID=61234 "];
                for caller in if whole { &callers[..] } else { &callers[(m / 2 + n) % 2..][..1] } {
                    let run = sandbox.sh(&format!("{caller}regcert -C registry {command}"));
                    assert!(matches!(run.status.code(), Some(0..=3)), "{place}, {command}: {run:?}");
                    assert!(snapshot(&elsewhere) == before, "{make}: {place} → elsewhere, {caller}{command}");
                }
            }
            fs::remove_dir_all(&dir).unwrap();
            fs::remove_dir_all(&elsewhere).unwrap();
        }
        fs::remove_dir_all(&model).unwrap();
    }
}

/// Leaves what an interrupted run would have decided.
fn plant(dir: &Path, manifest: &str, uid: u32) {
    let staged = dir.join(".regcert/staged");
    fs::create_dir(&staged).unwrap();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o700)).unwrap();
    fs::write(staged.join("0"), "planted").unwrap();
    fs::write(staged.join("manifest.json"), manifest).unwrap();
    give(&staged, uid);
}

#[test]
fn a_planted_redo_log_is_not_obeyed() {
    let Some(sandbox) = sandbox() else { return };
    let work = sandbox.path();
    let elsewhere = work.join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("passwd"), "root's").unwrap();
    fs::write(elsewhere.join("other"), "root's").unwrap();
    let before = snapshot(&elsewhere);
    let owned = owned(&sandbox, "owned");
    sandbox.ok("SUDO_UID=61234 regcert -C owned init && regcert -C roots init");
    for (dir, uid, manifest, error) in [
        (
            &owned,
            OWNER,
            r#"{"put":["e/passwd"],"remove":["e/other"]}"#,
            "error: `owned/.regcert/staged/manifest.json` names `e/passwd`, which regcert does not write\n\
             hint: another program made it: remove `owned/.regcert/staged`\n",
        ),
        (
            &owned,
            OWNER,
            r#"{"put":["trust/e/passwd"],"remove":["trust/e/other"]}"#,
            "error: `owned/trust/e` is not a directory\n\
             hint: move it away: regcert writes no file through a link\n",
        ),
        (
            &work.join("roots"),
            OWNER,
            r#"{"put":["trust/e/passwd"],"remove":[]}"#,
            "error: `roots/.regcert/staged` belongs to user 61234, or others can write to it\n\
             hint: run a regcert command as that user, or remove what an interrupted run had decided: `rm -r roots/.regcert/staged`\n",
        ),
    ] {
        let name = dir.file_name().unwrap().to_str().unwrap();
        for link in ["e", "trust/e"] {
            symlink(&elsewhere, dir.join(link)).unwrap();
        }
        plant(dir, manifest, uid);
        for command in ["status", "list-users", "rotate --if-due", "init --force", "add-user eve"] {
            assert_eq!(sandbox.fails(1, &format!("regcert -C {name} {command}")), error, "{command}");
            assert!(snapshot(&elsewhere) == before, "{command}");
        }
        fs::remove_dir_all(dir.join(".regcert/staged")).unwrap();
        for link in ["e", "trust/e"] {
            fs::remove_file(dir.join(link)).unwrap();
        }
        sandbox.ok(&format!("regcert -C {name} list-users"));
    }
}

#[test]
fn root_makes_no_registry_in_another_users_directory() {
    let Some(sandbox) = sandbox() else { return };
    let dir = owned(&sandbox, "registry");
    assert_eq!(
        sandbox.fails(1, "regcert init"),
        "error: `registry` belongs to `61234`, who could replace whatever root writes there\n\
         hint: run regcert as that user, or make the directory root's: `chown root: registry`; or choose another with -C\n"
    );
    sandbox.fails(1, &format!("SUDO_UID={STRANGER} regcert init"));
    assert_eq!(fs::read_dir(&dir).unwrap().count(), 0);
    // Its owner may, by sudo as well: what is in it stays the owner's, now and later.
    sandbox.ok(&format!("SUDO_UID={OWNER} regcert init"));
    assert_eq!(owners(&dir), [OWNER]);
    sandbox.ok("regcert add-user bob </dev/null && regcert rotate --force");
    assert_eq!(owners(&dir), [OWNER]);
    assert!(
        as_owner(&sandbox, "regcert() { /proc/self/exe; }; cat registry/root-cert/*.key").status.success()
    );
    let service = sandbox.ok("cat registry/renewal/*.service");
    assert!(service.contains("Type=oneshot\nUser=61234\nExecStart="), "{service}");
    assert!(sandbox.ok("cat registry/renewal/cron").contains("* * * 61234 '"));
}

#[test]
fn root_refuses_what_needs_root_in_another_users_directory() {
    let Some(sandbox) = sandbox() else { return };
    let dir = owned(&sandbox, "registry");
    sandbox.ok(&format!("SUDO_UID={OWNER} regcert init --run-as 65532:65532"));
    assert_eq!(owners(&dir), [OWNER, 65532]);
    let cure = "find registry -user 61234 -exec chown -h root: {} +";
    assert_eq!(
        sandbox.fails(1, "regcert rotate --if-due"),
        format!(
            "error: `registry` belongs to `61234` and files in it to user 65532, so that only root can write them; but root must not trust what `61234` can change\n\
             hint: give the directory to root: `{cure}`\n"
        )
    );
    sandbox.ok(&format!("SUDO_UID={OWNER} regcert add-user bob </dev/null"));
    sandbox.ok(&format!("PATH=$PATH:/usr/bin:/bin; {cure}"));
    assert_eq!(owners(&dir), [0, 65532]);
    sandbox.ok("regcert add-user carol </dev/null && regcert list-users");
    assert_eq!(owners(&dir), [0, 65532]);
    let service = sandbox.ok("cat registry/renewal/*.service");
    assert!(!service.contains("User="), "{service}");
}

/// A first run that was stopped right after its change was decided: nothing is in its place yet.
#[test]
fn what_root_had_decided_in_a_users_directory_is_finished_by_root() {
    let Some(sandbox) = sandbox() else { return };
    let dir = owned(&sandbox, "registry");
    let sudo = format!("SUDO_UID={OWNER} regcert");
    sandbox.ok(&format!("{sudo} init --run-as 65532:65532"));
    let (own, staged) = (dir.join(".regcert"), dir.join(".regcert/staged"));
    let put: Vec<_> = snapshot(&dir)
        .into_iter()
        .filter(|(path, (.., mode, _))| mode >> 12 == 8 && !path.ends_with("lock"))
        .collect();
    fs::create_dir(&staged).unwrap();
    fs::set_permissions(&staged, fs::Permissions::from_mode(0o700)).unwrap();
    let mut names = Vec::new();
    for (path, _) in put {
        fs::rename(&path, staged.join(names.len().to_string())).unwrap();
        names.push(format!("{:?}", path.strip_prefix(&dir).unwrap().to_str().unwrap()));
    }
    fs::write(staged.join("manifest.json"), format!(r#"{{"put":[{}],"remove":[]}}"#, names.join(",")))
        .unwrap();
    for entry in fs::read_dir(&dir).unwrap().map(Result::unwrap).filter(|entry| entry.path() != own) {
        fs::remove_dir_all(entry.path()).unwrap();
    }
    sandbox.ok(&format!("{sudo} list-users"));
    assert_eq!(owners(&dir), [OWNER, 65532]);
    assert!(!staged.exists());
}

#[test]
fn the_passphrase_that_root_names_is_read_as_root() {
    let Some(sandbox) = sandbox() else { return };
    let dir = owned(&sandbox, "registry");
    fs::write(sandbox.path().join("pass"), "secret\n").unwrap();
    fs::set_permissions(sandbox.path().join("pass"), fs::Permissions::from_mode(0o600)).unwrap();
    let sudo = format!("SUDO_UID={OWNER} regcert --ca-passphrase-file pass");
    sandbox.ok(&format!("{sudo} init --encrypt-ca-key && regcert --ca-passphrase-file pass rotate --force"));
    assert_eq!(owners(&dir), [OWNER]);
}

#[test]
fn a_directory_that_others_can_write_to_is_refused() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.ok("regcert init");
    let dir = sandbox.path().join("registry");
    let refused = |path: &str, mode: u32, gid: u32, who: &str, right: &str| {
        let at = sandbox.path().join(path);
        let usual = at.metadata().unwrap().mode();
        chown(&at, Some(0), Some(gid)).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(mode)).unwrap();
        assert_eq!(
            sandbox.fails(1, "regcert list-users"),
            format!(
                "error: {who} may write to `{path}`: keys are not safe there\n\
                 hint: run `chmod {right}-w {path}`; where chmod does nothing, as on WSL's /mnt/c, vfat and CIFS, choose another directory with -C\n"
            )
        );
        sandbox.ok(&format!("chmod {right}-w {path}"));
        if right == "g" || mode & 0o020 == 0 {
            sandbox.ok("regcert list-users");
        }
        chown(&at, Some(0), Some(0)).unwrap();
        fs::set_permissions(&at, fs::Permissions::from_mode(usual)).unwrap();
    };
    for path in ["registry", "registry/.regcert"] {
        refused(path, 0o777, 0, "everybody", "o");
        refused(path, 0o1777, 0, "everybody", "o");
        refused(path, 0o775, 61000, "the group `61000`", "g");
        refused(path, 0o2775, 61000, "the group `61000`", "g");
    }
    // A user's own group, with a umask of 002: as most distributions set it up.
    give(&dir, OWNER);
    fs::set_permissions(&dir, fs::Permissions::from_mode(0o775)).unwrap();
    sandbox.ok("regcert list-users");
    // Root's directory, and notes in it that another user made.
    give(&dir, 0);
    give(&dir.join(".regcert"), STRANGER);
    assert_eq!(
        sandbox.fails(1, "regcert list-users"),
        "error: `registry/.regcert` belongs to `64321`: what it says is not believed\n\
         hint: run regcert as that user; where it is your registry, `chown -R root registry/.regcert`\n"
    );
}

#[test]
fn a_link_to_the_directory_is_followed_where_its_owner_may_be_trusted() {
    let Some(sandbox) = sandbox() else { return };
    sandbox.ok("regcert init && ln -s registry link && regcert -C link add-user bob </dev/null");
    lchown(sandbox.path().join("link"), Some(STRANGER), Some(STRANGER)).unwrap();
    assert_eq!(
        sandbox.fails(1, "regcert -C link list-users"),
        "error: `link` is a link of user `64321`, who can make it lead elsewhere\n\
         hint: name the directory itself with -C\n"
    );
    // The directory for images may be on another disk.
    sandbox.ok("mkdir disk other && ln -s ../disk other/data && regcert -C other init && ls other/data/");
}

#[test]
fn containers_of_a_users_own_engine_run_as_its_root() {
    let Some(sandbox) = sandbox() else { return };
    let home = owned(&sandbox, "home");
    let socket = home.join("docker.sock");
    fs::write(&socket, "").unwrap();
    chown(&socket, Some(OWNER), Some(OWNER)).unwrap();
    let init = |socket: &str, options: &str| {
        let output = as_owner(
            &sandbox,
            &format!("cd home && DOCKER_HOST=unix://{socket} regcert -C registry init {options}"),
        );
        String::from_utf8(output.stderr).unwrap()
    };
    let own = socket.display().to_string();
    assert!(init("/proc/version", "--run-as 0:0").starts_with(
        "error: --run-as: the containers would be root without its powers, which cannot read your files\n\
         hint: leave it out, and they run as you; "
    ));
    assert!(init(&own, "--run-as 5:5").starts_with(
        "error: --run-as: 5:5 in a container of your own Docker or Podman is not you, and cannot read the registry's files\n\
         hint: leave it out, or say `--run-as 0:0`: "
    ));
    let ready = init(&own, "");
    assert!(ready.contains(" is ready in registry\n") && !ready.contains("chown"), "{ready}");
    let compose = fs::read_to_string(home.join("registry/docker-compose.yml")).unwrap();
    assert!(compose.contains("user: \"0:0\"\n"), "{compose}");
    assert!(!init(&own, "").contains("chown"));
    // One that was made for another engine.
    let settings = home.join("registry/regcert.toml");
    let other = fs::read_to_string(&settings).unwrap().replace("\"0:0\"", "\"61234:61234\"");
    fs::write(&settings, other).unwrap();
    let warned = init(&own, "");
    assert!(
        warned.contains("run `regcert -C registry init --run-as 0:0`, root in such a container is you"),
        "{warned}"
    );
}
