use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::content::Content;

/// File system of a simulated machine.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Files {
    /// Files, directories and links by absolute path.
    ///
    /// No path has a slash at its end, except the root, which is `/`.
    pub nodes: BTreeMap<String, Node>,
}

/// File, directory or link, with its permissions and owner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    /// Type of the node, with its content or target.
    pub kind: Kind,
    /// Permission bits, such as `0o644`.
    pub mode: u32,
    /// Name of the owning user.
    pub owner: String,
    /// Name of the owning group.
    pub group: String,
    /// Time of the last write to the content.
    pub modified: Timestamp,
}

/// Type of a node of the file system.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Directory; its entries are the nodes whose path it is a parent of.
    Directory,
    /// Regular file with its content.
    File(Content),
    /// Symbolic link with its target, absolute or relative.
    Link(String),
    /// Executable that the simulation implements, with the name of its implementation.
    Program(String),
}

/// Error of a file operation.
///
/// Displayed with the text of `strerror`, as the simulated commands print it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Errno {
    /// `EACCES`: the permission bits do not allow the access.
    #[error("Permission denied")]
    Access,
    /// `EEXIST`: the path exists already.
    #[error("File exists")]
    Exists,
    /// `EINVAL`: the argument is not valid for this operation.
    #[error("Invalid argument")]
    Invalid,
    /// `EISDIR`: the operation needs a file, and the path is a directory.
    #[error("Is a directory")]
    IsDirectory,
    /// `ELOOP`: the path leads through too many symbolic links.
    #[error("Too many levels of symbolic links")]
    Loop,
    /// `ENOENT`: no file or directory has this path.
    #[error("No such file or directory")]
    Missing,
    /// `ENOTDIR`: a parent of the path is not a directory.
    #[error("Not a directory")]
    NotDirectory,
    /// `ENOTEMPTY`: the directory to remove has entries.
    #[error("Directory not empty")]
    NotEmpty,
    /// `EPERM`: the operation is reserved for the owner or the superuser.
    #[error("Operation not permitted")]
    NotPermitted,
}

/// Identity under which a program accesses files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Actor {
    /// Name of the user.
    pub user: String,
    /// Names of the user's groups, the primary group first.
    pub groups: Vec<String>,
}

impl Actor {
    /// Returns the superuser's identity.
    pub fn root() -> Self {
        Self { user: "root".to_owned(), groups: vec!["root".to_owned()] }
    }

    /// Returns true for the superuser, who bypasses read and write permissions.
    pub fn is_root(&self) -> bool {
        self.user == "root"
    }

    /// Returns true if the permission bits of `node` allow `bit` to this identity.
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

/// Permission bit for reading.
const READ: u32 = 4;
/// Permission bit for writing.
const WRITE: u32 = 2;
/// Permission bit for executing a file or entering a directory.
const SEARCH: u32 = 1;

impl Node {
    /// Returns a node that belongs to root.
    pub fn of_root(kind: Kind, mode: u32) -> Self {
        Self { kind, mode, owner: "root".to_owned(), group: "root".to_owned(), modified: Timestamp::now() }
    }

    /// Returns true if the node is a directory.
    pub fn is_directory(&self) -> bool {
        self.kind == Kind::Directory
    }

    /// Returns the size in bytes that `stat` reports.
    ///
    /// A directory has 4,096 bytes as on ext4, a simulated program 1 MiB.
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
    /// Makes `path` absolute and removes `.` and `..`, without following links.
    ///
    /// A relative path starts at `directory`.
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

    /// Resolves `path` to a path without symbolic links.
    ///
    /// The last component is followed only if `last` is true. It may be missing.
    pub fn resolve(&self, path: &str, last: bool) -> Result<String, Errno> {
        let mut resolved = path.to_owned();
        // Linux follows at most 40 symbolic links in one path (`MAXSYMLINKS`).
        for _ in 0..40 {
            let Some(next) = self.follow_once(&resolved, last) else { return Ok(resolved) };
            resolved = next;
        }
        Err(Errno::Loop)
    }

    /// Replaces the first symbolic link in `path` by its target; `None` if there is none.
    fn follow_once(&self, path: &str, last: bool) -> Option<String> {
        let ends = path.match_indices('/').skip(1).map(|(at, _)| at).chain(last.then_some(path.len()));
        ends.into_iter().find_map(|end| {
            let Kind::Link(target) = &self.nodes.get(&path[..end])?.kind else { return None };
            Some(Self::absolute(parent(&path[..end]), &format!("{target}{}", &path[end..])))
        })
    }

    /// Returns the node at `path`, through links, without a permission check.
    pub fn get(&self, path: &str) -> Option<&Node> {
        self.nodes.get(&self.resolve(path, true).ok()?)
    }

    /// Returns the text of the file at `path`, through links, without a permission check.
    ///
    /// Bytes that are not UTF-8 are replaced. `None` if no regular file is there.
    pub fn text(&self, path: &str) -> Option<String> {
        match &self.get(path)?.kind {
            Kind::File(content) => Some(String::from_utf8_lossy(&content.0).into_owned()),
            _ => None,
        }
    }

    /// Writes a file as root, and creates its parent directories.
    pub fn put(&mut self, path: &str, mode: u32, content: impl Into<Content>) {
        self.make_directories(parent(path));
        self.nodes.insert(path.to_owned(), Node::of_root(Kind::File(content.into()), mode));
    }

    /// Installs an executable that the simulation implements.
    pub fn put_program(&mut self, path: &str) {
        self.make_directories(parent(path));
        let program = Kind::Program(base_name(path).to_owned());
        self.nodes.insert(path.to_owned(), Node::of_root(program, 0o755));
    }

    /// Creates a directory and its parents, owned by root.
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

    /// Reads the file at `path`, if `actor` has read permission.
    ///
    /// A simulated program reads as an ELF magic number and its name.
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

    /// Writes the file at `path`.
    ///
    /// A missing file is created with `mode`; an existing one keeps its mode. With `append` the
    /// bytes are added at the end.
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

    /// Creates one directory. The parent must exist.
    pub fn make_directory(&mut self, actor: &Actor, path: &str, mode: u32) -> Result<(), Errno> {
        let path = self.reach(actor, path, false)?;
        if self.nodes.contains_key(&path) {
            return Err(Errno::Exists);
        }
        self.check_parent(actor, &path)?;
        self.create(actor, path, Kind::Directory, mode);
        Ok(())
    }

    /// Creates a symbolic link at `path`. The target need not exist.
    pub fn link(&mut self, actor: &Actor, target: &str, path: &str) -> Result<(), Errno> {
        let path = self.reach(actor, path, false)?;
        if self.nodes.contains_key(&path) {
            return Err(Errno::Exists);
        }
        self.check_parent(actor, &path)?;
        self.create(actor, path, Kind::Link(target.to_owned()), 0o777);
        Ok(())
    }

    /// Removes a file, a link or an empty directory.
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

    /// Moves `from`, with everything below it, to `to`.
    ///
    /// An existing file or empty directory at `to` is replaced; a directory with entries is not.
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

    /// Changes the permission bits of the node at `path`.
    ///
    /// Only root and the owner may do it; others get `EPERM`.
    pub fn change_mode(&mut self, actor: &Actor, path: &str, mode: u32) -> Result<(), Errno> {
        let path = self.reach(actor, path, true)?;
        let node = self.nodes.get_mut(&path).ok_or(Errno::Missing)?;
        if !actor.is_root() && node.owner != actor.user {
            return Err(Errno::NotPermitted);
        }
        node.mode = mode;
        Ok(())
    }

    /// Changes the owner and the group of the node at `path`. `None` keeps the current one.
    ///
    /// Only root, or the owner who keeps the file, may do it; others get `EPERM`.
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

    /// Returns the direct entries of a directory with their names, sorted by name.
    pub fn children(&self, directory: &str) -> impl Iterator<Item = (&str, &Node)> {
        let prefix = if directory == "/" { "/".to_owned() } else { format!("{directory}/") };
        let length = prefix.len();
        let inside = self.nodes.range(prefix.clone()..).take_while(move |(path, _)| path.starts_with(&prefix));
        inside.filter_map(move |(path, node)| {
            let rest = &path[length..];
            (!rest.is_empty() && !rest.contains('/')).then_some((rest, node))
        })
    }

    /// Resolves `path` for `actor`, who needs search permission for each parent directory.
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

    /// Returns true if `actor` may read (`4`), write (`2`) or execute (`1`) the node at `path`.
    pub fn permits(&self, actor: &Actor, path: &str, bit: u32) -> bool {
        let Ok(path) = self.reach(actor, path, true) else { return false };
        let Some(node) = self.nodes.get(&path) else { return false };
        // Root can execute a file only if one of its three execute bits is set.
        if bit == SEARCH && actor.is_root() {
            node.mode & 0o111 != 0 || node.is_directory()
        } else {
            actor.may(node, bit)
        }
    }

    /// Checks that `actor` may create or remove entries in the parent of `path`.
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

    /// Inserts a node owned by `actor`.
    fn create(&mut self, actor: &Actor, path: String, kind: Kind, mode: u32) {
        let group = actor.groups.first().cloned().unwrap_or_default();
        let node = Node { kind, mode, owner: actor.user.clone(), group, modified: Timestamp::now() };
        self.nodes.insert(path, node);
    }
}

/// Replaces or extends the content of a file, if `actor` has write permission.
///
/// Overwriting a simulated program turns it into a regular file.
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

/// Returns the parent directory of `path`.
pub(in crate::host) fn parent(path: &str) -> &str {
    match path.rfind('/') {
        None | Some(0) => "/",
        Some(at) => &path[..at],
    }
}

/// Returns the last component of `path`.
pub(in crate::host) fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}
