//! Whether the running registry does what regcert.toml says: tests each setting that is visible from outside, and
//! compares the containers that Docker reports. Pure; `probe` sends the requests.

use super::finding::Finding;
use super::known::Known;
use super::seen::{Contained, Running, Seen};
use crate::deployment::Deployment;
use crate::files::Part;
use crate::settings::{ClientAuth, Data, Delete, Proxy, Settings};

/// A repository that the port without passwords opens only if it opens all repositories.
pub const NOT_OPEN: &str = "regcert-check-not-open";

/// One difference between the running registry and its settings, with the cure.
struct Differs {
    what: String,
    cure: String,
}

/// A comparison of the running registry with its settings.
struct Comparison<'a> {
    known: &'a Known<'a>,
    spec: &'a Settings,
    /// The keys of the settings that were compared.
    compared: Vec<&'static str>,
    differs: Vec<Differs>,
}

/// Reports whether the running registry uses the settings in regcert.toml.
pub(super) fn settings(known: &Known<'_>, seen: &Seen, waits: &str) -> Finding {
    let (Some(deployment), Some(running)) = (known.deployment, known.running) else {
        return Finding::not_tried(
            "settings",
            "the settings are in the registry's directory, which is not here",
        );
    };
    // A server that is not the registry, or refuses every client, shows no settings: an earlier finding has the cure.
    if !matches!(&seen.api, Some(Ok(answer)) if answer.status == 401) {
        return Finding::not_tried("settings", waits);
    }
    let Deployment { spec, .. } = deployment;
    let mut comparison = Comparison { known, spec, compared: Vec::new(), differs: Vec::new() };
    if spec.proxy == Proxy::Nginx {
        comparison.client_auth(running);
        comparison.anonymous(running);
        comparison.http(running);
    }
    comparison.metrics(running);
    comparison.delete(seen);
    comparison.mirror(running);
    comparison.containers(running);
    for (key, in_force, wanted) in deployment.unapplied() {
        let cure = "run `regcert init --reload`, which applies regcert.toml";
        comparison.differs(format!("{key} is {wanted} there, and {in_force} in force"), cure.to_owned());
    }
    let Comparison { compared, differs, .. } = comparison;
    if !differs.is_empty() {
        let what: Vec<_> = differs.iter().map(|differs| differs.what.as_str()).collect();
        let mut cures: Vec<_> = differs.iter().map(|differs| differs.cure.as_str()).collect();
        cures.dedup();
        let message = format!("not as regcert.toml says: {}", what.join("; "));
        return Finding::broken("settings", message, cures.join("; "));
    }
    if compared.is_empty() {
        return Finding::not_tried("settings", waits);
    }
    Finding::held("settings", format!("as regcert.toml says: {}", compared.join(", ")))
}

impl Comparison<'_> {
    fn differs(&mut self, what: String, cure: String) {
        self.differs.push(Differs { what, cure });
    }

    fn in_nginx(&self) -> String {
        self.known.mends(&[Part::Front], "nginx.conf must say what regcert.toml says")
    }

    /// Returns the cure for a port that does not answer.
    fn published(&self, port: u16) -> String {
        let can_differ = [Part::Engine, Part::Front];
        if self.known.differs(&can_differ) {
            let says = format!("docker-compose.yml must publish port {port}, and nginx.conf serve it");
            return self.known.mends(&can_differ, &says);
        }
        self.known.compose("up -d")
    }

    fn client_auth(&mut self, running: &Running) {
        let Some(asks) = running.asks_for_certificate else {
            return;
        };
        self.compared.push("client-auth");
        let status = running.without_certificate.as_ref().and_then(|answer| answer.as_ref().ok());
        // nginx answers 400 to a client without a required certificate (`ngx_http_process_request`).
        let lets_in = status.is_some_and(|answer| answer.status != 400);
        let wrong = match (self.spec.client_auth, asks, lets_in) {
            (ClientAuth::Off, true, _) => "the server asks for a client certificate",
            (ClientAuth::Optional | ClientAuth::Required, false, _) => {
                "the server asks for no client certificate"
            }
            (ClientAuth::Required, true, true) => "a client without a certificate is served",
            (ClientAuth::Optional, true, false) if status.is_some() => {
                "a client without a certificate is refused"
            }
            (ClientAuth::Off, false, _)
            | (ClientAuth::Optional, true, _)
            | (ClientAuth::Required, true, false) => return,
        };
        self.differs(format!("client-auth is `{}`, and {wrong}", self.spec.client_auth), self.in_nginx());
    }

    fn anonymous(&mut self, running: &Running) {
        let (Some(port), Some(answer)) = (self.spec.anonymous_port, &running.anonymous) else {
            return;
        };
        self.compared.push("anonymous-port");
        let (wrong, cure) = match answer {
            // Another finding reports a registry that does not answer.
            Ok(answer) if answer.status == 200 || answer.status >= 500 => (None, String::new()),
            Ok(answer) => (
                Some(format!("`GET /v2/` without a password is answered with {}", answer.status)),
                self.in_nginx(),
            ),
            Err(why) => (Some(format!("there is no answer: {why}")), self.published(port)),
        };
        if let Some(wrong) = wrong {
            self.differs(format!("anonymous-port is {port}, and {wrong}"), cure);
            return;
        }
        let Some(Ok(answer)) = &running.anonymous_closed else {
            return;
        };
        self.compared.push("anonymous-repos");
        if answer.status < 500 && answer.status != 403 {
            let what = format!(
                "anonymous-repos is `{}`, and `{NOT_OPEN}` is open on port {port} as well",
                Vec::from(self.spec.anonymous_repos.clone()).join(" ")
            );
            self.differs(what, self.in_nginx());
        }
    }

    fn http(&mut self, running: &Running) {
        let (Some(port), Some(answer)) = (self.spec.http_port, &running.http) else {
            return;
        };
        self.compared.push("http-port");
        let wanted = format!("https://{}/", self.spec.registry());
        let (wrong, cure) = match answer {
            Ok(answer) if answer.header("location").is_some_and(|to| to.starts_with(&wanted)) => return,
            Ok(answer) => match answer.header("location") {
                Some(to) => (format!("it redirects to `{}`", crate::names::printable(to)), self.in_nginx()),
                None => {
                    (format!("it answers with {} and no redirect to https", answer.status), self.in_nginx())
                }
            },
            Err(why) => (format!("there is no answer: {why}"), self.published(port)),
        };
        self.differs(format!("http-port is {port}, and {wrong}"), cure);
    }

    fn metrics(&mut self, running: &Running) {
        let (Some(port), Some(answer)) = (self.spec.metrics_port, &running.metrics) else {
            return;
        };
        self.compared.push("metrics-port");
        if let Err(why) = answer {
            let cure = self.published(port);
            self.differs(format!("metrics-port is {port}, and there is no answer: {why}"), cure);
        }
    }

    fn delete(&mut self, seen: &Seen) {
        let deleted = seen.trip.as_ref().and_then(|trip| trip.as_ref().ok()).and_then(|trip| trip.deleted);
        let (Some(status), Proxy::Nginx, None) = (deleted, self.spec.proxy, &self.spec.mirror_of) else {
            return;
        };
        self.compared.push("delete");
        let wrong = match (self.spec.delete, status) {
            (Delete::Off, 202) => "an image was deleted",
            (Delete::On, 405) => "nothing can be deleted",
            (Delete::Off | Delete::On, _) => return,
        };
        self.differs(format!("delete is `{}`, and {wrong}", self.spec.delete), self.in_nginx());
    }

    fn mirror(&mut self, running: &Running) {
        let (Some(upstream), Some(Ok(answer))) = (&self.spec.mirror_of, &running.mirror_push) else {
            return;
        };
        self.compared.push("mirror-of");
        if answer.status != 405 {
            let what = format!("mirror-of is `{upstream}`, and a push is answered with {}", answer.status);
            self.differs(what, self.in_nginx());
        }
    }

    /// Compares the container images and the data directory, and checks whether the registry has read its
    /// configuration.
    fn containers(&mut self, running: &Running) {
        let images = [
            ("nginx-image", "nginx", self.spec.nginx_image.to_string()),
            ("registry-image", "registry", self.spec.registry_image.to_string()),
        ];
        for (key, service, wanted) in images {
            let Some(Contained { name, image, .. }) = self.known.containers.of(service) else {
                continue;
            };
            if image.is_empty() {
                continue;
            }
            self.compared.push(key);
            // Podman adds the registry's name in front of a short image name.
            if *image != wanted && !image.ends_with(&format!("/{wanted}")) {
                let what = format!("{key} is `{wanted}`, and container `{name}` runs `{image}`");
                self.differs(what, self.known.compose("up -d"));
            }
        }
        let Some(registry) = self.known.containers.of("registry") else {
            return;
        };
        if let (Data::Directory(_), Some(wanted), Some(mounted)) =
            (&self.spec.data, &running.data, &registry.data)
        {
            self.compared.push("data");
            if wanted != mounted {
                let what =
                    format!("data is `{}`, and the images are in `{}`", wanted.display(), mounted.display());
                self.differs(what, self.known.compose("up -d"));
            }
        }
        if let (Some(started), Some(changed)) = (registry.started, running.config_changed)
            && started < changed
        {
            let what =
                "registry/config.yml changed after the registry had started, which has not read the change";
            self.differs(what.to_owned(), self.known.compose("restart registry"));
        }
    }
}
