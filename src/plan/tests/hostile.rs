use std::{
    sync::{Arc, mpsc},
    thread,
    time::Duration,
};

use serde_json::json;

use super::fixtures::{StepResults, mistakes, mistakes_among, plan};
use crate::plan::CompiledPlan;

/// Time after which a test counts as hanging. Each of them takes less than a second on a usual
/// machine.
const HANG_TIMEOUT: Duration = Duration::from_mins(5);

/// Runs `work` on a thread with the usual stack of 2 MiB, and fails if it hangs.
fn finishes<T: Send + 'static>(what: &str, work: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, results) = mpsc::channel();
    let thread = thread::Builder::new().stack_size(2 << 20).spawn(move || sender.send(work())).expect("a thread");
    match results.recv_timeout(HANG_TIMEOUT) {
        Ok(result) => result,
        Err(mpsc::RecvTimeoutError::Timeout) => panic!("{what} hangs"),
        Err(mpsc::RecvTimeoutError::Disconnected) => panic!("{what}: {:?}", thread.join().err()),
    }
}

/// Checks that a mistake with this text is reported, without a crash.
fn refused(what: &str, text: &str, expected: &str) {
    let text = text.to_owned();
    let found = finishes(what, move || mistakes(&text));
    assert!(found.iter().any(|mistake| mistake.contains(expected)), "{what}: {:?}", &found[..found.len().min(3)]);
}

fn valued(value: &str) -> String {
    format!("name: w\nsteps:\n  a:\n    uses: test.note.write\n    with:\n      value: {value}\n")
}

#[test]
fn deep_nesting_is_refused() {
    for depth in [100, 1_000, 100_000] {
        refused("flow lists", &valued(&format!("{}{}", "[".repeat(depth), "]".repeat(depth))), "");
        refused("open flow lists", &valued(&"[".repeat(depth)), "");
        refused("flow maps", &valued(&"{a: ".repeat(depth)), "");
        refused("block lists", &format!("{}x\n", "- ".repeat(depth)), "");
    }
    let indented = (0..500).map(|depth| format!("{}a:\n", " ".repeat(depth))).collect::<Vec<_>>().concat();
    refused("block maps", &indented, "");
}

#[test]
fn bombs_of_aliases_are_refused() {
    let level = |level: usize| format!("a{level}: &a{level} [{}]\n", vec![format!("*a{}", level - 1); 9].join(", "));
    let text = format!("a0: &a0 [x, x, x, x, x, x, x, x, x]\n{}", (1..12).map(level).collect::<Vec<_>>().concat());
    refused("aliases", &text, "too large");
    let level = |level: usize| format!("a{level}: &a{level}\n  <<: [*a{0}, *a{0}]\n  k{level}: x\n", level - 1);
    let text = format!("a0: &a0 {{k0: x}}\n{}", (1..40).map(level).collect::<Vec<_>>().concat());
    refused("merge keys", &text, "too large");
}

#[test]
fn large_files_are_refused_or_read() {
    refused("2 MiB", &"x".repeat(2 << 20), "1048576 are allowed");
    refused("1 MiB of text", &"x".repeat(1 << 20), "must be a map");
    assert_eq!(finishes("1 MB of text", || mistakes(&valued(&"x".repeat(1_000_000)))), [""; 0]);
    refused("1 MiB of items", &valued(&format!("[{}]", "1,".repeat(500_000))), "too large");
    refused("1 MiB of keys", &"k: 1\n".repeat(200_000), "");
}

#[test]
fn long_and_deep_expressions_are_refused() {
    let expression = |inner: &str| valued(&format!("'${{{{ {inner} }}}}'"));
    let terms = vec!["1"; 2_000].join(" + ");
    refused("2000 terms", &expression(&terms), "1024 are allowed");
    refused("500 terms", &expression(&vec!["1"; 500].join("+")), "levels deep");
    refused("200 parentheses", &expression(&format!("{}1{}", "(".repeat(200), ")".repeat(200))), "levels deep");
    refused("500 lists", &expression(&format!("{}1{}", "[".repeat(500), "]".repeat(500))), "levels deep");
    refused("open parentheses", &expression(&"(".repeat(1_000)), "levels deep");
    refused("48 open parentheses", &expression(&"(".repeat(48)), "cannot be parsed");
    refused("not", &expression(&format!("{}true", "!-".repeat(400))), "");
    refused("fields", &expression(&format!("(run{})", ".a".repeat(500))), "levels deep");
    refused("indexes", &expression(&format!("run{} + 1", "[0]".repeat(300))), "levels deep");
    refused("conditions", &expression(&"1==1?".repeat(150)), "");
    refused(
        "nested macros",
        &expression("inputs.a.map(x, inputs.a.map(y, inputs.a.map(z, 1)))"),
        "macro inside a macro",
    );
    refused("quotes", &expression(&"\"".repeat(900)), "");
}

#[test]
fn many_expressions_are_read_or_refused() {
    let many = (0..15_000).map(|n| format!("        - ${{{{ 1 + {n} }}}}\n")).collect::<Vec<_>>().concat();
    refused("15,000 programs", &format!("{}\n{many}", valued("").trim_end()), "too many expressions");
    let inline = (0..60_000).map(|n| format!("${{{{ 1+{n} }}}}")).collect::<Vec<_>>().concat();
    refused("60,000 programs in a text", &valued(&inline), "more than 200 parts");
    let line = (0..15_000).map(|_| "${{ run.id }},").collect::<Vec<_>>().concat();
    let line = valued(&format!("[{}x]", line.replace("${{ run.id }}", "'${{ run.id }}'")));
    assert!(finishes("15,000 items in a line", move || mistakes(&line)).is_empty());
    let hard = (0..60)
        .map(|n| format!("        - ${{{{ {}1 + {n}{} }}}}\n", "[".repeat(45), "]".repeat(45)))
        .collect::<Vec<_>>()
        .concat();
    let hard = format!("{}\n{hard}", valued("").trim_end());
    assert_eq!(finishes("60 deep programs", move || mistakes(&hard)), [""; 0]);
}

#[test]
fn many_steps_are_read() {
    let steps = (0..2_000)
        .map(|n| format!("  s{n}: {{uses: test.nop.run, needs: [s{}]}}\n", (n + 1) % 2_000))
        .collect::<Vec<_>>()
        .concat();
    refused("a cycle of 2000 steps", &format!("name: w\nsteps:\n{steps}"), "in a cycle");
}

#[test]
fn workflows_that_multiply_are_refused() {
    let level = |next: usize| {
        let steps = (0..20).map(|n| format!("  s{n}: {{workflow: l{next}.yaml}}\n")).collect::<Vec<_>>().concat();
        format!("name: w\nsteps:\n{steps}")
    };
    let files: Vec<(String, String)> = (1..10).map(|n| (format!("l{n}.yaml"), level(n + 1))).collect();
    let found = finishes("workflows", move || {
        let files: Vec<(&str, &str)> = files.iter().map(|(name, text)| (name.as_str(), text.as_str())).collect();
        mistakes_among(&files, &level(1))
    });
    assert!(found.iter().any(|mistake| mistake.contains("too many inlined workflows")), "{found:?}");
}

#[test]
fn evaluation_needs_little_stack() {
    // The deepest expressions that are accepted, in several shapes, with an eighth of the usual
    // stack.
    let chain = vec!["inputs.a"; 63].join(" + ");
    let lists = format!("{}inputs.a{}", "[".repeat(40), "]".repeat(40));
    let conditions = format!("{}0", "inputs.a > 9 ? 1 : ".repeat(30));
    let parentheses = format!("{}inputs.a{}", "(1 + ".repeat(40), ")".repeat(40));
    let mapped = format!("inputs.b.map(x, {})", vec!["x"; 55].join(" + "));
    for inner in [chain, lists, conditions, parentheses, mapped] {
        let text = format!(
            "name: w\ninputs:\n  a: {{type: integer, default: 1}}\n  b: {{type: array, default: [1, 2]}}\nsteps:\n  s: {{uses: test.note.write, with: {{value: ['${{{{ {inner} }}}}', '${{{{ inputs.a }}}}', '${{{{ inputs.b }}}}']}}}}\n"
        );
        let plan = CompiledPlan::new(Arc::new(plan(&text, json!({})))).expect("a valid plan");
        let evaluate = move || plan.input(0, None, &StepResults::default()).map(|_| ()).map_err(|e| e.to_string());
        let evaluated = thread::Builder::new().stack_size(256 << 10).spawn(evaluate).expect("a thread").join();
        assert_eq!(evaluated.expect("no panic"), Ok(()), "{inner}");
    }
}
