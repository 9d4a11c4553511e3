//! Each promise of the README is held by tests that exist.

use std::fs;

use crate::sources::root;

/// Words with which the README makes a promise.
const PROMISES: [&str; 5] = ["never", "always", "nothing", "twice", "every"];
/// Heading after which the README describes and promises nothing.
const END: &str = "## Performance";

/// A promise in the words of the README, and the tests that hold it: `path::name`, or a path.
struct Promise {
    words: String,
    tests: Vec<String>,
}

/// Reads the table of `docs/promises.md`.
fn promises() -> Vec<Promise> {
    let text = fs::read_to_string(root().join("docs/promises.md")).unwrap();
    let rows = text.lines().skip_while(|line| !line.starts_with("|---")).skip(1);
    let cells = rows.map(|row| row.trim_matches('|').split_once(" | ").unwrap());
    cells
        .map(|(words, tests)| Promise {
            words: words.trim().to_owned(),
            tests: tests.split(',').map(|test| test.trim().trim_matches('`').to_owned()).collect(),
        })
        .collect()
}

/// Returns the text of the README up to [`END`], without code, emphasis and line breaks.
fn readme() -> String {
    let text = fs::read_to_string(root().join("README.md")).unwrap();
    let (text, _) = text.split_once(END).unwrap();
    let prose: Vec<_> = text.split("```").step_by(2).collect();
    prose.join(" ").replace("**", "").split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Returns the reason for which a test does not exist.
fn missing(reference: &str) -> Option<String> {
    let (path, name) = reference.split_once("::").map_or((reference, None), |(path, name)| (path, Some(name)));
    let Ok(text) = fs::read_to_string(root().join(path)) else { return Some(format!("{reference}: no such file")) };
    let name = name?;
    let lines: Vec<_> = text.lines().map(str::trim_start).collect();
    let function = format!("fn {name}(");
    let Some(at) = lines.iter().position(|line| line.trim_start_matches("async ").starts_with(&function)) else {
        return Some(format!("{reference}: no such function"));
    };
    let mut attributes = lines[..at].iter().rev().take_while(|line| line.starts_with("#["));
    let is_test = attributes.any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"));
    (!is_test).then(|| format!("{reference}: not a test"))
}

#[test]
fn each_promise_is_in_the_readme_and_held_by_tests_that_exist() {
    let (readme, promises) = (readme(), promises());
    assert!(promises.len() > 50);
    let mut wrong: Vec<_> =
        promises.iter().flat_map(|promise| &promise.tests).filter_map(|test| missing(test)).collect();
    let absent = promises.iter().filter(|promise| !readme.contains(&promise.words));
    wrong.extend(absent.map(|promise| format!("not in the README: {}", promise.words)));
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn each_promise_of_the_readme_is_listed() {
    let (readme, promises) = (readme(), promises());
    let listed: Vec<_> = promises
        .iter()
        .flat_map(|promise| readme.match_indices(&promise.words))
        .map(|(at, words)| at..at + words.len())
        .collect();
    let text = readme.to_lowercase();
    let mut wrong = vec![];
    for word in PROMISES {
        for (at, _) in text.match_indices(word) {
            let is_word =
                !text[..at].ends_with(char::is_alphabetic) && !text[at + word.len()..].starts_with(char::is_alphabetic);
            if is_word && !listed.iter().any(|range| range.contains(&at)) {
                let context: String = readme[at..].chars().take(60).collect();
                wrong.push(format!("not in docs/promises.md: {context}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
