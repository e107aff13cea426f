//! An error of the SDK, explained.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_route53::config::http::HttpResponse;
use aws_sdk_route53::error::{ProvideErrorMetadata, SdkError};

use super::client::{ANSWER, CONNECT};
use crate::causes::{causes, chain, one_line, whole};
use crate::dns::trouble::ReadError;

/// Words by which AWS says that it is asked too often.
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/CommonErrors.html>
const THROTTLING: [&str; 5] =
    ["Throttling", "ThrottlingException", "TooManyRequestsException", "RequestLimitExceeded", "SlowDown"];

/// What happened, and what to do.
pub(super) fn explained<E>(action: &'static str, about: &str, error: &SdkError<E, HttpResponse>) -> ReadError
where
    E: ProvideErrorMetadata + Error + 'static,
{
    let about = about.to_owned();
    if let Some(missing) = chain(error).find(|cause| cause.is::<CredentialsError>()) {
        return ReadError::NoCredentials { action, message: whole(missing) };
    }
    match error {
        SdkError::TimeoutError(_) => ReadError::Timeout { action, about, after: ANSWER },
        SdkError::DispatchFailure(failure) if failure.is_timeout() => {
            ReadError::Timeout { action, about, after: CONNECT }
        }
        SdkError::ServiceError(refusal) => {
            let code = refusal.err().code().unwrap_or_default();
            let message = one_line(refusal.err().message().unwrap_or_default());
            refused(action, about, refusal.raw().status().as_u16(), code, message)
        }
        SdkError::ResponseError(answer) => {
            refused(action, about, answer.raw().status().as_u16(), "", "the answer cannot be read".to_owned())
        }
        other => ReadError::Unreachable { action, about, message: causes(other) },
    }
}

fn refused(action: &'static str, about: String, status: u16, code: &str, message: String) -> ReadError {
    let word = if code.is_empty() { format!("HTTP {status}") } else { code.to_owned() };
    match status {
        _ if THROTTLING.contains(&code) => ReadError::Throttled { action, code: word },
        _ if code == "NoSuchHostedZone" => ReadError::NoSuchZone { zone: zone(&about) },
        429 => ReadError::Throttled { action, code: word },
        401 | 403 => ReadError::Denied { action, about, code: word, message },
        _ => ReadError::Refused { action, about, code: word, message },
    }
}

/// The zone that a question was about: its last word.
fn zone(about: &str) -> String {
    about.rsplit(' ').next().unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(status: u16, code: &str) -> ReadError {
        refused("ListResourceRecordSets", "of shop.example in zone Z1".into(), status, code, "no".into())
    }

    #[test]
    fn each_answer_is_one_kind_of_trouble() {
        assert!(said(400, "Throttling").is_throttling() && said(429, "").is_throttling());
        assert!(said(403, "AccessDenied").is_about_credentials() && said(401, "").is_about_credentials());
        assert_eq!(said(404, "NoSuchHostedZone"), ReadError::NoSuchZone { zone: "Z1".into() });
        let text = said(403, "AccessDenied").to_string();
        for part in ["ListResourceRecordSets", "shop.example", "Z1", "AccessDenied", "route53:ListResourceRecordSets"] {
            assert!(text.contains(part), "{part} is not in {text}");
        }
        assert!(said(500, "").to_string().contains("HTTP 500"));
    }
}
