use serde_json::{Value, json};

use super::fixtures::{checked, checked_among, lines, map};

const TEXT: &str = "name: w
inputs:
  name: {type: string, pattern: '^[a-z]+$', description: Name of the thing.}
  prefix: {type: string, format: cidr, default: 10.0.0.0/8}
  wait: {type: string, format: duration, default: 1m}
  gateway: {type: string, format: ip, default: 10.0.0.1}
  size: {type: integer, minimum: 1, maximum: 9, default: 5}
  tier: {type: string, enum: [basic, standard], default: basic}
  workers:
    type: array
    default: []
    maxItems: 2
    items: {type: object, properties: {ip: {type: string, format: ip}}, required: [ip]}
  key: {secret: true, default: env:KEY}
steps:
  a:
    uses: test.note.write
    with:
      value: ['${{ inputs.name }}', '${{ inputs.prefix }}', '${{ inputs.wait }}', '${{ inputs.gateway }}',
        '${{ inputs.size }}', '${{ inputs.tier }}', '${{ inputs.workers }}', '${{ inputs.key }}']
";

fn check(inputs: &Value, expected: &[&str]) {
    let found = checked(TEXT).plan(map(inputs.clone())).err().map(|e| lines(&e)).unwrap_or_default();
    assert_eq!(found, expected, "{inputs}");
}

#[test]
fn defaults_are_added_in_the_order_of_the_file() {
    let given = map(json!({"size": 3, "name": "x"}));
    let plan = checked(TEXT).plan(given).expect("a plan");
    let expected = json!({
        "name": "x", "prefix": "10.0.0.0/8", "wait": "1m", "gateway": "10.0.0.1", "size": 3, "tier": "basic",
        "workers": [], "key": "env:KEY",
    });
    assert_eq!(Value::Object(plan.inputs).to_string(), expected.to_string());
}

#[test]
fn required_inputs_must_be_given_and_unknown_ones_are_refused() {
    check(&json!({}), &["3:3 input \"name\" is not given and has no default; pass it with --input name=VALUE"]);
    check(&json!({"name": "x", "sise": 1}), &["2:1 the workflow has no input \"sise\"; did you mean \"size\"?"]);
}

#[test]
fn a_value_must_fit_its_schema() {
    let check = |key: &str, value: Value, expected: &str| {
        let mut inputs = json!({"name": "x"});
        inputs[key] = value;
        check(&inputs, &[expected]);
    };
    check("name", json!("X1"), "3:3 input \"name\" must match ^[a-z]+$, \"X1\" does not");
    check("name", json!(5), "3:3 input \"name\" must be text, this is a whole number; put it in quotes");
    check(
        "prefix",
        json!("10.0.0.0/40"),
        "4:3 input \"prefix\" must be a prefix such as 10.50.0.0/16, \"10.0.0.0/40\" is not",
    );
    let prefix = "4:3 input \"prefix\" must be a prefix such as 10.50.0.0/16,";
    for (given, rest) in [
        ("10.0.0.1/24", "has host bits set; did you mean \"10.0.0.0/24\"?"),
        ("010.0.0.0/8", "has leading zeros; did you mean \"10.0.0.0/8\"?"),
        ("10.0.0.0/08", "has leading zeros; did you mean \"10.0.0.0/8\"?"),
        ("010.0.0.1/24", "has leading zeros; did you mean \"10.0.0.0/24\"?"),
        ("10.0.0.1", "has no length; did you mean \"10.0.0.1/32\"?"),
        ("fd00::1/64", "has host bits set; did you mean \"fd00::/64\"?"),
        ("10.0.0/8", "is not"),
        ("1000.0.0.0/8", "is not"),
        ("", "is not"),
    ] {
        check("prefix", json!(given), &format!("{prefix} {given:?} {rest}"));
    }
    for (given, rest) in [
        ("010.0.0.1", "has leading zeros; did you mean \"10.0.0.1\"?"),
        ("10.0.0.1/24", "is a prefix; did you mean \"10.0.0.1\"?"),
    ] {
        check("gateway", json!(given), &format!("6:3 input \"gateway\" must be an IP address, {given:?} {rest}"));
    }
    check("wait", json!("soon"), "5:3 input \"wait\" must be a duration such as 10m, 1h30m or 500ms, \"soon\" is not");
    check("gateway", json!("10.0.0"), "6:3 input \"gateway\" must be an IP address, \"10.0.0\" is not");
    check("size", json!(10), "7:3 input \"size\" must be at most 9");
    check(
        "tier",
        json!("standart"),
        "8:3 input \"tier\" must be one of \"basic\", \"standard\"; did you mean \"standard\"?",
    );
    check("workers", json!([{}, {"ip": "1.2.3.4"}]), "9:3 input \"workers\"[0] lacks \"ip\"");
    check("workers", json!([{"ip": "x"}]), "9:3 input \"workers\"[0].ip must be an IP address, \"x\" is not");
    let three = json!([{"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}, {"ip": "1.1.1.1"}]);
    check("workers", three, "9:3 input \"workers\" must have at most 2 items, it has 3");
}

#[test]
fn a_prefix_and_an_address_are_written_in_one_way() {
    for (key, value) in [
        ("prefix", "0.0.0.0/0"),
        ("prefix", "10.20.0.0/16"),
        ("prefix", "10.0.0.7/32"),
        ("prefix", "fd00:0db8::/32"),
        ("prefix", "::/0"),
        ("gateway", "10.0.0.1"),
        ("gateway", "0.0.0.0"),
        ("gateway", "fd00::0001"),
    ] {
        let mut inputs = json!({"name": "x"});
        inputs[key] = value.into();
        check(&inputs, &[]);
    }
}

#[test]
fn a_secret_given_by_value_is_refused_and_not_repeated() {
    let refused = "14:3 input \"key\" is a secret and must be given by reference, never by value; write env:NAME, file:PATH or exec:COMMAND";
    check(&json!({"name": "x", "key": "hunter2"}), &[refused]);
    check(&json!({"name": "x", "key": 12345}), &[refused]);
    check(&json!({"name": "x", "key": {"a": "hunter2"}}), &[refused]);
    check(&json!({"name": "x", "key": "file:/run/key"}), &[]);
}

#[test]
fn typed_text_is_converted_by_the_schema() {
    let checked = checked(TEXT);
    let value = |name: &str, text: &str| {
        let input = checked.workflow().inputs.iter().find(|input| input.name.value == name).expect("an input");
        input.value_of(text)
    };
    assert_eq!(value("name", "5"), json!("5"));
    assert_eq!(value("size", "5"), json!(5));
    assert_eq!(value("size", "five"), json!("five"));
    assert_eq!(value("workers", "[{\"ip\": \"1.2.3.4\"}]"), json!([{"ip": "1.2.3.4"}]));
}

#[test]
fn a_pattern_is_compiled_once_for_all_values() {
    let inner = "name: inner
inputs: {name: {type: string, pattern: '^[a-z]+$'}}
steps: {a: {uses: test.note.write, with: {value: '${{ inputs.name }}'}}}
";
    let step = |n: usize| format!("  s{n}: {{workflow: inner.yaml, with: {{name: {}}}}}\n", "x".repeat(n + 1));
    let text = format!("name: w\nsteps:\n{}", (0..20).map(step).collect::<String>());
    let checked = checked_among(&[("inner.yaml", inner)], &text);
    assert_eq!(checked.workflow().patterns.count(), 1);
}
