use std::collections::BTreeMap;

use super::state::{Actor, Kind, Machine, Node};

/// Account of a simulated machine, read from `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name of the user.
    pub name: String,
    /// Numeric user id.
    pub uid: u32,
    /// Numeric id of the primary group.
    pub gid: u32,
    /// Absolute path of the home directory.
    pub home: String,
    /// Absolute path of the login shell.
    pub shell: String,
    /// Names of the groups, the primary group first.
    pub groups: Vec<String>,
}

impl Account {
    /// Returns the identity under which the account's programs access files.
    pub fn actor(&self) -> Actor {
        Actor { user: self.name.clone(), groups: self.groups.clone() }
    }

    /// Returns the environment variables with which the account's programs start.
    ///
    /// `path` becomes `PATH`; the other variables describe the account, as after a login.
    pub fn environment(&self, path: &str) -> BTreeMap<String, String> {
        let pairs = [
            ("HOME", self.home.as_str()),
            ("LANG", "C.UTF-8"),
            ("LOGNAME", &self.name),
            ("PATH", path),
            ("SHELL", &self.shell),
            ("USER", &self.name),
        ];
        pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).into()
    }
}

impl Machine {
    /// Returns the account called `name`, or `None` if `/etc/passwd` does not list it.
    pub fn account(&self, name: &str) -> Option<Account> {
        let passwd = self.files.text("/etc/passwd")?;
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let (home, shell) = ((*home).to_owned(), (*shell).to_owned());
        Some(Account { name: name.to_owned(), uid, gid, home, shell, groups: self.groups_of(name, gid) })
    }

    /// Returns true if a file in `/etc/sudoers.d` lets the account run commands without a password.
    ///
    /// Always true for root. Only the word `NOPASSWD:` counts; the simulation does not evaluate the
    /// list of commands.
    pub fn may_sudo(&self, name: &str) -> bool {
        let rules = self.files.children("/etc/sudoers.d").filter_map(|(_, node)| match &node.kind {
            Kind::File(content) => Some(String::from_utf8_lossy(&content.0).into_owned()),
            _ => None,
        });
        let grants = |line: &str| line.split_whitespace().next() == Some(name) && line.contains("NOPASSWD:");
        name == "root" || rules.into_iter().any(|text| text.lines().any(grants))
    }

    /// Returns the public keys that permit a login, one per line of `authorized_keys`.
    pub fn authorized_keys(&self, name: &str) -> Vec<String> {
        let file =
            self.account(name).and_then(|account| self.files.text(&format!("{}/.ssh/authorized_keys", account.home)));
        file.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Creates an account with a home directory and a group of its own.
    ///
    /// An existing account stays unchanged. User and group ids count from 1000.
    pub fn add_account(&mut self, name: &str, groups: &[String], shell: &str) {
        if self.account(name).is_some() {
            return;
        }
        let id = 1000
            + self
                .files
                .text("/etc/passwd")
                .unwrap_or_default()
                .lines()
                .filter(|line| line.contains(":/home/"))
                .count();
        let home = format!("/home/{name}");
        self.append("/etc/passwd", &format!("{name}:x:{id}:{id}::{home}:{shell}\n"));
        self.append("/etc/group", &format!("{name}:x:{id}:\n"));
        for group in groups {
            self.join_group(group, name);
        }
        self.files.make_directories(&home);
        self.give(&home, name, 0o755);
    }

    /// Appends `rule` for the account to the sudoers file that cloud-init writes, unless it is
    /// there.
    pub fn grant_sudo(&mut self, name: &str, rule: &str) {
        let path = "/etc/sudoers.d/90-cloud-init-users";
        let text = self.files.text(path).unwrap_or_default();
        let line = format!("{name} {rule}\n");
        if !text.contains(&line) {
            self.files.put(path, 0o440, format!("{text}{line}"));
        }
    }

    /// Adds public keys that permit a login to the account.
    ///
    /// Does nothing without keys or without the account. Equal neighbouring lines are stored once.
    pub fn authorize_keys(&mut self, name: &str, keys: &[String]) {
        let Some(account) = self.account(name).filter(|_| !keys.is_empty()) else { return };
        let directory = format!("{}/.ssh", account.home);
        let path = format!("{directory}/authorized_keys");
        let mut lines = self.authorized_keys(name);
        lines.extend(keys.iter().map(|key| key.trim().to_owned()));
        lines.dedup();
        self.files.put(&path, 0o600, format!("{}\n", lines.join("\n")));
        self.give(&directory, name, 0o700);
        self.give(&path, name, 0o600);
    }

    /// Returns the names of the groups that the user is in, the primary group first.
    fn groups_of(&self, name: &str, gid: u32) -> Vec<String> {
        let text = self.files.text("/etc/group").unwrap_or_default();
        let mut groups = Vec::new();
        for line in text.lines() {
            let fields: Vec<&str> = line.split(':').collect();
            let [group, _, id, members] = fields.as_slice() else { continue };
            if *id == gid.to_string() {
                groups.insert(0, (*group).to_owned());
            } else if members.split(',').any(|member| member == name) {
                groups.push((*group).to_owned());
            }
        }
        groups
    }

    /// Adds the user to an existing group. A group that does not exist is ignored.
    fn join_group(&mut self, group: &str, name: &str) {
        let text = self.files.text("/etc/group").unwrap_or_default();
        let joined = text.lines().map(|line| {
            let member = line.split(':').next() == Some(group);
            let comma = if line.ends_with(':') { "" } else { "," };
            if member { format!("{line}{comma}{name}\n") } else { format!("{line}\n") }
        });
        let joined: String = joined.collect();
        self.files.put("/etc/group", 0o644, joined);
    }

    /// Appends one line to a system file such as `/etc/passwd`.
    fn append(&mut self, path: &str, line: &str) {
        let text = self.files.text(path).unwrap_or_default();
        self.files.put(path, 0o644, format!("{text}{line}"));
    }

    /// Makes the user the owner of `path` and sets its permission bits.
    fn give(&mut self, path: &str, name: &str, mode: u32) {
        let group = self.account(name).and_then(|account| account.groups.first().cloned()).unwrap_or_default();
        if let Some(node) = self.files.nodes.get_mut(path) {
            let node: &mut Node = node;
            (node.owner, node.group, node.mode) = (name.to_owned(), group, mode);
        }
    }
}
