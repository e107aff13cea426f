//! The service as its callers see it: by HTTP.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper::{Method, Request as HttpRequest};
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use roxmltree::Document;

use super::faults::Scope;
use super::journal::{Action, Change, Fate};
use super::record::{Kind, RecordSet, ServedZone as _};
use super::*;

const LIMIT: Duration = Duration::from_secs(10);
/// Longer than any test: what is to be served never is, unless the test says so.
const NEVER: Duration = Duration::from_secs(3600);

fn roomy() -> Options {
    Options { requests_per_second: None, propagation: Duration::ZERO, processing: Duration::ZERO }
}

/// Status and body of an answer.
struct Answer {
    status: u16,
    body: String,
}

impl Answer {
    fn all(&self, element: &str) -> Vec<String> {
        let document = Document::parse(&self.body).unwrap();
        let nodes = document.descendants().filter(|node| node.tag_name().name() == element);
        nodes.filter_map(|node| node.text()).map(str::to_owned).collect()
    }

    fn text(&self, element: &str) -> Option<String> {
        self.all(element).into_iter().next()
    }

    fn code(&self) -> String {
        self.text("Code").unwrap_or_default()
    }
}

async fn send(route53: &Route53, caller: Option<&str>, method: Method, path: &str, body: String) -> Result<Answer> {
    let mut request = HttpRequest::builder().method(method).uri(format!("{}/2013-04-01/{path}", route53.url()));
    if let Some(caller) = caller {
        let credential =
            format!("AWS4-HMAC-SHA256 Credential={caller}/20261121/us-east-1/route53/aws4_request, Signature=0");
        request = request.header("authorization", credential);
    }
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let answer = client.request(request.body(Full::from(body))?).await?;
    let status = answer.status().as_u16();
    let body = String::from_utf8(answer.into_body().collect().await?.to_bytes().to_vec())?;
    Ok(Answer { status, body })
}

async fn get(route53: &Route53, path: &str) -> Result<Answer> {
    send(route53, Some("tester"), Method::GET, path, String::new()).await
}

async fn change(route53: &Route53, zone: &Zone, change: &str) -> Result<Answer> {
    let body = format!(
        "<ChangeResourceRecordSetsRequest xmlns=\"https://route53.amazonaws.com/doc/2013-04-01/\"><ChangeBatch><Changes>\
         {change}</Changes></ChangeBatch></ChangeResourceRecordSetsRequest>"
    );
    send(route53, Some("tester"), Method::POST, &format!("hostedzone/{}/rrset/", zone.id()), body).await
}

fn weighted(action: &str, weight: &str) -> String {
    format!(
        "<Change><Action>{action}</Action><ResourceRecordSet><Name>shop.example.com</Name><Type>A</Type>\
         <SetIdentifier>blue</SetIdentifier><Weight>{weight}</Weight><TTL>60</TTL><ResourceRecords><ResourceRecord>\
         <Value>192.0.2.1</Value></ResourceRecord></ResourceRecords></ResourceRecordSet></Change>"
    )
}

fn a(name: &str) -> RecordSet {
    RecordSet::simple(name, Kind::A, 60, ["192.0.2.1"])
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html>: pages, each with where the next
/// one starts.
#[tokio::test]
async fn records_are_listed_by_pages() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    zone.create("x", a("shop.example.com").weighted("blue", 1))?;
    zone.create("x", a("shop.example.com").weighted("green", 2))?;
    zone.create("x", a("*.example.com"))?;
    let path = format!("hostedzone/{}/rrset", zone.id());
    let first = get(&route53, &format!("{path}?maxitems=4")).await?;
    ensure!(
        first.all("Name") == ["example.com.", "example.com.", "\\052.example.com.", "shop.example.com."],
        "{}",
        first.body
    );
    ensure!(first.text("IsTruncated").as_deref() == Some("true"));
    let next =
        ["NextRecordName", "NextRecordType", "NextRecordIdentifier"].map(|name| first.text(name).unwrap_or_default());
    ensure!(next == ["shop.example.com.", "A", "green"], "{next:?}");
    let [name, kind, identifier] = next;
    let second = get(&route53, &format!("{path}?name={name}&type={kind}&identifier={identifier}")).await?;
    ensure!(second.all("SetIdentifier") == ["green"] && second.all("Weight") == ["2"], "{}", second.body);
    ensure!(second.text("IsTruncated").as_deref() == Some("false"));
    let from_wildcard = get(&route53, &format!("{path}?name=%5C052.example.com&maxitems=1")).await?;
    ensure!(from_wildcard.all("Name") == ["\\052.example.com."], "{}", from_wildcard.body);
    Ok(())
}

/// The same page: "If you specify Type but not Name, Amazon Route 53 returns the InvalidInput error."
#[tokio::test]
async fn a_listing_that_starts_at_a_type_needs_a_name() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    let answer = get(&route53, &format!("hostedzone/{}/rrset?type=A", zone.id())).await?;
    ensure!((answer.status, answer.code().as_str()) == (400, "InvalidInput"), "{}", answer.body);
    Ok(())
}

/// The same page: a listing "includes records that are PENDING, and that are not yet available on all Route 53 DNS servers";
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html>: PENDING, then INSYNC.
#[tokio::test]
async fn a_change_is_listed_at_once_and_served_when_it_is_in_sync() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    zone.set_propagation(NEVER);
    let accepted = change(&route53, &zone, &weighted("CREATE", "100")).await?;
    ensure!(accepted.text("Status").as_deref() == Some("PENDING"), "{}", accepted.body);
    let id = accepted.text("Id").context("an id")?;
    let listed = get(&route53, &format!("hostedzone/{}/rrset?name=shop.example.com", zone.id())).await?;
    ensure!(listed.all("Weight") == ["100"] && zone.served_at("shop.example.com.").is_empty());
    zone.set_propagation(Duration::ZERO);
    zone.hold_propagation(true);
    ensure!(zone.served_at("shop.example.com.").is_empty(), "it is held");
    zone.hold_propagation(false);
    zone.wait_served("shop.example.com", Kind::A, &[("blue", 100)], LIMIT).await?;
    let now = get(&route53, id.trim_start_matches('/')).await?;
    ensure!(now.text("Status").as_deref() == Some("INSYNC"), "{}", now.body);
    Ok(())
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ResourceRecordSet.html>, `Weight`: 0 to 255.
#[tokio::test]
async fn a_weight_is_from_0_to_255() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    for weight in ["256", "-1", "10%", "1.5", ""] {
        let answer = change(&route53, &zone, &weighted("CREATE", weight)).await?;
        ensure!((answer.status, answer.code().as_str()) == (400, "InvalidInput"), "{weight}: {}", answer.body);
    }
    for weight in ["0", "255"] {
        ensure!(change(&route53, &zone, &weighted("UPSERT", weight)).await?.status == 200, "{weight}");
    }
    ensure!(zone.journal().len() == 7, "refused ones are in the journal too");
    Ok(())
}

/// The same page: an identifier and a policy belong together, an alias has no TTL, values need one.
/// The texts: as `ChangeResourceRecordSets` is reported to give them.
#[tokio::test]
async fn half_a_record_is_invalid_input() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    let whole = weighted("CREATE", "1");
    let cases = [
        (whole.replace("<SetIdentifier>blue</SetIdentifier>", ""), "Missing field 'SetIdentifier'"),
        (whole.replace("<Weight>1</Weight>", ""), "Expected exactly one of [Weight, Region, Failover,"),
        (whole.replace("<TTL>60</TTL>", ""), "Expected exactly one of [AliasTarget, all of [TTL, and ResourceRecords]"),
        (whole.replace("<Weight>1</Weight>", "<Weight>1</Weight><Colour>blue</Colour>"), "unexpected element Colour"),
        (whole.replace("CREATE", "REPLACE"), "Value 'REPLACE' at 'changeBatch.changes.1.member.action'"),
    ];
    for (body, expected) in cases {
        let answer = change(&route53, &zone, &body).await?;
        ensure!(answer.code() == "InvalidInput" && answer.body.contains(expected), "{expected}: {}", answer.body);
    }
    Ok(())
}

/// <https://docs.aws.amazon.com/Route53/latest/DeveloperGuide/DNSLimitations.html#limits-api-requests>: "Five requests per
/// second per AWS account ... HTTP 400 error ... Throttling ... Rate exceeded".
#[tokio::test]
async fn the_sixth_request_of_a_second_is_throttled() -> Result<()> {
    let route53 = Route53::start(Options::default()).await?;
    let answers = futures::future::try_join_all((0..6).map(|_| get(&route53, "hostedzone"))).await?;
    let refused: Vec<&Answer> = answers.iter().filter(|answer| answer.status != 200).collect();
    ensure!(refused.len() == 1 && refused[0].code() == "Throttling", "{} refused", refused.len());
    ensure!(refused[0].status == 400 && refused[0].text("Message").as_deref() == Some("Rate exceeded"));
    Ok(())
}

#[tokio::test]
async fn another_account_has_its_own_quota_and_zones_and_the_same_load_balancers() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let other = route53.start_another(Options { requests_per_second: Some(0), ..roomy() }).await?;
    route53.surroundings().name_balancer("lb.elb.eu-west-2.amazonaws.com", ["192.0.2.1".parse()?]);
    other.create_zone("example.com");
    ensure!(route53.zones().is_empty() && get(&route53, "hostedzone").await?.status == 200);
    ensure!(get(&other, "hostedzone").await?.code() == "Throttling");
    ensure!(other.surroundings().addresses("lb.elb.eu-west-2.amazonaws.com.").is_some(), "they are not shared");
    Ok(())
}

/// The same page: "If Route 53 can't process a request before the next request arrives, it will reject subsequent requests for
/// the same hosted zone and return an HTTP 400 error ... PriorRequestNotComplete".
#[tokio::test]
async fn a_batch_that_comes_while_another_one_is_processed_is_refused() -> Result<()> {
    let route53 = Route53::start(Options { processing: Duration::from_millis(300), ..roomy() }).await?;
    let (zone, other) = (route53.create_zone("example.com"), route53.create_zone("example.com"));
    let (one, two) = (weighted("CREATE", "1"), weighted("CREATE", "2"));
    let (first, second, elsewhere) = futures::try_join!(
        change(&route53, &zone, &one),
        change(&route53, &zone, &two),
        change(&route53, &other, &one),
    )?;
    let mut codes = [first.code(), second.code()];
    codes.sort();
    ensure!(codes == ["", "PriorRequestNotComplete"], "{codes:?}");
    ensure!(elsewhere.status == 200, "another zone is not concerned");
    ensure!(change(&route53, &zone, &weighted("UPSERT", "3")).await?.status == 200, "afterwards there is no obstacle");
    Ok(())
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html> and `ListHostedZones`: by name with
/// the labels reversed, and by pages.
#[tokio::test]
async fn zones_are_listed_and_found_by_name() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zones = ["b.example", "a.example", "z.test"].map(|name| route53.create_zone(name));
    let all = get(&route53, "hostedzone?maxitems=2").await?;
    ensure!(
        all.all("Name") == ["b.example.", "a.example."] && all.text("NextMarker").as_deref() == Some(zones[2].id())
    );
    let rest = get(&route53, &format!("hostedzone?marker={}", zones[2].id())).await?;
    ensure!(rest.all("Id") == [format!("/hostedzone/{}", zones[2].id())], "{}", rest.body);
    let by_name = get(&route53, "hostedzonesbyname?dnsname=b.example&maxitems=1").await?;
    ensure!(by_name.all("Name") == ["b.example."] && by_name.text("NextDNSName").as_deref() == Some("z.test."));
    let one = get(&route53, &format!("hostedzone/{}", zones[1].id())).await?;
    ensure!(one.all("Name") == ["a.example."] && one.all("NameServer").len() == 4, "{}", one.body);
    let unknown = get(&route53, "hostedzone/Z9").await?;
    ensure!((unknown.status, unknown.code().as_str()) == (404, "NoSuchHostedZone"), "{}", unknown.body);
    Ok(())
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListTagsForResources.html>: up to ten zones at once.
#[tokio::test]
async fn tags_are_listed_for_one_and_for_several_zones() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let (one, two) = (route53.create_zone("a.test"), route53.create_zone("b.test"));
    one.tag("team", "shop");
    let tags = get(&route53, &format!("tags/hostedzone/{}", one.id())).await?;
    ensure!(tags.all("Key") == ["team"] && tags.all("Value") == ["shop"], "{}", tags.body);
    let ids = [&one, &two].map(|zone| format!("<ResourceId>{}</ResourceId>", zone.id())).concat();
    let body = format!("<ListTagsForResourcesRequest><ResourceIds>{ids}</ResourceIds></ListTagsForResourcesRequest>");
    let both = send(&route53, Some("tester"), Method::POST, "tags/hostedzone", body).await?;
    ensure!(both.all("ResourceId") == [one.id(), two.id()], "{}", both.body);
    Ok(())
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/CommonErrors.html>: requests are signed.
#[tokio::test]
async fn a_request_without_a_signature_is_refused() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let answer = send(&route53, None, Method::GET, "hostedzone", String::new()).await?;
    ensure!((answer.status, answer.code().as_str()) == (403, "MissingAuthenticationToken"), "{}", answer.body);
    Ok(())
}

#[tokio::test]
async fn a_fault_meets_only_its_scope_and_ends_with_its_handle() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let (zone, other) = (route53.create_zone("example.com"), route53.create_zone("example.com."));
    let throttled = route53.faults().throttle(Scope::everything().caller("somebody"));
    ensure!(get(&route53, "hostedzone").await?.status == 200, "another caller is not throttled");
    drop(throttled);
    let throttled = route53.faults().throttle(Scope::everything().caller("tester"));
    ensure!(get(&route53, "hostedzone").await?.code() == "Throttling");
    drop(throttled);
    let refusing = route53.faults().refuse_batches(Scope::everything().zone("example.com"), "on demand");
    let refused = change(&route53, &zone, &weighted("CREATE", "1")).await?;
    ensure!(refused.code() == "InvalidChangeBatch" && refused.text("Message").as_deref() == Some("[on demand]"));
    ensure!(get(&route53, &format!("hostedzone/{}/rrset", zone.id())).await?.status == 200, "reading goes on");
    drop(refusing);
    ensure!(change(&route53, &other, &weighted("CREATE", "1")).await?.status == 200);
    let journal = zone.journal();
    ensure!(
        matches!(&journal[..], [entry] if entry.refusal() == Some("[on demand]") && entry.is_about("shop.example.com"))
    );
    ensure!(route53.request_counts()[&("tester".to_owned(), "ChangeResourceRecordSets".to_owned())] == 2);
    Ok(())
}

#[tokio::test]
async fn a_stalled_request_is_answered_when_the_stall_ends() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let stalled = route53.faults().stall(Scope::everything().action("ListHostedZones"));
    let mut waiting = Box::pin(get(&route53, "hostedzone"));
    ensure!(get(&route53, "hostedzonesbyname").await?.status == 200, "other actions are not stalled");
    ensure!(tokio::time::timeout(Duration::from_millis(100), &mut waiting).await.is_err(), "it was answered");
    drop(stalled);
    ensure!(tokio::time::timeout(LIMIT, waiting).await??.status == 200);
    Ok(())
}

#[tokio::test]
async fn the_history_of_weights_says_what_was_served_and_since_when() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    let simple = a("shop.example.com");
    let blue = |weight| a("shop.example.com").weighted("blue", weight);
    let green = |weight| a("shop.example.com").weighted("green", weight);
    zone.create("source", simple.clone())?;
    let convert =
        vec![Change { action: Action::Delete, set: simple }, Change { action: Action::Create, set: blue(100) }];
    zone.change("source", convert)?;
    zone.create("source", a("other.example.com"))?;
    ensure!(zone.create("target", a("shop.example.com")).is_err(), "it breaks a rule, and changes nothing");
    zone.set_propagation(NEVER);
    zone.create("target", green(0))?;
    let weights: Vec<_> = zone.weights("shop.example.com", Kind::A).into_iter().map(|served| served.weights).collect();
    ensure!(weights == [vec![(String::new(), None)], vec![("blue".to_owned(), Some(100))]], "{weights:?}");
    zone.set_propagation(Duration::ZERO);
    zone.hold_propagation(false);
    zone.wait_served("shop.example.com", Kind::A, &[("green", 0), ("blue", 100)], LIMIT).await?;
    let history = zone.weights("shop.example.com", Kind::A);
    ensure!(history.len() == 3 && history.windows(2).all(|pair| pair[0].at <= pair[1].at), "{history:?}");
    let journal = zone.journal();
    ensure!(matches!(&journal[3].fate, Fate::Refused { code, .. } if code == "InvalidChangeBatch"));
    ensure!(journal[4].caller == "target" && journal[4].insync().is_some());
    Ok(())
}

#[tokio::test]
async fn waiting_in_vain_says_what_did_not_happen_and_what_did() -> Result<()> {
    let route53 = Route53::start(roomy()).await?;
    let zone = route53.create_zone("example.com");
    zone.create("source", a("shop.example.com").weighted("blue", 100))?;
    let waited = zone.wait_served("shop.example.com", Kind::A, &[("blue", 99)], Duration::from_millis(50)).await;
    let message = waited.err().context("it cannot be served")?.to_string();
    ensure!(
        message.contains("[(\"blue\", 99)] did not happen") && message.contains("CREATE A 100 shop.example.com. blue")
    );
    Ok(())
}
