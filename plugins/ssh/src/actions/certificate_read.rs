use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Preview, Recovery, RequiredPermissions};

use crate::{Host, command::RemoteCommand, operations::file, outcome::Outcome, pool::Pool, remote::Remote};

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

impl RequiredPermissions for CertificateRead {}

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
        let Some(shown) = shown(&remote, &input.path).await? else {
            return Ok(CertificateOutput {
                exists: false,
                valid: false,
                subject: String::new(),
                not_after: String::new(),
            });
        };
        let valid = shown.in_time && is_of(&remote, input).await?;
        Ok(CertificateOutput { exists: true, valid, subject: shown.subject, not_after: shown.not_after })
    }

    async fn preview(&self, cx: &ActionContext, input: &CertificateInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

struct Shown {
    in_time: bool,
    subject: String,
    not_after: String,
}

/// `-checkend 0` lets openssl end with 1 for a certificate that has expired, as it does for a file without one.
async fn shown(remote: &Remote<'_>, path: &str) -> Result<Option<Shown>, ActionError> {
    let arguments = ["x509", "-in", path, "-noout", "-subject", "-enddate", "-checkend", "0"];
    let outcome = openssl(remote, &arguments).await?;
    if !outcome.is_success() && outcome.stderr.contains("No such file or directory") {
        return Ok(None);
    }
    let field = |name: &str| outcome.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(Some(Shown {
        in_time: outcome.is_success(),
        subject: field("subject").unwrap_or_default().trim().to_owned(),
        not_after: field("notAfter").unwrap_or_default().trim().to_owned(),
    }))
}

async fn is_of(remote: &Remote<'_>, input: &CertificateInput) -> Result<bool, ActionError> {
    let Some(authority) = &input.ca_path else { return Ok(true) };
    file::check_path(authority)?;
    // A kubelet's certificate is for clients, which the default purpose would not mind.
    let arguments = ["verify", "-CAfile", authority, &input.path];
    Ok(openssl(remote, &arguments).await?.is_success())
}

/// Fails when it cannot look: without openssl or sudo, every certificate would read as one that is not valid.
async fn openssl(remote: &Remote<'_>, arguments: &[&str]) -> Result<Outcome, ActionError> {
    let command = RemoteCommand::read("openssl").args(arguments.iter().copied()).with_root();
    let outcome = remote.run(&command).await?;
    let could_look = outcome.is_success() || outcome.failure(&command).code.is_none();
    if could_look { Ok(outcome) } else { Err(remote.context(outcome.failure(&command))) }
}
