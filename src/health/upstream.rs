//! Whether the registry that a mirror fetches from can be fetched from.

use super::check::Link;
use super::seen::Answer;

/// How `GET /v2/` at the upstream was answered, without a password.
pub struct UpstreamSeen<'a> {
    /// Its address, as `--mirror-of` has it.
    pub url: &'a str,
    /// The answer, or why there is none.
    pub answer: Result<Answer, String>,
}

/// The link from a mirror to its upstream.
pub fn upstream(seen: &UpstreamSeen<'_>) -> Link {
    let UpstreamSeen { url, answer } = seen;
    let name = "upstream";
    let answer = match answer {
        Ok(answer) => answer,
        Err(why) if why.contains("certificate") => {
            return Link::broken(
                name,
                format!("the certificate of {url} is refused: {why}; nothing new can be fetched"),
                "run `regcert init --upstream-ca FILE --reload` with the root certificate of its authority"
                    .to_owned(),
            );
        }
        Err(why) => {
            return Link::broken(
                name,
                format!("{url} does not answer: {why}; nothing new can be fetched"),
                "see that it runs, and that this machine reaches it",
            );
        }
    };
    let challenge = answer.header("www-authenticate").unwrap_or_default().to_ascii_lowercase();
    match answer.status {
        200 => Link::held(name, format!("{url} asks for no password")),
        401 if challenge.starts_with("bearer ") => Link::held(name, format!("{url} asks for a token")),
        // distribution's mirror has no other handler than that for tokens (`registry/proxy/proxyregistry.go`).
        401 => Link::broken(
            name,
            format!(
                "{url} asks for a password itself, and a mirror can only fetch a token: it finds no image"
            ),
            "mirror an address that asks for none, or one that gives tokens: a registry of regcert has one after `init --anonymous-port PORT --reload` there; then run `regcert init --mirror-of https://HOST:PORT --reload` here".to_owned(),
        ),
        status => Link::broken(
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

    fn judged(status: u16, challenge: &str) -> Link {
        let headers = vec![("www-authenticate".to_owned(), challenge.to_owned())];
        let answer = Ok(Answer { status, headers, body: Vec::new() });
        upstream(&UpstreamSeen { url: "https://a.lan", answer })
    }

    #[test]
    fn a_mirror_fetches_without_a_password_or_with_a_token() {
        assert_eq!(judged(200, "").state, State::Held);
        assert_eq!(judged(401, "Bearer realm=\"https://auth.a.lan\"").state, State::Held);
        for (status, challenge) in [(401, "Basic realm=\"registry\""), (401, ""), (404, ""), (502, "")] {
            assert_eq!(judged(status, challenge).state, State::Broken, "{status} {challenge}");
        }
        assert!(judged(401, "Basic realm=\"registry\"").hint.contains("--anonymous-port"));
    }

    #[test]
    fn a_refused_certificate_has_another_cure_than_silence() {
        let link = |why: &str| upstream(&UpstreamSeen { url: "https://a.lan", answer: Err(why.to_owned()) });
        assert!(
            link("invalid peer certificate: UnknownIssuer")
                .hint
                .starts_with("run `regcert init --upstream-ca")
        );
        assert!(link("connection refused").hint.contains("runs"));
    }
}
