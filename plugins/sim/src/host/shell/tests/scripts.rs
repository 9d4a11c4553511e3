use super::generator::{Random, script};
use super::runner::{check, process, simulated};
use crate::host::shell::{Dialect, matches};

/// Scripts that are separated by empty lines.
const CORPUS: &str = include_str!("corpus.txt");

/// Seed of the first generated script. Each script has the seed after that of the one before it.
const FIRST_SEED: u64 = 0;
/// Number of generated scripts.
const GENERATED: u64 = 400;

#[test]
fn scripts_do_what_they_do_in_a_real_shell() {
    for script in CORPUS.trim_end().split("\n\n") {
        check(script, "corpus");
    }
}

#[test]
fn generated_scripts_do_what_they_do_in_a_real_shell() {
    for seed in FIRST_SEED..FIRST_SEED + GENERATED {
        check(&script(&mut Random::new(seed)), &format!("seed {seed}"));
    }
}

#[test]
fn a_construct_that_is_not_simulated_ends_the_script_with_a_message() {
    let both = ["getopts ab o", "alias x=y", "kill 1", "ulimit -n", "trap", "set", "set -C", "cat <>f", "read -p x y"];
    let of_bash = [
        "[[ a = a ]]",
        "((1))",
        "function f { :; }",
        "a=(1 2)",
        "a+=b",
        "a[0]=b",
        "cat <<<a",
        "cat <(echo)",
        "echo $'a'",
        "echo a &>f",
        "echo a >&f",
        "declare a=1",
        "x=$(<f)",
        "select x in a; do :; done",
        "shopt -s nullglob",
    ];
    let dash = both.iter().map(|script| (Dialect::Dash, script));
    let bash = both.iter().chain(&of_bash).map(|script| (Dialect::Bash, script));
    for (dialect, script) in dash.chain(bash) {
        let (status, output, error) = simulated(&process(), dialect, &format!("{script} || true; echo continued"));
        assert_eq!((status, output.as_str()), (2, ""), "{dialect:?}: {script}: {error}");
        assert!(error.contains("not simulated"), "{dialect:?}: {script}: {error}");
    }
}

#[test]
fn patterns_match_as_a_shell_has_it() {
    for (pattern, text, expected) in [
        ("*", "", true),
        ("a*c", "abbc", true),
        ("a?c", "ac", false),
        ("[a-c]x", "bx", true),
        ("[!a]x", "ax", false),
        ("\\*", "*", true),
    ] {
        assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
    }
}
