//! Finds the next page of a list from the `Link` headers (RFC 8288), only on the same registry.

use crate::health::Target;
use crate::names::printable;

/// One link in a `Link` header.
struct Link<'a> {
    target: &'a str,
    /// Names in lower case, values without quotes. If a name occurs twice, the first parameter counts.
    parameters: Vec<(String, String)>,
}

impl Link<'_> {
    fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Whether the link is from this page to the next one (RFC 8288 §3.2 and §3.3).
    fn is_next(&self) -> bool {
        let types = self.parameter("rel").unwrap_or_default();
        self.parameter("anchor").is_none()
            && types.split_whitespace().any(|one| one.eq_ignore_ascii_case("next"))
    }
}

/// Returns the path and query of the page after `path`, from the `Link` headers of the answer.
pub fn next_page(target: &Target, path: &str, headers: &[&str]) -> Result<Option<String>, String> {
    let next = headers.iter().flat_map(|header| links(header)).find(Link::is_next);
    let Some(link) = next else {
        return Ok(None);
    };
    let fault =
        |why: &str| Err(format!("the next page is said to be at `{}`, {why}", printable(link.target)));
    if !link.target.bytes().all(|byte| byte.is_ascii_graphic()) {
        return fault("which is no address");
    }
    let Some(page) = resolve(target, path, link.target) else {
        return fault("which is not this registry");
    };
    if page.starts_with("/v2/") { Ok(Some(page)) } else { fault("which is no part of its API") }
}

/// Parses the links of one header, up to the first malformed link.
fn links(header: &str) -> Vec<Link<'_>> {
    let mut links = Vec::new();
    let mut rest = header;
    while let Some((target, after)) =
        rest.trim_start_matches([' ', '\t', ',']).strip_prefix('<').and_then(|link| link.split_once('>'))
    {
        let (parameters, after) = parameters(after);
        links.push(Link { target, parameters });
        rest = after;
    }
    links
}

/// Parses the parameters of a link. Returns them and the rest of the header.
fn parameters(text: &str) -> (Vec<(String, String)>, &str) {
    let mut parameters = Vec::new();
    let mut rest = text.trim_start();
    while let Some(after) = rest.strip_prefix(';') {
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..end].trim().to_ascii_lowercase();
        rest = &after[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = self::value(after.trim_start());
        }
        parameters.push((name, value));
        rest = rest.trim_start();
    }
    (parameters, rest)
}

/// Parses a token or a quoted string (RFC 9110 §5.6.4). Returns the value and the rest of the header.
fn value(text: &str) -> (String, &str) {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return (text[..end].trim_end().to_owned(), &text[end..]);
    };
    let mut value = String::new();
    let mut letters = quoted.char_indices();
    while let Some((at, letter)) = letters.next() {
        match letter {
            '"' => return (value, &quoted[at + 1..]),
            '\\' => value.extend(letters.next().map(|(_, letter)| letter)),
            letter => value.push(letter),
        }
    }
    (value, "")
}

/// Resolves `reference` against `base` (RFC 3986 §5.2) to a path with its query; `None` for another host.
fn resolve(target: &Target, base: &str, reference: &str) -> Option<String> {
    let reference = reference.split('#').next().unwrap_or_default();
    let base_path = base.split('?').next().unwrap_or_default();
    let scheme = reference.find(':').filter(|at| !reference[..*at].contains(['/', '?']));
    let local = match (scheme, reference.strip_prefix("//")) {
        (Some(at), _) if !reference[..at].eq_ignore_ascii_case("https") => return None,
        (Some(at), _) => on(target, reference[at + 1..].strip_prefix("//")?)?,
        (None, Some(rest)) => on(target, rest)?,
        (None, None) => reference,
    };
    Some(match local.chars().next() {
        Some('/') => without_dots(local),
        Some('?') => format!("{base_path}{local}"),
        Some(_) => {
            let directory = &base_path[..=base_path.rfind('/')?];
            without_dots(&format!("{directory}{local}"))
        }
        None => base.to_owned(),
    })
}

/// Returns the part of an address after the authority, if the authority is this registry.
fn on<'a>(target: &Target, rest: &'a str) -> Option<&'a str> {
    let (authority, local) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let there: Target = authority.parse().ok()?;
    // An address without a path is the root, which is not a list.
    (there == *target && local.starts_with('/')).then_some(local)
}

/// Removes `.` and `..` from a path (RFC 3986 §5.2.4).
fn without_dots(reference: &str) -> String {
    let (path, query) = reference.split_at(reference.find('?').unwrap_or(reference.len()));
    let mut parts: Vec<&str> = Vec::new();
    let mut segments = path.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    parts.pop();
                }
                if last {
                    parts.push("");
                }
            }
            segment => parts.push(segment),
        }
    }
    format!("/{}{query}", parts.join("/"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATH: &str = "/v2/_catalog?n=2";

    fn next(headers: &[&str]) -> Result<Option<String>, String> {
        next_page(&"registry1.myhouse.local:5443".parse().unwrap(), PATH, headers)
    }

    fn page(header: &str) -> String {
        next(&[header]).unwrap().unwrap_or_else(|| panic!("no link in {header}"))
    }

    #[test]
    fn a_link_is_relative_or_absolute() {
        for (target, expected) in [
            ("/v2/_catalog?last=b&n=2", "/v2/_catalog?last=b&n=2"),
            ("?last=b", "/v2/_catalog?last=b"),
            ("_catalog?last=b", "/v2/_catalog?last=b"),
            ("../v2/./_catalog?last=../b", "/v2/_catalog?last=../b"),
            ("https://registry1.myhouse.local:5443/v2/_catalog?last=b", "/v2/_catalog?last=b"),
            ("HTTPS://Registry1.MyHouse.local:5443/v2/_catalog?last=b", "/v2/_catalog?last=b"),
            ("//registry1.myhouse.local:5443/v2/_catalog?last=b", "/v2/_catalog?last=b"),
            ("/v2/_catalog?last=a:b#here", "/v2/_catalog?last=a:b"),
            ("", "/v2/_catalog?n=2"),
        ] {
            assert_eq!(page(&format!("<{target}>; rel=\"next\"")), expected, "{target}");
        }
    }

    #[test]
    fn nobody_is_followed_elsewhere() {
        for target in [
            "https://elsewhere.lan/v2/_catalog",
            "https://registry1.myhouse.local/v2/_catalog",
            "http://registry1.myhouse.local:5443/v2/_catalog",
            "//elsewhere.lan/v2/_catalog",
            "https://registry1.myhouse.local:5443@elsewhere.lan/v2/_catalog",
            "https://user@registry1.myhouse.local:5443/v2/_catalog",
            "https:/v2/_catalog",
            "https://registry1.myhouse.local:5443",
            "ftp:/v2/_catalog",
            "/trust/",
            "/v2/../trust/",
            "/v2",
            "/v2/_catalog?last=a b",
            "/v2/_catalog?last=é",
        ] {
            let fault = next(&[&format!("<{target}>; rel=next")]).unwrap_err();
            assert!(fault.starts_with("the next page is said to be at `"), "{target}: {fault}");
        }
    }

    #[test]
    fn the_link_to_the_next_page_is_found_among_others() {
        for header in [
            "</v2/b>; rel=next",
            "</v2/b>;rel=\"NEXT\"",
            "</v2/b> ; title=\"a, b; rel=\\\"prev\\\"\" ; rel=\"last next\"",
            "</v2/a>; rel=prev, </v2/b>; rel=next",
            "</v2/a>; rel=prev; rel=next, , </v2/b>; rel=next",
            "</v2/a>; rel=next; anchor=\"/v2/x\", </v2/b>; rel=next",
            "</v2/a,a>; rel=\"next-archive\", </v2/b>; REL = next",
        ] {
            assert_eq!(page(header), "/v2/b", "{header}");
        }
        assert_eq!(next(&["</v2/a>; rel=prev", "</v2/b>; rel=next"]).unwrap().unwrap(), "/v2/b");
        for header in
            ["", "</v2/a>", "</v2/a>; rel", "</v2/a; rel=next", "/v2/a; rel=next", "</v2/a>; rel=\"nex\"t"]
        {
            assert_eq!(next(&[header]).unwrap(), None, "{header}");
        }
    }

    proptest! {
        #[test]
        fn no_header_leads_away(header in "[<>;,=\"\\\\ a-e:/.?#@]{0,20}|\\PC{0,30}", path in "[a-z:/.?@#]{0,20}") {
            for header in [&header, &format!("<{path}>; rel=next")] {
                if let Ok(Some(page)) = next(&[header]) {
                    prop_assert!(page.starts_with("/v2/") && page.is_ascii());
                    prop_assert!(!page.split('?').next().unwrap().split('/').any(|part| part == ".."));
                }
            }
        }
    }
}
