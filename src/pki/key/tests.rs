//! Tests with every form of a key, and with files that are not keys. `../fixtures/README.md` describes how each file
//! was made.
#![allow(clippy::unwrap_used)]

use super::*;
use proptest::prelude::*;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../fixtures/", $name)).as_slice()
    };
}

fn correct() -> Passphrase {
    Passphrase::first_line(b"correct\n").unwrap()
}

fn refused(bytes: &[u8]) -> Fault {
    PrivateKey::read(bytes, Some(&correct())).expect_err("it should be refused")
}

/// The error for a refused file, as `message / hint`.
fn says(bytes: &[u8]) -> String {
    let fault = refused(bytes);
    format!("{} / {}", fault.message, fault.hint)
}

/// The type of each test key, and its public key as extracted by OpenSSL.
const PUBLIC: [(&str, &[u8]); 5] = [
    ("ECDSA P-256", fixture!("p256.public.der")),
    ("ECDSA P-384", fixture!("p384.public.der")),
    ("ECDSA P-521", fixture!("p521.public.der")),
    ("Ed25519", fixture!("ed25519.public.der")),
    ("RSA 2048", fixture!("rsa2048.public.der")),
];

const IN_CLEAR: [(&str, &[u8]); 19] = [
    ("ECDSA P-256", fixture!("p256.pkcs8.pem")),
    ("ECDSA P-256", fixture!("p256.pkcs8.der")),
    ("ECDSA P-256", fixture!("p256.sec1.pem")),
    ("ECDSA P-256", fixture!("p256.sec1.der")),
    ("ECDSA P-256", fixture!("p256.sec1-with-parameters.pem")),
    ("ECDSA P-384", fixture!("p384.pkcs8.pem")),
    ("ECDSA P-384", fixture!("p384.pkcs8.der")),
    ("ECDSA P-384", fixture!("p384.sec1.pem")),
    ("ECDSA P-384", fixture!("p384.sec1.der")),
    ("ECDSA P-521", fixture!("p521.pkcs8.pem")),
    ("ECDSA P-521", fixture!("p521.pkcs8.der")),
    ("ECDSA P-521", fixture!("p521.sec1.pem")),
    ("ECDSA P-521", fixture!("p521.sec1.der")),
    ("Ed25519", fixture!("ed25519.pkcs8.pem")),
    ("Ed25519", fixture!("ed25519.pkcs8.der")),
    ("RSA 2048", fixture!("rsa2048.pkcs8.pem")),
    ("RSA 2048", fixture!("rsa2048.pkcs8.der")),
    ("RSA 2048", fixture!("rsa2048.pkcs1.pem")),
    ("RSA 2048", fixture!("rsa2048.pkcs1.der")),
];

const ENCRYPTED: [(&str, &[u8]); 17] = [
    ("ECDSA P-256", fixture!("p256.aes256-sha256.pem")),
    ("ECDSA P-256", fixture!("p256.aes256-sha256.der")),
    ("ECDSA P-256", fixture!("p256.aes128-sha1.pem")),
    ("ECDSA P-256", fixture!("p256.aes192-sha384.pem")),
    ("ECDSA P-256", fixture!("p256.aes256-sha512.pem")),
    ("ECDSA P-256", fixture!("p256.3des-sha1.pem")),
    ("ECDSA P-256", fixture!("p256.scrypt.pem")),
    ("ECDSA P-256", fixture!("p256.pkcs12-3des.pem")),
    ("ECDSA P-256", fixture!("p256.traditional-aes128.pem")),
    ("ECDSA P-256", fixture!("p256.traditional-aes192.pem")),
    ("ECDSA P-256", fixture!("p256.traditional-aes256.pem")),
    ("ECDSA P-256", fixture!("p256.traditional-des3.pem")),
    ("ECDSA P-384", fixture!("p384.aes256-sha256.pem")),
    ("ECDSA P-521", fixture!("p521.aes256-sha256.pem")),
    ("Ed25519", fixture!("ed25519.aes256-sha256.pem")),
    ("RSA 2048", fixture!("rsa2048.aes256-sha256.pem")),
    ("RSA 2048", fixture!("rsa2048.traditional-aes256.pem")),
];

/// Asserts that `key` is the test key of this type, and that it is written as PKCS#8 v1 and can be read back.
fn is_right(kind: &str, bytes: &[u8], key: &PrivateKey) {
    let text = String::from_utf8_lossy(bytes);
    assert_eq!(key.kind(), kind, "{text}");
    let (_, public) = PUBLIC.into_iter().find(|(name, _)| *name == kind).unwrap();
    assert_eq!(key.public_key(), public, "{text}");
    assert_eq!(key.is_rsa(), kind == "RSA 2048");
    assert!(key.pem().starts_with("-----BEGIN PRIVATE KEY-----\n"), "{}", key.pem());
    let block = pem::parse(key.pem()).unwrap();
    assert_eq!(block.contents(), key.pair.serialized_der());
    let mut fields = der::Elements::of(der::only(block.contents()).unwrap().content);
    assert_eq!(fields.number(), Some(0), "PKCS#8 v1");
    assert_eq!(fields.count(), 2, "no public key, no attributes");
    assert_eq!(PrivateKey::from_pem(key.pem()).unwrap(), *key);
}

#[test]
fn every_form_in_clear_becomes_pkcs8_v1() {
    for (kind, bytes) in IN_CLEAR {
        assert!(!PrivateKey::is_encrypted(bytes));
        is_right(kind, bytes, &PrivateKey::read(bytes, None).unwrap());
        // A passphrase that is not needed is ignored.
        PrivateKey::read(bytes, Some(&correct())).unwrap();
    }
}

#[test]
fn every_encrypted_form_opens_with_its_passphrase_alone() {
    for (kind, bytes) in ENCRYPTED {
        assert!(PrivateKey::is_encrypted(bytes));
        is_right(kind, bytes, &PrivateKey::read(bytes, Some(&correct())).unwrap());
        let none = PrivateKey::read(bytes, None).unwrap_err();
        assert_eq!(none.message, "the key is encrypted, and no passphrase was given");
        let wrong = Passphrase::first_line(b"wrong").unwrap();
        let wrong = PrivateKey::read(bytes, Some(&wrong)).unwrap_err();
        assert_eq!(wrong.message, "the passphrase does not open the key");
        assert_eq!(wrong.hint, "check the passphrase, and that the file is whole");
    }
}

#[test]
fn a_pkcs8_file_keeps_its_text() {
    let unusual = format!(
        "Bag Attributes: <none>\r\n{}",
        String::from_utf8_lossy(fixture!("p256.pkcs8.pem")).replace('\n', "\r\n")
    );
    let key = PrivateKey::read(unusual.as_bytes(), None).unwrap();
    assert!(unusual.contains(key.pem().trim_end()) && key.pem().contains("\r\n"));
}

#[test]
fn a_key_is_found_among_certificates_and_text() {
    let bundle = [
        b"# key and certificate\n".as_slice(),
        fixture!("bad.certificate.pem"),
        fixture!("p256.sec1.pem"),
        fixture!("bad.certificate.pem"),
    ];
    assert_eq!(PrivateKey::read(&bundle.concat(), None).unwrap().kind(), "ECDSA P-256");
    let latin1 = [b"# schl\xfcssel\n".as_slice(), fixture!("p256.pkcs8.pem")].concat();
    assert_eq!(PrivateKey::read(&latin1, None).unwrap().kind(), "ECDSA P-256");
    let old_mac = String::from_utf8_lossy(fixture!("p256.traditional-des3.pem")).replace('\n', "\r");
    assert!(PrivateKey::read(old_mac.as_bytes(), Some(&correct())).is_ok());
    let windows = String::from_utf8_lossy(fixture!("p256.traditional-des3.pem")).replace('\n', "\r\n");
    assert!(PrivateKey::read(windows.as_bytes(), Some(&correct())).is_ok());
}

#[test]
fn a_curve_may_stand_in_a_block_of_its_own() {
    let block = pem::parse(fixture!("p256.sec1.pem")).unwrap();
    let fields: Vec<_> = der::Elements::of(der::only(block.contents()).unwrap().content).collect();
    let bare = der::sequence(&[fields[0].raw, fields[1].raw, fields[3].raw]);
    let alone = der::pem("EC PRIVATE KEY", &bare);
    assert_eq!(refused(alone.as_bytes()).message, "the EC key does not say which curve it is on");
    let curve = der::pem("EC PARAMETERS", &der::oid("1.2.840.10045.3.1.7"));
    let key = PrivateKey::read(format!("{curve}{alone}").as_bytes(), None).unwrap();
    assert_eq!(key.public_key(), fixture!("p256.public.der"));
}

#[test]
fn pkcs8_v2_becomes_v1() {
    // rcgen makes Ed25519 keys as PKCS#8 v2, with the public key at the end.
    let pair = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    assert_eq!(pair.serialized_der().len(), 83);
    let key = PrivateKey::read(pair.serialize_pem().as_bytes(), None).unwrap();
    assert_eq!(key.pair.serialized_der().len(), 48);
    assert_eq!(key.pair.public_key_raw(), pair.public_key_raw());
}

#[test]
fn every_generated_kind_is_read_back_with_and_without_a_passphrase() {
    for key_type in [KeyType::P256, KeyType::P384, KeyType::Rsa2048] {
        let key = PrivateKey::generate(key_type);
        let read = PrivateKey::from_pem(key.pem()).unwrap();
        assert_eq!((read.kind(), read.pem(), &read), (key.kind(), key.pem(), &key));
        if key_type == KeyType::P384 {
            continue; // Each derivation takes half a second, so two types are enough.
        }
        let sealed = key.encrypted_pem(&correct());
        assert!(sealed.starts_with("-----BEGIN ENCRYPTED PRIVATE KEY-----\n"));
        assert!(PrivateKey::is_encrypted(sealed.as_bytes()));
        let opened = PrivateKey::read(sealed.as_bytes(), Some(&correct())).unwrap();
        assert_eq!((opened.pem(), &opened), (key.pem(), &key));
        assert_ne!(*sealed, *key.encrypted_pem(&correct()), "salt and initial value are new every time");
    }
}

#[test]
fn keys_no_client_takes_are_refused_by_name() {
    let plain = "make an ECDSA or RSA key";
    let curve = |name: &str| {
        format!("the key is on the curve `{name}`, which TLS clients refuse / make a key on P-256 or P-384")
    };
    for (bytes, text) in [
        (
            fixture!("bad.rsa1024.pem"),
            "the RSA key has 1024 bits, and clients refuse less than 2048 / make a new key".to_owned(),
        ),
        (fixture!("bad.secp256k1.pem"), curve("secp256k1")),
        (fixture!("bad.brainpool.pem"), curve("brainpoolP256r1")),
        (fixture!("bad.p224.pem"), curve("P-224")),
        (fixture!("bad.explicit.pem"), "the EC key spells out its curve instead of naming it / if it is a named one, convert it: `openssl ec -param_enc named_curve -in KEY -out key.pem`".to_owned()),
        (fixture!("bad.dsa.pem"), format!("it is a DSA key, which TLS clients refuse / {plain}")),
        (fixture!("bad.dsa-traditional.pem"), format!("it is a DSA key, which TLS clients refuse / {plain}")),
        (fixture!("bad.rsa-pss.pem"), "it is an RSA key for PSS signatures alone, which many programs cannot use / make a plain RSA key or an ECDSA key".to_owned()),
        (fixture!("bad.ed448.pem"), format!("it is an Ed448 key, which TLS clients refuse / {plain}")),
        (fixture!("bad.x25519.pem"), format!("it is a key for key exchange, which cannot sign / {plain}")),
    ] {
        assert_eq!(says(bytes), text);
    }
    let unknown = der::sequence(&[
        &der::number(0),
        &der::sequence(&[&der::oid("1.2.3.4")]),
        &der::element(der::tag::OCTET_STRING, &[]),
    ]);
    assert_eq!(says(&unknown), format!("it is a key of the unknown type `1.2.3.4` / {plain}"));
    let wide = [&[0x7f][..], &[0xff; 2048]].concat();
    let numbers: Vec<_> = (0..9).map(|_| der::element(der::tag::INTEGER, &[&wide])).collect();
    let numbers: Vec<_> = numbers.iter().map(Vec::as_slice).collect();
    assert_eq!(
        says(&der::sequence(&numbers)),
        "the RSA key has 16391 bits, and more than 8192 cannot be used / make a new key"
    );
}

#[test]
fn what_is_no_key_is_named() {
    let beside = "the private key lies in a file of its own, often `*.key`";
    let copy = "copy the whole file again";
    let certificate = format!("it holds a certificate and no private key / {beside}");
    let twice = [fixture!("p256.pkcs8.pem"), fixture!("rsa2048.pkcs1.pem")].concat();
    let list = der::pem("X509 CRL", &[0x30, 0]);
    let odd = der::pem("PGP MESSAGE", &[0x30, 0]);
    let curve = der::pem("EC PARAMETERS", &der::oid("1.2.840.10045.3.1.7"));
    let utf16: Vec<u8> = "\u{feff}-----BEGIN".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (bytes, text) in [
        (&b""[..], "it is empty / ".to_owned()),
        (b" \r\n\t", "it is empty / ".to_owned()),
        (&vec![b'x'; 1 << 21], "it is larger than 1 MiB, which no private key is / ".to_owned()),
        (b"hello", "it is neither PEM nor DER / a private key in PEM begins with `-----BEGIN PRIVATE KEY-----`".to_owned()),
        (&utf16, "it is UTF-16 text / save it as UTF-8 or ASCII".to_owned()),
        (&twice, "it holds 2 private keys / keep the one that is meant in a file of its own".to_owned()),
        (fixture!("bad.certificate.pem"), certificate.clone()),
        (fixture!("bad.certificate.der"), certificate),
        (fixture!("request.p256.pem"), format!("it holds a certificate request and no private key / {beside}")),
        (fixture!("request.p256.der"), format!("it holds a certificate request and no private key / {beside}")),
        (fixture!("bad.public.pem"), format!("it holds a public key and no private key / {beside}")),
        (fixture!("p256.public.der"), format!("it holds a public key and no private key / {beside}")),
        (list.as_bytes(), format!("it holds a revocation list and no private key / {beside}")),
        (odd.as_bytes(), format!("it holds `PGP MESSAGE` and no private key / {beside}")),
        (curve.as_bytes(), format!("it holds the name of a curve and no private key / {beside}")),
        (fixture!("bad.openssh.pem"), "it is a key in OpenSSH's own form / convert a copy of it: `ssh-keygen -p -m PKCS8 -f KEY`".to_owned()),
        (fixture!("bad.store.p12"), "it is a PKCS#12 store / take the key out of it: `openssl pkcs12 -nocerts -in STORE -out key.pem`".to_owned()),
        (&[0x30, 0], "it is DER, but no private key / ".to_owned()),
        (&[0x30, 3, 2, 1, 0], "it is DER, but no private key / ".to_owned()),
        (&fixture!("p256.pkcs8.der")[..100], format!("its DER is cut off, or something follows it / {copy}")),
        (&[fixture!("p256.pkcs8.der"), b"\n"].concat(), format!("its DER is cut off, or something follows it / {copy}")),
        (&fixture!("p256.pkcs8.pem")[..150], format!("it is cut off: its `PRIVATE KEY` does not end / {copy}")),
        (&[fixture!("p256.pkcs8.pem"), &fixture!("p256.sec1.pem")[..90]].concat(), format!("it is cut off: its `EC PRIVATE KEY` does not end / {copy}")),
    ] {
        assert_eq!(says(bytes), text);
        assert!(!PrivateKey::is_encrypted(bytes));
    }
}

#[test]
fn damage_is_named() {
    let copy = "copy the whole file again";
    let text = String::from_utf8_lossy(fixture!("p256.pkcs8.pem")).into_owned();
    let between = format!("the text between BEGIN and END of its `PRIVATE KEY` is damaged / {copy}");
    assert_eq!(says(text.replacen('M', "*", 1).as_bytes()), between);
    assert_eq!(says(text.replacen("MIG", "MI", 1).as_bytes()), between);
    let der = fixture!("p256.pkcs8.der");
    let short = der::pem("PRIVATE KEY", &der[..der.len() - 1]);
    assert_eq!(says(short.as_bytes()), format!("the private key is damaged / {copy}"));
    let mut flipped = der.to_vec();
    // In OpenSSL's PKCS#8, the secret number of a P-256 key starts at byte 36, and the public point ends the file.
    flipped[40] ^= 1;
    let apart = "the numbers of the ECDSA P-256 key do not fit together / the file is damaged: copy it again";
    assert_eq!(says(&flipped), apart);
    let mut rsa = fixture!("rsa2048.pkcs1.der").to_vec();
    rsa[400] ^= 1;
    assert_eq!(
        says(&rsa),
        "the numbers of the RSA 2048 key do not fit together / the file is damaged: copy it again"
    );
    let wrong_label = der::pem("ENCRYPTED PRIVATE KEY", der);
    assert_eq!(says(wrong_label.as_bytes()), format!("the encrypted key is damaged / {copy}"));
    let open_label = der::pem("PRIVATE KEY", fixture!("p256.aes256-sha256.der"));
    assert_eq!(PrivateKey::read(open_label.as_bytes(), Some(&correct())).unwrap().kind(), "ECDSA P-256");
    let traditional = String::from_utf8_lossy(fixture!("p256.traditional-aes256.pem")).into_owned();
    let iv = traditional.replace("AES-256-CBC,", "AES-256-CBC,XY");
    assert_eq!(says(iv.as_bytes()), format!("the encrypted key is damaged / {copy}"));
    let iv = traditional.replace("AES-256-CBC,", "AES-256-CBC");
    assert_eq!(says(iv.as_bytes()), format!("the encrypted key is damaged / {copy}"));
}

#[test]
fn unknown_and_costly_encryption_is_refused_with_the_way_out() {
    let convert = "convert it: `openssl pkcs8 -topk8 -v2 aes-256-cbc -provider default -provider legacy -in KEY -out key.pem`";
    for (bytes, name) in [
        (fixture!("bad.md5-des.pem"), "1.2.840.113549.1.5.3"),
        (fixture!("bad.aria.pem"), "1.2.410.200046.1.1.12"),
        (fixture!("bad.sha224.pem"), "1.2.840.113549.2.8"),
        (fixture!("bad.traditional-camellia.pem"), "CAMELLIA-256-CBC"),
    ] {
        let text = format!("the key is encrypted with `{name}`, which regcert does not read / {convert}");
        assert_eq!(says(bytes), text);
    }
    let costly = "opening the key would take more rounds or memory than any sound file asks for";
    // In DER, 2048 rounds are 02 02 08 00, and the 1024 blocks of scrypt are 02 02 04 00.
    let more = |bytes: &[u8], small: &[u8]| {
        let mut der = pem::parse(bytes).unwrap().into_contents();
        let at = der.windows(4).position(|window| window == small).unwrap();
        let (front, back) = (der[..at].to_vec(), der.split_off(at + 4));
        let large = [&front[..], &[2, 4, 0x40, 0, 0, 0], &back].concat();
        // The length of every enclosing element grows by two.
        fix_lengths(&large, 2)
    };
    for der in [
        more(fixture!("p256.aes256-sha256.pem"), &[2, 2, 8, 0]),
        more(fixture!("p256.scrypt.pem"), &[2, 2, 4, 0]),
    ] {
        assert_eq!(refused(&der).message, costly);
    }
}

/// Adds `more` to the length of each element around the number of rounds: the file, the scheme, the scheme's
/// parameters, the derivation, the derivation's parameters.
fn fix_lengths(der: &[u8], more: u8) -> Vec<u8> {
    let mut der = der.to_vec();
    let mut at = 0;
    for _ in 0..5 {
        // If a SEQUENCE begins with an OID, the next enclosing element follows the OID.
        let header = if der[at + 1] < 0x80 { 2 } else { 2 + usize::from(der[at + 1] & 0x7f) };
        der[at + header - 1] += more;
        at += header;
        if der[at] == der::tag::OID {
            at += 2 + usize::from(der[at + 1]);
        }
    }
    der
}

#[test]
fn passphrases_are_checked_and_silent() {
    let refused = |bytes: &[u8]| Passphrase::first_line(bytes).unwrap_err().message;
    assert_eq!(refused(b""), "the passphrase is empty");
    assert_eq!(refused(b"\r\n"), "the passphrase is empty");
    assert_eq!(refused(b"\xff"), "the passphrase is not UTF-8");
    assert_eq!(refused(b"one\ntwo"), "the passphrase holds a line break or a NUL");
    assert_eq!(refused(b"a\0b"), "the passphrase holds a line break or a NUL");
    assert_eq!(correct().expose(), "correct");
    assert_eq!(format!("{:?}", correct()), "Passphrase(…)");
    assert_eq!(format!("{:?}", PrivateKey::generate(KeyType::P256)), "PrivateKey(…)");
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = PrivateKey::read(&bytes, Some(&correct()));
    }

    /// A file with one changed byte gives another key, an error or, if the byte is not read, the same key, but never a
    /// panic.
    #[test]
    fn no_changed_byte_makes_it_panic(at in 0..138_usize, value in any::<u8>()) {
        let mut der = fixture!("p256.pkcs8.der").to_vec();
        der[at] = value;
        let _ = PrivateKey::read(&der, None);
        let mut text = fixture!("p256.traditional-des3.pem").to_vec();
        text[at] = value;
        let _ = PrivateKey::read(&text, Some(&correct()));
    }
}
