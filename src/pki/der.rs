//! Reads and writes DER elements (X.690), for cases in which the libraries would change the bytes. This module handles
//! tags and lengths, but not the meaning of an element.

use x509_parser::asn1_rs::Oid;

/// The tag bytes (X.690 §8) that regcert reads or writes.
pub(super) mod tag {
    pub(in crate::pki) const INTEGER: u8 = 0x02;
    pub(in crate::pki) const BIT_STRING: u8 = 0x03;
    pub(in crate::pki) const OCTET_STRING: u8 = 0x04;
    pub(in crate::pki) const NULL: u8 = 0x05;
    pub(in crate::pki) const OID: u8 = 0x06;
    pub(in crate::pki) const SEQUENCE: u8 = 0x30;
    pub(in crate::pki) const SET: u8 = 0x31;
    /// The constructed context tag `[0]`.
    pub(in crate::pki) const CONTEXT_0: u8 = 0xa0;
}

/// A DER element: the tag byte, the content, and all bytes including tag and length.
#[derive(Clone, Copy)]
pub(super) struct Element<'a> {
    pub(super) tag: u8,
    pub(super) content: &'a [u8],
    pub(super) raw: &'a [u8],
}

/// An iterator over the elements in the content of another element.
#[derive(Clone, Copy)]
pub(super) struct Elements<'a>(&'a [u8]);

impl<'a> Elements<'a> {
    pub(super) fn of(content: &'a [u8]) -> Self {
        Self(content)
    }

    /// The content of the next element; `None` if the next element has another tag.
    pub(super) fn content(&mut self, tag: u8) -> Option<&'a [u8]> {
        self.next().filter(|element| element.tag == tag).map(|element| element.content)
    }

    /// The elements inside the next element; `None` if the next element is not a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Option<Self> {
        self.content(tag::SEQUENCE).map(Self)
    }

    /// The next element in dotted form; `None` if the next element is not an OBJECT IDENTIFIER.
    pub(super) fn oid(&mut self) -> Option<String> {
        self.content(tag::OID).map(|content| Oid::new(content.into()).to_id_string())
    }

    /// The next element as a number; `None` if the next element is not an INTEGER from 0 to 2^63 - 1.
    pub(super) fn number(&mut self) -> Option<u64> {
        let content = self.content(tag::INTEGER)?;
        let small = content.first().is_some_and(|first| *first < 0x80) && content.len() <= 8;
        small.then(|| content.iter().fold(0, |sum, byte| sum << 8 | u64::from(*byte)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    /// Returns `None` at the end, and for an element that is cut off or not DER.
    fn next(&mut self) -> Option<Element<'a>> {
        let (&tag, rest) = self.0.split_first()?;
        let (&first, rest) = rest.split_first()?;
        let (length, header) = match first {
            0..0x80 => (usize::from(first), 2),
            // Four length bytes are enough: no input is larger than 1 MiB. 0x80 is the indefinite length of BER.
            0x81..=0x84 => {
                let size = usize::from(first & 0x7f);
                let bytes = rest.get(..size)?;
                (bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)), 2 + size)
            }
            0x80 | 0x85.. => return None,
        };
        let raw = self.0.get(..header.checked_add(length)?)?;
        self.0 = &self.0[raw.len()..];
        Some(Element { tag, content: &raw[header..], raw })
    }
}

/// The only element in `bytes`; `None` if `bytes` does not consist of exactly one element.
pub(super) fn only(bytes: &[u8]) -> Option<Element<'_>> {
    let mut elements = Elements::of(bytes);
    elements.next().filter(|_| elements.is_empty())
}

/// Encodes an element whose content is the concatenation of `parts`.
pub(super) fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    let mut out = Vec::with_capacity(length + 6);
    out.push(tag);
    if length < 0x80 {
        out.push(u8::try_from(length).expect("below 128"));
    } else {
        let bytes = length.to_be_bytes();
        let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
        out.push(0x80 | u8::try_from(bytes.len()).expect("a length has at most eight bytes"));
        out.extend_from_slice(bytes);
    }
    parts.iter().for_each(|part| out.extend_from_slice(part));
    out
}

/// Encodes a SEQUENCE of these elements.
pub(super) fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    element(tag::SEQUENCE, parts)
}

/// Encodes an OBJECT IDENTIFIER, given in dotted form.
pub(super) fn oid(dotted: &str) -> Vec<u8> {
    let oid: Oid<'_> = dotted.parse().expect("constant identifiers");
    element(tag::OID, &[oid.as_bytes()])
}

/// Encodes an INTEGER.
pub(super) fn number(value: u64) -> Vec<u8> {
    let bytes = value.to_be_bytes();
    let skip = bytes.iter().take_while(|byte| **byte == 0).count().min(7);
    let sign: &[u8] = if bytes[skip] < 0x80 { &[] } else { &[0] };
    element(tag::INTEGER, &[sign, &bytes[skip..]])
}

/// Encodes DER as PEM (RFC 7468) with Unix line ends.
pub(super) fn pem(label: &str, der: &[u8]) -> String {
    let config = pem::EncodeConfig::new().set_line_ending(pem::LineEnding::LF);
    pem::encode_config(&pem::Pem::new(label, der), config)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_is_written_is_read(content in proptest::collection::vec(any::<u8>(), 0..70_000)) {
            let written = element(tag::OCTET_STRING, &[&content]);
            prop_assert_eq!(only(&written).map(|e| (e.tag, e.content)), Some((tag::OCTET_STRING, &content[..])));
        }

        #[test]
        fn numbers_are_read_as_written(value in 0..u64::MAX / 2) {
            prop_assert_eq!(Elements::of(&number(value)).number(), Some(value));
        }

        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            Elements::of(&bytes).for_each(drop);
            let _ = Elements::of(&bytes).oid();
            let _ = Elements::of(&bytes).number();
        }
    }

    #[test]
    fn what_is_cut_off_is_no_element() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 2, 0],
            &[0x30, 0x82, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x84, 0xff, 0xff, 0xff, 0xff],
        ] {
            assert!(Elements::of(bytes).next().is_none(), "{bytes:?}");
        }
    }
}
