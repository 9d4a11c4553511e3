use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;

use crate::kube::Authority;
use crate::state::write_private;

/// Error of the certificates of the world.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read or written.
    #[error("certificate file {path}")]
    File {
        /// Path of the file.
        path: PathBuf,
        /// Cause of the error.
        source: io::Error,
    },
    /// A certificate could not be made.
    #[error("certificate of the simulated world")]
    Make(#[from] rcgen::Error),
    /// A certificate could not be used.
    #[error("certificate of the simulated world")]
    Use(#[from] rustls::Error),
    /// A file holds no certificate or key.
    #[error("certificate file in {dir}: {reason}")]
    Read {
        /// Folder with the files.
        dir: PathBuf,
        /// Cause of the error, as text.
        reason: String,
    },
}

/// Returns the files of the authority and of the server, and creates them if one is missing.
fn files(dir: &Path) -> Result<[PathBuf; 4], TlsError> {
    let files = ["ca.pem", "server.pem", "server.key", "ca.key"].map(|name| dir.join(name));
    if !files.iter().all(|file| file.exists()) {
        let pems = make()?;
        for (file, pem) in files.iter().zip(&pems) {
            write_private(file, pem.as_bytes()).map_err(|source| TlsError::File { path: file.clone(), source })?;
        }
    }
    Ok(files)
}

/// Returns the authority for signing.
pub(crate) fn authority(dir: &Path) -> Result<Authority, TlsError> {
    let [certificate, _, _, key] = files(dir)?;
    let read = |path: PathBuf| std::fs::read_to_string(&path).map_err(|source| TlsError::File { path, source });
    let key = KeyPair::from_pem(&read(key)?)?;
    Ok(Authority::new(read(certificate)?, Issuer::new(authority_parameters()?, key)))
}

/// Returns the configuration of a server that requests client certificates of the authority and
/// accepts clients without.
pub(crate) fn with_client_certificates(dir: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let [authority, ..] = files(dir)?;
    let unread =
        |reason: rustls::pki_types::pem::Error| TlsError::Read { dir: dir.to_owned(), reason: reason.to_string() };
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(&authority).map_err(unread)?)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
        .allow_unauthenticated()
        .build()
        .map_err(|error| TlsError::Read { dir: dir.to_owned(), reason: error.to_string() })?;
    configure(dir, Some(verifier))
}

/// Returns the configuration of the HTTPS server, with a certificate for loopback.
///
/// The authority's certificate is in `dir/ca.pem` afterwards. It is created once, so clients that
/// trust it still do after a restart.
pub(crate) fn configuration(dir: &Path) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    configure(dir, None)
}

fn configure(dir: &Path, clients: Option<Arc<dyn ClientCertVerifier>>) -> Result<Arc<rustls::ServerConfig>, TlsError> {
    let files = files(dir)?;
    let read =
        |reason: rustls::pki_types::pem::Error| TlsError::Read { dir: dir.to_owned(), reason: reason.to_string() };
    let certificate = CertificateDer::from_pem_file(&files[1]).map_err(read)?;
    let key = PrivateKeyDer::from_pem_file(&files[2]).map_err(read)?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = match clients {
        Some(verifier) => builder.with_client_cert_verifier(verifier),
        None => builder.with_no_client_auth(),
    };
    let mut configuration = builder.with_single_cert(vec![certificate], key)?;
    configuration.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Arc::new(configuration))
}

/// Returns the parameters of the authority's certificate. They are always the same, so only its key
/// must be kept.
fn authority_parameters() -> Result<CertificateParams, rcgen::Error> {
    let mut authority = CertificateParams::new(Vec::new())?;
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    authority.key_usages =
        vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign, KeyUsagePurpose::DigitalSignature];
    authority.distinguished_name.push(DnType::CommonName, "Stargate simulation");
    Ok(authority)
}

/// Creates the authority's certificate, the server's certificate, the server's key and the
/// authority's key.
fn make() -> Result<[String; 4], rcgen::Error> {
    let authority = authority_parameters()?;
    let authority_key = KeyPair::generate()?;
    let authority_pem = authority_key.serialize_pem();
    let authority_certificate = authority.self_signed(&authority_key)?;
    let issuer = Issuer::new(authority, authority_key);
    let mut server = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()])?;
    server.distinguished_name.push(DnType::CommonName, "localhost");
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &issuer)?;
    Ok([authority_certificate.pem(), certificate.pem(), key.serialize_pem(), authority_pem])
}
