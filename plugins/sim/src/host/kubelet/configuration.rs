use serde_json::Value;

use crate::host::Machine;

const VERSION: &str = "kubelet.config.k8s.io/v1beta1";
const CONTAINERD: &str = "unix:///run/containerd/containerd.sock";

/// The part of a `KubeletConfiguration` that the simulation goes by.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Configuration {
    /// Whether it asks the cluster for its serving certificate.
    pub(super) asks_for_serving: bool,
}

impl Configuration {
    /// Reads it; the error is what a kubelet says before it ends.
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

fn check_authority(machine: &Machine, value: &Value) -> Result<(), String> {
    let Some(path) = value.pointer("/authentication/x509/clientCAFile").and_then(Value::as_str) else { return Ok(()) };
    match machine.files.text(path) {
        Some(text) if text.contains("BEGIN CERTIFICATE") => Ok(()),
        Some(_) => Err(format!("unable to load client CA file {path}: data does not contain any valid certificates")),
        None => Err(format!("unable to load client CA file {path}: open {path}: no such file or directory")),
    }
}

fn check_runtime(value: &Value) -> Result<(), String> {
    let endpoint = value["containerRuntimeEndpoint"].as_str().unwrap_or(CONTAINERD);
    if endpoint == CONTAINERD {
        return Ok(());
    }
    Err(format!("failed to validate CRI v1 runtime API for endpoint {endpoint}: no such file or directory"))
}
