//! The REST API, as far as external-dns and readers use it: <https://docs.aws.amazon.com/Route53/latest/APIReference/>.

use std::collections::BTreeMap;
use std::time::SystemTime;

use anyhow::Context as _;
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use hyper::http::request::Parts;
use hyper::http::{HeaderValue, Method, StatusCode, header};
use hyper::{Request, Response};
use jiff::Timestamp;

use super::faults::About;
use super::journal::{Entry, Fate};
use super::record::{Key, Kind, RecordSet, absolute};
use super::refusal::Refusal;
use super::requests;
use super::xml::{self, Xml};
use super::zone::Zone;
use super::{Account, input};
use crate::http_server::{Body, text};

const VERSION: &str = "2013-04-01";
const ZONES_OF_A_PAGE: usize = 100;
const RECORDS_OF_A_PAGE: usize = 300;
/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListTagsForResources.html>
const TAGGED_RESOURCES: usize = 10;

/// What a request asks for.
enum Call {
    ListHostedZones,
    ListHostedZonesByName,
    GetHostedZone(String),
    ListResourceRecordSets(String),
    ChangeResourceRecordSets(String),
    GetChange(String),
    ListTagsForResource(String),
    ListTagsForResources,
}

impl Call {
    fn of(method: &Method, path: &str) -> Option<Self> {
        let parts: Vec<&str> = path.trim_matches('/').split('/').collect();
        let (version, rest) = parts.split_first()?;
        if *version != VERSION {
            return None;
        }
        // Some SDKs send an id as `hostedzone/<id>` with an escaped slash, others without.
        let id = |id: &str| id.rsplit("%2F").next().unwrap_or(id).to_owned();
        match (method.as_str(), rest) {
            ("GET", ["hostedzone"]) => Some(Self::ListHostedZones),
            ("GET", ["hostedzonesbyname"]) => Some(Self::ListHostedZonesByName),
            ("GET", ["hostedzone", zone]) => Some(Self::GetHostedZone(id(zone))),
            ("GET", ["hostedzone", zone, "rrset"]) => Some(Self::ListResourceRecordSets(id(zone))),
            ("POST", ["hostedzone", zone, "rrset"]) => Some(Self::ChangeResourceRecordSets(id(zone))),
            ("GET", ["change", change]) => Some(Self::GetChange(id(change))),
            ("GET", ["tags", "hostedzone", zone]) => Some(Self::ListTagsForResource(id(zone))),
            ("POST", ["tags", "hostedzone"]) => Some(Self::ListTagsForResources),
            _ => None,
        }
    }

    fn action(&self) -> &'static str {
        match self {
            Self::ListHostedZones => "ListHostedZones",
            Self::ListHostedZonesByName => "ListHostedZonesByName",
            Self::GetHostedZone(_) => "GetHostedZone",
            Self::ListResourceRecordSets(_) => "ListResourceRecordSets",
            Self::ChangeResourceRecordSets(_) => "ChangeResourceRecordSets",
            Self::GetChange(_) => "GetChange",
            Self::ListTagsForResource(_) => "ListTagsForResource",
            Self::ListTagsForResources => "ListTagsForResources",
        }
    }

    fn zone_id(&self) -> Option<&str> {
        match self {
            Self::GetHostedZone(id)
            | Self::ListResourceRecordSets(id)
            | Self::ChangeResourceRecordSets(id)
            | Self::ListTagsForResource(id) => Some(id),
            _ => None,
        }
    }
}

type Query = BTreeMap<String, String>;
type Answer = Result<String, Refusal>;

/// Answers one request and records it.
pub(super) async fn answer(account: Account, request: Request<Incoming>) -> anyhow::Result<Response<Body>> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.context("reading a request to Route 53")?.to_bytes();
    let body = String::from_utf8(body.to_vec()).context("a request to Route 53 is not UTF-8")?;
    let at = SystemTime::now();
    let Some(call) = Call::of(&parts.method, parts.uri.path()) else {
        let refusal = Refusal::new("UnknownOperationException", format!("{} {}", parts.method, parts.uri.path()));
        return response(Err(refusal));
    };
    let zone = call.zone_id().and_then(|id| account.zone_with_id(id));
    let zone_name = zone.as_ref().map(|zone| zone.name().to_owned());
    let caller = caller(&parts);
    let answered = match &caller {
        Some(caller) => handle(&account, &call, caller, zone.as_ref(), &query(&parts), &body).await,
        None => Err(Refusal::missing_authentication_token()),
    };
    let error = answered.as_ref().err().map(|refusal| refusal.code.clone());
    let caller = caller.unwrap_or_default();
    account.requests.record(requests::Request { at, caller, action: call.action().to_owned(), zone: zone_name, error });
    response(answered)
}

fn response(answer: Answer) -> anyhow::Result<Response<Body>> {
    let request = format!("{:032x}", SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default().as_nanos());
    let (status, body) = match answer {
        Ok(body) => (StatusCode::OK, body),
        Err(refusal) => (refusal.status, xml::error(&refusal, &request)),
    };
    let mut response = text(status, body);
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    response.headers_mut().insert("x-amzn-requestid", HeaderValue::from_str(&request)?);
    Ok(response)
}

/// The access key id: `Authorization: AWS4-HMAC-SHA256 Credential=<id>/<date>/<region>/route53/aws4_request, ...`
/// (<https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_sigv-create-signed-request.html>).
fn caller(parts: &Parts) -> Option<String> {
    let authorization = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (_, credential) = authorization.split_once("Credential=")?;
    credential.split('/').next().map(str::to_owned)
}

fn query(parts: &Parts) -> Query {
    let query = parts.uri.query().unwrap_or_default();
    form_urlencoded::parse(query.as_bytes()).into_owned().collect()
}

async fn handle(
    account: &Account,
    call: &Call,
    caller: &str,
    zone: Option<&Zone>,
    query: &Query,
    body: &str,
) -> Answer {
    let about = About { caller, action: call.action(), zone: zone.map(Zone::name) };
    let fault = account.faults.met_by(&about).await;
    if let (Err(refusal), Some(zone), Call::ChangeResourceRecordSets(_)) = (&fault, zone, call) {
        zone.refuse(caller, input::changes(body).unwrap_or_default(), refusal);
    }
    fault?;
    if !account.requests.admit() {
        return Err(Refusal::throttling());
    }
    let zone = || zone.ok_or_else(|| Refusal::no_such_hosted_zone(call.zone_id().unwrap_or_default()));
    match call {
        Call::ListHostedZones => Ok(list_zones(&account.zones(), query)),
        Call::ListHostedZonesByName => Ok(list_zones_by_name(&account.zones(), query)),
        Call::GetHostedZone(_) => Ok(get_zone(zone()?)),
        Call::ListResourceRecordSets(_) => list_records(zone()?, query),
        Call::ChangeResourceRecordSets(_) => change_records(account, zone()?, caller, body).await,
        Call::GetChange(id) => get_change(&account.zones(), id),
        Call::ListTagsForResource(_) => Ok(list_tags(zone()?)),
        Call::ListTagsForResources => list_many_tags(account, body),
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZones.html>
fn list_zones(zones: &[Zone], query: &Query) -> String {
    let marker = query.get("marker");
    let rest: Vec<&Zone> = zones.iter().skip_while(|zone| marker.is_some_and(|marker| zone.id() != marker)).collect();
    let size = page_size(query, ZONES_OF_A_PAGE);
    Xml::document("ListHostedZonesResponse", |xml| {
        xml.element("HostedZones", |xml| rest.iter().take(size).for_each(|zone| hosted_zone(xml, zone)));
        xml.optional("Marker", marker);
        xml.text("IsTruncated", rest.len() > size);
        xml.optional("NextMarker", rest.get(size).map(|zone| zone.id()));
        xml.text("MaxItems", size);
    })
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListHostedZonesByName.html>
fn list_zones_by_name(zones: &[Zone], query: &Query) -> String {
    let start = (query.get("dnsname").map(|name| absolute(name)), query.get("hostedzoneid").cloned());
    let mut zones: Vec<&Zone> = zones.iter().collect();
    let position = |name: &str| name.trim_end_matches('.').rsplit('.').map(str::to_owned).collect::<Vec<_>>();
    zones.sort_by_key(|zone| (position(zone.name()), zone.id().to_owned()));
    if let (Some(name), id) = &start {
        let first = (position(name), id.clone().unwrap_or_default());
        zones.retain(|zone| (position(zone.name()), zone.id().to_owned()) >= first);
    }
    let size = page_size(query, ZONES_OF_A_PAGE);
    Xml::document("ListHostedZonesByNameResponse", |xml| {
        xml.element("HostedZones", |xml| zones.iter().take(size).for_each(|zone| hosted_zone(xml, zone)));
        xml.optional("DNSName", start.0.as_ref());
        xml.optional("HostedZoneId", start.1.as_ref());
        xml.text("IsTruncated", zones.len() > size);
        xml.optional("NextDNSName", zones.get(size).map(|zone| zone.name()));
        xml.optional("NextHostedZoneId", zones.get(size).map(|zone| zone.id()));
        xml.text("MaxItems", size);
    })
}

fn hosted_zone(xml: &mut Xml, zone: &Zone) {
    xml.element("HostedZone", |xml| {
        xml.text("Id", format!("/hostedzone/{}", zone.id()));
        xml.text("Name", zone.name());
        xml.text("CallerReference", zone.id());
        xml.element("Config", |xml| xml.text("PrivateZone", false));
        xml.text("ResourceRecordSetCount", zone.written().len());
    });
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetHostedZone.html>
fn get_zone(zone: &Zone) -> String {
    let servers: Vec<String> = zone.written().group(zone.name(), Kind::Ns).flat_map(name_servers).collect();
    Xml::document("GetHostedZoneResponse", |xml| {
        hosted_zone(xml, zone);
        xml.element("DelegationSet", |xml| {
            xml.element("NameServers", |xml| servers.iter().for_each(|server| xml.text("NameServer", server)));
        });
    })
}

fn name_servers(set: &RecordSet) -> Vec<String> {
    match &set.target {
        super::record::Target::Values(values) => {
            values.iter().map(|value| value.trim_end_matches('.').into()).collect()
        }
        super::record::Target::Alias { .. } => Vec::new(),
    }
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListResourceRecordSets.html>: sets that are PENDING too.
fn list_records(zone: &Zone, query: &Query) -> Answer {
    let start = start(query)?;
    let records = zone.written();
    let size = page_size(query, RECORDS_OF_A_PAGE);
    let mut rest = records.from(start.as_ref());
    let page: Vec<&RecordSet> = rest.by_ref().take(size).collect();
    let next = rest.next();
    Ok(Xml::document("ListResourceRecordSetsResponse", |xml| {
        xml.element("ResourceRecordSets", |xml| page.iter().for_each(|set| xml.record_set(set)));
        xml.text("IsTruncated", next.is_some());
        xml.optional("NextRecordName", next.map(|set| &set.name));
        xml.optional("NextRecordType", next.map(|set| set.kind));
        xml.optional("NextRecordIdentifier", next.and_then(|set| set.identifier.as_ref()));
        xml.text("MaxItems", size);
    }))
}

fn start(query: &Query) -> Result<Option<Key>, Refusal> {
    let (name, kind, identifier) = (query.get("name"), query.get("type"), query.get("identifier"));
    let Some(name) = name else {
        return match (kind, identifier) {
            (None, None) => Ok(None),
            _ => {
                Err(Refusal::invalid_input("The input is not valid: a type or an identifier needs a name to start at"))
            }
        };
    };
    if kind.is_none() && identifier.is_some() {
        return Err(Refusal::invalid_input("The input is not valid: an identifier needs a type to start at"));
    }
    let kind = kind.map_or(Ok(Kind::A), |kind| kind.parse());
    let kind = kind.map_err(|error| Refusal::invalid_input(error.to_string()))?;
    Ok(Some(Key { name: absolute(name), kind, identifier: identifier.cloned() }))
}

fn page_size(query: &Query, most: usize) -> usize {
    query.get("maxitems").and_then(|items| items.parse().ok()).unwrap_or(most).clamp(1, most)
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ChangeResourceRecordSets.html>
async fn change_records(account: &Account, zone: &Zone, caller: &str, body: &str) -> Answer {
    let changes = input::changes(body).inspect_err(|refusal| zone.refuse(caller, Vec::new(), refusal))?;
    let Some(_turn) = zone.turn() else {
        let refusal = Refusal::prior_request_not_complete();
        zone.refuse(caller, changes, &refusal);
        return Err(refusal);
    };
    tokio::time::sleep(account.processing()).await;
    let entry = zone.change(caller, changes)?;
    Ok(Xml::document("ChangeResourceRecordSetsResponse", |xml| change_info(xml, &entry)))
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_GetChange.html>
fn get_change(zones: &[Zone], id: &str) -> Answer {
    let entry = zones.iter().find_map(|zone| zone.entry_of_change(id));
    let entry = entry.ok_or_else(|| Refusal::no_such_change(id))?;
    Ok(Xml::document("GetChangeResponse", |xml| change_info(xml, &entry)))
}

fn change_info(xml: &mut Xml, entry: &Entry) {
    let Fate::Accepted { id, insync } = &entry.fate else { return };
    let submitted = Timestamp::try_from(entry.at).unwrap_or_default();
    xml.element("ChangeInfo", |xml| {
        xml.text("Id", format!("/change/{id}"));
        xml.text("Status", if insync.is_some() { "INSYNC" } else { "PENDING" });
        xml.text("SubmittedAt", format!("{submitted:.3}"));
    });
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListTagsForResource.html>
fn list_tags(zone: &Zone) -> String {
    Xml::document("ListTagsForResourceResponse", |xml| tag_set(xml, zone))
}

/// <https://docs.aws.amazon.com/Route53/latest/APIReference/API_ListTagsForResources.html>
fn list_many_tags(account: &Account, body: &str) -> Answer {
    let ids = input::resource_ids(body)?;
    if ids.is_empty() || ids.len() > TAGGED_RESOURCES {
        let found = ids.len();
        return Err(Refusal::invalid_input(format!("expected 1 to {TAGGED_RESOURCES} resource ids, found {found}")));
    }
    let zone = |id: &String| account.zone_with_id(id).ok_or_else(|| Refusal::no_such_hosted_zone(id));
    let zones: Vec<Zone> = ids.iter().map(zone).collect::<Result<_, _>>()?;
    Ok(Xml::document("ListTagsForResourcesResponse", |xml| {
        xml.element("ResourceTagSets", |xml| zones.iter().for_each(|zone| tag_set(xml, zone)));
    }))
}

fn tag_set(xml: &mut Xml, zone: &Zone) {
    xml.element("ResourceTagSet", |xml| {
        xml.text("ResourceType", "hostedzone");
        xml.text("ResourceId", zone.id());
        xml.element("Tags", |xml| {
            for (key, value) in zone.tags() {
                xml.element("Tag", |xml| {
                    xml.text("Key", key);
                    xml.text("Value", value);
                });
            }
        });
    });
}
