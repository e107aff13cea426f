//! The reader against a strict Route 53 and a real name server on this machine.

mod name_servers;
mod resolver;
#[cfg(feature = "route53")]
mod route53;

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use axum::routing::get;
use serde_json::json;
use tokio::sync::Notify;

use super::external_dns::Affixes;
use super::interest::{Backend, Interest};
use super::{Asking, DnsReader, Resolver};
use crate::cluster::client::{HomeSource, connect};
use crate::cluster::connection::HomeAccess;
use crate::cluster::local_api::serve;
use crate::machine::records::DnsView;
use crate::machine::urgency::Urgency;
use crate::metrics::{ClusterSide, Metrics};

/// Nothing here takes longer.
const LIMIT: Duration = Duration::from_secs(60);
/// The operator's default pace.
const ROUTE53_GAP: Duration = Duration::from_millis(550);
/// The Secret that the home cluster has.
const SECRET: &str = "aws";

/// A reader whose home cluster has one Secret with AWS credentials: the access key id `reader`, the key `secret-key-0b71c9`.
async fn reader() -> DnsReader {
    reader_with(Resolver::default()).await
}

/// The same, with load balancers that this one knows.
async fn reader_with(resolver: Resolver) -> DnsReader {
    let secret = json!({
        "apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET, "namespace": "operator"},
        "data": {"AWS_ACCESS_KEY_ID": "cmVhZGVy", "AWS_SECRET_ACCESS_KEY": "c2VjcmV0LWtleS0wYjcxYzk="},
    })
    .to_string();
    let path = format!("/api/v1/namespaces/operator/secrets/{SECRET}");
    let router = axum::Router::new().route(&path, get(async move || secret));
    let config = kube::Config::new(format!("http://{}", serve(router).await).parse().unwrap());
    let metrics = Metrics::default();
    let clients = connect(&config, ClusterSide::Home, &metrics).unwrap();
    let source = HomeSource::File(PathBuf::new());
    let home = HomeAccess { source, clients, namespace: "operator".to_owned(), metrics };
    DnsReader::new(home, ROUTE53_GAP, resolver)
}

fn interest(backend: Backend, hosts: &[&str]) -> Interest {
    Interest {
        pair: "old-to-new".to_owned(),
        backend,
        zone: None,
        hosts: hosts.iter().map(ToString::to_string).collect(),
        balancers: BTreeSet::new(),
        affixes: [Affixes::default()].into(),
        metrics_urls: [None, None],
        urgency: Urgency::Raising,
        propagation: Duration::from_secs(60),
    }
}

/// A migration that asks, and is woken when there is news.
struct Asker {
    asking: Asking,
    woken: Arc<Notify>,
}

impl Asker {
    fn ask(reader: &DnsReader, interest: Interest) -> Self {
        let woken = Arc::new(Notify::new());
        let wake = Arc::clone(&woken);
        Self { asking: reader.ask(interest, Arc::new(move || wake.notify_one())), woken }
    }

    /// Waits, from one wake to the next, until the view shows it.
    async fn sees<T>(&self, what: &str, look: impl Fn(&DnsView) -> Option<T>) -> T {
        let seen = async {
            loop {
                if let Some(found) = look(&self.asking.view()) {
                    return found;
                }
                self.woken.notified().await;
            }
        };
        let Ok(found) = tokio::time::timeout(LIMIT, seen).await else {
            panic!("{what} was not seen within {LIMIT:?}, but {:?}", self.asking.view())
        };
        found
    }

    async fn sees_trouble(&self, host: &str, word: &str) -> String {
        self.sees(word, |view| view.trouble.get(host).filter(|trouble| trouble.contains(word)).cloned()).await
    }
}

#[tokio::test]
async fn equal_backends_share_a_reader_which_ends_with_the_last_asker() {
    let reader = reader().await;
    let nobody = || Backend::NameServers(vec!["127.0.0.1:1".to_owned()]);
    let [one, two] = [(); 2].map(|()| Asker::ask(&reader, interest(nobody(), &["shop.example"])));
    assert_eq!(reader.accounts(), 1);
    let other = Backend::NameServers(vec!["127.0.0.1:2".to_owned()]);
    assert!(!one.asking.fits(&interest(other, &["shop.example"])));
    drop((one, two));
    assert_eq!(reader.accounts(), 0);
}
