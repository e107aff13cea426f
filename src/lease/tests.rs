//! Candidates against a small API server that keeps one Lease and refuses every write that is based on an older version.

use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use serde_json::{Value, json};

use super::*;
use crate::cluster::local_api::serve;

const PATH: &str = "/apis/coordination.k8s.io/v1/namespaces/ops/leases";

#[derive(Default)]
struct Server {
    lease: Mutex<Option<Value>>,
    writes: AtomicUsize,
    reads: AtomicUsize,
    refusal: Mutex<Option<StatusCode>>,
}

type Shared = State<Arc<Server>>;

impl Server {
    fn refuses(&self) -> Option<Response> {
        let code = (*self.refusal.lock().unwrap())?;
        Some(status(code, "Forbidden"))
    }

    fn store(&self, mut lease: Value) -> Response {
        let version = self.writes.fetch_add(1, Ordering::SeqCst) + 1;
        lease["metadata"]["resourceVersion"] = version.to_string().into();
        *self.lease.lock().unwrap() = Some(lease.clone());
        lease.to_string().into_response()
    }
}

fn status(code: StatusCode, reason: &str) -> Response {
    let body =
        json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code.as_u16(), "reason": reason});
    (code, body.to_string()).into_response()
}

async fn read(State(server): Shared) -> Response {
    server.reads.fetch_add(1, Ordering::SeqCst);
    let found = server.lease.lock().unwrap().clone();
    let answer =
        || found.map_or_else(|| status(StatusCode::NOT_FOUND, "NotFound"), |lease| lease.to_string().into_response());
    server.refuses().unwrap_or_else(answer)
}

async fn create(State(server): Shared, body: Bytes) -> Response {
    let lease: Value = serde_json::from_slice(&body).unwrap();
    let exists = server.lease.lock().unwrap().is_some();
    if exists { status(StatusCode::CONFLICT, "AlreadyExists") } else { server.store(lease) }
}

async fn update(State(server): Shared, body: Bytes) -> Response {
    let lease: Value = serde_json::from_slice(&body).unwrap();
    if let Some(refusal) = server.refuses() {
        return refusal;
    }
    let known = server.lease.lock().unwrap().clone();
    match known {
        None => status(StatusCode::NOT_FOUND, "NotFound"),
        Some(known) if known["metadata"]["resourceVersion"] == lease["metadata"]["resourceVersion"] => {
            server.store(lease)
        }
        Some(_) => status(StatusCode::CONFLICT, "Conflict"),
    }
}

/// A server, and what makes candidates for its Lease.
async fn server() -> (Arc<Server>, impl Fn(&str) -> Election) {
    let server = Arc::new(Server::default());
    let lease = get(read).put(update);
    let router = Router::new().route(PATH, axum::routing::post(create)).route(&format!("{PATH}/l"), lease);
    let address = serve(router.with_state(Arc::clone(&server))).await;
    let candidate = move |identity: &str| {
        let config = kube::Config::new(format!("http://{address}").parse().unwrap());
        let client = crate::cluster::client::connect(&config, crate::metrics::ClusterSide::Home, &Metrics::default());
        let times = Times { retry_period: Duration::from_millis(5), ..Times::of(Duration::from_secs(60)) };
        let candidacy = Candidacy { namespace: "ops".into(), name: "l".into(), identity: identity.into(), times };
        Election::new(client.unwrap().requests, candidacy, Metrics::default())
    };
    (server, candidate)
}

async fn leads(election: &mut Election) -> bool {
    matches!(election.attempt().await.unwrap(), Standing::Leading)
}

#[tokio::test]
async fn of_two_that_begin_in_one_moment_one_leads() {
    let (_server, candidate) = server().await;
    for round in 0..20 {
        let (mut a, mut b) = (candidate(&format!("a{round}")), candidate(&format!("b{round}")));
        let (a_leads, b_leads) = futures::join!(leads(&mut a), leads(&mut b));
        assert!(a_leads != b_leads, "round {round}: {a_leads}, {b_leads}");
        assert!(a.leadership().is_proved() == a_leads && b.leadership().is_proved() == b_leads);
        // The next round finds a Lease that was given up.
        a.release().await;
        b.release().await;
        assert!(!a.leadership().is_proved() && !b.leadership().is_proved());
    }
}

/// When the Lease was renewed last.
fn renewed_at(server: &Server) -> Timestamp {
    let lease = server.lease.lock().unwrap().clone().unwrap();
    lease["spec"]["renewTime"].as_str().unwrap().parse().unwrap()
}

#[tokio::test]
async fn a_holder_renews_without_a_read_and_is_the_same_after_a_restart() {
    let (server, candidate) = server().await;
    let mut first = candidate("pod");
    assert!(leads(&mut first).await && leads(&mut first).await && leads(&mut first).await);
    assert_eq!((server.reads.load(Ordering::SeqCst), server.writes.load(Ordering::SeqCst)), (1, 3));
    let mut restarted = candidate("pod");
    let renewed = renewed_at(&server);
    assert!(leads(&mut restarted).await, "it waits for itself");
    assert_eq!(restarted.predecessor_lived_until(), Some(renewed));
    assert!(leads(&mut restarted).await, "it renews");
    assert_eq!((restarted.predecessor_lived_until(), first.predecessor_lived_until()), (Some(renewed), None));
    assert_eq!(restarted.seen.as_ref().unwrap().transitions(), 0);
}

#[tokio::test]
async fn a_lease_that_is_given_up_or_deleted_is_taken_at_once() {
    let (server, candidate) = server().await;
    let (mut first, mut second) = (candidate("first"), candidate("second"));
    assert!(leads(&mut first).await && !leads(&mut second).await);
    second.release().await;
    assert!(leads(&mut first).await, "a standby gave up what it does not hold");
    first.release().await;
    assert!(leads(&mut second).await);
    assert_eq!(second.seen.as_ref().unwrap().transitions(), 1);
    *server.lease.lock().unwrap() = None;
    assert!(leads(&mut second).await, "its Lease was deleted");
}

#[tokio::test]
async fn a_holder_that_finds_another_one_is_told_who() {
    let (server, candidate) = server().await;
    let mut first = candidate("first");
    assert!(leads(&mut first).await);
    let mut lease = server.lease.lock().unwrap().clone().unwrap();
    lease["spec"]["holderIdentity"] = "second".into();
    server.store(lease);
    let lost = first.hold().await;
    assert!(matches!(&lost, LeaseError::Taken { lease, holder } if lease == "ops/l" && holder == "second"), "{lost}");
}

#[tokio::test]
async fn a_refusal_ends_the_lead_when_the_deadline_has_passed_and_silence_only_stops_steps_forward() {
    let (server, candidate) = server().await;
    let mut holder = candidate("holder");
    holder.candidacy.times.renew_deadline = Duration::from_millis(200);
    assert!(leads(&mut holder).await);
    *server.refusal.lock().unwrap() = Some(StatusCode::SERVICE_UNAVAILABLE);
    let silence = tokio::time::timeout(Duration::from_millis(400), holder.hold()).await;
    assert!(silence.is_err() && !holder.leadership().is_proved(), "{silence:?}");
    *server.refusal.lock().unwrap() = None;
    assert!(leads(&mut holder).await && holder.leadership().is_proved());
    *server.refusal.lock().unwrap() = Some(StatusCode::FORBIDDEN);
    let lost = holder.hold().await;
    assert!(matches!(lost, LeaseError::Refused { .. }), "{lost}");
    assert!(!holder.leadership().is_proved(), "it ended before its deadline");
}

#[test]
fn without_proof_only_a_write_that_takes_users_back_is_permitted() {
    use crate::machine::Side;
    use crate::machine::effect::{RemovableKind, Removal, WeightWrite};
    use crate::machine::stamp::{Direction, Stamp};
    use crate::machine::traffic::Weight;

    let write = |direction| {
        Effect::WriteWeight(WeightWrite {
            side: Side::Source,
            ingress: "web".into(),
            uid: None,
            identifier: "web-blue".into(),
            weight: Weight::FULL,
            stamp: Stamp { owner: "o".into(), attempt: 1, epoch: 1, direction },
            after_source: false,
            keeps_weight: false,
            withheld: false,
            before_end: false,
            replaces: None,
        })
    };
    let removal = Effect::Remove(Removal { kind: RemovableKind::Secret, name: "s".into(), uid: "u".into() });
    let effects = [write(Direction::Forward), write(Direction::RollingBack), removal];
    let unproved = Leadership { proved_until: Some(Arc::new(Mutex::new(Instant::now()))) };
    assert_eq!(effects.each_ref().map(|effect| unproved.permits(effect)), [false, true, false]);
    assert_eq!(effects.each_ref().map(|effect| Leadership::without_lease().permits(effect)), [true; 3]);
}
