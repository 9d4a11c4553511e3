use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// User data, read as cloud-init reads it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct UserData {
    /// The keys of a `#cloud-config`.
    pub(super) config: Map<String, Value>,
    /// A script instead.
    pub(super) script: Option<String>,
    /// What cloud-init complains of.
    pub(super) warnings: Vec<String>,
}

/// Keys of cloud-init's own schema; it complains of others.
const KNOWN: [&str; 55] = [
    "allow_public_ssh_keys",
    "ansible",
    "apk_repos",
    "apt",
    "apt_pipelining",
    "apt_reboot_if_required",
    "apt_update",
    "apt_upgrade",
    "authkey_hash",
    "bootcmd",
    "byobu_by_default",
    "ca_certs",
    "chpasswd",
    "create_hostname_file",
    "device_aliases",
    "disable_ec2_metadata",
    "disable_root",
    "disable_root_opts",
    "disk_setup",
    "drivers",
    "final_message",
    "fqdn",
    "fs_setup",
    "groups",
    "growpart",
    "grub_dpkg",
    "hostname",
    "keyboard",
    "locale",
    "manage_etc_hosts",
    "manage_resolv_conf",
    "merge_how",
    "mounts",
    "no_ssh_fingerprints",
    "ntp",
    "output",
    "package_reboot_if_required",
    "package_update",
    "package_upgrade",
    "packages",
    "password",
    "phone_home",
    "power_state",
    "prefer_fqdn_over_hostname",
    "preserve_hostname",
    "resize_rootfs",
    "runcmd",
    "ssh",
    "ssh_authorized_keys",
    "ssh_deletekeys",
    "ssh_keys",
    "swap",
    "timezone",
    "users",
    "write_files",
];

impl UserData {
    /// Reads user data; what cannot be read leaves nothing but a complaint.
    pub(super) fn parse(text: &str) -> Self {
        if text.trim().is_empty() {
            return Self::default();
        }
        if text.starts_with("#!") {
            return Self { script: Some(text.to_owned()), ..Self::default() };
        }
        if !text.starts_with("#cloud-config") {
            let start: String = text.chars().take(24).collect();
            let warning = format!("Unhandled non-multipart (text/x-not-multipart) userdata: 'b'{start}'...'");
            return Self { warnings: vec![warning], ..Self::default() };
        }
        match serde_saphyr::from_str::<Option<Map<String, Value>>>(text) {
            Ok(config) => Self::of(config.unwrap_or_default()),
            Err(error) => {
                let warning = format!("Failed loading yaml blob. Invalid format at line 1: {error}");
                Self { warnings: vec![warning], ..Self::default() }
            }
        }
    }

    fn of(config: Map<String, Value>) -> Self {
        let known = |key: &&String| {
            !KNOWN.contains(&key.as_str()) && !matches!(key.as_str(), "ssh_pwauth" | "snap" | "system_info")
        };
        let unknown: Vec<&String> = config.keys().filter(known).collect();
        let warnings = if unknown.is_empty() {
            Vec::new()
        } else {
            let names: Vec<String> = unknown.iter().map(|key| format!("'{key}'")).collect();
            let verb = if names.len() == 1 { "was" } else { "were" };
            let names = names.join(", ");
            vec![format!(
                "cloud-config failed schema validation!\nAdditional properties are not allowed ({names} {verb} unexpected)"
            )]
        };
        Self { config, script: None, warnings }
    }

    /// The text of a key.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key)?.as_str()
    }

    /// The items of a key.
    pub(super) fn items(&self, key: &str) -> &[Value] {
        self.config.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Whether a key is set to true.
    pub(super) fn on(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// The texts in a list, or the one text.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// A file of `write_files`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct WrittenFile {
    pub(super) path: String,
    pub(super) content: Vec<u8>,
    pub(super) mode: u32,
    pub(super) owner: String,
    pub(super) group: String,
    pub(super) append: bool,
    pub(super) deferred: bool,
}

impl WrittenFile {
    /// Reads one item; the complaint that cloud-init has if it cannot be written.
    pub(super) fn parse(item: &Value) -> Result<Self, String> {
        let text = |name: &str| item.get(name).and_then(Value::as_str);
        let path = text("path").ok_or("No path provided to write for entry 1 in module write_files")?;
        let content = text("content").unwrap_or_default();
        let encoding = text("encoding").unwrap_or("text/plain");
        let content = match encoding {
            "b64" | "base64" => {
                let compact: String = content.split_whitespace().collect();
                STANDARD.decode(compact).map_err(|error| format!("Failed to decode {path}: {error}"))?
            }
            "text/plain" => content.as_bytes().to_vec(),
            other => return Err(format!("Unknown encoding type {other}, assuming text/plain")),
        };
        let (owner, group) = text("owner").unwrap_or("root:root").split_once(':').unwrap_or(("root", "root"));
        Ok(Self {
            path: path.to_owned(),
            content,
            mode: mode(item.get("permissions")),
            owner: owner.to_owned(),
            group: group.to_owned(),
            append: item.get("append").and_then(Value::as_bool).unwrap_or_default(),
            deferred: item.get("defer").and_then(Value::as_bool).unwrap_or_default(),
        })
    }
}

/// Octal in a text. A bare number was read as decimal by YAML, as people find out.
fn mode(value: Option<&Value>) -> u32 {
    match value {
        Some(Value::String(text)) => u32::from_str_radix(text.trim_start_matches("0o"), 8).unwrap_or(0o644),
        Some(Value::Number(number)) => number.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0o644),
        _ => 0o644,
    }
}

/// The script that cloud-init makes of `runcmd`: an item that is a list is one command, each word of it quoted.
pub(super) fn shellify(items: &[Value]) -> String {
    let mut script = "#!/bin/sh\n".to_owned();
    for item in items {
        let line = match item {
            Value::Array(words) => words.iter().map(quoted).collect::<Vec<_>>().join(" "),
            Value::String(line) => line.clone(),
            _ => continue,
        };
        script.push_str(&line);
        script.push('\n');
    }
    script
}

fn quoted(word: &Value) -> String {
    let text = word.as_str().map_or_else(|| word.to_string(), str::to_owned);
    format!("'{}'", text.replace('\'', "'\\''"))
}
