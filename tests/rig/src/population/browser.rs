//! Asks a load balancer for a page, as a browser does: by HTTPS with the host's name, on a connection that it keeps.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::{BodyExt as _, Empty};
use hyper::Request;
use hyper::body::Bytes;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::http::header;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio_rustls::TlsConnector;

use super::visit::Cause;

/// A browser with at most one connection, for one host.
pub struct Browser {
    tls: TlsConnector,
    host: String,
    name: ServerName<'static>,
    connection: Option<Connection>,
}

struct Connection {
    peer: SocketAddr,
    sender: SendRequest<Empty<Bytes>>,
    /// Ends with the connection.
    _driver: JoinSet<hyper::Result<()>>,
}

impl Browser {
    /// A browser that is not connected yet. `name` is the host as a server name.
    pub fn new(config: Arc<ClientConfig>, host: &str, name: ServerName<'static>) -> Self {
        Self { tls: TlsConnector::from(config), host: host.to_owned(), name, connection: None }
    }

    /// Who it is connected to.
    pub fn peer(&self) -> Option<SocketAddr> {
        self.connection.as_ref().filter(|connection| !connection.sender.is_closed()).map(|connection| connection.peer)
    }

    /// Closes its connection.
    pub fn disconnect(&mut self) {
        self.connection = None;
    }

    /// The body of the home page, when the status is 200. A kept connection that turns out to be closed is replaced by a
    /// new one, as RFC 9110 section 9.2.2 allows; so that only a new one's failure counts.
    pub async fn home_page(&mut self, peer: SocketAddr) -> Result<String, Cause> {
        // Taken out: who gives up in between leaves no connection with half an answer behind.
        if let Some(kept) = self.connection.take().filter(|kept| kept.peer == peer && !kept.sender.is_closed()) {
            match self.ask(kept).await {
                Err(Cause::Broken) => {}
                answered => return answered,
            }
        }
        let fresh = self.connect(peer).await?;
        self.ask(fresh).await
    }

    async fn connect(&self, peer: SocketAddr) -> Result<Connection, Cause> {
        let stream = TcpStream::connect(peer).await.map_err(|_| Cause::Refused)?;
        // Small requests, one after the other: each is wanted at once.
        stream.set_nodelay(true).map_err(|_| Cause::Broken)?;
        let stream = self.tls.connect(self.name.clone(), stream).await.map_err(|_| Cause::Tls)?;
        let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|_| Cause::Broken)?;
        let mut driver = JoinSet::new();
        driver.spawn(connection);
        Ok(Connection { peer, sender, _driver: driver })
    }

    /// Keeps the connection if the answer is complete.
    async fn ask(&mut self, mut connection: Connection) -> Result<String, Cause> {
        let request = Request::get("/").header(header::HOST, &self.host).body(Empty::new());
        let request = request.map_err(|_| Cause::Broken)?;
        connection.sender.ready().await.map_err(|_| Cause::Broken)?;
        let response = connection.sender.send_request(request).await.map_err(|_| Cause::Broken)?;
        let status = response.status().as_u16();
        let body = response.into_body().collect().await.map_err(|_| Cause::Broken)?.to_bytes();
        self.connection = Some(connection);
        if status == 200 { Ok(String::from_utf8_lossy(&body).into_owned()) } else { Err(Cause::Status(status)) }
    }
}
