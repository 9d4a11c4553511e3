//! Imports between the modules of a crate, which must not form a cycle.

use std::{
    collections::{BTreeMap, BTreeSet},
    mem,
    path::Path,
    slice,
};

use crate::{
    sources::{RustFile, below},
    workspace::PACKAGES,
};

/// Packages with modules that import each other in a cycle. A package is removed from the list when
/// its last cycle is gone; none is added.
const WITH_CYCLES: [&str; 5] =
    ["stargate", "stargate-azure", "stargate-kubernetes-client", "stargate-routes", "stargate-sdk"];

/// Path of a module in its crate; empty for the root.
type ModulePath = Vec<String>;

/// Modules with those that each of them imports.
type Edges = BTreeMap<ModulePath, BTreeSet<ModulePath>>;

/// An import: the name that it binds and the path that it names. The name `*` binds everything.
struct Import {
    name: String,
    path: Vec<String>,
    is_public: bool,
}

/// A module: its imports, and the paths that its code names without an import.
#[derive(Default)]
struct Module {
    imports: Vec<Import>,
    paths: Vec<Vec<String>>,
}

impl Module {
    /// Reads the text of a module. Its unit tests, at the end of the file, may import anything.
    fn read(file: &RustFile) -> Self {
        let lines: Vec<&str> = file.code().map(|(_, line)| line).collect();
        let text = lines.join("\n");
        let text = text.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
        let (mut module, mut statement) = (Self::default(), None::<String>);
        for line in text.lines() {
            let trimmed = line.trim();
            let begins = trimmed.starts_with("use ")
                || (trimmed.starts_with("pub") && trimmed.split_whitespace().any(|word| word == "use"));
            if statement.is_none() && !begins {
                module.paths.extend(code_paths(trimmed));
                continue;
            }
            let statement_text = statement.get_or_insert_default();
            statement_text.push_str(trimmed);
            if trimmed.ends_with(';') {
                module.add_statement(&mem::take(statement_text));
                statement = None;
            }
        }
        module
    }

    /// Adds the imports of one `use` statement.
    fn add_statement(&mut self, statement: &str) {
        let is_public = statement.starts_with("pub");
        let Some((_, tree)) = statement.trim_end_matches(';').split_once("use ") else { return };
        for (path, name) in leaves(tree) {
            self.imports.push(Import { name, path, is_public });
        }
    }
}

/// Paths of at least two names in a line of code, such as `super::files::parent`.
fn code_paths(line: &str) -> Vec<Vec<String>> {
    let is_path = |c: char| c.is_alphanumeric() || c == '_' || c == ':';
    let runs = line.split(|c| !is_path(c)).filter(|run| run.contains("::"));
    let names = runs.map(|run| run.split("::").map(str::to_owned).take_while(|name| !name.is_empty()));
    names.map(Iterator::collect).filter(|path: &Vec<String>| path.len() > 1).collect()
}

/// Paths of a `use` tree with the names that they bind.
fn leaves(tree: &str) -> Vec<(Vec<String>, String)> {
    let tree = tree.trim();
    let Some((prefix, group)) = tree.split_once('{') else {
        let (path, alias) = tree.split_once(" as ").map_or((tree, None), |(path, alias)| (path, Some(alias)));
        let mut path: Vec<String> = path.split("::").map(|name| name.trim().to_owned()).collect();
        if path.len() > 1 && path.last().is_some_and(|name| name == "self") {
            path.pop();
        }
        let name = alias.or(path.last().map(String::as_str)).unwrap_or_default().to_owned();
        return vec![(path, name)];
    };
    let group = group.strip_suffix('}').unwrap_or(group);
    let (mut branches, mut depth) = (vec![String::new()], 0_usize);
    for c in group.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            _ => {}
        }
        if c == ',' && depth == 0 {
            branches.push(String::new());
        } else if let Some(branch) = branches.last_mut() {
            branch.push(c);
        }
    }
    let branches = branches.iter().filter(|branch| !branch.trim().is_empty());
    branches.flat_map(|branch| leaves(&format!("{}{}", prefix.trim(), branch.trim()))).collect()
}

/// The modules of a crate.
struct Modules(BTreeMap<ModulePath, Module>);

impl Modules {
    /// Reads the crate whose root is `lib.rs` in `folder`, without tests and programs.
    fn of_crate(folder: &Path) -> Self {
        let files = below(&folder.to_string_lossy());
        let modules = files.iter().filter_map(|file| {
            let path = module_path(file.path.strip_prefix(folder).ok()?)?;
            Some((path, Module::read(file)))
        });
        Self(modules.collect())
    }

    /// Module that contains what `path` names in the module `from`; `None` if it is in another
    /// crate.
    fn target(&self, from: &[String], path: &[String]) -> Option<ModulePath> {
        let (first, rest) = path.split_first()?;
        match first.as_str() {
            "crate" => Some(self.follow(&[], rest, 0)),
            "self" => Some(self.follow(from, rest, 0)),
            "super" => self.target_from_parent(from, rest),
            _ => {
                let child = [from, slice::from_ref(first)].concat();
                let imports = &self.0.get(from)?.imports;
                let import = imports.iter().find(|import| import.name == *first && import.path != *path);
                match import {
                    _ if self.0.contains_key(&child) => Some(self.follow(&child, rest, 0)),
                    Some(import) if import.path[0] != *first => self.target(from, &[&import.path[..], rest].concat()),
                    _ => None,
                }
            }
        }
    }

    fn target_from_parent(&self, from: &[String], rest: &[String]) -> Option<ModulePath> {
        let parent = &from[..from.len().checked_sub(1)?];
        match rest.split_first() {
            Some((first, rest)) if first == "super" => self.target_from_parent(parent, rest),
            _ => Some(self.follow(parent, rest, 0)),
        }
    }

    /// Follows `path` through the modules and re-exports below `module`. `depth` ends an endless
    /// chain of re-exports.
    fn follow(&self, module: &[String], path: &[String], depth: usize) -> ModulePath {
        let Some((first, rest)) = path.split_first() else { return module.to_vec() };
        let child = [module, slice::from_ref(first)].concat();
        if self.0.contains_key(&child) {
            return self.follow(&child, rest, depth);
        }
        let import = self.0[module].imports.iter().find(|import| import.name == *first);
        let target = import.filter(|_| depth < 8).and_then(|import| {
            let path = [&import.path[..], rest].concat();
            match import.path[0].as_str() {
                "crate" => Some(self.follow(&[], &path[1..], depth + 1)),
                "self" => Some(self.follow(module, &path[1..], depth + 1)),
                "super" => self.target_from_parent(module, &path[1..]),
                first if self.0.contains_key(&[module, &[first.to_owned()]].concat()) => {
                    Some(self.follow(module, &path, depth + 1))
                }
                _ => None,
            }
        });
        target.unwrap_or_else(|| module.to_vec())
    }

    /// Modules that `path` imports. A module that re-exports an item of a module below it does not
    /// import it.
    fn imported(&self, path: &ModulePath) -> BTreeSet<ModulePath> {
        let module = &self.0[path];
        let private = module.imports.iter().map(|import| (&import.path, import.is_public));
        let paths = private.chain(module.paths.iter().map(|path| (path, false)));
        let targets = paths.filter_map(|(named, is_public)| {
            let target = self.target(path, named)?;
            (!(is_public && target.starts_with(path))).then_some(target)
        });
        targets.filter(|target| target != path).collect()
    }

    /// Groups of modules each of which imports every other one, directly or through others.
    fn cycles(&self) -> BTreeSet<BTreeSet<ModulePath>> {
        let edges: Edges = self.0.keys().map(|path| (path.clone(), self.imported(path))).collect();
        let reached: Edges = edges.keys().map(|path| (path.clone(), reachable(&edges, path))).collect();
        let in_cycle = reached.iter().filter(|(path, reached)| reached.contains(*path));
        let group = |(path, modules): (&ModulePath, &BTreeSet<ModulePath>)| {
            modules.iter().filter(|other| reached[*other].contains(path)).cloned().collect()
        };
        in_cycle.map(group).collect()
    }

    /// Text of the cycles, a line for each module with the modules of its cycle that it imports.
    fn describe(&self) -> Vec<String> {
        let shown = |path: &[String]| if path.is_empty() { "the root".to_owned() } else { path.join("::") };
        let mut lines = vec![];
        for group in self.cycles() {
            for path in &group {
                let imported = self.imported(path);
                let within: Vec<String> = imported.intersection(&group).map(|to| shown(to)).collect();
                lines.push(format!("  {} imports {}", shown(path), within.join(", ")));
            }
            lines.push(String::new());
        }
        lines
    }
}

/// Modules that `start` imports, directly or through others.
fn reachable(edges: &Edges, start: &ModulePath) -> BTreeSet<ModulePath> {
    let (mut reached, mut open) = (BTreeSet::new(), vec![start]);
    while let Some(path) = open.pop() {
        open.extend(edges[path].iter().filter(|next| reached.insert((*next).clone())));
    }
    reached
}

/// Path of the module in a file below the root of its crate; `None` for tests and programs.
fn module_path(file: &Path) -> Option<ModulePath> {
    let mut names: ModulePath =
        file.with_extension("").iter().map(|name| name.to_string_lossy().into_owned()).collect();
    if names.iter().any(|name| name == "tests" || name == "bin" || name == "main") {
        return None;
    }
    if names.last().is_some_and(|name| name == "mod" || name == "lib") {
        names.pop();
    }
    Some(names)
}

#[test]
fn the_modules_of_a_crate_do_not_import_each_other_in_a_cycle() {
    let mut findings = vec![];
    for package in PACKAGES.iter() {
        let cycles = Modules::of_crate(&package.source_folder).describe();
        if WITH_CYCLES.contains(&package.name.as_str()) {
            assert!(!cycles.is_empty(), "{} has no cycle: remove it from WITH_CYCLES", package.name);
        } else if !cycles.is_empty() {
            findings.push(format!("{}:\n{}", package.name, cycles.join("\n")));
        }
    }
    let hint = "move what both need to a module of its own, or return a value that the caller acts on";
    assert!(findings.is_empty(), "modules import each other in a cycle; {hint}:\n{}", findings.join("\n"));
}
