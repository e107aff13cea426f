//! One call to an API server: it always ends, and its error says what to think of the cluster.

use std::fmt;
use std::time::Duration;

use thiserror::Error;

use super::limits::AnswerTooLarge;
use crate::causes::{causes, chain, one_line};

/// Why a call to an API server brought no result. Holds text only, so that it can be kept and compared.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum CallError {
    /// Nothing came in time. The call may still have its effect.
    #[error("no answer within {after:?}")]
    Timeout {
        /// How long the call was given.
        after: Duration,
    },
    /// The API server refused.
    #[error("the API server answered {}", Answer(*code, reason, message))]
    Api {
        /// The HTTP status.
        code: u16,
        /// The machine-readable reason, such as `AlreadyExists`; empty when none was given.
        reason: String,
        /// The server's explanation, cut to 512 characters; empty when it could repeat a Secret's value.
        message: String,
    },
    /// No connection, or it broke. The call may still have its effect.
    #[error("the connection to the API server failed: {message}")]
    Transport {
        /// The chain of causes.
        message: String,
    },
    /// More came than is read.
    #[error("the API server's answer is larger than the {limit} bytes that are read")]
    TooLarge {
        /// The limit in bytes.
        limit: usize,
    },
    /// An answer of another shape. Nothing of it is repeated: it may be a Secret.
    #[error(
        "the API server's answer is not what was asked for (line {line}, column {column}); is something else \
         answering at its address?"
    )]
    Unreadable {
        /// Line of the answer.
        line: usize,
        /// Column of the answer.
        column: usize,
    },
    /// The request was never sent.
    #[error("the request could not be sent: {message}")]
    Unsent {
        /// The chain of causes.
        message: String,
    },
}

struct Answer<'a>(u16, &'a str, &'a str);

impl fmt::Display for Answer<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(code, reason, message) = self;
        write!(formatter, "{code}")?;
        if !reason.is_empty() {
            write!(formatter, " {reason}")?;
        }
        if !message.is_empty() {
            write!(formatter, ": {message}")?;
        }
        Ok(())
    }
}

impl CallError {
    /// The object was changed since it was read (409, other than [`CallError::already_exists`]).
    pub fn is_conflict(&self) -> bool {
        self.code() == Some(409) && !self.already_exists()
    }

    /// An object of that name is there already.
    pub fn already_exists(&self) -> bool {
        matches!(self, Self::Api { code: 409, reason, .. } if reason == "AlreadyExists")
    }

    /// There is no such object (404).
    pub fn not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// The identity is known and may not do this (403).
    pub fn forbidden(&self) -> bool {
        self.code() == Some(403)
    }

    /// What a list goes on from is too old (410).
    pub fn expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// The credential is not accepted (401).
    pub fn unauthorized(&self) -> bool {
        self.code() == Some(401)
    }

    /// The cluster did not answer for itself: time-out, broken connection, or a gateway's 502, 503 or 504.
    pub fn unreachable(&self) -> bool {
        matches!(self, Self::Timeout { .. } | Self::Transport { .. } | Self::Api { code: 502..=504, .. })
    }

    /// The request was understood and refused: the same request will be refused again until somebody changes something.
    pub fn refused(&self) -> bool {
        matches!(self, Self::Api { code: 400..=499, .. }) && !matches!(self.code(), Some(401 | 404 | 408 | 409 | 429))
    }

    /// The kind of answer, which is the same each time, and the server's own words, which may not be.
    pub fn kind_and_words(&self) -> (String, &str) {
        match self {
            Self::Api { code, reason, message } => {
                let kind = Self::Api { code: *code, reason: reason.clone(), message: String::new() };
                (kind.to_string(), message)
            }
            Self::Transport { message } => ("the connection to the API server failed".to_owned(), message),
            other => (other.to_string(), ""),
        }
    }

    fn code(&self) -> Option<u16> {
        match self {
            Self::Api { code, .. } => Some(*code),
            _ => None,
        }
    }
}

/// Runs one call, at most for `after`. A call that is cut off may still have its effect on the cluster.
pub async fn timed<T>(after: Duration, call: impl Future<Output = kube::Result<T>>) -> Result<T, CallError> {
    match tokio::time::timeout(after, call).await {
        Ok(answer) => answer.map_err(CallError::from),
        Err(_) => Err(CallError::Timeout { after }),
    }
}

impl From<kube::Error> for CallError {
    fn from(error: kube::Error) -> Self {
        match error {
            kube::Error::Api(status) => {
                Self::Api { code: status.code, reason: word(&status.reason), message: one_line(&status.message) }
            }
            kube::Error::SerdeError(error) => Self::Unreadable { line: error.line(), column: error.column() },
            kube::Error::FromUtf8(_) | kube::Error::LinesCodecMaxLineLengthExceeded => {
                Self::Unreadable { line: 0, column: 0 }
            }
            kube::Error::HyperError(_) | kube::Error::Service(_) | kube::Error::ReadEvents(_) => transport(&error),
            other => Self::Unsent { message: causes(&other) },
        }
    }
}

fn transport(error: &kube::Error) -> CallError {
    match chain(error).find_map(|cause| cause.downcast_ref::<AnswerTooLarge>()) {
        Some(AnswerTooLarge { limit }) => CallError::TooLarge { limit: *limit },
        None => CallError::Transport { message: causes(error) },
    }
}

/// A reason is one CamelCase word; anything else is not a reason and not repeated.
fn word(text: &str) -> String {
    let is_word = text.len() <= 64 && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
    if is_word { text.to_owned() } else { String::new() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16, reason: &str) -> CallError {
        CallError::Api { code, reason: reason.into(), message: String::new() }
    }

    #[test]
    fn each_answer_is_one_kind_of_trouble() {
        let kinds = |error: &CallError| {
            [
                error.is_conflict(),
                error.already_exists(),
                error.not_found(),
                error.forbidden(),
                error.unauthorized(),
                error.unreachable(),
            ]
            .iter()
            .position(|is| *is)
        };
        for (error, kind) in [
            (api(409, "Conflict"), Some(0)),
            (api(409, "AlreadyExists"), Some(1)),
            (api(404, "NotFound"), Some(2)),
            (api(403, "Forbidden"), Some(3)),
            (api(401, "Unauthorized"), Some(4)),
            (api(503, ""), Some(5)),
            (CallError::Timeout { after: Duration::from_secs(1) }, Some(5)),
            (CallError::Transport { message: "reset".into() }, Some(5)),
            (api(500, "InternalError"), None),
            (api(429, "TooManyRequests"), None),
            (CallError::TooLarge { limit: 1 }, None),
            (CallError::Unreadable { line: 1, column: 1 }, None),
        ] {
            assert_eq!(kinds(&error), kind, "{error}");
        }
    }

    #[test]
    fn a_refusal_is_what_trying_again_does_not_help() {
        let refused = |code| api(code, "").refused();
        assert_eq!([400, 403, 413, 422].map(refused), [true; 4]);
        assert_eq!([401, 404, 409, 429, 500, 503].map(refused), [false; 6]);
        let full = CallError::Api { code: 422, reason: "Invalid".into(), message: "spec.rules: no".into() };
        assert_eq!(full.kind_and_words(), ("the API server answered 422 Invalid".to_owned(), "spec.rules: no"));
    }

    #[test]
    fn the_text_leaves_out_what_is_not_known() {
        assert_eq!(api(502, "").to_string(), "the API server answered 502");
        let full = CallError::Api { code: 403, reason: "Forbidden".into(), message: "no".into() };
        assert_eq!(full.to_string(), "the API server answered 403 Forbidden: no");
    }

    #[test]
    fn text_from_elsewhere_is_cut_and_kept_on_one_line() {
        let status = kube::core::Status::failure(&format!("a\nb\u{1b}{}", "é".repeat(600)), "a page\n of HTML");
        let error = CallError::from(kube::Error::Api(status.with_code(500).boxed()));
        let CallError::Api { code: 500, reason, message } = error else { panic!("{error:?}") };
        assert_eq!((reason.as_str(), message.chars().count()), ("", 512));
        assert!(message.starts_with("a b é"), "{message}");
    }

    #[test]
    fn an_answer_of_another_shape_is_not_repeated() {
        let error = serde_json::from_str::<bool>("\"canary-19ac\"").unwrap_err();
        let error = CallError::from(kube::Error::SerdeError(error));
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }
}
