//! Implementation of the command `ssh`: a login to a registered machine.
//!
//! The program `ssh` replaces this process, so that terminal, signals and exit code are its own.

use std::{os::unix::process::CommandExt as _, sync::Arc};

use serde_json::{Value, json};
use stargate::workflow::suggest_name;
use stargate_sdk::Preview;

use super::forecast::preview_action;
use crate::{
    cli::{Failure, Settings, args::SshArgs, exit::Exit},
    wiring,
};

/// Action that reads the registered machines.
const INVENTORY: &str = "kubernetes.inventory.read";
/// Lists of machines in its output.
const MACHINES: [&str; 3] = ["routers", "workers", "segment_machines"];

/// Command `ssh`: logs in to a machine. Returns only if that cannot be tried.
pub(crate) async fn ssh(settings: &Settings, args: &SshArgs) -> Result<Exit, Failure> {
    let inventory = inventory(settings).await?;
    let machines = || MACHINES.iter().filter_map(|list| inventory[list].as_array()).flatten();
    let host = machines().find(|machine| machine["name"] == args.machine.as_str()).map(|machine| &machine["host"]);
    let Some(host) = host else {
        let names = machines().filter_map(|machine| machine["name"].as_str());
        return Err(unknown(&args.machine, names));
    };
    let mut command = wiring::login(settings, host)?;
    let error = command.args(&args.command).exec();
    Err(Failure::usage(format!("the program ssh cannot be run: {error}"), "install the OpenSSH client on this machine"))
}

async fn inventory(settings: &Settings) -> Result<Value, Failure> {
    let (registry, secrets) = wiring::build(settings)?;
    match preview_action(&registry, &Arc::new(secrets), INVENTORY, json!({})).await {
        Ok(Preview::Unchanged { output }) => Ok(output),
        Ok(_) => Err(Failure::internal(format!("{INVENTORY} has no preview"))),
        Err(error) => {
            let hint = error.hint.unwrap_or_else(|| "run `stargate doctor` to see what is missing".into());
            Err(Failure::new(Exit::Failed, format!("cannot read the registered machines: {}", error.message), hint))
        }
    }
}

fn unknown<'a>(machine: &str, names: impl Iterator<Item = &'a str> + Clone) -> Failure {
    let listed = names.clone().collect::<Vec<_>>().join(", ");
    let hint = match suggest_name(machine, names) {
        Some(near) => format!("run `stargate ssh {near}` for the machine with the most similar name"),
        None => "`kubectl get servers` lists the registered machines".to_owned(),
    };
    Failure::usage(format!("no machine {machine:?} is registered; registered are: {listed}"), hint)
}
