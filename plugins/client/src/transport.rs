use std::error::Error;

use stargate_sdk::{ActionError, FailureKind};

use crate::CallEffect;

/// Longer server texts are cut: an error page is not a message. In characters.
pub const MAX_MESSAGE_CHARS: usize = 600;

/// Maps a request that got no response to an error whose message begins with `call`, such as
/// `tailscale GET /api/v2/…`.
///
/// A connection that was not made is `Transient`: nothing was sent. A request that was sent is
/// judged by `effect`. The URL is not part of the message, because the URLs of operations are
/// signed.
pub fn transport_error(effect: CallEffect, call: &str, error: reqwest::Error) -> ActionError {
    let kind = transport_failure_kind(effect, &error);
    let is_timeout = error.is_timeout();
    let cause = error_chain(&error.without_url());
    let message = if is_timeout { format!("{call}: no response in time: {cause}") } else { format!("{call}: {cause}") };
    ActionError::new(kind, message)
}

/// Kind of the failure of a request that got no response.
pub fn transport_failure_kind(effect: CallEffect, error: &reqwest::Error) -> FailureKind {
    if error.is_builder() {
        FailureKind::Permanent
    } else if error.is_connect() {
        FailureKind::Transient
    } else {
        effect.unanswered()
    }
}

/// Text of an error and its causes, `error: cause: cause`; a cause whose text is already there is
/// left out.
pub fn error_chain(error: &dyn Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}

/// The text of a server without surrounding space, cut after [`MAX_MESSAGE_CHARS`].
///
/// It is cut before a word and not in it: the word can be a secret, and a part of one is not
/// recognised.
pub fn excerpt(text: &str) -> String {
    let text = text.trim();
    let Some((end, _)) = text.char_indices().nth(MAX_MESSAGE_CHARS) else { return text.to_owned() };
    let is_boundary =
        |c: char| c.is_whitespace() || matches!(c, '"' | '\'' | ',' | ';' | '<' | '>' | '(' | ')' | '&' | '?');
    let cut = &text[..end];
    if text[end..].starts_with(is_boundary) {
        return cut.to_owned();
    }
    cut.rfind(is_boundary).map_or(cut, |last| &cut[..last]).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, thiserror::Error)]
    #[error("{0}")]
    struct Layer(&'static str, #[source] Option<Box<Layer>>);

    #[test]
    fn causes_follow_the_error_once_each() {
        let inner = Layer("connection refused", None);
        let middle = Layer("tcp: connection refused", Some(Box::new(inner)));
        assert_eq!(
            error_chain(&Layer("cannot connect", Some(Box::new(middle)))),
            "cannot connect: tcp: connection refused"
        );
    }

    #[test]
    fn an_error_page_is_cut() {
        assert_eq!(excerpt(" gone \n"), "gone");
        assert_eq!(excerpt(&"é".repeat(1000)).chars().count(), MAX_MESSAGE_CHARS);
    }

    #[test]
    fn a_word_on_the_cut_is_left_out() {
        for start in MAX_MESSAGE_CHARS - 30..MAX_MESSAGE_CHARS {
            let text = format!("{} \"p4ssw0rd-with-the-length-of-a-token\" more", "x".repeat(start));
            let shown = excerpt(&text);
            assert!(!shown.contains("p4ss") && shown.len() >= start - 1, "{start}: {shown}");
        }
        let whole = format!("{} p4ssw0rd more", "x".repeat(MAX_MESSAGE_CHARS - 9));
        assert!(excerpt(&whole).ends_with(" p4ssw0rd"));
    }
}
