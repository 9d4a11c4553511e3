use std::process::Command;

use serde_json::Value;
use stargate_sdk::ActionError;

use super::state_dir::StateDir;
use crate::{SshSettings, host::SshHost};

/// Command that logs in to a host by the program `ssh`, with its pinned key and through its jump
/// host, as all actions do. `host` has the form of the input `host` of the actions.
///
/// # Errors
/// `Permanent` if `host` has another form, or the files for ssh cannot be written or their paths
/// cannot be used.
pub fn login_command(settings: SshSettings, host: &Value) -> Result<Command, ActionError> {
    let host: SshHost = serde_json::from_value(host.clone())
        .map_err(|error| ActionError::permanent(format!("the recorded access to the host cannot be used: {error}")))?;
    let settings = settings.checked().map_err(|error| ActionError::permanent(error.to_string()))?;
    let config = StateDir::open(settings)?.write_config(&host)?;
    let mut command = Command::new("ssh");
    command.args(["-o", "StrictHostKeyChecking=yes"]);
    if let Some(port) = host.port {
        command.arg("-p").arg(port.to_string());
    }
    command.arg("-l").arg(&host.user).arg("-F").arg(config).arg("--").arg(&host.address);
    Ok(command)
}
