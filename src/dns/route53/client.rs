//! The SDK's client: TLS with ring, the chain of credentials, time-outs, and no retries of its own.

use std::time::Duration;

use aws_config::environment::region::EnvironmentVariableRegionProvider;
use aws_config::meta::region::RegionProviderChain;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{BehaviorVersion, Region};
use aws_sdk_route53::Client;
use aws_smithy_http_client::Builder;
use aws_smithy_http_client::tls::Provider;
use aws_smithy_http_client::tls::rustls_provider::CryptoMode;

use super::credentials::FromSecret;
use crate::cluster::connection::HomeAccess;
use crate::dns::interest::Account;

/// Time to connect, for one answer, and for the credentials and the answer together.
pub(super) const CONNECT: Duration = Duration::from_secs(3);
pub(super) const ANSWER: Duration = Duration::from_secs(6);

/// Route 53 is one for all regions; requests to it are signed by this one.
/// <https://docs.aws.amazon.com/general/latest/gr/r53.html>
const USUAL_REGION: &str = "us-east-1";

/// A client for this account. Makes no request.
pub(super) async fn build(account: &Account, home: &HomeAccess) -> Client {
    let tls = Provider::Rustls(CryptoMode::Ring);
    let time_outs = TimeoutConfig::builder().connect_timeout(CONNECT).operation_attempt_timeout(ANSWER);
    // Not the SDK's own chain: it ends at the instance's metadata, whose silence would delay the first reading.
    let named =
        Some(account.region.as_str()).filter(|region| !region.is_empty()).map(|region| Region::new(region.to_owned()));
    let region = RegionProviderChain::first_try(named)
        .or_else(EnvironmentVariableRegionProvider::new())
        .or_else(Region::from_static(USUAL_REGION));
    let mut loader = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .http_client(Builder::new().tls_provider(tls).build_https())
        .region(region)
        .retry_config(RetryConfig::disabled())
        .timeout_config(time_outs.build());
    if !account.endpoint.is_empty() {
        loader = loader.endpoint_url(&account.endpoint);
    }
    if let Some(secret) = &account.secret {
        loader = loader.credentials_provider(FromSecret::new(secret.clone(), home.clone()));
    }
    Client::new(&loader.load().await)
}
