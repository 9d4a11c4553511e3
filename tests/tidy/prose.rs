//! The language of docs and comments: the rules of `docs/glossary.md` that a program can check.

use regex::Regex;

use crate::sources::{RustFile, all};

/// First words that a doc comment never has.
const QUESTION_WORDS: [&str; 15] = [
    "what",
    "who",
    "whom",
    "whose",
    "which",
    "how",
    "why",
    "where",
    "when",
    "whether",
    "whoever",
    "whatever",
    "whichever",
    "wherever",
    "whenever",
];

/// Minimum number of words in the first paragraph of a doc comment.
const MIN_WORDS: usize = 3;

/// Regular expressions for idioms, one a line.
const IDIOMS: &str = include_str!("idioms.txt");

/// Maximum number of idioms per 1,000 words of docs and comments.
const MAX_IDIOMS: usize = 1;

/// Maximum share of doc comments that break a rule, in percent.
const MAX_PERCENT: usize = 3;

/// A block of consecutive comment lines.
struct Comment {
    place: String,
    is_doc: bool,
    /// The text without comment markers and code blocks, one paragraph per item.
    paragraphs: Vec<String>,
}

impl Comment {
    fn first_words(&self) -> Vec<String> {
        self.paragraphs.first().map(|text| words(text)).unwrap_or_default()
    }
}

/// Words of a text, with inline code counted as one word.
fn words(text: &str) -> Vec<String> {
    let mut inside_code = false;
    let mut plain = String::new();
    for part in text.split('`') {
        plain.push_str(if inside_code { " X " } else { part });
        inside_code = !inside_code;
    }
    let is_word = |word: &str| word.chars().any(char::is_alphanumeric);
    let trimmed = |word: &str| word.trim_matches(|c: char| !c.is_alphanumeric()).to_owned();
    plain.split_whitespace().filter(|word| is_word(word)).map(trimmed).collect()
}

/// Marker and text of a line that is a comment.
fn comment(line: &str) -> Option<(&'static str, &str)> {
    let line = line.trim_start();
    let markers = ["///", "//!", "//"];
    markers.into_iter().find_map(|marker| line.strip_prefix(marker).map(|text| (marker, text.trim())))
}

fn comments(file: &RustFile) -> Vec<Comment> {
    let (mut comments, mut lines, mut marker, mut start) = (vec![], vec![], "", 0);
    for (index, line) in file.text.lines().chain([""]).enumerate() {
        let found = comment(line);
        if found.map(|(marker, _)| marker) != (!lines.is_empty()).then_some(marker) && !lines.is_empty() {
            let place = format!("{}:{start}", file.path.display());
            comments.push(Comment { place, is_doc: marker != "//", paragraphs: paragraphs(&lines) });
            lines.clear();
        }
        if let Some((found, text)) = found {
            if lines.is_empty() {
                (marker, start) = (found, index + 1);
            }
            lines.push(text);
        }
    }
    comments
}

fn paragraphs(lines: &[&str]) -> Vec<String> {
    let (mut paragraphs, mut inside_code) = (vec![String::new()], false);
    for line in lines {
        if line.starts_with("```") {
            inside_code = !inside_code;
        } else if inside_code {
        } else if line.is_empty() {
            paragraphs.push(String::new());
        } else {
            let paragraph = paragraphs.last_mut().unwrap();
            paragraph.push_str(line);
            paragraph.push(' ');
        }
    }
    paragraphs
}

fn all_comments() -> Vec<Comment> {
    all().iter().flat_map(comments).collect()
}

/// Fails if more than [`MAX_PERCENT`] of the doc comments break the rule.
fn check_docs(rule: &str, breaks: impl Fn(&[String]) -> bool) {
    let comments = all_comments();
    let docs: Vec<&Comment> = comments.iter().filter(|comment| comment.is_doc).collect();
    let bad: Vec<&str> = docs.iter().filter(|doc| breaks(&doc.first_words())).map(|doc| doc.place.as_str()).collect();
    let share = bad.len() * 100 / docs.len();
    assert!(share < MAX_PERCENT, "{rule}: {} of {} doc comments:\n{}", bad.len(), docs.len(), bad.join("\n"));
}

#[test]
fn docs_do_not_begin_with_a_question_word() {
    check_docs("a doc comment begins with a verb or a noun phrase", |words| {
        words.first().is_some_and(|word| QUESTION_WORDS.contains(&word.to_lowercase().as_str()))
    });
}

#[test]
fn docs_have_at_least_three_words() {
    check_docs("a doc comment says something that the name does not", |words| words.len() < MIN_WORDS);
}

#[test]
fn docs_and_comments_use_no_idioms() {
    let patterns: Vec<&str> = IDIOMS.lines().filter(|line| !line.is_empty() && !line.starts_with('#')).collect();
    let idiom = Regex::new(&format!(r"(?i)\b(?:{})\b", patterns.join("|"))).unwrap();
    let (mut total, mut found) = (0, vec![]);
    for comment in all_comments() {
        let text = comment.paragraphs.join(" ");
        total += words(&text).len();
        found.extend(idiom.find_iter(&text).map(|found| format!("{}: {}", comment.place, found.as_str())));
    }
    assert!(found.len() * 1000 <= total * MAX_IDIOMS, "{} idioms in {total} words:\n{}", found.len(), found.join("\n"));
}
