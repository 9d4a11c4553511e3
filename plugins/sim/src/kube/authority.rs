use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use jiff::{SignedDuration, Timestamp};
use rcgen::{
    CertificateParams, CertificateSigningRequestParams, DnType, DnValue, ExtendedKeyUsagePurpose, KeyPair,
    KeyUsagePurpose, SanType,
};
use rustls::pki_types::CertificateSigningRequestDer;
use rustls::pki_types::pem::PemObject as _;

use super::state::{Authority, User};

/// How long a certificate is good, in seconds, unless less is asked for: a year.
const LIFETIME: i64 = 31_536_000;

/// A certificate signing request, read.
#[derive(Debug)]
pub(crate) struct Request {
    params: CertificateSigningRequestParams,
    pub(crate) common_name: String,
    pub(crate) organizations: Vec<String>,
    pub(crate) dns_names: Vec<String>,
    pub(crate) addresses: Vec<String>,
    /// Whether it names e-mail addresses or URIs.
    pub(crate) has_other_names: bool,
}

/// Reads the base64 of a PEM request whose signature is good.
pub(crate) fn read_request(encoded: &str) -> Option<Request> {
    let pem = STANDARD.decode(encoded).ok()?;
    let der = CertificateSigningRequestDer::from_pem_slice(&pem).ok()?;
    let params = CertificateSigningRequestParams::from_der(&der).ok()?;
    let mut request = Request {
        common_name: String::new(),
        organizations: Vec::new(),
        dns_names: Vec::new(),
        addresses: Vec::new(),
        has_other_names: false,
        params,
    };
    for (kind, value) in request.params.params.distinguished_name.iter() {
        match kind {
            DnType::CommonName => request.common_name = text(value),
            DnType::OrganizationName => request.organizations.push(text(value)),
            _ => {}
        }
    }
    for name in &request.params.params.subject_alt_names {
        match name {
            SanType::DnsName(name) => request.dns_names.push(name.to_string()),
            SanType::IpAddress(address) => request.addresses.push(address.to_string()),
            _ => request.has_other_names = true,
        }
    }
    Some(request)
}

fn text(value: &DnValue) -> String {
    match value {
        DnValue::Utf8String(text) => text.clone(),
        DnValue::PrintableString(text) => text.to_string(),
        DnValue::Ia5String(text) => text.to_string(),
        DnValue::TeletexString(text) => text.to_string(),
        _ => String::new(),
    }
}

/// Signs a request for the usages that it was approved with. Returns `None` if it cannot be signed.
///
/// The certificate is valid for `seconds`, at most [`LIFETIME`], which is also the default.
pub(crate) fn sign(
    authority: &Authority,
    mut request: Request,
    usages: &[String],
    seconds: Option<i64>,
    now: Timestamp,
) -> Option<String> {
    let params = &mut request.params.params;
    // The clocks of hosts differ, so the real signer sets the start back too.
    let begin = now.checked_sub(SignedDuration::from_mins(5)).ok()?;
    let end = now.checked_add(SignedDuration::from_secs(seconds.unwrap_or(LIFETIME).min(LIFETIME))).ok()?;
    params.not_before = std::time::SystemTime::from(begin).into();
    params.not_after = std::time::SystemTime::from(end).into();
    params.key_usages = key_usages(usages);
    params.extended_key_usages = extended_usages(usages);
    params.use_authority_key_identifier_extension = true;
    params.is_ca = rcgen::IsCa::ExplicitNoCa;
    request.params.signed_by(&authority.issuer).ok().map(|certificate| certificate.pem())
}

fn key_usages(usages: &[String]) -> Vec<KeyUsagePurpose> {
    let of = |usage: &String| match usage.as_str() {
        "digital signature" => Some(KeyUsagePurpose::DigitalSignature),
        "key encipherment" => Some(KeyUsagePurpose::KeyEncipherment),
        _ => None,
    };
    usages.iter().filter_map(of).collect()
}

fn extended_usages(usages: &[String]) -> Vec<ExtendedKeyUsagePurpose> {
    let of = |usage: &String| match usage.as_str() {
        "client auth" => Some(ExtendedKeyUsagePurpose::ClientAuth),
        "server auth" => Some(ExtendedKeyUsagePurpose::ServerAuth),
        _ => None,
    };
    usages.iter().filter_map(of).collect()
}

/// The user that a client certificate names. Its signature was checked when the connection was
/// made.
pub(crate) fn subject(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups: Vec<&str> = subject.iter_organization().filter_map(|organization| organization.as_str().ok()).collect();
    Some(User::new(&name, &groups))
}

/// The user and the end of a certificate in PEM, if it is good now.
pub(crate) fn subject_of_pem(pem: &str, now: Timestamp) -> Option<User> {
    let der = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let validity = certificate.validity();
    let is_good =
        validity.not_before.timestamp() <= now.as_second() && now.as_second() < validity.not_after.timestamp();
    is_good.then(|| subject(&der)).flatten()
}

/// A new key, and a request for a certificate with it: both in PEM.
pub(crate) fn new_request(
    common_name: &str,
    organization: &str,
    dns: &[&str],
    addresses: &[&str],
) -> Result<(String, String), rcgen::Error> {
    let names: Vec<String> = dns.iter().chain(addresses).map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, common_name);
    let key = KeyPair::generate()?;
    let request = params.serialize_request(&key)?.pem()?;
    Ok((key.serialize_pem(), request))
}
