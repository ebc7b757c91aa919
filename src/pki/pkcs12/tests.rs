//! Tests that parse a PKCS#12 file, and check the contents that other programs need.
#![allow(clippy::unwrap_used)]

use super::der::Elements;
use super::*;

macro_rules! fixture {
    ($name:literal) => {
        include_str!(concat!("../fixtures/", $name))
    };
}

fn passphrase() -> Passphrase {
    Passphrase::first_line(b"password").unwrap()
}

/// The elements inside the first element of `bytes`.
fn inside(bytes: &[u8]) -> Elements<'_> {
    Elements::of(Elements::of(bytes).next().unwrap().content)
}

/// The content of the `[0]` element of a ContentInfo.
fn content<'a>(mut info: Elements<'a>, kind: &str) -> &'a [u8] {
    assert_eq!(info.oid().unwrap(), kind);
    info.content(tag::CONTEXT_0).unwrap()
}

#[test]
fn a_store_holds_the_key_and_every_certificate_and_its_mac_covers_them() {
    let key = PrivateKey::from_pem(fixture!("p256.pkcs8.pem")).unwrap();
    let chain =
        [fixture!("ca.t61.pem"), fixture!("ca.ad.pem")].map(|pem| Certificate::from_pem(pem).unwrap());
    let store = pkcs12("Köln", &chain, &key, &passphrase()).unwrap();
    let mut whole = inside(&store);
    assert_eq!(whole.number(), Some(3));
    let safe = Elements::of(content(whole.sequence().unwrap(), DATA)).content(tag::OCTET_STRING).unwrap();

    let mut mac = whole.sequence().unwrap();
    let digest = mac.sequence().unwrap().nth(1).unwrap().content;
    let salt = mac.content(tag::OCTET_STRING).unwrap();
    let rounds = NonZeroU32::new(mac.number().unwrap().try_into().unwrap()).unwrap();
    let secret = pbe::pkcs12_kdf(Purpose::Mac, &pbe::bmp("password"), salt, rounds, 20);
    let own = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &secret);
    hmac::verify(&own, safe, digest).unwrap();

    let mut parts = inside(safe);
    let sealed = content(parts.sequence().unwrap(), ENCRYPTED_DATA);
    let mut sealed = inside(sealed).nth(1).map(|info| Elements::of(info.content)).unwrap();
    sealed.next();
    let (algorithm, bytes) = (sealed.next().unwrap(), sealed.next().unwrap());
    let sealed = sequence(&[algorithm.raw, &element(tag::OCTET_STRING, &[bytes.content])]);
    let bags = pbe::open(&sealed, "password").ok().unwrap();
    let found: Vec<_> = inside(&bags)
        .map(|bag| {
            let value =
                content(inside(content(Elements::of(bag.content), CERTIFICATE_BAG)), X509_CERTIFICATE);
            Elements::of(value).content(tag::OCTET_STRING).unwrap().to_vec()
        })
        .collect();
    assert_eq!(found, chain.iter().map(|certificate| certificate.der().to_vec()).collect::<Vec<_>>());

    let bags = content(parts.sequence().unwrap(), DATA);
    let bags = Elements::of(bags).content(tag::OCTET_STRING).unwrap();
    let sealed = content(inside(bags).sequence().unwrap(), SHROUDED_KEY_BAG);
    assert_eq!(*PrivateKey::read(sealed, Some(&passphrase())).unwrap().pem(), *key.pem());
}

#[test]
fn what_does_not_belong_together_makes_no_store() {
    let key = PrivateKey::from_pem(fixture!("p384.pkcs8.pem")).unwrap();
    let chain = [Certificate::from_pem(fixture!("ca.t61.pem")).unwrap()];
    let refused = |chain: &[Certificate]| pkcs12("x", chain, &key, &passphrase()).unwrap_err().message;
    assert_eq!(refused(&chain), "the certificate and the key do not belong together");
    assert_eq!(refused(&[]), "there is no certificate to go with the key");
    let key = PrivateKey::from_pem(fixture!("p256.pkcs8.pem")).unwrap();
    let umlaut = Passphrase::first_line("pässword".as_bytes()).unwrap();
    let fault = pkcs12("x", &chain, &key, &umlaut).unwrap_err();
    assert_eq!(fault.message, "the passphrase holds a letter outside ASCII");
}
