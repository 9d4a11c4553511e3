use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use x509_parser::certificate::X509Certificate;

use super::options::CommandOptions;
use crate::host::io::Io;
use crate::host::process::{Exit, Halted, Process};

/// Runs the command `openssl x509 -in FILE -noout [-subject] [-enddate] [-checkend SECONDS]` and
/// `openssl verify -CAfile FILE FILE`.
///
/// No other subcommand is simulated.
pub(super) fn openssl(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    // CommandOptions of openssl are words after one dash.
    let arguments: Vec<String> =
        arguments.iter().map(|word| if word.starts_with('-') { format!("-{word}") } else { word.clone() }).collect();
    let options = CommandOptions::parse(&arguments, "", &["in", "checkend", "CAfile"]);
    match options.rest.first().map(String::as_str) {
        Some("x509") => show(process, io, &options),
        Some("verify") => verify(process, io, &options),
        other => {
            process.fail(io, 1, format!("Invalid command '{}'; type \"help\" for a list.", other.unwrap_or_default()))
        }
    }
}

/// Runs the command `openssl x509`, which prints properties of a certificate.
fn show(process: &Process, io: &Io, options: &CommandOptions) -> Exit {
    let path = options.value('\0', "in").unwrap_or_default();
    let Some(der) = certificate(process, path)? else {
        return process.fail(io, 1, missing(process, path)?);
    };
    let Ok((_, parsed)) = x509_parser::parse_x509_certificate(&der) else {
        return process.fail(io, 1, format!("Unable to load certificate from {path}"));
    };
    if options.has("", "subject") {
        process.print(io, format!("subject={}\n", subject(&parsed)))?;
    }
    let end = parsed.validity().not_after.timestamp();
    if options.has("", "enddate") {
        let end = Timestamp::from_second(end).unwrap_or_default();
        process.print(io, format!("notAfter={}\n", end.strftime("%b %e %H:%M:%S %Y GMT")))?;
    }
    let Some(seconds) = options.value('\0', "checkend").and_then(|seconds| seconds.parse::<i64>().ok()) else {
        return Ok(0);
    };
    let expires = end < Timestamp::now().as_second() + seconds;
    process.print(io, if expires { "Certificate will expire\n" } else { "Certificate will not expire\n" })?;
    Ok(i32::from(expires))
}

/// Returns the messages of openssl 3 for a file without a certificate, or for one that does not
/// exist.
fn missing(process: &Process, path: &str) -> Result<String, Halted> {
    let full = process.path(path);
    let exists = process.with(|place| place.machine.files.read(&process.actor, &full).is_ok())?;
    Ok(if exists {
        format!("Could not read certificate from {path}\nUnable to load certificate")
    } else {
        format!(
            "Could not open file or uri for loading certificate from {path}\n\
             error:80000002:system library:file_open:No such file or directory:calling stat({path})\n\
             Unable to load certificate"
        )
    })
}

/// Returns the subject as openssl 3 prints it: `O=system:nodes, CN=system:node:worker-1`.
fn subject(certificate: &X509Certificate<'_>) -> String {
    let parts =
        |name: &str, values: Vec<&str>| values.iter().map(|value| format!("{name}={value}")).collect::<Vec<_>>();
    let subject = certificate.subject();
    let organizations = subject.iter_organization().filter_map(|value| value.as_str().ok()).collect();
    let names = subject.iter_common_name().filter_map(|value| value.as_str().ok()).collect();
    [parts("O", organizations), parts("CN", names)].concat().join(", ")
}

/// Runs the command `openssl verify`, which checks issuer and validity.
fn verify(process: &Process, io: &Io, options: &CommandOptions) -> Exit {
    let authority = options.value('\0', "CAfile").unwrap_or_default();
    let Some(path) = options.rest.get(1) else { return process.fail(io, 1, "verify: no certificate is named") };
    let Some(trusted) = certificate(process, authority)? else {
        return process.fail(io, 1, format!("Error loading file {authority}"));
    };
    let Some(der) = certificate(process, path)? else {
        return process.fail(io, 2, format!("Could not find certificate from {path}\nUnable to load certificate file"));
    };
    let Some((subject, complaint)) = complaint(&der, &trusted) else {
        process.print(io, format!("{path}: OK\n"))?;
        return Ok(0);
    };
    process.fail(io, 2, format!("{subject}\n{complaint}\nerror {path}: verification failed"))
}

/// Returns the subject and the first error that openssl finds, if any.
///
/// As in openssl, the issuer and the signature are checked before the validity period.
fn complaint(certificate: &CertificateDer<'_>, authority: &CertificateDer<'_>) -> Option<(String, &'static str)> {
    let parsed = x509_parser::parse_x509_certificate(certificate);
    let (Ok((_, certificate)), Ok((_, authority))) = (parsed, x509_parser::parse_x509_certificate(authority)) else {
        return Some((String::new(), "error: unable to parse a certificate"));
    };
    let now = x509_parser::time::ASN1Time::now();
    let validity = certificate.validity();
    let is_its_issuer = certificate.issuer() == authority.subject();
    let complaint = if !is_its_issuer && certificate.issuer() == certificate.subject() {
        "error 18 at 0 depth lookup: self-signed certificate"
    } else if !is_its_issuer {
        "error 20 at 0 depth lookup: unable to get local issuer certificate"
    } else if certificate.verify_signature(Some(authority.public_key())).is_err() {
        "error 7 at 0 depth lookup: certificate signature failure"
    } else if now < validity.not_before {
        "error 9 at 0 depth lookup: certificate is not yet valid"
    } else if validity.not_after < now {
        "error 10 at 0 depth lookup: certificate has expired"
    } else {
        return None;
    };
    Some((subject(&certificate), complaint))
}

/// Reads the first certificate of a PEM file; `None` if there is none or the file cannot be read.
fn certificate(process: &Process, path: &str) -> Result<Option<CertificateDer<'static>>, Halted> {
    let path = process.path(path);
    let text = process.with(|place| place.machine.files.read(&process.actor, &path))?;
    Ok(text.ok().and_then(|text| CertificateDer::from_pem_slice(&text).ok()))
}
