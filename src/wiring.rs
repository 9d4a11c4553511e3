//! Registration of the providers, with their endpoints and credentials. No other file names the
//! provider crates.

use std::{fmt, sync::Arc};

use stargate_azure::{ArmCredential, ArmSettings};
use stargate_kubernetes_client::{KubeClient, KubeconfigSettings};
use stargate_sdk::{Registry, Secrets};
use stargate_ssh::SshSettings;
use stargate_tailscale::TailscaleSettings;

use crate::cli::{AzureSettings, Failure, Settings};

/// Creates all actions, checks and kinds of secret references. Sends no request.
///
/// # Errors
///
/// A usage failure if the settings of a provider cannot be used.
pub(crate) fn build(settings: &Settings) -> Result<(Registry, Secrets), Failure> {
    let (mut registry, mut secrets) = (Registry::default(), Secrets::default());
    let references = [&settings.tailscale_client_id, &settings.tailscale_client_secret].into_iter();
    references.chain(&settings.azure.token).for_each(|reference| secrets.reserve(reference));
    secrets.reserve_variables(stargate_azure::SECRET_VARIABLES);
    stargate_ssh::register(&mut registry, ssh(settings)).map_err(|error| unusable("ssh", &error))?;
    stargate_azure::register(&mut registry, azure(&settings.azure)).map_err(|error| unusable("azure", &error))?;
    stargate_tailscale::register(&mut registry, &mut secrets, tailscale(settings))
        .map_err(|error| unusable("tailscale", &error))?;
    let cluster = Arc::new(KubeClient::new(kubeconfig(settings)));
    stargate_kubernetes::register(&mut registry, &mut secrets, &cluster);
    stargate_cilium::register(&mut registry, cluster);
    stargate_routes::register(&mut registry);
    stargate_generic::register(&mut registry).map_err(|error| unusable("http", &error))?;
    Ok((registry, secrets))
}

/// Returns the command that logs in to a machine; `host` is its access in the inventory.
///
/// # Errors
///
/// A usage failure if the access or the settings of ssh cannot be used.
pub(crate) fn login(settings: &Settings, host: &serde_json::Value) -> Result<std::process::Command, Failure> {
    stargate_ssh::login_command(ssh(settings), host).map_err(|error| {
        Failure::usage(error.message, error.hint.unwrap_or_else(|| "correct the `Server` object".into()))
    })
}

/// Checks that the settings contain what `actions` need.
///
/// # Errors
///
/// A usage failure if the Azure subscription is missing.
pub(crate) fn require<'a>(settings: &Settings, actions: impl IntoIterator<Item = &'a str>) -> Result<(), Failure> {
    let azure = actions.into_iter().find(|action| action.starts_with("azure."));
    match (azure, &settings.azure.subscription) {
        (Some(action), None) => Err(Failure::usage(
            format!("{action} requires the id of an Azure subscription"),
            "add `--azure-subscription ID`, or set AZURE_SUBSCRIPTION_ID",
        )),
        _ => Ok(()),
    }
}

/// Returns the settings of Azure Resource Manager. Without a subscription, actions of Azure cannot
/// run.
fn azure(settings: &AzureSettings) -> ArmSettings {
    let public = || stargate_azure::PUBLIC_ENDPOINT.parse().expect("the public endpoint is a URL");
    ArmSettings {
        endpoint: settings.endpoint.clone().unwrap_or_else(public),
        subscription: settings.subscription.clone().unwrap_or_else(|| stargate_azure::NO_SUBSCRIPTION.into()),
        credential: settings.token.clone().map_or(ArmCredential::Chain, ArmCredential::Token),
        ca: settings.ca.clone(),
    }
}

/// Returns the settings of Tailscale, with the public endpoint as the default.
fn tailscale(settings: &Settings) -> TailscaleSettings {
    let client = (settings.tailscale_client_id.clone(), settings.tailscale_client_secret.clone());
    let own = TailscaleSettings::new(client.0, client.1);
    TailscaleSettings {
        endpoint: settings.tailscale_endpoint.clone().unwrap_or(own.endpoint),
        tailnet: settings.tailnet.clone(),
        ..own
    }
}

fn ssh(settings: &Settings) -> SshSettings {
    SshSettings { config: settings.ssh_config.clone(), state_dir: settings.ssh_state.clone() }
}

fn kubeconfig(settings: &Settings) -> KubeconfigSettings {
    KubeconfigSettings { kubeconfig: settings.kubeconfig.clone(), context: settings.kube_context.clone() }
}

/// Creates the failure for unusable settings of a provider.
fn unusable(provider: &str, error: &impl fmt::Display) -> Failure {
    Failure::usage(
        format!("the settings of {provider} cannot be used: {error}"),
        format!("run `stargate --help` to see the settings whose names start with --{provider}"),
    )
}
