use std::{collections::BTreeSet, net::IpAddr};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::Value;
use x509_parser::{
    certification_request::X509CertificationRequest,
    cri_attributes::ParsedCriAttribute,
    extensions::{GeneralName, ParsedExtension, X509Extension},
    oid_registry::{OID_X509_COMMON_NAME, OID_X509_ORGANIZATION_NAME},
    prelude::FromDer,
    x509::X509Name,
};

const BEGIN: &str = "-----BEGIN CERTIFICATE REQUEST-----";
const END: &str = "-----END CERTIFICATE REQUEST-----";

/// Content of a certificate request, parsed from its PEM.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct CsrContent {
    /// Common names of the subject.
    pub(crate) common_names: Vec<String>,
    /// Organizations of the subject.
    pub(crate) organizations: Vec<String>,
    /// True if the subject has other attributes than these two.
    pub(crate) other_subject: bool,
    /// Alternative names that are DNS names.
    pub(crate) dns_names: BTreeSet<String>,
    /// Alternative names that are addresses.
    pub(crate) addresses: BTreeSet<IpAddr>,
    /// Alternative names of other kinds, other extensions and attributes, as text. A kubelet's
    /// request has none.
    pub(crate) others: Vec<String>,
}

impl CsrContent {
    /// Parses the request of a `CertificateSigningRequest`.
    ///
    /// The parser is strict: a request that two parsers could read differently is refused.
    ///
    /// # Errors
    /// The reason, for users.
    pub(crate) fn parse(csr: &Value) -> Result<Self, String> {
        let encoded = csr.pointer("/spec/request").and_then(Value::as_str).ok_or("it contains no request")?;
        let pem = STANDARD.decode(encoded).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        let der = pem.as_deref().and_then(der_of).ok_or("its request is not exactly one PEM block")?;
        let (rest, request) =
            X509CertificationRequest::from_der(&der).map_err(|e| format!("its request cannot be parsed: {e}"))?;
        if !rest.is_empty() {
            return Err("its request is followed by other bytes".into());
        }
        let mut content = Self::default();
        content.subject(&request.certification_request_info.subject);
        content.attributes(&request);
        Ok(content)
    }

    fn subject(&mut self, subject: &X509Name<'_>) {
        for part in subject.iter() {
            let mut attributes = part.iter();
            let (Some(attribute), None) = (attributes.next(), attributes.next()) else {
                self.other_subject = true;
                continue;
            };
            match attribute.as_str() {
                Ok(text) if *attribute.attr_type() == OID_X509_COMMON_NAME => self.common_names.push(text.into()),
                Ok(text) if *attribute.attr_type() == OID_X509_ORGANIZATION_NAME => {
                    self.organizations.push(text.into());
                }
                _ => self.other_subject = true,
            }
        }
    }

    fn attributes(&mut self, request: &X509CertificationRequest<'_>) {
        for attribute in request.certification_request_info.iter_attributes() {
            match attribute.parsed_attribute() {
                ParsedCriAttribute::ExtensionRequest(requested) => {
                    requested.extensions.iter().for_each(|extension| self.extension(extension));
                }
                _ => self.others.push(format!("the attribute {}", attribute.oid)),
            }
        }
    }

    fn extension(&mut self, extension: &X509Extension<'_>) {
        match extension.parsed_extension() {
            ParsedExtension::SubjectAlternativeName(names) => {
                names.general_names.iter().for_each(|name| self.name(name));
            }
            _ => self.others.push(format!("the extension {}", extension.oid)),
        }
    }

    fn name(&mut self, name: &GeneralName<'_>) {
        match name {
            GeneralName::DNSName(name) => drop(self.dns_names.insert((*name).to_owned())),
            GeneralName::IPAddress(bytes) => match address(bytes) {
                Some(address) => drop(self.addresses.insert(address)),
                None => self.others.push("a malformed address".into()),
            },
            other => self.others.push(format!("the name {other}")),
        }
    }
}

fn der_of(pem: &str) -> Option<Vec<u8>> {
    let body = pem.trim().strip_prefix(BEGIN)?.strip_suffix(END)?;
    let body: String = body.split_ascii_whitespace().collect();
    STANDARD.decode(body).ok()
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(four) = <[u8; 4]>::try_from(bytes) {
        return Some(four.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}
