use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::content::Content;

/// A machine's file system.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Files {
    /// By absolute path, without a slash at the end; the root is `/`.
    pub nodes: BTreeMap<String, Node>,
}

/// A file, directory or link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// What it is, with what it holds.
    pub kind: Kind,
    /// Permission bits.
    pub mode: u32,
    /// Name of its user.
    pub owner: String,
    /// Name of its group.
    pub group: String,
    /// When its content was last written.
    pub modified: Timestamp,
}

/// What a path leads to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A directory.
    Directory,
    /// A file.
    File(Content),
    /// A symbolic link.
    Link(String),
    /// An executable that the simulation brings along, by the name under which it does.
    Program(String),
}

/// Why the kernel refuses; the text is that of `strerror`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Errno {
    /// `EACCES`
    #[error("Permission denied")]
    Access,
    /// `EEXIST`
    #[error("File exists")]
    Exists,
    /// `EINVAL`
    #[error("Invalid argument")]
    Invalid,
    /// `EISDIR`
    #[error("Is a directory")]
    IsDirectory,
    /// `ELOOP`
    #[error("Too many levels of symbolic links")]
    Loop,
    /// `ENOENT`
    #[error("No such file or directory")]
    Missing,
    /// `ENOTDIR`
    #[error("Not a directory")]
    NotDirectory,
    /// `ENOTEMPTY`
    #[error("Directory not empty")]
    NotEmpty,
    /// `EPERM`
    #[error("Operation not permitted")]
    NotPermitted,
}

/// Who acts on files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name of the user.
    pub user: String,
    /// Names of its groups, its own first.
    pub groups: Vec<String>,
}

impl Actor {
    /// The superuser.
    pub fn root() -> Self {
        Self { user: "root".to_owned(), groups: vec!["root".to_owned()] }
    }

    /// Whether it is the superuser.
    pub fn is_root(&self) -> bool {
        self.user == "root"
    }

    fn may(&self, node: &Node, bit: u32) -> bool {
        let shift = if node.owner == self.user {
            6
        } else if self.groups.contains(&node.group) {
            3
        } else {
            0
        };
        self.is_root() || node.mode & (bit << shift) != 0
    }
}

const READ: u32 = 4;
const WRITE: u32 = 2;
const SEARCH: u32 = 1;

impl Node {
    /// A node that belongs to root.
    pub fn of_root(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, owner: "root".to_owned(), group: "root".to_owned(), modified: Timestamp::now() }
    }

    /// Whether it is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Its size as `stat` has it.
    pub fn size(&self) -> usize {
        match &self.kind {
            Kind::Directory => 4096,
            Kind::File(content) => content.0.len(),
            Kind::Link(target) => target.len(),
            Kind::Program(_) => 1 << 20,
        }
    }
}

impl Files {
    /// Makes `path` absolute and plain, without following links.
    pub fn absolute(directory: &str, path: &str) -> String {
        let joined = if path.starts_with('/') { path.to_owned() } else { format!("{directory}/{path}") };
        let mut parts: Vec<&str> = Vec::new();
        for part in joined.split('/') {
            match part {
                "" | "." => {}
                ".." => drop(parts.pop()),
                part => parts.push(part),
            }
        }
        format!("/{}", parts.join("/"))
    }

    /// Follows every link in `path`, and the last one too if `last`.
    pub fn resolve(&self, path: &str, last: bool) -> Result<String, Errno> {
        let mut resolved = path.to_owned();
        // Linux gives up after forty links.
        for _ in 0..40 {
            let Some(next) = self.follow_once(&resolved, last) else { return Ok(resolved) };
            resolved = next;
        }
        Err(Errno::Loop)
    }

    fn follow_once(&self, path: &str, last: bool) -> Option<String> {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain(last.then_some(path.len()));
        ends.into_iter().find_map(|end| {
            let Kind::Link(target) = &self.nodes.get(&path[..end])?.kind else { return None };
            Some(Self::absolute(parent(&path[..end]), &format!("{target}{}", &path[end..])))
        })
    }

    /// The node at `path`, through links.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&self.resolve(path, true).ok()?)
    }

    /// The text of the file at `path`, through links, whoever may read it.
    pub fn text(&self, path: &str) -> Option<String> {
        match &self.get(path)?.kind {
            Kind::File(content) => Some(String::from_utf8_lossy(&content.0).into_owned()),
            _ => None,
        }
    }

    /// Puts a file there as root, and the directories above it.
    pub fn put(&mut self, path: &str, mode: u32, content: impl Into<Content>) {
        self.make_directories(parent(path));
        self.nodes.insert(path.to_owned(), Node::of_root(Kind::File(content.into()), mode));
    }

    /// Puts an executable there that the simulation brings along.
    pub fn put_program(&mut self, path: &str) {
        self.make_directories(parent(path));
        let program = Kind::Program(name(path).to_owned());
        self.nodes.insert(path.to_owned(), Node::of_root(program, 0o755));
    }

    /// Makes a directory and those above it, as root.
    pub fn make_directories(&mut self, path: &str) {
        let ends = path.match_indices('/').map(|(at, _)| at.max(1)).chain([path.len()]);
        for end in ends {
            let directory = &path[..end];
            let there = self.get(directory).is_some();
            if !there {
                self.nodes.insert(directory.to_owned(), Node::of_root(Kind::Directory, 0o755));
            }
        }
    }

    /// Reads the file at `path`.
    pub fn read(&self, actor: &Actor, path: &str) -> Result<Vec<u8>, Errno> {
        let path = self.reach(actor, path, true)?;
        let node = self.nodes.get(&path).ok_or(Errno::Missing)?;
        if !actor.may(node, READ) {
            return Err(Errno::Access);
        }
        match &node.kind {
            Kind::File(content) => Ok(content.0.clone()),
            Kind::Program(name) => Ok(format!("\u{7f}ELF {name}\n").into_bytes()),
            Kind::Directory => Err(Errno::IsDirectory),
            Kind::Link(_) => Err(Errno::Loop),
        }
    }

    /// Writes the file at `path`, creating it with `mode`.
    pub fn write(&mut self, actor: &Actor, path: &str, bytes: &[u8], append: bool, mode: u32) -> Result<(), Errno> {
        let path = self.reach(actor, path, true)?;
        if let Some(node) = self.nodes.get_mut(&path) {
            return overwrite(actor, node, bytes, append);
        }
        self.check_parent(actor, &path)?;
        let kind = Kind::File(Content(bytes.to_vec()));
        self.create(actor, path, kind, mode);
        Ok(())
    }

    /// Makes one directory.
    pub fn make_directory(&mut self, actor: &Actor, path: &str, mode: u32) -> Result<(), Errno> {
        let path = self.reach(actor, path, false)?;
        if self.nodes.contains_key(&path) {
            return Err(Errno::Exists);
        }
        self.check_parent(actor, &path)?;
        self.create(actor, path, Kind::Directory, mode);
        Ok(())
    }

    /// Makes a symbolic link.
    pub fn link(&mut self, actor: &Actor, target: &str, path: &str) -> Result<(), Errno> {
        let path = self.reach(actor, path, false)?;
        if self.nodes.contains_key(&path) {
            return Err(Errno::Exists);
        }
        self.check_parent(actor, &path)?;
        self.create(actor, path, Kind::Link(target.to_owned()), 0o777);
        Ok(())
    }

    /// Removes a file, link or empty directory.
    pub fn remove(&mut self, actor: &Actor, path: &str) -> Result<(), Errno> {
        let path = self.reach(actor, path, false)?;
        if !self.nodes.contains_key(&path) {
            return Err(Errno::Missing);
        }
        if self.children(&path).next().is_some() {
            return Err(Errno::NotEmpty);
        }
        self.check_parent(actor, &path)?;
        self.nodes.remove(&path);
        Ok(())
    }

    /// Moves what is at `from`, with everything in it, over what is at `to`.
    pub fn rename(&mut self, actor: &Actor, from: &str, to: &str) -> Result<(), Errno> {
        let (from, to) = (self.reach(actor, from, false)?, self.reach(actor, to, false)?);
        if !self.nodes.contains_key(&from) {
            return Err(Errno::Missing);
        }
        self.check_parent(actor, &from)?;
        self.check_parent(actor, &to)?;
        if self.nodes.get(&to).is_some_and(Node::is_directory) && self.children(&to).next().is_some() {
            return Err(Errno::NotEmpty);
        }
        let inside = format!("{from}/");
        let moved: Vec<String> =
            self.nodes.keys().filter(|path| **path == from || path.starts_with(&inside)).cloned().collect();
        for path in moved {
            if let Some(node) = self.nodes.remove(&path) {
                self.nodes.insert(format!("{to}{}", &path[from.len()..]), node);
            }
        }
        Ok(())
    }

    /// Changes the permission bits of what is at `path`.
    pub fn change_mode(&mut self, actor: &Actor, path: &str, mode: u32) -> Result<(), Errno> {
        let path = self.reach(actor, path, true)?;
        let node = self.nodes.get_mut(&path).ok_or(Errno::Missing)?;
        if !actor.is_root() && node.owner != actor.user {
            return Err(Errno::NotPermitted);
        }
        node.mode = mode;
        Ok(())
    }

    /// Changes the owner and group, where given, of what is at `path`.
    pub fn change_owner(
        &mut self,
        actor: &Actor,
        path: &str,
        owner: Option<&str>,
        group: Option<&str>,
    ) -> Result<(), Errno> {
        let path = self.reach(actor, path, true)?;
        let node = self.nodes.get_mut(&path).ok_or(Errno::Missing)?;
        let same = owner.is_none_or(|owner| owner == node.owner);
        let own = same && node.owner == actor.user;
        if !actor.is_root() && !own {
            return Err(Errno::NotPermitted);
        }
        node.owner = owner.unwrap_or(&node.owner).to_owned();
        node.group = group.unwrap_or(&node.group).to_owned();
        Ok(())
    }

    /// What is directly in a directory: name and node, by name.
    pub fn children(&self, directory: &str) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = if directory == "/" { "/".to_owned() } else { format!("{directory}/") };
        let length = prefix.len();
        let inside = self.nodes.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
        inside.filter_map(move |(path, node)| {
            let rest = &path[length..];
            (!rest.is_empty() && !rest.contains('/')).then_some((rest, node))
        })
    }

    /// Whether `actor` may go through the directories above `path`, and where it leads.
    pub fn reach(&self, actor: &Actor, path: &str, last: bool) -> Result<String, Errno> {
        let path = self.resolve(path, last)?;
        for (end, _) in path.match_indices('/').skip(1) {
            match self.nodes.get(&path[..end]) {
                None => return Err(Errno::Missing),
                Some(node) if !node.is_directory() => return Err(Errno::NotDirectory),
                Some(node) if !actor.may(node, SEARCH) => return Err(Errno::Access),
                Some(_) => {}
            }
        }
        Ok(path)
    }

    /// Whether `actor` may write (`2`), read (`4`) or execute (`1`) what is at `path`.
    pub fn permits(&self, actor: &Actor, path: &str, bit: u32) -> bool {
        let Ok(path) = self.reach(actor, path, true) else { return false };
        let Some(node) = self.nodes.get(&path) else { return false };
        // Root executes only what somebody may execute.
        if bit == SEARCH && actor.is_root() {
            node.mode & 0o111 != 0 || node.is_directory()
        } else {
            actor.may(node, bit)
        }
    }

    fn check_parent(&self, actor: &Actor, path: &str) -> Result<(), Errno> {
        let directory = self.nodes.get(parent(path)).ok_or(Errno::Missing)?;
        if !directory.is_directory() {
            return Err(Errno::NotDirectory);
        }
        if !actor.may(directory, WRITE) {
            return Err(Errno::Access);
        }
        Ok(())
    }

    fn create(&mut self, actor: &Actor, path: String, kind: Kind, mode: u32) {
        let group = actor.groups.first().cloned().unwrap_or_default();
        let node = Node { kind, mode, owner: actor.user.clone(), group, modified: Timestamp::now() };
        self.nodes.insert(path, node);
    }
}

fn overwrite(actor: &Actor, node: &mut Node, bytes: &[u8], append: bool) -> Result<(), Errno> {
    if node.is_directory() {
        return Err(Errno::IsDirectory);
    }
    if !actor.may(node, WRITE) {
        return Err(Errno::Access);
    }
    let mut content = match &node.kind {
        Kind::File(content) if append => content.clone(),
        _ => Content::default(),
    };
    content.0.extend_from_slice(bytes);
    node.kind = Kind::File(content);
    node.modified = Timestamp::now();
    Ok(())
}

/// The directory that `path` is in.
pub(super) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// The last part of `path`.
pub(super) fn name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
