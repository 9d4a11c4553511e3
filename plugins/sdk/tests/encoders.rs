//! Secrets in the forms that other programs write are redacted.

use std::process::{Command, Stdio};

use serde::de::DeserializeOwned;
use stargate_sdk::Redactor;

const SECRET: &str = "tskey-auth-kAbC/dEf+Gh~I_j.k-L&m\"n<o é\\q%2F'r";

/// Encoders of Python's standard library, each an expression about `s`.
const ENCODERS: [&str; 24] = [
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

/// Base64 of a secret at each offset, alone and with text after it, in both alphabets, in one line
/// and in lines of 76 characters. Each is followed by the text that may be left of it: the
/// characters that hold no bit of the secret.
const BASE64: &str = "
def wrapped(text, at):
    return ''.join(c + ('\\n' if at % 76 == 75 else '') for at, c in enumerate(text, at))

secret = s.encode()
for before in [b'', b'a', b'u:', b'user:', b'user: ', b'x' * 57, b'x' * 58, b'x' * 59]:
    for after in [b'', b'\\n', b' and more']:
        for encode in [base64.b64encode, base64.urlsafe_b64encode]:
            text = encode(before + secret + after).decode()
            first = len(before) * 8 // 6
            last = -(-(len(before) + len(secret)) * 8 // 6) if after else len(text)
            left = text[:first] + '***' + text[last:]
            print(json.dumps([text, left]))
            lines = wrapped(text[:first], 0) + '***' + ('\\n' if last % 76 == 0 else '') + wrapped(text[last:], last)
            print(json.dumps([wrapped(text, 0), lines]))
";

/// The values that a Python script prints about `secret`, its variable `s`, as JSON, one a line.
fn printed<T: DeserializeOwned>(script: &str, secret: &str) -> Vec<T> {
    let script = format!("import base64, html, json, sys, urllib.parse\ns = sys.argv[1]\n{script}");
    let mut python = Command::new("python3");
    python.args(["-X", "utf8", "-c", &script, secret]).stdin(Stdio::null());
    let output = python.output().expect("python3");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let lines = String::from_utf8(output.stdout).expect("UTF-8");
    lines.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect()
}

#[test]
fn no_form_of_pythons_encoders_survives() {
    let redactor = Redactor::default();
    redactor.add(SECRET);
    let forms: Vec<String> = printed(&ENCODERS.map(|form| format!("print(json.dumps({form}))\n")).concat(), SECRET);
    assert_eq!(forms.len(), ENCODERS.len());
    for (form, encoder) in forms.iter().zip(ENCODERS) {
        let shown = redactor.redact(&format!("before {form} after"));
        let rest = shown.strip_prefix("before ").and_then(|rest| rest.strip_suffix(" after")).expect("the frame");
        // Quotes, a key and the characters of base64 that hold only bits of other text are left.
        let longest = rest.split("***").map(str::len).max().unwrap_or_default();
        assert!(rest.contains("***") && longest < 12, "{encoder}: {shown}");
    }
}

#[test]
fn no_character_of_base64_with_a_bit_of_a_secret_survives() {
    for secret in [SECRET, "hunter22", "hunter2-3", "hunter2-34", "an older key with spaces", "?>~?>~?>~?>~"] {
        let redactor = Redactor::default();
        redactor.add(secret);
        let forms: Vec<(String, String)> = printed(BASE64, secret);
        assert_eq!(forms.len(), 8 * 3 * 2 * 2);
        for (text, left) in forms {
            assert_eq!(redactor.redact(&text), left, "{secret}: {text}");
            let shown = redactor.redact(&format!("before {text} after"));
            assert_eq!(shown, format!("before {left} after"), "{secret}: {text}");
        }
    }
}
