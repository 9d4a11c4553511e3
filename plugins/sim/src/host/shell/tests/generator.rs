/// Source of pseudorandom numbers: splitmix64.
pub(super) struct Random(u64);

impl Random {
    pub(super) fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::try_from(self.next() % limit as u64).unwrap_or_default()
    }

    fn pick<'a>(&mut self, choices: &[&'a str]) -> &'a str {
        choices[self.below(choices.len())]
    }
}

const NAMES: [&str; 4] = ["a", "b", "c", "d"];
const LITERALS: [&str; 12] =
    ["x", "yz", "'q r'", "\"s  t\"", "''", "\\*", "'a:b'", "1", "0", "\"\\$a\"", "u\\ v", "'it'\\''s'"];
const VALUES: [&str; 9] = ["", "1", "2", "'p q'", "a:b:c", "'  m  n '", "abc", "'*'", "\"k\nl\""];
const OPERATORS: [&str; 8] = [":-", "-", ":+", "+", "%", "%%", "#", "##"];
const PATTERNS: [&str; 8] = ["*", "a*", "?", "*b", "[a-c]*", "x", "'*'", "?*?"];
const BINARY: [&str; 15] = ["+", "-", "*", "<", ">", "<=", ">=", "==", "!=", "&&", "||", "&", "|", "^", "<<"];
const OPTIONS: [&str; 5] = ["set -e", "set -u", "set -f", "set +e", "set +u"];

/// Returns a random script. It ends, because each of its loops has a fixed list or counts.
pub(super) fn script(random: &mut Random) -> String {
    let mut text = String::from("a=1 b='p q' c=a:b\nf() { echo \"f $# $1\"; return 3; }\n");
    for _ in 0..2 + random.below(5) {
        text.push_str(&command(random, 3));
        text.push_str(random.pick(&["\n", "; ", "\necho \"st $?\"\n"]));
    }
    text.push_str("\necho \"[$a][$b][$c][${d-unset}]\"");
    text
}

/// Returns a command, with others up to `depth` levels below it.
fn command(random: &mut Random, depth: usize) -> String {
    let choice = random.below(if depth == 0 { 8 } else { 24 });
    match choice {
        0..=2 => format!("printf '[%s]' {}; echo", words(random, depth)),
        3 => format!("echo {}", words(random, depth)),
        4 => format!("{}={}", random.pick(&NAMES), value(random, depth)),
        5 => random.pick(&["true", "false", ":", "f x", "(exit 3)", "! true"]).to_owned(),
        6 => format!("[ {} {} {} ]", quoted(random), random.pick(&["=", "!="]), quoted(random)),
        7 => format!("set -- {}", words(random, depth)),
        other => compound(random, depth - 1, other),
    }
}

fn compound(random: &mut Random, depth: usize, choice: usize) -> String {
    let mut inner = || command(random, depth);
    match choice {
        8 => format!("{} && {}", inner(), inner()),
        9 => format!("{} || {}", inner(), inner()),
        10 => format!("if {}; then {}; else {}; fi", inner(), inner(), inner()),
        11 => format!("({})", inner()),
        12 => format!("{{ {}; }}", inner()),
        13 => format!("! {{ {}; }}", inner()),
        14 => format!("{{ {}; }} | cat", inner()),
        15 => format!("{{ {}; }} | while read a b; do echo \"<$a|$b>\"; done", inner()),
        16 => {
            let body = inner();
            format!("for d in {}; do {body}; done", words(random, depth))
        }
        17 => {
            let (first, second) = (inner(), inner());
            let (subject, pattern) = (word(random, depth), random.pick(&PATTERNS));
            format!("case {subject} in {pattern}) {first};; *) {second};; esac")
        }
        18 => {
            let body = inner();
            let after = random.pick(&[":", "continue", "break"]);
            format!("n{depth}=0; while [ $n{depth} -lt 3 ]; do n{depth}=$((n{depth}+1)); {body}; {after}; done")
        }
        19 => {
            let text = words(random, 0).replace('\n', " ");
            format!("cat <<E\n{text} $((1+1))\nE\n:")
        }
        20 => format!("eval {}", single(&inner())),
        21 => format!("{{ {}; }} > out{depth}; cat out{depth}", inner()),
        22 => {
            let body = inner();
            format!("g{depth}() {{ local a; a=loc; {body}; }}; g{depth} {}", words(random, depth))
        }
        _ => random.pick(&OPTIONS).to_owned(),
    }
}

fn words(random: &mut Random, depth: usize) -> String {
    let words: Vec<String> = (0..=random.below(3)).map(|_| word(random, depth)).collect();
    words.join(" ")
}

/// Returns a word of one or two parts.
fn word(random: &mut Random, depth: usize) -> String {
    (0..=random.below(2)).map(|_| part(random, depth)).collect()
}

fn part(random: &mut Random, depth: usize) -> String {
    let name = random.pick(&NAMES);
    match random.below(if depth == 0 { 8 } else { 11 }) {
        0 | 1 => random.pick(&LITERALS).to_owned(),
        2 => format!("${name}"),
        3 => format!("\"${name}\""),
        4 => random.pick(&["$@", "\"$@\"", "$*", "\"$*\"", "$#", "$?", "\"x$@y\""]).to_owned(),
        5 => expansion(random, name),
        6 => format!("\"{}\"", expansion(random, name)),
        7 => format!("$(({}))", arithmetic(random, 2)),
        8 => format!("$({})", command(random, depth - 1)),
        9 => format!("\"$({})\"", command(random, depth - 1)),
        _ => format!("\"${{#{name}}}\""),
    }
}

fn expansion(random: &mut Random, name: &str) -> String {
    let operator = random.pick(&OPERATORS);
    let operand = if operator.ends_with(['%', '#']) {
        random.pick(&PATTERNS).to_owned()
    } else {
        random.pick(&["z", "$b", "", "k l", "$((1+2))"]).to_owned()
    };
    format!("${{{name}{operator}{operand}}}")
}

fn arithmetic(random: &mut Random, depth: usize) -> String {
    if depth == 0 {
        return random.pick(&["0", "1", "2", "7", "010", "0x1f", "$#", "i"]).to_owned();
    }
    let (left, right) = (arithmetic(random, depth - 1), arithmetic(random, depth - 1));
    match random.below(4) {
        0 => format!("({left})"),
        1 => format!("{left} ? {right} : 5"),
        _ => format!("({left}) {} {right}", random.pick(&BINARY)),
    }
}

fn value(random: &mut Random, depth: usize) -> String {
    if random.below(2) == 0 { random.pick(&VALUES).to_owned() } else { word(random, depth) }
}

fn quoted(random: &mut Random) -> String {
    format!("\"{}\"", random.pick(&["$a", "$b", "x", "1", "$?", "$#"]))
}

/// Quotes text with single quotes.
pub(super) fn single(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}
