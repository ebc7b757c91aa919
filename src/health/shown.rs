//! The findings about the handshake: compares the certificates that the server sends with the roots, the name, the
//! clock and the certificate on disk.

use super::days_ahead;
use super::finding::Finding;
use super::known::Known;
use super::seen::Seen;
use crate::files::Part;
use crate::front;
use crate::names::printable;
use crate::pki::{Certificate, covers, date, days_until, leads_to, verify, when};

/// Adds the findings about the certificates that the server sends.
pub(super) fn links(known: &Known<'_>, chain: &[Certificate], seen: &Seen, links: &mut Vec<Finding>) {
    let leaf = &chain[0];
    links.push(served(known, leaf));
    // If the served certificate is not the one on disk, a reload cures all its faults.
    let stale = known.leaf().is_some_and(|on_disk| on_disk != leaf);
    let cure = |otherwise: String| if stale { known.reloads() } else { otherwise };
    let (shape, gap) = shape(known, chain);
    links.push(shape);
    if gap {
        links.push(Finding::not_tried("trust", "waits for `chain`"));
    } else {
        links.push(trust(known, chain, &cure));
    }
    links.push(if covers(leaf, &known.target.host) {
        Finding::held("covers", format!("the certificate is for {}", names(leaf)))
    } else {
        let host = &known.target.host;
        let message = if leaf.names.is_empty() {
            "the certificate has no subjectAltName at all, and clients look at nothing else".to_owned()
        } else {
            format!("the certificate is for {}, not for `{host}`", names(leaf))
        };
        Finding::broken(
            "covers",
            message,
            cure(if leaf.names.is_empty() { known.renews() } else { known.names_it() }),
        )
    });
    links.push(days(known, chain, &cure));
    // If all these findings are good, `verify` fails only for a rule that none of them checks.
    let sound = links.iter().all(|link| !link.is_broken());
    let names = [known.target.host.to_string()];
    if let (true, Some(root)) = (sound, known.roots.first())
        && let Err(fault) = verify(chain, root, &names, known.now)
        && let Some(link) = links.iter_mut().find(|link| link.id == "trust")
    {
        *link = Finding::broken("trust", fault.message, cure(known.renews()));
    }
    links.push(match seen.old.as_deref() {
        None | Some([]) => Finding::held("protocols", "TLS 1.0 and 1.1 are refused"),
        Some(old) => Finding::broken(
            "protocols",
            format!("old versions are accepted: {}", old.join(", ")),
            known.mends(&[Part::Front], "nginx.conf must say `ssl_protocols TLSv1.2 TLSv1.3;`"),
        ),
    });
}

/// Returns the first names of a certificate, as many as fit into a line.
fn names(leaf: &Certificate) -> String {
    let mut names: Vec<_> = leaf.names.iter().map(|name| printable(name)).take(4).collect();
    if leaf.names.len() > names.len() {
        names.push(format!("{} more", leaf.names.len() - names.len()));
    }
    names.join(", ")
}

fn served(known: &Known<'_>, leaf: &Certificate) -> Finding {
    let about = |certificate: &Certificate| {
        format!("number {} (until {})", certificate.serial, date(certificate.validity.not_after))
    };
    if let Some(why) = known.refused {
        return Finding::broken(
            "served",
            format!(
                "nginx goes on with what it read before, and cannot start again with its files on disk: {why}"
            ),
            refused_files(known, why),
        );
    }
    match known.leaf() {
        None => Finding::not_tried("served", "with --ca-cert, there is no directory to compare with"),
        Some(on_disk) if on_disk == leaf => {
            Finding::held("served", format!("the certificate on disk, number {}", leaf.serial))
        }
        Some(on_disk) => Finding::broken(
            "served",
            format!("certificate {} is served, and {} is on disk", about(leaf), about(on_disk)),
            known.reloads(),
        ),
    }
}

/// Returns the cure for files that nginx refuses. A restart or a new container would stop nginx for good.
fn refused_files(known: &Known<'_>, why: &str) -> String {
    let says = "the files below nginx/ must be ones that nginx takes";
    if let Some(own) = front::local_named(why) {
        return format!("{says}: correct `{own}` before nginx restarts, then {}", known.reloads());
    }
    if known.differs(&Part::OF_FRONT) {
        return known.mends(&Part::OF_FRONT, says);
    }
    if why.contains("Permission denied") {
        return format!("{says}: {}", known.opens("nginx", known.reload));
    }
    format!("{says}: correct what it names before nginx restarts, then {}", known.reloads())
}

/// Returns the finding about the order of the chain, and whether a certificate is missing from the chain.
fn shape(known: &Known<'_>, chain: &[Certificate]) -> (Finding, bool) {
    let whole = known.mends(&Part::OF_TLS, "the server must send the chain that is on disk");
    if let Some(root) = chain.iter().skip(1).find(|one| one.is_signed_by(one)) {
        let message = format!(
            "the root `{}` is sent along: clients have it, or must not take it from here",
            printable(&root.subject_text)
        );
        return (
            Finding::broken(
                "chain",
                message,
                format!("take it out of the file with the certificate: {whole}"),
            ),
            false,
        );
    }
    if let Some(n) = (1..chain.len()).find(|n| !chain[n - 1].is_signed_by(&chain[*n])) {
        let message = format!(
            "certificate {} (`{}`) is not the one that signed certificate {n}",
            n + 1,
            printable(&chain[n].subject_text)
        );
        return (Finding::broken("chain", message, whole), false);
    }
    let last = &chain[chain.len() - 1];
    let on_disk = known.deployment.and_then(|deployment| deployment.server.as_ref());
    let missing = on_disk.and_then(|server| server.chain().iter().skip(1).find(|one| last.is_signed_by(one)));
    if let Some(missing) = missing {
        let message =
            format!("the intermediate certificate `{}` is not sent", printable(&missing.subject_text));
        return (Finding::broken("chain", message, whole), true);
    }
    let length = match chain.len() {
        1 => "the server's own certificate alone".to_owned(),
        2 => "the server's own certificate and one more".to_owned(),
        n => format!("the server's own certificate and {} more", n - 1),
    };
    (Finding::held("chain", format!("{length}, without the root")), false)
}

fn trust(known: &Known<'_>, chain: &[Certificate], cure: &dyn Fn(String) -> String) -> Finding {
    let last = &chain[chain.len() - 1];
    // The finding `days` covers the dates.
    let latest = chain.iter().map(|one| one.validity.not_before).max().unwrap_or(known.now);
    let refuses = |root: &&&Certificate| {
        let at = latest.max(root.validity.not_before);
        leads_to(chain, root, at).is_err()
    };
    let Some(root) = known.roots.iter().find(refuses) else {
        let roots = match known.roots {
            [_] => "the root",
            _ => "either root",
        };
        // webpki reads only the name and the key of a root; other clients read the whole certificate.
        let authorities = known.roots.iter().copied().chain(&chain[1..]);
        if let Some(why) = authorities.filter(|one| one.is_authority).find_map(Certificate::narrowness) {
            let message = format!("strict clients refuse it: a certificate above it {why}");
            return Finding::broken("trust", message, cure(known.regcert("rotate --ca")));
        }
        return Finding::held("trust", format!("who trusts {roots} trusts it"));
    };
    let renew = cure(known.renews());
    if chain[0].is_authority {
        let message =
            "the server's certificate is itself an authority's: strict clients refuse it as a server's";
        return Finding::broken("trust", message, renew);
    }
    if let Some(weak) = chain.iter().find_map(Certificate::weakness) {
        return Finding::broken("trust", format!("the certificate {weak}"), renew);
    }
    if last.is_signed_by(root) {
        let why = leads_to(chain, root, latest.max(root.validity.not_before)).err();
        let why = why.map(|fault| fault.message).unwrap_or_default();
        return Finding::broken(
            "trust",
            format!("the root signed it, and strict clients refuse it: {why}"),
            renew,
        );
    }
    let hint = if known.deployment.is_some() {
        renew
    } else {
        format!(
            "the root here has the SHA-256 {}: where `regcert status` on the registry's machine says another, copy the root from there again; where it says this one, `regcert check` there says what mends the server",
            root.fingerprint()
        )
    };
    if chain[0].is_signed_by(&chain[0]) {
        return Finding::broken("trust", "the server's certificate is signed by itself", hint);
    }
    if last.issuer == root.subject {
        let message = "it was signed by another authority of the same name as the root, with another key";
        return Finding::broken("trust", message, hint);
    }
    let issuer = printable(&last.issuer_text);
    let alone = chain.len() == 1 && known.deployment.is_none();
    let gap =
        if alone { ", or the server does not send the intermediate certificate of that name" } else { "" };
    Finding::broken("trust", format!("it was issued by `{issuer}`, which the root did not sign{gap}"), hint)
}

fn days(known: &Known<'_>, chain: &[Certificate], cure: &dyn Fn(String) -> String) -> Finding {
    let leaf = &chain[0];
    let today = date(known.now);
    if let Some(early) = chain.iter().find(|one| one.validity.not_before > known.now) {
        let message =
            format!("the certificate begins on {} and it is {today} here", date(early.validity.not_before));
        return Finding::broken(
            "days",
            message,
            format!("if {today} is wrong, set this machine's clock; else {}", cure(known.renews())),
        );
    }
    // In a rotation, the second root is the old one. Clients may have either root; `status` reports the old one's end.
    let root = known.roots.first().copied();
    if let Some(root) = root.filter(|root| root.validity.not_after < known.now) {
        let message = format!("the root certificate {}", when(root.validity.not_after, known.now));
        return Finding::broken("days", message, known.replaces_root());
    }
    // The new root, cross-signed by the old one, is only for clients of the old root. It matters only if it has
    // expired.
    let is_needed = |one: &&Certificate| {
        one.validity.not_after < known.now || root.is_none_or(|root| one.public_key != root.public_key)
    };
    let ends = chain.iter().filter(is_needed).chain(root).map(|one| one.validity.not_after);
    let end = ends.min().unwrap_or(leaf.validity.not_after);
    if days_until(end, known.now) >= days_ahead(leaf) {
        let left = days_until(end, known.now);
        return Finding::held("days", format!("until {}, {left} days left", date(end)));
    }
    let message = format!("the certificate {}", when(end, known.now));
    // If the root sets the end, renewing does not help: no certificate outlives its root.
    let is_root = root.is_some_and(|root| root.validity.not_after == end);
    Finding::broken("days", message, if is_root { known.replaces_root() } else { cure(known.renews()) })
}
