//! A plain server on the loopback address that stands for an API server in unit tests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::http::StatusCode;
use axum::routing::{MethodRouter, post};
use serde_json::{Value, json};

use super::client::connect;
use crate::metrics::{ClusterSide, Metrics};

pub(crate) async fn serve(router: Router) -> SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    address
}

/// An API server that answers access reviews, and remembers what it was asked.
pub(crate) struct Reviews {
    pub(crate) client: kube::Client,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Reviews {
    /// Allows what `allows` says of a question's attributes, to somebody called `mover`.
    pub(crate) async fn start(allows: fn(&Value) -> bool) -> Self {
        let who = json!({"status": {"userInfo": {"username": "mover"}}}).to_string();
        Self::answering(allows, post(move || async { who })).await
    }

    /// The same, but it does not say who asks.
    pub(crate) async fn nameless(allows: fn(&Value) -> bool) -> Self {
        Self::answering(allows, post(|| async { StatusCode::FORBIDDEN })).await
    }

    async fn answering(allows: fn(&Value) -> bool, who: MethodRouter) -> Self {
        let asked = Arc::new(Mutex::new(vec![]));
        let kept = Arc::clone(&asked);
        let review = post(move |body: String| async move {
            let mut review: Value = serde_json::from_str(&body).unwrap();
            let attributes = review["spec"]["resourceAttributes"].clone();
            review["status"] = json!({"allowed": allows(&attributes)});
            kept.lock().unwrap().push(attributes);
            review.to_string()
        });
        let router = Router::new()
            .route("/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", review)
            .route("/apis/authentication.k8s.io/v1/selfsubjectreviews", who);
        let config = kube::Config::new(format!("http://{}", serve(router).await).parse().unwrap());
        let client = connect(&config, ClusterSide::Target, &Metrics::default()).unwrap().requests;
        Self { client, asked }
    }

    /// The attributes of every question so far.
    pub(crate) fn asked(&self) -> Vec<Value> {
        self.asked.lock().unwrap().clone()
    }
}
