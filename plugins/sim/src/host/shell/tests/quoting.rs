use proptest::prelude::*;

use super::generator::single;
use super::runner::{process, real, simulated};
use crate::host::shell::Dialect;

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
        let run = |script: &str| {
            let (status, output, _) = simulated(&process, Dialect::Dash, script);
            (status, output)
        };
        prop_assert_eq!(real(&script), (0, expected.clone()));
        prop_assert_eq!(run(&script), (0, expected.clone()));
        prop_assert_eq!(run(&nested), (0, expected));
    }
}
