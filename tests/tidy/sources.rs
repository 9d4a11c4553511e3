//! The Rust files of the repository, as text.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// Folders that contain Rust code.
pub(crate) const FOLDERS: [&str; 6] = ["src", "plugins", "tests", "benches", "examples", "fuzz"];

/// Root of the repository.
pub(crate) fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// A Rust file: its path below the root, and its text.
pub(crate) struct RustFile {
    pub(crate) path: PathBuf,
    pub(crate) text: String,
}

impl RustFile {
    /// Lines of code with their numbers from 1, without lines that are comments.
    pub(crate) fn code(&self) -> impl Iterator<Item = (usize, &str)> {
        let lines = self.text.lines().enumerate().map(|(index, line)| (index + 1, line));
        lines.filter(|(_, line)| !line.trim_start().starts_with("//"))
    }
}

/// Every Rust file below `folder`, sorted by path. Build output is left out.
pub(crate) fn below(folder: &str) -> Vec<RustFile> {
    let mut files = vec![];
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        let Ok(entries) = fs::read_dir(folder) else { continue };
        for entry in entries {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.extend((!path.ends_with("target")).then_some(path));
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                files.push(RustFile { path: path.strip_prefix(root()).unwrap().to_owned(), text });
            }
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    files
}

/// Every Rust file of the repository.
pub(crate) fn all() -> Vec<RustFile> {
    FOLDERS.iter().flat_map(|folder| below(folder)).collect()
}
