//! A user of a migrating service: asks a load balancer for a page, by host name, and verifies its certificate.

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1;
use hyper::http::header;
use hyper_util::rt::TokioIo;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use crate::certificate_authority::client_config;

/// Somebody with a browser that trusts the rig's certificate authority. Redirects are not followed.
#[derive(Clone)]
pub struct User {
    tls: TlsConnector,
}

/// What the user was shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page {
    /// The HTTP status.
    pub status: u16,
    /// Where a redirect leads.
    pub location: Option<String>,
    /// The body, bytes that are no UTF-8 replaced.
    pub body: String,
}

impl User {
    /// A user who trusts the roots in `ca` (PEM).
    pub fn trusting(ca: &str) -> anyhow::Result<Self> {
        Ok(Self { tls: TlsConnector::from(Arc::new(client_config(ca)?)) })
    }

    /// Asks by plain HTTP at `address`, whatever DNS says about `host`.
    pub async fn get(&self, address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Page> {
        ask(connect(address).await?, host, path).await
    }

    /// The same by HTTPS; fails unless the certificate is valid for `host`.
    pub async fn get_securely(&self, address: SocketAddr, host: &str, path: &str) -> anyhow::Result<Page> {
        let name = ServerName::try_from(host.to_owned()).with_context(|| format!("{host:?} is no host name"))?;
        let stream = self.tls.connect(name, connect(address).await?).await;
        ask(stream.with_context(|| format!("https://{host} at {address}: TLS handshake"))?, host, path).await
    }
}

async fn connect(address: SocketAddr) -> anyhow::Result<TcpStream> {
    TcpStream::connect(address).await.with_context(|| format!("connect to {address}"))
}

async fn ask<S>(stream: S, host: &str, path: &str) -> anyhow::Result<Page>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let context = || format!("GET {path} of {host}");
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.with_context(context)?;
    // Ends with this function: nobody waits for a second answer on the connection.
    let mut connections = JoinSet::new();
    connections.spawn(connection);
    let request = Request::get(path).header(header::HOST, host).body(Empty::<Bytes>::new())?;
    let response = sender.send_request(request).await.with_context(context)?;
    let location = response.headers().get(header::LOCATION).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let status = response.status().as_u16();
    let body = response.into_body().collect().await.with_context(context)?.to_bytes();
    Ok(Page { status, location, body: String::from_utf8_lossy(&body).into_owned() })
}
