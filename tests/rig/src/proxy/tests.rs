//! The proxy before a stand-in for an API server: what matters here is the wire.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures::StreamExt as _;
use tokio::sync::mpsc;

use super::*;

const LONG: Duration = Duration::from_secs(20);
/// How long a test looks that nothing happens.
const BRIEF: Duration = Duration::from_millis(200);
const SHOP: &str = "/apis/networking.k8s.io/v1/namespaces/shop-dev/ingresses/shop";
const WATCH: &str = "/apis/networking.k8s.io/v1/ingresses?watch=true";

/// (method, path, Authorization, body) of each request that the API server saw.
type Seen = Arc<Mutex<Vec<(String, String, String, String)>>>;

/// A proxy, a client of it, and the API server behind it.
struct World {
    proxy: Proxy,
    client: Upstream,
    seen: Seen,
    events: mpsc::UnboundedSender<&'static str>,
    _api_server: Server,
}

impl World {
    async fn new() -> Self {
        let authority = CertificateAuthority::new("rig").unwrap();
        let seen = Seen::default();
        let (events, receiver) = mpsc::unbounded_channel();
        let api_server = api_server(&authority, Arc::clone(&seen), receiver).await;
        let url = format!("https://{}", api_server.address());
        let proxy = Proxy::start(&url, &authority.pem(), &authority).await.unwrap();
        let client = Upstream::new(&proxy.url(), &authority.pem()).unwrap();
        Self { proxy, client, seen, events, _api_server: api_server }
    }

    async fn send(&self, method: &str, path: &str, body: &'static str) -> anyhow::Result<Response<Incoming>> {
        let request = Request::builder().method(method).uri(path).header("authorization", "Bearer token").body(())?;
        let body = Full::new(Bytes::from_static(body.as_bytes())).map_err(|never| match never {}).boxed_unsync();
        self.client.forward(request.into_parts().0, body).await
    }

    fn paths_seen(&self) -> Vec<String> {
        self.seen.lock().unwrap().iter().map(|seen| format!("{} {}", seen.0, seen.1)).collect()
    }
}

/// Answers watches with the `events` as they come, and everything else with 200.
async fn api_server(
    authority: &CertificateAuthority,
    seen: Seen,
    events: mpsc::UnboundedReceiver<&'static str>,
) -> Server {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let tls = authority.issue(&["127.0.0.1"]).unwrap().server_config().unwrap();
    let events = Arc::new(Mutex::new(Some(events)));
    Server::start(listener, Some(tls), move |request| {
        let (seen, events) = (Arc::clone(&seen), Arc::clone(&events));
        async move {
            let (head, body) = request.into_parts();
            let body = String::from_utf8(body.collect().await?.to_bytes().to_vec())?;
            let token = head.headers["authorization"].to_str()?.to_owned();
            let path = head.uri.path_and_query().unwrap().to_string();
            seen.lock().unwrap().push((head.method.to_string(), path.clone(), token, body));
            if path != WATCH {
                return Ok(text(StatusCode::OK, "{}"));
            }
            let events = events.lock().unwrap().take().unwrap();
            let chunks = stream::unfold(events, |mut events| async move {
                Some((Ok(Frame::data(Bytes::from_static(events.recv().await?.as_bytes()))), events))
            });
            Ok(Response::new(StreamBody::new(chunks).boxed_unsync()))
        }
    })
    .unwrap()
}

#[tokio::test]
async fn a_healthy_proxy_passes_credentials_and_bodies_and_counts() {
    let world = World::new().await;
    let response = world.send("PATCH", SHOP, r#"{"a":1}"#).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(world.send("GET", SHOP, "").await.unwrap().status(), StatusCode::OK);
    let first = world.seen.lock().unwrap()[0].clone();
    assert_eq!(first, ("PATCH".into(), SHOP.into(), "Bearer token".into(), r#"{"a":1}"#.into()));
    let faults = world.proxy.faults();
    assert_eq!(faults.writes(), 1);
    assert_eq!(faults.requests()[&("get".to_owned(), "ingresses".to_owned())], 1);
}

#[tokio::test]
async fn a_watch_passes_chunk_by_chunk_and_stalls_while_the_line_hangs() {
    let world = World::new().await;
    let mut body = world.send("GET", WATCH, "").await.unwrap().into_body().into_data_stream();
    for event in ["one", "two"] {
        world.events.send(event).unwrap();
        let chunk = tokio::time::timeout(LONG, body.next()).await.unwrap().unwrap().unwrap();
        assert_eq!(chunk, event);
    }
    world.proxy.faults().hang();
    world.events.send("three").unwrap();
    assert!(tokio::time::timeout(BRIEF, body.next()).await.is_err());
    world.proxy.faults().healthy();
    assert_eq!(tokio::time::timeout(LONG, body.next()).await.unwrap().unwrap().unwrap(), "three");
}

#[tokio::test]
async fn a_refusing_proxy_cuts_streams_and_new_connections_until_it_is_healthy() {
    let world = World::new().await;
    let mut body = world.send("GET", WATCH, "").await.unwrap().into_body().into_data_stream();
    world.proxy.faults().refuse();
    let cut = tokio::time::timeout(LONG, body.next()).await.unwrap();
    assert!(cut.is_none_or(|chunk| chunk.is_err()));
    assert!(world.send("GET", SHOP, "").await.is_err());
    world.proxy.faults().healthy();
    assert!(world.send("GET", SHOP, "").await.is_ok());
}

#[tokio::test]
async fn a_hanging_proxy_neither_answers_nor_forwards() {
    let world = World::new().await;
    world.proxy.faults().hang();
    assert!(tokio::time::timeout(BRIEF, world.send("PATCH", SHOP, "{}")).await.is_err());
    assert!(world.paths_seen().is_empty());
    world.proxy.faults().healthy();
    assert!(world.send("GET", SHOP, "").await.is_ok());
    assert_eq!(world.paths_seen(), [format!("GET {SHOP}")]);
}

#[tokio::test]
async fn a_held_write_arrives_after_its_release_though_its_client_went_away() {
    let world = World::new().await;
    let mut held = world.proxy.faults().delay_matching(|r| r.annotation("weight") == Some("50"));
    let body = r#"{"metadata":{"annotations":{"weight":"50"}}}"#;
    let caught = {
        let write = world.send("PATCH", SHOP, body);
        tokio::select! {
            caught = held.caught(LONG) => caught.unwrap(),
            answered = write => panic!("a held write was answered: {answered:?}"),
        }
    };
    assert!(caught.is_write_of("ingresses", "shop-dev"));
    world.send("PATCH", SHOP, r#"{"metadata":{"annotations":{"weight":"0"}}}"#).await.unwrap();
    assert_eq!(world.paths_seen().len(), 1);
    held.release();
    assert_eq!(held.status(LONG).await.unwrap(), StatusCode::OK);
    assert_eq!(world.seen.lock().unwrap().last().unwrap().3, body);
}

#[tokio::test]
async fn an_answer_on_demand_is_a_kubernetes_status_that_the_api_server_never_saw() {
    let world = World::new().await;
    world.proxy.faults().answer(|r| r.verb == "patch", StatusCode::CONFLICT, 1);
    let refused = world.send("PATCH", SHOP, "{}").await.unwrap();
    assert_eq!(refused.status(), StatusCode::CONFLICT);
    let body: Value = serde_json::from_slice(&refused.into_body().collect().await.unwrap().to_bytes()).unwrap();
    assert_eq!((body["kind"].as_str(), body["reason"].as_str()), (Some("Status"), Some("Conflict")));
    assert!(world.paths_seen().is_empty());
    assert_eq!(world.send("PATCH", SHOP, "{}").await.unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn a_hook_runs_before_the_api_server_sees_the_write_or_after_it_answered() {
    for (phase, seen) in [(Phase::BeforeForward, 0), (Phase::AfterCommit, 1)] {
        let world = World::new().await;
        let ran = Arc::new(AtomicBool::new(false));
        let mark = Arc::clone(&ran);
        world.proxy.faults().on_write(2, phase, move |_| async move { mark.store(true, Ordering::SeqCst) });
        world.send("POST", "/api/v1/namespaces/shop-dev/secrets", "{}").await.unwrap();
        assert!(world.send("PATCH", SHOP, "{}").await.is_err(), "{phase:?}");
        assert!(ran.load(Ordering::SeqCst));
        assert_eq!(world.paths_seen().iter().filter(|path| path.starts_with("PATCH")).count(), seen, "{phase:?}");
        world.send("PATCH", SHOP, "{}").await.unwrap();
    }
}
