//! Everything of a registry that has a date, over eleven years: each is announced in time, its hint is run as it is
//! printed, and then it is announced no more. The clock is moved; nothing here depends on today.

#![allow(clippy::disallowed_methods, clippy::unwrap_used)] // Tests read and write what they like.

mod common;

use common::{Sandbox, is_thorough};
use serde_json::Value;

/// What has a date: how it comes to be, its row in `status`, the last day without that row, and days with it.
struct Dated {
    what: &'static str,
    made: &'static [&'static str],
    subject: &'static str,
    quiet: u16,
    told: &'static [(u16, &'static str)],
}

const NEW: &str = "regcert init --registry-server-name r.myhouse.local";

const TABLE: &[Dated] = &[
    Dated {
        what: "a server certificate",
        made: &[NEW],
        subject: "nginx/ssl/r.myhouse.local.crt",
        quiet: 334,
        told: &[
            (335, "the server certificate is due: it ends on [DATE], in 29 days"),
            (364, "the server certificate is due: it ends on [DATE], in less than a day"),
            (365, "the server certificate is due: it ended on [DATE], less than a day ago"),
            (730, "the server certificate is due: it ended on [DATE], 365 days ago"),
        ],
    },
    Dated {
        what: "a root",
        made: &[NEW],
        subject: "root-cert/root-cert-myhouse.local.crt",
        quiet: 3102,
        told: &[
            (3103, "the root certificate ends on [DATE], in 546 days"),
            (3285, "the root certificate ends on [DATE], in 364 days"),
            (3649, "the root certificate ends on [DATE], in less than a day"),
            (3701, "the root certificate ended on [DATE], 51 days ago"),
            (4015, "the root certificate ended on [DATE], 365 days ago"),
        ],
    },
    Dated {
        what: "a root whose certificates are short",
        made: &["regcert init --registry-server-name r.myhouse.local --days 30"],
        subject: "root-cert/root-cert-myhouse.local.crt",
        quiet: 3284,
        told: &[(3285, "the root certificate ends on [DATE], in 364 days")],
    },
    Dated {
        what: "a root whose key is elsewhere",
        made: &[
            "regcert init --registry-server-name r.myhouse.local --offline-root",
            "mv registry/root-cert/root-cert-myhouse.local.key root.key",
        ],
        subject: "root-cert/root-cert-myhouse.local.crt",
        quiet: 3102,
        told: &[(3103, "the root certificate ends on [DATE], in 546 days")],
    },
    Dated {
        what: "a retiring root",
        made: &[NEW, "ahead 3200 regcert rotate --ca"],
        subject: "rotation",
        quiet: 3199,
        told: &[
            (
                3200,
                "two roots are in everything below trust/ since [DATE]: the one with SHA-256 [FINGERPRINT] is on its way out, and ends on [DATE], in 449 days",
            ),
            (
                3701,
                "two roots are in everything below trust/: the one with SHA-256 [FINGERPRINT] ended on [DATE], 51 days ago, and no client accepts it any more",
            ),
        ],
    },
    Dated {
        what: "a client certificate",
        made: &[NEW, "regcert add-client laptop"],
        subject: "client laptop",
        quiet: 334,
        told: &[
            (335, "the client certificate ends on [DATE], in 29 days"),
            (400, "the client certificate ended on [DATE], 35 days ago"),
            (3700, "the client certificate ended on [DATE], 3335 days ago"),
        ],
    },
    Dated {
        what: "the authority for clients and its revocation list",
        made: &[NEW, "regcert add-client laptop"],
        subject: "clients/clients-ca.crt",
        quiet: 3102,
        told: &[
            (
                3103,
                "the authority for client certificates, and its list of revoked ones, ends on [DATE], in 546 days",
            ),
            (
                3701,
                "the authority for client certificates, and its list of revoked ones, ended on [DATE], 51 days ago",
            ),
        ],
    },
    Dated {
        what: "the authority for clients where an external one signs for the server",
        made: &[
            NEW,
            "regcert -C other init --external-ca",
            "cp -r registry theirs",
            EXTERNAL,
            "regcert add-client laptop",
        ],
        subject: "clients/clients-ca.crt",
        quiet: 3102,
        told: &[(
            3103,
            "the authority for client certificates, and its list of revoked ones, ends on [DATE], in 546 days",
        )],
    },
    Dated {
        what: "an external authority's root",
        made: &[NEW, "cp -r registry theirs", EXTERNAL],
        subject: "root-cert/root-cert-myhouse.local.crt",
        quiet: 3102,
        told: &[
            (3103, "the root certificate ends on [DATE], in 546 days"),
            (3701, "the root certificate ended on [DATE], 51 days ago"),
        ],
    },
    Dated {
        what: "an imported chain",
        made: &[NEW, "cp -r registry theirs", EXTERNAL],
        subject: "nginx/ssl/r.myhouse.local.crt",
        quiet: 334,
        told: &[
            (335, "the server certificate is due: it ends on [DATE], in 29 days"),
            (400, "the server certificate is due: it ended on [DATE], 35 days ago"),
        ],
    },
];

/// Another registry's authority signs for this one.
const EXTERNAL: &str = "rm -r registry && regcert init --registry-server-name r.myhouse.local --external-ca && regcert -C theirs sign registry/request/*.csr >signed.pem && regcert import-cert signed.pem --ca-cert theirs/root-cert/root-cert-myhouse.local.crt";

/// What `status` says on that day.
fn findings(sandbox: &Sandbox, day: u16) -> Vec<Value> {
    let output = sandbox.sh(&format!("ahead {day} regcert status --json"));
    let status: Value = serde_json::from_slice(&output.stdout)
        .unwrap_or_else(|e| panic!("{e}: {}", String::from_utf8_lossy(&output.stderr)));
    let findings = status["findings"].as_array().unwrap().clone();
    let needs = findings.iter().any(|finding| finding["state"] != "note");
    assert_eq!(output.status.code(), Some(if needs { 3 } else { 0 }), "{findings:?}");
    findings
}

fn about(findings: &[Value], subject: &str) -> Option<(String, String)> {
    let finding = findings.iter().find(|finding| finding["place"] == subject || finding["id"] == subject)?;
    Some((finding["message"].as_str()?.to_owned(), finding["cure"].as_str()?.to_owned()))
}

/// Runs every command of a hint on that day, but for what needs Docker; what a person is to do between them as well.
fn cure(sandbox: &Sandbox, day: u16, hint: &str) {
    if hint.contains("bring it back") {
        sandbox.ok("cp root.key registry/root-cert/root-cert-myhouse.local.key");
    }
    let first = hint.split("; or ").next().unwrap();
    for command in first.split('`').skip(1).step_by(2).filter(|text| text.starts_with("regcert ")) {
        // The other way out, for a root that another authority keeps.
        if hint.contains("bring it back") && command == "regcert csr" {
            continue;
        }
        if command.contains("--ca-cert ROOT") {
            // The external authority has its next root: begun and finished, or replaced at once where the last has ended.
            sandbox.ok(&format!("ahead {day} regcert -C theirs rotate --ca"));
            sandbox.sh(&format!("ahead {day} regcert -C theirs rotate --ca --finish"));
            sandbox.ok("cp theirs/root-cert/root-cert-myhouse.local.crt ROOT");
        }
        if command.starts_with("regcert import-cert") {
            sandbox.ok(&format!("ahead {day} regcert -C theirs sign registry/request/*.csr >FILE"));
        }
        sandbox.ok(&format!("ahead {day} {}", command.replace(" --reload", "")));
    }
}

#[test]
fn what_ends_is_announced_in_time_and_its_hint_cures() {
    for Dated { what, made, subject, quiet, told } in TABLE {
        let sandbox = || {
            let sandbox = Sandbox::new();
            made.iter().for_each(|line| _ = sandbox.ok(line));
            sandbox
        };
        let before = sandbox();
        if !made.iter().any(|line| line.contains(&format!("ahead {}", quiet + 1))) {
            assert_eq!(about(&findings(&before, *quiet), subject), None, "{what}, day {quiet}");
        }
        for (day, message) in *told {
            let sandbox = sandbox();
            let (said, hint) = about(&findings(&sandbox, *day), subject)
                .unwrap_or_else(|| panic!("{what}, day {day}: {:?}", findings(&sandbox, *day)));
            assert_eq!(common::redact(&said, sandbox.path()), *message, "{what}, day {day}");
            cure(&sandbox, *day, &hint);
            let left = findings(&sandbox, *day);
            assert_eq!(about(&left, subject), None, "{what}, day {day}, after: {hint}");
            // Of all that has a date, only what else the day has brought is left.
            cure_all(&sandbox, *day, what);
        }
    }
}

/// Every other row as well, one after the other, until nothing needs doing.
fn cure_all(sandbox: &Sandbox, day: u16, what: &str) {
    for _ in 0..6 {
        let left = findings(sandbox, day);
        let Some(finding) = left.iter().find(|finding| finding["state"] != "note") else {
            return;
        };
        cure(sandbox, day, finding["cure"].as_str().unwrap());
    }
    panic!("{what}, day {day}: {:?}", findings(sandbox, day));
}

/// What `rotate --if-due` did over the years: the day, its exit code, and what the server certificate ends with.
#[test]
fn a_timer_serves_a_good_certificate_through_the_last_year_of_a_root_and_beyond() {
    for (made, person) in [
        (NEW, None),
        ("regcert init --registry-server-name r.myhouse.local --days 30", None),
        ("regcert init --registry-server-name r.myhouse.local --days 825", None),
        // Only a person can bring its key, and does so in the last month.
        (
            "regcert init --registry-server-name r.myhouse.local --offline-root && mv registry/root-cert/root-cert-*.key .",
            Some(3635),
        ),
    ] {
        let sandbox = Sandbox::new();
        sandbox.ok(made);
        sandbox.ok("regcert add-client laptop");
        let mut person = person;
        // Fewer days in the plain tier, and still three in the last month of the root.
        let days = (0..=390).chain(3090..=3720).chain(4005..=4035);
        let days = days.step_by(15).enumerate();
        let days = days.filter(|(n, day)| is_thorough() || n % 3 == 0 || (3590..3680).contains(day));
        let days = days.map(|(_, day)| day);
        for day in days {
            let output = sandbox.sh(&format!("ahead {day} regcert rotate --if-due"));
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            let last_month = (3620..3650).contains(&day);
            assert_eq!(
                output.status.code(),
                Some(if last_month { 3 } else { 0 }),
                "{made}, day {day}: {said}"
            );
            if person.is_some_and(|from| day >= from) {
                person = None;
                sandbox.ok(&format!(
                    "mv root-cert-*.key registry/root-cert/ && ahead {day} regcert rotate --ca"
                ));
            }
            let status = sandbox.sh(&format!("ahead {day} regcert status --json")).stdout;
            let status: Value = serde_json::from_slice(&status).unwrap();
            let left = status["server"]["days_left"].as_i64().unwrap();
            // A certificate of 30 days is renewed 10 days before its end.
            assert!(left >= 10, "{made}, day {day}: {left} days left");
            let errors = status["findings"].as_array().unwrap().iter().any(|row| row["state"] == "broken");
            assert!(!errors, "{made}, day {day}: {}", status["findings"]);
        }
    }
}

#[test]
fn a_timer_renews_the_authority_for_clients_where_an_external_one_signs_for_the_server() {
    let sandbox = Sandbox::new();
    for line in [NEW, "cp -r registry theirs", EXTERNAL, "regcert add-client laptop"] {
        sandbox.ok(line);
    }
    for line in [
        "csr",
        "-C theirs sign registry/request/r.myhouse.local.csr >FILE",
        "import-cert FILE --ca-cert theirs/root-cert/root-cert-myhouse.local.crt",
    ] {
        sandbox.ok(&format!("ahead 3103 regcert {line}"));
    }
    assert!(about(&findings(&sandbox, 3103), "clients/clients-ca.crt").is_some());
    sandbox.ok("ahead 3103 regcert rotate --if-due");
    assert_eq!(about(&findings(&sandbox, 3103), "clients/clients-ca.crt"), None);
}

#[test]
fn what_clients_are_given_does_not_change_with_the_clock() {
    let sandbox = Sandbox::new();
    sandbox.ok(&format!("{NEW} && regcert trust"));
    sandbox.ok("cp -r registry/trust before; cp registry/nginx/www/index.html page");
    for day in [365, 730, 3285, 3650, 4015] {
        sandbox.ok(&format!("ahead {day} regcert trust"));
        sandbox.ok("cd registry/trust; for file in $(find . -type f); do cmp $file ../../before/$file; done");
        sandbox.ok("cmp registry/nginx/www/index.html page");
    }
    // A package of a later root has a higher version, whatever the year.
    sandbox.ok("ahead 3300 regcert rotate --ca");
    let version = |line: &str| {
        let status: Value =
            serde_json::from_str(&sandbox.sh(line).stdout.iter().map(|b| *b as char).collect::<String>())
                .unwrap();
        status["packages"].as_str().unwrap().to_owned()
    };
    let (begun, _) =
        (version("ahead 3300 regcert status --json"), sandbox.ok("ahead 3301 regcert rotate --ca --finish"));
    assert!(version("ahead 3301 regcert status --json") > begun);
}
