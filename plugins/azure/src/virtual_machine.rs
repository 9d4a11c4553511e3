use std::collections::BTreeMap;

use azure_mgmt_compute::package_2024_07_01::models::{
    CreateOption, DeleteOption, HardwareProfile, ImageReference, LinuxConfiguration, NetworkInterfaceReference,
    NetworkInterfaceReferenceProperties, NetworkProfile, OsDisk, OsProfile, Resource as ComputeResource,
    SshConfiguration, SshPublicKey, StorageProfile, SubResource, VirtualMachine as VmModel, VirtualMachineProperties,
    hardware_profile::VmSize,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use stargate_sdk::{
    ActionContext, ActionError, Difference, Permission, RequiredPermissions, Resource, Secret, SecretRef,
};

use crate::{
    ArmClient, ResourceId,
    arm::Condition,
    body::body,
    checkpoint::Checkpoint,
    cloud_config,
    host_key::{HostKey, without_comment},
    live::Live,
    name::{GroupName, Location, VmName},
    network_interface::NIC,
    permission::{COMPUTE_OPERATIONS, arm},
};

pub(crate) const MACHINE: &str = "Microsoft.Compute/virtualMachines";
/// The tag that holds the public half of the host key. Azure never gives `customData` back.
pub(crate) const HOST_KEY_TAG: &str = "stargate-host-key";

/// `azure.virtual_machine.ensure`.
///
/// A machine is created once and never written to again: a PUT of an existing machine may restart it.
pub(crate) struct VirtualMachine(pub(crate) ArmClient);

/// How a machine is to be.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct VirtualMachineInput {
    /// Resource group of the machine.
    resource_group: GroupName,
    /// Name of the machine, and its host name.
    name: VmName,
    /// Its region.
    location: Location,
    /// Its size, such as `Standard_D2s_v5`.
    size: String,
    /// Its only network interface.
    network_interface_id: ResourceId,
    /// The account that the public key opens.
    #[schemars(regex(pattern = "^[a-z_][a-z0-9_-]{0,31}$"))]
    admin_username: String,
    /// A public key in OpenSSH form.
    ssh_public_key: String,
    /// The image it is made from.
    image: ImageInput,
    /// cloud-init's user data. `{{name}}` in a string stands for a secret. The host key is added to it.
    #[serde(default)]
    cloud_config: Map<String, Value>,
    /// Secrets for the user data, resolved only when the machine is created.
    #[serde(default)]
    cloud_config_secrets: BTreeMap<String, SecretRef>,
}

/// A platform image.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ImageInput {
    /// Who publishes it.
    publisher: String,
    /// What is offered.
    offer: String,
    /// Which of the offer.
    sku: String,
    /// A version, or `latest`, which then only counts at creation.
    #[serde(default = "latest")]
    version: String,
}

fn latest() -> String {
    "latest".into()
}

/// A machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub(crate) struct VirtualMachineOutput {
    /// Resource id.
    pub id: String,
    /// Name of the machine.
    pub name: String,
    /// Its SSH host key, in OpenSSH's one-line form.
    pub host_key: String,
}

impl VirtualMachine {
    fn id(&self, wanted: &VirtualMachineInput) -> ResourceId {
        self.0.group(&wanted.resource_group).resource(MACHINE, &wanted.name)
    }

    /// Creates the machine. Every crash point has its way out: before the PUT nothing is there and a new key is made;
    /// after it the machine carries the public key as a tag; once ARM has answered, the operation is in the checkpoint.
    async fn create(&self, cx: &ActionContext, wanted: &VirtualMachineInput) -> Result<(), ActionError> {
        let host_key = HostKey::generate()?;
        cx.redactor().add(host_key.private.expose());
        let secrets = resolve(cx, wanted).await?;
        let custom_data = cloud_config::custom_data(&wanted.cloud_config, &secrets, &host_key)?;
        cx.redactor().add(custom_data.expose());
        Checkpoint::of_host_key(&host_key.public).save(cx).await?;
        let body = new(wanted, &host_key.public, &custom_data);
        self.0.put(cx, &self.id(wanted), body, Some(Condition::Absent)).await
    }
}

impl Resource for VirtualMachine {
    type Desired = VirtualMachineInput;
    type Actual = Live;
    type Output = VirtualMachineOutput;
    const NAME: &'static str = "azure.virtual_machine.ensure";
    const VERSION: u32 = 1;
    const SUMMARY: &'static str = "Makes sure that a Linux machine exists, with a host key known from the start.";

    async fn read(&self, cx: &ActionContext, wanted: &VirtualMachineInput) -> Result<Option<Live>, ActionError> {
        self.0.get_settled(cx, &self.id(wanted)).await
    }

    fn diff(&self, wanted: &VirtualMachineInput, actual: Option<&Live>) -> Result<Vec<Difference>, ActionError> {
        let id = self.id(wanted);
        check_input(wanted).map_err(|e| e.context(id.label()))?;
        let Some(live) = actual else { return Ok(vec![Difference::missing(id.label(), wanted.size.as_str())]) };
        check_healthy(live)?;
        live.check_location(&wanted.location)?;
        let left = differences(wanted, live);
        if left.is_empty() { Ok(left) } else { Err(unchangeable(live, &left)) }
    }

    async fn apply(
        &self,
        cx: &ActionContext,
        wanted: &VirtualMachineInput,
        actual: Option<&Live>,
        _: &[Difference],
    ) -> Result<(), ActionError> {
        match actual {
            None => self.create(cx, wanted).await.map_err(|e| in_words(e, &self.id(wanted))),
            Some(_) => Ok(()), // `diff` finds nothing to change in a machine that is there
        }
    }

    fn output(
        &self,
        cx: &ActionContext,
        _: &VirtualMachineInput,
        live: &Live,
    ) -> Result<VirtualMachineOutput, ActionError> {
        let tag = live.body["tags"][HOST_KEY_TAG].as_str();
        let host_key = tag.and_then(without_comment).or_else(|| Checkpoint::load(cx).host_key);
        let host_key = host_key.ok_or_else(|| {
            ActionError::permanent(format!("it has no tag {HOST_KEY_TAG} with its host key, so it cannot be told from another"))
                .context(live.id.label())
                .with_hint(format!("delete it, choose another name, or set the tag {HOST_KEY_TAG} to what `ssh-keyscan -t ed25519` shows from a place you trust"))
        })?;
        Ok(VirtualMachineOutput { id: live.id(), name: live.name().into(), host_key })
    }

    async fn resume(&self, cx: &ActionContext, _: &VirtualMachineInput, checkpoint: Value) -> Result<(), ActionError> {
        self.0.resume(cx, checkpoint).await
    }
}

impl RequiredPermissions for VirtualMachine {
    const PERMISSIONS: &'static [Permission] = &[
        arm("Microsoft.Compute/virtualMachines/read"),
        arm("Microsoft.Compute/virtualMachines/write"),
        arm("Microsoft.Compute/disks/write"),
        arm("Microsoft.Network/networkInterfaces/join/action"),
        COMPUTE_OPERATIONS,
    ];
}

fn in_words(error: ActionError, id: &ResourceId) -> ActionError {
    if error.message.contains(&id.label()) { error } else { error.context(id.label()) }
}

async fn resolve(cx: &ActionContext, wanted: &VirtualMachineInput) -> Result<BTreeMap<String, Secret>, ActionError> {
    let mut secrets = BTreeMap::new();
    for (name, reference) in &wanted.cloud_config_secrets {
        secrets.insert(name.clone(), cx.secret(reference).await?);
    }
    Ok(secrets)
}

fn check_input(wanted: &VirtualMachineInput) -> Result<(), ActionError> {
    if !wanted.network_interface_id.is(NIC) {
        let id = &wanted.network_interface_id;
        return Err(ActionError::permanent(format!("network_interface_id is {id}, which is no network interface")));
    }
    if !is_user_name(&wanted.admin_username) {
        return Err(ActionError::permanent(format!(
            "admin_username {:?} is no Linux user name",
            wanted.admin_username
        )));
    }
    if without_comment(&wanted.ssh_public_key).is_none() {
        return Err(ActionError::permanent("ssh_public_key is no public key in OpenSSH form"));
    }
    cloud_config::check(&wanted.cloud_config, wanted.cloud_config_secrets.keys())
}

fn is_user_name(name: &str) -> bool {
    name.len() <= 32
        && name.starts_with(|c: char| c.is_ascii_lowercase() || c == '_')
        && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}

fn check_healthy(live: &Live) -> Result<(), ActionError> {
    match live.state().filter(|_| live.has_failed()) {
        None => Ok(()),
        Some(state) => Err(ActionError::permanent(format!("its provisioning state is {state}"))
            .context(live.id.label())
            .with_hint("look at its instance view in azure, delete the machine, and run again")),
    }
}

fn unchangeable(live: &Live, left: &[Difference]) -> ActionError {
    let left: Vec<_> = left.iter().map(ToString::to_string).collect();
    ActionError::permanent(format!("it exists and differs in what cannot be changed in place: {}", left.join("; ")))
        .context(live.id.label())
        .with_hint("delete it, choose another name, or ask for it as it is")
}

fn differences(wanted: &VirtualMachineInput, live: &Live) -> Vec<Difference> {
    let image = &wanted.image;
    let text = |what: &str, pointer: &str, wanted: &str| {
        let actual = live.text(&format!("/properties/{pointer}"));
        let same = actual.is_some_and(|actual| actual.eq_ignore_ascii_case(wanted));
        (!same).then(|| Difference::new(what, actual, wanted))
    };
    let pinned = (!image.version.eq_ignore_ascii_case("latest")).then_some(image.version.as_str());
    [
        text("size", "hardwareProfile/vmSize", &wanted.size),
        text("image publisher", "storageProfile/imageReference/publisher", &image.publisher),
        text("image offer", "storageProfile/imageReference/offer", &image.offer),
        text("image sku", "storageProfile/imageReference/sku", &image.sku),
        pinned.and_then(|version| image_version(live, version)),
        text("admin user", "osProfile/adminUsername", &wanted.admin_username),
        public_key(wanted, live),
        network_interface(wanted, live),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// `exactVersion` is what `latest` stood for when the machine was made.
fn image_version(live: &Live, wanted: &str) -> Option<Difference> {
    let reference = "/properties/storageProfile/imageReference";
    let exact = live.text(&format!("{reference}/exactVersion"));
    let actual = exact.or_else(|| live.text(&format!("{reference}/version")));
    Difference::between("image version", actual, wanted)
}

fn public_key(wanted: &VirtualMachineInput, live: &Live) -> Option<Difference> {
    let keys = live.body.pointer("/properties/osProfile/linuxConfiguration/ssh/publicKeys");
    let keys: Vec<_> =
        keys.and_then(Value::as_array)?.iter().filter_map(|key| without_comment(key["keyData"].as_str()?)).collect();
    let wanted = without_comment(&wanted.ssh_public_key)?;
    (!keys.contains(&wanted)).then(|| Difference::new("ssh public key", keys.join(", "), wanted))
}

fn network_interface(wanted: &VirtualMachineInput, live: &Live) -> Option<Difference> {
    let nics = live.body.pointer("/properties/networkProfile/networkInterfaces").and_then(Value::as_array);
    let ids: Vec<&str> = nics.into_iter().flatten().filter_map(|nic| nic["id"].as_str()).collect();
    let wanted = &wanted.network_interface_id;
    let is_there = ids.iter().any(|id| id.parse().is_ok_and(|id: ResourceId| id == *wanted));
    (!is_there).then(|| Difference::new("network interface", ids.join(", "), wanted.to_string()))
}

fn new(wanted: &VirtualMachineInput, host_key: &str, custom_data: &Secret) -> Value {
    let tags = json!({ HOST_KEY_TAG: host_key });
    let properties = VirtualMachineProperties {
        hardware_profile: Some(HardwareProfile {
            vm_size: Some(VmSize::UnknownValue(wanted.size.clone())), // as it was given: the model's list is from 2024
            vm_size_properties: None,
        }),
        storage_profile: Some(storage(&wanted.image)),
        os_profile: Some(operating_system(wanted, custom_data)),
        network_profile: Some(network(&wanted.network_interface_id)),
        ..VirtualMachineProperties::default()
    };
    body(&VmModel {
        properties: Some(properties),
        ..VmModel::new(ComputeResource { tags: Some(tags), ..ComputeResource::new(wanted.location.to_string()) })
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
        // Azure's own default leaves the disk behind when the machine is deleted.
        os_disk: Some(OsDisk { delete_option: Some(DeleteOption::Delete), ..OsDisk::new(CreateOption::FromImage) }),
        ..StorageProfile::default()
    }
}

fn operating_system(wanted: &VirtualMachineInput, custom_data: &Secret) -> OsProfile {
    let key = SshPublicKey {
        path: Some(format!("/home/{}/.ssh/authorized_keys", wanted.admin_username)),
        key_data: Some(wanted.ssh_public_key.trim().to_owned()),
    };
    OsProfile {
        computer_name: Some(wanted.name.to_string()),
        admin_username: Some(wanted.admin_username.clone()),
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
