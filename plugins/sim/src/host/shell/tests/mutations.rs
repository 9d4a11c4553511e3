use crate::host::shell::parse;
use crate::host::shell::parser::ScriptLines;

#[path = "../../../../../../tests/support/mutation.rs"]
mod mutation;

/// Maximum number of lines of a mutated script. A parser that returns more does not advance.
const MAX_LINES: usize = 100_000;

#[test]
fn constructs_that_are_nested_too_deeply_are_refused() {
    for [opening, closing] in [["( ", " )"], ["\"${a:-", "}\""], ["$(", ")"], ["{ ", "; }"], ["if ", "; then :; fi"]] {
        let nested = |depth| format!("{}:{}", opening.repeat(depth), closing.repeat(depth));
        assert!(parse(&nested(20)).is_ok(), "{opening}");
        let error = parse(&nested(10_000)).expect_err("refused");
        assert!(error.message.contains("nested constructs"), "{opening}: {}", error.message);
    }
}

#[test]
fn any_script_is_parsed_or_refused() {
    mutation::fuzz("shell", 10_000, |input| {
        let script = String::from_utf8_lossy(input);
        // Accepted or not: the parser has to end without a panic.
        let _ = parse(&script);
        for refuses_bash in [false, true] {
            let mut lines = ScriptLines::new(&script, refuses_bash);
            let mut count = 0;
            while let Some(Ok(_)) = lines.next() {
                count += 1;
                assert!(count < MAX_LINES, "the parser does not advance");
            }
        }
    });
}
