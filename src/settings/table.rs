//! Every setting, once: its field, its kind, its key in regcert.toml, and its row in the table. Everything else is
//! derived from the rows: the options of `init` with their help, regcert.toml with its comments, the checks, the
//! hints, and the list of changes.
//!
//! A new setting needs one entry here, in the order of regcert.toml and of the help, and a template that uses the
//! setting as `settings.<field>`. `Settings::agrees` checks settings that depend on each other.

use super::choices::{BlobsBy, ClientAuth, Data, Delete, Proxy, RunAs, Signer};
use super::fields::Fields;
use super::kind::{
    CertificateText, Country, Days, Domain, Email, Kind, Many, One, Optional, Port, PortOrOff, Repos, Typed,
    Webhooks,
};
use super::row::{Group, Row, row, settings};
use crate::names::{Host, ImageRef, SubjectAltName, Upstream};
use crate::pki::KeyType;

settings! {
    /// The registry's own name: a single label, a full name, or an IP address.
    server: One<Host> = "server" {
        group: Group::Names,
        // The default name of a registry in `gen_config.py`.
        default: "registry",
        option: "registry-server-name",
        value: "NAME|IP",
        help: "The registry's name within its domain, or its IP address",
        comment: "The name clients use is server.domain; an IP address as the server has no domain.",
    }
    /// The domain of the registry; `None` if the server is an address.
    domain: Domain = "domain" {
        group: Group::Names,
        // Not used if the server is a full name, because that contains the domain.
        default: "local.priv",
        default_help: "local.priv; none for an IP address",
        option: "cert-domain",
        value: "DOMAIN",
        help: "The registry's domain",
    }
    /// Names in addition to those that follow from `server` and `domain`.
    sans: Many<SubjectAltName> = "sans" {
        group: Group::Names,
        option: "san",
        value: "NAME|IP",
        help: "Another name or address of the registry; may be repeated. A later run adds to the existing ones",
        comment: "More names and addresses of the registry. The root certificate must allow them; the first run decided which it allows.",
    }

    /// The type of the server's key. A new root gets a key of the same type.
    key_type: One<KeyType> = "key-type" {
        group: Group::Certificates,
        default: "p256",
        option: "key-type",
        value: "TYPE",
        help: "p256, p384, rsa-2048, rsa-3072 or rsa-4096",
        comment: "The server certificate: p256, p384, rsa-2048, rsa-3072 or rsa-4096; days that it is valid (at most 398 is advised).",
    }
    /// The validity of a server certificate in days.
    days: Days = "days" {
        group: Group::Certificates,
        default: "365",
        option: "days",
        value: "DAYS",
        help: "How many days a server certificate is valid, at most 825",
    }
    /// The country: two capital letters (ISO 3166-1).
    country: Country = "country" {
        group: Group::Subject,
        default: "CA",
        option: "cert-country-code",
        value: "CODE",
        help: "Two letters",
    }
    /// The state or province.
    state: CertificateText<128> = "state" {
        group: Group::Subject,
        default: "ON",
        option: "cert-state-prov",
        help: "State or province",
    }
    /// The city.
    locality: CertificateText<128> = "locality" {
        group: Group::Subject,
        option: "cert-locality",
        help: "City",
    }
    /// The organization.
    company: CertificateText<64> = "company" {
        group: Group::Subject,
        default: "NA",
        option: "cert-company",
        help: "Organization",
    }
    /// The organizational unit.
    unit: CertificateText<64> = "unit" {
        group: Group::Subject,
        option: "cert-unit",
        help: "Organizational unit",
    }
    /// The contact's e-mail address, for the root certificate.
    email: Email = "email" {
        group: Group::Subject,
        option: "cert-email",
        value: "ADDRESS",
        help: "Contact address, in the root certificate",
    }

    /// The authority that signs the server certificate. The option `--external-ca` sets it, and only the first run
    /// accepts that option.
    authority: One<Signer> = "authority" {
        group: Group::Authority,
        default: "own",
        comment: "own: the authority's key is here; external: `regcert csr` and `regcert import-cert`.",
    }

    /// The server in front of the registry.
    proxy: One<Proxy> = "proxy" {
        default: "nginx",
        option: "proxy",
        value: "nginx|none",
        help: "nginx in front, or none: the registry itself then does TLS and checks passwords",
        more: "Without nginx the number of guesses at a password is not limited, the time of an answer tells which users exist, every user may pull and push everything, and no user can delete.",
        comment: "nginx in front, or none: the registry itself then does TLS and checks passwords.",
    }
    /// Whether clients must present a certificate.
    client_auth: One<ClientAuth> = "client-auth" {
        default: "off",
        option: "client-auth",
        value: "WHEN",
        help: "Whether clients must show a certificate (`regcert add-client`): off, optional or required",
        comment: "Whether clients must show a certificate (`regcert add-client`): off, optional or required.",
    }
    /// The server that sends the layers of images.
    blobs_by: One<BlobsBy> = "blobs-by" {
        default: "nginx",
        option: "blobs-by",
        value: "nginx|registry",
        help: "Serve layers by nginx, from the files, or by the registry, through nginx",
        comment: "nginx serves layers from the files, or the registry serves them through nginx: nginx or registry.",
    }
    /// Whether admins may delete images.
    delete: One<Delete> = "delete" {
        default: "on",
        default_help: "on; never without nginx",
        option: "delete",
        value: "on|off",
        help: "Whether users with the role admin may delete images: on or off",
        comment: "Whether admins may delete images: on or off. Without nginx no user can.",
    }
    /// The HTTP port, for the redirect to HTTPS and for the page that clients need before they trust the registry.
    http_port: PortOrOff = "http-port" {
        default: "80",
        option: "http-port",
        value: "PORT|off",
        help: "The port of the redirect to https and of the page for clients that do not trust the registry yet, or `off`",
        comment: "The http port, for the redirect to https and the page for new clients; 0 for none.",
    }
    /// The HTTPS port of the registry.
    https_port: Port = "https-port" {
        default: "443",
        option: "https-port",
        value: "PORT",
        help: "The port of the registry",
    }
    /// A second HTTPS port, which needs no password and refuses pushes.
    anonymous_port: PortOrOff = "anonymous-port" {
        default: "off",
        option: "anonymous-port",
        value: "PORT|off",
        help: "A second https port that serves images without a password, or `off`",
        more: "This needs a port of its own, because Docker sends a password only if the server asks for one. Image names there have the port: `registry1.myhouse.local:5444/public/alpine`.",
        comment: "A second https port without passwords, 0 for none, and the repositories on it: [\"public/*\"], or [\"*\"] for all.",
    }
    /// The repositories that clients can pull on `anonymous_port`.
    anonymous_repos: Repos = "anonymous-repos" {
        default_help: "*, every repository",
        option: "anonymous-repo",
        value: "PATTERN",
        help: "The repositories on that port, such as `public/*`; may be repeated; replaces the earlier list",
    }
    /// The place where the registry stores images.
    data: One<Data> = "data" {
        default: "./data",
        default_help: "data, beside docker-compose.yml",
        option: "data",
        value: "DIR|volume[:NAME]",
        help: "Where to store images: a directory, `volume` for a new Docker volume, or `volume:NAME` for an existing one",
        comment: "A directory, `volume` for one that Docker manages, or `volume:NAME` for an existing one.",
    }
    /// The user and group of the containers.
    run_as: One<RunAs> = "run-as" {
        // The default for root. For other users, the default is their own ids.
        default: "65532:65532",
        default_help: "yours; 65532:65532 for root; 0:0, which is you, on a rootless engine",
        option: "run-as",
        value: "UID:GID",
        help: "The user and group of the containers",
        comment: "The user and group the containers run as; it owns the files they read.",
    }
    /// The container image of the registry.
    registry_image: One<ImageRef> = "registry-image" {
        default: "registry:3",
        option: "registry-image",
        value: "IMAGE",
        help: "The registry's image, 2.x or 3.x",
        comment: "Pin them by digest (`registry@sha256:…`) where the same bytes must come every time.",
    }
    /// The container image of nginx.
    nginx_image: One<ImageRef> = "nginx-image" {
        default: "nginx:stable-alpine",
        option: "nginx-image",
        value: "IMAGE",
        help: "nginx's image, 1.22 or newer and built with OpenSSL 3",
    }

    /// The registry that this one mirrors, if any.
    mirror_of: Optional<Upstream> = "mirror-of" {
        group: Group::Services,
        option: "mirror-of",
        value: "URL",
        help: "Be a mirror (pull-through cache) of this registry: keep images for seven days, refuse pushes",
        more: "Clients name images by this registry's name, `registry1.myhouse.local/library/alpine` for Docker Hub's alpine (`https://registry-1.docker.io`). What it has it serves while the upstream is down, but then it does not start. registry:3.1 and newer log in only at an upstream whose token service has the same address, or a name in the same registered domain; otherwise clients see `manifest unknown`. Behind a proxy, set HTTPS_PROXY for the service `registry` in docker-compose.override.yml. `--mirror-of ''` makes it an ordinary registry again.",
        comment: "The upstream of a mirror (pull-through cache), such as `https://registry-1.docker.io`. No user can push to a mirror.",
    }
    /// The webhooks that receive each push and pull.
    notify: Webhooks = "notify" {
        group: Group::Services,
        option: "notify",
        value: "NAME=URL",
        help: "Send each push and pull to this URL (POST, JSON); may be repeated. A later run adds to the existing ones",
        more: "The URL is in regcert.toml, which others can read, and in the registry's log when a delivery fails. Send a token with --notify-headers instead. To stop a webhook, remove it from regcert.toml.",
        comment: "Webhooks for each push and pull: [\"ci=https://ci.lan/hook\"]. Every user of this machine can read this file: no token here.",
    }
    /// The port of the metrics for Prometheus, published only on this machine.
    metrics_port: PortOrOff = "metrics-port" {
        group: Group::Services,
        default: "off",
        option: "metrics-port",
        value: "PORT|off",
        help: "Serve Prometheus metrics at http://127.0.0.1:PORT/metrics, on this machine only, or `off`",
        more: "The figures are at most ten seconds old, and every user of this machine can read them. Without nginx (`--proxy none`) the port also has Go's profiler (/debug/pprof).",
        comment: "The port of the Prometheus metrics, on this machine only; 0 for none.",
    }
}
