//! Tests that read valid and invalid requests. `../fixtures/README.md` describes how each request was made.
#![allow(clippy::unwrap_used)]

use super::super::KeyType;
use super::*;
use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name)).as_slice()
    };
}

fn says(bytes: &[u8]) -> String {
    let fault = Request::read(bytes).expect_err("it should be refused");
    format!("{} / {}", fault.message, fault.hint)
}

fn names(request: &Request) -> Vec<String> {
    request.names.iter().map(ToString::to_string).collect()
}

#[test]
fn every_kind_of_key_is_read_with_every_hash() {
    let four = vec!["reg.example.com", "*.example.com", "10.0.0.7", "fd00::7"];
    let one = vec!["reg.example.com"];
    for (bytes, kind, public, expected) in [
        (fixture!("request.p256.pem"), "ECDSA P-256", fixture!("p256.public.der"), &four),
        (fixture!("request.p256.der"), "ECDSA P-256", fixture!("p256.public.der"), &four),
        (fixture!("request.p256-sha512-no-san.pem"), "ECDSA P-256", fixture!("p256.public.der"), &one),
        // OpenSSL signs with SHA-256 for every curve.
        (fixture!("request.p384.pem"), "ECDSA P-384", fixture!("p384.public.der"), &four),
        (fixture!("request.p521.pem"), "ECDSA P-521", fixture!("p521.public.der"), &four),
        (fixture!("request.p521-sha384.pem"), "ECDSA P-521", fixture!("p521.public.der"), &one),
        (fixture!("request.ed25519.pem"), "Ed25519", fixture!("ed25519.public.der"), &four),
        (fixture!("request.rsa2048.pem"), "RSA 2048", fixture!("rsa2048.public.der"), &four),
        (fixture!("request.rsa2048-sha384.pem"), "RSA 2048", fixture!("rsa2048.public.der"), &one),
        (fixture!("request.rsa2048-sha512.pem"), "RSA 2048", fixture!("rsa2048.public.der"), &one),
    ] {
        let request = Request::read(bytes).unwrap();
        assert_eq!((request.kind.as_str(), request.public_key.as_slice()), (kind, public));
        assert_eq!(names(&request), *expected);
        assert_eq!(request.subject, "CN=reg.example.com");
        assert_eq!(request.ignored, [""; 0]);
        assert_eq!(Request::read(request.pem().as_bytes()).unwrap(), request);
    }
}

#[test]
fn what_else_is_asked_for_is_told_and_not_used() {
    let request = Request::read(fixture!("request.greedy.pem")).unwrap();
    assert_eq!(names(&request), ["reg.example.com"]);
    assert_eq!(request.subject, "C=DE, O=Example, CN=reg.example.com");
    assert_eq!(
        request.ignored,
        [
            "e-mail address `a@example.com`",
            "URI `https://example.com`",
            "registered identifier `1.2.3.4`",
            "name of the type `1.2.3`",
            "directory name `CN=x`",
            "the rights of a certificate authority",
            "the right to sign certificates or revocation lists",
            "uses other than TLS server and client",
            "extension `1.3.6.1.5.5.7.1.24`",
            "name constraints",
        ]
    );
    assert_eq!(Request::read(fixture!("request.usual.pem")).unwrap().ignored, [""; 0]);
    let email = Request::read(fixture!("request.email-only.pem")).unwrap();
    assert_eq!((names(&email), email.ignored.len()), (vec!["reg.example.com".to_owned()], 1));
}

#[test]
fn what_is_created_is_read() {
    let asked: Vec<SubjectAltName> =
        ["reg.example.com", "*.example.com", "10.0.0.7", "fd00::7"].map(|name| name.parse().unwrap()).into();
    let subject = Subject { country: Some("DE".into()), company: Some("Köln".into()), ..Subject::default() };
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
        let key = PrivateKey::generate(key_type);
        let request = Request::create(&key, &asked, &subject).unwrap();
        assert_eq!(request.names, asked);
        assert_eq!((request.public_key.clone(), request.kind.clone()), (key.public_key(), key.kind()));
        assert_eq!(request.subject, "C=DE, O=Köln, CN=reg.example.com");
        assert_eq!(Request::read(request.pem().as_bytes()).unwrap(), request);
    }
    let long: SubjectAltName = format!("{}.{}.example.com", "a".repeat(40), "b".repeat(40)).parse().unwrap();
    let key = PrivateKey::generate(KeyType::P256);
    let request = Request::create(&key, &[long], &Subject::default()).unwrap();
    assert_eq!(request.subject, "", "a name too long for a common name stands among the others alone");
}

#[test]
fn weak_and_unknown_signatures_and_keys_are_refused() {
    let again = "sign it with SHA-256: `openssl req -sha256 …`";
    for (bytes, text) in [
        (
            fixture!("bad.request-sha1.pem"),
            format!("it is signed with SHA-1, which clients no longer accept / {again}"),
        ),
        (
            fixture!("bad.request-ecdsa-sha1.pem"),
            format!("it is signed with SHA-1, which clients no longer accept / {again}"),
        ),
        (
            fixture!("bad.request-md5.pem"),
            format!("it is signed with MD5, which clients no longer accept / {again}"),
        ),
        (
            fixture!("bad.request-sha224.pem"),
            format!("it is signed with SHA-224, which clients no longer accept / {again}"),
        ),
        (
            fixture!("bad.request-pss.pem"),
            "it is signed with RSA-PSS, which is not read / sign it with plain RSA: leave `-sigopt rsa_padding_mode:pss` out".into(),
        ),
        (
            fixture!("bad.request-rsa-pss-key.pem"),
            "it is an RSA key for PSS signatures alone, which many programs cannot use / make a plain RSA key or an ECDSA key".into(),
        ),
        (
            fixture!("bad.request-rsa1024.pem"),
            "the RSA key has 1024 bits, and clients refuse less than 2048 / make a new key".into(),
        ),
        (
            fixture!("bad.request-secp256k1.pem"),
            "the key is on the curve `secp256k1`, which TLS clients refuse / make a key on P-256 or P-384".into(),
        ),
        (
            fixture!("bad.request-ed448.pem"),
            "it is an Ed448 key, which TLS clients refuse / make an ECDSA or RSA key".into(),
        ),
    ] {
        assert_eq!(says(bytes), text);
    }
}

#[test]
fn names_that_cannot_be_are_refused() {
    let none = "the certificate request names no host / make it with `openssl req -new … -addext subjectAltName=DNS:registry.example.com`";
    assert_eq!(says(fixture!("bad.request-no-name.pem")), none);
    assert_eq!(says(fixture!("bad.request-empty.pem")), none);
    assert_eq!(
        says(fixture!("bad.request-names.pem")),
        "the certificate request asks for a name that cannot be: `my_reg.example.com` is not a host name: only letters, digits, hyphens and dots are allowed / "
    );
}

#[test]
fn what_is_no_request_is_named() {
    let make = "make one from the key: `openssl req -new -key KEY -out request.csr`";
    let copy = "copy the whole file again";
    let key = format!("it holds a private key and no certificate request / {make}");
    let certificate = format!("it holds a certificate and no certificate request / {make}");
    let twice = [fixture!("request.p256.pem"), fixture!("request.p384.pem")].concat();
    let der = fixture!("request.p256.der");
    let mut forged = der.to_vec();
    // The last byte is a part of the signature.
    *forged.last_mut().unwrap() ^= 1;
    let mut renamed = der.to_vec();
    let at = renamed.windows(3).position(|window| window == b"reg").unwrap();
    renamed[at] = b'l';
    let more = [der, b"x"].concat();
    let inside = der::pem("CERTIFICATE REQUEST", &more);
    let short = der::pem("CERTIFICATE REQUEST", &der[..200]);
    let text = String::from_utf8_lossy(fixture!("request.p256.pem")).replacen("MII", "M*I", 1);
    for (bytes, expected) in [
        (&b""[..], "it is empty / ".to_owned()),
        (&vec![b' ' + 1; 2 << 20], "it is larger than 1 MiB, which no certificate request is / ".into()),
        (b"hello", "it is neither PEM nor DER / a certificate request in PEM begins with `-----BEGIN CERTIFICATE REQUEST-----`".into()),
        (fixture!("p256.pkcs8.pem"), key.clone()),
        (fixture!("p256.aes256-sha256.pem"), key.clone()),
        (fixture!("p256.aes256-sha256.der"), key.clone()),
        (fixture!("p256.pkcs8.der"), key),
        (fixture!("bad.certificate.pem"), certificate.clone()),
        (fixture!("bad.certificate.der"), certificate),
        (fixture!("p256.public.der"), format!("it holds a public key and no certificate request / {make}")),
        (&[0x30, 0], "it is DER, but no certificate request / ".into()),
        (&twice, "it holds 2 certificate requests / sign them one after the other".into()),
        (&fixture!("request.p256.pem")[..300], format!("it is cut off: its `CERTIFICATE REQUEST` does not end / {copy}")),
        (&der[..200], format!("its DER is cut off, or something follows it / {copy}")),
        (text.as_bytes(), format!("the text between BEGIN and END of its `CERTIFICATE REQUEST` is damaged / {copy}")),
        (short.as_bytes(), format!("the certificate request is damaged / {copy}")),
        (inside.as_bytes(), format!("bytes follow the certificate request / {copy}")),
        (&forged, "its signature is wrong / ".into()),
        (&renamed, "its signature is wrong / ".into()),
    ] {
        assert_eq!(says(bytes), expected);
    }
}

proptest! {
    /// A changed byte is an error, because the signature no longer matches, but never causes a panic.
    #[test]
    fn no_changed_byte_makes_it_panic(at in 0..300_usize, value in any::<u8>()) {
        let mut der = fixture!("request.greedy.pem").to_vec();
        der[at] = value;
        let _ = Request::read(&der);
        let mut der = fixture!("request.p256.der").to_vec();
        der[at] = value;
        let _ = Request::read(&der);
    }
}
