use std::collections::BTreeMap;

use azure_mgmt_compute::package_2024_07_01::models::{
    CreateOption, DeleteOption, HardwareProfile, ImageReference, LinuxConfiguration, NetworkInterfaceReference,
    NetworkInterfaceReferenceProperties, NetworkProfile, OsDisk, OsProfile, Resource, SshConfiguration, SshPublicKey,
    StorageProfile, SubResource, VirtualMachine, VirtualMachineProperties, hardware_profile::VmSize,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stargate_sdk::{ActionContext, ActionError, Difference, Permission, Secret, SecretRef};

use crate::{
    actions::network_interface::NETWORK_INTERFACE,
    arm_resource::{ArmEnsure, id_and_name},
    client::{
        ArmClient, ArmObject, Checkpoint, GroupName, Location, Owner, Precondition, ResourceId, ResourceType, VmName,
        body, with_owner,
    },
    machine::{HostKey, cloud_config, without_comment},
    permission::{arm, read_and_write},
};

/// Virtual machines and their OS disks.
pub(crate) const VIRTUAL_MACHINE: ResourceType =
    ResourceType { kind: "Microsoft.Compute/virtualMachines", api_version: "2024-07-01", noun: "virtual machine" };
/// Tag that holds the public half of the host key. Azure never returns `customData`, which has it
/// as well.
pub(crate) const HOST_KEY_TAG: &str = "stargate-host-key";

/// Desired state of a virtual machine.
///
/// A machine is created once and never updated: a PUT of an existing machine may restart it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VirtualMachineInput {
    /// Resource group of the machine.
    resource_group: GroupName,
    /// Name of the machine, and its host name.
    name: VmName,
    /// Region of the machine.
    location: Location,
    /// Size of the machine, such as `Standard_D2s_v5`.
    size: String,
    /// Id of its only network interface.
    network_interface_id: ResourceId,
    /// Account that the public key gives access to.
    #[schemars(regex(pattern = "^[a-z_][a-z0-9_-]{0,31}$"))]
    admin_username: String,
    /// Public key in OpenSSH's one-line form.
    ssh_public_key: String,
    /// Image that the machine is created from.
    image: ImageInput,
    /// User data of cloud-init. `{{name}}` in a string is replaced by a secret. The host key is
    /// added.
    #[serde(default)]
    cloud_config: Map<String, Value>,
    /// Secrets for the user data, resolved only when the machine is created.
    #[serde(default)]
    cloud_config_secrets: BTreeMap<String, SecretRef>,
    /// Owner of the resource, if this step creates it. `azure.resources.delete` deletes the
    /// resources of an owner.
    #[serde(default)]
    owner: Option<Owner>,
}

/// Platform image of a virtual machine.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageInput {
    /// Publisher of the image, such as `Canonical`.
    publisher: String,
    /// Offer of the publisher, such as `0001-com-ubuntu-server-jammy`.
    offer: String,
    /// SKU of the offer, such as `22_04-lts-gen2`.
    sku: String,
    /// Version of the image; `latest`, the default, is ignored for an existing machine.
    #[serde(default = "latest")]
    version: String,
}

fn latest() -> String {
    "latest".into()
}

/// Virtual machine in its desired state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct VirtualMachineOutput {
    /// Id of the machine.
    pub id: String,
    /// Name of the machine.
    pub name: String,
    /// SSH host key of the machine, in OpenSSH's one-line form.
    pub host_key: String,
}

impl VirtualMachineInput {
    fn id(&self, arm: &ArmClient) -> ResourceId {
        arm.group(&self.resource_group).resource(VIRTUAL_MACHINE, &self.name)
    }

    /// Creates the machine. An attempt after a crash at any point knows its host key.
    ///
    /// Before the PUT there is no machine, and a new key is generated. After it the machine has the
    /// public key as a tag. Once ARM has answered, the operation is in the checkpoint.
    async fn create(&self, cx: &ActionContext, arm: &ArmClient, id: &ResourceId) -> Result<(), ActionError> {
        let host_key = HostKey::generate()?;
        cx.redactor().add(host_key.private.expose());
        let secrets = resolve(cx, self).await?;
        let custom_data = cloud_config::custom_data(&self.cloud_config, &secrets, &host_key)?;
        cx.redactor().add(custom_data.expose());
        Checkpoint::of_host_key(&host_key.public).save(cx).await?;
        let body = with_owner(new_body(self, &host_key.public, &custom_data), self.owner.as_ref());
        arm.put(cx, id, body, Some(Precondition::Absent)).await
    }
}

impl ArmEnsure for VirtualMachineInput {
    type Actual = ArmObject;
    type Output = VirtualMachineOutput;
    const NAME: &'static str = "azure.virtual_machine.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a Linux machine exists, with a host key known from the start.";
    const TYPES: &'static [ResourceType] = &[VIRTUAL_MACHINE];

    fn permissions() -> Vec<Permission> {
        let mut permissions = read_and_write(VIRTUAL_MACHINE);
        permissions.push(arm("Microsoft.Compute/disks/write"));
        permissions.push(arm("Microsoft.Network/networkInterfaces/join/action"));
        permissions
    }

    async fn read(&self, cx: &ActionContext, arm: &ArmClient) -> Result<Option<ArmObject>, ActionError> {
        arm.get_settled(cx, &self.id(arm)).await
    }

    fn diff(&self, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<Vec<Difference>, ActionError> {
        let label = self.id(arm).label();
        check_input(self).map_err(|e| e.context(&label))?;
        let Some(actual) = actual else { return Ok(vec![Difference::missing(label, self.size.as_str())]) };
        check_provisioned(actual)?;
        actual.check_location(&self.location)?;
        let differences = differences(self, actual);
        if differences.is_empty() { Ok(differences) } else { Err(unchangeable_error(actual, &differences)) }
    }

    async fn apply(&self, cx: &ActionContext, arm: &ArmClient, actual: Option<&ArmObject>) -> Result<(), ActionError> {
        let id = self.id(arm);
        match actual {
            None => self.create(cx, arm, &id).await.map_err(|e| with_label(e, &id)),
            Some(_) => Ok(()), // `diff` returns no difference of an existing machine
        }
    }

    fn output(
        &self,
        cx: &ActionContext,
        _: &ArmClient,
        actual: &ArmObject,
    ) -> Result<VirtualMachineOutput, ActionError> {
        let host_key = host_key_tag(actual).or_else(|| Checkpoint::load(cx).host_key);
        let host_key = host_key.ok_or_else(|| no_host_key_error(actual))?;
        Ok(VirtualMachineOutput { id: actual.id(), name: actual.name().into(), host_key })
    }

    fn immutable(&self, actual: &ArmObject) -> Vec<Difference> {
        actual.location_difference(&self.location).into_iter().chain(differences(self, actual)).collect()
    }

    fn certain(&self, arm: &ArmClient) -> Value {
        id_and_name(&self.id(arm))
    }
}

/// Host key in a machine's tag, without comment.
pub(crate) fn host_key_tag(machine: &ArmObject) -> Option<String> {
    machine.body["tags"][HOST_KEY_TAG].as_str().and_then(without_comment)
}

/// Error of a machine whose host key is unknown: a connection to it could not be verified.
fn no_host_key_error(machine: &ArmObject) -> ActionError {
    ActionError::permanent(format!(
        "it has no tag {HOST_KEY_TAG} with its host key, so it cannot be distinguished from another machine"
    ))
    .context(machine.id.label())
    .with_hint(format!(
        "delete it, choose another name, or set the tag {HOST_KEY_TAG} to the output of `ssh-keyscan -t ed25519` from a trusted network"
    ))
}

/// Adds the machine's label, unless the message of a request to ARM has it already.
fn with_label(error: ActionError, id: &ResourceId) -> ActionError {
    if error.message.contains(&id.label()) { error } else { error.context(id.label()) }
}

/// Resolves the secrets of the user data.
///
/// # Errors
/// Those of the first secret that cannot be resolved.
async fn resolve(cx: &ActionContext, desired: &VirtualMachineInput) -> Result<BTreeMap<String, Secret>, ActionError> {
    let mut secrets = BTreeMap::new();
    for (name, reference) in &desired.cloud_config_secrets {
        secrets.insert(name.clone(), cx.secret(reference).await?);
    }
    Ok(secrets)
}

/// Checks the input beyond its schema, before any request.
///
/// # Errors
/// `Permanent`, with the name of the input.
fn check_input(desired: &VirtualMachineInput) -> Result<(), ActionError> {
    desired.network_interface_id.check_type("network_interface_id", NETWORK_INTERFACE)?;
    if !is_user_name(&desired.admin_username) {
        return Err(ActionError::permanent(format!(
            "admin_username {:?} is not a Linux user name",
            desired.admin_username
        )));
    }
    if without_comment(&desired.ssh_public_key).is_none() {
        return Err(ActionError::permanent("ssh_public_key is not a public key in OpenSSH form"));
    }
    cloud_config::check(&desired.cloud_config, desired.cloud_config_secrets.keys())
}

/// True if the text has the form of a Linux user name, of at most 32 characters.
fn is_user_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

/// Checks that the machine was created successfully. A failed one is kept for diagnosis.
///
/// # Errors
/// `Permanent`, with the provisioning state.
fn check_provisioned(actual: &ArmObject) -> Result<(), ActionError> {
    match actual.state().filter(|_| actual.has_failed()) {
        None => Ok(()),
        Some(state) => Err(ActionError::permanent(format!("its provisioning state is {state}"))
            .context(actual.id.label())
            .with_hint("read its instance view in azure, delete the machine, and run again")),
    }
}

/// Error of an existing machine that differs, with each difference.
fn unchangeable_error(actual: &ArmObject, differences: &[Difference]) -> ActionError {
    let differences: Vec<_> = differences.iter().map(ToString::to_string).collect();
    ActionError::permanent(format!(
        "it exists and differs in what cannot be changed in place: {}",
        differences.join("; ")
    ))
    .context(actual.id.label())
    .with_hint("delete it, choose another name, or change the input to its actual state")
}

/// Compares the properties that the input names. ARM returns texts in its own case.
fn differences(desired: &VirtualMachineInput, actual: &ArmObject) -> Vec<Difference> {
    let image = &desired.image;
    let text = |what: &str, pointer: &str, desired: &str| {
        let actual = actual.text(&format!("/properties/{pointer}"));
        let same = actual.is_some_and(|actual| actual.eq_ignore_ascii_case(desired));
        (!same).then(|| Difference::new(what, actual, desired))
    };
    let pinned = (!image.version.eq_ignore_ascii_case("latest")).then_some(image.version.as_str());
    [
        text("size", "hardwareProfile/vmSize", &desired.size),
        text("image publisher", "storageProfile/imageReference/publisher", &image.publisher),
        text("image offer", "storageProfile/imageReference/offer", &image.offer),
        text("image sku", "storageProfile/imageReference/sku", &image.sku),
        pinned.and_then(|version| image_version(actual, version)),
        text("admin user", "osProfile/adminUsername", &desired.admin_username),
        public_key(desired, actual),
        network_interface(desired, actual),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Compares the image version. `exactVersion` is the version that `latest` was when the machine was
/// created.
fn image_version(actual: &ArmObject, desired: &str) -> Option<Difference> {
    let reference = "/properties/storageProfile/imageReference";
    let exact = actual.text(&format!("{reference}/exactVersion"));
    let actual = exact.or_else(|| actual.text(&format!("{reference}/version")));
    Difference::between("image version", actual, desired)
}

/// Compares type and data of the public key with each key of the machine.
fn public_key(desired: &VirtualMachineInput, actual: &ArmObject) -> Option<Difference> {
    let keys = actual.body.pointer("/properties/osProfile/linuxConfiguration/ssh/publicKeys");
    let keys: Vec<_> =
        keys.and_then(Value::as_array)?.iter().filter_map(|key| without_comment(key["keyData"].as_str()?)).collect();
    let desired = without_comment(&desired.ssh_public_key)?;
    (!keys.contains(&desired)).then(|| Difference::new("ssh public key", keys.join(", "), desired))
}

/// Compares the network interface. The machine may have others in addition.
fn network_interface(desired: &VirtualMachineInput, actual: &ArmObject) -> Option<Difference> {
    let nics = actual.body.pointer("/properties/networkProfile/networkInterfaces").and_then(Value::as_array);
    let ids: Vec<&str> = nics.into_iter().flatten().filter_map(|nic| nic["id"].as_str()).collect();
    let desired = &desired.network_interface_id;
    let is_attached = ids.iter().any(|id| id.parse().is_ok_and(|id: ResourceId| id == *desired));
    (!is_attached).then(|| Difference::new("network interface", ids.join(", "), desired.to_string()))
}

/// Body of the PUT that creates the machine. It contains secrets, in `custom_data`.
fn new_body(desired: &VirtualMachineInput, host_key: &str, custom_data: &Secret) -> Value {
    let tags = json!({ HOST_KEY_TAG: host_key });
    let properties = VirtualMachineProperties {
        hardware_profile: Some(HardwareProfile {
            vm_size: Some(VmSize::UnknownValue(desired.size.clone())), // the model lists the sizes of 2024 only
            vm_size_properties: None,
        }),
        storage_profile: Some(storage(&desired.image)),
        os_profile: Some(operating_system(desired, custom_data)),
        network_profile: Some(network(&desired.network_interface_id)),
        ..VirtualMachineProperties::default()
    };
    body(&VirtualMachine {
        properties: Some(properties),
        ..VirtualMachine::new(Resource { tags: Some(tags), ..Resource::new(desired.location.to_string()) })
    })
}

fn storage(image: &ImageInput) -> StorageProfile {
    StorageProfile {
        image_reference: Some(ImageReference {
            publisher: Some(image.publisher.clone()),
            offer: Some(image.offer.clone()),
            sku: Some(image.sku.clone()),
            version: Some(image.version.clone()),
            ..ImageReference::default()
        }),
        // Azure's own default keeps the disk when the machine is deleted.
        os_disk: Some(OsDisk { delete_option: Some(DeleteOption::Delete), ..OsDisk::new(CreateOption::FromImage) }),
        ..StorageProfile::default()
    }
}

fn operating_system(desired: &VirtualMachineInput, custom_data: &Secret) -> OsProfile {
    let key = SshPublicKey {
        path: Some(format!("/home/{}/.ssh/authorized_keys", desired.admin_username)),
        key_data: Some(desired.ssh_public_key.trim().to_owned()),
    };
    OsProfile {
        computer_name: Some(desired.name.to_string()),
        admin_username: Some(desired.admin_username.clone()),
        custom_data: Some(custom_data.expose().to_owned()),
        linux_configuration: Some(LinuxConfiguration {
            disable_password_authentication: Some(true),
            ssh: Some(SshConfiguration { public_keys: vec![key] }),
            ..LinuxConfiguration::default()
        }),
        ..OsProfile::default()
    }
}

fn network(nic: &ResourceId) -> NetworkProfile {
    NetworkProfile {
        network_interfaces: vec![NetworkInterfaceReference {
            sub_resource: SubResource { id: Some(nic.to_string()) },
            properties: Some(NetworkInterfaceReferenceProperties { primary: Some(true), delete_option: None }),
        }],
        ..NetworkProfile::default()
    }
}
