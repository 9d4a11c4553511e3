use serde_json::Value;

use crate::host::state::Machine;

/// Version of the API that the configuration must have.
const VERSION: &str = "kubelet.config.k8s.io/v1beta1";
/// Endpoint of the only container runtime that the simulation has.
const CONTAINERD: &str = "unix:///run/containerd/containerd.sock";

/// Settings of a `KubeletConfiguration` that affect the simulation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    /// True if the kubelet requests its serving certificate from the cluster
    /// (`serverTLSBootstrap`).
    pub(super) asks_for_serving: bool,
}

impl Configuration {
    /// Reads the configuration file; without one the defaults apply.
    ///
    /// # Errors
    ///
    /// The message that a kubelet prints before it exits.
    pub(super) fn read(machine: &Machine, path: Option<&str>) -> Result<Self, String> {
        let Some(path) = path else { return Ok(Self { asks_for_serving: false }) };
        let failed = |why: &str| format!("failed to load kubelet config file, path: {path}, error: {why}");
        let text = machine.files.text(path).ok_or_else(|| failed("no such file or directory"))?;
        let value: Value = serde_saphyr::from_str(&text).map_err(|error| failed(&error.to_string()))?;
        if value["apiVersion"] != VERSION || value["kind"] != "KubeletConfiguration" {
            return Err(failed(&format!(
                "no kind {} is registered for version {}",
                value["kind"], value["apiVersion"]
            )));
        }
        check_authority(machine, &value)?;
        check_runtime(&value)?;
        Ok(Self { asks_for_serving: value["serverTLSBootstrap"] == true })
    }
}

/// Checks that the file of the client certificate authority contains a certificate.
fn check_authority(machine: &Machine, value: &Value) -> Result<(), String> {
    let Some(path) = value.pointer("/authentication/x509/clientCAFile").and_then(Value::as_str) else { return Ok(()) };
    match machine.files.text(path) {
        Some(text) if text.contains("BEGIN CERTIFICATE") => Ok(()),
        Some(_) => Err(format!("unable to load client CA file {path}: data does not contain any valid certificates")),
        None => Err(format!("unable to load client CA file {path}: open {path}: no such file or directory")),
    }
}

/// Checks that the runtime endpoint is the one of containerd.
fn check_runtime(value: &Value) -> Result<(), String> {
    let endpoint = value["containerRuntimeEndpoint"].as_str().unwrap_or(CONTAINERD);
    if endpoint == CONTAINERD {
        return Ok(());
    }
    Err(format!("failed to validate CRI v1 runtime API for endpoint {endpoint}: no such file or directory"))
}
