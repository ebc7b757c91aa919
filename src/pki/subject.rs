//! The subject of a certificate.

use rcgen::{DistinguishedName, DnType, DnValue};

/// The maximum length of a common name (RFC 5280 appendix A.1, ub-common-name).
pub(super) const COMMON_NAME_MAX: usize = 64;

/// The organization in the subject of a certificate. Every field except the country may contain any printable text.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Subject {
    /// The country code: two capital letters (ISO 3166-1).
    pub country: Option<String>,
    /// The state or province.
    pub state: Option<String>,
    /// The city.
    pub locality: Option<String>,
    /// The name of the organization.
    pub company: Option<String>,
    /// The organizational unit.
    pub unit: Option<String>,
    /// The e-mail address for contact, stored as a subject alternative name of the root (RFC 5280 §4.1.2.6).
    pub email: Option<String>,
}

impl Subject {
    pub(super) fn distinguished_name(&self, common_name: Option<&str>) -> DistinguishedName {
        let mut name = DistinguishedName::new();
        if let Some(country) = &self.country {
            let country = country.as_str().try_into().expect("two letters are printable");
            name.push(DnType::CountryName, DnValue::PrintableString(country));
        }
        let fields = [
            (DnType::StateOrProvinceName, self.state.as_deref()),
            (DnType::LocalityName, self.locality.as_deref()),
            (DnType::OrganizationName, self.company.as_deref()),
            (DnType::OrganizationalUnitName, self.unit.as_deref()),
            (DnType::CommonName, common_name),
        ];
        for (kind, value) in fields {
            if let Some(value) = value {
                name.push(kind, value);
            }
        }
        name
    }
}
