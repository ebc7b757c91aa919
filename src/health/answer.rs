//! Finds the server that sent an unexpected HTTP answer, and the reason.

use super::seen::{Answer, Target};

/// The reason for an unexpected answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Reason {
    /// The message for the user: the request, the status, the server that answered, and the reason.
    pub message: String,
    pub cure: Cure,
}

/// The kind of remedy for a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cure {
    /// Put this line into the proxy's configuration.
    Proxy(&'static str),
    /// Start the registry behind the proxy: it does not run.
    Start,
    /// Change the owner of the image directory: the registry cannot write to it.
    DataOwner,
    /// Free space on the disk with the images: it is full.
    DataSpace,
    /// Remount the disk with the images: it is read-only.
    DiskReadOnly,
    /// Allow writes in the registry's configuration.
    ReadOnlyMode,
    /// Correct the password files that the server reads at each login.
    UsersFile,
    /// Change the role or the repositories of the user.
    Rights,
    /// Use a client certificate.
    ClientCertificate,
    /// Use another name: the server does not have this one.
    ServerName,
    /// Try again later: a client is guessing passwords.
    Wait,
    /// Try again later: a garbage collection is running.
    Collection,
    /// Read the log: the answer does not contain the cause.
    Log,
}

/// The first error in the body of an answer, in the format of the distribution specification.
struct RegistryError {
    code: String,
    message: String,
    /// The file system error behind this error, if there is one.
    disk: Option<Disk>,
}

/// The file system errors that have their own remedies.
#[derive(Debug, Clone, Copy)]
enum Disk {
    Full,
    ReadOnly,
    Forbidden,
}

fn registry_error(answer: &Answer) -> Option<RegistryError> {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).ok()?;
    let first = body.get("errors")?.get(0)?;
    let text = |key: &str| first.get(key).and_then(|value| value.as_str()).unwrap_or_default().to_owned();
    Some(RegistryError {
        code: text("code"),
        message: text("message"),
        disk: first.get("detail").and_then(disk),
    })
}

/// The messages of file system errors (strerror(3), in lower case), each with its cure.
const FILE_SYSTEM: [(&str, Disk, Cure); 3] = [
    ("no space left on device", Disk::Full, Cure::DataSpace),
    ("read-only file system", Disk::ReadOnly, Cure::DiskReadOnly),
    ("permission denied", Disk::Forbidden, Cure::DataOwner),
];

/// Returns the cure if the health check of the registry's container reports a storage fault; `None` for any other
/// message.
pub(super) fn storage(said: &str) -> Option<Cure> {
    let said = said.to_lowercase();
    let named = FILE_SYSTEM.into_iter().find_map(|(why, _, cure)| said.contains(why).then_some(cure));
    // A message without one of these reasons comes from the permission test, which precedes the first write.
    let owner = || said.contains("storage of the registry cannot be").then_some(Cure::DataOwner);
    if said.contains("storage of the registry") { named.or_else(owner) } else { None }
}

/// Finds a file system error in the `detail` of an error: a number at any depth, or a text that ends with its name.
fn disk(detail: &serde_json::Value) -> Option<Disk> {
    match detail {
        serde_json::Value::Object(fields) => {
            // The numbers are Linux's ENOSPC, EROFS, EPERM and EACCES (errno(3)).
            let own = match fields.get("Err").and_then(serde_json::Value::as_i64) {
                Some(28) => Some(Disk::Full),
                Some(30) => Some(Disk::ReadOnly),
                Some(1 | 13) => Some(Disk::Forbidden),
                Some(_) | None => None,
            };
            own.or_else(|| fields.values().find_map(disk))
        }
        serde_json::Value::Array(items) => items.iter().find_map(disk),
        serde_json::Value::String(text) => {
            FILE_SYSTEM.into_iter().find_map(|(end, disk, _)| text.ends_with(end).then_some(disk))
        }
        serde_json::Value::Null | serde_json::Value::Bool(_) | serde_json::Value::Number(_) => None,
    }
}

/// Whether the registry, or nginx in the registry's format, denies the user this request.
pub(super) fn is_denied(answer: &Answer) -> bool {
    answer.status == 403 && registry_error(answer).is_some_and(|error| error.code == "DENIED")
}

/// Returns the code and the message of an error that the registry, or nginx in front of it, sent as JSON.
pub fn registry_said(answer: &Answer) -> Option<(String, String)> {
    registry_error(answer).map(|error| (error.code, error.message))
}

/// Returns the reason for an unexpected answer as text. `what` names the request.
pub fn explained(answer: &Answer, what: &str) -> String {
    reason(answer, what).message
}

/// Returns the reason for an unexpected answer, and the cure. `what` names the request.
pub(super) fn reason(answer: &Answer, what: &str) -> Reason {
    let status = answer.status;
    match registry_error(answer) {
        Some(error) if !is_of_nginx(status, &error) => return registry_reason(status, &error, what),
        Some(_) | None => {}
    }
    let text = String::from_utf8_lossy(&answer.body);
    let certificate = status == 400 && text.contains("SSL certificate");
    let (message, cure) = match status {
        400 if certificate => (
            "the server wants a client certificate, and takes no other login without it",
            Cure::ClientCertificate,
        ),
        401 => ("the password is refused", Cure::Rights),
        403 => ("it is forbidden: by the proxy, not by the registry", Cure::UsersFile),
        404 => (
            "nothing is served there: the proxy does not hand it to a registry",
            Cure::Proxy("location /v2/ { … } … location @authenticated { … proxy_pass http://registry; }"),
        ),
        405 => ("the registry is in read-only mode, or a mirror", Cure::ReadOnlyMode),
        411 => ("the proxy takes no body of unknown length", Cure::Proxy("proxy_http_version 1.1;")),
        413 => ("the proxy refuses bodies of that size", Cure::Proxy("client_max_body_size 0;")),
        421 => ("the server has no such name", Cure::ServerName),
        429 => ("too many passwords wait to be checked", Cure::Wait),
        502..=504 => ("the proxy answers, and the registry behind it does not", Cure::Start),
        500 => ("the proxy fails, not the registry", Cure::Log),
        301..=399 => ("it is sent elsewhere: this is not the registry's own address", Cure::ServerName),
        _ => ("that is no answer of a registry", Cure::Log),
    };
    Reason { message: format!("{what} is answered with {status}: {message}"), cure }
}

/// Whether nginx sent the error in the registry's format (`@unavailable` and the locations next to it in nginx.conf).
fn is_of_nginx(status: u16, error: &RegistryError) -> bool {
    matches!(status, 429 | 502 | 504)
        || status == 500 && error.message.starts_with("the password cannot be checked")
}

fn registry_reason(status: u16, error: &RegistryError, what: &str) -> Reason {
    let (why, cure) = match (error.disk, status, error.code.as_str()) {
        (Some(Disk::Full), ..) => ("no space is left on the disk with the images", Cure::DataSpace),
        (Some(Disk::ReadOnly), ..) => ("the disk with the images is mounted read-only", Cure::DiskReadOnly),
        (Some(Disk::Forbidden), ..) => {
            ("the registry may not write to the directory with the images", Cure::DataOwner)
        }
        (None, 405, _) if error.message.contains("regcert gc") => {
            ("a garbage collection is under way", Cure::Collection)
        }
        (None, 421, _) => ("the server has no such name", Cure::ServerName),
        (None, 405, _) => ("it is in read-only mode, or a mirror", Cure::ReadOnlyMode),
        (None, _, "DENIED") | (None, 403, _) => ("the user may not do that", Cure::Rights),
        (None, 401, _) => {
            ("it asks for a password again", Cure::Proxy("proxy_set_header Authorization \"\";"))
        }
        (None, ..) => ("it fails", Cure::Log),
    };
    let said = if error.message.is_empty() { &error.code } else { &error.message };
    let message = format!(
        "{what} is answered with {status} by the registry (`{}`): {why}",
        crate::names::printable(said)
    );
    Reason { message, cure }
}

/// Returns the reason why clients cannot follow `location`, and the line of nginx.conf that corrects this.
pub fn location_fault(target: &Target, location: &str) -> Option<(String, &'static str)> {
    if location.starts_with('/') && !location.starts_with("//") {
        return None;
    }
    let shown = crate::names::printable(location.split('?').next().unwrap_or_default());
    let says = |why: &str| format!("`Location: {shown}` {why}");
    let Some(rest) = location.strip_prefix("https://") else {
        let why = if location.starts_with("http://") { "leads from https to http" } else { "is no address" };
        return Some((says(why), "proxy_set_header X-Forwarded-Proto $scheme;"));
    };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.parse::<Target>() {
        Ok(there) if there == *target => None,
        Ok(there) if there.host == target.host => {
            Some((says(&format!("lacks the port {}", target.port)), "proxy_set_header Host $client_host;"))
        }
        Ok(_) | Err(_) => Some((
            says(&format!("leads away from `{}`", target.host)),
            "proxy_set_header Host $client_host; proxy_set_header X-Forwarded-Host \"\"; proxy_set_header Forwarded \"\";",
        )),
    }
}
