use std::borrow::Cow;

/// True for bytes without a special meaning in a POSIX shell, at any position of an argument.
fn is_plain(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"_./,:@%+=-".contains(&byte)
}

/// Quotes `word`, so that a POSIX shell passes it unchanged as an argument.
///
/// Nothing else quotes text for a remote shell.
///
/// A NUL byte cannot be an argument of any process and is not handled. All other bytes pass, line
/// breaks included. The remote shell has to be a POSIX shell: fish and csh quote differently.
pub(super) fn quote(word: &str) -> Cow<'_, str> {
    if !word.is_empty() && word.bytes().all(is_plain) {
        return Cow::Borrowed(word);
    }
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use proptest::prelude::*;

    use super::*;

    fn arguments_of_a_shell(words: &[String]) -> Vec<u8> {
        let quoted: Vec<_> = words.iter().map(|word| quote(word)).collect();
        let line = format!("printf '%s\\0' {}", quoted.join(" "));
        Command::new("sh").args(["-c", &line]).output().expect("sh").stdout
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(128))] // Each case starts a process.
        #[test]
        fn a_shell_passes_each_argument_unchanged(
            words in proptest::collection::vec("[^\0]{0,24}|[ -~\n\t]{0,24}|[-'\"\\\\$`!*?~#;&|<>(){}=% ]{1,12}", 1..5),
        ) {
            let expected: Vec<u8> = words.iter().flat_map(|word| [word.as_bytes(), b"\0"].concat()).collect();
            prop_assert_eq!(arguments_of_a_shell(&words), expected);
        }
    }

    #[test]
    fn plain_words_are_not_quoted() {
        assert_eq!(quote("--advertise-routes=10.1.0.0/16,10.2.0.0/16"), "--advertise-routes=10.1.0.0/16,10.2.0.0/16");
        assert_eq!(quote("it's"), r"'it'\''s'");
        assert_eq!(quote(""), "''");
    }
}
