use russh::keys::PrivateKey;
use russh::keys::ssh_key::LineEnding;
use serde_json::Value;

use super::config::{UserData, WrittenFile, shellify, texts};
use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Halted, Process};
use crate::host::state::{Actor, Machine, parent};

/// File in which sshd keeps its private host key.
pub(crate) const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";
/// Directory to which cloud-init writes the scripts that it runs.
const SCRIPTS: &str = "/var/lib/cloud/instance/scripts";

/// One run of cloud-init on the first boot of a machine.
pub(crate) struct Instance {
    data: UserData,
}

impl Instance {
    /// Reads the user data of the machine.
    pub(crate) fn of(machine: &Machine) -> Self {
        Self { data: UserData::parse(&machine.spec.user_data) }
    }

    /// Runs the part of cloud-init that precedes sshd.
    ///
    /// Records the warnings about the user data, sets the host name and installs the host key.
    pub(crate) fn begin(&self, machine: &mut Machine, generated: &PrivateKey) {
        machine.cloud_init.warnings.extend(self.data.warnings.iter().cloned());
        self.set_hostname(machine);
        self.set_host_keys(machine, generated);
    }

    /// Runs the `init` stage: writes files, then creates accounts.
    pub(crate) fn initialise(&self, machine: &mut Machine) {
        self.write_files(machine, false);
        self.add_users(machine);
        let text = machine.spec.user_data.clone();
        machine.files.put("/var/lib/cloud/instance/user-data.txt", 0o600, text);
    }

    /// Runs the `modules-final` stage: packages, deferred files, scripts.
    ///
    /// Blocks the calling thread while the scripts run.
    pub(crate) fn finish(&self, process: &mut Process) -> Result<(), Halted> {
        let log = Sink::File("/var/log/cloud-init-output.log".to_owned());
        process.with(|place| place.machine.files.put("/var/log/cloud-init-output.log", 0o640, ""))?;
        let io = Io { input: Source::empty(), output: log.clone(), error: log };
        self.install_packages(process, &io)?;
        process.with(|place| self.write_files(place.machine, true))?;
        let script = self.data.script.clone();
        let runcmd = self.data.items("runcmd");
        let scripts = [("part-001", script), ("runcmd", (!runcmd.is_empty()).then(|| shellify(runcmd)))];
        for (name, script) in scripts {
            if let Some(script) = script {
                run_script(process, &io, name, &script)?;
            }
        }
        process.with(|place| {
            let message = format!("{} - finished\n", jiff::Timestamp::now());
            place.machine.files.put("/var/lib/cloud/instance/boot-finished", 0o644, message);
            place.machine.cloud_init.instance_done = true;
        })
    }

    /// Sets the host name from `hostname`, `fqdn` or the name of the machine.
    ///
    /// `preserve_hostname` keeps the name that the image has.
    fn set_hostname(&self, machine: &mut Machine) {
        let given = self.data.text("hostname").or_else(|| self.data.text("fqdn"));
        let name = given.unwrap_or(&machine.spec.name).split('.').next().unwrap_or_default().to_owned();
        if self.data.on("preserve_hostname") {
            return;
        }
        machine.files.put("/etc/hostname", 0o644, format!("{name}\n"));
        machine.hostname = name;
    }

    /// Installs the host keys of the user data, or the generated key if it has none.
    fn set_host_keys(&self, machine: &mut Machine, generated: &PrivateKey) {
        let keys = self.data.config.get("ssh_keys").and_then(Value::as_object);
        let private = keys.and_then(|keys| keys.get("ed25519_private")).and_then(Value::as_str);
        let key = match private.map(PrivateKey::from_openssh) {
            Some(Ok(key)) => key,
            Some(Err(error)) => {
                machine.cloud_init.warnings.push(format!("Failed to write ssh host key {HOST_KEY}: {error}"));
                generated.clone()
            }
            None => generated.clone(),
        };
        let text = key.to_openssh(LineEnding::LF).map(|text| text.to_string()).unwrap_or_default();
        let public = key.public_key().to_openssh().unwrap_or_default();
        machine.files.put(HOST_KEY, 0o600, text);
        machine.files.put(&format!("{HOST_KEY}.pub"), 0o644, format!("{public}\n"));
    }

    /// Writes the files of `write_files` whose `defer` equals `deferred`.
    fn write_files(&self, machine: &mut Machine, deferred: bool) {
        for item in self.data.items("write_files") {
            match WrittenFile::parse(item) {
                Ok(file) if file.deferred == deferred => write_file(machine, &file),
                Ok(_) => {}
                Err(_) if deferred => {}
                Err(warning) => machine.cloud_init.warnings.push(warning),
            }
        }
    }

    /// Creates the accounts of `users`.
    ///
    /// Without that key it creates the image's default account, which in the simulation is the one
    /// of the administrator.
    fn add_users(&self, machine: &mut Machine) {
        let default = [Value::String("default".to_owned())];
        let users = if self.data.config.contains_key("users") { self.data.items("users") } else { &default };
        let shared = texts(self.data.config.get("ssh_authorized_keys"));
        for user in users {
            match user {
                Value::String(name) if name == "default" => add_administrator(machine, &shared),
                Value::String(name) => machine.add_account(name, &[], "/bin/sh"),
                user => add_user(machine, user),
            }
        }
    }

    /// Installs the packages of the user data through the simulated `apt-get`.
    fn install_packages(&self, process: &mut Process, io: &Io) -> Result<(), Halted> {
        let packages = texts(self.data.config.get("packages"));
        if self.data.on("package_update") || !packages.is_empty() {
            process.execute(io, &["apt-get".to_owned(), "update".to_owned()])?;
        }
        if packages.is_empty() {
            return Ok(());
        }
        let words = ["apt-get", "install", "--assume-yes"].map(str::to_owned).into_iter().chain(packages);
        let status = process.execute(io, &words.collect::<Vec<_>>())?.status();
        if status != 0 {
            let error = "('package_update_upgrade_install', ProcessExecutionError(\"Unexpected error while running command.\"))";
            process.with(|place| place.machine.cloud_init.errors.push(error.to_owned()))?;
        }
        Ok(())
    }
}

/// Runs one script and records an error if it fails.
///
/// The exit status is that of the script's last command, as with real cloud-init.
fn run_script(process: &mut Process, io: &Io, name: &str, script: &str) -> Result<(), Halted> {
    let path = format!("{SCRIPTS}/{name}");
    process.with(|place| place.machine.files.put(&path, 0o700, script.to_owned()))?;
    let status = process.execute(io, &[path])?.status();
    if status != 0 {
        let error = format!("('scripts_user', RuntimeError('Runparts: 1 failures ({name}) in 1 attempted commands'))");
        process.with(|place| place.machine.cloud_init.errors.push(error))?;
    }
    Ok(())
}

/// Writes one file of `write_files` with its owner and permissions.
fn write_file(machine: &mut Machine, file: &WrittenFile) {
    machine.files.make_directories(parent(&file.path));
    let root = Actor::root();
    let written = machine
        .write_file(&root, &file.path, &file.content, file.append, file.mode)
        .and_then(|()| machine.files.change_mode(&root, &file.path, file.mode))
        .and_then(|()| machine.files.change_owner(&root, &file.path, Some(&file.owner), Some(&file.group)));
    if let Err(error) = written {
        machine.cloud_init.errors.push(format!("('write_files', OSError('{}: {error}'))", file.path));
    }
}

/// Sudoers rule that permits every command without a password.
const ALL: &str = "ALL=(ALL) NOPASSWD:ALL";

/// Creates the administrator's account with the given keys.
fn add_administrator(machine: &mut Machine, shared: &[String]) {
    let name = machine.spec.admin_user.clone();
    let keys: Vec<String> = machine.spec.admin_keys.iter().chain(shared).cloned().collect();
    machine.add_account(&name, &["adm", "sudo"].map(str::to_owned), "/bin/bash");
    machine.grant_sudo(&name, ALL);
    machine.authorize_keys(&name, &keys);
}

/// Creates one account of `users`, with its groups, keys and sudo rule.
fn add_user(machine: &mut Machine, user: &Value) {
    let Some(name) = user.get("name").and_then(Value::as_str) else { return };
    let groups: Vec<String> = match user.get("groups") {
        Some(Value::String(groups)) => groups.split(',').map(|group| group.trim().to_owned()).collect(),
        groups => texts(groups),
    };
    machine.add_account(name, &groups, user.get("shell").and_then(Value::as_str).unwrap_or("/bin/sh"));
    for rule in texts(user.get("sudo")) {
        machine.grant_sudo(name, &rule);
    }
    machine.authorize_keys(name, &texts(user.get("ssh_authorized_keys").or_else(|| user.get("ssh-authorized-keys"))));
}
