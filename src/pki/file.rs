//! Recognizes the content of a file that should hold a key or a certificate request: PEM or DER, complete or cut off,
//! the expected content or something that users confuse with it.

use zeroize::Zeroizing;

use super::der::{self, Element, Elements, tag};
use super::pem_blocks;
use crate::error::Fault;
use crate::names::printable;

/// The maximum file size, in bytes. Valid files are smaller: an RSA key of 8192 bits takes 7 KiB, a bundle some more.
const SIZE_MAX: usize = 1 << 20;

/// The encoding of a file.
pub(super) enum Content<'a> {
    Pem(Zeroizing<String>),
    Der(Element<'a>),
}

/// Finds the encoding: PEM if a PEM block begins anywhere in the file, otherwise DER. Fails if the file is neither.
pub(super) fn content<'a>(bytes: &'a [u8], wanted: &str) -> Result<Content<'a>, Fault> {
    if bytes.iter().all(u8::is_ascii_whitespace) {
        return Err(Fault::new("it is empty"));
    }
    if bytes.len() > SIZE_MAX {
        return Err(Fault::new(format!("it is larger than 1 MiB, which no {wanted} is")));
    }
    if bytes.starts_with(b"\xff\xfe") || bytes.starts_with(b"\xfe\xff") {
        return Err(Fault::new("it is UTF-16 text").hint("save it as UTF-8 or ASCII"));
    }
    let begin = b"-----BEGIN ";
    if bytes.windows(begin.len()).any(|window| window == begin) {
        return Ok(Content::Pem(Zeroizing::new(String::from_utf8_lossy(bytes).into_owned())));
    }
    if bytes[0] != tag::SEQUENCE {
        let label = wanted.to_ascii_uppercase();
        return Err(Fault::new("it is neither PEM nor DER")
            .hint(format!("a {wanted} in PEM begins with `-----BEGIN {label}-----`")));
    }
    der::only(bytes).map(Content::Der).ok_or_else(|| {
        Fault::new("its DER is cut off, or something follows it").hint("copy the whole file again")
    })
}

/// The blocks of a PEM text with their labels. Fails if a block has no end, because a part of a key is useless.
pub(super) fn blocks(text: &str) -> Result<Vec<(&str, &str)>, Fault> {
    let whole = pem_blocks(text);
    let begun = text.matches("-----BEGIN ").count();
    if begun == whole.len() {
        return Ok(whole);
    }
    let labels = text.split("-----BEGIN ").skip(1).filter_map(|rest| rest.split("-----").next());
    let open = labels.into_iter().find(|label| !text.contains(&format!("-----END {label}-----")));
    let label = printable(open.unwrap_or("block").lines().next().unwrap_or_default());
    Err(Fault::new(format!("it is cut off: its `{label}` does not end")).hint("copy the whole file again"))
}

/// Decodes a PEM block to its bytes and headers.
pub(super) fn decode(label: &str, block: &str) -> Result<pem::Pem, Fault> {
    // The parser finds headers only if an empty line with Unix line ends follows them.
    let unix = Zeroizing::new(block.replace("\r\n", "\n").replace('\r', "\n"));
    pem::parse(unix.as_bytes()).map_err(|_| {
        Fault::new(format!("the text between BEGIN and END of its `{}` is damaged", printable(label)))
            .hint("copy the whole file again")
    })
}

/// The kind of a DER structure, recognized by the tags of its fields.
pub(super) enum Shape {
    /// A PKCS#8 private key (RFC 5958 §2).
    Pkcs8,
    /// A PKCS#1 RSA private key (RFC 8017 appendix A.1.2).
    Pkcs1,
    /// A SEC1 EC private key (RFC 5915 §3).
    Sec1,
    /// An encrypted PKCS#8 private key (RFC 5958 §3).
    Encrypted,
    /// Something other than a supported private key; the value is the PEM label of the content.
    Other(&'static str),
    Unknown,
}

pub(super) fn shape(whole: Element<'_>) -> Shape {
    let fields: Vec<_> = Elements::of(whole.content).collect();
    let tags: Vec<_> = fields.iter().map(|field| field.tag).collect();
    match tags[..] {
        [tag::INTEGER, tag::SEQUENCE, tag::OCTET_STRING, ..] => Shape::Pkcs8,
        [tag::INTEGER, tag::OCTET_STRING, ..] => Shape::Sec1,
        [tag::SEQUENCE, tag::OCTET_STRING] => Shape::Encrypted,
        [tag::SEQUENCE, tag::BIT_STRING] => Shape::Other("PUBLIC KEY"),
        [tag::SEQUENCE, tag::SEQUENCE, tag::BIT_STRING] => {
            // The signed part of a request ends with attributes, tagged `[0]`; a certificate has no attributes.
            let request =
                Elements::of(fields[0].content).last().is_some_and(|last| last.tag == tag::CONTEXT_0);
            Shape::Other(if request { "CERTIFICATE REQUEST" } else { "CERTIFICATE" })
        }
        // A PKCS#12 file (RFC 7292 §4, PFX).
        [tag::INTEGER, tag::SEQUENCE] | [tag::INTEGER, tag::SEQUENCE, tag::SEQUENCE] => {
            Shape::Other("PKCS12")
        }
        _ if tags.iter().all(|tag| *tag == tag::INTEGER) => match tags.len() {
            // An RSA key has a version and eight numbers, a DSA key a version and five.
            9 => Shape::Pkcs1,
            6 => Shape::Other("DSA PRIVATE KEY"),
            2 => Shape::Other("RSA PUBLIC KEY"),
            _ => Shape::Unknown,
        },
        _ => Shape::Unknown,
    }
}

/// The error for a file that contains `label` instead of `wanted`.
pub(super) fn instead(label: &str, wanted: &str) -> Fault {
    let other = |what: &str| Fault::new(format!("it holds {what} and no {wanted}"));
    let beside = match wanted {
        "private key" => "the private key lies in a file of its own, often `*.key`",
        _ => "make one from the key: `openssl req -new -key KEY -out request.csr`",
    };
    match label {
        "PRIVATE KEY" | "ENCRYPTED PRIVATE KEY" | "RSA PRIVATE KEY" | "EC PRIVATE KEY" => {
            other("a private key").hint(beside)
        }
        "CERTIFICATE" | "TRUSTED CERTIFICATE" | "X509 CERTIFICATE" => other("a certificate").hint(beside),
        "CERTIFICATE REQUEST" | "NEW CERTIFICATE REQUEST" => other("a certificate request").hint(beside),
        "PUBLIC KEY" | "RSA PUBLIC KEY" => other("a public key").hint(beside),
        "X509 CRL" => other("a revocation list").hint(beside),
        "EC PARAMETERS" => other("the name of a curve").hint(beside),
        "PKCS12" => Fault::new("it is a PKCS#12 store")
            .hint("take the key out of it: `openssl pkcs12 -nocerts -in STORE -out key.pem`"),
        "OPENSSH PRIVATE KEY" => Fault::new("it is a key in OpenSSH's own form")
            .hint("convert a copy of it: `ssh-keygen -p -m PKCS8 -f KEY`"),
        "DSA PRIVATE KEY" => {
            Fault::new("it is a DSA key, which TLS clients refuse").hint("make an ECDSA or RSA key")
        }
        unknown => Fault::new(format!("it holds `{}` and no {wanted}", printable(unknown))).hint(beside),
    }
}
