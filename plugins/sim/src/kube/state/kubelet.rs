use std::collections::BTreeMap;
use std::net::Ipv4Addr;

use serde::{Deserialize, Serialize};

/// State of a kubelet as seen by the cluster.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Kubelet {
    /// True while the kubelet runs. A node whose kubelet does not run starts and ends no pods.
    pub running: bool,
    /// Prefix that pods get addresses from, as in the CNI configuration of the machine.
    pub pod_cidr: Option<String>,
    /// Pod address that was allocated last; the next allocation continues after it.
    pub(crate) last_address: Option<Ipv4Addr>,
    /// True if the Cilium agent has started since the kubelet started.
    pub(crate) agent: bool,
}

/// Facts about a machine that its kubelet reports to the API server.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NodeFacts {
    /// Name of the node: `--hostname-override`, or the host name.
    pub name: String,
    /// Address of the machine: `--node-ip`, or that of the default interface.
    pub address: String,
    /// Labels from `--node-labels`.
    pub labels: BTreeMap<String, String>,
    /// Taints from `--register-with-taints`, each `key=value:effect` or `key:effect`.
    pub taints: Vec<String>,
    /// Value of `--provider-id`; `None` if it is not given.
    pub provider_id: Option<String>,
    /// Version of the kubelet, such as `v1.33.5`.
    pub version: String,
    /// Container runtime and version, such as `containerd://1.7.24`; `None` while no runtime
    /// answers.
    pub runtime: Option<String>,
    /// Host-local prefix of the CNI configuration; `None` while there is no configuration.
    pub pod_cidr: Option<String>,
    /// Kernel release, such as `6.8.0-1052-azure`.
    pub kernel: String,
    /// Name of the distribution, such as `Ubuntu 24.04.1 LTS`.
    pub os_image: String,
    /// Content of `/etc/machine-id`.
    pub machine_id: String,
    /// Identifier that changes with every boot.
    pub boot_id: String,
}

/// Certificates of a kubelet under `/var/lib/kubelet/pki`, and its pending certificate signing
/// requests.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct KubeletKeys {
    /// Content of `kubelet-client-current.pem`: certificate, then key.
    pub client: Option<String>,
    /// Content of `kubelet-server-current.pem`: certificate, then key.
    pub server: Option<String>,
    /// Pending request for the client certificate.
    pub(crate) client_request: Option<PendingCertificate>,
    /// Pending request for the serving certificate.
    pub(crate) server_request: Option<PendingCertificate>,
}

/// Certificate signing request that a kubelet has sent, with the key that it is for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PendingCertificate {
    /// Name of the `CertificateSigningRequest`.
    pub(crate) name: String,
    /// Private key in PEM.
    pub(crate) key: String,
}

/// Progress of a kubelet after a step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KubeletState {
    /// Refusal by the API server; the text is the one in the journal of the kubelet.
    Refused(String),
    /// Unsigned request for a client certificate, with its name.
    WaitsForCertificate(String),
    /// Node that is registered.
    Registered {
        /// True if the node is ready.
        ready: bool,
        /// True if the kubelet has a serving certificate.
        serving: bool,
    },
}
