//! Tests of the round trip: writing a registry's files and loading them again gives an equal registry and equal files.
#![allow(clippy::unwrap_used)]

use std::sync::LazyLock;

use time::macros::datetime;

use super::files::{SPEC, STATE};
use super::*;
use crate::auth::{Access, Password, Role};
use crate::error::{Faults, Gather};
use crate::files::{FileSet, Mode, Origin as Made};
use crate::pki::{Request, Subject};
use crate::render::Site;
use crate::settings::{RunAs, Side};

mod users;

const NOW: OffsetDateTime = datetime!(2026-11-20 12:00 UTC);
const INVOKER: RunAs = RunAs { uid: 65532, gid: 65532 };
const ROOT_KEY: &str = "root-cert/root-cert-myhouse.local.key";

/// The files of a test registry. Created only once, because hashing the password is slow.
static FILES: LazyLock<FileSet> = LazyLock::new(|| create(|_| {}).files(&site()).unwrap());

fn site() -> Site {
    Site {
        directory: "/srv/registry".to_owned(),
        program: "/usr/local/bin/regcert".to_owned(),
        user: None,
        hosts: Vec::new(),
    }
}

fn create(change: impl FnOnce(&mut RawSettings)) -> Deployment {
    let mut settings = RawSettings { server: Some("r.myhouse.local".to_owned()), ..RawSettings::default() };
    change(&mut settings);
    let spec = Settings::check(&settings, Side::Options, INVOKER, &mut Gather::default()).unwrap();
    let (user, password) = ("docker".parse().unwrap(), Password::generate());
    Deployment::create(
        New {
            spec,
            origin: Origin::Create { permit: Some(vec![]), offline_root: false },
            passphrase: None,
            users: First::Admin(user, password),
        },
        datetime!(2026-11-20 12:00 UTC),
    )
    .unwrap()
}

fn load(files: &FileSet) -> Result<Option<Deployment>, Vec<String>> {
    let messages = |faults: Faults| faults.faults.into_iter().map(|fault| fault.message).collect::<Vec<_>>();
    let loaded = Deployment::load(files, INVOKER, Mends::Nothing).map_err(messages)?;
    Ok(loaded.map(Loaded::wanted))
}

/// Returns [`FILES`] without the file `gone`, and with one file replaced: `damaged` is its path and new text.
fn with(gone: &str, damaged: Option<(&str, &str)>) -> FileSet {
    let mut files = FileSet::default();
    for (path, file) in FILES.iter().filter(|(path, _)| path.as_str() != gone) {
        let nonsense = damaged.filter(|(damaged, _)| *damaged == path.as_str()).map(|(_, text)| text.into());
        files.put(path.as_str(), nonsense.unwrap_or_else(|| file.bytes.clone()), file.mode, file.origin);
    }
    files
}

#[test]
fn what_is_loaded_is_what_was_written() {
    for proxy in ["nginx", "none"] {
        let mut made = create(|settings| settings.proxy = Some(proxy.to_owned()));
        made.set_user(&"ann".parse().unwrap(), "HASH").unwrap();
        if proxy == "nginx" {
            made.set_access("ann".parse().unwrap(), pull()).unwrap();
        }
        made.set_user(&"bob".parse().unwrap(), "HASH").unwrap();
        let files = made.files(&site()).unwrap();
        let loaded = load(&files).unwrap().unwrap();
        // The loaded registry differs from the created one only in `spec_text`, the text of regcert.toml.
        assert_eq!(loaded.files(&site()).unwrap(), files);
        assert_eq!(Deployment { spec_text: loaded.spec_text.clone(), ..made }, loaded);
        assert_eq!(load(&loaded.files(&site()).unwrap()).unwrap().unwrap(), loaded);
    }
}

fn pull() -> Access {
    Access { role: Role::Pull, ..Access::default() }
}

#[test]
fn nothing_is_no_registry() {
    assert_eq!(load(&FileSet::default()), Ok(None));
}

#[test]
fn a_missing_part_is_named_and_not_made_again() {
    for (gone, message) in [
        (SPEC, format!("`regcert.toml` is missing, though `{ROOT_KEY}` is there")),
        (
            "root-cert/root-cert-myhouse.local.crt",
            "`root-cert/root-cert-myhouse.local.crt` is missing".into(),
        ),
        (ROOT_KEY, format!("`{ROOT_KEY}` is missing")),
        ("nginx/ssl/r.myhouse.local.pem", "`nginx/ssl/r.myhouse.local.pem` is missing".into()),
        ("nginx/auth/registry.passwd", "`nginx/auth/registry.passwd` is missing".into()),
        (STATE, "`.regcert/state.json` is missing".into()),
    ] {
        assert_eq!(load(&with(gone, None)), Err(vec![message]));
    }
}

#[test]
fn a_rendered_file_may_be_missing() {
    for (path, file) in FILES.iter().filter(|(_, file)| file.origin == Made::Rendered) {
        let loaded = load(&with(path.as_str(), None)).unwrap().unwrap();
        assert_eq!(loaded.files(&site()).unwrap().get(path.as_str()), Some(file), "{path}");
    }
}

#[test]
fn a_damaged_part_is_named() {
    for (path, message) in [
        ("root-cert/root-cert-myhouse.local.crt", "it does not hold exactly one certificate in PEM"),
        (ROOT_KEY, "it is neither PEM nor DER"),
        ("nginx/ssl/r.myhouse.local.pem", "it is neither PEM nor DER"),
    ] {
        assert_eq!(load(&with("", Some((path, "nonsense")))), Err(vec![format!("`{path}`: {message}")]));
    }
    let fault = load(&with("", Some((SPEC, "nonsense")))).unwrap_err();
    assert!(fault.len() == 1 && fault[0].starts_with("regcert.toml: TOML parse error"), "{fault:?}");
}

#[test]
fn every_missing_part_is_told_at_once() {
    let mut files = FileSet::default();
    files.put(SPEC, "", Mode::Public, Made::Kept);
    // One message each for the state, the users, the server's certificate, the root, and the root's key.
    assert_eq!(load(&files).unwrap_err().len(), 5);
}

#[test]
fn the_files_of_gen_config_are_not_taken_over() {
    let mut files = FileSet::default();
    for path in ["root-cert/root-cert-myhouse.local.crt", ROOT_KEY, "nginx/ssl/r.myhouse.local.key"] {
        files.put(path, "theirs", Mode::Public, Made::Kept);
    }
    let message = format!("`regcert.toml` is missing, though `{ROOT_KEY}` is there");
    assert_eq!(load(&files), Err(vec![message]));
}

#[test]
fn no_secret_lies_in_a_public_file() {
    let state = State::from_json(FILES.text(STATE).unwrap()).unwrap();
    let http_secret = state.http_secret();
    let mut secret = Vec::new();
    for (path, file) in FILES.iter() {
        let text = String::from_utf8_lossy(&file.bytes);
        if ["PRIVATE KEY", "$2y$", http_secret].iter().any(|mark| text.contains(mark)) {
            assert_ne!(file.mode, Mode::Public, "{path}");
            secret.push(path.as_str());
        }
    }
    let expected = [
        STATE,
        "nginx/auth/registry.passwd",
        "nginx/ssl/r.myhouse.local.pem",
        "registry/config.yml",
        ROOT_KEY,
    ];
    assert_eq!(secret, expected);
}

#[test]
fn no_debug_shows_a_secret() {
    let shown = format!("{:?}", load(&FILES));
    assert_eq!(shown, "Ok(Some(Deployment(r.myhouse.local)))");
    let users = load(&FILES).unwrap().unwrap().users;
    assert_eq!(format!("{users:?}"), "Htpasswd([\"docker\"])");
}

#[test]
fn a_renewal_changes_key_and_serial_and_nothing_of_the_root() {
    let mut deployment = load(&FILES).unwrap().unwrap();
    let old = load(&FILES).unwrap().unwrap();
    deployment.reconfigure(old.spec.clone(), ServerKey::New, datetime!(2027-06-01 12:00 UTC)).unwrap();
    assert_ne!(deployment.server.as_ref().unwrap().leaf().serial, old.server.as_ref().unwrap().leaf().serial);
    assert_ne!(
        deployment.server.as_ref().unwrap().leaf().public_key,
        old.server.as_ref().unwrap().leaf().public_key
    );
    assert_eq!((&deployment.issuer, &deployment.users), (&old.issuer, &old.users));
    assert_eq!(deployment.spec_text, old.spec_text);
}

/// Creates a registry whose CA key is encrypted; with an intermediate CA if the root is offline.
fn encrypted(offline_root: bool) -> Deployment {
    let settings = RawSettings { server: Some("r.myhouse.local".to_owned()), ..RawSettings::default() };
    let spec = Settings::check(&settings, Side::Options, INVOKER, &mut Gather::default()).unwrap();
    let origin = Origin::Create { permit: Some(vec![]), offline_root };
    let passphrase = Some(Passphrase::first_line(b"a passphrase").unwrap());
    let new = New {
        spec,
        origin,
        passphrase,
        users: First::Admin("docker".parse().unwrap(), Password::generate()),
    };
    Deployment::create(new, NOW).unwrap()
}

#[test]
fn no_key_of_an_authority_leaves_its_passphrase() {
    for offline_root in [false, true] {
        let mut deployment = encrypted(offline_root);
        let clear = |deployment: &Deployment| {
            let files = deployment.files(&site()).unwrap();
            let keys = files.iter().filter(|(path, _)| path.as_str().ends_with(".key"));
            let clear = keys.filter(|(_, file)| !PrivateKey::is_encrypted(&file.bytes));
            clear.map(|(path, _)| path.to_string()).collect::<Vec<_>>()
        };
        assert_eq!(clear(&deployment), [""; 0]);
        deployment.add_client(&"laptop".parse().unwrap(), 90, NOW).unwrap();
        deployment.begin_rotation(&[], NOW).unwrap();
        assert_eq!(clear(&deployment), [""; 0]);
        deployment.finish_rotation(NOW).unwrap();
        assert_eq!(clear(&deployment), [""; 0]);

        // The next run loads the registry locked, until it gets the passphrase.
        let mut next = load(&deployment.files(&site()).unwrap()).unwrap().unwrap();
        assert!(next.is_locked());
        assert!(next.unlock(&Passphrase::first_line(b"another").unwrap()).is_err());
        next.unlock(&Passphrase::first_line(b"a passphrase").unwrap()).unwrap();
        next.begin_rotation(&[], NOW).unwrap();
        assert_eq!(clear(&next), [""; 0]);
    }
}

#[test]
fn a_rotation_is_loaded_as_it_was_written() {
    for offline_root in [false, true] {
        let mut deployment = create(|_| {});
        if offline_root {
            deployment = encrypted(true);
        }
        deployment.begin_rotation(&["example.org".parse().unwrap()], NOW).unwrap();
        let loaded = load(&deployment.files(&site()).unwrap()).unwrap().unwrap();
        assert_eq!(loaded.retiring, deployment.retiring);
        assert_eq!(loaded.files(&site()).unwrap(), deployment.files(&site()).unwrap());
        // Clients of either root accept the chain that the server presents.
        let server = deployment.server.as_ref().unwrap();
        for root in deployment.roots() {
            verify(server.chain(), root, &["r.myhouse.local".to_owned()], NOW).unwrap();
        }
        let versions = deployment.state.release().version;
        deployment.finish_rotation(NOW).unwrap();
        assert_eq!(
            (versions.as_str(), deployment.state.release().version.as_str()),
            ("2026.11.20.1", "2026.11.20.2")
        );
        assert_eq!(deployment.roots().len(), 1);
    }
}

#[test]
fn a_request_that_waits_is_loaded_and_its_answer_checked() {
    let settings = RawSettings {
        server: Some("r.myhouse.local".to_owned()),
        authority: Some("external".to_owned()),
        ..RawSettings::default()
    };
    let spec = Settings::check(&settings, Side::Options, INVOKER, &mut Gather::default()).unwrap();
    let password = Password::generate();
    let new = New {
        spec,
        origin: Origin::External,
        passphrase: None,
        users: First::Admin("docker".parse().unwrap(), password),
    };
    let waiting = Deployment::create(new, NOW).unwrap();
    let files = waiting.files(&site()).unwrap();
    assert!(files.get("docker-compose.yml").is_none(), "nothing is there that could be started");
    let mut waiting = load(&files).unwrap().unwrap();

    let theirs = create(|_| {});
    let theirs = theirs.authority().unwrap();
    let request = Request::read(waiting.pending.as_ref().unwrap().request.as_bytes()).unwrap();
    let sign = |names: &[SubjectAltName]| {
        let profile = ServerProfile { names, subject: &Subject::default(), days: 90 };
        theirs.issue_for(&request, &profile, NOW).unwrap()
    };
    let refused =
        |waiting: &mut Deployment, given, more| waiting.import(given, more, NOW).unwrap_err().message;
    let root = || vec![theirs.root().clone()];
    assert_eq!(
        refused(&mut waiting, sign(&request.names), vec![]),
        "the certificate that signed `CN=r.myhouse.local` is not among those given"
    );
    assert_eq!(
        refused(&mut waiting, sign(&["a.myhouse.local".parse().unwrap()]), root()),
        "the certificate does not cover r.myhouse.local, r"
    );
    assert_eq!(
        refused(&mut waiting, root(), vec![]),
        "none of the certificates is for the key of the request"
    );
    assert_eq!(waiting.files(&site()).unwrap(), files, "a refused answer changes nothing");
    let mut other = load(&files).unwrap().unwrap();
    let names =
        [&request.names[..], &["other.myhouse.local".parse().unwrap(), "10.0.0.1".parse().unwrap()]].concat();
    let theirs_for_all = create(|settings| settings.sans = Some(vec!["10.0.0.1".to_owned()]));
    let theirs_for_all = theirs_for_all.authority().unwrap();
    let profile = ServerProfile { names: &names, subject: &Subject::default(), days: 90 };
    let signed = theirs_for_all.issue_for(&request, &profile, NOW).unwrap();
    let unasked = other.import(signed, vec![theirs_for_all.root().clone()], NOW).unwrap();
    assert_eq!(unasked, ["other.myhouse.local", "10.0.0.1"]);
    let unasked = waiting.import(sign(&request.names), root(), NOW).unwrap();
    assert_eq!(unasked, [""; 0]);
    let loaded = load(&waiting.files(&site()).unwrap()).unwrap().unwrap();
    assert_eq!((loaded.server, loaded.pending.is_none()), (waiting.server, true));
}

#[test]
fn a_part_that_is_gone_is_missed_and_takes_no_other_along() {
    let mut deployment = create(|_| {});
    deployment.begin_rotation(&[], NOW).unwrap();
    deployment.add_client(&"laptop".parse().unwrap(), 90, NOW).unwrap();
    let files = deployment.files(&site()).unwrap();
    for gone in [
        "root-cert/retiring-myhouse.local.crt",
        "root-cert/vouched-myhouse.local.crt",
        "clients/clients-ca.crt",
        "clients/clients-ca.key",
        "clients/clients.crl",
    ] {
        let mut left = FileSet::default();
        for (path, file) in files.iter().filter(|(path, _)| path.as_str() != gone) {
            left.put(path.as_str(), file.bytes.clone(), file.mode, file.origin);
        }
        assert_eq!(load(&left), Err(vec![format!("`{gone}` is missing")]));
    }
}

#[test]
fn a_request_that_was_taken_away_is_made_again_for_the_same_key() {
    let mut deployment = create(|_| {});
    deployment.request(PrivateKey::generate(deployment.spec.key_type)).unwrap();
    let mut files = FileSet::default();
    for (path, file) in
        deployment.files(&site()).unwrap().iter().filter(|(path, _)| !path.as_str().ends_with(".csr"))
    {
        files.put(path.as_str(), file.bytes.clone(), file.mode, file.origin);
    }
    let loaded = load(&files).unwrap().unwrap();
    assert_eq!(loaded.pending.unwrap().key, deployment.pending.unwrap().key);
}

#[test]
fn an_edit_of_the_settings_is_noticed_and_a_comment_is_none() {
    let edited = |from: &str, to: &str| {
        let text = FILES.text(SPEC).unwrap().replace(from, to);
        let files = with("", Some((SPEC, &text)));
        let loaded = Deployment::load(&files, INVOKER, Mends::Nothing).unwrap().unwrap();
        matches!(loaded, Loaded::Applied(_))
    };
    assert!(edited("", "") && edited("# The settings of this registry.", "# Mine."));
    assert!(!edited("days = 365", "days = 300"));
}

#[test]
fn a_first_root_is_not_forgotten_behind_somebody_elses() {
    let mut deployment = create(|_| {});
    deployment.begin_rotation(&[], NOW).unwrap();
    deployment.request(PrivateKey::generate(deployment.spec.key_type)).unwrap();
    let fault = deployment.import(vec![], vec![], NOW).unwrap_err();
    assert_eq!(fault.message, "a rotation of our own root is under way");
}
