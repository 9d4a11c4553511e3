use std::sync::Arc;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use stargate_sdk::{Action, ActionContext, ActionError, Nature, Preview, Recovery, RequiredPermissions};

use crate::{
    SshHost,
    client::{CommandOutput, ConnectionPool, Remote, RemoteCommand},
    operations::file,
};

/// The certificate to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CertificateReadInput {
    /// Host to connect to.
    pub host: SshHost,
    /// Absolute path of the PEM file. Only its certificate is read, not a key in the same file.
    pub path: String,
    /// Absolute path of the certificates of the authorities that must have issued it; any issuer if
    /// absent.
    #[serde(default)]
    pub ca_path: Option<String>,
}

/// Properties of a certificate.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct CertificateReadOutput {
    /// True if the file exists.
    pub exists: bool,
    /// True if the authority issued the certificate and it has not expired.
    pub valid: bool,
    /// Subject, as openssl prints it; empty if there is no readable certificate.
    pub subject: String,
    /// End of validity, as openssl prints it; empty if there is no readable certificate.
    pub not_after: String,
}

/// Action `ssh.certificate.read`: reads a certificate on a host and checks its issuer and validity.
pub(crate) struct CertificateRead {
    pool: Arc<ConnectionPool>,
}

impl CertificateRead {
    pub(crate) fn new(pool: Arc<ConnectionPool>) -> Self {
        Self { pool }
    }
}

impl RequiredPermissions for CertificateRead {}

impl Action for CertificateRead {
    type Input = CertificateReadInput;
    type Output = CertificateReadOutput;
    const NAME: &'static str = "ssh.certificate.read";
    const VERSION: u32 = 1;
    const NATURE: Nature = Nature::Observe;
    const RECOVERY: Recovery = Recovery::Repeat;
    const SUMMARY: &'static str = "Reads a certificate on a host, and checks its issuer and validity.";

    async fn run(
        &self,
        cx: &ActionContext,
        input: &CertificateReadInput,
    ) -> Result<CertificateReadOutput, ActionError> {
        file::check_path(&input.path)?;
        let remote = self.pool.remote(cx, &input.host)?;
        let Some(fields) = certificate_fields(&remote, &input.path).await? else {
            return Ok(CertificateReadOutput {
                exists: false,
                valid: false,
                subject: String::new(),
                not_after: String::new(),
            });
        };
        let valid = fields.is_current && is_issued_by_authority(&remote, input).await?;
        Ok(CertificateReadOutput { exists: true, valid, subject: fields.subject, not_after: fields.not_after })
    }

    async fn preview(&self, cx: &ActionContext, input: &CertificateReadInput) -> Result<Preview, ActionError> {
        Preview::unchanged(&self.run(cx, input).await?)
    }
}

/// Fields of a certificate that openssl prints.
struct CertificateFields {
    is_current: bool,
    subject: String,
    not_after: String,
}

/// Reads a certificate; `None` if the file does not exist. With `-checkend 0`, openssl exits with 1
/// for a certificate that has expired, as it does for a file without a certificate.
async fn certificate_fields(remote: &Remote<'_>, path: &str) -> Result<Option<CertificateFields>, ActionError> {
    let arguments = ["x509", "-in", path, "-noout", "-subject", "-enddate", "-checkend", "0"];
    let output = openssl(remote, &arguments).await?;
    if !output.is_success() && output.stderr.contains("No such file or directory") {
        return Ok(None);
    }
    let field = |name: &str| output.stdout.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
    Ok(Some(CertificateFields {
        is_current: output.is_success(),
        subject: field("subject").unwrap_or_default().trim().to_owned(),
        not_after: field("notAfter").unwrap_or_default().trim().to_owned(),
    }))
}

async fn is_issued_by_authority(remote: &Remote<'_>, input: &CertificateReadInput) -> Result<bool, ActionError> {
    let Some(authority) = &input.ca_path else { return Ok(true) };
    file::check_path(authority)?;
    let arguments = ["verify", "-CAfile", authority, &input.path];
    Ok(openssl(remote, &arguments).await?.is_success())
}

/// Runs openssl as root. A missing openssl or sudo is an error, because each certificate would seem
/// invalid without it.
async fn openssl(remote: &Remote<'_>, arguments: &[&str]) -> Result<CommandOutput, ActionError> {
    let command = RemoteCommand::read("openssl").args(arguments.iter().copied()).with_root();
    let output = remote.run(&command).await?;
    let has_run = output.is_success() || output.to_error(&command).code.is_none();
    if has_run { Ok(output) } else { Err(remote.context(output.to_error(&command))) }
}
