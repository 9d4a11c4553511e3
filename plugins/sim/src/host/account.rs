use std::collections::BTreeMap;

use super::files::{Actor, Kind, Node};
use super::machine::Machine;

/// An account of a machine, from `/etc/passwd` and `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// Name of the user.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The number of its own group.
    pub gid: u32,
    /// Its home directory.
    pub home: String,
    /// Its login shell.
    pub shell: String,
    /// Names of its groups, its own first.
    pub groups: Vec<String>,
}

impl Account {
    /// Who its programs act as.
    pub fn actor(&self) -> Actor {
        Actor { user: self.name.clone(), groups: self.groups.clone() }
    }

    /// The environment that its programs begin with.
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
    /// The account of this name.
    pub fn account(&self, name: &str) -> Option<Account> {
        let passwd = self.files.text("/etc/passwd")?;
        let line = passwd.lines().find(|line| line.split(':').next() == Some(name))?;
        let fields: Vec<&str> = line.split(':').collect();
        let [_, _, uid, gid, _, home, shell] = fields.as_slice() else { return None };
        let (uid, gid) = (uid.parse().ok()?, gid.parse().ok()?);
        let (home, shell) = ((*home).to_owned(), (*shell).to_owned());
        Some(Account { name: name.to_owned(), uid, gid, home, shell, groups: self.groups_of(name, gid) })
    }

    /// Whether sudoers lets the account do anything without a password.
    pub fn may_sudo(&self, name: &str) -> bool {
        let rules = self.files.children("/etc/sudoers.d").filter_map(|(_, node)| match &node.kind {
            Kind::File(content) => Some(String::from_utf8_lossy(&content.0).into_owned()),
            _ => None,
        });
        let grants = |line: &str| line.split_whitespace().next() == Some(name) && line.contains("NOPASSWD:");
        name == "root" || rules.into_iter().any(|text| text.lines().any(grants))
    }

    /// The keys that open the account.
    pub fn authorized_keys(&self, name: &str) -> Vec<String> {
        let file =
            self.account(name).and_then(|account| self.files.text(&format!("{}/.ssh/authorized_keys", account.home)));
        file.unwrap_or_default().lines().map(str::to_owned).collect()
    }

    /// Makes an account with a home directory; what exists already stays.
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

    /// Lets the account do anything without a password.
    pub fn grant_sudo(&mut self, name: &str, rule: &str) {
        let path = "/etc/sudoers.d/90-cloud-init-users";
        let text = self.files.text(path).unwrap_or_default();
        self.files.put(path, 0o440, format!("{text}{name} {rule}\n"));
    }

    /// Adds keys that open the account.
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

    fn append(&mut self, path: &str, line: &str) {
        let text = self.files.text(path).unwrap_or_default();
        self.files.put(path, 0o644, format!("{text}{line}"));
    }

    fn give(&mut self, path: &str, name: &str, mode: u32) {
        let group = self.account(name).and_then(|account| account.groups.first().cloned()).unwrap_or_default();
        if let Some(node) = self.files.nodes.get_mut(path) {
            let node: &mut Node = node;
            (node.owner, node.group, node.mode) = (name.to_owned(), group, mode);
        }
    }
}
