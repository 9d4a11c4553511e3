use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Preview, Recovery};

use crate::{Host, command::RemoteCommand, operations::file, pool::Pool, remote::Remote};

/// Which certificate.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CertificateInput {
    /// The host.
    pub host: Host,
    /// Absolute path of the PEM file; what else is in it, such as a key, is not read.
    pub path: String,
    /// Absolute path of the authorities that it has to be of.
    #[serde(default)]
    pub ca_path: Option<String>,
}

/// The certificate.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CertificateOutput {
    /// Whether the file is there.
    pub exists: bool,
    /// Whether the certificate is of the authority and has not expired.
    pub valid: bool,
    /// Whom it is for, as openssl says it; empty where nothing could be read.
    pub subject: String,
    /// Until when, as openssl says it; empty where nothing could be read.
    pub not_after: String,
}

/// `ssh.certificate.read`.
pub(crate) struct CertificateRead {
    pool: Arc<Pool>,
}

impl CertificateRead {
    pub(crate) fn new(pool: Arc<Pool>) -> Self {
        Self { pool }
    }
}

impl Action for CertificateRead {
    type Input = CertificateInput;
    type Output = CertificateOutput;
    const NAME: &'static str = "ssh.certificate.read";
    const VERSION: u32 = 1;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads a certificate of a host: whose it is, and whether it is still good.";

    async fn run(&self, cx: &ActionContext, input: &CertificateInput) -> Result<CertificateOutput, ActionError> {
        file::check_path(&input.path)?;
        let remote = self.pool.remote(cx, &input.host)?;
        if file::attributes(&remote, &input.path).await?.is_none() {
            return Ok(CertificateOutput {
                exists: false,
                valid: false,
                subject: String::new(),
                not_after: String::new(),
            });
        }
        let shown = shown(&remote, &input.path).await?;
        let valid = shown.in_time && is_of(&remote, input).await?;
        Ok(CertificateOutput { exists: true, valid, subject: shown.subject, not_after: shown.not_after })
    }

    async fn preview(&self, cx: &ActionContext, input: &CertificateInput) -> Result<Preview, ActionError> {
        Preview::in_order(&self.run(cx, input).await?)
    }
}

struct Shown {
    in_time: bool,
    subject: String,
    not_after: String,
}

/// `-checkend 0` lets openssl end with 1 for a certificate that has expired, as it does for a file without one.
async fn shown(remote: &Remote<'_>, path: &str) -> Result<Shown, ActionError> {
    let arguments = ["x509", "-in", path, "-noout", "-subject", "-enddate", "-checkend", "0"];
    let outcome = remote.run(&RemoteCommand::read("openssl").args(arguments).with_root()).await?;
    refuse_without_openssl(&outcome)?;
    let field = |name: &str| outcome.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(Shown {
        in_time: outcome.is_success(),
        subject: field("subject").unwrap_or_default().trim().to_owned(),
        not_after: field("notAfter").unwrap_or_default().trim().to_owned(),
    })
}

async fn is_of(remote: &Remote<'_>, input: &CertificateInput) -> Result<bool, ActionError> {
    let Some(authority) = &input.ca_path else { return Ok(true) };
    file::check_path(authority)?;
    // A kubelet's certificate is for clients, which the default purpose would not mind.
    let arguments = ["verify", "-CAfile", authority, &input.path];
    Ok(remote.run(&RemoteCommand::read("openssl").args(arguments).with_root()).await?.is_success())
}

/// That openssl is not there would read as a certificate that is not valid.
fn refuse_without_openssl(outcome: &crate::outcome::Outcome) -> Result<(), ActionError> {
    let is_missing = outcome.code == 127 || outcome.stderr.contains("command not found");
    if is_missing { Err(ActionError::permanent("the host has no openssl").with_hint("install it")) } else { Ok(()) }
}
