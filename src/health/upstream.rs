//! Finds out whether a mirror can fetch from its upstream.

use super::finding::Finding;
use super::seen::Answer;

/// The files with all root certificates, one for each family of systems (Debian, Fedora, SUSE, Alpine).
pub const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// The upstream's answer to `GET /v2/` without a password.
pub struct UpstreamSeen<'a> {
    /// The upstream's address, in the form of `--mirror-of`.
    pub url: &'a str,
    /// The proxy that the registry's container uses to reach the upstream.
    pub through: Option<String>,
    /// The answer, or the reason for a missing one; `None` if regcert cannot use the proxy in `through`.
    pub answer: Option<Result<Answer, String>>,
}

/// Reports whether the mirror can fetch from its upstream.
pub fn upstream(seen: &UpstreamSeen<'_>) -> Finding {
    let UpstreamSeen { url, through, answer } = seen;
    let name = "upstream";
    let way = through.as_ref().map(|proxy| format!(" through the proxy {proxy}")).unwrap_or_default();
    let answer = match answer {
        None => return Finding::not_tried(name, format!("the registry asks {url}{way}, and regcert cannot")),
        Some(Ok(answer)) => answer,
        Some(Err(why)) if why.contains("certificate") => {
            return Finding::broken(
                name,
                format!("the certificate of {url} is refused: {why}; nothing new can be fetched"),
                "run `regcert init --upstream-ca FILE --reload` with the root certificate of its authority"
                    .to_owned(),
            );
        }
        Some(Err(why)) => {
            let hint = match through {
                Some(_) => {
                    "see that this machine reaches the proxy, and that the proxy lets the registry through; the proxy is set in docker-compose.override.yml, or in ~/.docker/config.json"
                }
                None => {
                    "see that it runs, and that this machine reaches it; behind a proxy, set HTTPS_PROXY for the service `registry` in docker-compose.override.yml"
                }
            };
            let message = format!("{url} does not answer{way}: {why}; nothing new can be fetched");
            return Finding::broken(name, message, hint);
        }
    };
    let challenge = answer.header("www-authenticate").unwrap_or_default().to_ascii_lowercase();
    match answer.status {
        200 => Finding::held(name, format!("{url} asks for no password{way}")),
        401 if challenge.starts_with("bearer ") => Finding::held(name, format!("{url} asks for a token{way}")),
        // distribution's mirror can log in only with a token (`registry/proxy/proxyregistry.go`).
        401 => Finding::broken(
            name,
            format!(
                "{url} asks for a password itself, and a mirror can only fetch a token: it finds no image"
            ),
            "mirror an address that asks for none, or one that gives tokens: a registry of regcert has one after `init --anonymous-port PORT --reload` there; then run `regcert init --mirror-of https://HOST:PORT --reload` here".to_owned(),
        ),
        status => Finding::broken(
            name,
            format!("{url} is not a registry: it answers `GET /v2/` with {status}"),
            "run `regcert init --mirror-of URL --reload` with the address of a registry".to_owned(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::health::State;

    fn judged(status: u16, challenge: &str) -> Finding {
        let headers = vec![("www-authenticate".to_owned(), challenge.to_owned())];
        let answer = Some(Ok(Answer { status, headers, body: Vec::new() }));
        upstream(&UpstreamSeen { url: "https://a.lan", through: None, answer })
    }

    #[test]
    fn a_mirror_fetches_without_a_password_or_with_a_token() {
        assert_eq!(judged(200, "").state, State::Held);
        assert_eq!(judged(401, "Bearer realm=\"https://auth.a.lan\"").state, State::Held);
        for (status, challenge) in [(401, "Basic realm=\"registry\""), (401, ""), (404, ""), (502, "")] {
            assert_eq!(judged(status, challenge).state, State::Broken, "{status} {challenge}");
        }
        assert!(judged(401, "Basic realm=\"registry\"").cure.contains("--anonymous-port"));
    }

    #[test]
    fn a_refused_certificate_has_another_cure_than_silence() {
        let link = |why: &str| {
            let answer = Some(Err(why.to_owned()));
            upstream(&UpstreamSeen { url: "https://a.lan", through: None, answer })
        };
        assert!(
            link("invalid peer certificate: UnknownIssuer")
                .cure
                .starts_with("run `regcert init --upstream-ca")
        );
        assert!(link("connection refused").cure.contains("runs"));
    }
}
