//! One type name has one meaning.

use std::collections::BTreeMap;

use regex::Regex;

use crate::sources::{RustFile, below};

/// Names that many items share, because their module or action names them.
const SHARED: [&str; 3] = ["Error", "Input", "Output"];

/// Names that two crates define with one meaning: the shape in which a workflow passes a value from
/// one provider's output to the other's input.
const PASSED_ON: [&str; 2] = ["JumpHost", "SshHost"];

/// Names of the types that a file defines, without those of its test module.
fn definitions(file: &RustFile) -> Vec<String> {
    let definition = Regex::new(r"(?m)^(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|type) ([A-Z]\w*)").unwrap();
    let code = file.text.split("\n#[cfg(test)]").next().unwrap();
    definition.captures_iter(code).map(|found| found[1].to_owned()).collect()
}

/// Files that define each name, for names that are defined more than once.
fn repeated(files: &[RustFile]) -> BTreeMap<String, Vec<String>> {
    let mut places = BTreeMap::<String, Vec<String>>::new();
    for file in files {
        for name in definitions(file) {
            places.entry(name).or_default().push(file.path.display().to_string());
        }
    }
    let is_exception = |name: &str| SHARED.contains(&name) || PASSED_ON.contains(&name);
    places.retain(|name, files| files.len() > 1 && !is_exception(name));
    places
}

fn is_test(file: &RustFile) -> bool {
    file.path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "against_sshd")
}

fn check(files: &[RustFile]) {
    let repeated = repeated(files);
    let rows: Vec<String> = repeated.iter().map(|(name, files)| format!("{name}: {}", files.join(", "))).collect();
    assert!(rows.is_empty(), "type names with more than one definition:\n{}", rows.join("\n"));
}

#[test]
fn no_type_name_of_the_product_is_defined_twice() {
    let mut files: Vec<RustFile> = below("src").into_iter().chain(below("plugins")).collect();
    files.retain(|file| !is_test(file) && !file.path.starts_with("plugins/sim"));
    check(&files);
}

#[test]
fn no_type_name_of_the_simulator_is_defined_twice() {
    let mut files = below("plugins/sim/src");
    files.retain(|file| !is_test(file));
    check(&files);
}
