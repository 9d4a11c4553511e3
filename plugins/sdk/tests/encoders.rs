//! Secrets in the forms that other programs write are redacted.

use std::{
    fmt::Write as _,
    process::{Command, Stdio},
};

use stargate_sdk::Redactor;

const SECRET: &str = "tskey-auth-kAbC/dEf+Gh~I_j.k-L&m\"n<o é\\q%2F'r";

/// Encoders of Python's standard library, each an expression about `s`.
const ENCODERS: &[&str] = &[
    "s",
    "urllib.parse.quote(s)",
    "urllib.parse.quote(s, safe='')",
    "urllib.parse.quote_plus(s)",
    "urllib.parse.quote(urllib.parse.quote(s, safe=''), safe='')",
    "''.join('%%%02x' % b for b in s.encode())",
    "''.join('%%%02X' % b for b in s.encode())",
    "urllib.parse.urlencode({'k': s})",
    "json.dumps(s)",
    "json.dumps(s, ensure_ascii=False)",
    "json.dumps(json.dumps(s))",
    "json.dumps(s).replace('/', r'\\/')",
    "html.escape(s)",
    "json.dumps(html.escape(s))",
    "repr(s)",
    "base64.b64encode(s.encode()).decode()",
    "base64.urlsafe_b64encode(s.encode()).decode()",
    "base64.b64encode(('user:' + s).encode()).decode()",
    "json.dumps(base64.encodebytes((s * 4).encode()).decode())",
    "base64.encodebytes((s * 4).encode()).decode()",
    "s.encode().hex()",
    "s.encode().hex().upper()",
    "s.encode().hex(' ', 2)",
    "s.encode().hex(':')",
];

/// The secret in each form.
fn encoded() -> Vec<String> {
    let mut script = "import base64, html, json, sys, urllib.parse\ns = sys.argv[1]\n".to_owned();
    for form in ENCODERS {
        writeln!(script, "print(json.dumps({form}))").expect("writing to a string does not fail");
    }
    let mut python = Command::new("python3");
    python.args(["-X", "utf8", "-c", &script, SECRET]).stdin(Stdio::null());
    let output = python.output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn no_form_of_pythons_encoders_survives() {
    let redactor = Redactor::default();
    redactor.add(SECRET);
    let forms = encoded();
    assert_eq!(forms.len(), ENCODERS.len());
    for (form, encoder) in forms.iter().zip(ENCODERS) {
        let shown = redactor.redact(&format!("before {form} after"));
        let rest = shown.strip_prefix("before ").and_then(|rest| rest.strip_suffix(" after")).expect("the frame");
        // Quotes, a key and the characters of base64 that hold bits of other text are left.
        let longest = rest.split("***").map(str::len).max().unwrap_or_default();
        assert!(rest.contains("***") && longest < 12, "{encoder}: {shown}");
    }
}
