//! The format number of a registry's directory. If the number is higher than regcert supports, regcert changes
//! nothing, because it would misread or break the files.

use crate::error::Fault;
use crate::names::printable;

/// The file with the format number. Without this file, a directory has format 1, which regcert 0.1.0 wrote at first.
pub const FORMAT: &str = ".regcert/format";

/// The format number that this regcert writes. Lower formats are readable. A change that an older regcert would
/// misread or break must raise the number.
const NUMBER: u32 = 2;

/// Renders the file: the number, and the version of regcert that the directory needs.
pub(super) fn text() -> String {
    format!("{NUMBER}\nThis directory needs regcert {} or newer.\n", env!("CARGO_PKG_VERSION"))
}

/// Fails if a newer regcert wrote the directory `shown`. Ignores a damaged file, which the next change rewrites.
pub fn refuse_newer(file: &[u8], shown: &str) -> Result<(), Fault> {
    let text = String::from_utf8_lossy(file);
    let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
    let Some(number) = first.trim().parse::<u32>().ok().filter(|number| *number > NUMBER) else {
        return Ok(());
    };
    let version = rest.split_once("regcert ").and_then(|(_, rest)| rest.split_whitespace().next());
    let newer = version
        .map_or("a newer regcert".to_owned(), |version| format!("regcert {} or newer", printable(version)));
    Err(Fault::new(format!(
        "`{}` was written by a newer regcert: it has format {number}, and this regcert knows formats up to {NUMBER}",
        printable(shown)
    ))
    .hint(format!("install {newer}; nothing was changed")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_higher_number_is_refused_with_the_version_that_it_needs() {
        let hint = |text: &str| refuse_newer(text.as_bytes(), "registry").unwrap_err().hint;
        let newer = "7\nThis directory needs regcert 1.4.0 or newer.\n";
        assert_eq!(hint(newer), "install regcert 1.4.0 or newer; nothing was changed");
        for other in ["3", "3\r\n", "4294967295\nregcert", "3\nregcert \n"] {
            assert_eq!(hint(other), "install a newer regcert; nothing was changed", "{other:?}");
        }
        assert!(!hint("9\nregcert \u{1b}[2J or").contains('\u{1b}'));
        for known in [text().as_str(), "1", "0", "", "x", "-3", "2\n", "\u{0}"] {
            assert_eq!(refuse_newer(known.as_bytes(), "registry"), Ok(()), "{known:?}");
        }
    }
}
