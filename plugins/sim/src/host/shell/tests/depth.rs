use crate::host::shell::parse;

#[test]
fn constructs_that_are_nested_too_deeply_are_refused() {
    for [opening, closing] in [["( ", " )"], ["\"${a:-", "}\""], ["$(", ")"], ["{ ", "; }"], ["if ", "; then :; fi"]] {
        let nested = |depth| format!("{}:{}", opening.repeat(depth), closing.repeat(depth));
        assert!(parse(&nested(20)).is_ok(), "{opening}");
        let error = parse(&nested(10_000)).expect_err("refused");
        assert!(error.message.contains("nested constructs"), "{opening}: {}", error.message);
    }
}
