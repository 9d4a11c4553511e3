//! Pseudorandom mutations of a kept corpus.

use std::{
    collections::hash_map::RandomState,
    fs,
    hash::{BuildHasher as _, Hasher as _},
    io::Write as _,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    path::{Path, PathBuf},
    str::FromStr,
};

use crate::Target;

/// Environment variable with the seed of a run that is repeated.
const SEED_VARIABLE: &str = "STARGATE_FUZZ_SEED";
/// Environment variable with a factor for the number of mutations.
const FACTOR_VARIABLE: &str = "STARGATE_FUZZ_FACTOR";
/// Largest input, in bytes.
const MAX_BYTES: usize = 1 << 16;
/// Texts that readers treat in a special way.
const TOKENS: [&str; 30] = [
    "${{",
    "}}",
    "\"",
    "'",
    "\\",
    "\n",
    "\r",
    "\t",
    "\0",
    "{",
    "}",
    "[",
    "]",
    ": ",
    "- ",
    "&a ",
    "*a",
    "<<: ",
    "!!str ",
    "-1",
    "18446744073709551616",
    "1e999",
    "null",
    "true",
    "\u{feff}",
    "\u{202e}",
    "\u{1f600}",
    "$(",
    "`",
    "<<EOF\n",
];

/// Pseudorandom numbers (`SplitMix64`): a seed gives the same ones on every machine.
struct Numbers(u64);

impl Numbers {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Returns a number below `limit`; 0 if the limit is 0.
    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % (limit.max(1) as u64)).unwrap_or_default()
    }
}

/// Reads a number from an environment variable; `None` if it is not set.
fn variable<T: FromStr>(name: &str) -> Option<T> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is {text:?}, not a number")))
}

/// Calls the body of a target with each file of its corpus, and with mutations of them.
///
/// The seed is printed. A failure also prints the input and its number.
///
/// # Panics
/// If the body does, or if the target has no corpus.
pub fn mutate_corpus(target: &Target) {
    let Target { name, mutations, body } = *target;
    let seed = variable(SEED_VARIABLE).unwrap_or_else(new_seed);
    let count = mutations * variable(FACTOR_VARIABLE).unwrap_or(1);
    // Past the capture of the test harness: an abort prints nothing that was captured.
    writeln!(std::io::stderr(), "fuzz {name}: {SEED_VARIABLE}={seed}").expect("standard error is open");
    let corpus = corpus(&corpus_folder(name));
    assert!(!corpus.is_empty(), "{name} has no corpus");
    let mut numbers = Numbers(seed);
    let mutants = (0..count).map(|_| mutant(&corpus, &mut numbers));
    for (number, input) in corpus.iter().cloned().chain(mutants).enumerate() {
        if let Err(panic) = catch_unwind(AssertUnwindSafe(|| body(&input))) {
            let shown = input.escape_ascii();
            writeln!(std::io::stderr(), "fuzz {name}: {SEED_VARIABLE}={seed}, input {number}: b\"{shown}\"").ok();
            resume_unwind(panic);
        }
    }
}

/// Folder with the kept inputs of a target.
pub fn corpus_folder(target: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target)
}

fn new_seed() -> u64 {
    // The standard library seeds its maps at random.
    RandomState::new().build_hasher().finish()
}

/// Returns the files of a folder in the order of their names.
fn corpus(folder: &Path) -> Vec<Vec<u8>> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    let mut paths: Vec<_> = entries.map(|entry| entry.path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a readable corpus")).collect()
}

/// Changes a file of the corpus in up to eight places.
fn mutant(corpus: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut input = corpus[numbers.below(corpus.len())].clone();
    for _ in 0..=numbers.below(8) {
        mutate(&mut input, corpus, numbers);
    }
    input.truncate(MAX_BYTES);
    input
}

fn mutate(input: &mut Vec<u8>, corpus: &[Vec<u8>], numbers: &mut Numbers) {
    let start = numbers.below(input.len() + 1);
    let end = (start + 1 + numbers.below(24)).min(input.len());
    match numbers.below(7) {
        0 if start < input.len() => input[start] ^= 1 << numbers.below(8),
        1 => drop(input.drain(start..end)),
        2 => drop(input.splice(start..start, TOKENS[numbers.below(TOKENS.len())].bytes())),
        3 => drop(input.splice(start..end, TOKENS[numbers.below(TOKENS.len())].bytes())),
        4 => {
            let part = input[start..end].repeat(1 + numbers.below(40));
            input.splice(start..start, part);
        }
        5 => {
            let other = &corpus[numbers.below(corpus.len())];
            let from = numbers.below(other.len());
            let to = (from + 1 + numbers.below(80)).min(other.len());
            input.splice(start..end, other[from..to].iter().copied());
        }
        _ => input.truncate(start.max(1)),
    }
}
