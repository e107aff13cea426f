//! The accept loop that the rig's HTTP servers share: plain or TLS, HTTP/1.1 or HTTP/2, gone when it is dropped.

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::http::{HeaderValue, StatusCode, header};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use rustls::ServerConfig;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{AbortHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

/// The body of every answer that the rig's servers give.
pub type Body = UnsyncBoxBody<Bytes, anyhow::Error>;

/// A running server. Dropping it closes the listener and every connection at once.
#[derive(Debug)]
pub struct Server {
    address: SocketAddr,
    accept_loop: AbortHandle,
}

impl Server {
    /// Serves `listener` until the server is dropped. An error from `handler` closes the connection unanswered.
    pub fn start<H, F>(listener: TcpListener, tls: Option<Arc<ServerConfig>>, handler: H) -> anyhow::Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + 'static,
        F: Future<Output = anyhow::Result<Response<Body>>> + Send + 'static,
    {
        Self::start_connections(listener, move |stream| serve_connection(stream, tls.clone(), handler.clone()))
    }

    /// Runs `connection` for each accepted connection until the server is dropped.
    pub(crate) fn start_connections<C, F>(listener: TcpListener, connection: C) -> anyhow::Result<Self>
    where
        C: Fn(TcpStream) -> F + Send + 'static,
        F: Future<Output = ()> + Send + 'static,
    {
        let address = listener.local_addr().context("read the address of a listener")?;
        let accept_loop = tokio::spawn(accept(listener, connection)).abort_handle();
        Ok(Self { address, accept_loop })
    }

    /// Where the server listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accept_loop.abort();
    }
}

async fn accept<C, F>(listener: TcpListener, connection: C) -> Infallible
where
    C: Fn(TcpStream) -> F + Send + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => { connections.spawn(connection(stream)); }
                // Out of file descriptors or a peer that is gone already: the next accept decides.
                Err(error) => tracing::warn!(%error, "accepting a connection failed"),
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn serve_connection<H, F>(stream: TcpStream, tls: Option<Arc<ServerConfig>>, handler: H)
where
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = anyhow::Result<Response<Body>>> + Send + 'static,
{
    let served = match tls {
        None => serve_stream(stream, handler).await,
        Some(config) => match TlsAcceptor::from(config).accept(stream).await {
            Ok(stream) => serve_stream(stream, handler).await,
            Err(error) => Err(anyhow::Error::from(error).context("TLS handshake")),
        },
    };
    if let Err(error) = served {
        tracing::debug!("connection ended: {error:#}");
    }
}

/// Serves one connection, HTTP/1.1 or HTTP/2, until the peer or an error of `handler` ends it.
pub(crate) async fn serve_stream<IO, H, F>(stream: IO, handler: H) -> anyhow::Result<()>
where
    IO: AsyncRead + AsyncWrite + Unpin + 'static,
    H: Fn(Request<Incoming>) -> F,
    F: Future<Output = anyhow::Result<Response<Body>>> + Send + 'static,
{
    auto::Builder::new(TokioExecutor::new())
        .serve_connection(TokioIo::new(stream), service_fn(handler))
        .await
        .map_err(|error| anyhow::anyhow!(error))
}

/// A complete answer with a body of text.
pub fn text(status: StatusCode, content: impl Into<Bytes>) -> Response<Body> {
    let body = Full::new(content.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}

/// An answer that sends the client to `location`.
pub fn redirect(status: StatusCode, location: &str) -> anyhow::Result<Response<Body>> {
    let value = HeaderValue::from_str(location).with_context(|| format!("redirect to {location:?}: not a header"))?;
    let mut response = text(status, "");
    response.headers_mut().insert(header::LOCATION, value);
    Ok(response)
}
