use std::collections::BTreeMap;

use super::state::{Files, Kind};

/// Section of a configuration file: its name, and its settings in their order.
pub(super) type Section = (String, Vec<(String, String)>);

/// Parses systemd's configuration syntax.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    // A backslash at the end of a line continues it on the next line.
    let text = text.replace("\\\n", " ");
    let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with(['#', ';']));
    for line in lines {
        if let Some(name) = line.strip_prefix('[').and_then(|line| line.strip_suffix(']')) {
            sections.push((name.to_owned(), Vec::new()));
        } else if let (Some((_, settings)), Some((key, value))) = (sections.last_mut(), line.split_once('=')) {
            settings.push((key.trim().to_owned(), value.trim().to_owned()));
        }
    }
    sections
}

/// Returns the files in `directories` whose names end with `suffix`, sorted by name.
///
/// Of files with the same name only the one in the directory with the highest priority is used.
pub(super) fn configuration_files(files: &Files, directories: &[&str], suffix: &str) -> Vec<String> {
    let mut found: BTreeMap<String, String> = BTreeMap::new();
    for directory in directories {
        for (name, node) in files.children(directory) {
            if name.ends_with(suffix) && !matches!(node.kind, Kind::Directory) {
                found.entry(name.to_owned()).or_insert_with(|| format!("{directory}/{name}"));
            }
        }
    }
    found.into_values().collect()
}
