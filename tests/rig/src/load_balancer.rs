//! A load balancer with ingress controller: one per cluster, on an address of its own, serving the sample application
//! by the cluster's Ingresses.

mod certificates;
mod ingress_status;
mod routes;

use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use hyper::body::Incoming;
use hyper::http::uri::Authority;
use hyper::http::{StatusCode, header};
use hyper::{Request, Response};
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use k8s_openapi::api::networking::v1::Ingress;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt as _, watcher};
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use tokio::task::JoinSet;

pub use routes::{Destination, Routes, is_of_class};

use self::certificates::Certificates;
use crate::certificate_authority::{CertificateAuthority, server_config};
use crate::http_server::{Body, Server, redirect, text};
use crate::sample_app::Application;

const FIRST_LIST_TIMEOUT: Duration = Duration::from_secs(30);
const STATUS_RETRY: Duration = Duration::from_secs(1);

/// Where a load balancer listens and what it serves.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name, as the sample application and its faults know it.
    pub cluster: String,
    /// An address of the load balancer's own in 127.0.0.0/8. It is what the Ingresses' status will say, where there is no name.
    pub address: IpAddr,
    /// A name as AWS gives it ([`crate::route53::balancers::elb_name`]), which the Ingresses' status will say instead.
    pub name: Option<String>,
    /// Port for plain HTTP; 0 takes a free one.
    pub http_port: u16,
    /// Port for HTTPS; 0 takes a free one.
    pub https_port: u16,
    /// The ingress class that is served; Ingresses of others do not exist for this load balancer.
    pub class: String,
}

/// A running load balancer. Dropping it closes its ports and its watches.
#[derive(Debug)]
pub struct LoadBalancer {
    http: Server,
    https: Server,
    shared: Arc<Shared>,
    _watches: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    cluster: String,
    application: Application,
    routes: RwLock<Arc<Routes>>,
    https_port: u16,
    /// Whether the status of the Ingresses names it.
    is_hidden: AtomicBool,
    /// Routes or statuses may be other ones.
    changed: Notify,
}

/// The objects that decide the routes, kept current by watches.
struct Objects {
    ingresses: Store<Ingress>,
    services: Store<Service>,
    slices: Store<EndpointSlice>,
}

impl LoadBalancer {
    /// Listens, and returns once the cluster's present Ingresses are routed. Their status is written in the background.
    pub async fn start(
        options: Options,
        client: Client,
        application: Application,
        authority: Arc<CertificateAuthority>,
    ) -> anyhow::Result<Self> {
        let plain = listen(options.address, options.http_port).await?;
        let encrypted = listen(options.address, options.https_port).await?;
        let shared = Arc::new(Shared {
            cluster: options.cluster.clone(),
            application,
            routes: RwLock::default(),
            https_port: encrypted.local_addr()?.port(),
            is_hidden: AtomicBool::new(false),
            changed: Notify::new(),
        });
        let certificates = Certificates::new(Arc::clone(&shared), authority)?;
        let watches = watch_routes(&options, client, &shared).await?;
        let http = serve(plain, None, &shared)?;
        let https = serve(encrypted, Some(server_config(Arc::new(certificates))?), &shared)?;
        Ok(Self { http, https, shared, _watches: watches })
    }

    /// Address and port for plain HTTP.
    pub fn http(&self) -> SocketAddr {
        self.http.address()
    }

    /// Address and port for HTTPS.
    pub fn https(&self) -> SocketAddr {
        self.https.address()
    }

    /// Takes its address out of the status of its Ingresses, or writes it again. It answers all the time.
    pub fn hide(&self, is_hidden: bool) {
        self.shared.is_hidden.store(is_hidden, Ordering::Release);
        self.shared.changed.notify_one();
    }

    /// What becomes of a request now.
    pub fn destination(&self, host: &str, path: &str, https: bool) -> Destination {
        self.shared.routes().destination(host, path, https)
    }
}

impl Shared {
    fn routes(&self) -> Arc<Routes> {
        Arc::clone(&self.routes.read().unwrap_or_else(PoisonError::into_inner))
    }

    fn replace_routes(&self, routes: Routes) {
        *self.routes.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(routes);
    }

    async fn answer(&self, request: Request<Incoming>, https: bool) -> anyhow::Result<Response<Body>> {
        let host = host_of(&request);
        let path = request.uri().path();
        match self.routes().destination(&host, path, https) {
            Destination::Application => self.application.answer(&self.cluster, &host, path).await,
            Destination::DefaultBackend => {
                Ok(self.answered(&host, text(StatusCode::NOT_FOUND, "default backend - 404\n")))
            }
            Destination::Unavailable => {
                Ok(self.answered(&host, text(StatusCode::SERVICE_UNAVAILABLE, "no ready endpoint\n")))
            }
            Destination::RedirectToHttps => {
                let location = https_location(&host, self.https_port, request.uri());
                Ok(self.answered(&host, redirect(StatusCode::PERMANENT_REDIRECT, &location)?))
            }
        }
    }

    fn answered(&self, host: &str, response: Response<Body>) -> Response<Body> {
        self.application.count(&self.cluster, host, response.status());
        response
    }
}

async fn listen(address: IpAddr, port: u16) -> anyhow::Result<TcpListener> {
    let wanted = SocketAddr::new(address, port);
    TcpListener::bind(wanted).await.with_context(|| format!("load balancer: listen on {wanted}"))
}

fn serve(
    listener: TcpListener,
    tls: Option<Arc<rustls::ServerConfig>>,
    shared: &Arc<Shared>,
) -> anyhow::Result<Server> {
    let https = tls.is_some();
    let shared = Arc::clone(shared);
    Server::start(listener, tls, move |request| {
        let shared = Arc::clone(&shared);
        async move { shared.answer(request, https).await }
    })
}

async fn watch_routes(options: &Options, client: Client, shared: &Arc<Shared>) -> anyhow::Result<JoinSet<()>> {
    let mut tasks = JoinSet::new();
    let objects = Objects {
        ingresses: follow(client.clone(), shared, &mut tasks),
        services: follow(client.clone(), shared, &mut tasks),
        slices: follow(client.clone(), shared, &mut tasks),
    };
    tokio::time::timeout(FIRST_LIST_TIMEOUT, objects.listed())
        .await
        .with_context(|| format!("load balancer of {}: its first lists took too long", options.cluster))??;
    shared.replace_routes(objects.routes(&options.class));
    tasks.spawn(keep_current(objects, options.clone(), client, Arc::clone(shared)));
    Ok(tasks)
}

/// Starts to watch all objects of one kind in all namespaces; each event is told.
fn follow<K>(client: Client, shared: &Arc<Shared>, tasks: &mut JoinSet<()>) -> Store<K>
where
    K: kube::Resource<DynamicType = ()> + Clone + std::fmt::Debug + DeserializeOwned + Send + Sync + 'static,
{
    let (store, writer) = reflector::store();
    let events = watcher(Api::<K>::all(client), watcher::Config::default()).default_backoff();
    let mut events = reflector::reflector(writer, events).boxed();
    let shared = Arc::clone(shared);
    tasks.spawn(async move {
        while let Some(event) = events.next().await {
            match event {
                Ok(_) => shared.changed.notify_one(),
                Err(error) => tracing::warn!(kind = %K::kind(&()), %error, "load balancer: watch interrupted"),
            }
        }
    });
    store
}

impl Objects {
    async fn listed(&self) -> anyhow::Result<()> {
        self.ingresses.wait_until_ready().await?;
        self.services.wait_until_ready().await?;
        self.slices.wait_until_ready().await?;
        Ok(())
    }

    fn routes(&self, class: &str) -> Routes {
        let (ingresses, services, slices) = (self.ingresses.state(), self.services.state(), self.slices.state());
        Routes::new(
            ingresses.iter().map(AsRef::as_ref),
            services.iter().map(AsRef::as_ref),
            slices.iter().map(AsRef::as_ref),
            class,
        )
    }
}

async fn keep_current(objects: Objects, options: Options, client: Client, shared: Arc<Shared>) {
    loop {
        shared.replace_routes(objects.routes(&options.class));
        let is_hidden = shared.is_hidden.load(Ordering::Acquire);
        let written = ingress_status::write(&client, &objects.ingresses.state(), &options, is_hidden).await;
        if written.is_ok() {
            shared.changed.notified().await;
            continue;
        }
        // A cluster that refuses writes still has routes; the status is tried again when it is likely to work.
        tokio::select! {
            () = shared.changed.notified() => {}
            () = tokio::time::sleep(STATUS_RETRY) => {}
        }
    }
}

/// The host that a request is for, in lower case and without a port: the URI's (HTTP/2), else the header's.
fn host_of(request: &Request<Incoming>) -> String {
    let header = || request.headers().get(header::HOST).and_then(|host| host.to_str().ok());
    let authority = request.uri().authority().map(Authority::as_str).or_else(header).unwrap_or_default();
    authority.rsplit_once(':').map_or(authority, |(host, _)| host).to_ascii_lowercase()
}

fn https_location(host: &str, port: u16, uri: &hyper::Uri) -> String {
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    match port {
        443 => format!("https://{host}{path}"),
        port => format!("https://{host}:{port}{path}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_redirect_keeps_path_and_query_and_names_an_unusual_port() {
        let uri: hyper::Uri = "/cart?item=7".parse().unwrap();
        assert_eq!(https_location("shop.example.com", 443, &uri), "https://shop.example.com/cart?item=7");
        assert_eq!(https_location("shop.example.com", 8443, &uri), "https://shop.example.com:8443/cart?item=7");
    }
}
