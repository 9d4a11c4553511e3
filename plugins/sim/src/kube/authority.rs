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

/// Maximum lifetime of a certificate in seconds: one year. Also used if a request names none.
const LIFETIME: i64 = 31_536_000;

/// Parsed certificate signing request with a verified signature.
#[derive(Debug)]
pub(crate) struct Request {
    params: CertificateSigningRequestParams,
    /// Common name of the subject; empty if there is none.
    pub(crate) common_name: String,
    /// Organizations of the subject, which become the groups of the user.
    pub(crate) organizations: Vec<String>,
    /// DNS names of the subject alternative names.
    pub(crate) dns_names: Vec<String>,
    /// IP addresses of the subject alternative names, as text.
    pub(crate) addresses: Vec<String>,
    /// True if the request has subject alternative names of another type, such as e-mail addresses
    /// or URIs.
    pub(crate) has_other_names: bool,
}

/// Reads a signing request from base64 of PEM. Returns `None` if it cannot be parsed or its
/// signature is wrong.
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

/// Returns the text of a name; empty for other encodings.
fn text(value: &DnValue) -> String {
    match value {
        DnValue::Utf8String(text) => text.clone(),
        DnValue::PrintableString(text) => text.to_string(),
        DnValue::Ia5String(text) => text.to_string(),
        DnValue::TeletexString(text) => text.to_string(),
        _ => String::new(),
    }
}

/// Signs a request for the approved usages. Returns the certificate in PEM, or `None` if it cannot
/// be signed.
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
    // Clocks of hosts differ, so the start is five minutes earlier, as the real signer sets it.
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

/// Converts the usages of Kubernetes to key usages; other usages are ignored.
fn key_usages(usages: &[String]) -> Vec<KeyUsagePurpose> {
    let of = |usage: &String| match usage.as_str() {
        "digital signature" => Some(KeyUsagePurpose::DigitalSignature),
        "key encipherment" => Some(KeyUsagePurpose::KeyEncipherment),
        _ => None,
    };
    usages.iter().filter_map(of).collect()
}

/// Converts the usages of Kubernetes to extended key usages; other usages are ignored.
fn extended_usages(usages: &[String]) -> Vec<ExtendedKeyUsagePurpose> {
    let of = |usage: &String| match usage.as_str() {
        "client auth" => Some(ExtendedKeyUsagePurpose::ClientAuth),
        "server auth" => Some(ExtendedKeyUsagePurpose::ServerAuth),
        _ => None,
    };
    usages.iter().filter_map(of).collect()
}

/// Returns the user named by a client certificate in DER: common name as the name, organizations as
/// the groups.
///
/// Does not verify the signature, which the TLS handshake has done.
pub(crate) fn subject(der: &[u8]) -> Option<User> {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).ok()?;
    let subject = certificate.subject();
    let name = subject.iter_common_name().next()?.as_str().ok()?.to_owned();
    let groups: Vec<&str> = subject.iter_organization().filter_map(|organization| organization.as_str().ok()).collect();
    Some(User::new(&name, &groups))
}

/// Returns the user of a certificate in PEM if the certificate is valid at `now`.
pub(crate) fn subject_of_pem(pem: &str, now: Timestamp) -> Option<User> {
    let der = rustls::pki_types::CertificateDer::from_pem_slice(pem.as_bytes()).ok()?;
    let (_, certificate) = x509_parser::parse_x509_certificate(&der).ok()?;
    let validity = certificate.validity();
    let is_good =
        validity.not_before.timestamp() <= now.as_second() && now.as_second() < validity.not_after.timestamp();
    is_good.then(|| subject(&der)).flatten()
}

/// Creates a key and a request for a certificate with it. Returns both in PEM, the key first.
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
