//! Tests of certificates that end together with their authority, and of the text that reports an end.

use super::*;

#[test]
fn a_certificate_stays_within_the_life_of_its_root() {
    let root = authority(&["lan"]);
    let issue = |now, days| {
        root.issue(&ServerProfile { names: &names(&["a.lan"]), subject: &subject(), days }, p256(), now)
    };
    let end = root.root().validity.not_after;
    assert_eq!(end, datetime!(2036-11-17 11:34:55 UTC));
    // The last time for a certificate of 365 days: it begins an hour earlier and is one second shorter than 365 days.
    let last = end - Duration::days(365) + Duration::HOUR + Duration::SECOND;
    for (now, days) in [(last, 365), (last + Duration::SECOND, 365), (end - Duration::DAY, 3), (end, 1)] {
        let leaf = issue(now, days).unwrap();
        assert_eq!(leaf.leaf().validity.not_after, end, "{now}");
    }
    assert_eq!(issue(last + Duration::DAY, 365).unwrap().leaf().validity.days(), 364);
    assert_eq!(issue(last - Duration::DAY, 365).unwrap().leaf().validity.not_after, end - Duration::DAY);
    let fault = issue(end + Duration::days(51), 365).unwrap_err();
    assert_eq!(
        fault.message,
        "the authority's certificate ended on 2036-11-17, 51 days ago: it can sign nothing more"
    );
    assert_eq!(
        fault.hint,
        "run `regcert rotate --ca --reload`, which replaces the root, and give every client the new one; if this machine's clock is wrong, set it"
    );
    let early = issue(datetime!(2026-11-20 11:34:55 UTC), 365).unwrap_err();
    assert_eq!(early.message, "the authority's certificate begins on 2026-11-20, and today is 2026-11-20");
    assert_eq!(early.hint, "set this machine's clock");
}

#[test]
fn an_end_is_told_in_a_sentence() {
    let now = datetime!(2037-01-14 12:00 UTC);
    for (end, text) in [
        (datetime!(2036-11-24 11:59:59 UTC), "ended on 2036-11-24, 51 days ago"),
        (datetime!(2037-01-13 11:00 UTC), "ended on 2037-01-13, 1 day ago"),
        (datetime!(2037-01-14 11:59:59 UTC), "ended on 2037-01-14, less than a day ago"),
        (datetime!(2037-01-14 12:00 UTC), "ends on 2037-01-14, in less than a day"),
        (datetime!(2037-01-15 12:00 UTC), "ends on 2037-01-15, in 1 day"),
        (datetime!(2037-03-06 12:00 UTC), "ends on 2037-03-06, in 51 days"),
    ] {
        assert_eq!(when(end, now), text);
    }
}
