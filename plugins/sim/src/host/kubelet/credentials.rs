use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject as _;
use serde_json::{Value, json};

use super::command_line::CommandLine;
use crate::host::state::{Machine, parent};
use crate::kube::{Kube, KubeletKeys};

/// File name of the client certificate with its key.
const CLIENT: &str = "kubelet-client-current.pem";
/// File name of the serving certificate with its key.
const SERVER: &str = "kubelet-server-current.pem";

/// Reads the certificates from the machine's disk.
///
/// A command may have removed or replaced them since the last check.
pub(super) fn read_keys(machine: &Machine, line: &CommandLine, keys: &mut KubeletKeys) {
    let file = |name: &str| machine.files.text(&format!("{}/{name}", line.certificates()));
    keys.client = file(CLIENT);
    keys.server = file(SERVER);
}

/// Writes certificates that differ from the files, and a missing kubeconfig.
pub(super) fn write_keys(machine: &mut Machine, line: &CommandLine, keys: &KubeletKeys, kube: &Kube) {
    let directory = line.certificates().to_owned();
    for (name, pem) in [(CLIENT, &keys.client), (SERVER, &keys.server)] {
        let path = format!("{directory}/{name}");
        if let Some(pem) = pem.as_ref().filter(|pem| machine.files.text(&path).as_ref() != Some(*pem)) {
            machine.files.make_directories(&directory);
            machine.files.put(&path, 0o600, pem.clone());
        }
    }
    let Some(path) = line.flag("kubeconfig").filter(|_| keys.client.is_some()) else { return };
    if machine.files.get(path).is_none() {
        let text = kubeconfig(kube, &format!("{directory}/{CLIENT}"));
        machine.files.make_directories(parent(path));
        machine.files.put(path, 0o600, text.to_string());
    }
}

/// Returns the kubeconfig that a kubelet writes after it received its client certificate.
fn kubeconfig(kube: &Kube, certificate: &str) -> Value {
    let authority = kube.authority.as_ref().map(|authority| STANDARD.encode(&authority.certificate));
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{ "name": "default-cluster",
            "cluster": { "server": kube.url, "certificate-authority-data": authority } }],
        "users": [{ "name": "default-auth",
            "user": { "client-certificate": certificate, "client-key": certificate } }],
        "contexts": [{ "name": "default-context",
            "context": { "cluster": "default-cluster", "user": "default-auth", "namespace": "default" } }],
        "current-context": "default-context",
    })
}

/// Reads the token of the bootstrap kubeconfig.
///
/// # Errors
///
/// The message that a kubelet prints before it exits.
pub(super) fn bootstrap_token(machine: &Machine, line: &CommandLine, kube: &Kube) -> Result<String, String> {
    let failed = |why: &str| format!("failed to run Kubelet: unable to load bootstrap kubeconfig: {why}");
    let path =
        line.flag("bootstrap-kubeconfig").ok_or_else(|| failed("no --bootstrap-kubeconfig, and no certificate"))?;
    let text = machine.files.text(path).ok_or_else(|| failed(&format!("stat {path}: no such file or directory")))?;
    let config: Value = serde_saphyr::from_str(&text).map_err(|error| failed(&error.to_string()))?;
    reaches(&config, kube)?;
    let token = config.pointer("/users/0/user/token").and_then(Value::as_str);
    token.map(str::to_owned).ok_or_else(|| failed("it has no token"))
}

/// Checks that an existing kubeconfig of the kubelet refers to the cluster.
pub(super) fn check_kubeconfig(machine: &Machine, line: &CommandLine, kube: &Kube) -> Result<(), String> {
    let Some(text) = line.flag("kubeconfig").and_then(|path| machine.files.text(path)) else { return Ok(()) };
    let config: Value = serde_saphyr::from_str(&text).map_err(|error| format!("invalid kubeconfig: {error}"))?;
    reaches(&config, kube)
}

/// Checks that a kubeconfig has the address and the certificate authority of the cluster.
///
/// # Errors
///
/// `connection refused` for another address, `unknown authority` for another certificate.
fn reaches(config: &Value, kube: &Kube) -> Result<(), String> {
    let cluster = &config["clusters"][0]["cluster"];
    let server = cluster["server"].as_str().unwrap_or_default().trim_end_matches('/');
    if !kube.is_at(server) {
        return Err(format!("Unable to register node with API server: dial {server}: connect: connection refused"));
    }
    let own = kube.authority.as_ref().map(|authority| certificates(&authority.certificate)).unwrap_or_default();
    let given = authorities(cluster)?;
    if own.iter().all(|certificate| given.contains(certificate)) {
        return Ok(());
    }
    Err("tls: failed to verify certificate: x509: certificate signed by unknown authority".to_owned())
}

/// Returns the authorities that a kubeconfig trusts.
///
/// # Errors
///
/// The message that a kubelet prints before it exits: the text is not base64, not PEM, or contains
/// something else than certificates.
fn authorities(cluster: &Value) -> Result<Vec<CertificateDer<'static>>, String> {
    let encoded = cluster["certificate-authority-data"].as_str().unwrap_or_default();
    let bytes = STANDARD.decode(encoded).map_err(|error| format!("illegal base64 data: {error}"))?;
    if bytes.is_empty() {
        return Ok(Vec::new()); // the authorities of the system
    }
    let certificates = certificates(&String::from_utf8_lossy(&bytes));
    if certificates.is_empty() {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".to_owned());
    }
    match certificates.iter().find_map(|der| x509_parser::parse_x509_certificate(der).err()) {
        Some(error) => Err(format!("unable to load root certificates: x509: malformed certificate: {error}")),
        None => Ok(certificates),
    }
}

/// Returns the certificates of a PEM text.
fn certificates(pem: &str) -> Vec<CertificateDer<'static>> {
    CertificateDer::pem_slice_iter(pem.as_bytes()).map_while(Result::ok).collect()
}
