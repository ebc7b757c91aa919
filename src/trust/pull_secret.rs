//! A user's name and password as a Secret, with which Kubernetes pulls images. This is the only secret file for
//! clients: regcert creates it only on request, and it is never one of [`super::FORMATS`].

use std::fmt;
use std::str::FromStr;

use base64::prelude::{BASE64_STANDARD, Engine as _};
use zeroize::Zeroizing;

use crate::auth::Password;
use crate::error::Fault;
use crate::names::{Username, printable};

/// The name of an object in a cluster: an RFC 1123 subdomain. Kubernetes also accepts an IP address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectName(String);

/// The name of a namespace: an RFC 1123 label.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Namespace(String);

impl FromStr for ObjectName {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.len() <= 253 && text.split('.').all(is_label) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{}` is not a name that Kubernetes takes for a Secret", printable(text)))
            .hint("up to 253 lower-case letters, digits, hyphens and dots, with a letter or digit at both ends of each part"))
    }
}

impl FromStr for Namespace {
    type Err = Fault;

    fn from_str(text: &str) -> Result<Self, Fault> {
        if text.len() <= 63 && is_label(text) {
            return Ok(Self(text.to_owned()));
        }
        Err(Fault::new(format!("`{}` is not a name that Kubernetes takes for a namespace", printable(text)))
            .hint("up to 63 lower-case letters, digits and hyphens, with a letter or digit at both ends"))
    }
}

impl fmt::Display for ObjectName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl ObjectName {
    /// The default name of the Secret for a registry: the registry's host.
    pub fn of(host: &str) -> Self {
        // An IPv6 address may begin or end with colons, but a name may not begin or end with hyphens.
        Self(host.replace(':', "-").trim_matches('-').to_owned())
    }
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    !text.is_empty() && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

/// Writes the manifest of the Secret. It uses `data`, because with `stringData` every `kubectl apply` reports a
/// change.
pub fn pull_secret(
    registry: &str,
    user: &Username,
    password: &Password,
    name: &ObjectName,
    namespace: Option<&Namespace>,
) -> Zeroizing<String> {
    let encode = |text: &str| Zeroizing::new(BASE64_STANDARD.encode(text));
    let auth = encode(&Zeroizing::new(format!("{user}:{}", password.expose())));
    let quoted = Zeroizing::new(serde_json::Value::from(password.expose()).to_string());
    let config = Zeroizing::new(format!(
        r#"{{"auths":{{"{registry}":{{"username":"{user}","password":{},"auth":"{}"}}}}}}"#,
        *quoted, *auth
    ));
    let namespace =
        namespace.map_or(String::new(), |namespace| format!("  namespace: \"{}\"\n", namespace.0));
    Zeroizing::new(format!(
        "\
# {user}'s password for {registry}, for the pods of one namespace. Secret: base64 hides nothing.
#
#   kubectl apply -f THIS-FILE
#
# and in the pods, or once in their service account:
#
#   imagePullSecrets:
#     - name: \"{name}\"
apiVersion: v1
kind: Secret
metadata:
  name: \"{name}\"
{namespace}type: kubernetes.io/dockerconfigjson
data:
  .dockerconfigjson: {}
",
        *encode(&config)
    ))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_holds_what_docker_would() {
        let password = Password::new(Zeroizing::new("a\"b\\c:ä".into())).unwrap();
        let (user, namespace) = ("bob".parse().unwrap(), "apps".parse().unwrap());
        let name = ObjectName::of("registry1.myhouse.local");
        let text = pull_secret("registry1.myhouse.local:5443", &user, &password, &name, Some(&namespace));
        assert!(text.contains("  name: \"registry1.myhouse.local\"\n  namespace: \"apps\"\n"), "{}", *text);
        let data = text.lines().find_map(|line| line.strip_prefix("  .dockerconfigjson: ")).unwrap();
        let config: serde_json::Value =
            serde_json::from_slice(&BASE64_STANDARD.decode(data).unwrap()).unwrap();
        let entry = &config["auths"]["registry1.myhouse.local:5443"];
        assert_eq!(entry["username"], "bob");
        assert_eq!(entry["password"], "a\"b\\c:ä");
        let auth = BASE64_STANDARD.decode(entry["auth"].as_str().unwrap()).unwrap();
        assert_eq!(String::from_utf8(auth).unwrap(), "bob:a\"b\\c:ä");
    }

    #[test]
    fn names_are_those_of_kubernetes() {
        for good in ["regcred", "registry1.myhouse.local", "192.168.0.12", "fd00--12", "a"] {
            assert!(good.parse::<ObjectName>().is_ok(), "{good}");
        }
        for bad in ["", "A", "a_b", "-a", "a-", "a..b", ".a", "a\nb", "a\"b", &"a".repeat(254)] {
            assert!(bad.parse::<ObjectName>().is_err(), "{bad}");
        }
        for bad in ["", "a.b", "A", "a-", &"a".repeat(64)] {
            assert!(bad.parse::<Namespace>().is_err(), "{bad}");
        }
        for host in ["registry", "192.168.0.12", "fd00::", "::1", "fd00::12"] {
            let name = ObjectName::of(host).to_string();
            assert!(name.parse::<ObjectName>().is_ok(), "{name}");
        }
    }
}
