//! The errors of the API: <https://docs.aws.amazon.com/Route53/latest/APIReference/CommonErrors.html>.

use std::fmt;

use hyper::http::StatusCode;

/// What a caller is told instead of an answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The status of the response.
    pub status: StatusCode,
    /// The error's code, such as `InvalidChangeBatch`.
    pub code: String,
    /// The error's text.
    pub message: String,
}

impl Refusal {
    /// A client error with this code and text.
    pub fn new(code: &str, message: impl Into<String>) -> Self {
        Self { status: StatusCode::BAD_REQUEST, code: code.to_owned(), message: message.into() }
    }

    /// A batch that breaks rules; there is one message for each broken rule.
    pub fn invalid_change_batch(messages: &[String]) -> Self {
        Self::new("InvalidChangeBatch", format!("[{}]", messages.join(", ")))
    }

    /// A request that means nothing.
    pub fn invalid_input(message: impl Into<String>) -> Self {
        Self::new("InvalidInput", message)
    }

    /// Too many requests: <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html>.
    pub fn throttling() -> Self {
        Self::new("Throttling", "Rate exceeded")
    }

    /// A batch that came in while another one of the same zone was processed.
    pub fn prior_request_not_complete() -> Self {
        Self::new(
            "PriorRequestNotComplete",
            "The request was rejected because Route 53 was still processing a prior request.",
        )
    }

    /// No zone has this id.
    pub fn no_such_hosted_zone(id: &str) -> Self {
        let status = StatusCode::NOT_FOUND;
        Self { status, ..Self::new("NoSuchHostedZone", format!("No hosted zone found with ID: {id}")) }
    }

    /// No change has this id.
    pub fn no_such_change(id: &str) -> Self {
        let status = StatusCode::NOT_FOUND;
        Self { status, ..Self::new("NoSuchChange", format!("Could not find resource with ID: {id}")) }
    }

    /// The caller may not do this.
    pub fn access_denied(caller: &str, action: &str) -> Self {
        let message = format!("User: {caller} is not authorized to perform: route53:{action}");
        Self { status: StatusCode::FORBIDDEN, ..Self::new("AccessDenied", message) }
    }

    /// A request without a signature.
    pub fn missing_authentication_token() -> Self {
        let status = StatusCode::FORBIDDEN;
        Self { status, ..Self::new("MissingAuthenticationToken", "Missing Authentication Token") }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.message)
    }
}

impl std::error::Error for Refusal {}
