//! Tests of the settings: typed settings are checked, checked settings are written to regcert.toml, and the file
//! gives the same settings when it is read.
#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::pki::KeyType;

mod table;

const INVOKER: RunAs = RunAs { uid: 1000, gid: 1000 };

fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

fn check(settings: &RawSettings) -> Result<Settings, Vec<Fault>> {
    let mut gather = Gather::default();
    let spec = Settings::check(settings, Side::File, INVOKER, &mut gather);
    gather.finish(crate::error::Blame::Elsewhere).map_err(|faults| faults.faults)?;
    Ok(spec.expect("what is refused leaves a fault"))
}

fn named(server: &str, domain: &str) -> Settings {
    check(&RawSettings { server: some(server), domain: some(domain), ..RawSettings::default() }).unwrap()
}

fn faults(settings: RawSettings) -> Vec<String> {
    check(&settings).unwrap_err().into_iter().map(|fault| fault.message).collect()
}

#[test]
fn every_setting_has_its_default() {
    let expected = Settings {
        server: "registry".parse().unwrap(),
        domain: Some("local.priv".parse().unwrap()),
        sans: vec![],
        key_type: KeyType::P256,
        days: 365,
        country: some("CA"),
        state: some("ON"),
        locality: None,
        company: some("NA"),
        unit: None,
        email: None,
        proxy: Proxy::Nginx,
        client_auth: ClientAuth::Off,
        blobs_by: BlobsBy::Nginx,
        delete: Delete::On,
        anonymous_port: None,
        anonymous_repos: crate::names::Repositories::Every,
        authority: Signer::Own,
        http_port: Some(80),
        https_port: 443,
        data: Data::Directory("./data".into()),
        run_as: INVOKER,
        registry_image: "registry:3".parse().unwrap(),
        nginx_image: "nginx:stable-alpine".parse().unwrap(),
        mirror_of: None,
        notify: vec![],
        metrics_port: None,
    };
    assert_eq!(check(&RawSettings::default()), Ok(expected));
}

#[test]
fn root_runs_the_containers_as_nobody() {
    assert_eq!(RunAs::invoker(0, 0).to_string(), "65532:65532");
    assert_eq!(RunAs::invoker(1000, 100).to_string(), "1000:100");
}

#[test]
fn names_follow_from_server_and_domain() {
    // The inputs server and domain, and the expected registry, label and names.
    for (server, domain, registry, label, names) in [
        (
            "registry1",
            "myhouse.local",
            "registry1.myhouse.local",
            "myhouse.local",
            "registry1.myhouse.local registry1",
        ),
        ("r.myhouse.local", "myhouse.local", "r.myhouse.local", "myhouse.local", "r.myhouse.local r"),
        ("r.myhouse.local", "", "r.myhouse.local", "myhouse.local", "r.myhouse.local r"),
        ("registry", "", "registry.local.priv", "local.priv", "registry.local.priv registry"),
        ("myhouse.local", "myhouse.local", "myhouse.local", "myhouse.local", "myhouse.local"),
        ("a.b", "lan", "a.b.lan", "lan", "a.b.lan a.b"),
        ("Registry.LAN.", "", "registry.lan", "lan", "registry.lan registry"),
        ("192.168.0.12", "", "192.168.0.12", "192.168.0.12", "192.168.0.12"),
        ("[FD00::12]", "", "[fd00::12]", "fd00::12", "fd00::12"),
    ] {
        let spec = named(server, domain);
        let spoken = spec.names().iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        assert_eq!(
            (spec.registry().as_str(), spec.label().as_str(), spoken.as_str()),
            (registry, label, names)
        );
        let spec = Settings { https_port: 5443, ..spec };
        assert_eq!(spec.registry(), format!("{registry}:5443"));
    }
}

#[test]
fn a_name_is_covered_once() {
    let sans = ["r.lan", "10.0.0.1", "r", "10.0.0.1", "*.a.lan"].map(str::to_owned).to_vec();
    let spec =
        check(&RawSettings { server: some("r.lan"), sans: Some(sans), ..RawSettings::default() }).unwrap();
    let names: Vec<_> = spec.names().iter().map(ToString::to_string).collect();
    assert_eq!(names, ["r.lan", "r", "10.0.0.1", "*.a.lan"]);
}

#[test]
fn an_empty_text_is_none_and_no_default() {
    let empty = RawSettings {
        country: some(""),
        state: some(""),
        company: some(" "),
        email: some(""),
        ..RawSettings::default()
    };
    assert_eq!(check(&empty).unwrap().subject(), Subject::default());
}

#[test]
fn all_faults_of_one_file_are_told_under_their_keys() {
    let wrong = RawSettings {
        sans: Some(vec!["a_b".into(), "1.2.3".into()]),
        days: some("826"),
        country: some("CAN"),
        state: Some("x".repeat(129)),
        http_port: some("x"),
        https_port: some("65536"),
        data: some("a:b"),
        ..RawSettings::default()
    };
    assert_eq!(
        faults(wrong),
        [
            "regcert.toml, `sans`: `a_b` is not a host name: only letters, digits, hyphens and dots are allowed",
            "regcert.toml, `sans`: `1.2.3` is not a host name: its last label is a number, which resolvers read as an IP address",
            "regcert.toml, `days`: `826` days are not possible for a certificate",
            "regcert.toml, `country`: `CAN` is not a country code",
            &format!(
                "regcert.toml, `state`: `{}…` is longer than 128 characters, the most a certificate holds",
                "x".repeat(80)
            ),
            "regcert.toml, `http-port`: `x` is not a port",
            "regcert.toml, `https-port`: `65536` is not a port",
            "regcert.toml, `data`: `a:b` cannot hold the images: a path with a colon cannot be mounted",
        ]
    );
}

#[test]
fn a_port_is_asked_for_once() {
    let both = |proxy| RawSettings { http_port: some("443"), proxy: some(proxy), ..RawSettings::default() };
    assert_eq!(faults(both("nginx")), ["port 443 is asked for twice"]);
    assert!(check(&both("none")).is_ok(), "without nginx nothing redirects");
    let metrics =
        |proxy| RawSettings { metrics_port: some("80"), proxy: some(proxy), ..RawSettings::default() };
    assert_eq!(faults(metrics("nginx")), ["port 80 is asked for twice"]);
    assert!(check(&metrics("none")).is_ok(), "without nginx nothing redirects");
}

#[test]
fn two_webhooks_have_two_names() {
    let notify = ["ci=http://a.lan", "ci=http://b.lan", "x"].map(str::to_owned).to_vec();
    assert_eq!(
        faults(RawSettings { notify: Some(notify), ..RawSettings::default() }),
        [
            "regcert.toml, `notify`: there are two webhooks `ci`",
            "regcert.toml, `notify`: `x` is not NAME=URL",
        ]
    );
}

#[test]
fn nothing_is_a_mirror_by_itself() {
    for settings in [
        RawSettings::default(),
        RawSettings { mirror_of: some(""), metrics_port: some("off"), ..RawSettings::default() },
    ] {
        let spec = check(&settings).unwrap();
        assert_eq!((spec.mirror_of, spec.notify, spec.metrics_port), (None, vec![], None));
    }
}

#[test]
fn the_limits_themselves_are_allowed() {
    let limits = RawSettings {
        days: some("825"),
        state: Some("ä".repeat(128)),
        company: Some("ä".repeat(64)),
        http_port: some("1"),
        https_port: some("65535"),
        ..RawSettings::default()
    };
    assert!(check(&limits).is_ok());
}

#[test]
fn one_change_leaves_the_rest_of_the_file_alone() {
    let file = "# ours\n\n  days = 90   # quarterly\nunit = \"x\"\nserver = 'registry'\nsans = [ # none\n]\n# the end\n";
    let mut spec = check(&RawSettings::from_toml(file).unwrap()).unwrap();
    spec.days = 30;
    let written = spec.to_toml(Some(file)).unwrap();
    let kept = "# ours\n\n  days = 30   # quarterly\nunit = \"x\"\nserver = 'registry'\nsans = [ # none\n]\n";
    assert!(written.starts_with(kept) && written.ends_with("\n# the end\n"), "{written}");
    assert_eq!(spec.to_toml(Some(&written)).unwrap(), written, "and then nothing changes");
}

#[test]
fn a_file_made_anew_explains_itself() {
    let spec = check(&RawSettings::default()).unwrap();
    let written = spec.to_toml(None).unwrap();
    assert!(written.starts_with("# The settings of this registry."));
    for key in ["server = \"registry\"\n", "days = 365\n", "sans = []\n", "run-as = \"1000:1000\"\n"] {
        assert!(written.contains(key), "{written}");
    }
}

#[test]
fn a_key_nobody_knows_is_refused_with_those_that_are_known() {
    let fault = RawSettings::from_toml("colour = 1").unwrap_err();
    assert!(fault.message.contains("line 1: `colour` is not a setting"), "{fault}");
    assert_eq!(
        fault.hint,
        "the keys are `server`, `domain`, `sans`, `key-type`, `days`, `country`, `state`, `locality`, `company`, \
         `unit`, `email`, `authority`, `proxy`, `client-auth`, `blobs-by`, `delete`, `http-port`, `https-port`, `anonymous-port`, `anonymous-repos`, `data`, `run-as`, `registry-image`, `nginx-image`, \
         `mirror-of`, `notify`, `metrics-port`"
    );
}

#[test]
fn options_go_before_the_file() {
    let file = RawSettings::from_toml("days = 90\nunit = \"file\"").unwrap();
    let options = RawSettings { unit: some("option"), ..RawSettings::default() };
    let both = options.or(file);
    assert_eq!((both.days, both.unit), (some("90"), some("option")));
}

fn text() -> impl Strategy<Value = Option<String>> {
    prop_oneof![Just(None), Just(some("")), "[a-zäß\"'\\\\#$ =\\[\\]]{1,20}".prop_map(Some)]
}

prop_compose! {
    fn settings()(
        server in prop::option::of("[a-z]{1,8}(\\.[a-z]{1,5}){0,2}|10\\.[0-9]\\.0\\.1|fd00::[0-9a-f]{1,4}"),
        domain in prop::option::of("[a-z]{1,5}\\.[a-z]{2,5}"),
        sans in prop::option::of(prop::collection::vec("(\\*\\.)?[a-z]{1,5}\\.[a-z]{2,5}|10\\.0\\.0\\.[1-9]", 0..4)),
        key_type in prop::option::of("p256|p384|rsa-2048|RSA3072|rsa-4096"),
        days in prop::option::of(1u16..=825),
        country in prop::option::of("[A-Za-z]{2}|"),
        texts in [text(), text(), text(), text()],
        email in prop::option::of("[a-z.+]{1,8}@[a-z]{1,5}\\.[a-z]{2,5}|"),
        proxy in prop::option::of("nginx|none"),
        blobs_by in prop::option::of("nginx|registry"),
        ports in (prop::option::of(1u16..1000), prop::option::of(1000u16..)),
        data in prop::option::of("volume|\\./data|/[a-zä $'\"#\\\\]{1,12}"),
        run_as in prop::option::of("[0-9]{1,5}:[0-9]{1,5}"),
        mirror_of in prop::option::of("(https?://[a-z]{1,5}\\.lan(:[1-9][0-9]{3})?/?)?"),
        notify in prop::option::of(prop::collection::vec("[a-z]{1,4}=http://[a-z]{1,4}\\.lan/[a-z]{0,4}", 0..2)),
    ) -> RawSettings {
        let [state, locality, company, unit] = texts;
        // An address has no domain.
        let domain = domain.filter(|_| server.as_ref().is_none_or(|s| s.parse().is_ok_and(|h| matches!(h, Host::Dns(_)))));
        RawSettings {
            server, domain, sans, key_type, days: days.map(|d| d.to_string()), country, state, locality, company, unit,
            email, proxy, blobs_by, http_port: ports.0.filter(|p| *p != 443).map(|p| p.to_string()),
            https_port: ports.1.map(|p| p.to_string()), data, run_as, mirror_of,
            notify, ..RawSettings::default()
        }
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read_back(settings in settings(), kept in any::<bool>()) {
        let spec = check(&settings).unwrap();
        // The settings go to a new file, or to a file that the user wrote.
        let old = kept.then_some("# mine\nunit = 'x' # y\n");
        let file = spec.to_toml(old).unwrap();
        let again = check(&RawSettings::from_toml(&file).unwrap()).unwrap();
        prop_assert_eq!(&again, &spec);
        prop_assert_eq!(again.to_toml(Some(&file)).unwrap(), file);
    }

    #[test]
    fn no_text_makes_it_panic(text in "\\PC{0,60}") {
        _ = RawSettings::from_toml(&text).map(|settings| check(&settings));
        let all = RawSettings { server: Some(text.clone()), domain: Some(text.clone()), data: Some(text.clone()), run_as: Some(text.clone()), email: Some(text.clone()), state: Some(text), ..RawSettings::default() };
        _ = check(&all);
    }
}

/// A host name with `length` characters and the last label `lan`.
fn long(length: usize) -> String {
    let labels = format!("{}.", "a".repeat(63)).repeat(4);
    format!("{}b.lan", &labels[..length - 5])
}

#[test]
fn a_name_is_as_long_as_dns_has_them_where_no_port_is_told() {
    assert_eq!(named(&long(253), "lan").host().to_string().len(), 253);
    let with_port = |length| RawSettings {
        server: Some(long(length)),
        domain: some("lan"),
        anonymous_port: some("65535"),
        ..RawSettings::default()
    };
    assert_eq!(check(&with_port(246)).unwrap().host().to_string().len(), 246);
    assert!(faults(with_port(247))[0].contains("too long for a registry on port 65535"));
    let second =
        RawSettings { sans: Some(vec![long(253)]), https_port: some("5443"), ..RawSettings::default() };
    assert!(faults(second)[0].contains("port 5443"));
}

#[test]
fn a_certificate_has_a_hundred_names() {
    let names = |count: usize| RawSettings {
        sans: Some((0..count).map(|n| format!("r{n}.{}", long(240))).collect()),
        ..RawSettings::default()
    };
    // The certificate also has the server's own two names.
    assert_eq!(check(&names(98)).unwrap().names().len(), 100);
    assert!(faults(names(99))[0].contains("101 names are too many"));
}

#[test]
fn comments_in_lists_stay() {
    let text = |spec: &Settings, sans: &str| {
        let own = spec.to_toml(None).unwrap().replace("sans = []", &format!("sans = {sans}"));
        let mut settings = RawSettings::from_toml(&own).unwrap();
        settings.sans.get_or_insert_default().push("c.lan".to_owned());
        let new = check(&settings).unwrap();
        let text = new.to_toml(Some(&own)).unwrap();
        assert_eq!(RawSettings::from_toml(&text).unwrap().sans, settings.sans, "{text}");
        let begin = text.find("sans = ").unwrap();
        text[begin..begin + text[begin..].find("\n\n#").unwrap()].to_owned()
    };
    let spec = named("registry1", "lan");
    for (old, new) in [
        (r#"[]"#, r#"["c.lan"]"#),
        (r#"["a.lan", "b.lan"] # all"#, r#"["a.lan", "b.lan", "c.lan"] # all"#),
        (
            "[\n    # the old name\n    \"a.lan\", # until May\n    \"b.lan\", # printers\n]",
            "[\n    # the old name\n    \"a.lan\", # until May\n    \"b.lan\", # printers\n    \"c.lan\",\n]",
        ),
        (
            "[\n  \"a.lan\", # one\n  \"b.lan\" # two\n]",
            "[\n  \"a.lan\", # one\n  \"b.lan\", # two\n  \"c.lan\",\n]",
        ),
    ] {
        assert_eq!(text(&spec, old), format!("sans = {new}"));
    }
}

#[test]
fn the_comment_of_a_value_that_goes_stays() {
    let spec = named("registry1", "lan");
    let own = spec.to_toml(None).unwrap().replace(
        "anonymous-repos = [\"*\"]",
        "anonymous-repos = [\n  # for all\n  \"public/*\",\n  # for CI\n  \"ci/*\",\n]",
    );
    let mut settings = RawSettings::from_toml(&own).unwrap();
    settings.anonymous_repos = Some(vec!["ci/*".to_owned()]);
    let text = check(&settings).unwrap().to_toml(Some(&own)).unwrap();
    assert!(text.contains("# for all") && text.contains("# for CI\n  \"ci/*\""), "{text}");
    assert_eq!(RawSettings::from_toml(&text).unwrap().anonymous_repos, settings.anonymous_repos, "{text}");
}
