//! Search for the YAML files of a folder.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use super::workflow_text::is_yaml;

/// Folder whose entries cannot be listed.
#[derive(Debug)]
pub(crate) struct UnreadableFolder {
    pub(crate) path: PathBuf,
    pub(crate) error: io::Error,
}

/// Returns the YAML files below `folder`, sorted by path, and the folders that cannot be read.
///
/// Hidden folders, such as `.git`, and links to folders are omitted.
pub(crate) fn below(folder: &Path) -> Vec<Result<PathBuf, UnreadableFolder>> {
    let (mut found, mut open) = (Vec::new(), vec![folder.to_owned()]);
    while let Some(path) = open.pop() {
        let entries = match fs::read_dir(&path).and_then(Iterator::collect::<io::Result<Vec<_>>>) {
            Ok(entries) => entries,
            Err(error) => {
                found.push(Err(UnreadableFolder { path, error }));
                continue;
            }
        };
        for entry in entries {
            // The path `.` at the start is not shown.
            let path = if path == Path::new(".") { entry.file_name().into() } else { entry.path() };
            if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                let is_hidden = entry.file_name().as_encoded_bytes().starts_with(b".");
                open.extend((!is_hidden).then_some(path));
            } else if is_yaml(&path) && !path.is_dir() {
                found.push(Ok(path));
            }
        }
    }
    found.sort_by_key(|entry| match entry {
        Ok(path) | Err(UnreadableFolder { path, .. }) => path.clone(),
    });
    found
}
