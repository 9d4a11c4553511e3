use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

/// User data of a machine, read as cloud-init reads it.
#[derive(Debug, Default, PartialEq)]
pub(super) struct UserData {
    /// Top-level keys of a `#cloud-config` document.
    pub(super) config: Map<String, Value>,
    /// Shell script that the user data consists of instead of a `#cloud-config`.
    pub(super) script: Option<String>,
    /// Warnings that cloud-init reports about the user data.
    pub(super) warnings: Vec<String>,
}

/// Top-level keys of cloud-init's own schema.
///
/// Any other key leads to a warning, as with the real program.
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
    /// Parses user data.
    ///
    /// Never fails: text that cannot be read yields an empty configuration and a warning.
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

    /// Builds the user data from a parsed configuration, with one warning that names all unknown
    /// keys.
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

    /// Returns the text of a key, or `None` if the value is not a text.
    pub(super) fn text(&self, key: &str) -> Option<&str> {
        self.config.get(key)?.as_str()
    }

    /// Returns the items of a key, or an empty list if the value is not a list.
    pub(super) fn items(&self, key: &str) -> &[Value] {
        self.config.get(key).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Returns true if the value of a key is `true`.
    pub(super) fn on(&self, key: &str) -> bool {
        self.config.get(key).and_then(Value::as_bool).unwrap_or_default()
    }
}

/// Returns the texts in a list, or the single text as a list of one. Other values yield an empty
/// list.
pub(super) fn texts(value: Option<&Value>) -> Vec<String> {
    match value {
        Some(Value::String(text)) => vec![text.clone()],
        Some(Value::Array(items)) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

/// File that an item of `write_files` describes.
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
    /// Parses one item of `write_files`.
    ///
    /// # Errors
    ///
    /// The warning that cloud-init logs for an item that it cannot write.
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

/// Parses file permissions, which are octal digits in a text.
///
/// The default is `0o644`. YAML has already read a bare number as decimal. Real cloud-init then
/// sets the same unexpected mode.
fn mode(value: Option<&Value>) -> u32 {
    match value {
        Some(Value::String(text)) => u32::from_str_radix(text.trim_start_matches("0o"), 8).unwrap_or(0o644),
        Some(Value::Number(number)) => number.as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0o644),
        _ => 0o644,
    }
}

/// Returns the shell script that cloud-init makes of `runcmd`.
///
/// An item that is a list becomes one command, each of its words quoted. An item that is a text
/// becomes a line of the script.
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

/// Returns one word in the shell's single quotes.
fn quoted(word: &Value) -> String {
    let text = word.as_str().map_or_else(|| word.to_string(), str::to_owned);
    format!("'{}'", text.replace('\'', "'\\''"))
}
