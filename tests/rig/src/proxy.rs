//! A fault proxy between an operator and one API server: passes everything on, streams included, until a test says
//! otherwise.

mod faults;
mod request;

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::Context as _;
use futures::stream;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::{Bytes, Frame, Incoming};
use hyper::http::uri::{PathAndQuery, Uri};
use hyper::http::{HeaderValue, StatusCode, Version, header, request::Parts};
use hyper::{Request, Response};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use rustls::ServerConfig;
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;

use self::faults::{Action, Hold, Line};
pub use self::faults::{Faults, Held, Phase};
pub use self::request::ApiRequest;
use crate::certificate_authority::{CertificateAuthority, client_config};
use crate::http_server::{Body, Server, serve_stream, text};

type RequestBody = UnsyncBoxBody<Bytes, hyper::Error>;

/// A running proxy. Dropping it cuts every connection.
#[derive(Debug)]
pub struct Proxy {
    server: Server,
    faults: Faults,
}

/// The real API server.
#[derive(Clone, Debug)]
struct Upstream {
    authority: String,
    client: Client<HttpsConnector<HttpConnector>, RequestBody>,
}

impl Proxy {
    /// A proxy on a free port of 127.0.0.1, with a certificate of `authority`, before the API server at `url`
    /// (`https://127.0.0.1:6443`) whose certificate `api_server_ca` (PEM) proves. The clients' credentials are passed on.
    pub async fn start(url: &str, api_server_ca: &str, authority: &CertificateAuthority) -> anyhow::Result<Self> {
        let upstream = Upstream::new(url, api_server_ca)?;
        let tls = authority.issue(&["127.0.0.1", "localhost"])?.server_config()?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.context("fault proxy: take a free port")?;
        let faults = Faults::new();
        let handle = faults.clone();
        let server = Server::start_connections(listener, move |stream| {
            serve_until_refused(stream, Arc::clone(&tls), upstream.clone(), handle.clone())
        })?;
        Ok(Self { server, faults })
    }

    /// Where the proxy listens.
    pub fn address(&self) -> SocketAddr {
        self.server.address()
    }

    /// What a kubeconfig has to say in place of the API server's URL.
    pub fn url(&self) -> String {
        format!("https://{}", self.address())
    }

    /// The handle that makes the proxy misbehave.
    pub fn faults(&self) -> Faults {
        self.faults.clone()
    }
}

impl Upstream {
    fn new(url: &str, ca: &str) -> anyhow::Result<Self> {
        let uri: Uri = url.parse().with_context(|| format!("fault proxy: {url:?} is no URL"))?;
        let authority = uri.authority().with_context(|| format!("fault proxy: {url:?} has no host"))?.to_string();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(client_config(ca)?).https_only().enable_http1().build();
        Ok(Self { authority, client: Client::builder(TokioExecutor::new()).build(connector) })
    }

    async fn forward(&self, mut head: Parts, body: RequestBody) -> anyhow::Result<Response<Incoming>> {
        let path = head.uri.path_and_query().cloned().unwrap_or_else(|| PathAndQuery::from_static("/"));
        head.uri = Uri::builder().scheme("https").authority(self.authority.as_str()).path_and_query(path).build()?;
        head.headers.insert(header::HOST, HeaderValue::from_str(&self.authority)?);
        head.version = Version::HTTP_11;
        self.client.request(Request::from_parts(head, body)).await.context("fault proxy: the API server did not answer")
    }
}

/// Serves one connection; it is cut as soon as the line is refused, and not even greeted while the line hangs.
async fn serve_until_refused(stream: TcpStream, tls: Arc<ServerConfig>, upstream: Upstream, faults: Faults) {
    let mut line = faults.line();
    tokio::select! {
        biased;
        _ = line.wait_for(|line| *line == Line::Refused) => {}
        served = serve(stream, tls, upstream, &faults) => if let Err(error) = served {
            tracing::debug!("fault proxy: connection ended: {error:#}");
        }
    }
}

async fn serve(stream: TcpStream, tls: Arc<ServerConfig>, upstream: Upstream, faults: &Faults) -> anyhow::Result<()> {
    until_not_hung(&mut faults.line()).await?;
    let stream = TlsAcceptor::from(tls).accept(stream).await.context("TLS handshake")?;
    serve_stream(stream, move |request| answer(request, upstream.clone(), faults.clone())).await
}

async fn answer(request: Request<Incoming>, upstream: Upstream, faults: Faults) -> anyhow::Result<Response<Body>> {
    let mut line = faults.line();
    until_not_hung(&mut line).await?;
    tokio::time::sleep(faults.latency()).await;
    let (head, body) = request.into_parts();
    let mut request = ApiRequest::new(&head);
    let response = if request.changes_by_verb() {
        let body = body.collect().await.context("read the body of a write")?.to_bytes();
        request.object = serde_json::from_slice(&body).unwrap_or(Value::Null);
        let action = faults.decide(&request);
        // On its own: a write that has been sent is on its way, whatever becomes of its client.
        let sent = Sent { request, head, body, upstream };
        tokio::spawn(sent.finish(action, faults.line())).await.context("a write's task failed")??
    } else {
        match faults.decide(&request) {
            Action::Answer(status) => refusal(status, &request),
            Action::Hold(hold) => {
                hold.caught.send_replace(Some(request));
                // A test that drops its end releases the read as well.
                let _ = hold.released.await;
                stallable(upstream.forward(head, body.boxed_unsync()).await?, faults.line())
            }
            _ => stallable(upstream.forward(head, body.boxed_unsync()).await?, faults.line()),
        }
    };
    until_not_hung(&mut line).await?;
    Ok(response)
}

/// A write that has left its client.
struct Sent {
    request: ApiRequest,
    head: Parts,
    body: Bytes,
    upstream: Upstream,
}

impl Sent {
    async fn finish(self, action: Action, line: watch::Receiver<Line>) -> anyhow::Result<Response<Body>> {
        match action {
            Action::Forward => Ok(stallable(self.forward().await?, line)),
            Action::Answer(status) => Ok(refusal(status, &self.request)),
            Action::Hold(hold) => Ok(stallable(self.hold(hold).await?, line)),
            Action::Hook(Phase::BeforeForward, callback) => {
                let message = format!("lost on demand before the API server saw it: {}", self.request);
                callback(self.request).await;
                Err(anyhow::anyhow!(message))
            }
            Action::Hook(Phase::AfterCommit, callback) => {
                // Its body is awaited too: only then has the API server finished.
                self.forward().await?.into_body().collect().await.context("read the answer of a write")?;
                let message = format!("answer lost on demand: {}", self.request);
                callback(self.request).await;
                Err(anyhow::anyhow!(message))
            }
        }
    }

    async fn forward(&self) -> anyhow::Result<Response<Incoming>> {
        let body = Full::new(self.body.clone()).map_err(|never| match never {}).boxed_unsync();
        self.upstream.forward(self.head.clone(), body).await
    }

    async fn hold(self, hold: Hold) -> anyhow::Result<Response<Incoming>> {
        hold.caught.send_replace(Some(self.request.clone()));
        // A test that drops its end releases the write as well.
        let _ = hold.released.await;
        let response = self.forward().await;
        let result = response.as_ref().map(Response::status).map_err(|error| format!("{error:#}"));
        hold.result.send_replace(Some(result));
        response
    }
}

async fn until_not_hung(line: &mut watch::Receiver<Line>) -> anyhow::Result<()> {
    line.wait_for(|line| *line != Line::Hung).await.context("the proxy ended")?;
    Ok(())
}

/// The API server's answer, chunk by chunk as it comes; nothing passes while the line hangs.
fn stallable(response: Response<Incoming>, line: watch::Receiver<Line>) -> Response<Body> {
    let (head, body) = response.into_parts();
    let chunks = stream::unfold((body, line), |(mut body, mut line)| async move {
        let chunk = next_chunk(&mut body, &mut line).await.transpose()?;
        Some((chunk, (body, line)))
    });
    Response::from_parts(head, StreamBody::new(chunks).boxed_unsync())
}

async fn next_chunk(body: &mut Incoming, line: &mut watch::Receiver<Line>) -> anyhow::Result<Option<Frame<Bytes>>> {
    let chunk = body.frame().await.transpose().context("the API server's answer broke off")?;
    until_not_hung(line).await?;
    Ok(chunk)
}

/// An answer in the form of the API server's own refusals.
fn refusal(status: StatusCode, request: &ApiRequest) -> Response<Body> {
    let reason = match status {
        StatusCode::CONFLICT => "Conflict",
        StatusCode::GONE => "Expired",
        StatusCode::TOO_MANY_REQUESTS => "TooManyRequests",
        StatusCode::FORBIDDEN => "Forbidden",
        StatusCode::UNAUTHORIZED => "Unauthorized",
        StatusCode::NOT_FOUND => "NotFound",
        StatusCode::SERVICE_UNAVAILABLE => "ServiceUnavailable",
        _ => "InternalError",
    };
    let status_object = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "reason": reason,
        "code": status.as_u16(), "message": format!("{status} on demand for {request}"),
    });
    let mut response = text(status, status_object.to_string());
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    response
}

#[cfg(test)]
mod tests;
