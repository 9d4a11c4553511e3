use crate::host::io::Io;
use crate::host::process::{Exit, Process};

/// Runs the command `echo [-n] WORD…`. Escapes are not interpreted.
pub(super) fn echo(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let silent = arguments.first().is_some_and(|word| word == "-n");
    let words = &arguments[usize::from(silent)..];
    process.print(io, format!("{}{}", words.join(" "), if silent { "" } else { "\n" }))?;
    Ok(0)
}

/// Runs the command `printf FORMAT [ARGUMENT…]`.
pub(super) fn printf(process: &Process, io: &Io, arguments: &[String]) -> Exit {
    let arguments = arguments.strip_prefix(&["--".to_owned()]).unwrap_or(arguments);
    let Some((format, mut values)) = arguments.split_first() else {
        return process.fail(io, 2, "printf: usage: printf [-v var] format [arguments]");
    };
    let mut text = String::new();
    loop {
        let before = values.len();
        let ended = formatted(format, &mut values, &mut text);
        // The format is repeated as long as it consumes arguments and some remain.
        if ended || values.is_empty() || values.len() == before {
            break;
        }
    }
    process.print(io, text)?;
    Ok(0)
}

/// Formats the arguments once. Returns true if `\c` in the format ends the output.
fn formatted(format: &str, values: &mut &[String], text: &mut String) -> bool {
    let mut characters = format.chars().peekable();
    while let Some(c) = characters.next() {
        match c {
            '\\' => match characters.next() {
                Some('c') => return true,
                Some(escape) => text.push_str(&escaped(escape, &mut characters)),
                None => text.push('\\'),
            },
            '%' => {
                let mut flags = String::new();
                while let Some(flag) = characters.next_if(|c| "-0123456789. +#".contains(*c)) {
                    flags.push(flag);
                }
                let Some(kind) = characters.next() else { break };
                if kind == '%' {
                    text.push('%');
                    continue;
                }
                let value = values.split_first().map(|(first, rest)| {
                    *values = rest;
                    first.clone()
                });
                text.push_str(&converted(kind, &flags, &value.unwrap_or_default()));
            }
            c => text.push(c),
        }
    }
    false
}

/// Returns the text of the escape sequence that starts with `escape`; octal digits follow in
/// `more`.
fn escaped(escape: char, more: &mut std::iter::Peekable<std::str::Chars<'_>>) -> String {
    let c = match escape {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'v' => '\u{b}',
        '\\' => '\\',
        '0'..='7' => {
            let mut digits = escape.to_string();
            while digits.len() < 3 {
                let Some(digit) = more.next_if(|c| ('0'..='7').contains(c)) else { break };
                digits.push(digit);
            }
            let code = u32::from_str_radix(&digits, 8).unwrap_or_default();
            return char::from_u32(code & 0xff).map(String::from).unwrap_or_default();
        }
        other => return format!("\\{other}"),
    };
    c.to_string()
}

/// Maximum width of a conversion, in characters: more than a pipe needs, and no danger for memory.
const MAX_WIDTH: usize = 16 << 20;

/// Returns a value in the conversion `kind`, with its flags, width and precision.
///
/// A value that is not a number counts as 0.
fn converted(kind: char, flags: &str, value: &str) -> String {
    let left = flags.starts_with('-');
    let (width, precision) = flags.trim_start_matches(['-', '0', '+', ' ', '#']).split_once('.').map_or_else(
        || (flags.trim_start_matches(['-', '0', '+', ' ', '#']), None),
        |(width, precision)| (width, precision.parse::<usize>().ok()),
    );
    let width: usize = width.parse().unwrap_or_default();
    let number = || value.trim().parse::<i64>().unwrap_or_default();
    let text = match kind {
        'd' | 'i' | 'u' => number().to_string(),
        'x' => format!("{:x}", number()),
        'X' => format!("{:X}", number()),
        'o' => format!("{:o}", number()),
        'c' => value.chars().take(1).collect(),
        'b' => unescaped(value),
        _ => value.chars().take(precision.unwrap_or(usize::MAX)).collect(),
    };
    let zero = flags.starts_with('0') && kind != 's';
    let missing = width.min(MAX_WIDTH).saturating_sub(text.chars().count());
    match (left, zero) {
        (true, _) => text + &" ".repeat(missing),
        (_, true) => {
            let sign = usize::from(text.starts_with(['-', '+']));
            format!("{}{}{}", &text[..sign], "0".repeat(missing), &text[sign..])
        }
        _ => " ".repeat(missing) + &text,
    }
}

/// Interprets the escape sequences of a `%b` value.
fn unescaped(value: &str) -> String {
    let mut text = String::new();
    let mut characters = value.chars().peekable();
    while let Some(c) = characters.next() {
        match (c, characters.peek().copied()) {
            ('\\', Some(escape)) => {
                characters.next();
                text.push_str(&escaped(escape, &mut characters));
            }
            (c, _) => text.push(c),
        }
    }
    text
}
