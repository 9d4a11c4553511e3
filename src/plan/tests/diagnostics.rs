use super::fixtures::{mistakes, registry, steps};
use crate::workflow::{Diagnostics, parse};

fn check(text: &str, expected: &[&str]) {
    assert_eq!(mistakes(text), expected, "{text}");
}

/// Checks a step with one more line in the `with` of its network.
fn network(with: &str, expected: &[&str]) {
    let text = format!("name: w\nsteps:\n  a:\n    uses: net.network.ensure\n    with:\n      name: x\n      {with}\n");
    check(&text, expected);
}

/// Checks an expression of a step that follows one with a network. The value starts at 7:14.
fn reading(expression: &str, expected: &[&str]) {
    let network = "net: {uses: net.network.ensure, with: {name: x}}";
    let note = format!("b:\n    uses: test.note.write\n    with:\n      value: {expression}");
    check(&format!("name: w\nsteps:\n  {network}\n  {note}\n"), expected);
}

#[test]
fn a_valid_workflow_has_no_mistakes() {
    for expression in [
        "${{ steps.net.outputs.node_subnet.prefix }}",
        "${{ steps.net.outputs.subnets[0].prefix }}/${{ steps.net.outputs.size }}",
        "${{ steps.net.outputs.tags['kubernetes.io/x'] }}",
        "${{ steps.net.outputs.raw.what.ever[3] }}",
        "${{ steps.net.outputs.subnets.map(s, s.prefix) }}",
        "${{ steps.net.outputs.subnets.exists(s, s.name == run.id) }}",
        "${{ has(steps.net.outputs.node_subnet) && run.id != run.workflow }}",
        "\"${{ steps.net.skipped ? 'x' : steps.net.outputs.id }}\"",
        "$${{ no expression }} and {{ neither }}",
    ] {
        reading(expression, &[]);
    }
}

#[test]
fn a_file_that_is_not_a_workflow_is_reported() {
    let what = "a workflow must be a map with name, inputs, steps and outputs, this is";
    check("", &[&format!("1:1 {what} nothing")]);
    check("[]", &[&format!("1:1 {what} a list")]);
    check("name: w", &["1:7 the workflow has no steps"]);
    check("a: [\n", &["1:4 the file is not YAML: unclosed bracket '['"]);
    check(
        "a: b: c",
        &[
            "1:5 the file is not YAML: mapping values are not allowed in this context; put a text that contains a colon and a blank in quotes",
        ],
    );
    check("- x\n---\n- y", &["3:1 the file has more than one document; write one document per file"]);
}

#[test]
fn unknown_keys_are_reported_with_a_suggestion() {
    check(
        "nme: w\nstep: {}\nname: w\nsteps: {a: {use: test.nop.run, uses: test.nop.run}}",
        &[
            "1:1 unknown key \"nme\" in a workflow; did you mean \"name\"?",
            "2:1 unknown key \"step\" in a workflow; did you mean \"steps\"?",
            "4:13 unknown key \"use\" in step \"a\"; did you mean \"uses\"?",
        ],
    );
    let retry = "5:83 unknown key \"foo\" in retry; retry can have attempts, initial, factor, max and budget";
    check(
        &steps(&[("a", ""), ("b", ""), ("c", "retry: {attempts: 1, factor: 1.5, initial: 1s, max: 2s, foo: 1}")]),
        &[retry],
    );
}

#[test]
fn each_duplicate_key_is_reported() {
    check(
        &steps(&[("a", ""), ("a", ""), ("a", "")]),
        &["4:3 steps has \"a\" twice; the first is on line 3", "5:3 steps has \"a\" twice; the first is on line 3"],
    );
    network("name: y", &["7:7 the map has \"name\" twice; the first is on line 6"]);
}

#[test]
fn names_must_be_usable_in_expressions() {
    let rule = "a name is a lower-case letter, followed by lower-case letters, digits and underscores";
    check(
        &steps(&[("a-b", ""), ("1", "")]),
        &[
            &format!("3:3 \"a-b\" cannot be the name of a step; {rule}, such as \"a_b\""),
            &format!("4:3 \"1\" cannot be the name of a step; {rule}"),
        ],
    );
}

#[test]
fn a_cycle_is_reported_with_its_steps() {
    let hint = "an arrow means \"needs\"; remove one of them";
    check(
        &steps(&[("a", "needs: [b]"), ("b", "when: '${{ steps.c.skipped }}'"), ("c", "needs: [a]"), ("d", "")]),
        &[&format!("5:35 steps depend on each other in a cycle: a → b → c → a; {hint}")],
    );
    check(&steps(&[("a", "needs: [a]")]), &["3:35 step \"a\" needs itself"]);
    check(
        &steps(&[("a", "when: '${{ steps.a.skipped }}'")]),
        &["3:38 step \"a\" depends on itself; a step cannot use its own outputs"],
    );
}

#[test]
fn two_cycles_are_both_reported() {
    let found = mistakes(&steps(&[("a", "needs: [b]"), ("b", "needs: [a]"), ("c", "needs: [d]"), ("d", "needs: [c]")]));
    assert_eq!(found.len(), 2, "{found:?}");
}

#[test]
fn a_step_has_one_action_or_one_workflow() {
    let missing = "add `uses: provider.noun.verb`, or `workflow: FILE` to inline another workflow";
    check(
        "name: w\nsteps:\n  a: {uses: test.nop.rn}\n  b: {uses: foo}\n  c: {}\n  d: {uses: test.nop.run, workflow: x}\n  e: 1\n",
        &[
            "3:13 there is no action \"test.nop.rn\"; did you mean \"test.nop.run\"?",
            "4:13 there is no action \"foo\"; run `stargate actions` to list all actions",
            &format!("5:3 step \"c\" has neither an action nor a workflow; {missing}"),
            "6:27 step \"d\" has both uses and workflow; remove one of them",
            "7:6 step \"e\" must be a map, this is a number",
        ],
    );
}

#[test]
fn options_of_a_step_are_checked() {
    let duration = "must be a duration such as 500ms, 10m or 1h30m, of at most 30d, this is";
    check(
        &steps(&[("a", "timeout: 5"), ("b", "timeout: 1x"), ("c", "retry: {attempts: 0, factor: 0.5}")]),
        &[
            &format!("3:36 timeout {duration} a number"),
            &format!("4:36 timeout {duration} text"),
            "5:45 attempts must be a whole number from 1 to 10000, this is a number",
            "5:56 factor must be a number from 1 to 100, this is a number",
        ],
    );
    check(
        &steps(&[("a", "needs: [a2]"), ("b", "needs: a")]),
        &["3:35 there is no step \"a2\"", "4:34 needs must be a list of steps such as [first, second], this is text"],
    );
}

#[test]
fn approvals_are_checked() {
    check(
        &steps(&[("a", "approval: yes"), ("b", "approval: '${{ 1 + 1 }}'"), ("c", "approval: [1]")]),
        &[
            "4:42 approval must be text, this is a whole number",
            "5:37 approval must be a question for the operator, such as \"Drain ${{ inputs.worker }}?\", this is a list",
        ],
    );
    check(
        "name: w\nsteps:\n  a: {workflow: other.yaml, approval: 'sure?'}\n  b: {uses: test.nop.run, approval: '${{ steps.c.outputs }}'}\n",
        &[
            "3:17 the workflow \"other.yaml\" cannot be read: no such file",
            "3:29 approval cannot be used with workflow; set it on the steps of the inlined workflow",
            "4:48 there is no step \"c\"; the names of the steps are the keys of `steps`",
        ],
    );
}

#[test]
fn conditions_and_loops_are_checked() {
    let one = "write it as ${{ … }}, with nothing before or after it; use + to join texts";
    check(
        &steps(&[("a", "when: true"), ("b", "when: '${{ 1 + 1 }}'")]),
        &[
            &format!("3:33 when must be one expression; {one}"),
            "4:38 when must be true or false, this is a whole number",
        ],
    );
    check(
        &steps(&[("a", "for_each: '${{ [1] }}'"), ("b", "as: x"), ("c", "for_each: '${{ 1 == 1 }}', as: item")]),
        &[
            "3:27 for_each needs `as`, the name of its variable; add `as: item`; `with` and `key` can then use ${{ item }}",
            "4:27 as requires for_each",
            "5:42 for_each must be a list, this is true or false",
        ],
    );
    check(
        &steps(&[("a", "for_each: '${{ [1] }}', as: run"), ("b", "for_each: '${{ [1] }}', as: item, key: x")]),
        &["3:55 \"run\" cannot be the name of a variable", &format!("4:66 key must be one expression; {one}")],
    );
    check(
        "name: w\nsteps:\n  net: {uses: net.network.ensure, with: {name: x}}\n  b:\n    uses: test.note.write\n    for_each: ${{ steps.net.outputs.subnets }}\n    as: subnet\n    with: {value: '${{ subnet.nam }}'}\n",
        &[
            "7:9 for_each needs `key`: its items are a map; add a key that is different for each item, such as `key: ${{ subnet.name }}`",
            "8:31 subnet has no field \"nam\"; did you mean \"name\"?",
        ],
    );
}

#[test]
fn the_loop_variable_is_known_only_inside_the_loop() {
    check(
        &steps(&[("a", "for_each: '${{ [1] }}', as: item, when: '${{ item == 1 }}', with: {x: '${{ item }}'}")]),
        &["3:72 unknown name \"item\"; expressions can use inputs, steps, run"],
    );
}

#[test]
fn a_literal_must_fit_the_input_schema_of_the_action() {
    network("size: 300", &["7:13 with.size must be at most 255"]);
    network("size: -1", &["7:13 with.size must be at least 0"]);
    network("size: '5'", &["7:13 with.size must be a whole number, this is text; write it without quotes"]);
    network("size: 1.5", &["7:13 with.size must be a whole number, this is a number"]);
    network("size: 014", &["7:13 with.size must be a whole number, this is text"]);
    network("size: null", &[]);
    network("private: yes", &["7:16 with.private must be true or false, this is text; write true or false"]);
    network("prefixes: 10.0.0.0/8", &["7:17 with.prefixes must be a list, this is text"]);
    network("prefixes: [1]", &["7:18 with.prefixes[0] must be text, this is a whole number; put it in quotes"]);
    network("image: {publisher: x}", &["7:14 with.image lacks \"version\""]);
    network("mode: overlya", &["7:13 with.mode must be one of \"native\", \"overlay\"; did you mean \"overlay\"?"]);
    network("nmae: y", &["7:7 with cannot have \"nmae\"; did you mean \"name\"?"]);
    network("raw: {a: [1, null]}", &[]);
    network(
        "image: {publisher: x, version: 1, sku: z}",
        &[
            "7:38 with.image.version must be text, this is a whole number; put it in quotes",
            "7:41 with.image cannot have \"sku\"; it can have publisher, version",
        ],
    );
    check(
        "name: w\nsteps:\n  a: {uses: net.network.ensure}\n",
        &["3:3 with lacks \"name\"; name: Name of the network."],
    );
}

#[test]
fn a_secret_given_by_value_is_refused_and_not_repeated() {
    let rule = "is a secret and must be given by reference, never by value; write env:NAME, file:PATH or exec:COMMAND";
    network("key: hunter2", &[&format!("7:12 with.key {rule}")]);
    network("keys: {a: hunter2}", &[&format!("7:17 with.keys.a {rule}")]);
    network("key: env:TS_KEY", &[]);
}

#[test]
fn the_type_of_an_expression_must_fit_its_use() {
    network("size: ${{ run.id }}", &["7:17 with.size must be a whole number, run.id is text"]);
    network("private: ${{ 1 == 1 }}", &[]);
    network("prefixes: ${{ 'a' + 'b' }}", &["7:21 with.prefixes must be a list, 'a' + 'b' is text"]);
    network("private: x-${{ run.id }}", &["7:16 with.private must be true or false, this is text"]);
    reading(
        "x-${{ steps.net.outputs.subnets }}",
        &["7:20 a part of a text must be text or a number or true or false, this is a list"],
    );
}

#[test]
fn a_reference_must_have_a_target() {
    reading("${{ steps.nte.outputs.id }}", &["7:24 there is no step \"nte\"; did you mean \"net\"?"]);
    reading(
        "${{ steps.net.outputs.idd }}",
        &["7:36 step \"net\" (net.network.ensure) has no output \"idd\"; did you mean \"id\"?"],
    );
    reading("${{ steps.net.id }}", &["7:28 step \"net\" has no \"id\"; did you mean steps.net.outputs.id?"]);
    reading("${{ steps.net }}", &["7:24 step \"net\" is not a value; write steps.net.outputs.FIELD"]);
    reading("${{ steps.net.outputs.subnets.prefix }}", &["7:44 steps.net.outputs.subnets is a list and has no fields"]);
    reading(
        "${{ steps.net.outputs.node_subnet.prfix }}",
        &["7:48 steps.net.outputs.node_subnet has no field \"prfix\"; did you mean \"prefix\"?"],
    );
    reading("${{ steps.net.outputs.id.x }}", &["7:39 steps.net.outputs.id is text and has no fields"]);
    reading("${{ inputs.x }}", &["7:25 there is no input \"x\"; add it to `inputs`"]);
    reading("${{ input.x }}", &["7:18 unknown name \"input\"; did you mean \"inputs\"?"]);
    reading("${{ run.ide }}", &["7:22 run has only id, workflow, changed and, under finally, outcome; write run.id"]);
    reading(
        "${{ steps[inputs.x].outputs }}",
        &[
            "7:18 steps is not a value; write steps.NAME.outputs.FIELD",
            "7:31 there is no input \"x\"; add it to `inputs`",
        ],
    );
}

#[test]
fn a_mistake_inside_a_longer_expression_has_its_own_span() {
    let has = "it has id, name, node_subnet, private, raw, size, subnets and tags";
    let output = format!("step \"net\" (net.network.ensure) has no output \"x\"; {has}");
    reading("${{ 'é' + steps.net.outputs.x }}", &[&format!("7:42 {output}")]);
    reading("${{ steps['net'].outputs.x + 'a' }}", &[&format!("7:39 {output}")]);
    reading(
        "\"\\x41${{ steps.net.outputs.siz }}\"",
        &["7:41 step \"net\" (net.network.ensure) has no output \"siz\"; did you mean \"size\"?"],
    );
}

#[test]
fn an_expression_that_cannot_be_parsed_is_reported() {
    reading(
        "${{ steps.net.outputs.size",
        &["7:14 an expression is not closed; close it with }}; write $${{ for a literal ${{"],
    );
    reading("${{ }}", &["7:17 the expression is empty"]);
    reading("${{ 1 + }}", &["7:17 the expression cannot be parsed: it ends too early"]);
    reading("${{ nope(1) }}", &["7:22 unknown function \"nope\"; compute it in an action"]);
    reading("${{ run.id.startWith('a') }}", &["7:34 unknown function \"startWith\"; did you mean \"startsWith\"?"]);
}

#[test]
fn macros_work_on_a_list_of_inputs_or_outputs_and_on_each_other() {
    let only = "map, filter, all and exists work on a list of the inputs or of a step's outputs only";
    let hint = "write it as inputs.NAME.all(x, …) or steps.NAME.outputs.FIELD.map(x, …)";
    reading("${{ [1,2].map(x, x) }}", &[&format!("7:27 {only}; {hint}")]);
    reading("${{ steps.net.outputs.subnets.filter(s, true).filter(s, true).map(s, s.name) }}", &[]);
    reading("${{ steps.net.outputs.subnets.map(s, s.name).filter(n, n != 'a').exists(n, n == 'b') }}", &[]);
    reading("${{ steps.net.outputs.subnets.filter(s, true)[0].name }}", &[]);
    reading("${{ steps.net.outputs.subnets.filter(s, true)[0].names.map(n, n) }}", &[]);
    let mapped = "${{ steps.net.outputs.subnets.map(s, [s])[0].map(t, t) }}";
    reading(mapped, &[&format!("7:62 {only}; {hint}")]);
    reading(
        "${{ steps.net.outputs.subnets.map(s, [s, s]).map(s, [s, s]) }}",
        &["7:62 a chain of macros can have one map; write both as one, or compute it in an action"],
    );
    reading("${{ [1,2].filter(x, true).map(x, x) }}", &[&format!("7:30 {only}; {hint}")]);
    reading(
        "${{ steps.net.outputs.subnets.map(s, steps.net.outputs.subnets.map(t, t.name)) }}",
        &["7:80 a macro inside a macro is not supported; compute it in an action"],
    );
}

#[test]
fn schemas_of_inputs_are_checked() {
    let text = "name: w
inputs:
  a: {type: strng}
  b: {}
  c: 5
  d: {type: string, pattern: '('}
  e: {type: integer, default: x, minimum: a}
  f: {type: string, secret: true, default: hunter2}
  g: {type: array, items: {typ: string}}
  h: {type: string, format: cdr}
  i: {type: string, default: '${{ run.id }}'}
  k: {type: integer, secret: true}
steps:
  a: {uses: test.nop.run}
";
    check(
        text,
        &[
            "3:13 unknown type \"strng\"; did you mean \"string\"?",
            "4:3 input \"b\" has no type; add `type:`, one of string, number, integer, boolean, array, object and null",
            "5:6 input \"c\" must be a map such as {type: string}, this is a number",
            "6:30 \"(\" is not a regular expression: unclosed group",
            "7:31 input \"e\" must be a whole number, this is text",
            "7:43 minimum must be a number, this is text",
            "8:44 input \"f\" is a secret and must be given by reference, never by value; write env:NAME, file:PATH or exec:COMMAND",
            "9:28 unknown key \"typ\" in items; did you mean \"type\"?",
            "10:29 unknown format \"cdr\"; did you mean \"cidr\"?",
            "11:35 a default cannot contain an expression",
            "12:3 input \"k\" is secret, so its type must be string; a secret is given by reference, such as env:NAME, and references are text",
        ],
    );
}

#[test]
fn an_unused_input_is_reported() {
    check(
        "name: w\ninputs:\n  a: {type: string}\nsteps:\n  a: {uses: test.nop.run}\n",
        &["3:3 input \"a\" is not used; remove it, or refer to it with ${{ inputs.… }}"],
    );
}

#[test]
fn a_mistake_that_an_alias_repeats_is_reported_once_at_its_anchor() {
    check(
        "name: w\nsteps:\n  a: {uses: test.note.write, with: &with {value: '${{ run.x }}'}}\n  b: {uses: test.note.write, with: *with}\n",
        &["3:59 run has only id, workflow, changed and, under finally, outcome; write run.id"],
    );
}

fn broken() -> Diagnostics {
    let text = "name: w\nsteps:\n  a:\n    uses: test.nop.rn\n    timeout: soon\n";
    parse("w.yaml", text).check(&registry(), &|_| Err("no files".into())).expect_err("two mistakes")
}

#[test]
#[cfg(feature = "miette")]
fn mistakes_are_drawn_with_the_source_text() {
    let mut drawn = String::new();
    let handler = miette::GraphicalReportHandler::new_themed(miette::GraphicalTheme::unicode_nocolor()).with_width(90);
    handler.render_report(&mut drawn, &broken()).expect("a report");
    for part in
        ["w.yaml: 2 errors", "w.yaml:4:11", "there is no action", "did you mean \"test.nop.run\"?", "w.yaml:5:14"]
    {
        assert!(drawn.contains(part), "{part} in\n{drawn}");
    }
}

#[test]
fn mistakes_serialise_as_json() {
    let json = serde_json::to_value(broken()).expect("JSON");
    let expected = serde_json::json!({
        "code": "plan::unknown_action",
        "file": "w.yaml",
        "line": 4,
        "column": 11,
        "message": "there is no action \"test.nop.rn\"",
        "label": "unknown action",
        "hint": "did you mean \"test.nop.run\"?",
    });
    assert_eq!(json[0], expected);
}
