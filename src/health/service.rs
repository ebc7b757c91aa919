//! The findings after the handshake: the registry's answers to the user, and whether stored data comes back intact.

use std::time::Duration;

use time::OffsetDateTime;
use time::format_description::StaticFormatDescription;
use time::macros::format_description;

use super::answer::{Cure, location_fault, reason};
use super::finding::{Finding, waits};
use super::known::{Known, RolesOnDisk};
use super::seen::{Answer, Seen};
use super::{behind, roles};
use crate::auth::Login;
use crate::files::Part;

/// The only date format that servers may send (RFC 9110 §5.6.7).
const DATE: StaticFormatDescription =
    format_description!("[weekday repr:short], [day] [month repr:short] [year] [hour]:[minute]:[second] GMT");

/// The maximum accepted difference between clocks. Beyond it, machines refuse each other's tickets and tokens (RFC
/// 4120 §5.2.3 recommends five minutes). A new certificate is valid from only an hour before its creation.
const SKEW: Duration = Duration::from_secs(300);

/// Adds the findings, from the first request to the last.
pub(super) fn links(known: &Known<'_>, seen: &Seen, links: &mut Vec<Finding>) {
    let judged: [(&'static str, Option<Finding>); 7] = [
        ("api", seen.api.as_ref().map(|answer| api(known, answer, seen))),
        ("clock", clock(known, seen)),
        ("registry", Some(behind::registry(known, seen, &waits(links)))),
        ("login", login(known, seen)),
        ("location", seen.start.as_ref().map(|answer| location(known, answer))),
        ("upload", seen.chunk.as_ref().map(|answer| upload(known, answer))),
        ("digest", seen.trip.as_ref().map(|_| digest(known, seen))),
    ];
    for (name, link) in judged {
        let pushes = matches!(name, "location" | "upload" | "digest");
        if let Some(why) = roles::no_push(known, seen, name).filter(|_| pushes) {
            links.push(Finding::not_tried(name, why));
            continue;
        }
        let link = link.unwrap_or_else(|| {
            if seen.login.is_none()
                && matches!(name, "login" | "location" | "upload" | "digest")
                && known.user.is_none()
            {
                return Finding::not_tried(name, "no login: `--user NAME --password-stdin`");
            }
            Finding::not_tried(name, waits(links))
        });
        links.push(link);
    }
    links.push(roles::roles(known, seen, &waits(links)));
}

fn unanswered(known: &Known<'_>, name: &'static str, what: &str, why: &str) -> Finding {
    Finding::broken(name, format!("{what}: {why}"), known.restarts())
}

fn unexpected(known: &Known<'_>, name: &'static str, what: &str, answer: &Answer) -> Finding {
    let reason = reason(answer, what);
    Finding::broken(name, reason.message, known.cure(reason.cure))
}

/// Returns the number of headers with the API's version in an answer. One is correct.
fn versions(answer: &Answer) -> usize {
    answer.all("docker-distribution-api-version").len()
}

fn api(known: &Known<'_>, answer: &Result<Answer, String>, seen: &Seen) -> Finding {
    let what = "`GET /v2/` without a password";
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) => return unanswered(known, "api", what, why),
    };
    if answer.status == 200 {
        let message = "anybody gets in: `GET /v2/` is answered with 200 without a password";
        let hint = known.cure(Cure::Proxy(
            "if ($challenge) { return 401; } … auth_request /-/users; … auth_request /-/password;",
        ));
        return Finding::broken("api", message, hint);
    }
    if answer.status != 401 {
        return unexpected(known, "api", what, answer);
    }
    if !answer.asks_for_password() {
        let message = "401 comes without `WWW-Authenticate: Basic`: no client knows how to log in";
        let line = "add_header WWW-Authenticate $challenge always;";
        return Finding::broken("api", message, known.cure(Cure::Proxy(line)));
    }
    let logged_in = seen.login.as_ref().and_then(|answer| answer.as_ref().ok());
    for (with, answer) in
        [("without", Some(answer)), ("with", logged_in.filter(|answer| answer.status == 200))]
    {
        let Some(count) = answer.map(versions).filter(|count| *count != 1) else {
            continue;
        };
        let message = format!(
            "Docker-Distribution-Api-Version comes {count} times {with} a password, and once is right"
        );
        let line = "add_header Docker-Distribution-Api-Version $api_version always;";
        return Finding::broken("api", message, known.cure(Cure::Proxy(line)));
    }
    Finding::held("api", "401 without a password, `Basic` to log in, one API version")
}

fn clock(known: &Known<'_>, seen: &Seen) -> Option<Finding> {
    let answer = seen.api.as_ref()?.as_ref().ok()?;
    let there = answer.header("date").and_then(|date| time::PrimitiveDateTime::parse(date, DATE).ok());
    let Some(there) = there.map(time::PrimitiveDateTime::assume_utc) else {
        return Some(Finding::not_tried("clock", "the server does not say what time it has"));
    };
    let here: OffsetDateTime = known.now + seen.api_after;
    let skew = (there - here).unsigned_abs();
    if skew <= SKEW {
        return Some(Finding::held("clock", "the server has the same time as this machine"));
    }
    let way = if there > here { "ahead of" } else { "behind" };
    let message = format!("the server's clock is {} {way} this machine's", span(skew));
    let hint = format!(
        "run `sudo timedatectl set-ntp true` on whichever is wrong: it is {} here",
        here.replace_nanosecond(0).unwrap_or(here).to_string().replace(".0 +00:00:00", " UTC")
    );
    Some(Finding::broken("clock", message, hint))
}

fn span(length: Duration) -> String {
    let minutes = length.as_secs() / 60;
    match (minutes / 1440, minutes / 60, minutes) {
        (0, 0, minutes) => format!("{minutes} minutes"),
        (0, hours, minutes) => format!("{hours} h {} min", minutes % 60),
        (days, hours, _) => format!("{days} days {} h", hours % 24),
    }
}

fn login(known: &Known<'_>, seen: &Seen) -> Option<Finding> {
    let what = "`GET /v2/` with the password";
    let user = known.user?;
    let answer = match seen.login.as_ref()? {
        Ok(answer) => answer,
        Err(why) => return Some(unanswered(known, "login", what, why)),
    };
    Some(match answer.status {
        200 => Finding::held("login", format!("`{user}` gets in")),
        401 => refused(known, user.as_str()),
        // The finding `registry` reports this.
        502..=504 => return None,
        403 | 500 => {
            let reason = reason(answer, what);
            let message = format!("{}; it may not be able to read the password file", reason.message);
            Finding::broken("login", message, known.cure(Cure::UsersFile))
        }
        _ => unexpected(known, "login", what, answer),
    })
}

fn refused(known: &Known<'_>, user: &str) -> Finding {
    let again = known.regcert(&format!("add-user {user}"));
    let (message, hint) = match &known.entry {
        Some(Login::NoSuchUser) => (format!("there is no user `{user}` in the password file"), again),
        Some(Login::OtherHash) => (
            format!(
                "the password file has another kind of hash than bcrypt for `{user}`, and not every server reads it"
            ),
            format!("{again}, which gives a new password"),
        ),
        Some(Login::WrongPassword) => (
            format!("the password is not the one of `{user}`"),
            format!("try another, or {again}, which gives a new one in place of the old"),
        ),
        Some(Login::Good) => (
            format!(
                "the password of `{user}` is right, and the server refuses it: it has not read the roles since they changed, or reads another password file"
            ),
            other_passwords(known),
        ),
        None => (
            format!("`{user}` is refused: no such user, or another password"),
            format!("try another; or {again}, which gives a new password in place of an old one"),
        ),
    };
    Finding::broken("login", message, hint)
}

/// Returns the cure if the server uses roles or passwords other than those in the directory.
fn other_passwords(known: &Known<'_>) -> String {
    let first = known.takes_roles();
    if known.roles == RolesOnDisk::Unread {
        return first;
    }
    let then = known.mends(&[Part::Front], "nginx.conf must name the password files of the directory");
    format!("{first}; where that does not help: {then}")
}

fn location(known: &Known<'_>, start: &Result<Answer, String>) -> Finding {
    let what = "the start of an upload";
    let answer = match start {
        Ok(answer) => answer,
        Err(why) => return unanswered(known, "location", what, why),
    };
    if answer.status != 202 {
        return unexpected(known, "location", what, answer);
    }
    let Some(location) = answer.header("location") else {
        return Finding::broken(
            "location",
            format!("{what} is answered without `Location`"),
            known.cure(Cure::Log),
        );
    };
    match location_fault(known.target, location) {
        None => Finding::held("location", format!("uploads stay at {}", known.target.url("/"))),
        Some((message, line)) => Finding::broken("location", message, known.cure(Cure::Proxy(line))),
    }
}

fn upload(known: &Known<'_>, chunk: &Result<Answer, String>) -> Finding {
    let what = "a chunk of 1.5 MB";
    match chunk {
        Err(why) => unanswered(known, "upload", what, why),
        Ok(answer) if answer.status == 202 => Finding::held("upload", "1.5 MB in chunks, taken back again"),
        Ok(answer) => {
            let mut reason = reason(answer, what);
            // A proxy can fail by itself only if it stores the upload before it forwards it.
            if answer.status == 500 && reason.cure == Cure::Log && !answer.body.starts_with(b"{") {
                reason.message += "; it may store each upload itself first, and have no room for it";
                reason.cure = Cure::Proxy("proxy_http_version 1.1; proxy_request_buffering off;");
            }
            Finding::broken("upload", reason.message, known.cure(reason.cure))
        }
    }
}

fn digest(known: &Known<'_>, seen: &Seen) -> Finding {
    let trip = match seen.trip.as_ref() {
        Some(Ok(trip)) => trip,
        Some(Err(why)) => return unanswered(known, "digest", "a blob and a manifest", why),
        None => return Finding::not_tried("digest", "not asked for"),
    };
    match trip.steps.last().filter(|step| !step.is_done()) {
        Some(step) if step.answer.status == step.expected => Finding::broken(
            "digest",
            format!("to {} gives other bytes than were stored: something between changes them", step.what),
            known.mends(&[Part::Front], "nginx.conf must not filter or compress below /v2/"),
        ),
        Some(step) => {
            let mut reason = reason(&step.answer, &format!("to {}", step.what));
            // nginx has just read the password file, so the unreadable file is an image layer.
            if reason.cure == Cure::UsersFile {
                reason.message += "; it may not be able to read the directory with the images";
                reason.cure = Cure::DataOwner;
            }
            Finding::broken("digest", reason.message, known.cure(reason.cure))
        }
        None if trip.deleted == Some(202) => {
            Finding::held("digest", "a blob and a manifest come back as they were, and are deleted")
        }
        None => {
            let user = known.user.map_or_else(String::new, |user| user.to_string());
            let why = if trip.deleted == Some(403) {
                format!("`{user}` may not delete")
            } else {
                "nothing can be deleted".to_owned()
            };
            Finding::held(
                "digest",
                format!("a blob and a manifest come back as they were; they stay, as {why}"),
            )
        }
    }
}
