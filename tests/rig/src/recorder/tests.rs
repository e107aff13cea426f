use std::fs::OpenOptions;
use std::io::Write as _;

use serde_json::json;

use super::*;

/// A log file of one test, removed with it.
struct Log(PathBuf);

impl Log {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("rig-recorder-{}-{test}.log", std::process::id())))
    }

    fn append(&self, text: &str) {
        let mut file = OpenOptions::new().create(true).append(true).open(&self.0).unwrap();
        file.write_all(text.as_bytes()).unwrap();
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0); // a test that wrote nothing has no file
    }
}

fn event(verb: &str, name: &str, second: u32) -> String {
    let event = json!({
        "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "RequestResponse", "stage": "ResponseComplete",
        "verb": verb, "user": {"username": "operator", "groups": ["system:authenticated"]},
        "userAgent": "namespace-migration",
        "objectRef": {"resource": "ingresses", "namespace": "shop-dev", "name": name, "apiGroup": "networking.k8s.io"},
        "responseStatus": {"metadata": {}, "code": 200},
        "responseObject": {"metadata": {"name": "shop", "resourceVersion": "7"}},
        "requestReceivedTimestamp": "2026-11-21T10:00:00.000000Z",
        "requestReceivedTimestamp": format!("2026-11-21T10:00:{second:02}.000000Z"),
        "stageTimestamp": format!("2026-11-21T10:00:{second:02}.000000Z")
    });
    format!("{event}\n")
}

#[tokio::test]
async fn writes_after_a_mark_are_read_and_reads_are_counted_apart() {
    let log = Log::new("since");
    let recorder = Recorder::open("source", &log.0);
    assert_eq!(recorder.mark().await.unwrap(), Mark::default());
    assert!(recorder.since(Mark::default()).await.unwrap().is_empty());
    log.append(&event("patch", "before", 1));
    let mark = recorder.mark().await.unwrap();
    log.append(&(event("get", "shop", 2) + &event("patch", "shop", 3) + &event("get", "shop", 4)));
    let writes = recorder.since(mark).await.unwrap();
    assert_eq!(writes.len(), 1);
    assert_eq!((writes[0].cluster.as_str(), writes[0].name.as_str(), writes[0].code), ("source", "shop", 200));
    assert_eq!((writes[0].group.as_str(), writes[0].user.as_str()), ("networking.k8s.io", "operator"));
    let reads = recorder.reads(mark, |read| read.user == "operator").await.unwrap();
    assert_eq!(reads, BTreeMap::from([(("get".to_owned(), "ingresses".to_owned()), 2)]));
}

#[tokio::test]
async fn writes_are_found_by_name_by_namespace_and_by_user_in_what_is_new_as_well() {
    let log = Log::new("about");
    let recorder = Recorder::open("source", &log.0);
    let names = async |mark: Mark, about: &str| {
        let found = recorder.about(mark, about).await.unwrap();
        found.into_iter().map(|write| write.name).collect::<Vec<_>>()
    };
    assert!(names(Mark::default(), "books").await.is_empty(), "there is no log yet");
    log.append(&(event("patch", "books", 1) + &event("get", "books", 2) + &event("patch", "news", 2)));
    assert_eq!(names(Mark::default(), "books").await, ["books"]);
    let mark = recorder.mark().await.unwrap();
    log.append(&event("patch", "books", 3));
    log.append(event("patch", "maps", 4).trim_end());
    assert_eq!(
        names(Mark::default(), "shop-dev").await,
        ["books", "news", "books"],
        "a line that is not complete waits"
    );
    assert_eq!(names(mark, "shop-dev").await, ["books"]);
    let by = async |user: &str| recorder.writes_by(mark, user).await.unwrap().len();
    assert_eq!((by("oper").await, by("somebody").await), (1, 0));
}

#[tokio::test]
async fn a_created_object_is_named_by_the_answer() {
    let log = Log::new("created");
    log.append(&event("create", "", 1));
    let writes = Recorder::open("source", &log.0).since(Mark::default()).await.unwrap();
    assert_eq!(writes[0].name, "shop");
}

#[tokio::test]
async fn half_a_line_waits_for_its_rest() {
    let log = Log::new("half");
    let recorder = Recorder::open("source", &log.0);
    let line = event("patch", "shöp", 1);
    let (begin, rest) = line.as_bytes().split_at(line.find('ö').unwrap() + 1);
    let mut file = OpenOptions::new().create(true).append(true).open(&log.0).unwrap();
    file.write_all(begin).unwrap();
    assert!(recorder.since(Mark::default()).await.unwrap().is_empty());
    let waiting = recorder.wait_for(Mark::default(), Duration::from_secs(10), |write| write.name == "shöp");
    let completing = async { file.write_all(rest) };
    let (found, completed) = tokio::join!(waiting, completing);
    completed.unwrap();
    assert_eq!(found.unwrap().name, "shöp");
}

#[tokio::test]
async fn waiting_in_vain_ends_and_names_the_cluster() {
    let log = Log::new("vain");
    let waiting = Recorder::open("target", &log.0).wait_for(Mark::default(), Duration::from_millis(1), |_| true).await;
    assert!(waiting.unwrap_err().to_string().contains("target"));
}

#[tokio::test]
async fn a_log_that_shrank_or_is_not_an_audit_log_is_an_error() {
    let log = Log::new("broken");
    log.append("hello\n");
    let recorder = Recorder::open("source", &log.0);
    assert!(recorder.since(Mark::default()).await.is_err());
    assert!(recorder.since(Mark(1000)).await.unwrap_err().to_string().contains("rotated"));
}

#[tokio::test]
async fn merged_writes_of_one_object_keep_the_order_of_their_commits() {
    let log = Log::new("merge");
    log.append(&(event("patch", "shop", 1) + &event("patch", "shop", 3)));
    let mut source = Recorder::open("source", &log.0).since(Mark::default()).await.unwrap();
    let target = vec![Write {
        cluster: "target".to_owned(),
        time: "2026-11-21T10:00:02Z".parse().unwrap(),
        ..source[0].clone()
    }];
    source[0].response_object["metadata"]["resourceVersion"] = json!("10");
    source[1].response_object["metadata"]["resourceVersion"] = json!("9");
    let merged = merge([target, source]);
    let order: Vec<_> = merged.iter().map(|write| (write.cluster.as_str(), resource_version(write))).collect();
    assert_eq!(order, [("source", Some(9)), ("target", Some(7)), ("source", Some(10))]);
}
