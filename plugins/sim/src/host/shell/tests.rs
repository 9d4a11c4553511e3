use std::process::Command;

use proptest::prelude::*;
use tokio::sync::watch;

use super::{Dialect, Shell, matches};
use crate::event;
use crate::host::commands;
use crate::host::io::{Io, Sink, Source};
use crate::host::process::{Process, ROOT_PATH};
use crate::host::state::{Actor, Machine};
use crate::{Shared, World};

fn process() -> Process {
    let spec = event::MachineSpec {
        name: "m".into(),
        id: "/m".into(),
        user_data: String::new(),
        admin_user: "ubuntu".into(),
        admin_keys: Vec::new(),
        nics: Vec::new(),
    };
    let mut world = World::default();
    let mut machine = Machine::new(spec);
    machine.reset();
    world.hosts.machines.insert("m".into(), machine);
    Process {
        shared: Shared::new(world),
        loader: commands::execute,
        progress: watch::Sender::new(0),
        host: "m".into(),
        boot: 1,
        actor: Actor::root(),
        environment: [("PATH".to_owned(), ROOT_PATH.to_owned()), ("HOME".to_owned(), "/root".to_owned())].into(),
        directory: "/tmp".into(),
        umask: 0o022,
        counted: true,
    }
}

/// Returns exit status and output of a script in the simulated shell.
fn simulated(process: &Process, script: &str) -> (i32, String) {
    let output = Sink::buffer();
    let io = Io { input: Source::empty(), output: output.clone(), error: Sink::Null };
    let mut process = process.clone();
    let status = Shell::new(&mut process, Dialect::Dash, "sh", &[], &io).run(script).expect("the machine is up");
    (status, String::from_utf8_lossy(&output.taken()).into_owned())
}

/// Returns exit status and output of the same script in the real `sh`.
fn real(script: &str) -> (i32, String) {
    let dir = tempfile::tempdir().expect("directory");
    let output = Command::new("sh").args(["-c", script]).current_dir(dir.path()).output().expect("sh");
    (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn scripts_do_what_they_do_in_a_real_shell() {
    let process = process();
    let scripts = [
        "a='x  y'; printf '%s|' $a \"$a\"; echo",
        "false || echo or && echo and; true && ! false; echo $?",
        "if [ 1 -lt 2 ]; then echo yes; elif true; then echo no; else echo never; fi",
        "for i in 1 2 3; do [ $i = 2 ] && continue; printf %s $i; done; echo",
        "i=0; while [ $i -lt 3 ]; do i=$((i+1)); done; echo $i $((i*2 - 1)) $(( (1+2)*3 ))",
        "x=abc.tar.gz; echo ${x%.*} ${x%%.*} ${x#*.} ${x##*.} ${#x} ${y:-none} ${x:+set}",
        "set -- a 'b c'; printf '[%s]' \"$@\"; echo $# \"$*\"; shift; echo \"$1\"",
        "printf '[%s]' \"$@\"; echo",
        "f() { echo \"in $1\"; return 3; }; f here; echo $?",
        "echo one > f; echo two >> f; cat f; cat < f | head -n 1; rm f; cat f 2>/dev/null || echo gone",
        "cat <<E\nvalue $((1+1)) `echo sub`\nE\necho after",
        "cat <<'E'\n$literal\nE",
        "case abc in x*) echo x;; a?c|b) echo match;; *) echo other;; esac",
        "set -e; false || true; echo still; (exit 4); echo never",
        "echo $(echo nested $(echo deep)) \"$(printf 'a\\nb\\n\\n')\"",
        "(cd /; pwd); x=1; (x=2); echo $x; { echo a; echo b; } | wc -l",
        "printf '%s %d %05.1s|%-4s|%%\\n' a 3 bcd e; printf 'x\\ty\\n'; printf '%b' 'a\\nb\\n'",
        "exit 7; echo never",
        "nothing-here; echo $?",
        "trap 'echo bye' EXIT; echo hi; exit 3",
        "echo a b | { read x y; echo $y $x; }; echo 'a;b' \"c\\\"d\" e\\ f",
        "[ -n '' ] || [ -z '' ] && test ! 1 = 2 && echo logic; echo \"a\" # comment",
        "A=1 env | grep -c '^A=1$'; unset A; echo \"${A-unset}\"",
    ];
    for script in scripts {
        assert_eq!(simulated(&process, script), real(script), "{script}");
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

fn single(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

fn double(word: &str) -> String {
    let escaped = word.chars().map(|c| if "\"\\$`".contains(c) { format!("\\{c}") } else { c.to_string() });
    format!("\"{}\"", escaped.collect::<String>())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))] // Each case starts a process.
    #[test]
    fn arguments_come_through_as_in_a_real_shell(
        words in proptest::collection::vec(("[^\0]{0,24}|[ -~\n\t]{0,24}|[-'\"\\\\$`!*?~#;&|<>(){}=% ]{1,12}", any::<bool>()), 1..5),
    ) {
        let quoted: Vec<String> = words.iter().map(|(word, style)| if *style { single(word) } else { double(word) }).collect();
        let script = format!("printf '%s\\0' {}", quoted.join(" "));
        let nested = format!("sh -c {}", single(&script));
        let expected: String = words.iter().flat_map(|(word, _)| [word, "\0"]).collect();
        let process = process();
        prop_assert_eq!(real(&script), (0, expected.clone()));
        prop_assert_eq!(simulated(&process, &script), (0, expected.clone()));
        prop_assert_eq!(simulated(&process, &nested), (0, expected));
    }
}
